//! The promise: who an MQTT client means does not depend on how the network cuts its bytes, and no bytes at all make the
//! dialect panic, wait for more than a packet, or answer with anything but one well-formed CONNACK.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "dialect/cuts.rs"]
mod cuts;
#[path = "dialect/damage.rs"]
mod damage;
#[path = "dialect/first_words.rs"]
mod first_words;

use damage::{damaged, some_cuts};
use first_words::{End, mqtt};
use pierhead::dialect::{self, Reason};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

/// Real clients that mean the addon `blog`.
const LOGINS: [&str; 7] = [
    "mosquitto_pub-2.0-v31",
    "mosquitto_pub-2.0-v311",
    "mosquitto_sub-2.0-v5-will",
    "paho-2.2-v311-will",
    "paho-2.2-v5",
    "mqtt-js-5.16-v311",
    "mqtt-js-5.16-v5",
];

#[test]
fn real_clients_are_understood_wherever_their_bytes_are_cut() {
    damage::every_recording_is_tested("mqtt", &LOGINS);
    for name in LOGINS {
        let stream = damage::recording("mqtt", name);
        let len = match stream[..] {
            [_, low, high, ..] if low & 0x80 != 0 => 3 + (usize::from(low & 0x7f) | usize::from(high) << 7),
            [_, low, ..] => 2 + usize::from(low),
            _ => panic!(),
        };
        let whole = mqtt().converse(&stream, &[]);
        let told = vec![stream[..len].to_vec()];
        assert_eq!(
            whole.end,
            End::Identified { login: "blog".into(), told, surplus: stream[len..].to_vec() }
        );
        for cut in 0..stream.len() {
            assert_eq!(mqtt().converse(&stream, &[cut]), whole, "{name} cut at {cut}");
            if cut < len {
                assert_eq!(mqtt().converse(&stream[..cut], &[]).end, End::Open, "{name} up to {cut}");
            }
        }
        mqtt().check(&stream, &[]);
    }
}

/// What a client that begins like this is told, when it is refused.
fn told(stream: &[u8]) -> (Reason, Vec<u8>) {
    match mqtt().converse(stream, &[]).end {
        End::Refused { reason, said, .. } => (reason, said),
        other => panic!("{other:?}"),
    }
}

#[test]
fn each_version_is_refused_in_its_own_form() {
    let too_long = |version| [&b"\x10\xff\xff\x03\0\x04MQTT"[..], &[version]].concat();
    assert_eq!(told(&too_long(4)), (Reason::TooBig, vec![]), "3.1.1 has no code for it");
    let (reason, said) = told(&too_long(5));
    assert_eq!((reason, &said[..1], said[3]), (Reason::TooBig, &b"\x20"[..], 0x95));
    assert!(said.ends_with(b"a CONNECT packet of 65539 bytes; 16384 are allowed"));
    assert_eq!(
        told(b"\x10\x0e\0\x04MQTT\x04\x02\0\x3c\0\x02id"),
        (Reason::UnknownName, b"\x20\x02\0\x05".to_vec())
    );
    let (_, said) = told(b"\x10\x0f\0\x04MQTT\x05\x02\0\x3c\0\0\x02id");
    assert_eq!(said[3], 0x87);
    assert!(said.ends_with(b"no user name: log in as the addon, mqtt://NAME:PASSWORD@HOST"));
    assert_eq!(told(b"\x10\x0e\0\x04MQTT\x06"), (Reason::Malformed, b"\x20\x02\0\x01".to_vec()));
    assert_eq!(told(b"\x16\x03\x01"), (Reason::Malformed, b"\x15\x03\x03\0\x02\x02\x28".to_vec()));
    assert_eq!(told(b"GET / HTTP/1.1\r\n"), (Reason::Malformed, vec![]));
}

/// The parts of a packet.
#[derive(Clone, Debug)]
struct Packet {
    version: u8,
    properties: Vec<u8>,
    id: Vec<u8>,
    will: Option<[Vec<u8>; 3]>,
    user: Option<Vec<u8>>,
    password: Option<Vec<u8>>,
}

impl Packet {
    fn bytes(&self) -> Vec<u8> {
        let five = self.version == 5;
        let name: &[u8] = if self.version == 3 { b"MQIsdp" } else { b"MQTT" };
        let flag = |is: bool, flag: u8| if is { flag } else { 0 };
        let flags = flag(self.user.is_some(), 0x80)
            | flag(self.password.is_some(), 0x40)
            | flag(self.will.is_some(), 4);
        let mut body = [string(name), vec![self.version, flags, 0, 60]].concat();
        let properties =
            |bytes: &[u8]| if five { [length(bytes.len()), bytes.to_vec()].concat() } else { vec![] };
        body.extend([properties(&self.properties), string(&self.id)].concat());
        if let Some([of_will, topic, payload]) = &self.will {
            body.extend([properties(of_will), string(topic), string(payload)].concat());
        }
        body.extend([&self.user, &self.password].into_iter().flatten().flat_map(|text| string(text)));
        [vec![0x10], length(body.len()), body].concat()
    }
}

fn string(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat()
}

fn length(mut len: usize) -> Vec<u8> {
    let mut out = vec![];
    while len > 0x7f {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
    out
}

fn packet() -> impl Strategy<Value = Packet> {
    let bytes = |max: usize| vec(any::<u8>(), 0..max);
    let user = prop_oneof![3 => Just(b"blog".to_vec()), 1 => Just(b"blog.ro".to_vec()), 1 => vec(any::<u8>(), 0..20)];
    let will = (bytes(200), bytes(20), bytes(300))
        .prop_map(|(properties, topic, payload)| [properties, topic, payload]);
    (
        select(vec![3, 4, 5]),
        bytes(200),
        bytes(30),
        option::of(will),
        option::weighted(0.8, user),
        option::of(bytes(30)),
    )
        .prop_map(|(version, properties, id, will, user, password)| Packet {
            version,
            properties,
            id,
            will,
            user,
            password,
        })
}

proptest! {
    #[test]
    fn the_outcome_does_not_depend_on_the_cuts(
        stream in damaged((packet(), vec(any::<u8>(), 0..40)).prop_map(|(packet, rest)| [packet.bytes(), rest].concat())),
        cuts in some_cuts(),
    ) {
        mqtt().check(&stream, &cuts);
    }

    #[test]
    fn the_user_is_found_behind_whatever_stands_before_it(packet in packet(), rest in vec(any::<u8>(), 0..40)) {
        let bytes = packet.bytes();
        let login = packet.user.as_ref().and_then(|user| dialect::Login::parse(user).ok());
        match (mqtt().converse(&[&bytes[..], &rest].concat(), &[]).end, login) {
            (End::Identified { login: found, told, surplus }, Some(login)) => {
                prop_assert_eq!(found.split('.').next(), Some(login.name.as_str()));
                prop_assert_eq!((told, surplus), (vec![bytes], rest));
            }
            (End::Refused { reason, .. }, None) => prop_assert_eq!(reason, Reason::UnknownName),
            (end, login) => prop_assert!(false, "{:?} {:?}", end, login),
        }
    }
}
