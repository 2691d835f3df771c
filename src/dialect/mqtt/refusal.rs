//! What a refused client is told: a `CONNACK`. MQTT 3.1.1 has one number for it; MQTT 5 has more of them, and a text.

use bytes::{BufMut, Bytes, BytesMut};

use super::fault::Fault;
use crate::dialect::words::{HANDSHAKE_FAILURE, printable};
use crate::dialect::{Name, Reason, Refusal};

/// What a client can understand at the point where it stands.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum Voice {
    /// Nothing: it has not said which version it speaks.
    #[default]
    Silence,
    /// A TLS alert.
    Alert,
    /// The `CONNACK` of 3.1 and 3.1.1.
    Three,
    /// The `CONNACK` of 5, up to the length that the client takes.
    Five { packet_len_max: u32 },
}

impl Voice {
    /// How a client is spoken to that speaks this version.
    pub(super) fn of(version: u8) -> Self {
        if version == 5 { Voice::Five { packet_len_max: u32::MAX } } else { Voice::Three }
    }
}

/// The bytes for a client that is refused. `fault` is what was wrong with its own bytes, if anything was.
pub(super) fn bytes(voice: &Voice, fault: Option<&Fault>, refusal: &Refusal) -> Bytes {
    let fault = fault.filter(|fault| fault.reason() == refusal.reason);
    match voice {
        // It can be told so whatever it speaks (MQTT 3.1.1 §3.1.2.2), and mosquitto tells it.
        _ if matches!(fault, Some(Fault::Version(_))) => Bytes::from_static(b"\x20\x02\0\x01"),
        Voice::Silence => Bytes::new(),
        Voice::Alert => Bytes::from_static(HANDSHAKE_FAILURE),
        Voice::Three => match code_3(refusal.reason) {
            Some(code) => Bytes::copy_from_slice(&[CONNACK, 2, 0, code]),
            None => Bytes::new(),
        },
        Voice::Five { packet_len_max } => {
            let text = match fault {
                Some(Fault::NoUser) => format!("no user name: {LOGIN_HINT}"),
                Some(fault) => fault.to_string(),
                None => words(refusal),
            };
            connack_5(code_5(refusal.reason), &text, *packet_len_max)
        }
    }
}

/// The return code of MQTT 3.1.1 (§3.2.2.3). `None`: a broker closes without a word there.
fn code_3(reason: Reason) -> Option<u8> {
    match reason {
        Reason::UnknownName => Some(5), // not authorized
        Reason::Starting
        | Reason::Stopped
        | Reason::Unreachable
        | Reason::TooManyConnections
        | Reason::Draining => Some(3), // server unavailable
        Reason::Malformed | Reason::TooSlow | Reason::TooBig | Reason::PlaintextInjection => None,
    }
}

/// The reason code of MQTT 5 (§3.2.2.2).
fn code_5(reason: Reason) -> u8 {
    match reason {
        Reason::UnknownName => 0x87, // not authorized
        Reason::Starting | Reason::Stopped | Reason::Unreachable | Reason::Draining => 0x88, // server unavailable
        Reason::TooManyConnections => 0x97,                                                  // quota exceeded
        Reason::Malformed | Reason::PlaintextInjection => 0x81, // malformed packet
        Reason::TooBig => 0x95,                                 // packet too large
        Reason::TooSlow => 0x80,                                // unspecified error
    }
}

/// The words for a refusal that the client's bytes are not to blame for.
fn words(refusal: &Refusal) -> String {
    let name = refusal.name.as_ref().map_or("NAME", Name::as_str);
    match refusal.reason {
        Reason::UnknownName => format!("no addon named \"{name}\": {LOGIN_HINT}"),
        Reason::Starting => format!("addon \"{name}\" is starting up, retry in a few seconds"),
        Reason::Stopped => format!("addon \"{name}\" is stopped, \"pierhead start {name}\" starts it"),
        Reason::Unreachable => format!(
            "addon \"{name}\" is not reachable ({}), retry in a few seconds; \"pierhead info {name}\" shows what is wrong",
            refusal.detail
        ),
        Reason::TooManyConnections => "too many connections, close some that are not needed and retry".into(),
        Reason::TooSlow => "timed out waiting for the end of the CONNECT packet, retry".into(),
        Reason::TooBig | Reason::Malformed | Reason::PlaintextInjection => "malformed CONNECT packet".into(),
        Reason::Draining => "the edge is shutting down, retry in a few seconds".into(),
    }
}

/// With a reason string (§3.2.2.3.9), unless that is more than the client takes.
fn connack_5(code: u8, text: &str, packet_len_max: u32) -> Bytes {
    let text = printable(text.as_bytes(), TEXT_LEN_MAX);
    let with_text = {
        let properties_len = 3 + text.len();
        let mut properties = BytesMut::new();
        length(properties_len, &mut properties);
        properties.put_u8(REASON_STRING);
        properties.put_u16(text.len() as u16);
        properties.put_slice(text.as_bytes());
        packet_5(code, &properties)
    };
    if with_text.len() as u64 <= u64::from(packet_len_max) { with_text } else { packet_5(code, b"\0") }
}

