//! What can be wrong with the bytes of a client, and the server's words for it.

use std::fmt;

use super::refusal::{BAD_HANDSHAKE, Error, TOO_BIG, access_denied};
use crate::dialect::words::printable;
use crate::dialect::{NameError, Reason};

/// What is wrong with the bytes of a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A packet with another number than the one that follows the greeting: another protocol, most often.
    OutOfOrder(u8),
    /// A packet that claims to be so long.
    Length(usize),
    /// A field that is not all there, or is not what it should be.
    Layout(&'static str),
    /// A request for TLS, which was not offered.
    Tls,
    /// The response of a client from before 4.1.
    Protocol320,
    /// A client that hashes passwords as before 4.1.
    OldPassword,
    /// No user, or an empty one.
    NoUser,
    /// A user that can be no addon, fit to be shown.
    User(String, NameError),
}

impl Fault {
    /// The fault of a `user` that can be no addon.
    pub(super) fn user(user: &[u8], error: NameError) -> Self {
        match user {
            [] => Fault::NoUser,
            user => Fault::User(printable(user, USER_SHOWN_MAX), error),
        }
    }

    /// The kind of refusal that it leads to.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Fault::NoUser | Fault::User(..) => Reason::UnknownName,
            Fault::Length(_) => Reason::TooBig,
            _ => Reason::Malformed,
        }
    }

    /// What the client is told.
    pub(super) fn error(&self) -> Error {
        match self {
            Fault::OutOfOrder(_) => OUT_OF_ORDER.with(""),
            Fault::Length(_) => TOO_BIG.with("before the log-in"),
            Fault::Tls => BAD_HANDSHAKE.with(
                "TLS was asked for, which this server does not offer. Connect without it (--skip-ssl, ssl-mode=DISABLED).",
            ),
            Fault::OldPassword => OLD_PASSWORD.with(""),
            Fault::Layout(_) | Fault::Protocol320 => BAD_HANDSHAKE.with(&self.to_string()),
            Fault::NoUser => access_denied("", "no user name"),
            Fault::User(user, error) => {
                access_denied(user, &format!("no addon has that name, and none can: {error}"))
            }
        }
    }
}

/// For the log.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::OutOfOrder(sequence) => write!(f, "packet {sequence} where packet 1 is due"),
            Fault::Length(len) => write!(f, "a packet of {len} bytes before the log-in"),
            Fault::Layout(what) => write!(f, "{what}"),
            Fault::Tls => f.write_str("TLS was asked for, which is not offered"),
            Fault::Protocol320 => f.write_str("the client is older than MySQL 4.1"),
            Fault::OldPassword => f.write_str("the client hashes passwords as before MySQL 4.1"),
            Fault::NoUser => f.write_str("no user name"),
            Fault::User(user, error) => write!(f, "no addon can be named \"{user}\": {error}"),
        }
    }
}

const OUT_OF_ORDER: Error = Error::new(1156, "08S01", "Got packets out of order");
const OLD_PASSWORD: Error = Error::new(
    1251,
    "08004",
    "Client does not support authentication protocol requested by server; consider upgrading MySQL client",
);

/// How many bytes of a user that can be no addon are shown.
const USER_SHOWN_MAX: usize = 64;
