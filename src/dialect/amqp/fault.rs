//! What can be wrong with the bytes of a client.

use std::fmt;

use super::refusal::Code;
use crate::dialect::words::printable;
use crate::dialect::{NameError, Reason};

/// What is wrong with the bytes of a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A ClientHello. TLS is not served on this port.
    Tls,
    /// Something else than a header.
    NoHeader,
    /// A version that is not spoken: the four bytes behind "AMQP".
    Version(Vec<u8>),
    /// AMQP 1.0 without its SASL layer.
    NoSasl,
    /// A frame of a type that does not belong here.
    FrameType(u8),
    /// A channel other than that of the connection itself.
    Channel(u16),
    /// A frame that is too long, or too short to be one.
    FrameLength(u32),
    /// A frame that does not end where it says.
    FrameEnd(u8),
    /// A frame whose body begins behind its end, or before that of the shortest head.
    DataOffset(u8),
    /// Another method than Start-Ok: its class and its number.
    Method(u16, u16),
    /// Something else than a sasl-init.
    Performative,
    /// Arguments that do not fit into their frame, or are of another type.
    Layout,
    /// A mechanism that was not offered, fit to be shown.
    Mechanism(String),
    /// A response that this mechanism does not have. It holds a password, so it is not shown.
    Response(&'static str),
    /// A user that can be no addon, fit to be shown.
    User(String, NameError),
}

impl Fault {
    /// The fault of a mechanism that was not offered.
    pub(super) fn mechanism(mechanism: &[u8]) -> Self {
        Fault::Mechanism(printable(mechanism, SHOWN_MAX))
    }

    /// The fault of a user that can be no addon.
    pub(super) fn user(user: &[u8], error: NameError) -> Self {
        Fault::User(printable(user, SHOWN_MAX), error)
    }

    /// The kind of refusal that it leads to.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Fault::User(..) => Reason::UnknownName,
            _ => Reason::Malformed,
        }
    }

    /// What it is called in the protocol.
    pub(super) fn code(&self) -> Code {
        match self {
            Fault::User(..) => Code::ACCESS_REFUSED,
            Fault::Method(..) | Fault::Performative | Fault::Mechanism(_) => Code::COMMAND_INVALID,
            Fault::Layout | Fault::Response(_) => Code::SYNTAX_ERROR,
            _ => Code::FRAME_ERROR,
        }
    }
}

/// For the log and for the client.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Tls => f.write_str("TLS is not served on this port"),
            Fault::NoHeader => f.write_str("no AMQP header"),
            Fault::Version(bytes) => write!(f, "AMQP version {bytes:?} is not spoken"),
            Fault::NoSasl => f.write_str("AMQP 1.0 without SASL names nobody"),
            Fault::FrameType(kind) => write!(f, "unexpected frame type {kind}"),
            Fault::Channel(channel) => write!(f, "unexpected frame on channel {channel}"),
            Fault::FrameLength(len) => write!(f, "a frame claims {len} bytes"),
            Fault::FrameEnd(byte) => write!(f, "a frame ends with 0x{byte:02x}"),
            Fault::DataOffset(doff) => write!(f, "a frame claims a data offset of {doff}"),
            Fault::Method(class, method) => {
                write!(f, "unexpected method {class},{method}, expected Start-Ok")
            }
            Fault::Performative => f.write_str("expected a sasl-init"),
            Fault::Layout => f.write_str("invalid arguments of a login"),
            Fault::Mechanism(name) => write!(f, "unknown authentication mechanism \"{name}\""),
            Fault::Response(mechanism) => write!(f, "invalid {mechanism} response"),
            Fault::User(user, error) => write!(f, "no addon can be named \"{user}\": {error}"),
        }
    }
}

/// How many bytes of what a client has sent are shown.
const SHOWN_MAX: usize = 40;
