//! How the conversation with a backend begins, until both byte streams line up. Sans-IO, as the dialects are.
//!
//! Where the client speaks first the backend is sent what the client has said, and that is all. Where the
//! server speaks first the client was greeted by the edge, so the backend's own greeting has to be swallowed.

use std::fmt;

use bytes::{Buf, Bytes, BytesMut};

use super::Reason;

/// What a backend is sent first, and what becomes of what it says first.
pub enum Opening {
    /// The backend is sent these bytes, and all that it says is for the client.
    Replay(Bytes),
    /// Something is said on both sides that is not for the client.
    Handshake(Box<dyn Handshake>),
}

/// The edge's part in a conversation with a backend that is not for the client.
///
/// When it is [done](HandshakeStep::Done), what the client has sent behind its name goes to the backend, what
/// the backend has sent beyond the handshake goes to the client, and from then on only bytes move.
pub trait Handshake {
    /// A backend has been connected: what it is told before it has said anything. Empty where it speaks
    /// first. Called again when another try is made, with another connection: what was said on the one before
    /// is void.
    fn begin(&mut self) -> Bytes;

    /// Looks at what the backend has sent so far and says what to do next: called when bytes were added to
    /// `input`, and again after each [`HandshakeStep::Send`]. What is consumed is taken off the front of
    /// `input`; what is left in it when the handshake is done goes to the client.
    fn step(&mut self, input: &mut BytesMut) -> HandshakeStep;

    /// How many bytes a backend may send in the handshake.
    fn bytes_max(&self) -> usize {
        64 * 1024
    }
}

/// What a handshake wants done next.
#[derive(Debug, PartialEq, Eq)]
pub enum HandshakeStep {
    /// Nothing to do before more bytes arrive.
    NeedMore,
    /// Write this to the backend, then call [`Handshake::step`] again.
    Send(Bytes),
    /// Both streams line up.
    Done,
    /// The backend is not ready yet, for this reason: as with a refused connection, another try is made until
    /// the dial deadline.
    Retry(String),
    /// The backend will not or cannot serve this client, for this reason. The client is told so in its
    /// protocol's words; a text of the backend's may be in the detail, if it says nothing about the edge.
    Refuse(Reason, String),
}

/// The commonest handshake: the backend may be told something, says one thing, which is swallowed, and is then
/// sent the replay.
pub struct Greeting {
    hello: Bytes,
    measure: Measure,
    replay: Bytes,
    heard: bool,
}

/// How long the greeting at the front of these bytes is: none, if it is not all there yet. An error is a
/// [`HandshakeStep::Retry`] or [`HandshakeStep::Refuse`].
pub type Measure = fn(&[u8]) -> Result<Option<usize>, HandshakeStep>;

impl Greeting {
    /// Tells the backend `hello` (empty where it speaks first), swallows what `measure` measures, and sends
    /// `replay`.
    pub fn new(hello: Bytes, measure: Measure, replay: Bytes) -> Self {
        Greeting { hello, measure, replay, heard: false }
    }
}

impl Handshake for Greeting {
    fn begin(&mut self) -> Bytes {
        self.heard = false;
        self.hello.clone()
    }

    fn step(&mut self, input: &mut BytesMut) -> HandshakeStep {
        if self.heard {
            return HandshakeStep::Done;
        }
        match (self.measure)(input) {
            Ok(None) => HandshakeStep::NeedMore,
            Ok(Some(len)) => {
                input.advance(len.min(input.len()));
                self.heard = true;
                HandshakeStep::Send(self.replay.clone())
            }
            Err(failed) => failed,
        }
    }
}

/// What is replayed may hold passwords, so only its length is shown.
impl fmt::Debug for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Opening::Replay(bytes) => write!(f, "Replay({} bytes)", bytes.len()),
            Opening::Handshake(_) => f.write_str("Handshake"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A greeting is a line.
    fn line(bytes: &[u8]) -> Result<Option<usize>, HandshakeStep> {
        match bytes.first() {
            Some(b'-') => Err(HandshakeStep::Retry("not yet".into())),
            _ => Ok(bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1)),
        }
    }

    #[test]
    fn a_greeting_is_swallowed_wherever_it_is_cut_and_nothing_more() {
        let (greeting, rest) = (b"hello\n", b"and more\n");
        let all = [&greeting[..], rest].concat();
        for cut in 0..all.len() {
            let mut handshake = Greeting::new(Bytes::from_static(b"?"), line, Bytes::from_static(b"replay"));
            let mut input = BytesMut::new();
            // A first try that was lost half-way leaves no trace.
            assert_eq!(handshake.begin(), "?");
            assert_eq!(handshake.step(&mut BytesMut::from("x\n")), HandshakeStep::Send("replay".into()));
            assert_eq!(handshake.begin(), "?");
            input.extend_from_slice(&all[..cut]);
            let mut step = handshake.step(&mut input);
            if cut < greeting.len() {
                assert_eq!(step, HandshakeStep::NeedMore);
                input.extend_from_slice(&all[cut..]);
                step = handshake.step(&mut input);
            }
            assert_eq!(step, HandshakeStep::Send("replay".into()));
            assert_eq!(handshake.step(&mut input), HandshakeStep::Done);
            assert_eq!(input, rest[..rest.len().min(input.len())]);
        }
        let mut handshake = Greeting::new(Bytes::new(), line, Bytes::new());
        assert_eq!(handshake.step(&mut BytesMut::from("-")), HandshakeStep::Retry("not yet".into()));
    }

    #[test]
    fn a_replay_is_not_shown() {
        let opening = Opening::Replay(Bytes::from_static(b"secret"));
        assert_eq!(format!("{opening:?}"), "Replay(6 bytes)");
    }
}
