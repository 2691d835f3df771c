//! Talks to a dialect as a client would: chunk by chunk, however the network cuts them. Shared by the property tests and
//! the fuzz targets of the dialects that only look at a client's first words: AMQP, NATS, MQTT, memcached.

#![allow(dead_code, reason = "each test file uses one of them")]

use std::iter;

use bytes::{Bytes, BytesMut};

use crate::cuts::{ends, reasons, reference, repeat};
use crate::dialect::{Dialect, HandshakeStep, Opening, Reason, Refusal, Step};

/// A dialect, and what must be true of it whatever it is told.
pub struct Subject {
    pub new: fn() -> Box<dyn Dialect>,
    /// What a server that is told this first says that is not for the client; then it is told something more.
    pub greeting: fn(hello: &[u8]) -> &'static [u8],
    /// Whether these bytes are a whole answer, reply or refusal, of the protocol.
    pub is_answer: fn(&[u8]) -> bool,
    /// How many bytes may wait for more.
    pub waiting_max: usize,
}

/// What became of a client, in a form that can be compared.
#[derive(Debug, PartialEq, Eq)]
pub struct Outcome {
    /// What it was told before the end, if there was one.
    pub replies: Vec<u8>,
    pub end: End,
}

#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// It said too little to be judged.
    Open,
    /// What the server is told, in turns, and what comes behind it.
    Identified {
        login: String,
        told: Vec<Vec<u8>>,
        surplus: Vec<u8>,
    },
    Refused {
        reason: Reason,
        detail: String,
        said: Vec<u8>,
    },
    Closed,
}

impl Subject {
    /// The promise about a client's bytes: however they are cut, the outcome is that of one byte at a time.
    pub fn check(&self, stream: &[u8], cuts: &[usize]) {
        assert_eq!(self.converse(stream, cuts), self.converse(stream, &reference(stream)));
    }

    /// Feeds `stream` in chunks that end at `cuts` (in any order, any may lie outside).
    pub fn converse(&self, stream: &[u8], cuts: &[usize]) -> Outcome {
        let mut dialect = (self.new)();
        let mut input = BytesMut::new();
        let mut replies = vec![];
        let mut fed = 0;
        // Before it has said anything, it may be greeted.
        for end in iter::once(0).chain(ends(stream, cuts)) {
            input.extend_from_slice(&stream[fed..end]);
            fed = end;
            loop {
                match dialect.step(&mut input) {
                    Step::NeedMore => break,
                    Step::Reply(bytes) => {
                        assert!((self.is_answer)(&bytes), "{bytes:?}");
                        replies.extend(bytes);
                    }
                    Step::Identified(found) => {
                        let role = found.login.role.map(|role| format!(".{role}")).unwrap_or_default();
                        let login = format!("{}{role}", found.login.name);
                        let surplus = [&input, &stream[fed..]].concat();
                        self.refuse_in_every_way(dialect.as_ref(), stream);
                        let end = End::Identified { login, told: self.open(found.opening), surplus };
                        return Outcome { replies, end };
                    }
                    Step::Refuse(refusal) => {
                        self.refuse_in_every_way(dialect.as_ref(), stream);
                        let said = dialect.refuse(&refusal).to_vec();
                        let end = End::Refused { reason: refusal.reason, detail: refusal.detail, said };
                        return Outcome { replies, end };
                    }
                    Step::Close => return Outcome { replies, end: End::Closed },
                    Step::Cancel(_) => panic!("only PostgreSQL has this"),
                    Step::Become(other) => panic!("{other:?}"),
                }
            }
            assert!(input.len() <= self.waiting_max.max(stream.len()), "nothing is waited for in vain");
        }
        self.refuse_in_every_way(dialect.as_ref(), stream);
        Outcome { replies, end: End::Open }
    }

    /// What a server is told that greets as it should. A greeting and an answer that come together stay apart.
    fn open(&self, opening: Opening) -> Vec<Vec<u8>> {
        let mut handshake = match opening {
            Opening::Replay(bytes) => return vec![bytes.to_vec()],
            Opening::Handshake(handshake) => handshake,
        };
        let hello = handshake.begin();
        let mut server = BytesMut::from(&[(self.greeting)(&hello), b"answer"].concat()[..]);
        let HandshakeStep::Send(replay) = handshake.step(&mut server) else {
            panic!("a greeting is an answer")
        };
        assert_eq!(handshake.step(&mut server), HandshakeStep::Done);
        assert_eq!(server, &b"answer"[..]);
        vec![hello.to_vec(), replay.to_vec()]
    }

