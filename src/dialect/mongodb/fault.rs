//! What can be wrong with the bytes of a client.

use std::fmt;

use super::bson::NoBson;
use super::message::OP_MSG;
use crate::dialect::words::printable;
use crate::dialect::{NameError, Reason};

/// What is wrong with the bytes of a client.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// A ClientHello. TLS is not served on this port yet.
    Tls,
    /// An HTTP request.
    Http,
    /// An opcode that no conversation begins with.
    Opcode(i32),
    /// A message that is shorter than its header or longer than the server takes.
    Length(i32),
    /// A message that is longer than a client may send before it is known.
    TooLong(usize),
    /// Something that should be BSON.
    NoBson,
    /// An OP_MSG without a command, with two, or with something unknown beside it.
    Sections,
    /// An OP_QUERY for documents.
    NoCommand,
    /// A field that says who is meant, twice. The server refuses that too.
    Twice(&'static str),
    /// A saslSupportedMechs that does not say a database and a user.
    Mechanisms,
    /// A login that its mechanism does not allow, by the mechanism's name.
    Payload(&'static str),
    /// A command, fit to be shown, that says nobody's name.
    Command(String),
    /// No name: this client has neither a login nor an application's name; or a login by this mechanism, which names
    /// no addon.
    Nobody(Option<String>),
    /// A login that can be no addon, fit to be shown.
    Login(String, NameError),
    /// An application's name that can be no addon, fit to be shown, and no login.
    AppName(String, NameError),
    /// Two names, both fit to be shown, and where they stand.
    Disagree([(&'static str, String); 2]),
}

impl Fault {
    /// The kind of refusal that it leads to.
    pub(super) fn reason(&self) -> Reason {
        match self {
            Fault::Command(_)
            | Fault::Nobody(_)
            | Fault::Login(..)
            | Fault::AppName(..)
            | Fault::Disagree(_) => Reason::UnknownName,
            Fault::TooLong(_) => Reason::TooBig,
            _ => Reason::Malformed,
        }
    }
}

impl From<NoBson> for Fault {
    fn from(_: NoBson) -> Self {
        Fault::NoBson
    }
}

/// A text of a client's, fit to be shown.
pub(super) fn shown(text: &[u8]) -> String {
    printable(text, SHOWN_MAX)
}

/// For the log, and for the client without what it should do next.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::Tls => f.write_str("TLS is not served on this port"),
            Fault::Http => f.write_str("an HTTP request"),
            Fault::Opcode(opcode) => write!(f, "opcode {opcode}, expected {OP_MSG} (OP_MSG)"),
            Fault::Length(len) => write!(f, "a message of {len} bytes"),
            Fault::TooLong(len) => {
                write!(f, "a first message of {len} bytes, at most {} are taken", super::MESSAGE_LEN_MAX)
            }
            Fault::NoBson => f.write_str("invalid BSON"),
            Fault::Sections => f.write_str("an OP_MSG without exactly one command"),
            Fault::NoCommand => f.write_str("a query for documents with OP_QUERY"),
            Fault::Twice(field) => write!(f, "BSON field '{field}' is a duplicate field"),
            Fault::Mechanisms => f.write_str("saslSupportedMechs is not DATABASE.USER"),
            Fault::Payload(mechanism) => write!(f, "invalid first message of a {mechanism} login"),
            Fault::Command(command) => write!(f, "the first command, \"{command}\", says no name"),
            Fault::Nobody(None) => f.write_str("neither a login nor appName says a name"),
            Fault::Nobody(Some(mechanism)) => {
                write!(f, "a login by \"{mechanism}\" names no addon, and there is no appName")
            }
            Fault::Login(login, error) => write!(f, "no addon can be named \"{login}\": {error}"),
            Fault::AppName(name, error) => {
                write!(f, "there is no login, and appName \"{name}\" can be no addon's: {error}")
            }
            Fault::Disagree([(one, name), (other, other_name)]) => {
                write!(f, "{one} says \"{name}\" and {other} \"{other_name}\"")
            }
        }
    }
}

/// How many bytes of what a client has said are shown.
const SHOWN_MAX: usize = 64;
