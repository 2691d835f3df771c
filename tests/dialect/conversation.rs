//! Talks to a dialect as a client would: chunk by chunk, however the network cuts them. Shared by the
//! property tests and the fuzz targets.

use bytes::BytesMut;

use crate::cuts::{ends, everywhere, has_words, reasons, reference};
use crate::dialect::postgres::{CancelKey, KeyWatch, Startup, Watched};
use crate::dialect::{Dialect, Opening, Reason, Refusal, Step};

/// The promise about a client's bytes: however they are cut, the outcome is that of one byte at a time. Only
/// what comes along with a request for encryption is another matter: it is refused.
pub fn check_startup(stream: &[u8], cuts: &[usize]) {
    let outcome = converse(stream, cuts, false);
    let requests = request_ends(stream);
    if requests.iter().any(|end| *end < stream.len() && !cuts.contains(end)) {
        let injection = matches!(outcome, Outcome::Refused { reason: Reason::PlaintextInjection, .. });
        assert!(injection, "{outcome:?}");
    } else {
        assert_eq!(outcome, converse(stream, &[reference(stream), requests].concat(), false));
    }
    assert_eq!(converse(stream, cuts, true), converse(stream, &[], true));
}

/// The promise about a backend's answer: the same key, with the chunk that completes it.
pub fn check_watch(stream: &[u8], cuts: &[usize]) {
    let (key, decided) = watch(stream, &everywhere(stream));
    let first_end = |at| cuts.iter().copied().filter(|&end| end >= at && end < stream.len()).min();
    let expected = decided.map(|at| first_end(at).unwrap_or(stream.len()));
    assert_eq!(watch(stream, cuts), (key, expected), "decided at {decided:?}");
}

/// What became of a client, in a form that can be compared.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It said too little to be judged; so many replies were sent.
    Open {
        replies: usize,
    },
    Identified {
        login: String,
        replay: Vec<u8>,
        surplus: Vec<u8>,
    },
    Cancel {
        key: CancelKey,
        packet: Vec<u8>,
        surplus: Vec<u8>,
    },
    Refused {
        reason: Reason,
        detail: String,
        said: Vec<u8>,
    },
    Closed,
}

/// Feeds `stream` in chunks that end at `cuts` (in any order, any may lie outside). With `waits` the client
/// is well-behaved: it sends nothing behind a request for encryption before that is answered.
pub fn converse(stream: &[u8], cuts: &[usize], waits: bool) -> Outcome {
    let mut dialect = Startup::new();
    let mut input = BytesMut::new();
    let mut replies = 0;
    assert!(matches!(dialect.step(&mut input), Step::NeedMore), "nothing said, nothing decided");
    let requests = if waits { request_ends(stream) } else { vec![] };
    let mut fed = 0;
    for end in ends(stream, &[cuts, &requests].concat()) {
        input.extend_from_slice(&stream[fed..end]);
        fed = end;
        let surplus = |input: &BytesMut| [input, &stream[fed..]].concat();
        loop {
            match dialect.step(&mut input) {
                Step::NeedMore => break,
                Step::Reply(bytes) => {
                    assert_eq!(bytes, "N");
                    assert!(input.is_empty(), "a request is answered only when nothing came along with it");
                    replies += 1;
                    assert!(replies <= 2, "each encryption is declined once");
                }
                Step::Identified(found) => {
                    let Opening::Replay(replay) = found.opening else { panic!("{:?}", found.opening) };
                    let role = found.login.role.map(|role| format!(".{role}")).unwrap_or_default();
                    return Outcome::Identified {
                        login: format!("{}{role}", found.login.name),
                        replay: replay.to_vec(),
                        surplus: surplus(&input),
                    };
                }
                Step::Cancel(request) => {
                    refuse_in_every_way(&dialect, stream);
                    return Outcome::Cancel {
                        key: request.key,
                        packet: request.packet.to_vec(),
                        surplus: surplus(&input),
                    };
                }
                Step::Refuse(refusal) => {
                    refuse_in_every_way(&dialect, stream);
                    let said = if has_words(stream) { dialect.refuse(&refusal).to_vec() } else { vec![] };
                    return Outcome::Refused { reason: refusal.reason, detail: refusal.detail, said };
                }
                Step::Become(other) => panic!("{other:?}"),
                Step::Close => return Outcome::Closed,
            }
        }
        assert!(input.len() < 4 + 10_000, "more is waited for than a packet can hold");
        // Behind a packet's header nothing changes before its end.
        if input.len() <= 12 {
            refuse_in_every_way(&dialect, stream);
        }
    }
    Outcome::Open { replies }
}

/// Where the requests for encryption at the start of `stream` end that a server answers.
pub fn request_ends(stream: &[u8]) -> Vec<usize> {
    let mut asked = [false; 2];
    let mut ends = Vec::new();
    let mut at = 0;
    while let Some(header) = stream.get(at..at + 8) {
        let len = u32::from_be_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let code = u32::from_be_bytes([header[4], header[5], header[6], header[7]]);
        let Some(asked) = code.checked_sub(80877103).and_then(|kind| asked.get_mut(kind as usize)) else {
            break;
        };
        if *asked || !(8..=10_004).contains(&len) || stream.len() - at < len {
            break;
        }
        *asked = true;
        at += len;
        ends.push(at);
    }
    ends
}

/// Whatever the reason, the client gets nothing, an alert, or one well-formed error.
fn refuse_in_every_way(dialect: &Startup, stream: &[u8]) {
    for &reason in reasons(stream) {
        let said = dialect.refuse(&Refusal::new(reason, "\u{1b}why\0"));
        let error = said.strip_prefix(b"N").unwrap_or(&said);
        match error.first() {
            None => assert!(said.is_empty()),
            Some(0x15) => assert_eq!(said, &b"\x15\x03\x03\x00\x02\x02\x28"[..]),
            Some(b'E') if error.starts_with(b"EFATAL:  ") => assert!(error.ends_with(b"\n\0")),
            Some(b'E') => {
                assert!(said.len() < 30_000);
                assert_eq!(error[1..5], (error.len() as u32 - 1).to_be_bytes());
                assert!(error[5..].iter().all(|byte| matches!(byte, 0 | b' '..=b'~')));
                assert!(error.starts_with(b"E\0\0") && error[5..].starts_with(b"SFATAL\0VFATAL\0C"));
                assert!(error.ends_with(b"\0\0"));
            }
            Some(other) => panic!("{other}"),
        }
    }
}

/// Shows `stream` to a [`KeyWatch`] in chunks that end at `cuts`. The key, if one is found, and how many bytes
/// had been shown when the watch was over.
pub fn watch(stream: &[u8], cuts: &[usize]) -> (Option<CancelKey>, Option<usize>) {
    let mut ends: Vec<usize> = cuts.iter().copied().filter(|&cut| cut < stream.len()).collect();
    ends.push(stream.len());
    ends.sort_unstable();
    let mut watch = KeyWatch::new();
    let mut shown = 0;
    for end in ends {
        let watched = watch.observe(&stream[shown..end]);
        shown = end;
        let key = match watched {
            Watched::More => continue,
            Watched::Key(key) => Some(key),
            Watched::Done => None,
        };
        assert_eq!(watch.observe(b"K\0\0\0\x0c\0\0\0\x01abcd"), Watched::Done, "over is over");
        return (key, Some(shown));
    }
    (None, None)
}
