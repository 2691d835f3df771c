//! The header of the binary protocol (`protocol_binary.h`): 24 bytes, in network order, in front of every request and every
//! answer. `magic:u8 opcode:u8 key_len:u16 extras_len:u8 type:u8 vbucket_or_status:u16 body_len:u32 opaque:u32 cas:u64`;
//! the body is extras, key and value.

use bytes::{BufMut, Bytes, BytesMut};

use super::fault::Fault;

/// The header of a request or an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) magic: u8,
    pub(super) opcode: u8,
    key_len: u16,
    extras_len: u8,
    /// Of an answer.
    pub(super) status: u16,
    body_len: u32,
    opaque: u32,
}

/// The requests that a server answers before a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opcode {
    /// What version is the server?
    Version = 0x0b,
    /// Which ways are there to log in?
    ListMechanisms = 0x20,
    /// A login, or its beginning: the key is the mechanism, the value what it says.
    Auth = 0x21,
    /// More of a login.
    Step = 0x22,
}

impl Opcode {
    /// The one of these that a request has.
    pub(super) fn of(byte: u8) -> Option<Self> {
        [Opcode::Version, Opcode::ListMechanisms, Opcode::Auth, Opcode::Step]
            .into_iter()
            .find(|opcode| *opcode as u8 == byte)
    }
}

impl Header {
    /// The header at the front of these bytes. `None`: it is not all there yet.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER_LEN] = bytes.first_chunk()?;
        let [magic, opcode, k0, k1, extras_len, _, s0, s1, b0, b1, b2, b3, o0, o1, o2, o3, ..] = *bytes;
        Some(Header {
            magic,
            opcode,
            key_len: u16::from_be_bytes([k0, k1]),
            extras_len,
            status: u16::from_be_bytes([s0, s1]),
            body_len: u32::from_be_bytes([b0, b1, b2, b3]),
            opaque: u32::from_be_bytes([o0, o1, o2, o3]),
        })
    }

    /// With its body, in bytes.
    pub(super) fn len(&self) -> usize {
        HEADER_LEN + self.body_len as usize
    }

    /// Whether a client may send it before a login, in the order in which the server looks.
    pub(super) fn check(&self) -> Result<Opcode, Fault> {
        if u32::from(self.key_len) + u32::from(self.extras_len) > self.body_len {
            return Err(Fault::Layout);
        }
        let (empty, keyed) = (self.body_len == 0, self.extras_len == 0 && self.key_len != 0);
        let opcode = Opcode::of(self.opcode).ok_or(Fault::NoLogin(self.opcode))?;
        let fits = match opcode {
            Opcode::Version | Opcode::ListMechanisms => empty,
            Opcode::Auth | Opcode::Step => keyed && self.key_len <= MECHANISM_LEN_MAX,
        };
        if fits { Ok(opcode) } else { Err(Fault::Arguments) }
    }

    /// Key and value of a request without extras.
    pub(super) fn key_and_value<'a>(&self, request: &'a [u8]) -> (&'a [u8], &'a [u8]) {
        let body = request.get(HEADER_LEN..).unwrap_or_default();
        body.split_at_checked(usize::from(self.key_len)).unwrap_or_default()
    }

    /// An answer to this request.
    pub(super) fn answer(&self, status: u16, body: &[u8]) -> Bytes {
        let mut out = BytesMut::with_capacity(HEADER_LEN + body.len());
        out.put_u8(RESPONSE);
        out.put_u8(self.opcode);
        out.put_u32(0);
        out.put_u16(status);
        out.put_u32(body.len() as u32);
        out.put_u32(self.opaque);
        out.put_u64(0);
        out.put_slice(body);
        out.freeze()
    }
}

/// The first byte of every request ...
pub(super) const REQUEST: u8 = 0x80;
/// ... and of every answer.
pub(super) const RESPONSE: u8 = 0x81;

pub(super) const OK: u16 = 0;
pub(super) const TOO_LARGE: u16 = 0x03;
pub(super) const INVALID_ARGUMENTS: u16 = 0x04;
pub(super) const AUTH_ERROR: u16 = 0x20;
pub(super) const CONTINUE: u16 = 0x21;
pub(super) const UNKNOWN_COMMAND: u16 = 0x81;
pub(super) const BUSY: u16 = 0x85;
pub(super) const TEMPORARY_FAILURE: u16 = 0x86;

const HEADER_LEN: usize = 24;

/// The server's MAX_SASL_MECH_LEN.
const MECHANISM_LEN_MAX: u16 = 32;

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(in super::super) fn request(opcode: u8, key: &[u8], value: &[u8]) -> Vec<u8> {
        let body = [key, value].concat();
        let mut out = vec![REQUEST, opcode];
        out.extend((key.len() as u16).to_be_bytes());
        out.extend([0; 4]);
        out.extend((body.len() as u32).to_be_bytes());
        out.extend(b"opaq\0\0\0\0\0\0\0\0");
        [out, body].concat()
    }

    #[test]
    fn a_header_is_read_and_answered() {
        let bytes = request(0x21, b"PLAIN", b"abc");
        assert!((0..24).all(|end| Header::read(&bytes[..end]).is_none()));
        let header = Header::read(&bytes).unwrap();
        assert_eq!((header.len(), header.key_and_value(&bytes)), (32, (&b"PLAIN"[..], &b"abc"[..])));
        let answer = header.answer(AUTH_ERROR, b"no");
        assert_eq!(answer, &b"\x81\x21\0\0\0\0\0\x20\0\0\0\x02opaq\0\0\0\0\0\0\0\0no"[..]);
        assert_eq!(Header::read(&answer).unwrap().status, AUTH_ERROR);
    }

    #[test]
    fn parts_longer_than_the_body_are_what_the_server_calls_an_unknown_command() {
        let mut bytes = request(0x21, b"PLAIN", b"");
        bytes[11] = 4;
        assert_eq!(Header::read(&bytes).unwrap().check(), Err(Fault::Layout));
    }
}
