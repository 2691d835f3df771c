//! The ClientHello: whom a TLS client means (SNI) and what it is going to speak (ALPN).
//!
//! Wire format: RFC 8446 §4.1.2 and §5.1, RFC 6066 §3 (server_name), RFC 7301 §3.1 (ALPN).

use bytes::{Bytes, BytesMut};

use super::alert::{Alert, Fault};
use crate::dialect::Protocol;
use crate::dialect::words::TLS_HANDSHAKE;

/// What a ClientHello says that matters to the edge.
#[derive(Debug, PartialEq, Eq)]
pub struct ClientHello {
    /// The very bytes, record headers and all, to be replayed.
    pub bytes: Bytes,
    /// The host name that the client wants, in lower case; none if it wants a host without one. Not checked: any
    /// bytes may be in it.
    pub server_name: Option<Box<[u8]>>,
    /// The first protocol that the client offers by ALPN and that Pierhead knows by its ALPN name.
    pub speaks: Option<Protocol>,
}

/// Puts a ClientHello together, which may come in any number of segments and of records. Each byte is looked at
/// once, however they come.
#[derive(Debug, Default)]
pub struct HelloReader {
    /// How much of the input was looked at.
    at: usize,
    /// How much of the current record is still to come.
    record_left: usize,
    /// Records begun.
    records: usize,
    /// The handshake message so far.
    message: Vec<u8>,
}

impl HelloReader {
    /// Looks at what was added to `input` since the last call, and takes the ClientHello off its front once it is
    /// whole.
    pub fn step(&mut self, input: &mut BytesMut) -> Result<Option<ClientHello>, Fault> {
        while !self.is_whole() {
            if self.record_left == 0 && !self.begin_record(input)? {
                return Ok(None);
            }
            let there = input.get(self.at..).unwrap_or_default();
            let fragment = &there[..there.len().min(self.record_left).min(self.wanted())];
            if fragment.is_empty() {
                return Ok(None);
            }
            self.message.extend_from_slice(fragment);
            self.at += fragment.len();
            self.record_left -= fragment.len();
            self.check_header()?;
        }
        let bytes = input.split_to(self.at).freeze();
        let (server_name, speaks) = extensions(&self.message).and_then(read_extensions)?;
        Ok(Some(ClientHello { bytes, server_name, speaks }))
    }

    /// Reads a record's header, if it is there: `16 03 minor len:u16`.
    fn begin_record(&mut self, input: &[u8]) -> Result<bool, Fault> {
        let header = input.get(self.at..).unwrap_or_default();
        if header.first().is_some_and(|kind| *kind != TLS_HANDSHAKE) {
            return Err(Fault::new(Alert::UnexpectedMessage, "not a TLS handshake record"));
        }
        if header.get(1).is_some_and(|major| *major != 3) {
            return Err(Fault::new(Alert::ProtocolVersion, "not a record of TLS 1.0 to 1.3"));
        }
        let Some(&[high, low]) = header.get(3..RECORD_HEADER_LEN) else { return Ok(false) };
        let len = usize::from(u16::from_be_bytes([high, low]));
        if len == 0 {
            return Err(Fault::new(Alert::UnexpectedMessage, "an empty handshake record"));
        }
        if len > RECORD_LEN_MAX {
            return Err(Fault::new(Alert::RecordOverflow, "a record longer than 16 KiB"));
        }
        self.records += 1;
        if self.records > RECORDS_MAX {
            return Err(Fault::new(Alert::DecodeError, "a ClientHello in more than 64 records"));
        }
        self.at += RECORD_HEADER_LEN;
        self.record_left = len;
        Ok(true)
    }

    /// How many bytes the message lacks, as far as is known.
    fn wanted(&self) -> usize {
        match self.len() {
            Some(len) => MESSAGE_HEADER_LEN + len - self.message.len(),
            None => MESSAGE_HEADER_LEN - self.message.len(),
        }
    }

    fn is_whole(&self) -> bool {
        self.wanted() == 0
    }

    /// The length of the message's body: `01 len:u24`.
    fn len(&self) -> Option<usize> {
        let &[_, high, middle, low] = self.message.get(..MESSAGE_HEADER_LEN)? else { return None };
        Some(u32::from_be_bytes([0, high, middle, low]) as usize)
    }

    fn check_header(&self) -> Result<(), Fault> {
        if self.message.first().is_some_and(|kind| *kind != CLIENT_HELLO) {
            return Err(Fault::new(Alert::UnexpectedMessage, "a handshake that begins with no ClientHello"));
        }
        if self.len().is_some_and(|len| len > HELLO_LEN_MAX) {
            return Err(Fault::new(Alert::DecodeError, "a ClientHello longer than 16 KiB"));
        }
        Ok(())
    }
}

