//! What several dialects say alike.

use std::fmt::Write as _;

/// `bytes` as text that is safe to show anywhere: printable ASCII as it is, anything else as `\xNN`, as in
/// PostgreSQL's pg_clean_ascii; cut after `max` bytes.
pub(super) fn printable(bytes: &[u8], max: usize) -> String {
    let mut text = String::with_capacity(bytes.len().min(max));
    for &byte in bytes.iter().take(max) {
        match byte {
            b' '..=b'~' => text.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => _ = write!(text, "\\x{byte:02x}"),
        }
    }
    if bytes.len() > max {
        text.push_str("...");
    }
    text
}

/// Looks for the end of a line that comes in pieces, each byte once: who sends a long one byte by byte would otherwise have
/// it searched from its beginning each time.
#[derive(Debug, Default)]
pub(super) struct LineEnd {
    /// How many bytes at the front of the input are known to have no line feed.
    searched: usize,
}

impl LineEnd {
    /// Where the first line feed of `input` is. Once one was found, the search begins anew.
    pub(super) fn find(&mut self, input: &[u8]) -> Option<usize> {
        let rest = input.get(self.searched..).unwrap_or_default();
        let end = rest.iter().position(|byte| *byte == b'\n').map(|at| self.searched + at);
        self.searched = if end.is_some() { 0 } else { input.len() };
        end
    }
}

/// The first byte of a ClientHello.
pub(super) const TLS_HANDSHAKE: u8 = 0x16;

/// Fatal alert 40, handshake_failure: there are no parameters of TLS that both sides could agree on.
pub(super) const HANDSHAKE_FAILURE: &[u8] = b"\x15\x03\x03\x00\x02\x02\x28";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_line_is_found_wherever_it_is_cut() {
        let mut end = LineEnd::default();
        assert_eq!(
            [&b""[..], b"a", b"ab", b"ab\nc\n"].map(|input| end.find(input)),
            [None, None, None, Some(2)]
        );
        assert_eq!([&b"c"[..], b"c\n", b"\n"].map(|input| end.find(input)), [None, Some(1), Some(0)]);
    }

    #[test]
    fn what_is_shown_is_short_and_printable() {
        assert_eq!(printable(b"abc", 3), "abc");
        assert_eq!(printable(b"abcd", 3), "abc...");
        assert_eq!(printable("\u{e9}\0\x1b[2J".as_bytes(), 9), "\\xc3\\xa9\\x00\\x1b[2J");
    }
}
