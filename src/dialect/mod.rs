//! Protocol dialects, sans-IO: bytes come in as arguments, decisions go out as values. No socket, no
//! clock, no global, so every dialect is tested, fuzzed and benched without IO.
//!
//! A new protocol is one file here, one line in [`Protocol`] and one in [`Speaks`].

pub mod amqp;
mod by;
pub mod memcached;
pub mod mongodb;
pub mod mqtt;
pub mod mysql;
mod name;
pub mod nats;
pub mod none;
mod opening;
pub mod postgres;
pub mod redis;
mod shared;
pub mod tls;
mod words;

use std::fmt;
use std::sync::Arc;

pub use by::{By, Protocols};
use bytes::{Bytes, BytesMut};
pub use name::{Login, Name, NameError};
pub use opening::{Greeting, Handshake, HandshakeStep, Measure, Opening};
use serde::{Deserialize, Serialize};
pub use shared::{Recognise, Recognised, Undecided};

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

/// What is spoken on a port, with what the configuration says about it; and so how a connection's addon is
/// found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Speaks {
    /// PostgreSQL.
    Postgres(tls::StartTls),
    /// MySQL and MariaDB, as one of them.
    Mysql(mysql::Settings),
    /// Redis and Valkey.
    Redis,
    /// RabbitMQ: AMQP 0-9-1 and 1.0.
    Amqp,
    /// MongoDB.
    Mongodb,
    /// NATS, and what its greeting says.
    Nats(nats::Settings),
    /// MQTT.
    Mqtt,
    /// memcached.
    Memcached,
    /// TLS from the first byte.
    Tls(tls::Settings),
    /// Whatever this addon speaks: everybody means it.
    Fixed(Name),
    /// One of these, in all of which the client speaks first. There is at least one.
    AnyOf(Arc<[Speaks]>),
}

impl Speaks {
    /// The protocol; the first one where there are several.
    pub fn protocol(&self) -> Protocol {
        match self {
            Speaks::Postgres(_) => Protocol::Postgres,
            Speaks::Mysql(_) => Protocol::Mysql,
            Speaks::Redis => Protocol::Redis,
            Speaks::Amqp => Protocol::Amqp,
            Speaks::Mongodb => Protocol::Mongodb,
            Speaks::Nats(_) => Protocol::Nats,
            Speaks::Mqtt => Protocol::Mqtt,
            Speaks::Memcached => Protocol::Memcached,
            Speaks::Tls(_) => Protocol::Tls,
            Speaks::Fixed(_) => Protocol::None,
            Speaks::AnyOf(choices) => choices.first().map_or(Protocol::None, Speaks::protocol),
        }
    }

    /// All protocols that are spoken there.
    pub fn protocols(&self) -> Vec<Protocol> {
        match self {
            Speaks::AnyOf(choices) => choices.iter().map(Speaks::protocol).collect(),
            one => vec![one.protocol()],
        }
    }

    /// A fresh dialect for one connection.
    pub fn dialect(&self) -> Box<dyn Dialect> {
        match self {
            Speaks::Postgres(tls) => Box::new(postgres::Startup::offering(tls)),
            Speaks::Mysql(settings) => Box::new(mysql::ConnectionPhase::new(settings)),
            Speaks::Redis => Box::new(redis::FirstCommands::new()),
            Speaks::Amqp => Box::new(amqp::FirstFrames::new()),
            Speaks::Mongodb => Box::new(mongodb::FirstMessage::new()),
            Speaks::Nats(settings) => Box::new(nats::FirstLine::new(settings.clone())),
            Speaks::Mqtt => Box::new(mqtt::FirstPacket::new()),
            Speaks::Memcached => Box::new(memcached::FirstRequests::new()),
            Speaks::Tls(settings) => Box::new(tls::Sni::new(settings)),
            Speaks::Fixed(name) => Box::new(none::Fixed::new(name.clone())),
            Speaks::AnyOf(choices) => Box::new(Undecided::new(Arc::clone(choices))),
        }
    }
}

fn expected_protocols() -> String {
    Protocol::ALL.iter().map(|protocol| protocol.as_str()).collect::<Vec<_>>().join(", ")
}

/// The first messages of one connection, until it is known who is meant.
pub trait Dialect {
    /// The protocol, for counters and logs.
    fn protocol(&self) -> Protocol;

    /// Looks at what the client has sent so far and says what to do next. Called once with empty input
    /// when the connection is accepted (a server-first protocol greets here), then whenever bytes were
    /// added to `input`. What is consumed is taken off the front of `input`; what is left in it when
    /// [`Step::Identified`] is returned goes to the backend behind the opening.
    fn step(&mut self, input: &mut BytesMut) -> Step;

