//! The promise: who a memcached client means does not depend on how the network cuts its bytes, and no bytes at all make
//! the dialect panic, wait for more than a request, or answer with anything but well-formed answers.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "dialect/cuts.rs"]
mod cuts;
#[path = "dialect/damage.rs"]
mod damage;
#[path = "dialect/first_words.rs"]
mod first_words;

use damage::{damaged, some_cuts};
use first_words::{End, memcached};
use pierhead::dialect::memcached::FirstRequests;
use pierhead::dialect::{self, Reason};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Real clients that mean the addon `blog`: each asks for the mechanisms first.
const LOGINS: [&str; 3] = ["bmemcached-0.33", "memjs-1.3", "memccp-1.1"];
const LIST_LEN: usize = 24;

#[test]
fn real_clients_are_understood_wherever_their_bytes_are_cut() {
    damage::every_recording_is_tested("memcached", &LOGINS);
    for name in LOGINS {
        let stream = damage::recording("memcached", name);
        let end = LIST_LEN + 24 + usize::from(stream[LIST_LEN + 11]);
        let whole = memcached().converse(&stream, &[]);
        let told = vec![stream[LIST_LEN..end].to_vec()];
        assert_eq!(
            whole.end,
            End::Identified { login: "blog".into(), told, surplus: stream[end..].to_vec() }
        );
        assert_eq!(&whole.replies[..2], b"\x81\x20");
        assert_eq!(&whole.replies[24..], b"PLAIN");
        for cut in 0..stream.len() {
            assert_eq!(memcached().converse(&stream, &[cut]), whole, "{name} cut at {cut}");
            if cut < end {
                assert_eq!(memcached().converse(&stream[..cut], &[]).end, End::Open, "{name} up to {cut}");
            }
        }
        memcached().check(&stream, &[]);
    }
}

#[test]
fn who_speaks_the_text_protocol_or_tls_reads_so_and_nonsense_is_closed() {
    let said = |stream: &[u8]| match memcached().converse(stream, &[]).end {
        End::Refused { reason: Reason::Malformed, said, .. } => said,
        other => panic!("{other:?}"),
    };
    for text in ["get x\r\n", "set x 0 0 4\r\nblog\r\n", "v"] {
        assert!(
            said(text.as_bytes())
                .starts_with(b"CLIENT_ERROR unauthenticated: log in with the addon's name by SASL")
        );
    }
    assert_eq!(said(b"\x16\x03\x01"), b"\x15\x03\x03\0\x02\x02\x28");
    assert!(
        said(b"\0").is_empty() && said(&[&request(0x20, b"", b""), &b"get x\r\n"[..]].concat()).is_empty()
    );
}

fn request(opcode: u8, key: &[u8], value: &[u8]) -> Vec<u8> {
    let (key_len, body_len) = ((key.len() as u16).to_be_bytes(), (key.len() + value.len()) as u32);
    [&[0x80, opcode][..], &key_len, &[0; 4], &body_len.to_be_bytes(), b"opaquecastag", key, value].concat()
}

/// A login in one step or in two; and the user in it.
fn login() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    let text = || vec(1u8.., 0..20);
    let user = prop_oneof![3 => Just(b"blog".to_vec()), 1 => Just(b"blog.ro".to_vec()), 1 => text()];
    (any::<bool>(), text(), user, text()).prop_map(|(two_steps, authzid, user, password)| {
        let credentials = [&authzid[..], b"\0", &user, b"\0", &password].concat();
        let bytes = if two_steps {
            [request(0x21, b"PLAIN", b""), request(0x22, b"PLAIN", &credentials)].concat()
        } else {
            request(0x21, b"plain", &credentials)
        };
        (bytes, user)
    })
}

/// What a client may ask before, a login, and what it pipelines behind it.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let before = vec(select(vec![request(0x20, b"", b""), request(0x0b, b"", b"")]), 0..18);
    let other = (any::<u8>(), vec(any::<u8>(), 0..40), vec(any::<u8>(), 0..40))
        .prop_map(|(op, key, value)| request(op, &key, &value));
    let decisive = prop_oneof![3 => login().prop_map(|(bytes, _)| bytes), 1 => other];
    (before, decisive, vec(any::<u8>(), 0..40))
        .prop_map(|(before, decisive, rest)| [before.concat(), decisive, rest].concat())
}

proptest! {
    #[test]
    fn the_outcome_does_not_depend_on_the_cuts(stream in damaged(stream()), cuts in some_cuts()) {
        memcached().check(&stream, &cuts);
    }

    #[test]
    fn the_user_of_plain_is_meant((bytes, user) in login(), rest in vec(any::<u8>(), 0..40)) {
        match (memcached().converse(&[&bytes[..], &rest].concat(), &[]).end, dialect::Login::parse(&user)) {
            (End::Identified { login: found, told, surplus }, Ok(login)) => {
                prop_assert_eq!(found.split('.').next(), Some(login.name.as_str()));
                prop_assert_eq!((told.concat(), surplus), (bytes, rest));
            }
            (End::Refused { reason, .. }, Err(_)) => prop_assert_eq!(reason, Reason::UnknownName),
            (end, login) => prop_assert!(false, "{:?} {:?}", end, login),
        }
    }

    #[test]
    fn a_long_request_is_refused_at_its_header(len in FirstRequests::REQUEST_LEN_MAX as u32..) {
        let mut header = request(0x21, b"", b"");
        header[3] = 5;
        header[8..12].copy_from_slice(&len.to_be_bytes());
        let end = memcached().converse(&header, &[]).end;
        prop_assert!(matches!(end, End::Refused { reason: Reason::TooBig, .. }), "{:?}", end);
    }
}
