//! The promise: what a Redis client means does not depend on how the network cuts its bytes, and no bytes at all
//! make the dialect panic, or answer with anything but lines that a client can read.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "dialect/cuts.rs"]
mod cuts;
#[path = "dialect/damage.rs"]
mod damage;
#[path = "dialect/redis_conversation.rs"]
mod redis_conversation;

use std::fs;

use bytes::BytesMut;
use damage::damaged;
use pierhead::dialect::redis::FirstCommands;
use pierhead::dialect::{self, Dialect, Name, Reason, Refusal, Step};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use redis_conversation::{End, check_opening, converse};

const CORPUS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/corpus/redis");

/// The command that carries the name, and what real clients have sent behind it in the same write.
fn corpus() -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(CORPUS).unwrap().map(|entry| entry.unwrap().path());
    let recordings = entries.filter(|path| path.extension().is_some_and(|extension| extension == "bin"));
    let all: Vec<_> = recordings
        .map(|path| (path.file_stem().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap()))
        .collect();
    assert!(all.len() >= 10, "{} recordings", all.len());
    all
}

#[test]
fn real_clients_are_understood_wherever_their_bytes_are_cut() {
    for (name, stream) in corpus() {
        let whole = converse(&stream, &[]);
        let End::Identified { login, replay, surplus } = &whole.end else { panic!("{name}: {whole:?}") };
        assert_eq!((login.as_str(), whole.replies.as_slice()), ("blog", &b""[..]), "{name}");
        if name.contains("password-only") {
            let told = String::from_utf8_lossy(replay);
            assert!(told.contains("\r\n$4\r\nblog\r\n$2\r\npw\r\n") && !told.contains("default"), "{told}");
        } else {
            assert_eq!([&replay[..], surplus].concat(), stream, "{name}");
        }
        for cut in 0..stream.len() {
            check_opening(&stream, &[cut]);
        }
    }
}

/// Found by fuzzing: what is empty before a byte that would begin TLS.
#[test]
fn tls_begins_with_the_first_byte_or_not_at_all() {
    for stream in [&b"\r\n\x16$4\r\nPING\r\n"[..], b"*0\r\n\x16'\r\n", b"\x16\x03\x01\r\n"] {
        for cut in 0..stream.len() {
            check_opening(stream, &[cut]);
        }
    }
}

fn command(words: &[&str]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    words.iter().for_each(|word| out.extend(format!("${}\r\n{word}\r\n", word.len()).as_bytes()));
    out
}

