//! What a backend greets the edge with: the outcome must not depend on how it is cut, and nothing may panic.

#![no_main]
#![allow(dead_code, unused_imports, reason = "the files of the dialects, not all of them used here")]

#[path = "../../tests/dialect/cuts.rs"]
mod cuts;
#[path = "../../src/dialect/mod.rs"]
mod dialect;
#[path = "../../tests/dialect/mysql_conversation.rs"]
mod mysql_conversation;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (stream, cuts) = cuts::stream_and_cuts(data);
    mysql_conversation::check_greeting(stream, &cuts);
});
