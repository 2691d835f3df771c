//! How much of a promise one check looks at. A test looks at all of it. A fuzzer, which makes millions of inputs and to which
//! the cuts are input like the bytes, looks at a part of it that the input picks: so each part meets each kind of stream, and
//! an execution costs what a few connections cost.

#![allow(unexpected_cfgs, reason = "`fuzzing` is set by fuzz/run")]

use crate::cuts::everywhere;
use crate::dialect::Reason;

/// What a stream's outcome is compared with: that of one byte at a time. A fuzzer does so with short streams and with some
/// of the others; most of the others it compares with the stream in one piece.
pub fn reference(stream: &[u8]) -> Vec<usize> {
    match cfg!(fuzzing) && stream.len() > SHORT_LEN && picked(stream, ONE_IN) != 0 {
        true => vec![],
        false => everywhere(stream),
    }
}

/// The reasons for which a client is refused at one point of `stream`: all. A fuzzer tries one, with one stream in 32: most
/// of the time of an execution would go into texts.
pub fn reasons(stream: &[u8]) -> &'static [Reason] {
    if has_words(stream) { one_of(&Reason::ALL, stream) } else { &[] }
}

/// Whether it is looked at what a refused client is told, where that costs more than all the rest.
pub fn has_words(stream: &[u8]) -> bool {
    !cfg!(fuzzing) || picked(&stream[..stream.len() / 2], 32) == 0
}

/// All of these; with a fuzzer the one that `stream` picks.
pub fn one_of<'a, T>(all: &'a [T], stream: &[u8]) -> &'a [T] {
    let at = picked(stream, all.len());
    if cfg!(fuzzing) { &all[at..=at] } else { all }
}

/// How many times a text is repeated that is to be too long; with a fuzzer mostly once.
pub fn repeat(stream: &[u8]) -> usize {
    if cfg!(fuzzing) && picked(stream, ONE_IN) != 0 { 1 } else { 200 }
}

fn picked(stream: &[u8], of: usize) -> usize {
    stream.iter().fold(stream.len(), |sum, byte| sum.wrapping_mul(31).wrapping_add(usize::from(*byte))) % of
}

/// Streams up to this length are always fed byte by byte too.
const SHORT_LEN: usize = 32;
/// What costs a lot is done for one stream of so many.
const ONE_IN: usize = 16;
