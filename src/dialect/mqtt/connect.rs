//! The `CONNECT` packet (MQTT 3.1.1 §3.1, MQTT 5 §3.1): `0x10`, a length of one to four bytes with seven bits each, and
//! then, with every string's and datum's length in two bytes before it: the protocol's name, its version, flags, a
//! keep-alive time, in 5 properties; a client id, with a will (in 5 its properties) its topic and payload, a user, a
//! password.

use super::fault::Fault;

/// What the beginning of a packet says.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    /// The whole packet, in bytes.
    pub(super) packet_len: usize,
    /// 3, 4 or 5.
    pub(super) version: u8,
    /// Where its flags stand.
    flags_at: usize,
}

/// What matters here of the rest.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Body<'a> {
    /// The user, if there is one.
    pub(super) user: Option<&'a [u8]>,
    /// How long an answer the client takes, where it says so.
    pub(super) answer_len_max: Option<u32>,
}

/// Reads the beginning, up to the version. `None`: it is not all there yet. What cannot become a `CONNECT` is refused at
/// its first wrong byte.
pub(super) fn head(bytes: &[u8]) -> Result<Option<Head>, Fault> {
    let Some((&kind, rest)) = bytes.split_first() else { return Ok(None) };
    if kind != CONNECT {
        return Err(Fault::FirstByte(kind));
    }
    let Some((len, rest)) = length(rest)? else { return Ok(None) };
    let before = bytes.len() - rest.len();
    // The lengths come before the text: what is wrong must not depend on how much of the packet is there.
    if len < NAME.len() + 1 {
        return Err(Fault::Layout);
    }
    let is_meant = |name: &&[u8]| begins_alike(rest, name.get(..2).unwrap_or_default());
    let Some(name) = [NAME, OLD_NAME].into_iter().find(is_meant) else { return Err(Fault::Name) };
    if len < name.len() + 1 {
        return Err(Fault::Layout);
    }
    if !begins_alike(rest, name) {
        return Err(Fault::Name);
    }
    let Some(&version) = rest.get(name.len()) else { return Ok(None) };
    // The highest bit is how mosquitto tells a broker that the client is a broker too.
    match (name.len(), version & 0x7f) {
        (6, version @ (4 | 5)) | (8, version @ 3) => {
            Ok(Some(Head { packet_len: before + len, version, flags_at: before + name.len() + 1 }))
        }
        _ => Err(Fault::Version(version)),
    }
}

/// Reads the rest of a packet that is whole.
pub(super) fn body<'a>(head: &Head, packet: &'a [u8]) -> Result<Body<'a>, Fault> {
    let mut rest = Rest(packet.get(head.flags_at..).ok_or(Fault::Layout)?);
    let flags = rest.byte()?;
    if head.version > 3 && flags & RESERVED != 0 {
        return Err(Fault::Layout);
    }
    rest.take(2)?; // the keep-alive time
    let five = head.version == 5;
    let answer_len_max = if five { packet_len_max(rest.properties()?) } else { None };
    rest.string()?; // the client id
    if flags & WILL != 0 {
        if five {
            rest.properties()?;
        }
        rest.string()?;
        rest.string()?;
    }
    let user = (flags & USER != 0).then(|| rest.string()).transpose()?;
    if flags & PASSWORD != 0 {
        rest.string()?;
    }
    if rest.0.is_empty() { Ok(Body { user, answer_len_max }) } else { Err(Fault::Layout) }
}

/// A length in up to four bytes, the last of which has its highest bit clear; and what is behind it.
fn length(bytes: &[u8]) -> Result<Option<(usize, &[u8])>, Fault> {
    let mut len = 0;
    for (nth, byte) in bytes.iter().take(4).enumerate() {
        len |= usize::from(byte & 0x7f) << (7 * nth);
        if byte & 0x80 == 0 {
            return Ok(Some((len, bytes.get(nth + 1..).unwrap_or_default())));
        }
    }
    if bytes.len() < 4 { Ok(None) } else { Err(Fault::Length) }
}

/// Whether one of the two is the beginning of the other.
fn begins_alike(bytes: &[u8], expected: &[u8]) -> bool {
    bytes.iter().zip(expected).all(|(one, other)| one == other)
}

/// The Maximum Packet Size among properties (MQTT 5 §3.1.2.11). What is not understood ends the search: the broker will
/// say what it thinks of it.
fn packet_len_max(properties: &[u8]) -> Option<u32> {
    let mut rest = Rest(properties);
    loop {
        match rest.byte().ok()? {
            0x27 => return Some(u32::from_be_bytes(rest.take(4).ok()?.try_into().ok()?)),
            0x11 => drop(rest.take(4).ok()?),
            0x21 | 0x22 => drop(rest.take(2).ok()?),
            0x17 | 0x19 => drop(rest.byte().ok()?),
            0x15 | 0x16 => drop(rest.string().ok()?),
            0x26 => drop((rest.string().ok()?, rest.string().ok()?)),
            _ => return None,
        }
    }
}

/// What has not been read yet.
struct Rest<'a>(&'a [u8]);

impl<'a> Rest<'a> {
    fn take(&mut self, len: usize) -> Result<&'a [u8], Fault> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Fault::Layout)?;
        self.0 = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, Fault> {
        self.take(1)?.first().copied().ok_or(Fault::Layout)
    }

    fn string(&mut self) -> Result<&'a [u8], Fault> {
        let len = self.take(2)?.iter().fold(0, |len, byte| len << 8 | usize::from(*byte));
        self.take(len)
    }

    fn properties(&mut self) -> Result<&'a [u8], Fault> {
        let (len, rest) = length(self.0)?.ok_or(Fault::Layout)?;
        self.0 = rest;
        self.take(len)
    }
}

const CONNECT: u8 = 0x10;

