//! What can be wrong with the bytes of a client, and the server's words for it.

use std::fmt;

use crate::dialect::words::printable;
use crate::dialect::{NameError, Reason};

/// What is wrong with the bytes of a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A ClientHello. TLS is not served on this port yet.
    Tls,
    /// `POST` or `Host:`: a browser that somebody made talk to this port.
    CrossProtocol,
    /// `*` without a number behind it, or a number that is too large.
    ArrayLength,
    /// More arguments than a client may send before it has logged in.
    TooManyArguments,
    /// Something else than an argument, beginning with this byte.
    NoBulk(u8),
    /// `$` without a number behind it, or a number that is too large.
    BulkLength,
    /// An argument longer than a client may send before it has logged in.
    TooLongArgument,
    /// A line whose quotes do not end, or not at the end of a word.
    Quotes,
    /// A line with a zero byte in it.
    NulByte,
    /// More commands without a login than are answered.
    TooManyCommands,
    /// A password and no user.
    NoUser,
    /// A user that can be no addon, fit to be shown.
    User(String, NameError),
}

impl Fault {
    /// The fault of a user that can be no addon.
    pub(super) fn user(user: &[u8], error: NameError) -> Self {
        Fault::User(printable(user, USER_SHOWN_MAX), error)
    }

    /// The kind of refusal that it leads to.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Fault::NoUser | Fault::User(..) => Reason::UnknownName,
            Fault::TooManyCommands => Reason::TooBig,
            _ => Reason::Malformed,
        }
    }
}

/// For the log; for faults in the form of the bytes these are the server's own words.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self {
            Fault::Tls => return f.write_str("TLS is not served on this port"),
            Fault::CrossProtocol => return f.write_str("an HTTP request, possibly a cross-protocol attack"),
            Fault::TooManyCommands => return f.write_str("no login in the first 16 commands"),
            Fault::NoUser => return f.write_str("a password without the name of an addon"),
            Fault::User(user, error) => return write!(f, "no addon can be named \"{user}\": {error}"),
            Fault::NoBulk(byte) => {
                let shown = if byte.is_ascii_graphic() { char::from(*byte) } else { ' ' };
                return write!(f, "Protocol error: expected '$', got '{shown}'");
            }
            Fault::ArrayLength => "invalid multibulk length",
            Fault::TooManyArguments => "unauthenticated multibulk length",
            Fault::BulkLength => "invalid bulk length",
            Fault::TooLongArgument => "unauthenticated bulk length",
            Fault::Quotes => "unbalanced quotes in request",
            Fault::NulByte => "zero byte in inline request",
        };
        write!(f, "Protocol error: {what}")
    }
}

/// How many bytes of a user that can be no addon are shown.
const USER_SHOWN_MAX: usize = 64;
