//! What a refused client is told: a header, a Connection.Close, or in AMQP 1.0 the outcome of its login.
//!
//! The outcome has no room for a text, and clients make up their own ("Authentication failed"). So who names an addon
//! that cannot be had is let in, and told why when it opens the connection, as RabbitMQ does with a virtual host that
//! cannot be had: nothing is behind that login.

use bytes::{Buf, Bytes, BytesMut};

use super::amqp10::{self, AMQP_HEADER, OutcomeCode};
use super::fault::Fault;
use super::{HEADER_LEN, amqp091};
use crate::dialect::words::printable;
use crate::dialect::{Name, Reason, Refusal};

/// What a client can understand at the point where it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Voice {
    /// Nothing: it waits for the greeting, or has been greeted and has said nothing since.
    #[default]
    Silence,
    /// A header that the server could agree to.
    Header(&'static [u8; HEADER_LEN]),
    /// A Connection.Close of 0-9-1.
    Close,
    /// A sasl-outcome of 1.0.
    Outcome,
}

/// The bytes for a client that is refused. `fault` is what was wrong with its own bytes, if anything was.
pub(super) fn bytes(voice: Voice, fault: Option<&Fault>, refusal: &Refusal) -> Bytes {
    match voice {
        Voice::Silence => Bytes::new(),
        Voice::Header(header) => Bytes::from_static(header),
        Voice::Close => {
            let Code { number, name } = code(fault, refusal.reason);
            amqp091::close(number, &format!("{name} - {}", text(fault, refusal)))
        }
        Voice::Outcome => amqp10::outcome(outcome(fault, refusal.reason)),
    }
}

/// What a refused client is told that goes on talking.
pub(super) fn go_on(
    voice: Voice,
    fault: Option<&Fault>,
    refusal: &Refusal,
    input: &mut BytesMut,
) -> Option<Bytes> {
    let let_in = voice == Voice::Outcome && outcome(fault, refusal.reason) == OutcomeCode::Ok;
    let opens = input.iter().zip(AMQP_HEADER).all(|(byte, expected)| byte == expected);
    if !let_in || !opens {
        return None;
    }
    if input.len() < HEADER_LEN {
        return Some(Bytes::new());
    }
    input.advance(HEADER_LEN);
    Some(amqp10::open_and_close(condition(refusal.reason), &text(fault, refusal)))
}

/// A reply code of AMQP 0-9-1, with its name as RabbitMQ writes it in front of a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Code {
    number: u16,
    name: &'static str,
}

impl Code {
    pub(super) const CONNECTION_FORCED: Code = Code { number: 320, name: "CONNECTION_FORCED" };
    pub(super) const ACCESS_REFUSED: Code = Code { number: 403, name: "ACCESS_REFUSED" };
    pub(super) const FRAME_ERROR: Code = Code { number: 501, name: "FRAME_ERROR" };
    pub(super) const SYNTAX_ERROR: Code = Code { number: 502, name: "SYNTAX_ERROR" };
    pub(super) const COMMAND_INVALID: Code = Code { number: 503, name: "COMMAND_INVALID" };
    /// What RabbitMQ says when a connection limit is reached.
    pub(super) const NOT_ALLOWED: Code = Code { number: 530, name: "NOT_ALLOWED" };
}

fn code(fault: Option<&Fault>, reason: Reason) -> Code {
    match (because(fault, reason), reason) {
        (Some(fault), _) => fault.code(),
        (None, Reason::UnknownName) => Code::ACCESS_REFUSED,
        (None, Reason::TooManyConnections) => Code::NOT_ALLOWED,
        (None, Reason::Starting | Reason::Stopped | Reason::Unreachable | Reason::Draining) => {
            Code::CONNECTION_FORCED
        }
        (None, Reason::TooSlow) => Code::CONNECTION_FORCED,
        (None, Reason::TooBig | Reason::Malformed | Reason::PlaintextInjection) => Code::FRAME_ERROR,
    }
}

/// What becomes of a login of AMQP 1.0.
fn outcome(fault: Option<&Fault>, reason: Reason) -> OutcomeCode {
    match (because(fault, reason), reason) {
        (Some(Fault::Mechanism(_) | Fault::Response(_)), _) => OutcomeCode::Auth,
        (_, Reason::TooSlow) => OutcomeCode::SysTemp,
        (_, Reason::TooBig | Reason::Malformed | Reason::PlaintextInjection) => OutcomeCode::SysPerm,
        _ => OutcomeCode::Ok,
    }
}

