//! The promise: what a MySQL client means does not depend on how the network cuts its bytes, what its backend is sent
//! claims no more than the edge has offered and holds nothing that the client has hashed, and no bytes at all, of a
//! client or of a backend, make the dialect panic or answer with anything but a well-formed error.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "dialect/cuts.rs"]
mod cuts;
#[path = "dialect/damage.rs"]
mod damage;
#[path = "dialect/mysql_conversation.rs"]
mod mysql_conversation;

use std::fs;

use cuts::everywhere;
use damage::damaged;
use mysql_conversation::{Outcome, check_greeting, check_response, converse, handshake_of, shake_hands};
use pierhead::dialect::mysql::Flavour;
use pierhead::dialect::{self, Reason};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/mysql");

/// Real clients that mean the addon `blog` and its database `app`, and whether they send connection attributes.
const CLIENTS: [(&str, bool); 13] = [
    ("mariadb-10.11", true),
    ("mariadb-11.8", true),
    ("mysql-9.7-mysql", true),
    ("mariadb-10.11-compress", true),
    ("pymysql-1.2", true),
    ("pymysql-1.2-mysql", true),
    ("connector-python-26.10", true),
    ("connector-python-26.10-mysql", true),
    ("asyncmy-0.2", true),
    ("node-mysql2-3.24", true),
    ("node-mysql2-3.24-mysql", true),
    ("node-mysql-2.18", false),
    ("node-mariadb-3.5", true),
];
const GREETINGS: [&str; 3] =
    ["server-mariadb-10.11.greeting", "server-mariadb-11.8.greeting", "server-mysql-9.7.greeting"];

const CLIENT_MYSQL: u32 = 1;
const CONNECT_WITH_DB: u32 = 1 << 3;
const COMPRESS: u32 = 1 << 5;
const PROTOCOL_41: u32 = 1 << 9;
const SSL: u32 = 1 << 11;
const SECURE_CONNECTION: u32 = 1 << 15;
const PLUGIN_AUTH: u32 = 1 << 19;
const CONNECT_ATTRS: u32 = 1 << 20;
const LENENC: u32 = 1 << 21;

fn corpus(name: &str) -> Vec<u8> {
    fs::read(format!("{CORPUS}/{name}.bin")).expect(name)
}

fn flavour(name: &str) -> Flavour {
    if name.ends_with("-mysql") { Flavour::Mysql } else { Flavour::Mariadb }
}

fn flags(packet: &[u8]) -> u32 {
    u32::from_le_bytes(packet[4..8].try_into().unwrap())
}

