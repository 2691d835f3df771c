//! The protocols: what each is called, where its servers listen, and how its clients are told from others.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::shared::Recognise;
use super::{amqp, memcached, mongodb, mqtt, postgres, redis, tls};

/// The protocols that Pierhead can find a name in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// PostgreSQL 3.0 and 3.2.
    Postgres,
    /// MySQL and MariaDB.
    Mysql,
    /// Redis and Valkey, RESP 2 and 3.
    Redis,
    /// RabbitMQ: AMQP 0-9-1 and 1.0.
    Amqp,
    /// MongoDB, OP_MSG and OP_QUERY.
    Mongodb,
    /// NATS.
    Nats,
    /// MQTT 3.1, 3.1.1 and 5.
    Mqtt,
    /// memcached, the binary protocol with SASL.
    Memcached,
    /// Anything in TLS from the first byte.
    Tls,
    /// Any: the listener says who is meant.
    None,
}

impl Protocol {
    /// Every protocol, in the order in which they are listed to people.
    pub const ALL: &'static [Protocol] = &[
        Protocol::Postgres,
        Protocol::Mysql,
        Protocol::Redis,
        Protocol::Amqp,
        Protocol::Mongodb,
        Protocol::Nats,
        Protocol::Mqtt,
        Protocol::Memcached,
        Protocol::Tls,
        Protocol::None,
    ];

    /// The name used in the config, in labels and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Postgres => "postgres",
            Protocol::Mysql => "mysql",
            Protocol::Redis => "redis",
            Protocol::Amqp => "amqp",
            Protocol::Mongodb => "mongodb",
            Protocol::Nats => "nats",
            Protocol::Mqtt => "mqtt",
            Protocol::Memcached => "memcached",
            Protocol::Tls => "tls",
            Protocol::None => "none",
        }
    }

    /// The port on which servers of this protocol listen by default, inside a container too.
    pub fn default_port(self) -> Option<u16> {
        match self {
            Protocol::Postgres => Some(5432),
            Protocol::Mysql => Some(3306),
            Protocol::Redis => Some(6379),
            Protocol::Amqp => Some(5672),
            Protocol::Mongodb => Some(27017),
            Protocol::Nats => Some(4222),
            Protocol::Mqtt => Some(1883),
            Protocol::Memcached => Some(11211),
            Protocol::Tls | Protocol::None => None,
        }
    }

    /// What a TLS client calls the protocol in its ALPN extension, where there is such a name (IANA, "TLS ALPN
    /// Protocol IDs").
    pub fn alpn(self) -> Option<&'static [u8]> {
        match self {
            Protocol::Postgres => Some(b"postgresql"),
            Protocol::Mqtt => Some(b"mqtt"),
            Protocol::Mysql
            | Protocol::Redis
            | Protocol::Amqp
            | Protocol::Mongodb
            | Protocol::Nats
            | Protocol::Memcached
            | Protocol::Tls
            | Protocol::None => None,
        }
    }

    /// Tells the protocol by a client's first bytes. None where the server speaks first: such a protocol cannot
    /// share a port.
    pub fn recognise(self) -> Option<Recognise> {
        match self {
            Protocol::Postgres => Some(postgres::recognise),
            Protocol::Redis => Some(redis::recognise),
            Protocol::Amqp => Some(amqp::recognise),
            Protocol::Mongodb => Some(mongodb::recognise),
            Protocol::Mqtt => Some(mqtt::recognise),
            Protocol::Memcached => Some(memcached::recognise),
            Protocol::Tls => Some(tls::recognise),
            Protocol::Mysql | Protocol::Nats | Protocol::None => None,
        }
    }

    /// The protocol that has this name in ALPN.
    pub fn of_alpn(name: &[u8]) -> Option<Self> {
        Protocol::ALL.iter().copied().find(|protocol| protocol.alpn() == Some(name))
    }
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl std::str::FromStr for Protocol {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Protocol::ALL
            .iter()
            .copied()
            .find(|protocol| protocol.as_str() == text)
            .ok_or_else(|| format!("unknown protocol {text:?}, expected one of {}", expected_protocols()))
    }
}

fn expected_protocols() -> String {
    Protocol::ALL.iter().map(|protocol| protocol.as_str()).collect::<Vec<_>>().join(", ")
}
