//! An AMQP client's first bytes: the outcome must not depend on how they are cut, and nothing may panic.

#![no_main]
#![allow(dead_code, unused_imports, reason = "the files of the dialects, not all of them used here")]

#[path = "../../tests/dialect/cuts.rs"]
mod cuts;
#[path = "../../src/dialect/mod.rs"]
mod dialect;
#[path = "../../tests/dialect/first_words.rs"]
mod first_words;

use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (stream, cuts) = cuts::stream_and_cuts(data);
    first_words::amqp().check(stream, &cuts);
});
