//! What a refused client is told: one line of error, in the server's own words where the server has them. Clients
//! look at the first word: LOADING makes them try again, WRONGPASS and NOAUTH are about the login.

use bytes::Bytes;

use super::fault::Fault;
use crate::dialect::words::{HANDSHAKE_FAILURE, printable};
use crate::dialect::{Name, Reason, Refusal};

/// The bytes for a client that is refused. `fault` is what was wrong with its own bytes, if anything was.
pub(super) fn bytes(fault: Option<&Fault>, refusal: &Refusal) -> Bytes {
    match fault.filter(|fault| fault.reason() == refusal.reason) {
        Some(Fault::Tls) => Bytes::from_static(HANDSHAKE_FAILURE),
        // The server closes without a word.
        Some(Fault::CrossProtocol) => Bytes::new(),
        Some(Fault::User(..)) => line(WRONGPASS),
        Some(Fault::NoUser) => line(NO_USER),
        Some(Fault::TooManyCommands) => line(TOO_MANY_COMMANDS),
        Some(fault) => line(&format!("ERR {fault}")),
        None => line(&words(refusal)),
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

/// The words for a refusal that the client's bytes are not to blame for.
fn words(refusal: &Refusal) -> String {
    let name = refusal.name.as_ref().map_or("NAME", Name::as_str);
    match refusal.reason {
        // The same as for a wrong password.
        Reason::UnknownName => WRONGPASS.into(),
        Reason::Starting => format!("LOADING addon {name} is starting, retry in a few seconds"),
        Reason::Stopped => format!("ERR addon {name} is stopped, \"pierhead start {name}\" starts it"),
        Reason::Unreachable => format!(
            "ERR addon {name} is not reachable ({}), retry in a few seconds; \"pierhead info {name}\" shows what is wrong",
            printable(refusal.detail.as_bytes(), DETAIL_LEN_MAX)
        ),
        // Whole: redis-py compares it.
        Reason::TooManyConnections => "ERR max number of clients reached".into(),
        Reason::TooSlow => "ERR timed out waiting for AUTH or HELLO, retry".into(),
        Reason::TooBig => "ERR Protocol error: too big request without a login".into(),
        Reason::Malformed | Reason::PlaintextInjection => "ERR Protocol error: not a Redis client".into(),
        Reason::Draining => "LOADING the edge is shutting down, retry in a few seconds".into(),
    }
}

fn line(words: &str) -> Bytes {
    Bytes::from(format!("-{words}\r\n"))
}

const WRONGPASS: &str = "WRONGPASS invalid username-password pair or user is disabled.";
const NO_USER: &str = "WRONGPASS log in with the addon's name: AUTH NAME PASSWORD, redis://NAME:PASSWORD@HOST; \
                       where only a password can be given: NAME:PASSWORD";
const TOO_MANY_COMMANDS: &str = "NOAUTH Authentication required: AUTH NAME PASSWORD, with the addon's name.";

const DETAIL_LEN_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_has_one_line_that_begins_with_a_word_that_clients_know() {
        let blog = Name::parse("blog").unwrap();
        let expected = [
            "-WRONGPASS invalid username-password pair or user is disabled.\r\n",
            "-LOADING addon blog is starting, retry in a few seconds\r\n",
            "-ERR addon blog is stopped, \"pierhead start blog\" starts it\r\n",
            "-ERR addon blog is not reachable (be\\x0acause), retry in a few seconds; \"pierhead info blog\" shows what is wrong\r\n",
            "-ERR max number of clients reached\r\n",
            "-ERR Protocol error: not a Redis client\r\n",
            "-ERR timed out waiting for AUTH or HELLO, retry\r\n",
            "-ERR Protocol error: too big request without a login\r\n",
            "-ERR Protocol error: not a Redis client\r\n",
            "-LOADING the edge is shutting down, retry in a few seconds\r\n",
        ];
        for (reason, expected) in Reason::ALL.into_iter().zip(expected) {
            assert_eq!(bytes(None, &Refusal::of(&blog, reason, "be\ncause")), expected);
        }
    }

    #[test]
    fn a_fault_is_told_only_if_it_is_why() {
        let refusal = |reason| Refusal::of(&Name::parse("blog").unwrap(), reason, "");
        assert_eq!(bytes(Some(&Fault::Tls), &refusal(Reason::Malformed)), HANDSHAKE_FAILURE);
        assert_eq!(bytes(Some(&Fault::CrossProtocol), &refusal(Reason::Malformed)), "");
        let no_user = bytes(Some(&Fault::NoUser), &refusal(Reason::UnknownName));
        assert!(no_user.starts_with(b"-WRONGPASS log in with the addon's name"));
        assert_eq!(
            bytes(Some(&Fault::Quotes), &refusal(Reason::Malformed)),
            "-ERR Protocol error: unbalanced quotes in request\r\n"
        );
        assert!(bytes(Some(&Fault::Quotes), &refusal(Reason::Draining)).starts_with(b"-LOADING the edge"));
    }
}
