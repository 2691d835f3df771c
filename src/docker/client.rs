//! Finding the Docker engine and talking to it.
//!
//! What comes in: a setting or the environment. What goes out: a bollard client with a negotiated API version,
//! or an error that says what to do next.

use std::error::Error as _;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::errors::Error as Bollard;
use bollard::{API_DEFAULT_VERSION, Docker};

/// Where the engine listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// A Unix socket.
    Unix(PathBuf),
    /// `host:port`, in clear text.
    Tcp(String),
    /// `host:port`, with `key.pem`, `cert.pem` and `ca.pem` from this directory.
    Tls(String, PathBuf),
}

impl Endpoint {
    /// `setting` if there is one (from the command line or the config), else `DOCKER_HOST`, else the engine's usual socket. A
    /// `tcp://` endpoint is spoken to in TLS if `DOCKER_TLS_VERIFY` or `DOCKER_CERT_PATH` is set, and then the
    /// engine's certificate is always checked.
    ///
    /// Fails if the text is no endpoint.
    pub fn find(setting: Option<&str>) -> Result<Self, DockerError> {
        Self::parse(setting, |variable| std::env::var(variable).ok())
    }

    /// [`Endpoint::find`] with an environment of its own.
    pub fn parse(
        setting: Option<&str>,
        environment: impl Fn(&str) -> Option<String>,
    ) -> Result<Self, DockerError> {
        let environment = |variable| environment(variable).filter(|value| !value.is_empty());
        let from_environment = environment("DOCKER_HOST");
        let Some(text) = setting.or(from_environment.as_deref()) else {
            return Ok(Endpoint::Unix(USUAL_SOCKET.into()));
        };
        let wrong = || DockerError::Endpoint(text.to_owned());
        if let Some(path) = text.strip_prefix("unix://") {
            return if path.starts_with('/') { Ok(Endpoint::Unix(path.into())) } else { Err(wrong()) };
        }
        let address = text.strip_prefix("tcp://").ok_or_else(wrong)?.trim_end_matches('/').to_owned();
        let port = address.rsplit_once(':').ok_or_else(wrong)?.1;
        port.parse::<u16>().map_err(|_| wrong())?;
        let certificates = environment("DOCKER_CERT_PATH");
        if certificates.is_none() && environment("DOCKER_TLS_VERIFY").is_none() {
            return Ok(Endpoint::Tcp(address));
        }
        let home = || Path::new(&environment("HOME").unwrap_or_default()).join(".docker");
        Ok(Endpoint::Tls(address, certificates.map_or_else(home, PathBuf::from)))
    }

    /// Connects and agrees on an API version: the engine's, or ours if that is older.
    pub async fn connect(&self) -> Result<Docker, DockerError> {
        let docker = self.open().map_err(|error| DockerError::of(self, error))?;
        match tokio::time::timeout(NEGOTIATE_MAX, docker.negotiate_version()).await {
            Ok(Ok(docker)) => Ok(with_version(docker)),
            Ok(Err(error)) => Err(DockerError::of(self, error)),
            Err(_) => Err(DockerError::Silent(self.to_string())),
        }
    }

    fn open(&self) -> Result<Docker, Bollard> {
        let (timeout_s, version) = (REQUEST_MAX.as_secs(), API_DEFAULT_VERSION);
        match self {
            Endpoint::Unix(path) => Docker::connect_with_unix(&path.to_string_lossy(), timeout_s, version),
            Endpoint::Tcp(address) => Docker::connect_with_http(address, timeout_s, version),
            Endpoint::Tls(address, directory) => {
                let pem = |name| directory.join(name);
                let (key, certificate, ca) = (pem("key.pem"), pem("cert.pem"), pem("ca.pem"));
                Docker::connect_with_ssl(address, &key, &certificate, &ca, timeout_s, version)
            }
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Endpoint::Unix(path) => write!(f, "unix://{}", path.display()),
            Endpoint::Tcp(address) | Endpoint::Tls(address, _) => write!(f, "tcp://{address}"),
        }
    }
}

/// Why the engine does not do what it should; each text says what to do next.
#[derive(Debug, thiserror::Error)]
pub enum DockerError {
    /// The setting is no endpoint.
    #[error("{0:?} is no Docker endpoint: write unix:///path/to/docker.sock or tcp://host:port")]
    Endpoint(String),
    /// Nothing listens there.
    #[error("no Docker engine at {endpoint} ({cause}): start dockerd, or set DOCKER_HOST or docker.host")]
    NotRunning {
        /// Where it should be.
        endpoint: String,
        /// What the system said.
        cause: String,
    },
    /// The socket is there, but not for this user.
    #[error(
        "no permission to use the Docker engine at {0}: add the user that pierhead runs as to the group docker \
         and start pierhead again"
    )]
    Permission(String),
    /// It accepts connections but does not answer.
    #[error("the Docker engine at {0} accepts connections but did not answer in time: look at its log")]
    Silent(String),
    /// Engine and client have no API version in common.
    #[error("the Docker engine at {endpoint} refuses API {api}: {message}")]
    Version {
        /// Where it is.
        endpoint: String,
        /// The version that was tried.
        api: String,
        /// What the engine said.
        message: String,
    },
    /// The certificates for TLS cannot be used.
    #[error(
        "TLS to the Docker engine at {endpoint}: {cause}; DOCKER_CERT_PATH needs key.pem, cert.pem and ca.pem"
    )]
    Tls {
        /// Where it is.
        endpoint: String,
        /// What is wrong with them.
        cause: String,
    },
    /// The engine refused a request.
    #[error("the Docker engine refused: {message} (HTTP {status})")]
    Refused {
        /// The HTTP status.
        status: u16,
        /// What the engine said.
        message: String,
    },
    /// The connection broke, or its end makes no sense.
    #[error("lost the Docker engine at {endpoint}: {cause}")]
    Lost {
        /// Where it was.
        endpoint: String,
        /// What was seen of it.
        cause: String,
    },
}

