//! Protocol dialects, sans-IO: bytes come in as arguments, decisions go out as values. No socket, no
//! clock, no global, so every dialect is tested, fuzzed and benched without IO.
//!
//! A new protocol is one file here, one line in [`Protocol`] and one in [`Speaks`].

pub mod amqp;
mod name;
pub mod none;
mod opening;
pub mod postgres;
pub mod redis;
mod words;

use std::fmt;

use bytes::{Bytes, BytesMut};
pub use name::{Login, Name, NameError};
pub use opening::{Greeting, Handshake, HandshakeStep, Measure, Opening};
use serde::{Deserialize, Serialize};

/// The protocols that Pierhead can find a name in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Protocol {
    /// PostgreSQL 3.0 and 3.2.
    Postgres,
    /// Redis and Valkey, RESP 2 and 3.
    Redis,
    /// RabbitMQ: AMQP 0-9-1 and 1.0.
    Amqp,
    /// Any: the listener says who is meant.
    None,
}

impl Protocol {
    /// Every protocol, in the order in which they are listed to people.
    pub const ALL: &'static [Protocol] =
        &[Protocol::Postgres, Protocol::Redis, Protocol::Amqp, Protocol::None];

    /// The name used in the config, in labels and in metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Protocol::Postgres => "postgres",
            Protocol::Redis => "redis",
            Protocol::Amqp => "amqp",
            Protocol::None => "none",
        }
    }

    /// The port on which servers of this protocol listen by default, inside a container too.
    pub fn default_port(self) -> Option<u16> {
        match self {
            Protocol::Postgres => Some(5432),
            Protocol::Redis => Some(6379),
            Protocol::Amqp => Some(5672),
            Protocol::None => None,
        }
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
    Postgres,
    /// Redis and Valkey.
    Redis,
    /// RabbitMQ.
    Amqp,
    /// Whatever this addon speaks: everybody means it.
    Fixed(Name),
}

impl Speaks {
    /// The protocol, for counters and logs.
    pub fn protocol(&self) -> Protocol {
        match self {
            Speaks::Postgres => Protocol::Postgres,
            Speaks::Redis => Protocol::Redis,
            Speaks::Amqp => Protocol::Amqp,
            Speaks::Fixed(_) => Protocol::None,
        }
    }

    /// A fresh dialect for one connection.
    pub fn dialect(&self) -> Box<dyn Dialect> {
        match self {
            Speaks::Postgres => Box::new(postgres::Startup::new()),
            Speaks::Redis => Box::new(redis::FirstCommands::new()),
            Speaks::Amqp => Box::new(amqp::FirstFrames::new()),
            Speaks::Fixed(name) => Box::new(none::Fixed::new(name.clone())),
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

/// What a dialect wants done next.
#[derive(Debug)]
pub enum Step {
    /// Nothing to do before more bytes arrive.
    NeedMore,
    /// Write this to the client, then call [`Dialect::step`] again.
    Reply(Bytes),
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
    /// How the conversation with the backend begins.
    pub opening: Opening,
    /// What to look for in the backend's first answers while they pass by; not for use with a handshake.
    pub watch: Option<postgres::KeyWatch>,
}

impl Identified {
    /// A client who means `login`, whose backend is to be opened like this.
    pub fn new(login: Login, opening: Opening) -> Self {
        Identified { login, opening, watch: None }
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
