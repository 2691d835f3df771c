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

/// The first byte of a ClientHello.
pub(super) const TLS_HANDSHAKE: u8 = 0x16;

/// Fatal alert 40, handshake_failure: there are no parameters of TLS that both sides could agree on.
pub(super) const HANDSHAKE_FAILURE: &[u8] = b"\x15\x03\x03\x00\x02\x02\x28";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_short_and_printable() {
        assert_eq!(printable(b"abc", 3), "abc");
        assert_eq!(printable(b"abcd", 3), "abc...");
        assert_eq!(printable("\u{e9}\0\x1b[2J".as_bytes(), 9), "\\xc3\\xa9\\x00\\x1b[2J");
    }
}
