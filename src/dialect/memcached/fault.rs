//! What can be wrong with the bytes of a client.

use std::fmt;

use super::FirstRequests;
use super::packet::{AUTH_ERROR, INVALID_ARGUMENTS, TOO_LARGE, UNKNOWN_COMMAND};
use crate::dialect::words::printable;
use crate::dialect::{NameError, Reason};

/// What is wrong with the bytes of a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A ClientHello. TLS ends at no port of the edge; that for it is another listener.
    Tls,
    /// A first byte that is not that of a request; maybe of the text protocol.
    FirstByte(u8),
    /// Extras and key longer than the body they are in.
    Layout,
    /// A request with other parts than it has to have.
    Arguments,
    /// A request that needs a login.
    NoLogin(u8),
    /// More requests without a login than are answered.
    TooMany,
    /// A request longer than one may be before a login: so many bytes.
    TooLong(usize),
    /// Another mechanism than PLAIN, or the second step of a login that has not begun.
    Mechanism,
    /// Something else than PLAIN's three parts.
    Credentials,
    /// An empty user.
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
            Fault::TooMany | Fault::TooLong(_) => Reason::TooBig,
            _ => Reason::Malformed,
        }
    }

    /// The status of the answer: the server's own, where it would answer.
    pub(super) fn status(&self) -> u16 {
        match self {
            Fault::Layout => UNKNOWN_COMMAND,
            Fault::Arguments => INVALID_ARGUMENTS,
            Fault::TooLong(_) => TOO_LARGE,
            _ => AUTH_ERROR,
        }
    }
}

/// For the log and for the client. It begins with the server's own words for the status.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Tls => f.write_str("TLS is not served on this port"),
            Fault::FirstByte(byte) => {
                write!(f, "the first byte is 0x{byte:02x}, not that of a binary request")
            }
            Fault::Layout => f.write_str("Unknown command"),
            Fault::Arguments => f.write_str("Invalid arguments"),
            Fault::NoLogin(opcode) => {
                write!(f, "Auth failure. Request 0x{opcode:02x} needs a login by SASL PLAIN")
            }
            Fault::TooMany => {
                write!(f, "Auth failure. No login in the first {} requests", FirstRequests::REQUESTS_MAX)
            }
            Fault::TooLong(len) => write!(
                f,
                "Too large. A request of {len} bytes; {} are taken before a login",
                FirstRequests::REQUEST_LEN_MAX
            ),
            Fault::Mechanism => f.write_str("Auth failure. Only SASL PLAIN is taken"),
            Fault::Credentials => {
                f.write_str("Auth failure. SASL PLAIN is a NUL, a user, a NUL and a password")
            }
            Fault::NoUser => f.write_str("Auth failure. The user is empty: log in with the addon's name"),
            Fault::User(user, error) => {
                write!(f, "Auth failure. No addon named \"{user}\" ({error}): log in with the addon's name")
            }
        }
    }
}

/// How many bytes of a user that can be no addon are shown.
const USER_SHOWN_MAX: usize = 64;
