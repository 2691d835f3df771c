//! How the network cuts a stream into chunks: at *cuts*, places in the stream in any order, any of which may lie outside.
//! Shared by the property tests and the fuzz targets.
#![allow(dead_code, unused_imports, reason = "each of them uses a part of it")]

#[path = "effort.rs"]
mod effort;

pub use effort::{has_words, one_of, reasons, reference, repeat};

/// A cut at every byte.
pub fn everywhere(stream: &[u8]) -> Vec<usize> {
    (0..stream.len()).collect()
}

/// Where the chunks end, in order; the last one ends with the stream.
pub fn ends(stream: &[u8], cuts: &[usize]) -> Vec<usize> {
    let mut ends: Vec<usize> = cuts.iter().copied().filter(|&cut| cut < stream.len()).collect();
    ends.push(stream.len());
    ends.sort_unstable();
    ends
}

/// A fuzzer's input: a stream, then the lengths of its chunks, then how many those are.
pub fn stream_and_cuts(data: &[u8]) -> (&[u8], Vec<usize>) {
    let Some((&count, data)) = data.split_last() else { return (&[], Vec::new()) };
    let (stream, lengths) = data.split_at(data.len().saturating_sub(usize::from(count)));
    let cuts = lengths.iter().scan(0, |end, &length| {
        *end += usize::from(length);
        Some(*end)
    });
    (stream, cuts.collect())
}
