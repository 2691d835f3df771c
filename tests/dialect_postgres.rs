//! The promise: what a PostgreSQL client means does not depend on how the network cuts its bytes, and no
//! bytes at all make the dialect panic, wait for more than a packet, or answer with anything but a
//! well-formed refusal.

#[path = "dialect/conversation.rs"]
mod conversation;
#[path = "dialect/cuts.rs"]
mod cuts;
#[path = "dialect/damage.rs"]
mod damage;

use std::fs;

use bytes::BytesMut;
use conversation::{Outcome, check_startup, check_watch, converse, request_ends, watch};
use cuts::everywhere;
use damage::{damaged, some_cuts};
use pierhead::dialect::postgres::Startup;
use pierhead::dialect::{self, Dialect, Reason, Refusal};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const SSL: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
const GSS: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x30";
const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/postgres");

/// Real clients that mean the addon `blog`, clients that cancel a query, and servers' answers to a log-in.
const LOGINS: [&str; 7] = [
    "psql-15",
    "pg_basebackup-15",
    "psycopg-3.3",
    "psycopg-3.3-protocol-3.2",
    "asyncpg-0.32",
    "node-pg-8.23",
    "postgres-js-3.4",
];
const CANCELS: [(&str, usize); 2] = [("psql-15-cancel", 4), ("psycopg-3.3-protocol-3.2-cancel", 32)];
const ANSWERS: [(&str, usize); 3] =
    [("server-15.answer", 4), ("server-15-protocol-3.2.answer", 4), ("server-18-protocol-3.2.answer", 32)];
const DIRECT_TLS: &str = "psycopg-3.3-direct-tls";

fn corpus(name: &str) -> Vec<u8> {
    fs::read(format!("{CORPUS}/{name}.bin")).expect(name)
}

#[test]
fn every_recording_is_tested() {
    let recorded =
        fs::read_dir(CORPUS).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let tested = LOGINS.len() + CANCELS.len() + ANSWERS.len() + 1;
    assert_eq!(recorded.filter(|name| name.ends_with(".bin")).count(), tested);
}

#[test]
fn real_clients_are_understood_wherever_their_bytes_are_cut() {
    for name in LOGINS {
        let stream = corpus(name);
        let start = request_ends(&stream).last().copied().unwrap_or(0);
        let whole = converse(&stream, &[], true);
        let replay = stream[start..].to_vec();
        assert_eq!(whole, Outcome::Identified { login: "blog".into(), replay, surplus: vec![] }, "{name}");
        for cut in 0..stream.len() {
            assert_eq!(converse(&stream, &[cut], true), whole, "{name} cut at {cut}");
        }
        assert_eq!(converse(&stream, &everywhere(&stream), false), whole, "{name} byte by byte");
    }
}

#[test]
fn real_cancel_requests_are_understood_wherever_they_are_cut() {
    for (name, secret_len) in CANCELS {
        let stream = corpus(name);
        for cut in 0..stream.len() {
            let Outcome::Cancel { key, packet, surplus } = converse(&stream, &[cut], true) else {
                panic!("{name} cut at {cut}");
            };
            assert_eq!((key.secret().len(), surplus.len()), (secret_len, 0));
            assert!(stream.ends_with(&packet) && packet.ends_with(key.secret()));
        }
    }
}

#[test]
fn the_key_is_found_in_what_real_servers_answer() {
    for (name, secret_len) in ANSWERS {
        let stream = corpus(name);
        let (key, end) = watch(&stream, &everywhere(&stream));
        let (key, end) = (key.expect(name), end.expect(name));
        assert_eq!(key.secret().len(), secret_len);
        assert!(stream[..end].ends_with(key.secret()));
        assert_eq!(&stream[end..], b"Z\0\0\0\x05I", "the key comes last before ReadyForQuery");
        for cut in 0..stream.len() {
            assert_eq!(watch(&stream, &[cut]).0.as_ref(), Some(&key), "{name} cut at {cut}");
        }
    }
}

#[test]
fn direct_tls_gets_an_alert_at_its_first_byte() {
    let stream = corpus(DIRECT_TLS);
    let alert = b"\x15\x03\x03\x00\x02\x02\x28".to_vec();
    for end in [1, 2, stream.len()] {
        let outcome = converse(&stream[..end], &[], false);
        assert!(matches!(outcome, Outcome::Refused { reason: Reason::Malformed, said, .. } if said == alert));
    }
}

/// Byte by byte: a client that waits for one byte, or for the end of a cancel request, is told nothing.
#[test]
fn a_refusal_is_said_only_to_who_can_read_it() {
    let cancel = corpus("psql-15-cancel");
    let startup = corpus("node-pg-8.23");
    let too_slow = Refusal::new(Reason::TooSlow, "");
    let speaks = |turns: &[&[u8]]| {
        let mut dialect = Startup::new();
        for turn in turns {
            dialect.step(&mut BytesMut::from(*turn));
        }
        let said = dialect.refuse(&too_slow);
        assert!(said.is_empty() || said.starts_with(b"E"));
        !said.is_empty()
    };
    assert!(!speaks(&[]));
    assert!((0..8).all(|end| !speaks(&[&SSL[..end]]) && !speaks(&[&startup[..end]])));
    assert!((8..startup.len()).all(|end| speaks(&[&startup[..end]])));
    assert!((0..startup.len()).all(|end| speaks(&[SSL, &startup[..end]])));
    assert!((0..=cancel.len()).all(|end| !speaks(&[&cancel[..end]])));
    assert!((8..=cancel.len()).all(|end| !speaks(&[SSL, &cancel[..end]])));
}