fn contains(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

#[test]
fn every_recording_is_tested() {
    let recorded =
        fs::read_dir(CORPUS).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert_eq!(recorded.filter(|name| name.ends_with(".bin")).count(), CLIENTS.len() + GREETINGS.len());
}

#[test]
fn real_clients_are_understood_wherever_their_bytes_are_cut() {
    for (name, _) in CLIENTS {
        let stream = [&corpus(name)[..], b"and more"].concat();
        let whole = converse(flavour(name), &stream, &[]);
        assert!(
            matches!(&whole, Outcome::Identified { login, surplus, .. } if login == "blog" && surplus == b"and more"),
            "{name}: {whole:?}"
        );
        for cut in 0..stream.len() {
            assert_eq!(converse(flavour(name), &stream, &[cut]), whole, "{name} cut at {cut}");
        }
        assert_eq!(converse(flavour(name), &stream, &everywhere(&stream)), whole, "{name} byte by byte");
    }
}

#[test]
fn what_real_clients_have_hashed_goes_no_further() {
    for (name, has_attributes) in CLIENTS {
        let came = corpus(name);
        let Outcome::Identified { replay, .. } = converse(flavour(name), &came, &[]) else {
            panic!("{name}")
        };
        // Behind header, head and name: the hash and its length.
        let at = 36 + b"blog\0".len();
        let hash = &came[at + 1..at + 1 + usize::from(came[at])];
        assert!([20, 32].contains(&hash.len()), "{name}");
        assert!(!contains(&replay, &hash[..4]), "{name}");
        assert_eq!(replay[36..], {
            let attributes = if has_attributes { &came[attributes_start(&came)..] } else { &[] };
            [&b"blog\0\0app\0pierhead_asks_again\0"[..], attributes].concat()
        });
        assert_eq!(flags(&replay), flags(&came) & 0x01ff_f7ff | PLUGIN_AUTH, "{name}");
        assert_eq!(replay[8..32], came[8..32], "{name}");
    }
    // Two clients need that.
    assert_eq!(flags(&corpus("node-mysql2-3.24-mysql")) >> 27, 1);
    assert_eq!(flags(&corpus("node-mysql-2.18")) & PLUGIN_AUTH, 0);
    // MariaDB's own clients get their further flags, as far as they are offered.
    assert_eq!(corpus("node-mariadb-3.5")[32], 0x1c);
    assert_ne!(flags(&corpus("mariadb-10.11-compress")) & COMPRESS, 0);
}

/// Behind the name of the plugin, which is the last string.
fn attributes_start(packet: &[u8]) -> usize {
    let plugin = b"_password\0";
    let at = packet.windows(plugin.len()).position(|window| window == plugin).unwrap();
    at + plugin.len()
}

#[test]
fn real_greetings_are_understood_wherever_they_are_cut() {
    for name in GREETINGS {
        let stream = [&corpus(name)[..], b"\x2c\0\0\x02\xfemysql_native_password\0"].concat();
        (0..stream.len()).for_each(|cut| check_greeting(&stream, &[cut]));
    }
}

/// At a port of the other flavour it is the luck of the driver: some claim what only a MariaDB has.
#[test]
fn real_servers_can_do_what_real_clients_claim_at_a_port_of_their_flavour() {
    for (name, _) in CLIENTS {
        for greeting in GREETINGS {
            let answer =
                shake_hands(&mut *handshake_of(flavour(name), &corpus(name)), &corpus(greeting), &[]);
            let its_own = greeting.contains("mysql-") == (flavour(name) == Flavour::Mysql);
            let (replay, taken) = answer;
            match replay {
                Ok(_) => assert_eq!(taken, corpus(greeting).len()),
                Err(why) => {
                    let lacks = why.starts_with("its server lacks MariaDB's 0x");
                    assert!(!its_own && lacks, "{name}, {greeting}: {why}");
                }
            }
        }
    }
}

/// The packet of a client that claims these flags, and MariaDB's further ones.
fn response(flags: u32, mariadb: u32, rest: &[u8]) -> Vec<u8> {
    let head = [&flags.to_le_bytes()[..], b"\0\0\0\x01\x2d", &[0; 19], &mariadb.to_le_bytes()].concat();
    let payload = [&head, rest].concat();
    [&(payload.len() as u32).to_le_bytes()[..3], &[1], &payload].concat()
}

#[derive(Clone, Debug)]
struct Client {
    flags: u32,
    mariadb: u32,
    user: Vec<u8>,
    hash: Vec<u8>,
    database: Option<Vec<u8>>,
    attributes: Option<Vec<u8>>,
}

impl Client {
    fn packet(&self) -> Vec<u8> {
        let mut rest = [&self.user[..], b"\0"].concat();
        match self.flags & (LENENC | SECURE_CONNECTION) {
            0 => rest.extend([&self.hash[..], b"\0"].concat()),
            _ => rest.extend([&[self.hash.len() as u8][..], &self.hash].concat()),
        }
        self.database.iter().for_each(|name| rest.extend([&name[..], b"\0"].concat()));
        if self.flags & PLUGIN_AUTH != 0 {
            rest.extend(b"mysql_native_password\0");
        }
        rest.extend(self.attributes_with_length());
        response(self.flags, self.mariadb, &rest)
    }

    fn attributes_with_length(&self) -> Vec<u8> {
        let len = |bytes: &Vec<u8>| [&[0xfd][..], &(bytes.len() as u32).to_le_bytes()[..3], bytes].concat();
        self.attributes.as_ref().map(len).unwrap_or_default()
    }
}

fn client() -> impl Strategy<Value = Client> {
    let user = prop_oneof![
        Just(b"blog".to_vec()),
        Just(b"blog.ro".to_vec()),
        Just(b"'blog'".to_vec()),
        vec(1u8.., 0..40)
    ];
    let parts = (
        any::<u32>(),
        any::<u32>(),
        user,
        vec(1u8.., 0..250),
        option::of(vec(1u8.., 0..40)),
        option::of(vec(any::<u8>(), 0..600)),
    );
    parts.prop_map(|(flags, mariadb, user, hash, database, attributes)| {
        let set = |flag, is: bool| if is { flag } else { 0 };
        let mut flags = flags & !(CONNECT_WITH_DB | CONNECT_ATTRS) | PROTOCOL_41;
        flags |= set(CONNECT_WITH_DB, database.is_some()) | set(CONNECT_ATTRS, attributes.is_some());
        if flags & (SECURE_CONNECTION | PLUGIN_AUTH) == 0 {
            flags |= SECURE_CONNECTION;
        }
        Client { flags, mariadb, user, hash, database, attributes }
    })
}

/// One packet that matters, and what a client sends behind it.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let request =
        (any::<u32>(), any::<u32>()).prop_map(|(flags, mariadb)| response(flags | SSL, mariadb, b""));
    let other = (vec(any::<u8>(), 0..80), 0u8..3)
        .prop_map(|(payload, number)| [&[payload.len() as u8, 0, 0, number][..], &payload].concat());
    // With or without a ClientHello behind it.
    let hello = select(vec![&include_bytes!("corpus/tls/openssl-3.0.bin")[..], b""]);
    let request = (request, hello).prop_map(|(request, hello)| [&request[..], hello].concat());
    let packet = prop_oneof![6 => client().prop_map(|client| client.packet()), 1 => request, 1 => other];
    (packet, vec(any::<u8>(), 0..60)).prop_map(|(packet, behind)| [packet, behind].concat())
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    vec(0usize..800, 0..12)
}