    /// Whatever the reason, the client gets nothing, an alert, or a whole answer.
    fn refuse_in_every_way(&self, dialect: &dyn Dialect, stream: &[u8]) {
        let alert = Bytes::from_static(b"\x15\x03\x03\x00\x02\x02\x28");
        for &reason in reasons(stream) {
            let said = dialect.refuse(&Refusal::new(reason, "\u{1b}why'\r\n\0".repeat(repeat(stream))));
            assert!(said.is_empty() || said == alert || (self.is_answer)(&said), "{said:?}");
        }
    }
}

/// AMQP 0-9-1 and 1.0: a header, the greeting, and one frame.
pub fn amqp() -> Subject {
    Subject {
        new: || Box::new(crate::dialect::amqp::FirstFrames::new()),
        greeting: |hello| match hello {
            [b'A', b'M', b'Q', b'P', 3, ..] => include_bytes!("../corpus/amqp/server-3.10.mechanisms.bin"),
            _ => include_bytes!("../corpus/amqp/server-3.10.start.bin"),
        },
        is_answer: |bytes| match bytes {
            b"AMQP\0\0\x09\x01" | b"AMQP\x03\x01\0\0" => true,
            // Connection.Start, or Connection.Close.
            [1, 0, 0, a, b, c, d, 0, 10, 0, 10 | 50, .., 0xce] => is_len(bytes.len() - 8, [a, b, c, d]),
            // sasl-outcome; sasl-mechanisms with the header in front.
            [a, b, c, d, 2, 1, 0, 0, 0, 0x53, 0x44, ..] => is_len(bytes.len(), [a, b, c, d]),
            [b'A', b'M', b'Q', b'P', 3, 1, 0, 0, a, b, c, d, 2, 1, 0, 0, 0, 0x53, 0x40, ..] => {
                is_len(bytes.len() - 8, [a, b, c, d])
            }
            _ => false,
        },
        waiting_max: 16 * 1024,
    }
}

fn is_len(len: usize, said: [&u8; 4]) -> bool {
    len == u32::from_be_bytes(said.map(|byte| *byte)) as usize
}

/// NATS: one line, with the server's greeting in between.
pub fn nats() -> Subject {
    Subject {
        new: || Box::new(crate::dialect::nats::FirstLine::new(Default::default())),
        greeting: |_| b"INFO {\"server_id\":\"x\",\"auth_required\":true} \r\n",
        is_answer: |bytes| {
            let Some(line) = bytes.strip_suffix(b"\r\n") else { return false };
            let quoted = |text: &[u8]| text.ends_with(b"'") && !text[..text.len() - 1].contains(&b'\'');
            let known = line.starts_with(b"INFO {") || line.strip_prefix(b"-ERR '").is_some_and(quoted);
            known && line.len() < 4096 && line.iter().all(|byte| matches!(byte, b' '..=b'~'))
        },
        waiting_max: 16 * 1024,
    }
}

/// MQTT: one packet.
pub fn mqtt() -> Subject {
    Subject {
        new: || Box::new(crate::dialect::mqtt::FirstPacket::new()),
        greeting: |_| b"",
        is_answer: |bytes| match bytes {
            [0x20, 2, 0, 1 | 3 | 5] => true,
            [0x20, low, rest @ ..] if low & 0x80 == 0 => is_connack_5(rest, usize::from(*low)),
            [0x20, low, high, rest @ ..] => {
                is_connack_5(rest, usize::from(low & 0x7f) | usize::from(*high) << 7)
            }
            _ => false,
        },
        waiting_max: crate::dialect::mqtt::FirstPacket::PACKET_LEN_MAX,
    }
}

/// No session, a failure, no property or a reason string alone.
fn is_connack_5(body: &[u8], len: usize) -> bool {
    let text = match body {
        [0, 0x80..=0xff, 0] => return len == 3,
        [0, 0x80..=0xff, len, 0x1f, text @ ..] if len & 0x80 == 0 => text,
        [0, 0x80..=0xff, _, _, 0x1f, text @ ..] => text,
        _ => return false,
    };
    let is_whole = |text: &[u8]| match text {
        [high, low, text @ ..] => text.len() == usize::from(*high) << 8 | usize::from(*low),
        _ => false,
    };
    body.len() == len && is_whole(text)
}

/// memcached: requests of the binary protocol.
pub fn memcached() -> Subject {
    Subject {
        new: || Box::new(crate::dialect::memcached::FirstRequests::new()),
        greeting: |_| b"\x81\x21\0\0\0\0\0\x21\0\0\0\x04\0\0\0\0\0\0\0\0\0\0\0\0more",
        is_answer: |bytes| match bytes {
            [0x81, _, 0, 0, 0, 0, _, _, a, b, c, d, rest @ ..] => is_len(rest.len() - 12, [a, b, c, d]),
            _ => bytes.starts_with(b"CLIENT_ERROR ") && bytes.ends_with(b"\r\n"),
        },
        waiting_max: crate::dialect::memcached::FirstRequests::REQUEST_LEN_MAX,
    }
}
