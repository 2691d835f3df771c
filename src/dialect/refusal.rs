//! Why clients are not served, as every dialect is told it.

use super::Name;

/// Why a client is not served. The dialect turns it into an error of its protocol.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The kind of refusal: decides the error code and the metric's label.
    pub reason: Reason,
    /// The addon's name, where one is known.
    pub name: Option<Name>,
    /// What exactly happened, for the person who reads the client's error message. May be empty.
    pub detail: String,
}

impl Refusal {
    /// A refusal before any name is known.
    pub fn new(reason: Reason, detail: impl Into<String>) -> Self {
        Refusal { reason, name: None, detail: detail.into() }
    }

    /// A refusal of a connection to `name`.
    pub fn of(name: &Name, reason: Reason, detail: impl Into<String>) -> Self {
        Refusal { reason, name: Some(name.clone()), detail: detail.into() }
    }
}

/// The kinds of refusal; each is a label of `pierhead_refused_total{reason}`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// No such addon, or a name that can be none.
    UnknownName,
    /// The addon exists and is being provisioned or started.
    Starting,
    /// The addon exists and is stopped.
    Stopped,
    /// The addon should be there but did not accept a connection within the dial deadline.
    Unreachable,
    /// The addon's connection limit, or the edge's, is reached.
    TooManyConnections,
    /// The client's bytes are not this protocol.
    Malformed,
    /// The client did not say who is meant in time.
    TooSlow,
    /// The client sent more than the limit before saying who is meant.
    TooBig,
    /// Encryption was asked for in a way that could be an injection (bytes sent behind the request).
    PlaintextInjection,
    /// Pierhead is shutting down.
    Draining,
}

impl Reason {
    /// Every reason, in the order of the metric's labels.
    pub const ALL: [Reason; 10] = [
        Reason::UnknownName,
        Reason::Starting,
        Reason::Stopped,
        Reason::Unreachable,
        Reason::TooManyConnections,
        Reason::Malformed,
        Reason::TooSlow,
        Reason::TooBig,
        Reason::PlaintextInjection,
        Reason::Draining,
    ];

    /// The metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Reason::UnknownName => "unknown_name",
            Reason::Starting => "starting",
            Reason::Stopped => "stopped",
            Reason::Unreachable => "unreachable",
            Reason::TooManyConnections => "too_many_connections",
            Reason::Malformed => "malformed",
            Reason::TooSlow => "too_slow",
            Reason::TooBig => "too_big",
            Reason::PlaintextInjection => "plaintext_injection",
            Reason::Draining => "draining",
        }
    }
}
