//! AMQP 0-9-1: frames, Connection.Start and Start-Ok, Connection.Close. Source: "AMQP 0-9-1", 2.3.5 "Frame details" and
//! the class `connection` of its XML.
//!
//! A frame is `type:u8 channel:u16 len:u32 payload[len] CE`; of type 1 (method) the payload is
//! `class:u16 method:u16 arguments`.

use std::sync::LazyLock;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::fault::Fault;
use super::{FRAME_LEN_MAX, login};
use crate::dialect::{HandshakeStep, Reason};

/// The greeting: Connection.Start. What it tells the client is what the client believes for good, so it is what
/// RabbitMQ says, of the oldest version that is cared about: libraries look at the product and at the number.
pub(super) fn start() -> Bytes {
    static START: LazyLock<Bytes> = LazyLock::new(|| {
        let mut capabilities = BytesMut::new();
        for capability in CAPABILITIES {
            put_short(&mut capabilities, capability);
            capabilities.put_slice(b"t\x01");
        }
        let mut properties = BytesMut::new();
        put_short(&mut properties, b"capabilities");
        properties.put_u8(b'F');
        put_long(&mut properties, &capabilities);
        for (name, value) in SERVER_PROPERTIES {
            put_short(&mut properties, name);
            properties.put_u8(b'S');
            put_long(&mut properties, value);
        }
        method(START_METHOD, |arguments| {
            arguments.put_slice(b"\x00\x09"); // version-major, version-minor
            put_long(arguments, &properties);
            put_long(arguments, b"PLAIN AMQPLAIN");
            put_long(arguments, b"en_US");
        })
    });
    START.clone()
}

/// The error that ends a connection: Connection.Close. A text is cut after 255 bytes.
pub(super) fn close(code: u16, text: &str) -> Bytes {
    method(CLOSE_METHOD, |arguments| {
        arguments.put_u16(code);
        put_short(arguments, &text.as_bytes()[..text.len().min(255)]);
        arguments.put_u32(0); // the method that has failed: none in particular
    })
}

/// The length of the method frame at the front, if all of it is there. It is judged as far as it is there.
pub(super) fn frame_len(input: &[u8]) -> Result<Option<usize>, Fault> {
    let mut head = input;
    let Ok(kind) = head.try_get_u8() else { return Ok(None) };
    if kind != METHOD_FRAME {
        return Err(Fault::FrameType(kind));
    }
    let Ok(channel) = head.try_get_u16() else { return Ok(None) };
    if channel != 0 {
        return Err(Fault::Channel(channel));
    }
    let Ok(payload) = head.try_get_u32() else { return Ok(None) };
    let len = payload as usize + FRAME_OVERHEAD;
    if len > FRAME_LEN_MAX {
        return Err(Fault::FrameLength(payload));
    }
    match input.get(len - 1) {
        None => Ok(None),
        Some(&FRAME_END) => Ok(Some(len)),
        Some(&other) => Err(Fault::FrameEnd(other)),
    }
}

/// The user in a whole frame, which must be a Start-Ok:
/// `client-properties:table mechanism:shortstr response:longstr locale:shortstr`.
pub(super) fn user(frame: &[u8]) -> Result<&[u8], Fault> {
    let mut payload = frame.get(FRAME_HEAD..frame.len() - 1).unwrap_or_default();
    let method = payload.try_get_u32().map_err(|_| Fault::Layout)?;
    if method != START_OK_METHOD {
        return Err(Fault::Method((method >> 16) as u16, method as u16));
    }
    let mut arguments = || {
        take_long(&mut payload)?;
        let (mechanism, response) = (take_short(&mut payload)?, take_long(&mut payload)?);
        take_short(&mut payload)?;
        payload.is_empty().then_some((mechanism, response))
    };
    let (mechanism, response) = arguments().ok_or(Fault::Layout)?;
    login::user(mechanism, response)
}

/// How long a server's Connection.Start is.
pub(super) fn measure_start(input: &[u8]) -> Result<Option<usize>, HandshakeStep> {
    let begins = [METHOD_FRAME, 0, 0];
    if !input.iter().zip(&begins).all(|(byte, expected)| byte == expected) {
        let text = "its server does not speak AMQP 0-9-1";
        return Err(HandshakeStep::Refuse(Reason::Unreachable, text.into()));
    }
    let Some(mut payload) = input.get(begins.len()..) else { return Ok(None) };
    let Ok(len) = payload.try_get_u32() else { return Ok(None) };
    let whole = len as usize + FRAME_OVERHEAD;
    if input.len() < whole {
        return Ok(None);
    }
    if payload.try_get_u32() != Ok(START_METHOD) || input.get(whole - 1) != Some(&FRAME_END) {
        let text = "its server does not begin with Connection.Start";
        return Err(HandshakeStep::Refuse(Reason::Unreachable, text.into()));
    }
    Ok(Some(whole))
}

fn method(method: u32, put_arguments: impl FnOnce(&mut BytesMut)) -> Bytes {
    let mut frame = BytesMut::new();
    frame.put_slice(&[METHOD_FRAME, 0, 0, 0, 0, 0, 0]);
    frame.put_u32(method);
    put_arguments(&mut frame);
    let len = (frame.len() - FRAME_HEAD) as u32;
    frame[3..FRAME_HEAD].copy_from_slice(&len.to_be_bytes());
    frame.put_u8(FRAME_END);
    frame.freeze()
}

/// A shortstr: at most 255 bytes, as all that are put here have.
fn put_short(out: &mut BytesMut, text: &[u8]) {
    out.put_u8(text.len() as u8);
    out.put_slice(text);
}

/// A longstr, or a table.
fn put_long(out: &mut BytesMut, bytes: &[u8]) {
    out.put_u32(bytes.len() as u32);
    out.put_slice(bytes);
}

fn take_short<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = input.try_get_u8().ok()?;
    input.split_off(..usize::from(len))
}

fn take_long<'a>(input: &mut &'a [u8]) -> Option<&'a [u8]> {
    let len = input.try_get_u32().ok()?;
    input.split_off(..len as usize)
}

/// What RabbitMQ 3.10 can, and every later one.
const CAPABILITIES: [&[u8]; 9] = [
    b"publisher_confirms",
    b"exchange_exchange_bindings",
    b"basic.nack",
    b"consumer_cancel_notify",
    b"connection.blocked",
    b"consumer_priorities",
    b"authentication_failure_close",
    b"per_consumer_qos",
    b"direct_reply_to",
];
const SERVER_PROPERTIES: [(&[u8], &[u8]); 4] = [
    (b"information", b"Reached through Pierhead"),
    (b"platform", b"Erlang/OTP"),
    (b"product", b"RabbitMQ"),
    (b"version", b"3.10.0"),
];

const METHOD_FRAME: u8 = 1;
const FRAME_END: u8 = 0xce;
/// Type, channel and length.
const FRAME_HEAD: usize = 7;
/// The same and the end.
const FRAME_OVERHEAD: usize = 8;

const START_METHOD: u32 = 10 << 16 | 10;
const START_OK_METHOD: u32 = 10 << 16 | 11;
const CLOSE_METHOD: u32 = 10 << 16 | 50;
