//! Bytes that the network or somebody has spoilt, for property tests.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

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