/// The extensions of a ClientHello; none in one of an old client.
fn extensions(message: &[u8]) -> Result<&[u8], Fault> {
    let mut body = Cursor(message.get(MESSAGE_HEADER_LEN..).unwrap_or_default());
    let extensions = (|| {
        let version = body.u16()?;
        body.take(32)?; // random
        let session = body.vec8()?;
        let ciphers = body.vec16()?;
        let compression = body.vec8()?;
        let extensions = if body.0.is_empty() { &[] } else { body.vec16()? };
        let fits = session.len() <= 32 && ciphers.len() >= 2 && ciphers.len() % 2 == 0;
        (fits && !compression.is_empty() && body.0.is_empty()).then_some((version, extensions))
    })();
    match extensions {
        Some((SSL_3.., extensions)) => Ok(extensions),
        Some(_) => Err(Fault::new(Alert::ProtocolVersion, "a ClientHello of SSL 2")),
        None => Err(Fault::new(Alert::DecodeError, "a ClientHello whose parts do not fit together")),
    }
}

/// The host name, in lower case, and the first known protocol.
type Wants = (Option<Box<[u8]>>, Option<Protocol>);

/// What SNI and ALPN say.
fn read_extensions(extensions: &[u8]) -> Result<Wants, Fault> {
    let mut rest = Cursor(extensions);
    let (mut server_name, mut alpn) = (None, None);
    while !rest.0.is_empty() {
        let (kind, data) = rest.extension().ok_or(BAD_EXTENSIONS)?;
        let seen = match kind {
            SERVER_NAME => server_name.replace(host_name(data)?).is_some(),
            ALPN => alpn.replace(protocol(data)?).is_some(),
            _ => false,
        };
        if seen {
            return Err(Fault::new(Alert::IllegalParameter, "the same extension twice"));
        }
    }
    let server_name = server_name.flatten().map(|name: &[u8]| name.to_ascii_lowercase().into());
    Ok((server_name, alpn.flatten()))
}

/// The host name in a server_name extension: a list of `kind:u8 name<1..2^16-1>`, of each kind at most one.
fn host_name(data: &[u8]) -> Result<Option<&[u8]>, Fault> {
    let mut names = Cursor(Cursor(data).all16().filter(|list| !list.is_empty()).ok_or(BAD_SERVER_NAME)?);
    let mut host_name = None;
    while !names.0.is_empty() {
        let kind = names.u8().ok_or(BAD_SERVER_NAME)?;
        let name = names.vec16().filter(|name| !name.is_empty()).ok_or(BAD_SERVER_NAME)?;
        if kind == HOST_NAME && host_name.replace(name).is_some() {
            return Err(Fault::new(Alert::IllegalParameter, "two host names"));
        }
    }
    Ok(host_name)
}

/// The first known protocol in an ALPN extension: a list of `name<1..2^8-1>`.
fn protocol(data: &[u8]) -> Result<Option<Protocol>, Fault> {
    let mut names = Cursor(Cursor(data).all16().filter(|list| !list.is_empty()).ok_or(BAD_ALPN)?);
    let mut known = None;
    while !names.0.is_empty() {
        let name = names.vec8().filter(|name| !name.is_empty()).ok_or(BAD_ALPN)?;
        known = known.or_else(|| Protocol::of_alpn(name));
    }
    Ok(known)
}

/// Reads a message's parts off the front; none where something is missing.
struct Cursor<'a>(&'a [u8]);

impl<'a> Cursor<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }

    /// Bytes behind their length, which has 8 bits.
    fn vec8(&mut self) -> Option<&'a [u8]> {
        let len = self.u8()?;
        self.take(len.into())
    }

    /// Bytes behind their length, which has 16 bits.
    fn vec16(&mut self) -> Option<&'a [u8]> {
        let len = self.u16()?;
        self.take(len.into())
    }

    /// The same, where nothing may follow.
    fn all16(mut self) -> Option<&'a [u8]> {
        self.vec16().filter(|_| self.0.is_empty())
    }

    fn extension(&mut self) -> Option<(u16, &'a [u8])> {
        Some((self.u16()?, self.vec16()?))
    }
}

/// The lowest version that a ClientHello of this form can have.
const SSL_3: u16 = 0x0300;

const CLIENT_HELLO: u8 = 1;
const SERVER_NAME: u16 = 0;
const HOST_NAME: u8 = 0;
const ALPN: u16 = 16;

const RECORD_HEADER_LEN: usize = 5;
const MESSAGE_HEADER_LEN: usize = 4;

/// Of a record's plaintext (RFC 8446 §5.1).
const RECORD_LEN_MAX: usize = 1 << 14;
/// With post-quantum key shares, tickets and padding a ClientHello stays below 4 KiB (PROTOCOLS §13).
pub(super) const HELLO_LEN_MAX: usize = 1 << 14;
/// One, as a rule; some clients cut a ClientHello into a few.
const RECORDS_MAX: usize = 64;

const BAD_EXTENSIONS: Fault = Fault::new(Alert::DecodeError, "extensions that do not fit together");
const BAD_SERVER_NAME: Fault = Fault::new(Alert::DecodeError, "a malformed server_name extension");
const BAD_ALPN: Fault = Fault::new(Alert::DecodeError, "a malformed ALPN extension");
