//! AMQP 1.0: frames of its SASL layer, and the little of the layer above that an error needs. Source: OASIS "AMQP
//! Version 1.0", part 1 (types), 2.3 (framing), 2.7 (performatives), 5.3 (SASL).
//!
//! A frame is `size:u32 doff:u8 type:u8 channel:u16`, an extended header up to `4 * doff`, then a described list:
//! `00 descriptor list`.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::fault::Fault;
use super::{FRAME_LEN_MAX, HEADER_10, HEADER_LEN, login};
use crate::dialect::{HandshakeStep, Reason};

/// The greeting: the header, and a sasl-mechanisms frame.
pub(super) fn mechanisms() -> Bytes {
    let mechanisms = b"\xe0\x08\x01\xa3\x05PLAIN"; // array8 of one sym8
    let frame = frame(SASL_FRAME, SASL_MECHANISMS, &[mechanisms]);
    [&HEADER_10[..], &frame].concat().into()
}

/// How the login went: a sasl-outcome frame.
pub(super) fn outcome(code: OutcomeCode) -> Bytes {
    frame(SASL_FRAME, SASL_OUTCOME, &[&[UBYTE, code as u8]])
}

/// What a server says that has let a client in, and then ends the connection with an error: the header, an open and a
/// close.
pub(super) fn open_and_close(condition: &str, text: &str) -> Bytes {
    let error = described(ERROR, &[&symbol(condition), &string(text)]);
    let (open, close) =
        (frame(AMQP_FRAME, OPEN, &[&string(CONTAINER_ID)]), frame(AMQP_FRAME, CLOSE, &[&error]));
    [&AMQP_HEADER[..], &open, &close].concat().into()
}

/// The codes of 5.3.3.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum OutcomeCode {
    Ok = 0,
    /// The credentials will not do.
    Auth = 1,
    /// Something else is wrong, and will be the next time.
    SysPerm = 3,
    /// The next time may go better.
    SysTemp = 4,
}

/// The length of the SASL frame at the front, if all of it is there. It is judged as far as it is there.
pub(super) fn frame_len(input: &[u8]) -> Result<Option<usize>, Fault> {
    let mut head = input;
    let Ok(size) = head.try_get_u32() else { return Ok(None) };
    let len = size as usize;
    if !(FRAME_HEAD..=FRAME_LEN_MAX).contains(&len) {
        return Err(Fault::FrameLength(size));
    }
    let Ok(doff) = head.try_get_u8() else { return Ok(None) };
    if !(FRAME_HEAD..=len).contains(&body_at(doff)) {
        return Err(Fault::DataOffset(doff));
    }
    let Ok(kind) = head.try_get_u8() else { return Ok(None) };
    if kind != SASL_FRAME {
        return Err(Fault::FrameType(kind));
    }
    Ok((input.len() >= len).then_some(len))
}

/// The user in a whole frame, which must be a sasl-init: `mechanism:symbol initial-response:binary hostname:string`.
pub(super) fn user(frame: &[u8]) -> Result<&[u8], Fault> {
    let body = frame.get(body_at(frame[4])..).unwrap_or_default();
    let mut fields = list(SASL_INIT, body).ok_or(Fault::Performative)?;
    let mechanism = take_variable(&mut fields, [SYM8, SYM32]).ok_or(Fault::Layout)?;
    let response = match fields.first() {
        None | Some(&NULL) => &[],
        _ => take_variable(&mut fields, [VBIN8, VBIN32]).ok_or(Fault::Layout)?,
    };
    login::user(mechanism, response)
}

/// How long a server's header and its sasl-mechanisms frame are.
pub(super) fn measure_mechanisms(input: &[u8]) -> Result<Option<usize>, HandshakeStep> {
    if !input.iter().zip(HEADER_10).all(|(byte, expected)| byte == expected) {
        let text = "its server does not speak AMQP 1.0: enable its plugin rabbitmq_amqp1_0";
        return Err(HandshakeStep::Refuse(Reason::Unreachable, text.into()));
    }
    let Some(mut frame) = input.get(HEADER_LEN..) else { return Ok(None) };
    let Ok(size) = frame.try_get_u32() else { return Ok(None) };
    let whole = HEADER_LEN + size as usize;
    if input.len() < whole {
        return Ok(None);
    }
    let body = frame.first().and_then(|doff| input.get(HEADER_LEN + body_at(*doff)..whole));
    if body.and_then(|body| list(SASL_MECHANISMS, body)).is_none() {
        let text = "its server does not begin with the mechanisms that it knows";
        return Err(HandshakeStep::Refuse(Reason::Unreachable, text.into()));
    }
    Ok(Some(whole))
}

