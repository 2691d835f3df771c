//! The promise: whom a TLS client means does not depend on how the network or the client cuts its ClientHello, and no
//! bytes at all make the dialect panic, wait for more than a ClientHello, or answer with anything but an alert.

#[path = "dialect/cuts.rs"]
mod cuts;
#[path = "dialect/hellos.rs"]
mod hellos;

use std::fs;

use bytes::BytesMut;
use cuts::everywhere;
use hellos::{Outcome, check_hello, code, converse, converse_after_ssl_request, converse_with, in_records};
use pierhead::dialect::postgres::Startup;
use pierhead::dialect::tls::{Alert, StartTls};
use pierhead::dialect::{self, By, Dialect, Protocol, Protocols, Reason, Step};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/tls");

/// Real clients, and the addon that each means.
const CLIENTS: [(&str, &str); 9] = [
    ("openssl-3.0", "blog"),
    ("openssl-3.0-tls1.2-alpn", "blog"),
    ("python-3.11", "blog"),
    ("psycopg-3.3-direct-tls", "blog"),
    ("node-20-alpn", "blog"),
    ("curl-7.88", "blog"),
    ("wget-1.21-gnutls", "localhost"),
    ("dockerd-20.10-go", "localhost"),
    ("rustls-0.23", "blog"),
];
/// Those that say by ALPN that they speak PostgreSQL.
const POSTGRES: [&str; 2] = ["openssl-3.0-tls1.2-alpn", "psycopg-3.3-direct-tls"];
/// The one that says by ALPN that it speaks MQTT.
const MQTT: &str = "node-20-alpn";
const NO_SNI: &str = "openssl-3.0-no-sni";

fn corpus(name: &str) -> Vec<u8> {
    fs::read(format!("{CORPUS}/{name}.bin")).expect(name)
}

fn named(client: &str, name: &str, length: usize) -> Outcome {
    let by = match client {
        _ if POSTGRES.contains(&client) => By::HostOf(Protocol::Postgres),
        MQTT => By::Host(Protocols::only(Protocol::Mqtt)),
        _ => By::Host(Protocols::named()),
    };
    Outcome::Named { name: name.into(), by, length }
}

#[test]
fn every_recording_is_tested() {
    let recorded =
        fs::read_dir(CORPUS).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(recorded.filter(|name| name.ends_with(".bin")).count(), CLIENTS.len() + 1);
}

#[test]
fn real_clients_are_understood_wherever_their_bytes_are_cut() {
    for (client, name) in CLIENTS {
        let hello = corpus(client);
        let expected = named(client, name, hello.len());
        for cut in 0..hello.len() {
            assert_eq!(converse(&hello, &[cut]), expected, "{client} cut at {cut}");
        }
        assert_eq!(converse(&hello, &everywhere(&hello)), expected, "{client} byte by byte");
        assert_eq!(converse(&[&hello[..], b"early data"].concat(), &[]), expected);
        for cut in 0..hello.len() {
            assert_eq!(converse(&hello[..cut], &[]), Outcome::Open, "{client} up to {cut}");
        }
    }
}

#[test]
fn postgresql_lets_a_client_begin_tls_or_begin_with_it() {
    for (client, name) in CLIENTS {
        let hello = corpus(client);
        let expected =
            Outcome::Named { name: name.into(), by: By::HostOf(Protocol::Postgres), length: hello.len() };
        for cut in 0..hello.len() {
            assert_eq!(converse_after_ssl_request(&hello, &[cut]), expected, "{client} cut at {cut}");
        }
        // Without a request, only who says by ALPN that it means PostgreSQL.
        let mut direct = Startup::offering(&StartTls::Passthrough(None));
        let direct = converse_with(&mut direct, &hello, &[1, 100]);
        match POSTGRES.contains(&client) {
            true => assert_eq!(direct, expected, "{client}"),
            false => assert!(
                matches!(direct, Outcome::Refused { reason: Reason::Malformed, alert: 120, .. }),
                "{client}: {direct:?}"
            ),
        }
    }
    let refused = converse_after_ssl_request(&corpus(NO_SNI), &[]);
    assert!(
        matches!(refused, Outcome::Refused { reason: Reason::UnknownName, alert: 109, .. }),
        "{refused:?}"
    );
    // What comes along with the request was not encrypted, so it may be anybody's (CVE-2021-23214).
    let mut dialect = Startup::offering(&StartTls::Passthrough(None));
    let at_once = [b"\0\0\0\x08\x04\xd2\x16\x2f", &corpus("psycopg-3.3-direct-tls")[..]].concat();
    match dialect.step(&mut BytesMut::from(&at_once[..])) {
        Step::Refuse(refusal) => {
            assert_eq!(refusal.reason, Reason::PlaintextInjection);
            assert!(dialect.refuse(&refusal).starts_with(b"NE"), "declined, and told why");
        }
        other => panic!("{other:?}"),
    }
    // In the clear after all.
    let refused = converse_after_ssl_request(b"\0\0\0\x08\0\x03\0\0", &[]);
    assert!(matches!(refused, Outcome::Refused { reason: Reason::Malformed, alert: 10, .. }), "{refused:?}");
}