/// The protocol's name with its length, from 3.1.1 on ...
const NAME: &[u8] = b"\0\x04MQTT";
/// ... and in 3.1, which is longer.
const OLD_NAME: &[u8] = b"\0\x06MQIsdp";

const RESERVED: u8 = 0x01;
const WILL: u8 = 0x04;
const PASSWORD: u8 = 0x40;
const USER: u8 = 0x80;

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A packet with these flags and, behind the keep-alive time and in 5 no properties, this payload.
    pub(in super::super) fn packet(name: &str, version: u8, flags: u8, payload: &[u8]) -> Vec<u8> {
        let properties: &[u8] = if version == 5 { b"\0" } else { b"" };
        packet_of(name, version, flags, &[properties, payload].concat())
    }

    fn packet_of(name: &str, version: u8, flags: u8, behind: &[u8]) -> Vec<u8> {
        let head =
            [&(name.len() as u16).to_be_bytes()[..], name.as_bytes(), &[version, flags, 0, 60]].concat();
        let body = [&head[..], behind].concat();
        let mut bytes = vec![CONNECT];
        let mut len = body.len();
        while len > 127 {
            bytes.push(len as u8 & 0x7f | 0x80);
            len >>= 7;
        }
        bytes.push(len as u8);
        [bytes, body].concat()
    }

    fn read(bytes: &[u8]) -> Result<(Option<Vec<u8>>, Option<u32>), Fault> {
        let head = head(bytes)?.expect("whole");
        assert_eq!(head.packet_len, bytes.len());
        body(&head, bytes).map(|body| (body.user.map(<[u8]>::to_vec), body.answer_len_max))
    }

    #[test]
    fn the_user_is_found_behind_everything() {
        let blog = Ok((Some(b"blog".to_vec()), None));
        assert_eq!(read(&packet("MQTT", 4, 0xc2, b"\0\x04cid1\0\x04blog\0\x02pw")), blog);
        assert_eq!(read(&packet("MQTT", 4, 0x80, b"\0\0\0\x04blog")), blog);
        assert_eq!(read(&packet("MQIsdp", 3, 0xc3, b"\0\x01x\0\x04blog\0\0")), blog, "3.1 reserves no flag");
        let will = b"\0\x02id\0\x04user\0\x05\0\x03abc\0\x04blog\0\x02pw";
        assert_eq!(read(&packet("MQTT", 4, 0xc6, will)), blog);
        assert_eq!(read(&packet("MQTT", 4, 0x02, b"\0\x04blog")), Ok((None, None)));
        // 5: properties of the connection and of the will.
        let five = b"\x0c\x11\0\0\0\x01\x26\0\x01a\0\x01b\0\x02id\x02\x01\x01\0\x01t\0\0\0\x04blog";
        assert_eq!(read(&packet_of("MQTT", 5, 0x84, five)), blog);
    }

    #[test]
    fn how_long_an_answer_a_client_takes_is_found_among_its_properties() {
        let with = |properties: &[u8]| {
            let behind = [&[properties.len() as u8][..], properties, b"\0\0\0\x04blog"].concat();
            read(&packet_of("MQTT", 5, 0x80, &behind)).unwrap().1
        };
        let all = b"\x11\0\0\0\x01\x21\0\x01\x22\0\x01\x17\x01\x19\0\x15\0\x01m\x16\0\x01d\x26\0\x01k\0\x01v";
        assert_eq!(with(&[&all[..], b"\x27\0\0\x01\0"].concat()), Some(256));
        assert_eq!(with(all), None);
        assert_eq!(with(b"\x7f\x27\0\0\x01\0"), None, "what is not understood cannot be skipped");
        assert_eq!(with(b"\x27\0\0"), None);
    }

    #[test]
    fn a_wrong_byte_is_found_as_soon_as_it_is_there() {
        assert_eq!(head(b""), Ok(None));
        for first in [0x00, 0x11, 0x20, b'G'] {
            assert_eq!(head(&[first]), Err(Fault::FirstByte(first)));
        }
        assert_eq!(head(b"\x10\x80\x80\x80"), Ok(None));
        assert_eq!(head(b"\x10\x80\x80\x80\x80"), Err(Fault::Length));
        assert_eq!(head(b"\x10\x20\0\x05"), Err(Fault::Name));
        assert_eq!(head(b"\x10\x20\0\x04MQTX"), Err(Fault::Name));
        assert_eq!(head(b"\x10\x02\0\x04"), Err(Fault::Layout));
        for bytes in [&b"\x10\x06"[..], b"\x10\x06\0\x05", b"\x10\x08\0\x06", b"\x10\x08\0\x06MX"] {
            assert_eq!(head(bytes), Err(Fault::Layout), "too short, whatever is in it: {bytes:?}");
        }
        for (name, version) in [("MQTT", 3), ("MQTT", 6), ("MQTT", 0), ("MQIsdp", 4)] {
            assert_eq!(read(&packet(name, version, 0, b"\0\0")), Err(Fault::Version(version)));
        }
    }

    #[test]
    fn a_packet_must_end_where_its_parts_do() {
        let whole = packet("MQTT", 4, 0xc6, b"\0\x02id\0\x01t\0\x01p\0\x04blog\0\x02pw");
        let parts = &whole[2..];
        for end in 8..parts.len() {
            let cut = [&[CONNECT, end as u8][..], &parts[..end]].concat();
            assert_eq!(read(&cut), Err(Fault::Layout), "{end}");
        }
        assert_eq!(read(&packet("MQTT", 4, 0x80, b"\0\0\0\x04blogx")), Err(Fault::Layout));
        assert_eq!(read(&packet("MQTT", 4, 0x81, b"\0\0\0\x04blog")), Err(Fault::Layout), "a reserved flag");
    }
}
