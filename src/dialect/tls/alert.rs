//! What a TLS client is told that cannot be served: an alert, which is all that can be said in the clear. RFC 8446
//! §6; the numbers are the same since TLS 1.0.

use bytes::Bytes;

use crate::dialect::{Reason, Refusal};

/// What is wrong with a client's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The alert that says so.
    pub alert: Alert,
    /// The same in words, for the log.
    pub what: &'static str,
}

impl Fault {
    /// A fault that is told by this alert.
    pub const fn new(alert: Alert, what: &'static str) -> Self {
        Fault { alert, what }
    }
}

/// The alerts that are sent, all of them fatal. What OpenSSL calls each is what people see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names of RFC 8446")]
pub enum Alert {
    UnexpectedMessage = 10,
    RecordOverflow = 22,
    IllegalParameter = 47,
    DecodeError = 50,
    ProtocolVersion = 70,
    InternalError = 80,
    MissingExtension = 109,
    UnrecognizedName = 112,
    NoApplicationProtocol = 120,
}

impl Alert {
    /// The alert as a record of its own: `15 0303 0002 02 alert`.
    pub fn record(self) -> Bytes {
        Bytes::copy_from_slice(&[21, 3, 3, 0, 2, 2, self as u8])
    }
}

/// The alert for a refusal that the client's bytes are not to blame for.
pub(super) fn of(refusal: &Refusal) -> Alert {
    match refusal.reason {
        Reason::UnknownName => Alert::UnrecognizedName,
        Reason::Malformed | Reason::PlaintextInjection => Alert::UnexpectedMessage,
        Reason::TooBig => Alert::DecodeError,
        // There is none that says "later".
        Reason::Starting
        | Reason::Stopped
        | Reason::Unreachable
        | Reason::TooManyConnections
        | Reason::TooSlow
        | Reason::Draining => Alert::InternalError,
    }
}
