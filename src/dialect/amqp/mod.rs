//! RabbitMQ: AMQP 0-9-1, and AMQP 1.0 with SASL, told apart by the header that a client sends first. In: that header and
//! the first frame behind it. Out: the greeting between the two, the addon that is meant, and a handshake with its
//! server that swallows the server's own greeting, to which nothing refers later.
//!
//! Where a choice is left open RabbitMQ decides (`rabbit_reader.erl`, `rabbit_amqp_reader.erl`, and 3.10 asked by the
//! bytes). Known differences: 0-8 is not spoken (nor is it by RabbitMQ 4); PLAIN and AMQPLAIN are the only mechanisms,
//! as the others do not name the user at once; a heartbeat before the login is refused; and where RabbitMQ closes
//! without a word, or with a reset, the client is told why.

mod amqp091;
mod amqp10;
mod fault;
mod login;
mod refusal;

use bytes::{Bytes, BytesMut};

use self::fault::Fault;
use self::refusal::Voice;
use crate::dialect::words::TLS_HANDSHAKE;
use crate::dialect::{Dialect, Greeting, Identified, Login, Opening, Protocol, Recognised, Refusal, Step};

/// Reads a client's header, greets it, and reads the frame that says who it is.
#[derive(Debug, Default)]
pub struct FirstFrames {
    /// What the client speaks, and the header in which it has said so, once that is there.
    header: Option<(Version, Bytes)>,
    /// What the client can understand if it is refused now.
    voice: Voice,
    /// What was wrong with the client's bytes, once something was.
    fault: Option<Fault>,
}

/// What a client can speak.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// AMQP 0-9-1. RabbitMQ takes 0-9 for it.
    V091,
    /// AMQP 1.0 in its SASL layer.
    V10,
}

impl FirstFrames {
    /// The dialect of one fresh connection.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Dialect for FirstFrames {
    fn protocol(&self) -> Protocol {
        Protocol::Amqp
    }

    fn step(&mut self, input: &mut BytesMut) -> Step {
        let step = match &self.header {
            None => self.negotiate(input),
            Some((version, header)) => {
                if !input.is_empty() {
                    self.voice = version.voice();
                }
                version.login(header, input)
            }
        };
        step.unwrap_or_else(|fault| {
            let refusal = Refusal::new(fault.reason(), fault.to_string());
            self.fault = Some(fault);
            Step::Refuse(refusal)
        })
    }

    fn refuse(&self, refusal: &Refusal) -> Bytes {
        refusal::bytes(self.voice, self.fault.as_ref(), refusal)
    }

    /// In AMQP 1.0 an error can have a text only behind the login.
    fn answer_refused(&self, refusal: &Refusal, input: &mut BytesMut) -> Option<Bytes> {
        refusal::go_on(self.voice, self.fault.as_ref(), refusal, input)
    }

    fn identify_bytes_max(&self) -> usize {
        HEADER_LEN + FRAME_LEN_MAX
    }
}

/// Whether these are the first bytes of a protocol header, whatever version it asks for.
pub fn recognise(first: &[u8]) -> Recognised {
    let common = first.len().min(MAGIC.len());
    match first.get(..common) == MAGIC.get(..common) {
        true if common == MAGIC.len() => Recognised::Mine,
        true => Recognised::NeedMore,
        false => Recognised::NotMine,
    }
}

const MAGIC: &[u8] = b"AMQP";

impl FirstFrames {
    /// Reads the header. What no server could agree to is answered with a header that it could, and a close.
    fn negotiate(&mut self, input: &mut BytesMut) -> Result<Step, Fault> {
        if input.len() < HEADER_LEN {
            return Ok(Step::NeedMore);
        }
        let header = input.split_to(HEADER_LEN).freeze();
        let version = match header.strip_prefix(b"AMQP") {
            Some([0, 0, 9, 1] | [1, 1, 0, 9]) => Version::V091,
            Some([PROTOCOL_ID_SASL, 1, 0, 0]) => Version::V10,
            // Without its SASL layer, or in TLS, nobody is named.
            Some([_, 1, 0, 0]) => {
                self.voice = Voice::Header(HEADER_10);
                return Err(Fault::NoSasl);
            }
            other => {
                self.voice = Voice::Header(HEADER_091);
                return Err(match other {
                    Some(version) => Fault::Version(version.to_vec()),
                    None if header[0] == TLS_HANDSHAKE => Fault::Tls,
                    None => Fault::NoHeader,
                });
            }
        };
        self.header = Some((version, header));
        Ok(Step::Reply(version.greeting()))
    }
}

impl Version {
    /// What a server says when it has read the header.
    fn greeting(self) -> Bytes {
        match self {
            Version::V091 => amqp091::start(),
            Version::V10 => amqp10::mechanisms(),
        }
    }

    /// How a client that has said something behind the header is refused.
    fn voice(self) -> Voice {
        match self {
            Version::V091 => Voice::Close,
            Version::V10 => Voice::Outcome,
        }
    }

    /// Reads the frame that says who the client is. It is replayed as it came.
    fn login(self, header: &Bytes, input: &mut BytesMut) -> Result<Step, Fault> {
        let whole = match self {
            Version::V091 => amqp091::frame_len(input)?,
            Version::V10 => amqp10::frame_len(input)?,
        };
        let Some(len) = whole else { return Ok(Step::NeedMore) };
        let frame = input.split_to(len).freeze();
        let (measure, user): (crate::dialect::Measure, _) = match self {
            Version::V091 => (amqp091::measure_start, amqp091::user(&frame)?),
            Version::V10 => (amqp10::measure_mechanisms, amqp10::user(&frame)?),
        };
        let login = Login::parse(user).map_err(|error| Fault::user(user, error))?;
        let greeting = Greeting::new(header.clone(), measure, frame.clone());
        Ok(Step::Identified(Identified::new(login, Opening::Handshake(Box::new(greeting)))))
    }
}

/// The length of a header: "AMQP" and four bytes.
const HEADER_LEN: usize = 8;

/// What a client that speaks something else is told to speak.
const HEADER_091: &[u8; HEADER_LEN] = b"AMQP\0\0\x09\x01";
/// What a client of AMQP 1.0 that has not begun with its SASL layer is told to begin with.
const HEADER_10: &[u8; HEADER_LEN] = b"AMQP\x03\x01\0\0";
const PROTOCOL_ID_SASL: u8 = 3;

/// The longest frame that is taken before it is known who is meant. RabbitMQ takes 4 KiB, from 4.1 on 8 KiB, unless it
/// is told otherwise: a password may be a token.
pub(super) const FRAME_LEN_MAX: usize = 16 * 1024 - HEADER_LEN;

#[cfg(test)]
mod tests;
