//! The way to a Pierhead: its control socket, or its TCP port in TLS.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, ServerName};
use tokio_rustls::rustls::{ClientConfig, RootCertStore};

use super::Failure;

/// Where a Pierhead is asked.
#[derive(Clone, Debug, PartialEq)]
pub enum Way {
    /// On its control socket.
    Socket(PathBuf),
    /// Over TCP in TLS.
    Server {
        /// Its host and port, such as `edge.example.com:7443`.
        address: String,
        /// The certificates that its own must follow from; none takes those that the host trusts.
        ca: Option<PathBuf>,
    },
}

/// A connection.
pub trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

impl Way {
    /// Connects.
    pub async fn connect(&self) -> Result<Box<dyn Stream>, Failure> {
        match self {
            Way::Socket(path) => match UnixStream::connect(path).await {
                Ok(stream) => Ok(Box::new(stream)),
                Err(error) => Err(no_socket(path, &error)),
            },
            Way::Server { address, ca } => {
                let failed = |error: String| {
                    let hint = "is [control.tcp] set there, and --ca what its certificate follows from?";
                    Failure::failed(format!("no pierhead can be asked at {address}: {error}")).hint(hint)
                };
                let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
                let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned())
                    .map_err(|error| failed(error.to_string()))?;
                let config = tls(ca.as_ref()).map_err(failed)?;
                let stream = TcpStream::connect(address).await.map_err(|error| failed(error.to_string()))?;
                let stream = TlsConnector::from(config).connect(name, stream).await;
                Ok(Box::new(stream.map_err(|error| failed(error.to_string()))?))
            }
        }
    }
}

fn tls(ca: Option<&PathBuf>) -> Result<Arc<ClientConfig>, String> {
    let mut roots = RootCertStore::empty();
    let certificates = match ca {
        Some(file) => CertificateDer::pem_file_iter(file)
            .and_then(Iterator::collect::<Result<Vec<_>, _>>)
            .map_err(|error| format!("cannot read {}: {error}", file.display()))?,
        None => rustls_native_certs::load_native_certs().certs,
    };
    roots.add_parsable_certificates(certificates);
    let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(Arc::new(config))
}

fn no_socket(path: &std::path::Path, error: &io::Error) -> Failure {
    let socket = path.display();
    let hint = match error.kind() {
        ErrorKind::PermissionDenied => {
            format!("be root or in the group that owns it ([control] group): ls -l {socket}")
        }
        _ => {
            "start it with `pierhead serve`, or say where its socket is with --socket or --config".to_owned()
        }
    };
    Failure::failed(format!("no pierhead answers at {socket}: {error}")).hint(hint)
}
