//! The ports of the edge: what is spoken where, and what each dialect is told.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde::Deserialize;

use crate::dialect::{Name, Protocol, Speaks};

/// One port of the edge.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "WrittenListener")]
pub struct ListenerConfig {
    /// What is spoken here.
    pub speaks: Speaks,
    /// The addresses to listen on. Default: every IPv4 address at the protocol's own port.
    pub listen: Vec<SocketAddr>,
}

/// A listener as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WrittenListener {
    dialect: Protocol,
    #[serde(default)]
    listen: Vec<SocketAddr>,
    to: Option<Name>,
}

/// What a listener's table says to its dialect. The dialect takes what it understands; what is left then is an
/// error.
struct Settings {
    to: Option<Name>,
}

impl TryFrom<WrittenListener> for ListenerConfig {
    type Error = String;

    fn try_from(written: WrittenListener) -> Result<Self, String> {
        let WrittenListener { dialect, mut listen, to } = written;
        let mut settings = Settings { to };
        let speaks = settings.apply(dialect)?;
        settings.nothing_left(dialect)?;
        if listen.is_empty() {
            let port = dialect
                .default_port()
                .ok_or("`listen` is missing, expected addresses such as [\"0.0.0.0:5201\"]")?;
            listen.push(SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), port));
        }
        Ok(ListenerConfig { speaks, listen })
    }
}

impl ListenerConfig {
    /// One for every protocol that has a port of its own.
    pub(super) fn defaults() -> Vec<Self> {
        let of = |protocol: &Protocol| {
            let written = WrittenListener { dialect: *protocol, listen: vec![], to: None };
            ListenerConfig::try_from(written).ok()
        };
        Protocol::ALL.iter().filter_map(of).collect()
    }
}

impl Settings {
    /// A dialect with the settings that it understands, which are taken.
    fn apply(&mut self, dialect: Protocol) -> Result<Speaks, String> {
        Ok(match dialect {
            Protocol::Postgres => Speaks::Postgres,
            Protocol::Redis => Speaks::Redis,
            Protocol::Amqp => Speaks::Amqp,
            Protocol::None => {
                let to = self.to.take();
                Speaks::Fixed(to.ok_or("dialect = \"none\" needs `to`, expected the name of an addon")?)
            }
        })
    }

    /// No setting is there that the dialect has not taken.
    fn nothing_left(&self, dialect: Protocol) -> Result<(), String> {
        if self.to.is_some() {
            let message =
                format!("`to` belongs to dialect = \"none\": {dialect} clients say the name themselves");
            return Err(message);
        }
        Ok(())
    }
}
