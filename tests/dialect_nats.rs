//! The promise: who a NATS client means does not depend on how the network cuts its bytes, and no bytes at all make the
//! dialect panic, or answer with anything but a greeting and one well-formed line.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "dialect/cuts.rs"]
mod cuts;
#[path = "dialect/damage.rs"]
mod damage;
#[path = "dialect/first_words.rs"]
mod first_words;

use damage::{damaged, some_cuts};
use first_words::{End, nats};
use pierhead::dialect::{self, Reason};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;

/// Real clients that mean the addon `blog`.
const LOGINS: [&str; 4] = ["nats-py-2.16", "nats-js-2.29", "libnats-3.4", "libnats-3.4-token"];

#[test]
fn real_clients_are_understood_wherever_their_bytes_are_cut() {
    damage::every_recording_is_tested("nats", &LOGINS);
    for name in LOGINS {
        let stream = damage::recording("nats", name);
        let line = stream.iter().position(|byte| *byte == b'\n').unwrap() + 1;
        let whole = nats().converse(&stream, &[]);
        let told = vec![vec![], stream[..line].to_vec()];
        assert_eq!(
            whole.end,
            End::Identified { login: "blog".into(), told, surplus: stream[line..].to_vec() }
        );
        assert!(whole.replies.starts_with(b"INFO {"));
        for cut in 0..stream.len() {
            assert_eq!(nats().converse(&stream, &[cut]), whole, "{name} cut at {cut}");
            if cut < line {
                assert_eq!(nats().converse(&stream[..cut], &[]).end, End::Open, "{name} up to {cut}");
            }
        }
        nats().check(&stream, &[]);
    }
}

#[test]
fn a_line_without_an_end_waits_for_it() {
    let stream = [&b"CONNECT {\"user\":\"blog\",\"pass\":\""[..], &vec![b'x'; 16 * 1024]].concat();
    assert_eq!(nats().converse(&stream, &[]).end, End::Open, "the edge's limit ends it");
}

fn text() -> impl Strategy<Value = String> {
    let any_text = "[ -~]{0,12}|[\\PC\\n\"\\\\]{0,4}";
    prop_oneof![3 => Just("blog".to_owned()), 1 => Just("blog.ro".to_owned()), 1 => Just("blog:pw".to_owned()), 2 => any_text]
}

fn value() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![6 => text().prop_map(Into::into), 1 => Just(serde_json::Value::Null), 1 => any::<i32>().prop_map(Into::into)];
    leaf.prop_recursive(3, 8, 3, |inner| vec(inner, 0..3).prop_map(Into::into))
}

fn key() -> impl Strategy<Value = &'static str> {
    select(vec![
        "user",
        "USER",
        "u\u{17f}er",
        "auth_token",
        "Auth_To\u{212a}en",
        "pass",
        "jwt",
        "nkey",
        "name",
        "x",
    ])
}

/// The members of an object, any of them several times.
fn members() -> impl Strategy<Value = Vec<(&'static str, serde_json::Value)>> {
    vec((key(), value()), 0..6)
}

fn line(members: &[(&str, serde_json::Value)]) -> Vec<u8> {
    let members: Vec<String> =
        members.iter().map(|(key, value)| format!("{}:{value}", serde_json::Value::from(*key))).collect();
    format!("CONNECT {{{}}}\r\n", members.join(",")).into_bytes()
}

/// What Go makes of the members with this name: the last text that is not null; an error if one is something else.
fn field(members: &[(&str, serde_json::Value)], names: &[&str]) -> Result<Option<String>, ()> {
    let mut found = None;
    for (_, value) in members.iter().filter(|(key, _)| names.contains(key)) {
        match value {
            serde_json::Value::Null => {}
            serde_json::Value::String(text) => found = Some(text.clone()),
            _ => return Err(()),
        }
    }
    Ok(found.filter(|text| !text.is_empty()))
}

proptest! {
    #[test]
    fn the_outcome_does_not_depend_on_the_cuts(
        stream in damaged((members(), vec(any::<u8>(), 0..40)).prop_map(|(members, rest)| [line(&members), rest].concat())),
        cuts in some_cuts(),
    ) {
        nats().check(&stream, &cuts);
    }

    #[test]
    fn the_last_user_is_meant_and_else_who_the_token_begins_with(members in members()) {
        let user = field(&members, &["user", "USER", "u\u{17f}er"]);
        let token = field(&members, &["auth_token", "Auth_To\u{212a}en"]);
        let others = [field(&members, &["jwt"]), field(&members, &["nkey"])];
        let end = nats().converse(&line(&members), &[]).end;
        if [&user, &token, &others[0], &others[1]].into_iter().any(Result::is_err) {
            prop_assert!(matches!(end, End::Refused { reason: Reason::Malformed, .. }), "{:?}", end);
            return Ok(());
        }
        let login = match (user.unwrap(), token.unwrap()) {
            (Some(user), _) => dialect::Login::parse(user.as_bytes()).ok(),
            (None, Some(token)) => token.split_once(':').and_then(|(name, _)| dialect::Login::parse(name.as_bytes()).ok()),
            (None, None) => None,
        };
        match (end, login) {
            (End::Identified { login: found, .. }, Some(login)) => {
                prop_assert_eq!(found.split('.').next(), Some(login.name.as_str()));
            }
            (End::Refused { reason, .. }, None) => prop_assert_eq!(reason, Reason::UnknownName),
            (end, login) => prop_assert!(false, "{:?} {:?}", end, login),
        }
    }
}
