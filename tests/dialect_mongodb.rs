//! The promise: what a MongoDB client means does not depend on how the network cuts its bytes, and no bytes at all
//! make the dialect panic, wait for more than a message, or answer with anything but the reply to what was asked.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "dialect/cuts.rs"]
mod cuts;
#[path = "dialect/damage.rs"]
mod damage;
#[path = "dialect/mongodb_conversation.rs"]
mod mongodb_conversation;
#[path = "dialect/mongodb_messages.rs"]
mod mongodb_messages;

use std::fs;

use damage::damaged;
use mongodb_conversation::{Outcome, check_first_message, converse, errmsg};
use mongodb_messages::{
    app_name, binary, document, element, embedded, message, one, op_msg, op_query, sasl_start, speculative,
    string,
};
use pierhead::dialect::{self, Reason};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/mongodb");

/// The first message of each kind of connection of real clients.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(CORPUS).unwrap().map(|entry| entry.unwrap().path());
    let recordings = entries.filter(|path| path.extension().is_some_and(|extension| extension == "bin"));
    let all: Vec<_> = recordings
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect();
    assert!(all.len() >= 18, "{} recordings", all.len());
    all
}

#[test]
fn real_clients_are_understood_wherever_their_bytes_are_cut() {
    for (name, stream) in corpus() {
        let whole = converse(&stream, &[]);
        if name == "mongosh-2.12-without-app-name-monitor" {
            let Outcome::Refused { reason: Reason::UnknownName, said, .. } = &whole else {
                panic!("{whole:?}")
            };
            let text = errmsg(&stream, said);
            assert!(
                text.starts_with("there is no login, and appName \"mongosh 2.12.0\" can be no"),
                "{text}"
            );
            assert!(text.contains("mongodb://NAME:PASSWORD@HOST/NAME?directConnection=true&appName=NAME"));
        } else {
            let blog = Outcome::Identified { login: "blog".into(), replayed: stream.len() };
            assert_eq!(whole, blog, "{name}");
        }
        for cut in 0..stream.len() {
            check_first_message(&stream, &[cut]);
            assert_eq!(converse(&stream[..cut], &[]), Outcome::Open, "{name} without its end");
        }
        // Clients do not pipeline, but they may.
        let outcome = converse(&[&stream[..], &stream].concat(), &[]);
        assert_eq!(outcome, whole, "{name} twice");
    }
}

// ---- a client of our own ----

#[track_caller]
fn assert_login(stream: &[u8], expected: &str) {
    let expected = Outcome::Identified { login: expected.into(), replayed: stream.len() };
    assert_eq!(converse(stream, &[]), expected);
}

