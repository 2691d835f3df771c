//! The promise: what fuzzing found worth keeping (fuzz/corpus) passes the same checks here, and more thoroughly: each stream byte by
//! byte, and refused for every reason. So what a fuzzer once reached stays a test, without a fuzzer.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "dialect/conversation.rs"]
#[allow(dead_code, reason = "the property tests use more of it")]
mod conversation;
#[path = "dialect/cuts.rs"]
mod cuts;
#[path = "dialect/first_words.rs"]
mod first_words;
#[path = "dialect/hellos.rs"]
#[allow(dead_code, reason = "the property tests use more of it")]
mod hellos;
#[path = "dialect/mongodb_conversation.rs"]
mod mongodb_conversation;
#[path = "dialect/mysql_conversation.rs"]
#[allow(dead_code, reason = "the property tests use more of it")]
mod mysql_conversation;
#[path = "dialect/redis_conversation.rs"]
mod redis_conversation;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use pierhead::dialect;

type Check = fn(&[u8], &[usize]);

/// What each target of fuzz/targets checks.
const TARGETS: [(&str, Check); 11] = [
    ("amqp_first_frames", |stream, cuts| first_words::amqp().check(stream, cuts)),
    ("memcached_first_requests", |stream, cuts| first_words::memcached().check(stream, cuts)),
    ("mongodb_first_message", mongodb_conversation::check_first_message),
    ("mqtt_first_packet", |stream, cuts| first_words::mqtt().check(stream, cuts)),
    ("mysql_greeting", mysql_conversation::check_greeting),
    ("mysql_response", mysql_conversation::check_response),
    ("nats_first_line", |stream, cuts| first_words::nats().check(stream, cuts)),
    ("postgres_key_watch", conversation::check_watch),
    ("postgres_startup", conversation::check_startup),
    ("redis_opening", redis_conversation::check_opening),
    ("tls_client_hello", hellos::check_hello),
];

#[test]
fn what_fuzzing_found_keeps_the_promises() {
    for (target, check) in TARGETS {
        let files = files(&format!("fuzz/corpus/{target}"));
        assert!(files.len() >= 20, "{target}: {} files", files.len());
        for file in files {
            let input = fs::read(&file).unwrap();
            let (stream, cuts) = cuts::stream_and_cuts(&input);
            // Which file it was is not in the check's own words.
            let checked = std::panic::catch_unwind(|| check(stream, &cuts));
            assert!(checked.is_ok(), "{}", file.display());
        }
    }
}

#[test]
fn every_target_is_here() {
    let stems = |files: Vec<PathBuf>| -> BTreeSet<_> {
        files.iter().map(|file| file.file_stem().unwrap().to_string_lossy().into_owned()).collect()
    };
    let here: BTreeSet<_> = TARGETS.iter().map(|(target, _)| target.to_string()).collect();
    assert_eq!(stems(files("fuzz/targets")), here);
    assert_eq!(stems(files("fuzz/corpus")), here);
}

fn files(directory: &str) -> Vec<PathBuf> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join(directory);
    let entries = fs::read_dir(&directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    entries.map(|entry| entry.unwrap().path()).collect()
}