/// The error condition of AMQP 1.0: libraries try again by themselves when a connection was forced to close.
fn condition(reason: Reason) -> &'static str {
    match reason {
        Reason::UnknownName => "amqp:unauthorized-access",
        Reason::TooManyConnections => "amqp:resource-limit-exceeded",
        _ => "amqp:connection:forced",
    }
}

/// What was wrong with the client's bytes, if that is why it is refused.
fn because(fault: Option<&Fault>, reason: Reason) -> Option<&Fault> {
    fault.filter(|fault| fault.reason() == reason)
}

/// What happened and what to do: printable ASCII.
fn text(fault: Option<&Fault>, refusal: &Refusal) -> String {
    let name = refusal.name.as_ref().map_or("NAME", Name::as_str);
    if let Some(fault) = because(fault, refusal.reason) {
        let hint = match fault {
            Fault::User(..) => LOGIN_HINT,
            Fault::Mechanism(_) => "use PLAIN",
            _ => CLIENT_HINT,
        };
        return format!("{fault}; {hint}");
    }
    match refusal.reason {
        Reason::UnknownName => format!("no addon named \"{name}\"; {LOGIN_HINT}"),
        Reason::Starting => format!("addon \"{name}\" is starting up; {RETRY_HINT}"),
        Reason::Stopped => format!("addon \"{name}\" is stopped; \"pierhead start {name}\" starts it"),
        Reason::Unreachable => format!(
            "addon \"{name}\" is not reachable ({}); {RETRY_HINT}, \"pierhead info {name}\" shows what is wrong",
            printable(refusal.detail.as_bytes(), DETAIL_LEN_MAX)
        ),
        Reason::TooManyConnections => format!(
            "addon \"{name}\" has too many connections ({}); close some, or share one over channels",
            printable(refusal.detail.as_bytes(), DETAIL_LEN_MAX)
        ),
        Reason::TooSlow => format!("timed out waiting for the login; {RETRY_HINT}"),
        Reason::TooBig | Reason::Malformed | Reason::PlaintextInjection => {
            format!("too much was sent without a login; {CLIENT_HINT}")
        }
        Reason::Draining => format!("the edge is shutting down; {RETRY_HINT}"),
    }
}

const LOGIN_HINT: &str =
    "log in as the addon's name, amqp://NAME:PASSWORD@HOST/NAME; \"pierhead list\" shows the names";
const CLIENT_HINT: &str = "use a client of AMQP 0-9-1 or 1.0";
const RETRY_HINT: &str = "retry in a few seconds";

