//! MongoDB. In: the first message of a client. Out: the addon that is meant, the message to replay, or the answer
//! of a failed command.
//!
//! The client speaks first, nothing is answered before it is known whom it means, and what it has sent is replayed as
//! it came. Known differences to a server: a first command that says no name is refused, where a server would answer
//! it; and so is a first message of more than 16 KiB, which no driver sends.

pub(crate) mod bson;
mod fault;
mod login;
pub(crate) mod message;
mod refusal;

use bytes::{Bytes, BytesMut};

use self::fault::Fault;
use self::message::Header;
use super::{Dialect, Identified, Opening, Protocol, Recognised, Refusal, Step};

/// Reads the first message of a connection.
#[derive(Debug, Default)]
pub struct FirstMessage {
    /// What the client waits for the answer of, once its header is there.
    asked: Option<Header>,
    /// What was wrong with the client's bytes, once something was.
    fault: Option<Fault>,
}

impl FirstMessage {
    /// The dialect of one fresh connection.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Dialect for FirstMessage {
    fn protocol(&self) -> Protocol {
        Protocol::Mongodb
    }

    fn step(&mut self, input: &mut BytesMut) -> Step {
        self.read(input).unwrap_or_else(|fault| {
            let refusal = Refusal::new(fault.reason(), fault.to_string());
            self.fault = Some(fault);
            Step::Refuse(refusal)
        })
    }

    fn refuse(&self, refusal: &Refusal) -> Bytes {
        refusal::bytes(self.asked, self.fault.as_ref(), refusal)
    }

    fn identify_bytes_max(&self) -> usize {
        MESSAGE_LEN_MAX
    }
}

impl FirstMessage {
    fn read(&mut self, input: &mut BytesMut) -> Result<Step, Fault> {
        let Some(header) = Header::parse(input)? else { return Ok(Step::NeedMore) };
        self.asked = Some(header);
        if header.len > MESSAGE_LEN_MAX {
            return Err(Fault::TooLong(header.len));
        }
        if input.len() < header.len {
            return Ok(Step::NeedMore);
        }
        let login = login::login(message::command(header.family, &input[..header.len])?)?;
        let replay = input.split_to(header.len).freeze();
        Ok(Step::Identified(Identified::new(login, Opening::Replay(replay))))
    }
}

/// Whether these are the first bytes of a short message, up to its opcode. A longer one, which no driver begins with,
/// is understood where MongoDB alone is spoken: its length could be other protocols' first bytes.
pub fn recognise(first: &[u8]) -> Recognised {
    if !matches!(first, [] | [_] | [_, ..8] | [_, ..8, 0] | [_, ..8, 0, 0, ..]) {
        return Recognised::NotMine;
    }
    match Header::parse(first) {
        Ok(None) => Recognised::NeedMore,
        Ok(Some(_)) => Recognised::Mine,
        Err(_) => Recognised::NotMine,
    }
}

/// The longest first message. Real ones have 280 to 650 bytes: what a driver tells about itself is limited to 512.
const MESSAGE_LEN_MAX: usize = 16 * 1024;
