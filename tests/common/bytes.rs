//! Random numbers and endless streams of bytes, each known by its seed.

use std::io::{self, Read};
use std::sync::OnceLock;

/// SplitMix64: small, seeded, good enough.
#[derive(Clone)]
pub struct Random(pub u64);

impl Random {
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// The endless stream of bytes that belongs to a seed: a walk round a table of random bytes. Two streams, and two
/// places in one stream, differ unless they are a whole round apart.
pub struct Stream {
    at: usize,
}

impl Stream {
    pub fn new(seed: u64) -> Self {
        Stream { at: seed as usize % TABLE_LEN }
    }

    /// The next bytes of the stream.
    pub fn fill(&mut self, mut buffer: &mut [u8]) {
        while !buffer.is_empty() {
            let piece = &table()[self.at..];
            let count = piece.len().min(buffer.len());
            let (filled, rest) = buffer.split_at_mut(count);
            filled.copy_from_slice(&piece[..count]);
            buffer = rest;
            self.at = (self.at + count) % TABLE_LEN;
        }
    }

    /// The next `count` bytes of the stream.
    pub fn take(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = vec![0; count];
        self.fill(&mut bytes);
        bytes
    }

    /// Reads `from` to its end, and compares. Returns how many bytes came before the end or the error.
    pub fn read_and_compare(&mut self, mut from: impl Read) -> Result<(u64, io::Result<()>), String> {
        let (mut got, mut want) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
        let mut total = 0;
        loop {
            match from.read(&mut got) {
                Ok(0) => return Ok((total, Ok(()))),
                Ok(count) => {
                    self.fill(&mut want[..count]);
                    if got[..count] != want[..count] {
                        return Err(format!("wrong bytes between {total} and {}", total + count as u64));
                    }
                    total += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Ok((total, Err(error))),
            }
        }
    }
}

/// A prime, so that no power of two is a whole round.
const TABLE_LEN: usize = 1_048_573;

fn table() -> &'static [u8] {
    static TABLE: OnceLock<Vec<u8>> = OnceLock::new();
    TABLE.get_or_init(|| {
        let mut random = Random(1);
        (0..TABLE_LEN).map(|_| random.next() as u8).collect()
    })
}
