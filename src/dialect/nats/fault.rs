//! What can be wrong with the bytes of a client.

use std::fmt;

use crate::dialect::words::{TLS_HANDSHAKE, printable};
use crate::dialect::{NameError, Reason};

/// What is wrong with the bytes of a client.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// A ClientHello. TLS ends at no port of the edge; that for it is another listener.
    Tls,
    /// A first byte with which no `CONNECT` begins.
    NoConnect,
    /// Another verb that begins alike.
    Verb,
    /// Something else than a JSON object behind `CONNECT`, and what is wrong with it.
    Json(String),
    /// Neither a user nor a token.
    NoLogin,
    /// A login by a signature, over what this server would have been asked to be signed.
    Signed,
    /// A token that does not say whose it is.
    Token,
    /// A user that can be no addon, fit to be shown.
    User(String, NameError),
}

impl Fault {
    /// The fault of bytes that begin with another verb than `CONNECT`.
    pub(super) fn verb(bytes: &[u8]) -> Self {
        match bytes.first() {
            Some(&TLS_HANDSHAKE) => Fault::Tls,
            Some(b'C' | b'c') => Fault::Verb,
            _ => Fault::NoConnect,
        }
    }

    /// The fault of JSON that could not be read.
    pub(super) fn json(error: serde_json::Error) -> Self {
        // Its text may quote the client's bytes.
        Fault::Json(printable(error.to_string().as_bytes(), JSON_ERROR_SHOWN_MAX))
    }

    /// The fault of a `user` that can be no addon.
    pub(super) fn user(user: &[u8], error: NameError) -> Self {
        Fault::User(printable(user, USER_SHOWN_MAX), error)
    }

    /// The kind of refusal that it leads to.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Fault::NoLogin | Fault::Signed | Fault::Token | Fault::User(..) => Reason::UnknownName,
            Fault::Tls | Fault::NoConnect | Fault::Verb | Fault::Json(_) => Reason::Malformed,
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Tls => f.write_str("TLS is not served on this port"),
            Fault::NoConnect | Fault::Verb => f.write_str("the first line is no CONNECT"),
            Fault::Json(error) => write!(f, "no JSON object behind CONNECT: {error}"),
            Fault::NoLogin => f.write_str("neither a user nor a token, so no addon is meant"),
            Fault::Signed => f.write_str(
                "a login by nkey, JWT or credentials file signs a number that the server makes up, and which server \
                 is meant is known only afterwards",
            ),
            Fault::Token => f.write_str("the token does not begin with the name of an addon and a colon"),
            Fault::User(user, error) => write!(f, "no addon named \"{user}\" ({error})"),
        }
    }
}

/// How much of a user that can be no addon is shown, and of what the JSON parser says, in bytes.
const USER_SHOWN_MAX: usize = 64;
const JSON_ERROR_SHOWN_MAX: usize = 100;
