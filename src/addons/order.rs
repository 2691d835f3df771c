//! Who makes an addon, and what was agreed on: the part of its row that is about its provider.

use std::fmt;

use serde_json::{Map, Value};

use crate::dialect::Name;

/// Arguments of `pierhead create`, as a provider has taken them. No secrets: rows are copied and shown.
pub type Arguments = Map<String, Value>;

/// Who makes an addon, and what was agreed on.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// Who makes it: `docker`, `secret`, or a `[provider.NAME]` of the configuration.
    pub provider: Name,
    /// What was asked for, as the provider has accepted it.
    pub arguments: Arguments,
    /// What the provider calls it. None until it has been asked for the first time and the answer is written.
    pub id: Option<String>,
    /// Where its engine is reached, if it has one and the provider has said where. Never for a container.
    pub backend: Option<Backend>,
}

impl Order {
    /// The provider of everything that runs in containers.
    pub const DOCKER: &'static str = "docker";

    /// An order without arguments.
    pub fn of(provider: Name) -> Self {
        Order { provider, arguments: Arguments::new(), id: None, backend: None }
    }

    /// An addon in a container.
    pub fn docker() -> Self {
        Order::of(Name::parse(Order::DOCKER).expect("a name written in this file"))
    }

    /// Whether it is made of containers and volumes.
    pub fn is_docker(&self) -> bool {
        self.provider.as_str() == Order::DOCKER
    }
}

/// An engine that is not in a container of Pierhead's: where it is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backend {
    /// A host name, or an address.
    pub host: String,
    /// A port.
    pub port: u16,
}

impl Backend {
    /// From the form of [`fmt::Display`]; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let (host, port) = text.rsplit_once(':')?;
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Some(Backend { host: host.to_owned(), port: port.parse().ok()? })
    }
}

/// As in the store: `db.example.com:5432`, `[2001:db8::1]:5432`.
impl fmt::Display for Backend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_comes_back_as_it_was_written() {
        for (host, text) in [("db.example.com", "db.example.com:5432"), ("2001:db8::1", "[2001:db8::1]:5432")]
        {
            let backend = Backend { host: host.into(), port: 5432 };
            assert_eq!(backend.to_string(), text);
            assert_eq!(Backend::parse(text), Some(backend));
        }
        for bad in ["", "db", "db:", "db:x", "db:65536"] {
            assert_eq!(Backend::parse(bad), None, "{bad}");
        }
    }
}