impl DockerError {
    /// What a bollard error of this endpoint means.
    pub fn of(endpoint: &Endpoint, error: Bollard) -> Self {
        let endpoint = endpoint.to_string();
        match error {
            Bollard::SocketNotFoundError(_) => {
                DockerError::NotRunning { endpoint, cause: "there is no such socket".to_owned() }
            }
            Bollard::DockerResponseServerError { status_code: 400, message }
                if message.contains("API version") =>
            {
                DockerError::Version { endpoint, api: API_DEFAULT_VERSION.to_string(), message }
            }
            Bollard::DockerResponseServerError { status_code, message } => {
                DockerError::Refused { status: status_code, message }
            }
            Bollard::RequestTimeoutError => DockerError::Silent(endpoint),
            Bollard::CertPathError { .. }
            | Bollard::CertParseError { .. }
            | Bollard::CertMultipleKeys { .. }
            | Bollard::NoNativeCertsError { .. }
            | Bollard::LoadNativeCertsErrors { .. } => {
                DockerError::Tls { endpoint, cause: error.to_string() }
            }
            error => match io_cause(&error) {
                Some((io::ErrorKind::PermissionDenied, _)) => DockerError::Permission(endpoint),
                Some((io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused, cause)) => {
                    DockerError::NotRunning { endpoint, cause }
                }
                _ => DockerError::Lost { endpoint, cause: chain(&error) },
            },
        }
    }

    /// Whether the engine said that there is no such thing.
    pub fn is_not_found(&self) -> bool {
        matches!(self, DockerError::Refused { status: 404, .. })
    }
}

/// bollard 0.21 agrees on a version and then sends every path without one, which means the engine's newest: an
/// engine newer than this client could answer in a way that it does not understand.
fn with_version(docker: Docker) -> Docker {
    let version = docker.client_version();
    docker.with_request_modifier(move |mut request| {
        let mut parts = request.uri().clone().into_parts();
        let path = parts.path_and_query.as_ref().map_or("/", |path| path.as_str());
        if !path.starts_with("/v1.")
            && let Ok(path) = format!("/v{version}{path}").parse()
        {
            parts.path_and_query = Some(path);
            if let Ok(uri) = hyper::Uri::from_parts(parts) {
                *request.uri_mut() = uri;
            }
        }
        request
    })
}

/// The input/output error at the bottom of an HTTP client's error.
fn io_cause(error: &Bollard) -> Option<(io::ErrorKind, String)> {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        if let Some(error) = error.downcast_ref::<io::Error>() {
            return Some((error.kind(), error.to_string()));
        }
        cause = error.source();
    }
    None
}

/// The outer error and the innermost one: what is between them says the same in other words.
fn chain(error: &Bollard) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        cause = inner.source();
        if cause.is_none() && !text.contains(&inner.to_string()) {
            text = format!("{text}: {inner}");
        }
    }
    text
}

const USUAL_SOCKET: &str = "/var/run/docker.sock";

/// How long the engine may take to say its version.
const NEGOTIATE_MAX: Duration = Duration::from_secs(10);

/// How long any request may take until its answer begins. A pull answers only after the registry did.
const REQUEST_MAX: Duration = Duration::from_secs(120);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_setting_comes_before_the_environment() {
        let find = |setting: Option<&str>, environment: &[(&str, &str)]| {
            let value =
                |name: &str| environment.iter().find(|(key, _)| *key == name).map(|(_, v)| v.to_string());
            Endpoint::parse(setting, value).map_err(|error| error.to_string())
        };
        let unix = |path: &str| Ok(Endpoint::Unix(path.into()));
        assert_eq!(find(None, &[]), unix("/var/run/docker.sock"));
        assert_eq!(find(None, &[("DOCKER_HOST", "")]), unix("/var/run/docker.sock"));
        assert_eq!(find(None, &[("DOCKER_HOST", "unix:///a")]), unix("/a"));
        assert_eq!(find(Some("unix:///b"), &[("DOCKER_HOST", "unix:///a")]), unix("/b"));
        assert_eq!(find(Some("tcp://[::1]:2375"), &[]), Ok(Endpoint::Tcp("[::1]:2375".into())));
        let tls = [("DOCKER_HOST", "tcp://box:2376"), ("DOCKER_TLS_VERIFY", "1"), ("HOME", "/root")];
        assert_eq!(find(None, &tls), Ok(Endpoint::Tls("box:2376".into(), "/root/.docker".into())));
        let path = [("DOCKER_HOST", "tcp://box:2376"), ("DOCKER_CERT_PATH", "/certs")];
        assert_eq!(find(None, &path), Ok(Endpoint::Tls("box:2376".into(), "/certs".into())));
        for wrong in ["", "docker.sock", "unix://docker.sock", "tcp://box", "tcp://box:x", "ssh://box"] {
            assert!(find(Some(wrong), &[]).is_err_and(|text| text.contains("unix:///")), "{wrong}");
        }
    }
}
