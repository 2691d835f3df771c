//! The promise: who an AMQP client means, of 0-9-1 or of 1.0, does not depend on how the network cuts its bytes, and no
//! bytes at all make the dialect panic, wait for more than a frame, or answer with anything but a header, a greeting and
//! one well-formed refusal.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "dialect/cuts.rs"]
mod cuts;
#[path = "dialect/damage.rs"]
mod damage;
#[path = "dialect/first_words.rs"]
mod first_words;

use damage::{damaged, some_cuts};
use first_words::{End, amqp};
use pierhead::dialect::{self, Reason};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Real clients that mean the addon `blog`.
const LOGINS: [&str; 6] =
    ["pika-1.4", "py-amqp-5.4-amqplain", "aiormq-7.2", "amqplib-2.3", "rhea-3.0", "qpid-proton-0.40"];
const SERVERS: [&str; 2] = ["server-3.10.start", "server-3.10.mechanisms"];
const HEADER_LEN: usize = 8;

#[test]
fn real_clients_are_understood_wherever_their_bytes_are_cut() {
    damage::every_recording_is_tested("amqp", &[&LOGINS[..], &SERVERS].concat());
    for name in LOGINS {
        let stream = damage::recording("amqp", name);
        let (header, frame) = stream.split_at(HEADER_LEN);
        let whole = amqp().converse(&stream, &[]);
        let told = vec![header.to_vec(), frame.to_vec()];
        assert_eq!(whole.end, End::Identified { login: "blog".into(), told, surplus: vec![] }, "{name}");
        for cut in 0..stream.len() {
            assert_eq!(amqp().converse(&stream, &[cut]), whole, "{name} cut at {cut}");
            let part = amqp().converse(&stream[..cut], &[]);
            assert_eq!(part.end, End::Open, "{name} up to {cut}");
            assert_eq!(part.replies.is_empty(), cut < HEADER_LEN, "{name} up to {cut}");
        }
        // What is pipelined behind the login is for the server.
        let more = amqp().converse(&[&stream[..], b"AMQP\0\x01\0\0"].concat(), &[stream.len() - 1]);
        let End::Identified { surplus, .. } = more.end else { panic!("{more:?}") };
        assert_eq!(surplus, b"AMQP\0\x01\0\0");
        amqp().check(&stream, &[]);
    }
}

/// A login of either protocol, and the mechanism and response that are in it.
#[derive(Clone, Debug)]
struct Said {
    stream: Vec<u8>,
    mechanism: &'static str,
    user: Option<String>,
}

fn user() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just("blog".to_owned()), 1 => Just("blog.ro".to_owned()), 1 => "[ -~]{0,12}", 1 => "[\\PC\\n]{0,4}"]
}

/// A mechanism and a response, with the user that a server finds there.
fn credentials() -> impl Strategy<Value = (&'static str, Vec<u8>, Option<String>)> {
    let plain = (user(), "[a-z]{0,9}")
        .prop_map(|(user, password)| ("PLAIN", format!("\0{user}\0{password}").into_bytes(), Some(user)));
    let no_plain = vec(select(vec![0, b'a', b'b']), 0..6).prop_map(|response| {
        let parts: Vec<&[u8]> = response.split(|byte| *byte == 0).collect();
        let user = match parts[..] {
            [b"", user, _] => Some(String::from_utf8(user.to_vec()).unwrap()),
            _ => None,
        };
        ("PLAIN", response, user)
    });
    let field = (select(vec!["LOGIN", "PASSWORD", "login", "x"]), user());
    let amqplain = vec(field, 0..5).prop_map(|fields| {
        let value = |wanted| fields.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.clone());
        let user = value("PASSWORD").and_then(|_| value("LOGIN"));
        let table =
            fields.iter().flat_map(|(name, value)| [short(name), b"S".to_vec(), long(value.as_bytes())]);
        ("AMQPLAIN", table.collect::<Vec<_>>().concat(), user)
    });
    let other = select(vec!["EXTERNAL", "ANONYMOUS", "plain", ""])
        .prop_map(|mechanism| (mechanism, b"\0blog\0pw".to_vec(), None));
    prop_oneof![4 => plain, 1 => no_plain, 3 => amqplain, 1 => other]
}