#[test]
fn what_comes_along_with_a_request_for_encryption_is_refused() {
    let startup = corpus("node-pg-8.23");
    for (request, what) in [(SSL, "SSL"), (GSS, "GSSAPI encryption")] {
        match converse(&[request, &startup].concat(), &[], false) {
            Outcome::Refused { reason: Reason::PlaintextInjection, said, .. } => {
                let message = format!("C08P01\0Mreceived unencrypted data after {what} request\0D");
                assert!(said.starts_with(b"NE\0\0"));
                assert!(said.windows(message.len()).any(|window| window == message.as_bytes()));
            }
            other => panic!("{other:?}"),
        }
    }
}

/// The server answers protocol 2 in the words and the format of protocol 2 (PostgreSQL 15 and 18 do).
#[test]
fn protocol_2_is_refused_in_its_own_format() {
    match converse(b"\0\0\0\x08\0\x02\0\0", &[], false) {
        Outcome::Refused { said, .. } => {
            assert_eq!(said, b"EFATAL:  unsupported frontend protocol 2.0: server supports 3.0 to 3.2\n\0")
        }
        other => panic!("{other:?}"),
    }
}

fn packet(code: u32, body: &[u8]) -> Vec<u8> {
    [&(body.len() as u32 + 8).to_be_bytes()[..], &code.to_be_bytes(), body].concat()
}

/// Any text of a parameter; `user` now and then, so that several may be named.
fn parameter() -> impl Strategy<Value = [Vec<u8>; 2]> {
    let name = prop_oneof![Just(b"user".to_vec()), Just(b"options".to_vec()), vec(1u8.., 1..20)];
    let value = prop_oneof![Just(b"blog".to_vec()), Just(b"blog.ro".to_vec()), vec(1u8.., 0..40)];
    (name, value).prop_map(|(name, value)| [name, value])
}

fn startup() -> impl Strategy<Value = Vec<u8>> {
    (0u32..=0xffff, vec(parameter(), 0..8)).prop_map(|(minor, parameters)| {
        let mut body: Vec<u8> =
            parameters.iter().flatten().flat_map(|text| [text, &b"\0"[..]].concat()).collect();
        body.push(0);
        packet(0x0003_0000 | minor, &body)
    })
}

fn cancel() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..280).prop_map(|body| packet(80877102, &body))
}

/// Requests for encryption, one packet that matters, and what a client pipelines behind it.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let requests = vec(select(vec![SSL, GSS]), 0..4).prop_map(|requests| requests.concat());
    let packet = prop_oneof![4 => startup(), 1 => cancel(), 1 => (any::<u32>(), vec(any::<u8>(), 0..40)).prop_map(
        |(code, body)| packet(code, &body)
    )];
    (requests, packet, vec(any::<u8>(), 0..60)).prop_map(|(a, b, c)| [a, b, c].concat())
}

fn message() -> impl Strategy<Value = Vec<u8>> {
    let body = prop_oneof![9 => vec(any::<u8>(), 0..300), 1 => vec(any::<u8>(), 0..20_000)];
    (select(b"RSNvKKZE".to_vec()), body)
        .prop_map(|(kind, body)| [&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), &body].concat())
}

proptest! {
    #[test]
    fn the_outcome_does_not_depend_on_the_cuts(stream in damaged(stream()), cuts in some_cuts()) {
        check_startup(&stream, &cuts);
    }

    #[test]
    fn the_last_user_of_a_startup_packet_is_meant(parameters in vec(parameter(), 0..8)) {
        let mut body: Vec<u8> = parameters.iter().flatten().flat_map(|text| [text, &b"\0"[..]].concat()).collect();
        body.push(0);
        let user = parameters.iter().rfind(|[name, _]| name == b"user").map(|[_, user]| user);
        let expected = user.and_then(|user| dialect::Login::parse(user).ok()).map(|login| login.name);
        match converse(&packet(0x0003_0000, &body), &[], false) {
            Outcome::Identified { login, .. } => {
                prop_assert_eq!(login.split('.').next(), expected.as_ref().map(|name| name.as_str()));
            }
            Outcome::Refused { reason, .. } => prop_assert_eq!((reason, expected), (Reason::UnknownName, None)),
            other => prop_assert!(false, "{:?}", other),
        }
    }

    #[test]
    fn a_watch_sees_the_same_however_the_answer_is_cut(
        stream in damaged(vec(message(), 0..8).prop_map(|messages| messages.concat())),
        cuts in some_cuts(),
    ) {
        check_watch(&stream, &cuts);
    }
}