#[track_caller]
fn assert_login(stream: &[u8], login: &str, replay: &[u8]) {
    match converse(stream, &[]).end {
        End::Identified { login: found, replay: sent, surplus } => {
            assert_eq!((found.as_str(), surplus.as_slice()), (login, &b""[..]));
            assert_eq!(String::from_utf8_lossy(&sent), String::from_utf8_lossy(replay));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_form_of_login_is_replayed_as_it_came() {
    for words in [
        &["AUTH", "blog", "pw"][..],
        &["auth", "blog", ""],
        &["HELLO", "3", "AUTH", "blog", "pw"],
        &["hello", "2", "auth", "blog", "pw", "setname", "x"],
        &["HELLO", "3", "SETNAME", "x", "AUTH", "blog", "pw"],
        &["HELLO", "3", "AUTH", "shop", "x", "AUTH", "blog", "pw"],
        &["HELLO", "3", "SETNAME", "AUTH", "AUTH", "blog", "AUTH"],
    ] {
        assert_login(&command(words), "blog", &command(words));
    }
    assert_login(
        &command(&["AUTH", "blog.reader", "pw"]),
        "blog.reader",
        &command(&["AUTH", "blog.reader", "pw"]),
    );
    assert_login(b"AUTH \"blog\" 'p w'\n", "blog", b"AUTH \"blog\" 'p w'\n");
    assert_login(b"\r\n*0\r\n \nAUTH blog pw\r\n", "blog", b"AUTH blog pw\r\n");
}

#[test]
fn a_password_alone_may_name_the_addon_in_front() {
    let auth = command(&["AUTH", "blog", "p:w"]);
    for words in [&["AUTH", "blog:p:w"][..], &["AUTH", "default", "blog:p:w"]] {
        assert_login(&command(words), "blog", &auth);
    }
    assert_login(b"auth 'blog:p:w'\r\n", "blog", &command(&["auth", "blog", "p:w"]));
    let role = command(&["AUTH", "blog.reader", ""]);
    assert_login(&command(&["AUTH", "blog.reader:"]), "blog.reader", &role);
    assert_login(
        &command(&["HELLO", "3", "SETNAME", "x", "AUTH", "default", "blog:pw"]),
        "blog",
        &command(&["HELLO", "3", "SETNAME", "x", "AUTH", "blog", "pw"]),
    );
    for password in ["", "sesame", "Blog:pw", ":pw", "blog open:x"] {
        match converse(&command(&["AUTH", password]), &[]).end {
            End::Refused { reason: Reason::UnknownName, said, detail, surplus } => {
                assert_eq!(surplus, b"", "the refusal is the login's answer");
                let said = String::from_utf8(said).unwrap();
                assert!(
                    said.starts_with("-WRONGPASS log in with the addon's name: AUTH NAME PASSWORD"),
                    "{said}"
                );
                assert!(password.is_empty() || !said.contains(password) && !detail.contains(password));
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_user_that_can_be_no_addon_is_refused_like_a_wrong_password() {
    for user in ["127.0.0.2", "localhost.", "Blog", "a b", "blog\n", "../blog", "", &"b".repeat(33)] {
        match converse(&command(&["AUTH", user, "pw"]), &[]).end {
            End::Refused { reason: Reason::UnknownName, said, detail, surplus } => {
                assert_eq!(surplus, b"", "the refusal is the login's answer");
                assert_eq!(said, b"-WRONGPASS invalid username-password pair or user is disabled.\r\n");
                assert!(detail.starts_with("no addon can be named") && !detail.contains('\n'), "{detail}");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn sixteen_commands_are_answered_and_no_more() {
    let ping = command(&["PING"]);
    let login = command(&["AUTH", "blog", "pw"]);
    let whole = converse(&[ping.repeat(16), login.clone()].concat(), &[]);
    assert_eq!(whole.replies, b"-NOAUTH Authentication required.\r\n".repeat(16));
    assert!(matches!(whole.end, End::Identified { replay, .. } if replay == login));
    let whole = converse(&[ping.repeat(17), login].concat(), &[]);
    assert_eq!(whole.replies, b"-NOAUTH Authentication required.\r\n".repeat(16));
    match whole.end {
        End::Refused { reason: Reason::TooBig, said, .. } => {
            assert!(said.starts_with(b"-NOAUTH Authentication required: AUTH NAME PASSWORD"));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_does_not_mean_us_is_sent_away_at_once() {
    for stream in [&b"POST / HTTP/1.1\r\n"[..], b"post\n", &command(&["host:", "x"])] {
        let outcome = converse(stream, &[]);
        assert!(
            matches!(outcome.end, End::Refused { reason: Reason::Malformed, ref said, .. } if said.is_empty()),
            "{outcome:?}"
        );
    }
    let get = converse(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", &[]);
    assert!(matches!(get.end, End::Refused { reason: Reason::Malformed, said, .. } if said.is_empty()));
    let tls = converse(b"\x16\x03\x01\x02\x00\x01\n", &[]);
    let alert = b"\x15\x03\x03\x00\x02\x02\x28";
    assert!(matches!(tls.end, End::Refused { reason: Reason::Malformed, said, .. } if said == alert));
    let quit = converse(&[command(&["QUIT"]), command(&["PING"])].concat(), &[]);
    assert_eq!((quit.replies.as_slice(), quit.end), (&b"+OK\r\n"[..], End::Closed));
}

#[test]
fn a_refused_client_that_goes_on_is_answered_command_by_command() {
    let blog = Name::parse("blog").unwrap();
    let starting = Refusal::of(&blog, Reason::Starting, "");
    let mut dialect = FirstCommands::new();
    let mut input = BytesMut::from(&command(&["HELLO", "3", "AUTH", "blog", "pw"])[..]);
    assert!(matches!(dialect.step(&mut input), Step::Identified(_)));
    let words = dialect.refuse(&starting);
    assert_eq!(words, "-LOADING addon blog is starting, retry in a few seconds\r\n");
    let mut rest = BytesMut::from(
        &[&command(&["SELECT", "0"])[..], b"\r\n", b"PING\r\n", b"*1\r\n$4\r\nPI"].concat()[..],
    );
    assert_eq!(dialect.answer_refused(&starting, &mut rest).unwrap(), words.repeat(2));
    assert_eq!(rest, "*1\r\n$4\r\nPI");
    rest.extend_from_slice(b"NG\r\n");
    assert_eq!(dialect.answer_refused(&starting, &mut rest).unwrap(), words);
    assert_eq!(dialect.answer_refused(&starting, &mut rest).unwrap(), "");
    rest.extend_from_slice(b"*x\r\n");
    assert_eq!(dialect.answer_refused(&starting, &mut rest), None);
    for reason in [Reason::Malformed, Reason::TooBig, Reason::TooSlow] {
        assert_eq!(dialect.answer_refused(&Refusal::new(reason, ""), &mut BytesMut::new()), None);
    }
}

/// A word of a command, often one that means something.
fn word() -> impl Strategy<Value = Vec<u8>> {
    let known = [
        "AUTH", "HELLO", "auth", "SETNAME", "blog", "shop.ro", "default", "blog:pw", "2", "3", "4", "-1",
        "QUIT", "RESET", "PING", "POST", "",
    ];
    prop_oneof![6 => select(known.to_vec()).prop_map(|word| word.into()), 1 => vec(any::<u8>(), 0..30)]
}

fn array() -> impl Strategy<Value = Vec<u8>> {
    vec(word(), 0..12).prop_map(|words| {
        let mut out = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            out.extend(format!("${}\r\n", word.len()).as_bytes());
            out.extend(word);
            out.extend(b"\r\n");
        }
        out
    })
}

fn line() -> impl Strategy<Value = Vec<u8>> {
    let quoted = (word(), select(vec!["", "'", "\"", "\\", "\\x"]))
        .prop_map(|(word, quote)| [quote.as_bytes(), &word, quote.as_bytes()].concat());
    (vec(quoted, 0..6), select(vec!["\r\n", "\n"]))
        .prop_map(|(words, end)| [&words.join(&b' ')[..], end.as_bytes()].concat())
}

fn stream() -> impl Strategy<Value = Vec<u8>> {
    vec(prop_oneof![2 => array(), 1 => line()], 0..20).prop_map(|commands| commands.concat())
}

proptest! {
    #[test]
    fn the_outcome_does_not_depend_on_the_cuts(stream in damaged(stream()), cuts in vec(0usize..400, 0..12)) {
        check_opening(&stream, &cuts);
    }

    /// However a user is written, the edge finds who the server would.
    #[test]
    fn a_quoted_user_is_the_user(user in "[a-z][a-z0-9-]{0,31}", hex in vec(any::<bool>(), 32)) {
        prop_assume!(user != "default");
        let quoted: String = user
            .bytes()
            .zip(hex)
            .map(|(byte, hex)| if hex { format!("\\x{byte:02x}") } else { char::from(byte).to_string() })
            .collect();
        let line = format!("AUTH \"{quoted}\" pw\r\n");
        match converse(line.as_bytes(), &[]).end {
            End::Identified { login, replay, .. } => prop_assert_eq!((login, replay), (user, line.into_bytes())),
            other => prop_assert!(false, "{:?}", other),
        }
    }
}
