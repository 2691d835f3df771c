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
mod protocol;
pub mod redis;
mod refusal;
mod shared;
pub mod tls;
mod words;

use std::fmt;
use std::sync::Arc;

pub use by::{By, Protocols};
use bytes::{Bytes, BytesMut};
pub use name::{Login, Name, NameError};
pub use opening::{Greeting, Handshake, HandshakeStep, Measure, Opening};
pub use protocol::Protocol;
pub use refusal::{Reason, Refusal};
pub use shared::{Recognise, Recognised, Undecided};

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
