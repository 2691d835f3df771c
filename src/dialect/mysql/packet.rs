//! The form of a packet: `length:u24 sequence:u8 payload`, little endian; and what payloads are made of.

use bytes::{BufMut, Bytes, BytesMut};

/// The length of a packet's header.
pub(super) const HEADER_LEN: usize = 4;

/// What a packet's header says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// The length of the payload in bytes.
    pub(super) len: usize,
    /// The packet's number in the exchange.
    pub(super) sequence: u8,
}

impl Header {
    /// The header at the front of `bytes`, once it is all there.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let &[a, b, c, sequence, ..] = bytes else { return None };
        Some(Header { len: u32::from_le_bytes([a, b, c, 0]) as usize, sequence })
    }
}

/// A packet with what `write` puts into it. A payload of 16 MiB does not fit into one.
pub(super) fn packet(sequence: u8, write: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut out = BytesMut::with_capacity(256);
    out.put_bytes(0, HEADER_LEN);
    write(&mut out);
    let len = (out.len() - HEADER_LEN) as u32;
    let header = out.iter_mut().zip(len.to_le_bytes()).take(3);
    header.for_each(|(to, from)| *to = from);
    if let Some(number) = out.get_mut(3) {
        *number = sequence;
    }
    out.freeze()
}

/// Appends a string and the zero byte behind it.
pub(super) fn put_string(out: &mut BytesMut, text: &[u8]) {
    out.put_slice(text);
    out.put_u8(0);
}

/// Takes a payload apart from its front. Each method is `None` if there is less left than it takes.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    pub(super) fn bytes(&mut self, count: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(count)?;
        self.0 = rest;
        Some(taken)
    }

    pub(super) fn u8(&mut self) -> Option<u8> {
        self.bytes(1)?.first().copied()
    }

    pub(super) fn u16(&mut self) -> Option<u16> {
        Some(u16::from_le_bytes(self.bytes(2)?.try_into().ok()?))
    }

    pub(super) fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.bytes(4)?.try_into().ok()?))
    }

    /// A string that ends with a zero byte.
    pub(super) fn string(&mut self) -> Option<&'a [u8]> {
        let end = self.0.iter().position(|byte| *byte == 0)?;
        let text = self.bytes(end)?;
        self.bytes(1)?;
        Some(text)
    }

    /// A string that ends with a zero byte, or with the payload.
    pub(super) fn string_or_rest(&mut self) -> &'a [u8] {
        self.string().unwrap_or_else(|| std::mem::take(&mut self.0))
    }

    /// A length-encoded integer: one byte, or two, three or eight behind 0xfc, 0xfd, 0xfe. 0xfb and 0xff are none.
    pub(super) fn integer(&mut self) -> Option<u64> {
        let width = match self.u8()? {
            small @ ..=0xfa => return Some(small.into()),
            0xfc => 2,
            0xfd => 3,
            0xfe => 8,
            _ => return None,
        };
        let bytes = self.bytes(width)?;
        Some(bytes.iter().rev().fold(0, |value, byte| value << 8 | u64::from(*byte)))
    }

    /// Bytes behind their length.
    pub(super) fn sized(&mut self) -> Option<&'a [u8]> {
        let len = self.integer()?;
        self.bytes(usize::try_from(len).ok()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_says_how_long_it_is() {
        let packet = packet(7, |out| out.put_bytes(b'x', 0x0102));
        assert_eq!(packet[..5], [2, 1, 0, 7, b'x']);
        assert_eq!(Header::parse(&packet), Some(Header { len: 0x0102, sequence: 7 }));
        assert_eq!(Header::parse(&packet[..3]), None);
    }

    #[test]
    fn integers_have_four_widths() {
        let read = |bytes| Reader(bytes).integer();
        assert_eq!(read(b"\xfa"), Some(0xfa));
        assert_eq!(read(b"\xfc\x01\x02"), Some(0x0201));
        assert_eq!(read(b"\xfd\x01\x02\x03"), Some(0x03_0201));
        assert_eq!(read(b"\xfe\xff\xff\xff\xff\xff\xff\xff\xff"), Some(u64::MAX));
        for none in [&b""[..], b"\xfb", b"\xff\0\0\0\0\0\0\0\0", b"\xfc\0", b"\xfe\0\0\0\0\0\0\0"] {
            assert_eq!(read(none), None, "{none:?}");
        }
        assert_eq!(Reader(b"\xfe\xff\xff\xff\xff\xff\xff\xff\xffab").sized(), None);
    }
}
