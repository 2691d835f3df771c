//! What a refused client is told: one `-ERR` line, in the server's own words where the server has them. Clients look for
//! these: an `Authorization Violation` is about the login and makes most of them give up, anything else is tried again.

use bytes::Bytes;

use super::fault::Fault;
use crate::dialect::words::printable;
use crate::dialect::{Name, Reason, Refusal};

/// The bytes for a client that is refused. `fault` is what was wrong with its own bytes, if anything was.
pub(super) fn bytes(fault: Option<&Fault>, refusal: &Refusal) -> Bytes {
    match fault.filter(|fault| fault.reason() == refusal.reason) {
        Some(Fault::Tls | Fault::NoConnect) => line(VIOLATION),
        Some(Fault::Verb) => line("Unknown Protocol Operation"),
        Some(fault @ Fault::Json(_)) => line(&format!("Parser Error: {fault}")),
        Some(fault @ Fault::Signed) => {
            line(&format!("{VIOLATION}: {fault}; log in with a user and a password"))
        }
        Some(fault @ Fault::Token) => line(&format!("{VIOLATION}: {fault}: NAME:SECRET")),
        Some(fault @ (Fault::NoLogin | Fault::User(..))) => {
            line(&format!("{VIOLATION}: {fault}; {LOGIN_HINT}"))
        }
        None => line(&words(refusal)),
    }
}

/// The words for a refusal that the client's bytes are not to blame for.
fn words(refusal: &Refusal) -> String {
    let name = refusal.name.as_ref().map_or("NAME", Name::as_str);
    match refusal.reason {
        Reason::UnknownName => format!("{VIOLATION}: no addon named \"{name}\"; {LOGIN_HINT}"),
        Reason::Starting => format!("addon \"{name}\" is starting up; retry in a few seconds"),
        Reason::Stopped => format!("addon \"{name}\" is stopped; \"pierhead start {name}\" starts it"),
        Reason::Unreachable => format!(
            "addon \"{name}\" is not reachable ({}); retry in a few seconds, \"pierhead info {name}\" shows what is wrong",
            refusal.detail
        ),
        Reason::TooManyConnections => "maximum connections exceeded".into(),
        Reason::TooSlow => "Authentication Timeout".into(),
        Reason::TooBig => "maximum control line exceeded".into(),
        Reason::Malformed | Reason::PlaintextInjection => "Parser Error".into(),
        Reason::Draining => "the edge is shutting down; retry in a few seconds".into(),
    }
}

/// An error on a line. Clients cut the text at its quotes.
fn line(words: &str) -> Bytes {
    let words = printable(words.as_bytes(), WORDS_LEN_MAX).replace('\'', "`");
    Bytes::from(format!("-ERR '{words}'\r\n"))
}

const VIOLATION: &str = "Authorization Violation";
const LOGIN_HINT: &str = "log in as the addon: nats://NAME:PASSWORD@HOST";

/// Clients read lines into buffers of a few KiB.
const WORDS_LEN_MAX: usize = 500;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_one_line() {
        let blog = Name::parse("blog").unwrap();
        let expected = [
            "-ERR 'Authorization Violation: no addon named \"blog\"; log in as the addon: nats://NAME:PASSWORD@HOST'",
            "-ERR 'addon \"blog\" is starting up; retry in a few seconds'",
            "-ERR 'addon \"blog\" is stopped; \"pierhead start blog\" starts it'",
            "-ERR 'addon \"blog\" is not reachable (be\\x0acause); retry in a few seconds, \"pierhead info blog\" shows what is wrong'",
            "-ERR 'maximum connections exceeded'",
            "-ERR 'Parser Error'",
            "-ERR 'Authentication Timeout'",
            "-ERR 'maximum control line exceeded'",
            "-ERR 'Parser Error'",
            "-ERR 'the edge is shutting down; retry in a few seconds'",
        ];
        for (reason, expected) in Reason::ALL.into_iter().zip(expected) {
            assert_eq!(bytes(None, &Refusal::of(&blog, reason, "be\ncause")), format!("{expected}\r\n"));
        }
    }

    #[test]
    fn a_fault_is_told_only_if_it_is_why() {
        let refusal = |reason| Refusal::new(reason, "");
        assert_eq!(
            bytes(Some(&Fault::NoConnect), &refusal(Reason::Malformed)),
            "-ERR 'Authorization Violation'\r\n"
        );
        let signed = bytes(Some(&Fault::Signed), &refusal(Reason::UnknownName));
        assert!(signed.starts_with(b"-ERR 'Authorization Violation: a login by nkey, JWT"), "{signed:?}");
        assert_eq!(bytes(Some(&Fault::Verb), &refusal(Reason::TooSlow)), "-ERR 'Authentication Timeout'\r\n");
    }
}
