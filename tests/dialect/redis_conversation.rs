//! Talks to the Redis dialect as a client would: chunk by chunk, however the network cuts them. Shared by the
//! property tests and the fuzz target.

use bytes::BytesMut;

use crate::cuts::{ends, reasons, reference};
use crate::dialect::redis::FirstCommands;
use crate::dialect::{Dialect, Opening, Reason, Refusal, Step};

/// The promise about a client's bytes: however they are cut, the outcome is that of one byte at a time.
pub fn check_opening(stream: &[u8], cuts: &[usize]) {
    assert_eq!(converse(stream, cuts), converse(stream, &reference(stream)));
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
    Identified {
        login: String,
        replay: Vec<u8>,
        surplus: Vec<u8>,
    },
    Refused {
        reason: Reason,
        detail: String,
        said: Vec<u8>,
        surplus: Vec<u8>,
    },
    Closed,
}

/// Feeds `stream` in chunks that end at `cuts` (in any order, any may lie outside).
pub fn converse(stream: &[u8], cuts: &[usize]) -> Outcome {
    let mut dialect = FirstCommands::new();
    let mut input = BytesMut::new();
    let mut replies = vec![];
    let mut answered = 0;
    assert!(matches!(dialect.step(&mut input), Step::NeedMore), "nothing said, nothing decided");
    let mut fed = 0;
    for end in ends(stream, cuts) {
        input.extend_from_slice(&stream[fed..end]);
        fed = end;
        let behind = |input: &BytesMut| [input, &stream[fed..]].concat();
        loop {
            match dialect.step(&mut input) {
                Step::NeedMore => break,
                Step::Reply(bytes) => {
                    assert_line(&bytes);
                    replies.extend(bytes);
                    answered += 1;
                    assert!(answered <= FirstCommands::COMMANDS_MAX + 1, "16 commands and a good-bye");
                }
                Step::Identified(found) => {
                    let role = found.login.role.map(|role| format!(".{role}")).unwrap_or_default();
                    let login = format!("{}{role}", found.login.name);
                    let Opening::Replay(replay) = found.opening else { panic!("{:?}", found.opening) };
                    let replay = replay.to_vec();
                    let end = End::Identified { login, replay, surplus: behind(&input) };
                    go_on_though_refused(&dialect, &behind(&input));
                    return Outcome { replies, end };
                }
                Step::Refuse(refusal) => {
                    refuse_in_every_way(&dialect, stream);
                    let said = dialect.refuse(&refusal).to_vec();
                    go_on_though_refused(&dialect, &behind(&input));
                    let Refusal { reason, detail, .. } = refusal;
                    let end = End::Refused { reason, detail, said, surplus: behind(&input) };
                    return Outcome { replies, end };
                }
                Step::Become(other) => panic!("{other:?}"),
                Step::Close => return Outcome { replies, end: End::Closed },
                Step::Cancel(_) => panic!("Redis knows no such thing"),
            }
        }
    }
    refuse_in_every_way(&dialect, stream);
    Outcome { replies, end: End::Open }
}

/// Whatever the reason, the client gets nothing, an alert, or one line of error.
fn refuse_in_every_way(dialect: &FirstCommands, stream: &[u8]) {
    for &reason in reasons(stream) {
        let said = dialect.refuse(&Refusal::new(reason, "\u{1b}why\r\n"));
        if !said.is_empty() && said != b"\x15\x03\x03\x00\x02\x02\x28"[..] {
            assert_line(&said);
            assert_eq!(said[0], b'-');
            assert!(said[..said.len() - 2].iter().all(|byte| matches!(byte, b' '..=b'~')), "{said:?}");
        }
    }
}

/// A refused client that goes on talking gets one line for each command, as long as it sends commands, and each
/// the same.
fn go_on_though_refused(dialect: &FirstCommands, stream: &[u8]) {
    for &reason in reasons(stream) {
        let refusal = Refusal::new(reason, "");
        let words = dialect.refuse(&refusal);
        let mut input = BytesMut::from(stream);
        if let Some(answers) = dialect.answer_refused(&refusal, &mut input) {
            assert!(stream.ends_with(&input), "only whole commands are taken off");
            assert!(words.is_empty() || answers.len() % words.len() == 0);
            assert!(words.is_empty() || answers.chunks(words.len()).all(|answer| answer == words));
        }
    }
}

fn assert_line(bytes: &[u8]) {
    let text = bytes.strip_suffix(b"\r\n").expect("a line");
    assert!(
        matches!(text.first(), Some(b'+' | b'-')) && text.iter().all(|byte| !matches!(byte, b'\r' | b'\n'))
    );
}