#[track_caller]
fn assert_refused(stream: &[u8], reason: Reason, words: &str) {
    match converse(stream, &[]) {
        Outcome::Refused { reason: found, said, .. } => {
            let text = errmsg(stream, &said);
            assert!(found == reason && text.contains(words), "{found:?}: {text:?} does not say {words:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_form_of_hello_and_login() {
    for hello in ["hello", "isMaster", "ismaster"] {
        for send in [op_msg, op_query] {
            assert_login(&send(&[one(hello), app_name(b"blog")]), "blog");
            assert_login(&send(&[one(hello), speculative(b"blog.ro")]), "blog.ro");
            assert_login(&send(&[one(hello), string("saslSupportedMechs", b"admin.blog.ro")]), "blog.ro");
        }
    }
    let login = |mechanism: &str, payload: &[u8]| {
        [
            op_msg(&[one("hello"), embedded("speculativeAuthenticate", &sasl_start(mechanism, payload))]),
            // An old driver, or one that has been told everything: no hello at all.
            op_query(&sasl_start(mechanism, payload)),
        ]
    };
    for payload in [&b"n,,n=blog,r=abc"[..], b"y,,n=blog,r=abc", b"n,a=blog,n=blog,r=abc,x=y"] {
        for mechanism in ["SCRAM-SHA-1", "SCRAM-SHA-256"] {
            login(mechanism, payload).iter().for_each(|stream| assert_login(stream, "blog"));
        }
    }
    for payload in [&b"\0blog\0p\xffw"[..], b"blog\0blog\0"] {
        login("PLAIN", payload).iter().for_each(|stream| assert_login(stream, "blog"));
    }
    for (mechanism, payload) in [
        ("SCRAM-SHA-256", &b""[..]),
        ("SCRAM-SHA-256", b"n,,n=blog"),
        ("SCRAM-SHA-256", b"n,,n=,r=abc"),
        ("SCRAM-SHA-256", b"n,n=blog,r=abc"),
        ("SCRAM-SHA-256", b"p=tls-unique,,n=blog,r=abc"),
        ("SCRAM-SHA-1", b"n,,m=x,n=blog,r=abc"),
        ("PLAIN", b""),
        ("PLAIN", b"blog\0pw"),
        ("PLAIN", b"\0\0pw"),
        ("PLAIN", b"\0blog\0pw\0"),
    ] {
        for stream in login(mechanism, payload) {
            assert_refused(&stream, Reason::Malformed, &format!("first message of a {}", &mechanism[..5]));
        }
    }
}

#[test]
fn sections_flags_and_what_is_behind_the_command() {
    let hello = document(&[one("hello"), app_name(b"blog")]);
    let sequence = b"\x01\x0f\0\0\0documents\0\x00";
    for body in [
        [&b"\0\0\x01\0\0"[..], &hello].concat(),
        [&b"\0\0\0\0"[..], sequence, b"\0", &hello].concat(),
        [&b"\0\0\0\0\0"[..], &hello, sequence].concat(),
        [&b"\x01\0\0\0\0"[..], &hello, b"\x01\x02\x03\x04"].concat(),
    ] {
        assert_login(&message(2013, &body), "blog");
    }
    let fields = document(&[one("ok")]);
    let query = [&b"\0\0\0\0blog.$cmd\0\0\0\0\0\x01\0\0\0"[..], &hello, &fields].concat();
    assert_login(&message(2004, &query), "blog");
    for (body, words) in [
        (vec![], "invalid BSON"),
        (b"\0\0\0".to_vec(), "invalid BSON"),
        (b"\x01\0\0\0\0\0".to_vec(), "invalid BSON"),
        (b"\0\0\0\0".to_vec(), "exactly one command"),
        ([&b"\0\0\0\0\0"[..], &hello, b"\0", &hello].concat(), "exactly one command"),
        ([&b"\0\0\0\0\x02"[..], &hello].concat(), "exactly one command"),
        ([&b"\0\0\0\0\0"[..], &hello, b"\x01\x03\0\0\0"].concat(), "invalid BSON"),
        ([&b"\0\0\0\0\0"[..], &hello, b"\x01\xff\xff\xff\x7f"].concat(), "invalid BSON"),
        ([&b"\0\0\0\0\0"[..], &hello[..hello.len() - 1]].concat(), "invalid BSON"),
    ] {
        assert_refused(&message(2013, &body), Reason::Malformed, words);
    }
    let find = [&b"\0\0\0\0blog.posts\0\0\0\0\0\x01\0\0\0"[..], &fields].concat();
    assert_refused(&message(2004, &find), Reason::Malformed, "a query for documents");
    assert_refused(&message(2004, b"\0\0\0\0admin.$cmd"), Reason::Malformed, "invalid BSON");
}

#[test]
fn who_says_nobodys_name_reads_what_to_say() {
    let x509 = [one("authenticate"), string("mechanism", b"MONGODB-X509")];
    let refused: [(&[Vec<u8>], &str); 9] = [
        (&[one("hello")], "neither a login nor appName says a name: log in as the addon's name"),
        (&[one("isMaster"), app_name(b"")], "neither a login nor appName says a name"),
        (&[one("hello"), embedded("client", &[])], "neither a login nor appName says a name"),
        (&[one("hello"), app_name(b"MongoDB Compass")], "appName \"MongoDB Compass\" can be no addon's"),
        (
            &[one("hello"), embedded("speculativeAuthenticate", &x509)],
            "a login by \"MONGODB-X509\" names no addon, and there is no appName",
        ),
        (&sasl_start("MONGODB-OIDC", b""), "a login by \"MONGODB-OIDC\" names no addon"),
        (&[one("ping")], "the first command, \"ping\", says no name: log in as the addon's name"),
        (&x509, "the first command, \"authenticate\", says no name"),
        (&[], "the first command, \"\", says no name"),
    ];
    for (elements, words) in refused {
        for send in [op_msg, op_query] {
            assert_refused(&send(elements), Reason::UnknownName, words);
        }
    }
    // An application's name is enough for a login that says none.
    let named = [one("hello"), app_name(b"blog"), embedded("speculativeAuthenticate", &x509)];
    assert_login(&op_msg(&named), "blog");
}

#[test]
fn a_name_that_can_be_no_addon_is_refused_before_any_look_up() {
    for (user, seen) in [
        ("127.0.0.2", "127.0.0.2"),
        ("localhost.", "localhost."),
        ("Blog", "Blog"),
        ("a b", "a b"),
        ("blog\n", "blog\\x0a"),
        ("b=2Clo=3Dg", "b,lo=g"),
        ("b=2clog", "b=2clog"),
    ] {
        let words = format!("no addon can be named \"{seen}\"");
        assert_refused(&op_msg(&[one("hello"), speculative(user.as_bytes())]), Reason::UnknownName, &words);
    }
    // A name on the wire is a key, whatever carries it.
    let words = "appName \"../blog\" can be no addon's";
    assert_refused(&op_msg(&[one("hello"), app_name(b"../blog")]), Reason::UnknownName, words);
}

#[test]
fn names_that_disagree_are_refused() {
    let hello = |fields: &[Vec<u8>]| op_msg(&[&[one("hello")], fields].concat());
    let (blog, mechanisms) = (speculative(b"blog"), string("saslSupportedMechs", b"admin.blog"));
    assert_login(&hello(&[app_name(b"blog"), mechanisms.clone(), blog.clone()]), "blog");
    assert_login(&hello(&[app_name(b"blog.worker"), speculative(b"blog.ro")]), "blog.ro");
    // What can be no addon's name is no name.
    assert_login(&hello(&[app_name(b"MongoDB Compass"), blog.clone()]), "blog");
    for (fields, words) in [
        (
            [app_name(b"shop"), blog.clone()],
            "the login says \"blog\" and appName \"shop\": they must name the same addon",
        ),
        ([app_name(b"shop"), mechanisms], "the login says \"blog\" and appName \"shop\""),
        (
            [string("saslSupportedMechs", b"admin.shop"), blog.clone()],
            "speculativeAuthenticate says \"blog\" and saslSupportedMechs \"shop\"",
        ),
    ] {
        assert_refused(&hello(&fields), Reason::UnknownName, words);
    }
    assert_refused(&hello(&[string("saslSupportedMechs", b"blog")]), Reason::Malformed, "not DATABASE.USER");
    // As in the server, which reads each field once.
    let twice = |key: &str| format!("BSON field '{key}' is a duplicate field");
    for (fields, key) in [
        (vec![app_name(b"blog"), app_name(b"blog")], "client"),
        (vec![blog.clone(), blog], "speculativeAuthenticate"),
        (
            vec![embedded(
                "client",
                &[embedded("application", &[string("name", b"a"), string("name", b"b")])],
            )],
            "name",
        ),
        (
            vec![embedded("client", &[embedded("application", &[]), embedded("application", &[])])],
            "application",
        ),
    ] {
        assert_refused(&hello(&fields), Reason::Malformed, &twice(key));
    }
}

#[test]
fn a_message_may_be_so_long_and_no_longer() {
    let padded = |len: usize| {
        let short = op_msg(&[one("hello"), app_name(b"blog"), binary("x", b"")]).len();
        op_msg(&[one("hello"), app_name(b"blog"), binary("x", &vec![0; len - short])])
    };
    let longest = padded(16 * 1024);
    assert_eq!(longest.len(), 16 * 1024);
    assert_login(&longest, "blog");
    let words = "a first message of 16385 bytes, at most 16384 are taken";
    assert_refused(&padded(16 * 1024 + 1), Reason::TooBig, words);
    // Judged by the header alone.
    assert_refused(&padded(16 * 1024 + 1)[..16], Reason::TooBig, words);
    // Nonsense: the server closes without a word.
    for len in [-1i32, 0, 15, 48_000_001, i32::MAX] {
        let header = [len, 1, 0, 2013].map(i32::to_le_bytes).concat();
        let (reason, detail) = (Reason::Malformed, format!("a message of {len} bytes"));
        assert_eq!(converse(&header, &[]), Outcome::Refused { reason, detail, said: vec![] });
    }
}

#[test]
fn who_does_not_mean_us_is_sent_away_in_a_way_that_it_can_read() {
    let said = |stream: &[u8]| match converse(stream, &[]) {
        Outcome::Refused { reason: Reason::Malformed, said, .. } => said,
        other => panic!("{other:?}"),
    };
    let alert = b"\x15\x03\x03\x00\x02\x02\x28";
    assert_eq!(said(b"\x16\x03\x01"), alert);
    assert_eq!(said(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"), alert);
    let page = said(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    assert!(page.ends_with(
        b"\r\n\r\nIt looks like you are trying to access MongoDB over HTTP on the native driver port.\r\n"
    ));
    for opcode in [0, 1, 2001, 2012, 2014, -1] {
        assert_eq!(said(&message(opcode, &document(&[one("hello")]))), b"", "the server closes too");
    }
    // A message as long as a TLS record's first bytes could say.
    let filler = op_msg(&[one("hello"), app_name(b"blog"), binary("x", b"")]).len();
    let stream = op_msg(&[one("hello"), app_name(b"blog"), binary("x", &vec![0; 0x0316 - filler])]);
    assert_eq!(stream[..4], *b"\x16\x03\0\0");
    assert_login(&stream, "blog");
}

// ---- properties ----

const NAMES: [&str; 6] = ["blog", "blog.ro", "shop", "MongoDB Compass", "Blog", ""];

fn name() -> impl Strategy<Value = Option<&'static str>> {
    prop::option::of(select(NAMES.to_vec()))
}

/// Elements that mean nothing here, of any type.
fn noise() -> impl Strategy<Value = Vec<u8>> {
    let key = select(vec!["compression", "x", "$db", "Client", "name", "payload"]);
    let inner = vec(any::<u8>(), 0..40);
    prop_oneof![
        key.clone().prop_map(one),
        (key.clone(), inner.clone()).prop_map(|(key, bytes)| string(key, &bytes)),
        (key.clone(), inner.clone()).prop_map(|(key, bytes)| binary(key, &bytes)),
        (key.clone(), inner).prop_map(|(key, bytes)| element(0x04, key, &document(&[bytes]))),
        (key, select(vec![(0x01, 8), (0x08, 1), (0x07, 12), (0x0a, 0), (0x12, 8), (0x13, 16)]))
            .prop_map(|(key, (kind, len))| element(kind, key, &vec![0xa5; len])),
    ]
}

/// A hello with any of the three places where a name may stand, in any order among other things.
fn hello() -> impl Strategy<Value = (Vec<u8>, [Option<&'static str>; 3])> {
    let places = (name(), name(), name());
    (places, vec(noise(), 0..6), any::<u64>(), any::<bool>()).prop_map(
        |((app, asked, user), mut fields, order, old)| {
            fields.extend(app.map(|name| app_name(name.as_bytes())));
            fields.extend(asked.map(|name| string("saslSupportedMechs", format!("db.{name}").as_bytes())));
            fields.extend(user.map(|name| speculative(name.as_bytes())));
            for at in 1..fields.len() {
                fields.swap(at, (order >> at) as usize % (at + 1));
            }
            fields.insert(0, one("hello"));
            (if old { op_query(&fields) } else { op_msg(&fields) }, [app, asked, user])
        },
    )
}

/// Whom the three places mean, as the documentation says it.
fn meant([app, asked, user]: [Option<&str>; 3]) -> Result<String, Reason> {
    let parse = |name: &str| dialect::Login::parse(name.as_bytes()).map_err(|_| Reason::UnknownName);
    if user == Some("") {
        return Err(Reason::Malformed);
    }
    let app = app.filter(|name| !name.is_empty());
    match (user.or(asked), app) {
        (Some(name), _) if asked.is_some_and(|asked| asked != name) => Err(Reason::UnknownName),
        (Some(name), app) => {
            let login = parse(name)?;
            match app.map(parse) {
                Some(Ok(app)) if app.name != login.name => Err(Reason::UnknownName),
                _ => Ok(name.to_owned()),
            }
        }
        (None, Some(app)) => parse(app).map(|_| app.to_owned()),
        (None, None) => Err(Reason::UnknownName),
    }
}

fn cuts() -> impl Strategy<Value = Vec<usize>> {
    vec(0usize..700, 0..12)
}

proptest! {
    #[test]
    fn the_outcome_does_not_depend_on_the_cuts(stream in damaged(hello().prop_map(|(stream, _)| stream)), cuts in cuts()) {
        check_first_message(&stream, &cuts);
    }

    #[test]
    fn whoever_is_named_is_meant((stream, names) in hello(), behind in vec(any::<u8>(), 0..40), cuts in cuts()) {
        let replayed = stream.len();
        match (converse(&[stream, behind].concat(), &cuts), meant(names)) {
            (Outcome::Identified { login, replayed: sent }, Ok(expected)) => {
                prop_assert_eq!((login, sent), (expected, replayed));
            }
            (Outcome::Refused { reason, .. }, Err(expected)) => prop_assert_eq!(reason, expected),
            other => prop_assert!(false, "{:?}: {:?}", names, other),
        }
    }
}
