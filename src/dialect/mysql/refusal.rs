//! What a refused client is told: an ERR packet, in the server's own words where the server has them. It holds one text,
//! so what to do next is a sentence behind it.

use std::borrow::Cow;

use bytes::{BufMut, Bytes};

use super::packet::packet;
use crate::dialect::words::printable;
use crate::dialect::{Name, Reason, Refusal};

/// Where in the conversation a client is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    /// The number that the client waits for.
    pub(super) sequence: u8,
    /// Whether it understands an SQLSTATE: not before it has seen a greeting that promises them.
    pub(super) sqlstate: bool,
}

/// An error of the server's, with its own text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Error {
    code: u16,
    sqlstate: &'static str,
    text: Cow<'static, str>,
}

impl Error {
    pub(super) const fn new(code: u16, sqlstate: &'static str, text: &'static str) -> Self {
        Error { code, sqlstate, text: Cow::Borrowed(text) }
    }

    /// The same with a word on how it came about, or what to do next.
    pub(super) fn with(&self, more: &str) -> Self {
        let text = match more {
            "" => self.text.clone(),
            more => format!("{}: {more}", self.text).into(),
        };
        Error { code: self.code, sqlstate: self.sqlstate, text }
    }

    /// An error that no server has; clients see a connection that could not be made (class 08), and may try again.
    fn own(text: String) -> Self {
        Error { code: UNKNOWN_ERROR, sqlstate: "08S01", text: text.into() }
    }

    /// The error as a packet.
    pub(super) fn encode(&self, place: Place) -> Bytes {
        let text = printable(self.text.as_bytes(), TEXT_LEN_MAX);
        packet(place.sequence, |out| {
            out.put_u8(ERR);
            out.put_u16_le(self.code);
            if place.sqlstate {
                out.put_u8(b'#');
                out.put_slice(self.sqlstate.as_bytes());
            }
            out.put_slice(text.as_bytes());
        })
    }
}

/// The error for a refusal that the client's bytes are not to blame for.
pub(super) fn error(refusal: &Refusal) -> Error {
    let name = refusal.name.as_ref().map_or("NAME", Name::as_str);
    let addon = refusal.name.as_ref().map_or("the addon".to_owned(), |name| format!("addon \"{name}\""));
    let because = match &*refusal.detail {
        "" => String::new(),
        detail => format!(" ({detail})"),
    };
    match refusal.reason {
        Reason::UnknownName => access_denied(name, "no addon has that name"),
        Reason::Starting => Error::own(format!("{addon} is starting up{because}. {RETRY_HINT}")),
        Reason::Stopped => {
            Error::own(format!("{addon} is stopped{because}. \"pierhead start {name}\" starts it."))
        }
        Reason::Unreachable => Error::own(format!(
            "{addon} is not reachable{because}. Retry in a few seconds; \"pierhead info {name}\" shows what is wrong."
        )),
        Reason::TooManyConnections => TOO_MANY_CONNECTIONS.with(&format!(
            "{}close those that are not needed, or share them through a pool, and retry",
            if because.is_empty() { String::new() } else { format!("{}; ", refusal.detail) }
        )),
        Reason::TooSlow => {
            TIMED_OUT.with("retry, and look at the network between the client and this server")
        }
        Reason::TooBig => TOO_BIG.with("before the log-in"),
        Reason::Malformed | Reason::PlaintextInjection => BAD_HANDSHAKE.with(&refusal.detail),
        Reason::Draining => SHUTDOWN.with("retry in a few seconds"),
    }
}

/// The server's error for a log-in that fails, without the client's address.
pub(super) fn access_denied(user: &str, why: &str) -> Error {
    let hint =
        "Log in as the addon's name: mysql://NAME:PASSWORD@HOST/DB. \"pierhead list\" shows the names.";
    let text = format!("Access denied for user '{user}': {why}. {hint}");
    Error { code: 1045, sqlstate: "28000", text: text.into() }
}

/// The first byte of an ERR packet.
pub(super) const ERR: u8 = 0xff;

pub(super) const BAD_HANDSHAKE: Error = Error::new(1043, "08S01", "Bad handshake");
pub(super) const TOO_BIG: Error =
    Error::new(1153, "08S01", "Got a packet bigger than 'max_allowed_packet' bytes");
const TOO_MANY_CONNECTIONS: Error = Error::new(1040, "08004", "Too many connections");
const TIMED_OUT: Error = Error::new(1159, "08S01", "Got timeout reading communication packets");
const SHUTDOWN: Error = Error::new(1053, "08S01", "Server shutdown in progress");
const UNKNOWN_ERROR: u16 = 1105;

const RETRY_HINT: &str = "Retry in a few seconds.";

/// The servers' own MYSQL_ERRMSG_SIZE is 512 bytes, and clients keep no more. What is not printable takes four.
const TEXT_LEN_MAX: usize = 480;

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Place = Place { sequence: 2, sqlstate: true };

    #[test]
    fn every_reason_has_a_code_a_state_and_one_thing_to_do_next() {
        let blog = Name::parse("blog").unwrap();
        let own = |text: &str| (1105, "08S01", text.to_owned());
        let expected = [
            (
                1045,
                "28000",
                "Access denied for user 'blog': no addon has that name. Log in as the addon's name: \
                 mysql://NAME:PASSWORD@HOST/DB. \"pierhead list\" shows the names."
                    .into(),
            ),
            own("addon \"blog\" is starting up (because). Retry in a few seconds."),
            own("addon \"blog\" is stopped (because). \"pierhead start blog\" starts it."),
            own(
                "addon \"blog\" is not reachable (because). Retry in a few seconds; \"pierhead info blog\" shows what is wrong.",
            ),
            (
                1040,
                "08004",
                "Too many connections: because; close those that are not needed, or share them through a pool, and retry"
                    .into(),
            ),
            (1043, "08S01", "Bad handshake: because".into()),
            (
                1159,
                "08S01",
                "Got timeout reading communication packets: retry, and look at the network between the client and this server"
                    .into(),
            ),
            (1153, "08S01", "Got a packet bigger than 'max_allowed_packet' bytes: before the log-in".into()),
            (1043, "08S01", "Bad handshake: because".into()),
            (1053, "08S01", "Server shutdown in progress: retry in a few seconds".into()),
        ];
        for (reason, (code, sqlstate, text)) in Reason::ALL.into_iter().zip(expected) {
            let error = error(&Refusal::of(&blog, reason, "because"));
            assert_eq!((error.code, error.sqlstate, &*error.text), (code, sqlstate, &*text));
            assert!(text.len() < TEXT_LEN_MAX);
        }
        assert_eq!(
            error(&Refusal::new(Reason::Stopped, "")).text.split(". ").next(),
            Some("the addon is stopped")
        );
    }

    #[test]
    fn a_state_is_told_only_to_who_knows_what_it_is() {
        let error = Error::new(1040, "08004", "Too many connections");
        assert_eq!(error.encode(AFTER), b"\x1d\0\0\x02\xff\x10\x04#08004Too many connections"[..]);
        let before = Place { sequence: 0, sqlstate: false };
        assert_eq!(error.encode(before), b"\x17\0\0\0\xff\x10\x04Too many connections"[..]);
    }

    #[test]
    fn what_is_shown_is_short_and_printable() {
        let refusal = Refusal::new(Reason::Unreachable, "\u{202e}\0\n".repeat(1000));
        let packet = error(&refusal).encode(AFTER);
        assert!(packet.len() < 2048);
        assert!(packet[7..].iter().all(|byte| matches!(byte, b' '..=b'~')));
    }
}
