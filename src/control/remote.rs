//! The API over TCP: in TLS, and for those who have a token. In come connections; out go answers of the same router that
//! the control socket has.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use axum::Router;
use axum::extract::ConnectInfo;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tower_service::Service;

use super::api::caller::Peer;
use crate::config::TcpApiConfig;

/// The bound address, and the certificate to show there.
pub struct Remote {
    listener: TcpListener,
    certificate: Certificate,
    connections_max: usize,
}

/// Why the API cannot be served over TCP.
#[derive(Debug, thiserror::Error)]
pub enum RemoteError {
    /// The address cannot be had.
    #[error("[control.tcp]: cannot listen at {0}: {1}")]
    Bind(SocketAddr, io::Error),
    /// A file cannot be used.
    #[error("[control.tcp]: cannot use {0}: {1}")]
    File(PathBuf, String),
}

impl Remote {
    /// Binds the address and reads the certificate.
    pub fn bind(config: &TcpApiConfig) -> Result<Self, RemoteError> {
        let certificate = Certificate::read(&config.certificate, &config.key)?;
        let bind = || {
            let listener = TcpListener::bind(config.listen)?;
            listener.set_nonblocking(true)?;
            Ok(listener)
        };
        let listener = bind().map_err(|error| RemoteError::Bind(config.listen, error))?;
        Ok(Remote { listener, certificate, connections_max: config.connections_max as usize })
    }

    /// Answers for ever. With `connections_max` open, further ones wait in the backlog.
    pub async fn serve(self, router: Router) -> io::Result<()> {
        let Remote { listener, mut certificate, connections_max } = self;
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let connections = Arc::new(Semaphore::new(connections_max));
        loop {
            // Closed never, so there always is one sooner or later.
            let permit = Arc::clone(&connections).acquire_owned().await.map_err(io::Error::other)?;
            let (stream, address) = match listener.accept().await {
                Ok(accepted) => accepted,
                Err(error) => {
                    tracing::warn!(%error, "the API's TCP port cannot accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                    continue;
                }
            };
            certificate.renew();
            let (acceptor, router) = (certificate.acceptor.clone(), router.clone());
            tokio::spawn(async move {
                if let Err(error) = answer(stream, address, acceptor, router).await {
                    tracing::debug!(%address, error, "a connection to the API ended early");
                }
                drop(permit);
            });
        }
    }
}

async fn answer(
    stream: TcpStream,
    address: SocketAddr,
    acceptor: TlsAcceptor,
    router: Router,
) -> Result<(), String> {
    let stream = tokio::time::timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await;
    let stream = stream.map_err(|_| "no TLS handshake in time")?.map_err(|error| error.to_string())?;
    let service = service_fn(move |mut request: hyper::Request<hyper::body::Incoming>| {
        request.extensions_mut().insert(ConnectInfo(Peer::Remote(address)));
        router.clone().call(request)
    });
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(HEADERS_TIMEOUT);
    http.serve_connection(TokioIo::new(stream), service).await.map_err(|error| error.to_string())
}

/// A certificate and when its file was written.
struct Certificate {
    certificate: PathBuf,
    key: PathBuf,
    written: Option<SystemTime>,
    acceptor: TlsAcceptor,
}

impl Certificate {
    fn read(certificate: &Path, key: &Path) -> Result<Self, RemoteError> {
        let written = written(certificate);
        let acceptor = acceptor(certificate, key)?;
        Ok(Certificate { certificate: certificate.to_owned(), key: key.to_owned(), written, acceptor })
    }

    /// Reads the files again if somebody has renewed them. One that cannot be read changes nothing.
    fn renew(&mut self) {
        let written = written(&self.certificate);
        if written == self.written {
            return;
        }
        self.written = written;
        match acceptor(&self.certificate, &self.key) {
            Ok(acceptor) => self.acceptor = acceptor,
            Err(error) => {
                tracing::error!(%error, "the API's new certificate is of no use; the old one stays")
            }
        }
    }
}

fn acceptor(certificate: &Path, key: &Path) -> Result<TlsAcceptor, RemoteError> {
    let failed = |path: &Path, error: String| RemoteError::File(path.to_owned(), error);
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| failed(certificate, error.to_string()))?;
    let private = PrivateKeyDer::from_pem_file(key).map_err(|error| failed(key, error.to_string()))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .and_then(|builder| builder.with_no_client_auth().with_single_cert(chain, private))
        .map_err(|error| failed(certificate, error.to_string()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn written(path: &Path) -> Option<SystemTime> {
    path.metadata().and_then(|metadata| metadata.modified()).ok()
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// From the end of one request to the end of the next one's head.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(30);