#[test]
fn a_hello_may_come_in_several_records() {
    for (client, name) in CLIENTS {
        let hello = corpus(client);
        for size in [hello.len().div_ceil(60), 100, 333, hello.len() - 6] {
            let records = in_records(&hello, size);
            let expected = named(client, name, records.len());
            for cut in 0..records.len() {
                assert_eq!(
                    converse(&records, &[cut]),
                    expected,
                    "{client}, {size} in a record, cut at {cut}"
                );
            }
        }
    }
    let many = in_records(&corpus("rustls-0.23"), 1);
    let expected = Outcome::Refused {
        reason: Reason::Malformed,
        detail: "a ClientHello in more than 64 records".into(),
        alert: code(Alert::DecodeError),
    };
    assert_eq!(converse(&many, &[]), expected);
}

/// A ClientHello with these extensions.
fn hello(extensions: &[(u16, &[u8])]) -> Vec<u8> {
    let extension = |(kind, data): &(u16, &[u8])| [&kind.to_be_bytes()[..], &vec16(data)].concat();
    let extensions: Vec<u8> = extensions.iter().flat_map(extension).collect();
    let body = [&[3, 3][..], &[7; 32], &[0, 0, 2, 0x13, 0x01, 1, 0], &vec16(&extensions)].concat();
    message(1, &body)
}

fn message(kind: u8, body: &[u8]) -> Vec<u8> {
    let length = (body.len() as u32).to_be_bytes();
    let message = [&[kind][..], &length[1..], body].concat();
    [&[22, 3, 1][..], &vec16(&message)].concat()
}

fn vec16(data: &[u8]) -> Vec<u8> {
    [&(data.len() as u16).to_be_bytes()[..], data].concat()
}

fn server_name(host: &[u8]) -> Vec<u8> {
    vec16(&[&[0][..], &vec16(host)].concat())
}

fn refused(stream: &[u8]) -> (Reason, u8) {
    match converse(stream, &[]) {
        Outcome::Refused { reason, alert, .. } => (reason, alert),
        other => panic!("{other:?}"),
    }
}

#[test]
fn hosts_that_mean_nobody() {
    assert_eq!(refused(&corpus(NO_SNI)), (Reason::UnknownName, code(Alert::MissingExtension)));
    for host in [&b"127.0.0.1"[..], b"-", b"b\0g", b"b\xffg", b".blog", b"blog_x.db", &[b'a'; 5000]] {
        let hello = hello(&[(0, &server_name(host))]);
        assert_eq!(refused(&hello), (Reason::UnknownName, code(Alert::UnrecognizedName)), "{host:?}");
    }
    let upper = hello(&[(0, &server_name(b"BLOG.Db"))]);
    assert!(matches!(converse(&upper, &[]), Outcome::Named { name, .. } if name == "blog"));
}

