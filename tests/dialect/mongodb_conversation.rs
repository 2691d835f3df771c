//! Talks to the MongoDB dialect as a client would: chunk by chunk, however the network cuts them. Shared by the
//! property tests and the fuzz target.

use bytes::BytesMut;

use crate::cuts::{ends, reasons, reference};
use crate::dialect::mongodb::FirstMessage;
use crate::dialect::{Dialect, Opening, Reason, Refusal, Step};

/// The promise about a client's bytes: however they are cut, the outcome is that of one byte at a time.
pub fn check_first_message(stream: &[u8], cuts: &[usize]) {
    assert_eq!(converse(stream, cuts), converse(stream, &reference(stream)));
}

/// What became of a client, in a form that can be compared.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It said too little to be judged.
    Open,
    /// It means `login`, and the backend is sent so many of its bytes, as they came.
    Identified { login: String, replayed: usize },
    /// It is told this.
    Refused { reason: Reason, detail: String, said: Vec<u8> },
}

/// Feeds `stream` in chunks that end at `cuts` (in any order, any may lie outside).
pub fn converse(stream: &[u8], cuts: &[usize]) -> Outcome {
    let (mut dialect, mut input, mut fed) = (FirstMessage::new(), BytesMut::new(), 0);
    for end in ends(stream, cuts) {
        input.extend_from_slice(&stream[fed..end]);
        fed = end;
        match dialect.step(&mut input) {
            Step::NeedMore => assert!(fed < dialect.identify_bytes_max(), "the limit is kept"),
            Step::Identified(found) => {
                let Opening::Replay(replay) = found.opening else { panic!("{:?}", found.opening) };
                assert_eq!([&replay, &input[..]].concat(), stream[..fed], "every byte, in order");
                refuse_in_every_way(&dialect, stream);
                let role = found.login.role.map(|role| format!(".{role}")).unwrap_or_default();
                let login = format!("{}{role}", found.login.name);
                return Outcome::Identified { login, replayed: replay.len() };
            }
            Step::Refuse(refusal) => {
                refuse_in_every_way(&dialect, stream);
                let said = dialect.refuse(&refusal).to_vec();
                return Outcome::Refused { reason: refusal.reason, detail: refusal.detail, said };
            }
            other => panic!("nothing is answered before a name: {other:?}"),
        }
    }
    refuse_in_every_way(&dialect, stream);
    Outcome::Open
}

/// Whatever the reason, the client gets nothing, an alert, a page, or the answer to its message.
fn refuse_in_every_way(dialect: &FirstMessage, stream: &[u8]) {
    for &reason in reasons(stream) {
        let said = dialect.refuse(&Refusal::new(reason, "\u{1b}why\r\n"));
        if said.is_empty() || said.starts_with(b"\x15\x03") || said.starts_with(b"HTTP/1.0 200 OK\r\n") {
            continue;
        }
        assert!(!errmsg(stream, &said).is_empty());
    }
}

/// The text in an answer, which must be one to the message at the front of `stream`.
pub fn errmsg(stream: &[u8], answer: &[u8]) -> String {
    let word =
        |bytes: &[u8], at: usize| i32::from_le_bytes(bytes[at..at + 4].try_into().expect("four bytes"));
    assert_eq!((word(answer, 0) as usize, word(answer, 8)), (answer.len(), word(stream, 4)));
    let document = match (word(stream, 12), word(answer, 12)) {
        (2013, 2013) => &answer[21..],
        (2004, 1) => &answer[36..],
        other => panic!("an answer to another kind of message: {other:?}"),
    };
    assert_eq!(word(document, 0) as usize, document.len());
    let text = document[4..].strip_prefix(b"\x01ok\0\0\0\0\0\0\0\0\0\x02errmsg\0").expect("a failure");
    let len = word(text, 0) as usize;
    let (text, behind) = text[4..].split_at(len);
    assert!(behind.starts_with(b"\x10code\0") && behind[10..].starts_with(b"\x02codeName\0"));
    assert!(behind.ends_with(b"\0\0") && text.ends_with(b"\0"));
    let text = String::from_utf8(text[..len - 1].to_vec()).expect("UTF-8");
    assert!(text.bytes().all(|byte| matches!(byte, b' '..=b'~')), "{text:?}");
    text
}