fn body_at(doff: u8) -> usize {
    4 * usize::from(doff)
}

/// The fields of a described list with this descriptor, in any of the ways in which both can be written.
fn list(descriptor: u8, body: &[u8]) -> Option<&[u8]> {
    let mut rest = body.strip_prefix(&[DESCRIBED])?;
    let found = match rest.try_get_u8().ok()? {
        SMALLULONG => u64::from(rest.try_get_u8().ok()?),
        ULONG => rest.try_get_u64().ok()?,
        _ => return None,
    };
    if found != u64::from(descriptor) {
        return None;
    }
    // The size counts the number of fields, which is of no use here: their end is known.
    let (size, count_len) = match rest.try_get_u8().ok()? {
        LIST0 => return Some(&[]),
        LIST8 => (usize::from(rest.try_get_u8().ok()?), 1),
        LIST32 => (rest.try_get_u32().ok()? as usize, 4),
        _ => return None,
    };
    rest.split_off(..size)?.get(count_len..)
}

/// Takes a value whose length is written in one byte or in four, after the constructor.
fn take_variable<'a>(fields: &mut &'a [u8], [short, long]: [u8; 2]) -> Option<&'a [u8]> {
    let len = match fields.try_get_u8().ok()? {
        kind if kind == short => usize::from(fields.try_get_u8().ok()?),
        kind if kind == long => fields.try_get_u32().ok()? as usize,
        _ => return None,
    };
    fields.split_off(..len)
}

fn frame(kind: u8, descriptor: u8, fields: &[&[u8]]) -> Bytes {
    let body = described(descriptor, fields);
    let mut frame = BytesMut::with_capacity(FRAME_HEAD + body.len());
    frame.put_u32((FRAME_HEAD + body.len()) as u32);
    frame.put_slice(&[2, kind, 0, 0]);
    frame.put_slice(&body);
    frame.freeze()
}

fn described(descriptor: u8, fields: &[&[u8]]) -> Vec<u8> {
    let values = fields.concat();
    let mut out = vec![DESCRIBED, SMALLULONG, descriptor, LIST32];
    out.put_u32(values.len() as u32 + 4);
    out.put_u32(fields.len() as u32);
    out.extend(values);
    out
}

/// A symbol of at most 255 bytes, as all that are used here.
fn symbol(text: &str) -> Vec<u8> {
    [&[SYM8, text.len() as u8], text.as_bytes()].concat()
}

fn string(text: &str) -> Vec<u8> {
    let mut out = vec![STR32];
    out.put_u32(text.len() as u32);
    out.extend(text.as_bytes());
    out
}

/// The header of the layer behind the login.
pub(super) const AMQP_HEADER: &[u8; HEADER_LEN] = b"AMQP\0\x01\0\0";

/// What the edge is called where a name must be given.
const CONTAINER_ID: &str = "pierhead";

const AMQP_FRAME: u8 = 0;
const SASL_FRAME: u8 = 1;
/// Size, data offset, type and channel.
const FRAME_HEAD: usize = 8;

/// The descriptors, as small unsigned longs.
const OPEN: u8 = 0x10;
const CLOSE: u8 = 0x18;
const ERROR: u8 = 0x1d;
const SASL_MECHANISMS: u8 = 0x40;
const SASL_INIT: u8 = 0x41;
const SASL_OUTCOME: u8 = 0x44;

/// The constructors of 1.6.
const DESCRIBED: u8 = 0x00;
const NULL: u8 = 0x40;
const LIST0: u8 = 0x45;
const UBYTE: u8 = 0x50;
const SMALLULONG: u8 = 0x53;
const ULONG: u8 = 0x80;
const VBIN8: u8 = 0xa0;
const SYM8: u8 = 0xa3;
const VBIN32: u8 = 0xb0;
const STR32: u8 = 0xb1;
const SYM32: u8 = 0xb3;
const LIST8: u8 = 0xc0;
const LIST32: u8 = 0xd0;
