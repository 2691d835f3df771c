//! Talks to the TLS dialect as a client would: chunk by chunk, and record by record. Shared by the property tests and
//! the fuzz target.

use bytes::BytesMut;

use crate::cuts::{ends, reasons, reference};
use crate::dialect::mysql::{self, ConnectionPhase};
use crate::dialect::postgres::Startup;
use crate::dialect::tls::{Alert, Settings, Sni, StartTls};
use crate::dialect::{By, Dialect, Opening, Protocol, Protocols, Reason, Refusal, Step};

/// The promise about a client's bytes: however they are cut, the outcome is that of one byte at a time; and a
/// client that has been let begin TLS by PostgreSQL or by MySQL is understood alike.
pub fn check_hello(stream: &[u8], cuts: &[usize]) {
    let outcome = converse(stream, cuts);
    assert_eq!(outcome, converse(stream, &reference(stream)));
    let inside = |protocol| match &outcome {
        Outcome::Named { name, length, .. } => {
            Outcome::Named { name: name.clone(), by: By::HostOf(protocol), length: *length }
        }
        Outcome::Refused { reason, detail, alert } => {
            Outcome::Refused { reason: *reason, detail: detail.clone(), alert: *alert }
        }
        Outcome::Open => Outcome::Open,
    };
    assert_eq!(converse_after_ssl_request(stream, cuts), inside(Protocol::Postgres));
    assert_eq!(converse_after_mysql_request(stream, cuts), inside(Protocol::Mysql));
}

/// What became of a client, in a form that can be compared.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It said too little to be judged.
    Open,
    /// It named an addon.
    Named { name: String, by: By, length: usize },
    /// It was told this.
    Refused { reason: Reason, detail: String, alert: u8 },
}

/// A client of the TLS dialect, whose `stream` comes in chunks that end at `cuts` (in any order, any may lie outside).
pub fn converse(stream: &[u8], cuts: &[usize]) -> Outcome {
    converse_with(&mut Sni::new(&Settings { zone: None, among: Protocols::named() }), stream, cuts)
}

/// A client of the PostgreSQL dialect that has asked for TLS first.
pub fn converse_after_ssl_request(stream: &[u8], cuts: &[usize]) -> Outcome {
    let mut dialect = Startup::offering(&StartTls::Passthrough(None));
    let mut request = BytesMut::from(&b"\0\0\0\x08\x04\xd2\x16\x2f"[..]);
    assert!(matches!(dialect.step(&mut request), Step::Reply(yes) if yes == "S") && request.is_empty());
    converse_with(&mut dialect, stream, cuts)
}

/// A client of the MySQL dialect that has been greeted and has asked for TLS.
pub fn converse_after_mysql_request(stream: &[u8], cuts: &[usize]) -> Outcome {
    let settings = mysql::Settings::new(None, None, mysql::Random(|_| Ok(())));
    let mut dialect = ConnectionPhase::new(&settings.offering(StartTls::Passthrough(None)));
    assert!(matches!(dialect.step(&mut BytesMut::new()), Step::Reply(_)));
    let head = [&b"\x20\0\0\x01\0\x8a\x08\0"[..], &[0; 28]].concat();
    assert!(matches!(dialect.step(&mut BytesMut::from(&*head)), Step::NeedMore));
    converse_with(&mut dialect, stream, cuts)
}

/// A client of any dialect that expects a ClientHello.
pub fn converse_with(dialect: &mut dyn Dialect, stream: &[u8], cuts: &[usize]) -> Outcome {
    let mut input = BytesMut::new();
    assert!(matches!(dialect.step(&mut input), Step::NeedMore), "nothing said, nothing decided");
    let mut fed = 0;
    for end in ends(stream, cuts) {
        input.extend_from_slice(&stream[fed..end]);
        fed = end;
        match dialect.step(&mut input) {
            Step::NeedMore => assert_eq!(input, stream[..fed], "nothing is taken before it is whole"),
            Step::Identified(found) => {
                let length = fed - input.len();
                assert_eq!(input, stream[length..fed], "what comes behind it stays");
                if let Opening::Replay(replay) = &found.opening {
                    assert_eq!(replay, &stream[..length], "the very bytes");
                }
                let name = found.login.name.to_string();
                return Outcome::Named { name, by: found.by, length };
            }
            Step::Refuse(refusal) => {
                let alert = alert(dialect, &refusal);
                return Outcome::Refused { reason: refusal.reason, detail: refusal.detail, alert };
            }
            other => panic!("{other:?}"),
        }
        assert!(input.len() < dialect.identify_bytes_max(), "more is waited for than a ClientHello can hold");
    }
    for &reason in reasons(stream) {
        alert(dialect, &Refusal::new(reason, ""));
    }
    Outcome::Open
}

/// The alert that a refused client gets, checked for being one.
fn alert(dialect: &dyn Dialect, refusal: &Refusal) -> u8 {
    let said = dialect.refuse(refusal);
    let [21, 3, 3, 0, 2, 2, alert] = said[..] else { panic!("{said:?} is no fatal alert") };
    alert
}

/// A ClientHello of one record, cut into records of `size` bytes.
pub fn in_records(hello: &[u8], size: usize) -> Vec<u8> {
    let record = |part: &[u8]| [&[22, 3, 1][..], &(part.len() as u16).to_be_bytes(), part].concat();
    hello[5..].chunks(size).flat_map(record).collect()
}

/// For assertions.
#[allow(dead_code, reason = "for the property tests")]
pub fn code(alert: Alert) -> u8 {
    alert as u8
}
