//! One message off the front of a client's bytes
//! (<https://www.mongodb.com/docs/manual/reference/mongodb-wire-protocol/>). All numbers are little-endian.

use bytes::{BufMut, Bytes, BytesMut};

use super::bson::{self, Document, NoBson, Writer};
use super::fault::Fault;

/// The header that every message begins with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// The whole message, with the header.
    pub(crate) len: usize,
    /// The number that the answer has to name.
    pub(crate) request_id: i32,
    /// In which of the two ways the client speaks, and so wants to be answered.
    pub(crate) family: Family,
}

/// The two ways in which a command can be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Family {
    /// OP_MSG, since version 3.6.
    Msg,
    /// OP_QUERY to a collection `$cmd`: what many drivers still begin with, for servers before 3.6.
    Query,
}

impl Header {
    pub(crate) const LEN: usize = 16;

    /// The header at the front of `input`; `None` if it is not there yet.
    pub(crate) fn parse(input: &[u8]) -> Result<Option<Self>, Fault> {
        // The server looks for HTTP too: it says so to whoever tries it with a browser.
        if input.starts_with(b"GET ") {
            return Err(Fault::Http);
        }
        if is_tls(input) {
            return Err(Fault::Tls);
        }
        let Some(header) = input.first_chunk::<{ Header::LEN }>() else { return Ok(None) };
        let word =
            |at: usize| header[at..].first_chunk().map_or(0, |bytes: &[u8; 4]| i32::from_le_bytes(*bytes));
        let (len, opcode) = (word(0), word(12));
        let family = match opcode {
            OP_MSG => Family::Msg,
            OP_QUERY => Family::Query,
            _ => return Err(Fault::Opcode(opcode)),
        };
        let len = usize::try_from(len).ok().filter(|len| (Header::LEN..=SERVER_LEN_MAX).contains(len));
        let len = len.ok_or(Fault::Length(word(0)))?;
        Ok(Some(Header { len, request_id: word(4), family }))
    }
}

/// The command that a whole message carries.
pub(crate) fn command(family: Family, message: &[u8]) -> Result<Document<'_>, Fault> {
    let body = message.get(Header::LEN..).unwrap_or_default();
    match family {
        Family::Msg => command_of_msg(body),
        Family::Query => command_of_query(body),
    }
}

/// A message with one document, in the way of `family`. `response_to` is the number of the message that it answers;
/// its own is of no use to anybody.
pub(crate) fn encode(family: Family, response_to: i32, document: Writer) -> Bytes {
    let document = document.finish();
    let (opcode, head) = match family {
        // No flags, and a section that is one document.
        Family::Msg => (OP_MSG, &[0; 5][..]),
        // A flag of every answer of the server's (AwaitCapable), no cursor, and the first of one document.
        Family::Query => (OP_REPLY, b"\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0".as_slice()),
    };
    let len = Header::LEN + head.len() + document.len();
    let mut out = BytesMut::with_capacity(len);
    for word in [len as i32, 0, response_to, opcode] {
        out.put_i32_le(word);
    }
    out.put_slice(head);
    out.put_slice(&document);
    out.freeze()
}

/// Flags, sections, and a checksum if the flags say so. One of the sections is the command.
fn command_of_msg(body: &[u8]) -> Result<Document<'_>, Fault> {
    let mut rest = body;
    let flags = bson::take(&mut rest, 4)?;
    if flags[0] & CHECKSUM_PRESENT != 0 {
        rest = rest.get(..rest.len().wrapping_sub(CHECKSUM_LEN)).ok_or(NoBson)?;
    }
    let mut command = None;
    while let Some((kind, section)) = rest.split_first() {
        rest = section;
        match kind {
            0 => {
                let (document, len) = Document::at_front(rest)?;
                bson::take(&mut rest, len)?;
                if command.replace(document).is_some() {
                    return Err(Fault::Sections);
                }
            }
            // A sequence of documents, which hello has no use for. The length counts itself.
            1 => {
                let len = bson::length(&mut rest)?.checked_sub(4).ok_or(NoBson)?;
                bson::take(&mut rest, len)?;
            }
            _ => return Err(Fault::Sections),
        }
    }
    command.ok_or(Fault::Sections)
}

/// Flags, the collection, two numbers, and the command. What is behind it (which fields are wanted) is not looked
/// at.
fn command_of_query(body: &[u8]) -> Result<Document<'_>, Fault> {
    let mut rest = body;
    bson::take(&mut rest, 4)?;
    let collection = bson::cstring(&mut rest)?;
    if !collection.ends_with(b".$cmd") {
        return Err(Fault::NoCommand);
    }
    bson::take(&mut rest, 8)?;
    Ok(Document::at_front(rest)?.0)
}

/// Whether this is a TLS record with a handshake inside. As a length its first four bytes would be beyond every limit.
fn is_tls(input: &[u8]) -> bool {
    matches!(input, [0x16, 3, 1..=4, ..])
}

const OP_REPLY: i32 = 1;
const OP_QUERY: i32 = 2004;
pub(crate) const OP_MSG: i32 = 2013;

/// The first byte of the flags has it.
const CHECKSUM_PRESENT: u8 = 1;
const CHECKSUM_LEN: usize = 4;

/// The server's MaxMessageSizeBytes: beyond it a length is nonsense.
const SERVER_LEN_MAX: usize = 48_000_000;
