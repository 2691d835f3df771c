//! What can be wrong with the bytes of a client, and the server's words for it.

use std::borrow::Cow;
use std::fmt;

use super::refusal::no_addon_named;
use super::refusal::{CLIENT_HINT, INVALID_AUTHORIZATION, LOGIN_HINT, PROTOCOL_VIOLATION, Words};
use super::startup::PACKET_LEN_MAX;
use crate::dialect::words::printable;
use crate::dialect::{NameError, Reason};

/// What is wrong with the bytes of a client.
#[derive(Debug)]
pub(super) enum Fault {
    /// A ClientHello where a packet was expected. TLS is not served on this port yet.
    DirectTls,
    /// A first byte that no packet can have.
    FirstByte(u8),
    /// A packet that is too short or too long.
    Length(u32),
    /// Not protocol 3: the packet's code, which is major and minor version.
    Version(u32),
    /// Parameters that do not end where the packet ends.
    Layout,
    /// No user, or an empty one.
    NoUser,
    /// A user that can be no addon, fit to be shown.
    User(String, NameError),
    /// Bytes behind a request for encryption.
    Injection(Encryption),
}

/// The two kinds of encryption that a client can ask for.
#[derive(Clone, Copy, Debug)]
pub(super) enum Encryption {
    Tls,
    Gss,
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
            Fault::Injection(_) => Reason::PlaintextInjection,
            _ => Reason::Malformed,
        }
    }

    /// Whether the client would not understand an ErrorResponse of protocol 3.
    pub(super) fn is_protocol_2(&self) -> bool {
        matches!(self, Fault::Version(code) if code >> 16 < 3)
    }

    /// What the client is told.
    pub(super) fn words(&self) -> Words<'_> {
        let (sqlstate, hint) = match self {
            Fault::NoUser | Fault::User(..) => (INVALID_AUTHORIZATION, LOGIN_HINT),
            Fault::Version(_) => (FEATURE_NOT_SUPPORTED, CLIENT_HINT),
            Fault::DirectTls => (PROTOCOL_VIOLATION, "Connect with sslnegotiation=postgres."),
            Fault::Injection(_) => {
                (PROTOCOL_VIOLATION, "Wait for the answer to a request for encryption before you send more.")
            }
            Fault::FirstByte(_) | Fault::Length(_) | Fault::Layout => (PROTOCOL_VIOLATION, CLIENT_HINT),
        };
        Words { sqlstate, message: self.message(), detail: self.detail(), hint: hint.into() }
    }

    /// The server's own message, where it has one.
    fn message(&self) -> Cow<'_, str> {
        match self {
            Fault::DirectTls => "direct TLS is not served on this port".into(),
            Fault::FirstByte(_) | Fault::Length(_) => "invalid length of startup packet".into(),
            Fault::Version(code) => {
                let (major, minor) = (code >> 16, code & 0xffff);
                format!("unsupported frontend protocol {major}.{minor}: server supports 3.0 to 3.2").into()
            }
            Fault::Layout => "invalid startup packet layout: expected terminator as last byte".into(),
            Fault::NoUser => "no PostgreSQL user name specified in startup packet".into(),
            Fault::User(user, _) => no_addon_named(user),
            Fault::Injection(Encryption::Tls) => "received unencrypted data after SSL request".into(),
            Fault::Injection(Encryption::Gss) => {
                "received unencrypted data after GSSAPI encryption request".into()
            }
        }
    }

    fn detail(&self) -> Cow<'_, str> {
        match self {
            Fault::FirstByte(byte) => {
                format!("The first byte is 0x{byte:02x}, which no PostgreSQL client sends.").into()
            }
            Fault::Length(len) => {
                format!("The packet claims {len} bytes; 8 to {PACKET_LEN_MAX} are allowed.").into()
            }
            Fault::User(_, error) => format!("It can be none: {error}.").into(),
            Fault::Injection(_) => "This could be either a client-software bug or evidence of an attempted \
                                    man-in-the-middle attack."
                .into(),
            Fault::DirectTls | Fault::Version(_) | Fault::Layout | Fault::NoUser => "".into(),
        }
    }
}

/// For the log: one line, without the hint.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message())?;
        match self.detail() {
            detail if detail.is_empty() => Ok(()),
            detail => write!(f, " ({detail})"),
        }
    }
}

const FEATURE_NOT_SUPPORTED: &str = "0A000";

/// How many bytes of a user that can be no addon are shown.
const USER_SHOWN_MAX: usize = 64;
