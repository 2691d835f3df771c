//! Several dialects on one port: the client's first bytes decide, never its silence. So only protocols can share a
//! port in which the client speaks first.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};

use super::{Dialect, Protocol, Reason, Refusal, Speaks, Step};

/// Whether a client's first bytes belong to a protocol. More bytes never change [`Mine`](Recognised::Mine) or
/// [`NotMine`](Recognised::NotMine), and a few tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Recognised {
    /// They do.
    Mine,
    /// They do not.
    NotMine,
    /// They may.
    NeedMore,
}

/// Looks at a client's first bytes.
pub type Recognise = fn(&[u8]) -> Recognised;

/// A connection that may speak any of several dialects. It becomes the one that recognises its first bytes; where
/// several may, the one that is listed first.
pub struct Undecided {
    choices: Arc<[Speaks]>,
}

impl Undecided {
    /// A fresh connection at a port where these are spoken.
    pub fn new(choices: Arc<[Speaks]>) -> Self {
        Undecided { choices }
    }
}

impl Dialect for Undecided {
    /// The first one: what happens before it is known is counted there.
    fn protocol(&self) -> Protocol {
        self.choices.first().map_or(Protocol::None, Speaks::protocol)
    }

    fn step(&mut self, input: &mut BytesMut) -> Step {
        for choice in self.choices.iter() {
            let recognise = choice.protocol().recognise();
            match recognise.map_or(Recognised::NotMine, |recognise| recognise(input)) {
                Recognised::Mine => return Step::Become(choice.dialect()),
                Recognised::NeedMore => return Step::NeedMore,
                Recognised::NotMine => {}
            }
        }
        let first = &input[..input.len().min(FIRST_SHOWN_MAX)];
        let detail = format!("no protocol of this port begins with \"{}\"", first.escape_ascii());
        Step::Refuse(Refusal::new(Reason::Malformed, detail))
    }

    /// Nothing: whatever is said would be in the wrong language.
    fn refuse(&self, _refusal: &Refusal) -> Bytes {
        Bytes::new()
    }
}

/// How many bytes are logged that no protocol begins with.
const FIRST_SHOWN_MAX: usize = 16;
