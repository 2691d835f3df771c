//! How an addon is named: by a login, a host name, or the port.

use std::fmt;

use super::Protocol;

/// How it is known which addon a client means; and so where the addon is looked for, and at which port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// By its login: an addon that speaks the dialect's protocol.
    Login,
    /// By the host name (SNI) in TLS that has begun inside this protocol: as for a login.
    HostOf(Protocol),
    /// By the host name (SNI) in TLS from the first byte: the only addon of that name that speaks one of these, at
    /// its port for TLS.
    Host(Protocols),
    /// By the port that the client came to: any addon of that name.
    Listener,
}

impl By {
    /// The ways that are counted apart, in the order of the metric's labels.
    pub const METHODS: [&'static str; 3] = ["login", "sni", "listener"];

    /// Which of [`By::METHODS`] it is.
    pub fn method(self) -> usize {
        match self {
            By::Login => 0,
            By::HostOf(_) | By::Host(_) => 1,
            By::Listener => 2,
        }
    }
}

/// A set of protocols.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Protocols(u32);

impl Protocols {
    /// All that addons are named in: not [`Protocol::None`], whose addons are reached at a port of their own.
    pub fn named() -> Self {
        Protocol::ALL.iter().copied().filter(|protocol| *protocol != Protocol::None).collect()
    }

    /// Just this one.
    pub fn only(protocol: Protocol) -> Self {
        Protocols(1 << protocol as u32)
    }

    /// Whether it is one of them.
    pub fn contains(self, protocol: Protocol) -> bool {
        self.0 & Protocols::only(protocol).0 != 0
    }

    /// Each of them, in the order of [`Protocol::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Protocol> {
        Protocol::ALL.iter().copied().filter(move |protocol| self.contains(*protocol))
    }
}

impl FromIterator<Protocol> for Protocols {
    fn from_iter<T: IntoIterator<Item = Protocol>>(protocols: T) -> Self {
        Protocols(protocols.into_iter().fold(0, |set, protocol| set | Protocols::only(protocol).0))
    }
}

impl fmt::Debug for Protocols {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}
