//! The promise: on a port with several dialects every client is led to its own, whatever the list's order and
//! wherever the network cuts its first bytes; and who speaks none of them is told nothing.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::Path;

use bytes::BytesMut;
use pierhead::config::Config;
use pierhead::dialect::{Dialect, Protocol, Reason, Recognised, Speaks, Step};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// What is spoken on a port with this list.
fn speaks(list: &str) -> Speaks {
    let text = format!("[[listener]]\ndialect = {list}\nlisten = [\"127.0.0.1:1\"]");
    Config::parse(&text, Path::new("test.toml"))
        .unwrap_or_else(|error| panic!("{error}"))
        .listeners
        .remove(0)
        .speaks
}

/// What clients of a protocol say first: the recordings, without those of servers.
fn clients(protocol: &str) -> Vec<Vec<u8>> {
    let directory = format!("{}/tests/corpus/{protocol}", env!("CARGO_MANIFEST_DIR"));
    let files = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let of_clients = |path: &Path| {
        let name = path.to_string_lossy();
        name.ends_with(".bin") && !name.contains("answer") && !name.contains("/server-")
    };
    files.filter(|path| of_clients(path)).map(|path| fs::read(path).unwrap()).collect()
}

/// Feeds `first` byte by byte: what it turns out to be, and after how many bytes.
fn become_of(speaks: &Speaks, first: &[u8]) -> (Result<Protocol, Reason>, usize) {
    let mut dialect = speaks.dialect();
    let mut input = BytesMut::new();
    for (at, byte) in first.iter().enumerate() {
        assert!(matches!(dialect.step(&mut input), Step::NeedMore));
        input.extend_from_slice(&[*byte]);
        match decided(&mut *dialect, &mut input) {
            Some(decided) => return (decided, at + 1),
            None => assert_eq!(input, first[..=at], "nothing is taken"),
        }
    }
    panic!("undecided after {first:?}");
}

fn decided(dialect: &mut dyn Dialect, input: &mut BytesMut) -> Option<Result<Protocol, Reason>> {
    match dialect.step(input) {
        Step::NeedMore => None,
        Step::Become(known) => Some(Ok(known.protocol())),
        Step::Refuse(refusal) => {
            assert!(dialect.refuse(&refusal).is_empty());
            Some(Err(refusal.reason))
        }
        other => panic!("{other:?}"),
    }
}

/// The protocols that can share a port.
const ALL: [Protocol; 7] = [
    Protocol::Postgres,
    Protocol::Redis,
    Protocol::Amqp,
    Protocol::Mongodb,
    Protocol::Mqtt,
    Protocol::Memcached,
    Protocol::Tls,
];

#[test]
fn every_client_finds_its_dialect_in_a_few_bytes() {
    for list in [ALL.to_vec(), ALL.iter().rev().copied().collect()] {
        let speaks =
            speaks(&format!("{:?}", list.iter().map(|protocol| protocol.as_str()).collect::<Vec<_>>()));
        for protocol in list {
            for first in clients(protocol.as_str()) {
                // Some clients of the others begin with TLS.
                let expected = if first[0] == 0x16 { Protocol::Tls } else { protocol };
                let (found, bytes) = become_of(&speaks, &first);
                assert_eq!(found, Ok(expected), "{first:?}");
                assert!(bytes <= 16, "{bytes} bytes");
            }
        }
        for stranger in [
            &b"GET / HTTP/1.1\r\n"[..],
            b"\x16\x02\x03",
            b"\0\x01\0\x01",
            b"\0\0\0\x10\0\x12",
            b"\x80\x0a",
            b"\x10\x10\0\x04AMQP",
            b"AMQQ",
        ] {
            assert_eq!(become_of(&speaks, stranger).0, Err(Reason::Malformed), "{stranger:?}");
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..Default::default() })]

    /// A recogniser that has decided stays with it, and no two want the same client.
    #[test]
    fn recognisers_do_not_change_their_minds_nor_quarrel(
        first in prop_oneof![
            vec(any::<u8>(), 0..40),
            vec(prop_oneof![Just(0), Just(3), Just(0x16), Just(0x04), Just(0xd2), Just(b'*'), Just(b'1'), Just(b'A'), Just(b'M'), Just(0x80), Just(0x20)], 0..12),
            (vec(prop_oneof![Just(0), Just(3), Just(7), Just(0x16), Just(0x80)], 4), any::<[u8; 8]>(), select(vec![2004u32, 2013]))
                .prop_map(|(len, ids, opcode)| [&len[..], &ids, &opcode.to_le_bytes()].concat()),
        ],
    ) {
        let mut owners = 0;
        for recognise in Protocol::ALL.iter().filter_map(|protocol| protocol.recognise()) {
            prop_assert_eq!(recognise(b""), Recognised::NeedMore);
            let verdicts: Vec<_> = (0..=first.len()).map(|end| recognise(&first[..end])).collect();
            let decided = verdicts.iter().copied().find(|verdict| *verdict != Recognised::NeedMore);
            let after = verdicts.iter().skip_while(|verdict| **verdict == Recognised::NeedMore);
            prop_assert!(after.copied().all(|verdict| Some(verdict) == decided), "{:?}", verdicts);
            owners += usize::from(decided == Some(Recognised::Mine));
        }
        prop_assert!(owners <= 1);
    }

    /// However the bytes are cut, the same is decided.
    #[test]
    fn the_decision_does_not_depend_on_the_cuts(first in vec(any::<u8>(), 16..40), whole in any::<bool>()) {
        let speaks = speaks("[\"postgres\", \"redis\", \"tls\"]");
        let (byte_by_byte, at) = become_of(&speaks, &first);
        let end = if whole { first.len() } else { at };
        let decision = decided(&mut *speaks.dialect(), &mut BytesMut::from(&first[..end]));
        prop_assert_eq!(decision, Some(byte_by_byte));
    }
}
