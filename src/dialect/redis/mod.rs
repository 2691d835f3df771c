//! Redis and Valkey. In: what a client sends first. Out: the addon that is meant, the command to replay, and what
//! a server answers before that.
//!
//! Where a choice is left open redis-server 7.0 decides, asked by the bytes. Known differences: a command other
//! than `AUTH`, `HELLO`, `QUIT` and `RESET` is answered with NOAUTH without a look at its name and arguments; what
//! a server waits for that can only end in an error (a zero byte in a line, a length of 21 digits) is refused at
//! once; and the limits of the edge are there.

mod command;
mod fault;
mod login;
mod refusal;

use bytes::{Buf, Bytes, BytesMut};

use self::fault::Fault;
use self::login::Meaning;
use crate::dialect::words::{LineEnd, TLS_HANDSHAKE};
use crate::dialect::{Dialect, Identified, Opening, Protocol, Recognised, Refusal, Step};

/// Reads commands until one of them says who the client is, and answers the others as a server that wants a
/// password. What is behind the one that does is not looked at: clients pipeline.
#[derive(Debug, Default)]
pub struct FirstCommands {
    /// The client has said something.
    begun: bool,
    /// How many commands have been answered.
    answered: u32,
    /// Of a command on a line that is not whole yet.
    line_end: LineEnd,
    /// The client has said good-bye.
    quit: bool,
    /// What was wrong with the client's bytes, once something was.
    fault: Option<Fault>,
}

impl FirstCommands {
    /// How many commands are answered before a login.
    pub const COMMANDS_MAX: u32 = 16;

    /// The dialect of one fresh connection.
    pub fn new() -> Self {
        Self::default()
    }
}

impl Dialect for FirstCommands {
    fn protocol(&self) -> Protocol {
        Protocol::Redis
    }

    fn step(&mut self, input: &mut BytesMut) -> Step {
        if self.quit {
            return Step::Close;
        }
        self.next(input).unwrap_or_else(|fault| {
            let refusal = Refusal::new(fault.reason(), fault.to_string());
            self.fault = Some(fault);
            Step::Refuse(refusal)
        })
    }

    fn refuse(&self, refusal: &Refusal) -> Bytes {
        refusal::bytes(self.fault.as_ref(), refusal)
    }

    /// A client that could say who it is has often sent more already, and some try again in another way: every
    /// command gets the answer that the first one got.
    fn answer_refused(&self, refusal: &Refusal, input: &mut BytesMut) -> Option<Bytes> {
        if !refusal::may_go_on(refusal) {
            return None;
        }
        let words = self.refuse(refusal);
        let mut answers = BytesMut::new();
        let mut line_end = LineEnd::default();
        while let Some(command) = command::parse(input, &mut line_end).ok()? {
            if !command.args.is_empty() {
                answers.extend_from_slice(&words);
            }
            let len = command.len;
            input.advance(len);
        }
        Some(answers.freeze())
    }

    /// Room for an argument as long as the server takes it, and some commands before it.
    fn identify_bytes_max(&self) -> usize {
        32 * 1024
    }
}

/// Whether these are the first bytes of a client library: an array of strings. Commands on lines, as people type them,
/// could be anything: they are understood where Redis alone is spoken.
pub fn recognise(first: &[u8]) -> Recognised {
    match first {
        [] | [b'*'] => Recognised::NeedMore,
        [b'*', b'0'..=b'9', ..] => Recognised::Mine,
        [..] => Recognised::NotMine,
    }
}

impl FirstCommands {
    /// Looks at the next command that is not empty.
    fn next(&mut self, input: &mut BytesMut) -> Result<Step, Fault> {
        if input.first() == Some(&TLS_HANDSHAKE) && !self.begun {
            return Err(Fault::Tls);
        }
        self.begun |= !input.is_empty();
        loop {
            let Some(command) = command::parse(input, &mut self.line_end)? else { return Ok(Step::NeedMore) };
            let len = command.len;
            if command.args.is_empty() {
                input.advance(len);
                continue;
            }
            let meaning = login::meaning(&command.args);
            // Also where it is refused: its answer is the refusal.
            let sent = input.split_to(len);
            return Ok(match meaning? {
                Meaning::Answer(answer) => {
                    self.answered += 1;
                    if self.answered > Self::COMMANDS_MAX {
                        return Err(Fault::TooManyCommands);
                    }
                    Step::Reply(Bytes::from(answer.into_owned()))
                }
                Meaning::Quit => {
                    self.quit = true;
                    Step::Reply(Bytes::from_static(b"+OK\r\n"))
                }
                Meaning::Login { login, rewritten } => {
                    let replay = rewritten.unwrap_or_else(|| sent.freeze());
                    Step::Identified(Identified::new(login, Opening::Replay(replay)))
                }
            });
        }
    }
}
