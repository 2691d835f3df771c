//! What a refused client is told: an answer to its last request, with a status and a text.

use bytes::Bytes;

use super::fault::Fault;
use super::packet::{AUTH_ERROR, BUSY, Header, INVALID_ARGUMENTS, TEMPORARY_FAILURE, TOO_LARGE};
use crate::dialect::words::{HANDSHAKE_FAILURE, printable};
use crate::dialect::{Name, Reason, Refusal};

/// What a client can understand at the point where it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Voice {
    /// Nothing: it has not sent the beginning of a request.
    #[default]
    Silence,
    /// A TLS alert.
    Alert,
    /// A line of the text protocol.
    Text,
    /// An answer to this request.
    Binary(Header),
}

/// The bytes for a client that is refused. `fault` is what was wrong with its own bytes, if anything was.
pub(super) fn bytes(voice: &Voice, fault: Option<&Fault>, refusal: &Refusal) -> Bytes {
    let fault = fault.filter(|fault| fault.reason() == refusal.reason);
    match voice {
        Voice::Silence => Bytes::new(),
        Voice::Alert => Bytes::from_static(HANDSHAKE_FAILURE),
        Voice::Text => Bytes::from_static(TEXT_ANSWER),
        // The server closes without a word what does not begin as a request.
        Voice::Binary(_) if matches!(fault, Some(Fault::FirstByte(_))) => Bytes::new(),
        Voice::Binary(header) => {
            let (status, text) = match fault {
                Some(fault) => (fault.status(), fault.to_string()),
                None => (status(refusal.reason), words(refusal)),
            };
            header.answer(status, printable(text.as_bytes(), TEXT_LEN_MAX).as_bytes())
        }
    }
}

/// Whether a refused client may go on talking: its stream is in order, and only its addon cannot be had.
pub(super) fn may_go_on(refusal: &Refusal) -> bool {
    match refusal.reason {
        Reason::Malformed | Reason::TooSlow | Reason::TooBig | Reason::PlaintextInjection => false,
        Reason::UnknownName
        | Reason::Starting
        | Reason::Stopped
        | Reason::Unreachable
        | Reason::TooManyConnections
        | Reason::Draining => true,
    }
}

fn status(reason: Reason) -> u16 {
    match reason {
        Reason::UnknownName | Reason::TooSlow => AUTH_ERROR,
        Reason::Starting | Reason::Stopped | Reason::Unreachable | Reason::Draining => TEMPORARY_FAILURE,
        Reason::TooManyConnections => BUSY,
        Reason::Malformed | Reason::PlaintextInjection => INVALID_ARGUMENTS,
        Reason::TooBig => TOO_LARGE,
    }
}

/// The words for a refusal that the client's bytes are not to blame for.
fn words(refusal: &Refusal) -> String {
    let name = refusal.name.as_ref().map_or("NAME", Name::as_str);
    match refusal.reason {
        Reason::UnknownName => {
            format!("Auth failure. No addon named \"{name}\": log in with the addon's name")
        }
        Reason::Starting => format!("addon \"{name}\" is starting up, retry in a few seconds"),
        Reason::Stopped => format!("addon \"{name}\" is stopped, \"pierhead start {name}\" starts it"),
        Reason::Unreachable => format!(
            "addon \"{name}\" is not reachable ({}), retry in a few seconds; \"pierhead info {name}\" shows what is wrong",
            refusal.detail
        ),
        Reason::TooManyConnections => "too many connections, close some that are not needed and retry".into(),
        Reason::TooSlow => "Auth failure. Timed out waiting for a login, retry".into(),
        Reason::Malformed | Reason::PlaintextInjection => "Invalid arguments".into(),
        Reason::TooBig => "Too large.".into(),
        Reason::Draining => "the edge is shutting down, retry in a few seconds".into(),
    }
}

/// The first two words are what a server says that wants a login in the text protocol (`-Y`).
const TEXT_ANSWER: &[u8] =
    b"CLIENT_ERROR unauthenticated: log in with the addon's name by SASL PLAIN, in the binary protocol\r\n";

const TEXT_LEN_MAX: usize = 500;

#[cfg(test)]
mod tests {
    use super::super::packet::tests::request;
    use super::*;

    #[test]
    fn every_reason_has_a_status_and_a_text() {
        let blog = Name::parse("blog").unwrap();
        let voice = Voice::Binary(Header::read(&request(0x21, b"PLAIN", b"")).unwrap());
        let expected = [
            (0x20, "Auth failure. No addon named \"blog\": log in with the addon's name"),
            (0x86, "addon \"blog\" is starting up, retry in a few seconds"),
            (0x86, "addon \"blog\" is stopped, \"pierhead start blog\" starts it"),
            (
                0x86,
                "addon \"blog\" is not reachable (be\\x0acause), retry in a few seconds; \"pierhead info blog\" shows what \
                 is wrong",
            ),
            (0x85, "too many connections, close some that are not needed and retry"),
            (0x04, "Invalid arguments"),
            (0x20, "Auth failure. Timed out waiting for a login, retry"),
            (0x03, "Too large."),
            (0x04, "Invalid arguments"),
            (0x86, "the edge is shutting down, retry in a few seconds"),
        ];
        for (reason, (status, text)) in Reason::ALL.into_iter().zip(expected) {
            let refusal = Refusal::of(&blog, reason, "be\ncause");
            let said = bytes(&voice, None, &refusal);
            assert_eq!((&said[..2], &said[6..8]), (&b"\x81\x21"[..], &[0, status][..]));
            assert_eq!(&said[24..], text.as_bytes());
            assert!(bytes(&Voice::Silence, None, &refusal).is_empty());
        }
        let malformed = Refusal::new(Reason::Malformed, "");
        assert!(bytes(&voice, Some(&Fault::FirstByte(0)), &malformed).is_empty());
        assert!(bytes(&Voice::Text, None, &malformed).starts_with(b"CLIENT_ERROR unauthenticated"));
        assert_eq!(bytes(&Voice::Alert, None, &malformed), HANDSHAKE_FAILURE);
    }
}
