//! Recordings of real clients, and streams that are not quite right.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::fs;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

fn corpus(protocol: &str) -> String {
    format!("{}/tests/corpus/{protocol}", env!("CARGO_MANIFEST_DIR"))
}

/// What a client was recorded to say.
pub fn recording(protocol: &str, name: &str) -> Vec<u8> {
    fs::read(format!("{}/{name}.bin", corpus(protocol))).expect(name)
}

/// No recording is there that no test knows.
pub fn every_recording_is_tested(protocol: &str, names: &[&str]) {
    let there =
        fs::read_dir(corpus(protocol)).expect(protocol).map(|entry| entry.expect(protocol).file_name());
    let there = there.filter(|name| name.to_string_lossy().ends_with(".bin"));
    assert_eq!(there.count(), names.len());
}

/// Streams with a few bytes changed, lost or added; and noise.
pub fn damaged(stream: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Vec<u8>> {
    let damage = vec((any::<Index>(), any::<u8>(), 0..4), 0..4);
    let damaged = (stream, damage).prop_map(|(mut stream, damage)| {
        for (at, byte, kind) in damage {
            let at = at.index(stream.len() + 1);
            match kind {
                0 if at < stream.len() => stream[at] = byte,
                1 if at < stream.len() => _ = stream.remove(at),
                2 => stream.insert(at, byte),
                _ => stream.truncate(at),
            }
        }
        stream
    });
    prop_oneof![9 => damaged, 1 => vec(any::<u8>(), 0..300)]
}

/// Where a stream may be cut.
pub fn some_cuts() -> impl Strategy<Value = Vec<usize>> {
    vec(0usize..400, 0..12)
}