fn short(text: &str) -> Vec<u8> {
    [&[text.len() as u8][..], text.as_bytes()].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

fn login_091() -> impl Strategy<Value = Said> {
    let header = select(vec![b"AMQP\0\0\x09\x01", b"AMQP\x01\x01\0\x09"]);
    // What a client says of itself is not looked into.
    (header, credentials(), vec(any::<u8>(), 0..40)).prop_map(
        |(header, (mechanism, response, user), table)| {
            let arguments = [long(&table), short(mechanism), long(&response), short("en_US")].concat();
            let payload = [b"\0\x0a\0\x0b", &arguments[..]].concat();
            let frame = [b"\x01\0\0", &long(&payload)[..], b"\xce"].concat();
            Said { stream: [&header[..], &frame].concat(), mechanism, user }
        },
    )
}

/// The list, the symbol, the binary and the descriptor each can be written in two ways.
fn login_10() -> impl Strategy<Value = Said> {
    (credentials(), any::<[bool; 4]>(), select(vec![&b""[..], b"\x40", b"\xa1\x01h"])).prop_map(
        |((mechanism, response, user), [wide_list, wide_symbol, wide_binary, wide_descriptor], host)| {
            let variable = |wide: bool, kinds: [u8; 2], bytes: &[u8]| match wide {
                true => [&[kinds[1]][..], &long(bytes)].concat(),
                false => [&[kinds[0], bytes.len() as u8], bytes].concat(),
            };
            let fields = [
                variable(wide_symbol, [0xa3, 0xb3], mechanism.as_bytes()),
                variable(wide_binary, [0xa0, 0xb0], &response),
                host.to_vec(),
            ]
            .concat();
            let count = if host.is_empty() { 2 } else { 3 };
            let list = match wide_list {
                true => [&[0xd0][..], &long(&[&[0, 0, 0, count][..], &fields].concat())].concat(),
                false => [&[0xc0, fields.len() as u8 + 1, count][..], &fields].concat(),
            };
            let descriptor = match wide_descriptor {
                true => &b"\0\x80\0\0\0\0\0\0\0\x41"[..],
                false => b"\0\x53\x41",
            };
            let body = [b"\x02\x01\0\0", descriptor, &list].concat();
            let frame = [&(body.len() as u32 + 4).to_be_bytes()[..], &body].concat();
            Said { stream: [b"AMQP\x03\x01\0\0", &frame[..]].concat(), mechanism, user }
        },
    )
}

fn login() -> impl Strategy<Value = Said> {
    prop_oneof![login_091(), login_10()]
}

proptest! {
    #[test]
    fn the_outcome_does_not_depend_on_the_cuts(
        stream in damaged((login(), vec(any::<u8>(), 0..40)).prop_map(|(said, rest)| [said.stream, rest].concat())),
        cuts in some_cuts(),
    ) {
        amqp().check(&stream, &cuts);
    }

    #[test]
    fn the_user_of_the_login_is_meant(said in login()) {
        let end = amqp().converse(&said.stream, &[]).end;
        match (end, &said.user) {
            (End::Identified { login, told, surplus }, Some(user)) => {
                prop_assert_eq!(&login, user);
                prop_assert_eq!((told.concat(), surplus), (said.stream, vec![]));
            }
            (End::Refused { reason: Reason::UnknownName, .. }, Some(user)) => {
                prop_assert!(dialect::Login::parse(user.as_bytes()).is_err(), "{:?}", user);
            }
            (End::Refused { reason: Reason::Malformed, detail, .. }, None) => {
                prop_assert!(detail.contains(said.mechanism), "{}", detail);
            }
            (end, _) => prop_assert!(false, "{:?} {:?}", end, said),
        }
    }
}