    /// The protocol's own words for a refusal, at the point where this connection stands. Empty where the
    /// protocol has none: then the connection is just closed.
    fn refuse(&self, refusal: &Refusal) -> Bytes;

    /// What a refused client is told that goes on talking, until the connection is closed. `input` is what it
    /// has sent behind what was judged; whole messages are taken off its front, and each gets its answer.
    /// `None`: nothing more is said. That is the default: most clients listen once they are refused.
    fn answer_refused(&self, _refusal: &Refusal, _input: &mut BytesMut) -> Option<Bytes> {
        None
    }

    /// How many bytes a client may send before it is identified.
    fn identify_bytes_max(&self) -> usize {
        16 * 1024
    }
}

impl fmt::Debug for dyn Dialect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Dialect({})", self.protocol())
    }
}

/// What a dialect wants done next.
#[derive(Debug)]
pub enum Step {
    /// Nothing to do before more bytes arrive.
    NeedMore,
    /// Write this to the client, then call [`Dialect::step`] again.
    Reply(Bytes),
    /// It is known by now which dialect is spoken: go on with this one and the same input.
    Become(Box<dyn Dialect>),
    /// The client named an addon.
    Identified(Identified),
    /// The client asks to cancel a query of another connection (PostgreSQL).
    Cancel(postgres::CancelRequest),
    /// The client cannot be served, for a reason that its own bytes gave.
    Refuse(Refusal),
    /// The client said good-bye, or something that the protocol's servers answer by closing.
    Close,
}

/// A client that has named its addon.
#[derive(Debug)]
pub struct Identified {
    /// Who is meant.
    pub login: Login,
    /// How that is known.
    pub by: By,
    /// How the conversation with the backend begins.
    pub opening: Opening,
    /// What to look for in the backend's first answers while they pass by; not for use with a handshake.
    pub watch: Option<postgres::KeyWatch>,
}

impl Identified {
    /// A client that has logged in as `login`, whose backend is to be opened like this.
    pub fn new(login: Login, opening: Opening) -> Self {
        Identified { login, by: By::Login, opening, watch: None }
    }
}

/// Why a client is not served. The dialect turns it into an error of its protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of refusal: decides the error code and the metric's label.
    pub reason: Reason,
    /// The addon's name, where one is known.
    pub name: Option<Name>,
    /// What exactly happened, for the person who reads the client's error message. May be empty.
    pub detail: String,
}

impl Refusal {
    /// A refusal before any name is known.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Refusal { reason, name: None, detail: detail.into() }
    }

    /// A refusal of a connection to `name`.
    pub fn of(name: &Name, reason: Reason, detail: impl Into<String>) -> Self {
        Refusal { reason, name: Some(name.clone()), detail: detail.into() }
    }
}

/// The kinds of refusal; each is a label of `pierhead_refused_total{reason}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No such addon, or a name that can be none.
    UnknownName,
    /// The addon exists and is being provisioned or started.
    Starting,
    /// The addon exists and is stopped.
    Stopped,
    /// The addon should be there but did not accept a connection within the dial deadline.
    Unreachable,
    /// The addon's connection limit, or the edge's, is reached.
    TooManyConnections,
    /// The client's bytes are not this protocol.
    Malformed,
    /// The client did not say who is meant in time.
    TooSlow,
    /// The client sent more than the limit before saying who is meant.
    TooBig,
    /// Encryption was asked for in a way that could be an injection (bytes sent behind the request).
    PlaintextInjection,
    /// Pierhead is shutting down.
    Draining,
}

impl Reason {
    /// Every reason, in the order of the metric's labels.
    pub const ALL: [Reason; 10] = [
        Reason::UnknownName,
        Reason::Starting,
        Reason::Stopped,
        Reason::Unreachable,
        Reason::TooManyConnections,
        Reason::Malformed,
        Reason::TooSlow,
        Reason::TooBig,
        Reason::PlaintextInjection,
        Reason::Draining,
    ];

    /// The metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::UnknownName => "unknown_name",
            Reason::Starting => "starting",
            Reason::Stopped => "stopped",
            Reason::Unreachable => "unreachable",
            Reason::TooManyConnections => "too_many_connections",
            Reason::Malformed => "malformed",
            Reason::TooSlow => "too_slow",
            Reason::TooBig => "too_big",
            Reason::PlaintextInjection => "plaintext_injection",
            Reason::Draining => "draining",
        }
    }
}
