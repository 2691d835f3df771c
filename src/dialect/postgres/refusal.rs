//! What a refused client is told: an ErrorResponse, in the server's own words where the server has them.

use std::borrow::Cow;

use bytes::{BufMut, Bytes, BytesMut};

use super::fault::Fault;
use crate::dialect::words::{HANDSHAKE_FAILURE, printable};
use crate::dialect::{Name, Reason, Refusal};

/// What a client can understand at the point where it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Voice {
    /// Nothing: either it waits for the one byte that answers an encryption request (libpq hides what is sent
    /// instead, CVE-2024-10977), or it has sent a cancel request, which is never answered.
    #[default]
    Silence,
    /// An ErrorResponse.
    Error,
    /// The answer to its encryption request that is still owed, and then an ErrorResponse.
    NoThenError,
    /// A TLS alert.
    Alert,
}

/// The bytes for a client that is refused. `fault` is what was wrong with its own bytes, if anything was.
pub(super) fn bytes(voice: Voice, fault: Option<&Fault>, refusal: &Refusal) -> Bytes {
    let prefix = match voice {
        Voice::Silence => return Bytes::new(),
        // (The server sends nothing; libpq then shows an unexplained EOF.)
        Voice::Alert => return Bytes::from_static(HANDSHAKE_FAILURE),
        Voice::Error => b"",
        Voice::NoThenError => NO,
    };
    match fault.filter(|fault| fault.reason() == refusal.reason) {
        Some(fault) if fault.is_protocol_2() => fault.words().encode_for_protocol_2(),
        Some(fault) => fault.words().encode(prefix),
        None => words(refusal).encode(prefix),
    }
}

/// The words for a refusal that the client's bytes are not to blame for.
fn words(refusal: &Refusal) -> Words<'_> {
    let addon = refusal.name.as_ref().map_or("the addon".to_owned(), |name| format!("addon \"{name}\""));
    let name = refusal.name.as_ref().map_or("NAME", Name::as_str);
    let (sqlstate, message, hint): (_, Cow<'_, str>, Cow<'_, str>) = match refusal.reason {
        Reason::UnknownName => (INVALID_AUTHORIZATION, no_addon_named(name), LOGIN_HINT.into()),
        Reason::Starting => (CANNOT_CONNECT_NOW, format!("{addon} is starting up").into(), RETRY_HINT.into()),
        Reason::Stopped => (
            CANNOT_CONNECT_NOW,
            format!("{addon} is stopped").into(),
            format!("\"pierhead start {name}\" starts it.").into(),
        ),
        Reason::Unreachable => (
            CANNOT_CONNECT_NOW,
            format!("{addon} is not reachable").into(),
            format!("Retry in a few seconds; \"pierhead info {name}\" shows what is wrong.").into(),
        ),
        Reason::TooManyConnections => (
            TOO_MANY_CONNECTIONS,
            "sorry, too many clients already".into(),
            "Close connections that are not needed, or share them through a pool, and retry.".into(),
        ),
        Reason::TooSlow => (
            PROTOCOL_VIOLATION,
            "timed out waiting for the startup packet".into(),
            "Retry; if it happens again, look at the network between the client and this server.".into(),
        ),
        Reason::TooBig => (PROTOCOL_VIOLATION, "invalid length of startup packet".into(), CLIENT_HINT.into()),
        Reason::Malformed | Reason::PlaintextInjection => {
            (PROTOCOL_VIOLATION, "invalid startup packet layout".into(), CLIENT_HINT.into())
        }
        Reason::Draining => (CANNOT_CONNECT_NOW, "the edge is shutting down".into(), RETRY_HINT.into()),
    };
    Words { sqlstate, message, detail: refusal.detail.as_str().into(), hint }
}

pub(super) fn no_addon_named(name: &str) -> Cow<'static, str> {
    format!("no addon named \"{name}\"").into()
}

/// An ErrorResponse before it is encoded.
pub(super) struct Words<'a> {
    pub(super) sqlstate: &'static str,
    pub(super) message: Cow<'a, str>,
    pub(super) detail: Cow<'a, str>,
    pub(super) hint: Cow<'a, str>,
}

