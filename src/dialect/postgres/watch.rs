//! Finds the cancel key in a backend's first answers while they pass by.

use super::cancel::{BODY_LEN, CancelKey};
use super::u32_at;

/// Watches what the backend sends a client, in whatever chunks it comes, until the backend gives out its
/// cancel key. It only looks: the bytes are somebody else's, and nothing is kept of them but a key that
/// spans two chunks.
///
/// Show it each chunk *before* the chunk is sent on, so that the key is known before the client has it.
#[derive(Debug)]
pub struct KeyWatch {
    state: State,
    /// How many bytes more are looked at before it gives up.
    budget: u32,
}

/// What a chunk brought.
#[derive(Debug, PartialEq, Eq)]
#[must_use]
pub enum Watched {
    /// No key yet: show the next chunk too.
    More,
    /// The key. Nothing of interest can follow: the watch is over.
    Key(CancelKey),
    /// The watch is over: the log-in failed, or ended without a key, or this is not the protocol.
    Done,
}

#[derive(Debug)]
enum State {
    /// Inside `type:u8 len:u32`, of which `got` bytes are there.
    Header { got: u8, header: [u8; HEADER_LEN] },
    /// Inside a message that holds no key.
    Skip { left: u32 },
    /// Inside BackendKeyData, which has `len` bytes and began in an earlier chunk.
    Key { body: Vec<u8>, len: usize },
    /// Over.
    Done,
}

impl KeyWatch {
    /// The most that is looked at. A log-in takes under 700 bytes; long notices may come in between.
    pub const BYTES_MAX: u32 = 64 * 1024;

    /// A watch over a connection whose backend has not answered yet.
    pub fn new() -> Self {
        KeyWatch { state: State::NEXT, budget: Self::BYTES_MAX }
    }

    /// Looks at the next bytes from the backend.
    pub fn observe(&mut self, mut chunk: &[u8]) -> Watched {
        loop {
            match &mut self.state {
                State::Done => return Watched::Done,
                State::Header { got, header } => {
                    let missing = header.get_mut(usize::from(*got)..).unwrap_or_default();
                    let taken = take(&mut chunk, missing.len());
                    for (to, from) in missing.iter_mut().zip(taken) {
                        *to = *from;
                    }
                    if taken.len() < missing.len() {
                        *got += taken.len() as u8;
                        return Watched::More;
                    }
                    let header = *header;
                    self.enter(header);
                }
                State::Skip { left } => {
                    *left -= take(&mut chunk, *left as usize).len() as u32;
                    if *left > 0 {
                        return Watched::More;
                    }
                    self.state = State::NEXT;
                }
                State::Key { body, len } => {
                    let taken = take(&mut chunk, *len - body.len());
                    let whole = if taken.len() == *len {
                        taken
                    } else {
                        body.reserve_exact(*len - body.len());
                        body.extend_from_slice(taken);
                        &body[..]
                    };
                    if whole.len() < *len {
                        return Watched::More;
                    }
                    let key = CancelKey::parse(whole);
                    self.state = State::Done;
                    return key.map_or(Watched::Done, Watched::Key);
                }
            }
        }
    }

    /// Decides what to do with the message that `header` begins.
    fn enter(&mut self, header: [u8; HEADER_LEN]) {
        let kind = header[0];
        let len = u32_at(&header, 1).unwrap_or_default();
        let rest = len.checked_sub(4).filter(|_| kind.is_ascii_alphabetic());
        let budget = self.budget.checked_sub(len.saturating_add(1));
        self.state = match (kind, rest, budget) {
            (b'Z' | b'E', ..) | (_, None, _) | (.., None) => State::Done,
            (b'K', Some(len), _) if !BODY_LEN.contains(&(len as usize)) => State::Done,
            (b'K', Some(len), _) => State::Key { body: Vec::new(), len: len as usize },
            (_, Some(left), _) => State::Skip { left },
        };
        self.budget = budget.unwrap_or_default();
    }
}

impl Default for KeyWatch {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// Before the first byte of a message.
    const NEXT: State = State::Header { got: 0, header: [0; HEADER_LEN] };
}

/// Takes up to `count` bytes off the front of `chunk`.
fn take<'a>(chunk: &mut &'a [u8], count: usize) -> &'a [u8] {
    let (taken, rest) = chunk.split_at(count.min(chunk.len()));
    *chunk = rest;
    taken
}

const HEADER_LEN: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    fn message(kind: u8, body: &[u8]) -> Vec<u8> {
        [&[kind][..], &(body.len() as u32 + 4).to_be_bytes(), body].concat()
    }

    fn key(secret: &[u8]) -> Vec<u8> {
        message(b'K', &[&[0, 0, 0, 9][..], secret].concat())
    }

    fn expect_key(watched: Watched, secret: &[u8]) {
        match watched {
            Watched::Key(key) => assert_eq!((key.pid(), key.secret()), (9, secret)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn the_key_is_told_before_the_end_of_its_chunk() {
        let mut watch = KeyWatch::new();
        let login = [message(b'R', &[0; 4]), message(b'S', b"a\0b\0"), message(b'N', b"")].concat();
        assert_eq!(watch.observe(&login), Watched::More);
        expect_key(watch.observe(&[key(b"abcd"), message(b'Z', b"I")].concat()), b"abcd");
        assert_eq!(watch.observe(&key(b"efgh")), Watched::Done);
        assert_eq!(watch.observe(b""), Watched::Done);
    }

    #[test]
    fn a_key_may_be_cut_anywhere() {
        for len in [4, 32, 33, 256] {
            let message = key(&vec![7; len]);
            for cut in 0..message.len() {
                let mut watch = KeyWatch::new();
                assert_eq!(watch.observe(&message[..cut]), Watched::More);
                expect_key(watch.observe(&message[cut..]), &vec![7; len]);
            }
        }
    }

    #[test]
    fn it_ends_where_no_key_can_follow() {
        let endings = [
            message(b'Z', b"I"),
            message(b'E', b"SFATAL\0\0"),
            b"HTTP/1.1 400 Bad Request\r\n".to_vec(),
            b"-ERR\r\n".to_vec(),
            b"S\0\0\0\x03".to_vec(),
            b"S\xff\xff\xff\xff".to_vec(),
            key(b"abc"),
            key(&[0; 257]),
        ];
        for ending in endings {
            let mut watch = KeyWatch::new();
            assert_eq!(watch.observe(&message(b'R', &[0; 4])), Watched::More);
            assert_eq!(watch.observe(&ending), Watched::Done, "{ending:?}");
        }
    }

    #[test]
    fn it_gives_up_after_64_kib() {
        let notice = message(b'N', &[b'x'; 1019]);
        let mut watch = KeyWatch::new();
        for _ in 0..64 {
            assert_eq!(watch.observe(&notice), Watched::More);
        }
        assert_eq!(watch.observe(&key(b"abcd")), Watched::Done);
        let mut watch = KeyWatch::new();
        for _ in 0..63 {
            assert_eq!(watch.observe(&notice), Watched::More);
        }
        expect_key(watch.observe(&key(b"abcd")), b"abcd");
    }

    #[test]
    fn a_watch_is_small() {
        assert!(size_of::<KeyWatch>() <= 48, "{} bytes", size_of::<KeyWatch>());
    }
}
