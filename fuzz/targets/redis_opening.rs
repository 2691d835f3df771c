//! A Redis client's first bytes: the outcome must not depend on how they are cut, and nothing may panic.

#![no_main]
#![allow(dead_code, unused_imports, reason = "the files of the dialects, not all of them used here")]

#[path = "../../tests/dialect/cuts.rs"]
mod cuts;
#[path = "../../src/dialect/mod.rs"]
mod dialect;
#[path = "../../tests/dialect/redis_conversation.rs"]
mod redis_conversation;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (stream, cuts) = cuts::stream_and_cuts(data);
    redis_conversation::check_opening(stream, &cuts);
});