#[test]
fn malformed_hellos() {
    let blog = server_name(b"blog");
    let good = hello(&[(0, &blog)]);
    let at = |position: usize, value: u8| {
        let mut bytes = good.clone();
        bytes[position] = value;
        bytes
    };
    let two_names = vec16(&[&[0][..], &vec16(b"a"), &[0], &vec16(b"b")].concat());
    let interrupted = [&b"\x16\x03\x01\0\x04"[..], &good[5..9], b"\x15\x03\x01\0\x02\x01\0"].concat();
    let twice = [(0, &blog[..]), (0, &blog[..])];
    let cases = [
        ("HTTP", b"GET / HTTP/1.1\r\n".to_vec(), Alert::UnexpectedMessage),
        ("SSLRequest", b"\0\0\0\x08\x04\xd2\x16\x2f".to_vec(), Alert::UnexpectedMessage),
        ("SSL 2", at(1, 2), Alert::ProtocolVersion),
        ("an empty record", b"\x16\x03\x01\0\0".to_vec(), Alert::UnexpectedMessage),
        ("a long record", b"\x16\x03\x01\x40\x01".to_vec(), Alert::RecordOverflow),
        ("a ServerHello", message(2, b""), Alert::UnexpectedMessage),
        ("an alert in between", interrupted, Alert::UnexpectedMessage),
        ("a long hello", b"\x16\x03\x01\x40\0\x01\0\x40\x01".to_vec(), Alert::DecodeError),
        ("SSL 2 inside", at(9, 2), Alert::ProtocolVersion),
        ("an empty hello", message(1, b""), Alert::DecodeError),
        ("a long session id", at(43, 33), Alert::DecodeError),
        ("odd cipher suites", at(45, 1), Alert::DecodeError),
        ("no compression", at(48, 0), Alert::DecodeError),
        ("extensions too short", at(51, good[51] - 1), Alert::DecodeError),
        ("an extension too long", at(55, good[55] + 1), Alert::DecodeError),
        ("an empty name list", hello(&[(0, &vec16(b""))]), Alert::DecodeError),
        ("an empty name", hello(&[(0, &server_name(b""))]), Alert::DecodeError),
        ("a name and more", hello(&[(0, &[&blog[..], b"x"].concat())]), Alert::DecodeError),
        ("two names", hello(&[(0, &two_names)]), Alert::IllegalParameter),
        ("SNI twice", hello(&twice), Alert::IllegalParameter),
        ("an empty ALPN", hello(&[(0, &blog), (16, &vec16(b""))]), Alert::DecodeError),
        ("an empty protocol", hello(&[(0, &blog), (16, &vec16(b"\0"))]), Alert::DecodeError),
    ];
    for (what, bytes, alert) in cases {
        assert_eq!(refused(&bytes), (Reason::Malformed, code(alert)), "{what}");
    }
}

#[test]
fn what_is_unknown_is_passed_over() {
    let blog = server_name(b"blog");
    let of_another_kind = vec16(&[&[9][..], &vec16(b"x"), &[0], &vec16(b"blog")].concat());
    let by = By::Host(Protocols::named());
    for (what, bytes) in [
        ("other extensions", hello(&[(0x0a0a, b""), (0, &blog), (0xfe0d, b"ech"), (0xfe0d, b"again")])),
        ("a name of another kind", hello(&[(0, &of_another_kind)])),
        ("an unknown protocol", hello(&[(16, &vec16(b"\x02h2")), (0, &blog)])),
    ] {
        let expected = Outcome::Named { name: "blog".into(), by, length: bytes.len() };
        assert_eq!(converse(&bytes, &[]), expected, "{what}");
    }
    // An old client: no extensions at all, which is well-formed.
    let old = message(1, &[&[3, 1][..], &[7; 32], &[0, 0, 2, 0, 0x2f, 1, 0]].concat());
    assert_eq!(refused(&old), (Reason::UnknownName, code(Alert::MissingExtension)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, ..Default::default() })]

    /// Random bytes, and real clients with a few bytes changed, cut and put into records at random.
    #[test]
    fn the_outcome_does_not_depend_on_the_cuts(
        client in select(CLIENTS.to_vec()),
        changes in vec((any::<Index>(), any::<u8>()), 0..4),
        size in 20usize..2000,
        cuts in vec(0usize..2000, 0..8),
    ) {
        let mut bytes = corpus(client.0);
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        check_hello(&bytes, &cuts);
        check_hello(&in_records(&bytes, size), &cuts);
    }

    #[test]
    fn random_bytes_do_no_harm(bytes in vec(any::<u8>(), 0..200), cuts in vec(0usize..200, 0..8)) {
        check_hello(&bytes, &cuts);
        check_hello(&message(1, &bytes), &cuts);
        check_hello(&hello(&[(0, &bytes)]), &cuts);
        check_hello(&hello(&[(16, &bytes)]), &cuts);
    }
}
