//! TLS by server name: the client's first message says in the clear which host it means, and everything behind it
//! is passed through encrypted. The certificate is the container's, and nothing is ever decrypted here.
//!
//! In: a ClientHello, in any number of segments and records. Out: the addon that is meant, and the very bytes for
//! its container; or an alert.

mod alert;
mod hello;
mod zone;

use bytes::{Bytes, BytesMut};

pub use self::alert::{Alert, Fault};
pub use self::hello::{ClientHello, HelloReader};
pub use self::zone::Zone;
use super::{
    By, Dialect, Identified, Login, Name, Opening, Protocol, Protocols, Reason, Recognised, Refusal, Step,
    postgres, words::TLS_HANDSHAKE,
};

/// What a listener says about its TLS.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Where addons have their host names; none: the first label of any host name is the addon.
    pub zone: Option<Zone>,
    /// What the addons speak that may be reached.
    pub among: Protocols,
}

/// What becomes of clients that ask for TLS inside another protocol.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum StartTls {
    /// They are told that there is none.
    #[default]
    Off,
    /// They are led by host name, and passed through.
    Passthrough(Option<Zone>),
}

impl StartTls {
    /// The gate for one connection, if TLS is offered.
    pub fn gate(&self) -> Option<Gate> {
        match self {
            StartTls::Off => None,
            StartTls::Passthrough(zone) => Some(Gate::new(zone.clone())),
        }
    }
}

/// The dialect of a port where TLS is spoken from the first byte.
#[derive(Debug)]
pub struct Sni {
    gate: Gate,
    among: Protocols,
}

impl Sni {
    /// The dialect of one fresh connection.
    pub fn new(settings: &Settings) -> Self {
        Sni { gate: Gate::new(settings.zone.clone()), among: settings.among }
    }
}

impl Dialect for Sni {
    fn protocol(&self) -> Protocol {
        Protocol::Tls
    }

    fn step(&mut self, input: &mut BytesMut) -> Step {
        let (name, hello) = match self.gate.step(input) {
            Ok(None) => return Step::NeedMore,
            Ok(Some(passed)) => passed,
            Err(refusal) => return Step::Refuse(refusal),
        };
        let (by, opening) = match hello.speaks {
            // Every server with TLS understands it this way, and those before 17 only this way.
            Some(Protocol::Postgres) => (By::HostOf(Protocol::Postgres), postgres::open_tls(hello.bytes)),
            Some(protocol) => (By::Host(Protocols::only(protocol)), Opening::Replay(hello.bytes)),
            None => (By::Host(self.among), Opening::Replay(hello.bytes)),
        };
        let login = Login { name, role: None };
        Step::Identified(Identified { by, ..Identified::new(login, opening) })
    }

    fn refuse(&self, refusal: &Refusal) -> Bytes {
        self.gate.refuse(refusal)
    }

    fn identify_bytes_max(&self) -> usize {
        Gate::BYTES_MAX
    }
}

/// Whether these are the first bytes of a TLS client: a handshake record of TLS 1.0 or later, as even old clients write.
/// With a zero instead it could be the length of a MongoDB client's message.
pub fn recognise(first: &[u8]) -> Recognised {
    match first {
        [] | [TLS_HANDSHAKE] | [TLS_HANDSHAKE, 3] => Recognised::NeedMore,
        [TLS_HANDSHAKE, 3, 1..=4, ..] => Recognised::Mine,
        [..] => Recognised::NotMine,
    }
}

/// Lets TLS clients pass that name an addon. Also for dialects in which a client can ask for TLS.
#[derive(Debug)]
pub struct Gate {
    zone: Option<Zone>,
    reader: HelloReader,
    fault: Option<Fault>,
}

impl Gate {
    /// What a client may send: the longest ClientHello, and room for the headers of its records.
    pub const BYTES_MAX: usize = hello::HELLO_LEN_MAX + 1024;

    /// A gate for one connection.
    pub fn new(zone: Option<Zone>) -> Self {
        Gate { zone, reader: HelloReader::default(), fault: None }
    }

    /// Looks at what the client has sent so far: whom it means, and the ClientHello, which is taken off the front
    /// of `input` once it is whole. Nothing else may take bytes off it in between.
    pub fn step(&mut self, input: &mut BytesMut) -> Result<Option<(Name, ClientHello)>, Refusal> {
        let hello = match self.reader.step(input) {
            Ok(Some(hello)) => hello,
            Ok(None) => return Ok(None),
            Err(fault) => return Err(self.fail(Reason::Malformed, fault)),
        };
        let Some(host) = &hello.server_name else { return Err(self.fail(Reason::UnknownName, NO_NAME)) };
        match Zone::addon(self.zone.as_ref(), host) {
            Ok(name) => Ok(Some((name, hello))),
            Err(error) => {
                let shown = String::from_utf8_lossy(&host[..host.len().min(HOST_SHOWN_MAX)]);
                let detail = format!("the host name {shown:?} means no addon: {error}");
                Err(Refusal::new(Reason::UnknownName, detail))
            }
        }
    }

    /// Refuses the client because of what it has sent.
    pub fn fail(&mut self, reason: Reason, fault: Fault) -> Refusal {
        self.fault = Some(fault);
        Refusal::new(reason, fault.what)
    }

    /// An alert.
    pub fn refuse(&self, refusal: &Refusal) -> Bytes {
        self.fault.map_or_else(|| alert::of(refusal), |fault| fault.alert).record()
    }
}

/// A client that connects to an address rather than a name sends none.
const NO_NAME: Fault = Fault::new(Alert::MissingExtension, "the client names no host (SNI)");

/// How many bytes of a host name that means no addon are logged.
const HOST_SHOWN_MAX: usize = 64;
