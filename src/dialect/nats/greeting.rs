//! The greeting on both sides: what the edge tells a client about a server that is not known yet, and the length of
//! what that server says itself later.

use bytes::Bytes;
use serde::Deserialize;

use crate::dialect::{HandshakeStep, Reason};

/// What the greeting tells clients about the servers behind this port. They believe it as long as the connection
/// lasts: the server's own greeting comes too late for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    info: Bytes,
}

impl Settings {
    /// Version and largest message of nats-server 2.9.10 of Debian 12, the oldest that this is tested with.
    pub const DEFAULT: (&str, u64) = ("2.9.10", 1 << 20);

    /// `version` is that of the oldest server: clients leave out what it cannot do. `payload_max`, in bytes, is what the
    /// servers take in one message: clients send no more. The error says what was expected.
    pub fn new(version: &str, payload_max: u64) -> Result<Self, String> {
        let mut numbers = version.split('.');
        let is_number = |number: Option<&str>| {
            number.is_some_and(|text| {
                (1..=5).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
            })
        };
        if !((0..3).all(|_| is_number(numbers.next())) && numbers.next().is_none()) {
            return Err(format!("nats version {version:?}, expected three numbers such as \"2.10.0\""));
        }
        if !(1024..=64 << 20).contains(&payload_max) {
            return Err(format!("nats max_payload of {payload_max} bytes, expected 1KiB to 64MiB"));
        }
        // No nonce: what a client would sign with it is not what its server asks for. No client_id: that is the server's
        // to give. No addresses of servers, which are nobody's business outside.
        let info = format!(
            "INFO {{\"server_id\":\"PIERHEAD\",\"server_name\":\"pierhead\",\"version\":\"{version}\",\"proto\":1,\
             \"go\":\"\",\"host\":\"0.0.0.0\",\"port\":4222,\"headers\":true,\"auth_required\":true,\
             \"max_payload\":{payload_max},\"jetstream\":true}} \r\n"
        );
        Ok(Settings { info: info.into() })
    }

    /// The line that greets a client.
    pub(super) fn info(&self) -> Bytes {
        self.info.clone()
    }
}

impl Default for Settings {
    fn default() -> Self {
        let (version, payload_max) = Self::DEFAULT;
        Self::new(version, payload_max).expect("values within the bounds")
    }
}

/// What matters here of a server's greeting.
#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    tls_required: bool,
}

/// How long a server's greeting is.
pub(super) fn measure(bytes: &[u8]) -> Result<Option<usize>, HandshakeStep> {
    let refuse = |text: &str| Err(HandshakeStep::Refuse(Reason::Unreachable, text.to_owned()));
    let common = bytes.len().min(INFO.len());
    if bytes.get(..common) != INFO.get(..common) {
        return refuse("its server does not greet as NATS servers do");
    }
    let Some(end) = bytes.iter().position(|byte| *byte == b'\n') else { return Ok(None) };
    match serde_json::from_slice(bytes.get(INFO.len()..end).unwrap_or_default()) {
        Ok(Info { tls_required: false }) => Ok(Some(end + 1)),
        Ok(_) => refuse("its server demands TLS"),
        Err(_) => refuse("its server does not greet as NATS servers do"),
    }
}

const INFO: &[u8] = b"INFO ";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_own_greeting_is_one_that_it_would_take() {
        let settings = Settings::new("2.10.7", 8 << 20).unwrap();
        let info = settings.info();
        assert_eq!(measure(&info), Ok(Some(info.len())));
        let json: serde_json::Value = serde_json::from_slice(&info[5..]).unwrap();
        assert_eq!((&json["version"], &json["max_payload"]), (&"2.10.7".into(), &8_388_608.into()));
        for absent in ["nonce", "client_id", "connect_urls", "tls_required"] {
            assert!(json.get(absent).is_none());
        }
        assert_ne!(settings, Settings::default());
    }

    #[test]
    fn settings_that_would_break_the_greeting_are_refused() {
        for version in ["", "2.9", "2.9.x", "2.9.10\"", "2.9.10.1", "2..1", "2.9.123456"] {
            assert!(Settings::new(version, 1 << 20).is_err(), "{version}");
        }
        assert!(Settings::new("2.9.10", 1023).is_err() && Settings::new("2.9.10", (64 << 20) + 1).is_err());
    }

    #[test]
    fn a_servers_greeting_is_measured_or_says_why_not() {
        let info = br#"INFO {"server_id":"N","version":"2.9.10","max_payload":1048576} "#;
        let whole = [&info[..], b"\r\n"].concat();
        assert!((0..whole.len()).all(|end| measure(&whole[..end]) == Ok(None)));
        assert_eq!(measure(&[&whole[..], b"PING\r\n"].concat()), Ok(Some(whole.len())));
        let refused = |bytes: &[u8]| match measure(bytes) {
            Err(HandshakeStep::Refuse(Reason::Unreachable, text)) => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(refused(b"INFO {\"tls_required\":true}\r\n"), "its server demands TLS");
        for other in [&b"SSH"[..], b"-ERR 'x'\r\n", b"INFO\r\n", b"INFO x\r\n"] {
            assert!(refused(other).contains("does not greet"), "{other:?}");
        }
    }
}
