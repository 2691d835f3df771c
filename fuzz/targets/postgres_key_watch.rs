//! A backend's answer: the key must be found alike however it is cut, and nothing may panic.

#![no_main]
#![allow(dead_code, unused_imports, reason = "the files of the dialects, not all of them used here")]

#[path = "../../tests/dialect/conversation.rs"]
mod conversation;
#[path = "../../tests/dialect/cuts.rs"]
mod cuts;
#[path = "../../src/dialect/mod.rs"]
mod dialect;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (stream, cuts) = cuts::stream_and_cuts(data);
    conversation::check_watch(stream, &cuts);
});