fn packet_5(code: u8, properties: &[u8]) -> Bytes {
    let mut packet = BytesMut::new();
    packet.put_u8(CONNACK);
    length(2 + properties.len(), &mut packet);
    packet.put_slice(&[0, code]);
    packet.put_slice(properties);
    packet.freeze()
}

/// Seven bits a byte, the lowest ones first.
fn length(mut len: usize, out: &mut BytesMut) {
    while len > 0x7f {
        out.put_u8(len as u8 & 0x7f | 0x80);
        len >>= 7;
    }
    out.put_u8(len as u8);
}

const CONNACK: u8 = 0x20;
const REASON_STRING: u8 = 0x1f;

const LOGIN_HINT: &str = "log in as the addon, mqtt://NAME:PASSWORD@HOST";
const TEXT_LEN_MAX: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    /// Code and text of a CONNACK of MQTT 5.
    fn read(bytes: &[u8]) -> (u8, &str) {
        let number = |bytes: &[u8]| match bytes {
            [low, high, ..] if low & 0x80 != 0 => (usize::from(low & 0x7f) | usize::from(*high) << 7, 2),
            [low, ..] => (usize::from(*low), 1),
            [] => panic!(),
        };
        assert_eq!(bytes[0], CONNACK);
        let (len, skip) = number(&bytes[1..]);
        let body = &bytes[1 + skip..];
        assert_eq!((body.len(), body[0]), (len, 0));
        let (properties_len, skip) = number(&body[2..]);
        let properties = &body[2 + skip..];
        assert_eq!(properties.len(), properties_len);
        let text = match properties {
            [] => "",
            [REASON_STRING, high, low, text @ ..] => {
                assert_eq!(text.len(), usize::from(*high) << 8 | usize::from(*low));
                std::str::from_utf8(text).unwrap()
            }
            other => panic!("{other:?}"),
        };
        (body[1], text)
    }

    #[test]
    fn every_reason_has_its_codes_and_a_text() {
        let blog = Name::parse("blog").unwrap();
        let expected = [
            (Some(5), 0x87, "no addon named \"blog\": log in as the addon, mqtt://NAME:PASSWORD@HOST"),
            (Some(3), 0x88, "addon \"blog\" is starting up, retry in a few seconds"),
            (Some(3), 0x88, "addon \"blog\" is stopped, \"pierhead start blog\" starts it"),
            (
                Some(3),
                0x88,
                "addon \"blog\" is not reachable (be\\x0acause), retry in a few seconds; \"pierhead info blog\" shows what \
                 is wrong",
            ),
            (Some(3), 0x97, "too many connections, close some that are not needed and retry"),
            (None, 0x81, "malformed CONNECT packet"),
            (None, 0x80, "timed out waiting for the end of the CONNECT packet, retry"),
            (None, 0x95, "malformed CONNECT packet"),
            (None, 0x81, "malformed CONNECT packet"),
            (Some(3), 0x88, "the edge is shutting down, retry in a few seconds"),
        ];
        for (reason, (three, five, text)) in Reason::ALL.into_iter().zip(expected) {
            let refusal = Refusal::of(&blog, reason, "be\ncause");
            let said = bytes(&Voice::Three, None, &refusal);
            assert_eq!(said, three.map_or(vec![], |code| vec![0x20, 2, 0, code]));
            assert_eq!(read(&bytes(&Voice::of(5), None, &refusal)), (five, text));
            assert!(bytes(&Voice::Silence, None, &refusal).is_empty());
        }
    }

    #[test]
    fn a_client_gets_no_longer_answer_than_it_takes() {
        let refusal = Refusal::new(Reason::Draining, "");
        let long = bytes(&Voice::of(5), None, &refusal);
        let at_most = |len: usize| bytes(&Voice::Five { packet_len_max: len as u32 }, None, &refusal);
        assert_eq!(at_most(long.len()), long);
        assert_eq!(at_most(long.len() - 1), &b"\x20\x03\0\x88\0"[..]);
        let longest = Refusal::new(Reason::Unreachable, "\n".repeat(2000));
        assert!(read(&bytes(&Voice::of(5), None, &longest)).1.len() <= 4 * TEXT_LEN_MAX + 3);
    }

    #[test]
    fn an_unknown_version_is_told_so_in_the_oldest_form() {
        let refusal = Refusal::new(Reason::Malformed, "");
        assert_eq!(bytes(&Voice::Silence, Some(&Fault::Version(9)), &refusal), "\x20\x02\0\x01");
        assert!(bytes(&Voice::Silence, Some(&Fault::Name), &refusal).is_empty());
        assert_eq!(bytes(&Voice::Alert, Some(&Fault::Tls), &refusal), HANDSHAKE_FAILURE);
    }
}