/// A greeting with any flags, or an error.
fn greeting() -> impl Strategy<Value = Vec<u8>> {
    let greeting = (any::<u32>(), any::<u32>(), vec(1u8.., 0..60)).prop_map(|(flags, mariadb, version)| {
        let mut packet = corpus(GREETINGS[0]);
        let end = packet.iter().skip(5).position(|byte| *byte == 0).unwrap() + 5;
        let flags = flags | 0x00ff_f7fe;
        let (low, high) = (end + 14, end + 19);
        packet[low..low + 2].copy_from_slice(&flags.to_le_bytes()[..2]);
        packet[high..high + 2].copy_from_slice(&flags.to_le_bytes()[2..]);
        packet[high + 9..high + 13].copy_from_slice(&mariadb.to_le_bytes());
        packet.splice(5..end, version);
        packet[0] = (packet.len() - 4) as u8;
        packet
    });
    let error =
        (select(vec![1040u16, 1053, 1129, 1130]), vec(any::<u8>(), 0..60)).prop_map(|(code, text)| {
            [&[text.len() as u8 + 3, 0, 0, 0, 0xff][..], &code.to_le_bytes(), &text].concat()
        });
    prop_oneof![4 => greeting, 1 => error]
}

proptest! {
    #[test]
    fn the_outcome_does_not_depend_on_the_cuts(stream in damaged(stream()), cuts in cuts()) {
        check_response(&stream, &cuts);
    }

    #[test]
    fn the_user_is_meant_and_the_rest_is_passed_on(client in client(), mysql: bool) {
        let (flavour, offered, further) = match mysql {
            true => (Flavour::Mysql, 0x01ff_f7ff, 0),
            false => (Flavour::Mariadb, 0x01ff_f7fe, 0x1d),
        };
        let user = client.user.strip_prefix(b"'").and_then(|user| user.strip_suffix(b"'")).unwrap_or(&client.user);
        match converse(flavour, &client.packet(), &[]) {
            Outcome::Identified { login, replay, surplus } => {
                prop_assert_eq!(login.as_bytes(), user);
                let flags = client.flags & (offered | CLIENT_MYSQL) | PLUGIN_AUTH;
                let mariadb = if flags & CLIENT_MYSQL == 0 { client.mariadb & further } else { 0 };
                let database = client.database.as_ref().map(|name| [&name[..], b"\0"].concat()).unwrap_or_default();
                let rest = [&client.user[..], b"\0\0", &database, b"pierhead_asks_again\0", &client.attributes_with_length()];
                prop_assert_eq!(replay, response(flags, mariadb, &rest.concat()));
                prop_assert!(surplus.is_empty());
            }
            Outcome::Refused { reason, .. } => {
                prop_assert_eq!(reason, Reason::UnknownName);
                prop_assert!(dialect::Login::parse(user).is_err());
            }
            Outcome::Open => prop_assert!(false, "a whole packet is not enough"),
        }
    }

    #[test]
    fn a_backend_is_understood_however_its_greeting_is_cut(stream in damaged(greeting()), cuts in cuts()) {
        check_greeting(&stream, &cuts);
    }
}
