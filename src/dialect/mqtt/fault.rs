//! What can be wrong with the bytes of a client.

use std::fmt;

use super::FirstPacket;
use crate::dialect::words::printable;
use crate::dialect::{NameError, Reason};

/// What is wrong with the bytes of a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A ClientHello. TLS ends at no port of the edge; that for it is another listener.
    Tls,
    /// A first byte that is not that of a `CONNECT`.
    FirstByte(u8),
    /// A length of more than four bytes.
    Length,
    /// More than is read from somebody who has not logged in: so many bytes.
    TooLong(usize),
    /// Another protocol's name.
    Name,
    /// A version that nobody here speaks.
    Version(u8),
    /// Parts that do not end where the packet ends, or flags that may not be set.
    Layout,
    /// No user, or an empty one.
    NoUser,
    /// A user that can be no addon, fit to be shown.
    User(String, NameError),
}

impl Fault {
    /// The fault of a `user` that can be no addon.
    pub(super) fn user(user: &[u8], error: NameError) -> Self {
        Fault::User(printable(user, USER_SHOWN_MAX), error)
    }

    /// The kind of refusal that it leads to.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Fault::NoUser | Fault::User(..) => Reason::UnknownName,
            Fault::TooLong(_) => Reason::TooBig,
            _ => Reason::Malformed,
        }
    }
}

/// For the log, and for clients that speak MQTT 5.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Tls => f.write_str("TLS is not served on this port"),
            Fault::FirstByte(byte) => {
                write!(f, "the first byte is 0x{byte:02x}, not that of a CONNECT packet")
            }
            Fault::Length => f.write_str("the packet's length does not end"),
            Fault::TooLong(len) => {
                write!(f, "a CONNECT packet of {len} bytes; {} are allowed", FirstPacket::PACKET_LEN_MAX)
            }
            Fault::Name => f.write_str("the protocol's name is neither MQTT nor MQIsdp"),
            Fault::Version(version) => {
                write!(f, "protocol version {version}; 3.1, 3.1.1 and 5 are spoken here")
            }
            Fault::Layout => {
                f.write_str("the CONNECT packet does not end where its parts do, or has a reserved flag")
            }
            Fault::NoUser => f.write_str("no user name, so no addon is meant"),
            Fault::User(user, error) => write!(f, "no addon named \"{user}\" ({error})"),
        }
    }
}

/// How many bytes of a user that can be no addon are shown.
const USER_SHOWN_MAX: usize = 64;