/// A text of 0-9-1 has 255 bytes in all.
const DETAIL_LEN_MAX: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    const BLOG_IS: [(Reason, u16, &str, &str); 10] = [
        (
            Reason::UnknownName,
            403,
            "ACCESS_REFUSED - no addon named \"blog\"; log in as the addon's name, \
             amqp://NAME:PASSWORD@HOST/NAME; \"pierhead list\" shows the names",
            "amqp:unauthorized-access",
        ),
        (
            Reason::Starting,
            320,
            "CONNECTION_FORCED - addon \"blog\" is starting up; retry in a few seconds",
            "amqp:connection:forced",
        ),
        (
            Reason::Stopped,
            320,
            "CONNECTION_FORCED - addon \"blog\" is stopped; \"pierhead start blog\" starts it",
            "amqp:connection:forced",
        ),
        (
            Reason::Unreachable,
            320,
            "CONNECTION_FORCED - addon \"blog\" is not reachable (be\\x0acause); retry in a few seconds, \
             \"pierhead info blog\" shows what is wrong",
            "amqp:connection:forced",
        ),
        (
            Reason::TooManyConnections,
            530,
            "NOT_ALLOWED - addon \"blog\" has too many connections (be\\x0acause); close some, or share one \
             over channels",
            "amqp:resource-limit-exceeded",
        ),
        (
            Reason::Malformed,
            501,
            "FRAME_ERROR - too much was sent without a login; use a client of AMQP 0-9-1 or 1.0",
            "sys-perm",
        ),
        (
            Reason::TooSlow,
            320,
            "CONNECTION_FORCED - timed out waiting for the login; retry in a few seconds",
            "sys-temp",
        ),
        (
            Reason::TooBig,
            501,
            "FRAME_ERROR - too much was sent without a login; use a client of AMQP 0-9-1 or 1.0",
            "sys-perm",
        ),
        (
            Reason::PlaintextInjection,
            501,
            "FRAME_ERROR - too much was sent without a login; use a client of AMQP 0-9-1 or 1.0",
            "sys-perm",
        ),
        (
            Reason::Draining,
            320,
            "CONNECTION_FORCED - the edge is shutting down; retry in a few seconds",
            "amqp:connection:forced",
        ),
    ];

    #[test]
    fn every_reason_has_a_code_and_says_what_to_do() {
        let blog = Name::parse("blog").unwrap();
        assert_eq!(BLOG_IS.map(|(reason, ..)| reason), Reason::ALL);
        for (reason, number, text, condition) in BLOG_IS {
            let refusal = Refusal::of(&blog, reason, "be\ncause");
            assert_eq!(bytes(Voice::Close, None, &refusal), amqp091::close(number, text), "{reason:?}");
            let mut header = BytesMut::from(&AMQP_HEADER[..]);
            let said =
                (bytes(Voice::Outcome, None, &refusal), go_on(Voice::Outcome, None, &refusal, &mut header));
            let expected = match condition {
                "sys-perm" => (amqp10::outcome(OutcomeCode::SysPerm), None),
                "sys-temp" => (amqp10::outcome(OutcomeCode::SysTemp), None),
                _ => {
                    let text = text.split_once(" - ").unwrap().1;
                    (amqp10::outcome(OutcomeCode::Ok), Some(amqp10::open_and_close(condition, text)))
                }
            };
            assert_eq!(said, expected, "{reason:?}");
        }
    }

    #[test]
    fn a_fault_is_told_only_if_it_is_why() {
        let blog = Name::parse("blog").unwrap();
        let slow = Refusal::of(&blog, Reason::TooSlow, "");
        let malformed = Refusal::of(&blog, Reason::Malformed, "");
        let fault = Fault::mechanism(b"EXTERNAL");
        let text = "COMMAND_INVALID - unknown authentication mechanism \"EXTERNAL\"; use PLAIN";
        assert_eq!(bytes(Voice::Close, Some(&fault), &malformed), amqp091::close(503, text));
        assert_eq!(bytes(Voice::Close, Some(&fault), &slow), bytes(Voice::Close, None, &slow));
        assert_eq!(bytes(Voice::Outcome, Some(&fault), &malformed), amqp10::outcome(OutcomeCode::Auth));
        assert_eq!(bytes(Voice::Outcome, Some(&fault), &slow), amqp10::outcome(OutcomeCode::SysTemp));
    }

    #[test]
    fn a_text_is_short_and_printable_whatever_the_client_has_sent() {
        let user = "\u{202e}\0\n\x1b[2J".repeat(10_000);
        let fault = Fault::user(user.as_bytes(), crate::dialect::NameError::Character);
        let said = bytes(Voice::Close, Some(&fault), &Refusal::new(Reason::UnknownName, ""));
        let text = &said[14..said.len() - 5];
        assert_eq!((usize::from(said[13]), text.len()), (text.len(), 255));
        assert!(text.iter().all(|byte| matches!(byte, b' '..=b'~')), "{text:?}");
    }

    #[test]
    fn who_is_let_in_is_told_why_when_it_opens_the_connection() {
        let refusal = Refusal::new(Reason::Draining, "");
        let go_on = |voice, input: &[u8]| {
            let mut input = BytesMut::from(input);
            let said = go_on(voice, None, &refusal, &mut input);
            said.map(|said| (said, input))
        };
        for part in 0..HEADER_LEN {
            let (said, rest) = go_on(Voice::Outcome, &AMQP_HEADER[..part]).unwrap();
            assert_eq!((said.len(), rest.len()), (0, part), "waits for the rest");
        }
        let (said, rest) = go_on(Voice::Outcome, &[&AMQP_HEADER[..], b"open"].concat()).unwrap();
        assert!(said.starts_with(AMQP_HEADER) && rest == "open");
        assert_eq!(go_on(Voice::Outcome, b"AMQP\x03"), None);
        assert_eq!(go_on(Voice::Outcome, b"open"), None);
        assert_eq!(go_on(Voice::Close, AMQP_HEADER), None);
    }
}