impl Words<'_> {
    fn encode(&self, prefix: &[u8]) -> Bytes {
        let fields = [
            (b'S', "FATAL"),
            (b'V', "FATAL"),
            (b'C', self.sqlstate),
            (b'M', &self.message),
            (b'D', &self.detail),
            (b'H', &self.hint),
        ];
        let mut body = BytesMut::new();
        for (code, text) in fields.into_iter().filter(|(_, text)| !text.is_empty()) {
            body.put_u8(code);
            body.put_slice(printable(text.as_bytes(), FIELD_LEN_MAX).as_bytes());
            body.put_u8(0);
        }
        body.put_u8(0);
        let mut out = BytesMut::with_capacity(prefix.len() + 5 + body.len());
        out.put_slice(prefix);
        out.put_u8(b'E');
        out.put_u32(body.len() as u32 + 4);
        out.put_slice(&body);
        out.freeze()
    }

    /// One string, as the server still sends it to clients that speak protocol 2.
    fn encode_for_protocol_2(&self) -> Bytes {
        Bytes::from(format!("EFATAL:  {}\n\0", printable(self.message.as_bytes(), FIELD_LEN_MAX)))
    }
}

/// Encryption declined.
pub(super) const NO: &[u8] = b"N";

pub(super) const PROTOCOL_VIOLATION: &str = "08P01";
pub(super) const INVALID_AUTHORIZATION: &str = "28000";
const CANNOT_CONNECT_NOW: &str = "57P03";
const TOO_MANY_CONNECTIONS: &str = "53300";

pub(super) const LOGIN_HINT: &str =
    "Log in as the addon's name: postgres://NAME:PASSWORD@HOST/DB. \"pierhead list\" shows the names.";
pub(super) const CLIENT_HINT: &str =
    "Connect with a PostgreSQL client that speaks protocol 3 (version 7.4 or later).";
const RETRY_HINT: &str = "Retry in a few seconds.";

/// libpq distrusts an ErrorResponse of 30,000 bytes; four fields of escaped text stay far below.
const FIELD_LEN_MAX: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    /// The fields of an ErrorResponse, checked for being one.
    fn fields(bytes: &[u8]) -> Vec<(char, &str)> {
        assert_eq!(bytes[0], b'E');
        assert_eq!(bytes[1..5], (bytes.len() as u32 - 1).to_be_bytes());
        let text = std::str::from_utf8(&bytes[5..]).unwrap();
        let text = text.strip_suffix("\0\0").unwrap();
        text.split('\0').map(|field| (char::from(field.as_bytes()[0]), &field[1..])).collect()
    }

    fn said(refusal: &Refusal) -> Bytes {
        bytes(Voice::Error, None, refusal)
    }

    #[test]
    fn every_reason_has_a_sqlstate_a_message_and_one_thing_to_do_next() {
        let blog = Name::parse("blog").unwrap();
        let expected = [
            ("28000", "no addon named \"blog\""),
            ("57P03", "addon \"blog\" is starting up"),
            ("57P03", "addon \"blog\" is stopped"),
            ("57P03", "addon \"blog\" is not reachable"),
            ("53300", "sorry, too many clients already"),
            ("08P01", "invalid startup packet layout"),
            ("08P01", "timed out waiting for the startup packet"),
            ("08P01", "invalid length of startup packet"),
            ("08P01", "invalid startup packet layout"),
            ("57P03", "the edge is shutting down"),
        ];
        for (reason, (sqlstate, message)) in Reason::ALL.into_iter().zip(expected) {
            let bytes = said(&Refusal::of(&blog, reason, "because"));
            let fields = fields(&bytes);
            assert_eq!(
                fields[..5],
                [('S', "FATAL"), ('V', "FATAL"), ('C', sqlstate), ('M', message), ('D', "because")]
            );
            assert!(matches!(fields[5..], [('H', hint)] if hint.ends_with('.')));
            let bytes = said(&Refusal::new(reason, ""));
            assert!(!bytes.windows(2).any(|pair| pair == b"\0D"), "an empty detail is left out");
        }
    }

    #[test]
    fn what_is_shown_is_short_and_printable() {
        let bytes = said(&Refusal::new(Reason::Unreachable, "\u{202e}\0\n\x1b[2J".repeat(10_000)));
        assert!(bytes.len() < 30_000);
        let fields = fields(&bytes);
        assert!(fields.iter().all(|(_, text)| text.bytes().all(|byte| matches!(byte, b' '..=b'~'))));
        assert!(fields[4].1.starts_with("\\xe2\\x80\\xae\\x00\\x0a\\x1b[2J"), "{}", fields[4].1);
    }

    #[test]
    fn who_waits_for_one_byte_is_told_nothing() {
        let refusal = Refusal::new(Reason::TooSlow, "");
        assert!(bytes(Voice::Silence, None, &refusal).is_empty());
        assert_eq!(bytes(Voice::Alert, None, &refusal), HANDSHAKE_FAILURE);
        assert_eq!(bytes(Voice::NoThenError, None, &refusal), [NO, &said(&refusal)].concat());
    }
}
