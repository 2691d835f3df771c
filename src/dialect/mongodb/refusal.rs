//! What a refused client is told: the answer to a failed command, with one of the server's own codes. Drivers look at
//! the code: AuthenticationFailed is shown at once, ShutdownInProgress makes them try again until their own patience
//! ends (`serverSelectionTimeoutMS`, 30 s by default), which then shows the text.

use bytes::Bytes;

use super::bson::Writer;
use super::fault::Fault;
use super::message::{self, Header};
use crate::dialect::words::{HANDSHAKE_FAILURE, printable};
use crate::dialect::{Name, Reason, Refusal};

/// The bytes for a client that is refused. `asked` is the message that it waits for the answer of, `fault` what was
/// wrong with its own bytes, if anything was.
pub(super) fn bytes(asked: Option<Header>, fault: Option<&Fault>, refusal: &Refusal) -> Bytes {
    let fault = fault.filter(|fault| fault.reason() == refusal.reason);
    match (fault, asked) {
        (Some(Fault::Tls), _) => Bytes::from_static(HANDSHAKE_FAILURE),
        (Some(Fault::Http), _) => Bytes::from_static(HTTP),
        // It has asked nothing that could be answered. The server closes without a word.
        (_, None) => Bytes::new(),
        (Some(fault), Some(asked)) => fault_words(fault).encode(asked),
        (None, Some(asked)) => words(refusal).encode(asked),
    }
}

/// An error before it is encoded.
struct Words {
    code: i32,
    code_name: &'static str,
    text: String,
}

fn fault_words(fault: &Fault) -> Words {
    let (code, code_name) = match fault {
        Fault::NoBson => INVALID_BSON,
        Fault::TooLong(_) => BSON_OBJECT_TOO_LARGE,
        Fault::NoCommand => UNSUPPORTED_OP_QUERY_COMMAND,
        _ if fault.reason() == Reason::UnknownName => AUTHENTICATION_FAILED,
        _ => PROTOCOL_ERROR,
    };
    let hint = match fault {
        Fault::Disagree(_) => ": they must name the same addon",
        _ if fault.reason() == Reason::UnknownName => LOGIN_HINT,
        _ => "",
    };
    Words { code, code_name, text: format!("{fault}{hint}") }
}

/// The words for a refusal that the client's bytes are not to blame for.
fn words(refusal: &Refusal) -> Words {
    let name = refusal.name.as_ref().map_or("NAME", Name::as_str);
    let ((code, code_name), text) = match refusal.reason {
        Reason::UnknownName => (AUTHENTICATION_FAILED, format!("no addon named \"{name}\"{LOGIN_HINT}")),
        Reason::Starting => {
            (SHUTDOWN_IN_PROGRESS, format!("addon \"{name}\" is starting, retry in a few seconds"))
        }
        Reason::Stopped => {
            (HOST_UNREACHABLE, format!("addon \"{name}\" is stopped, \"pierhead start {name}\" starts it"))
        }
        Reason::Unreachable => (
            HOST_UNREACHABLE,
            format!(
                "addon \"{name}\" is not reachable ({}), retry in a few seconds; \"pierhead info {name}\" shows what is wrong",
                printable(refusal.detail.as_bytes(), DETAIL_LEN_MAX)
            ),
        ),
        // A code that says something about the server would make the driver close the connections that it has.
        Reason::TooManyConnections => (
            TEMPORARILY_UNAVAILABLE,
            format!(
                "too many connections to addon \"{name}\", close some or lower maxPoolSize, and retry ({})",
                printable(refusal.detail.as_bytes(), DETAIL_LEN_MAX)
            ),
        ),
        Reason::TooSlow => {
            (EXCEEDED_TIME_LIMIT, "timed out waiting for the rest of the first message, retry".into())
        }
        Reason::TooBig => (BSON_OBJECT_TOO_LARGE, "the first message is too large".into()),
        Reason::Malformed | Reason::PlaintextInjection => (PROTOCOL_ERROR, "not a MongoDB client".into()),
        Reason::Draining => {
            (SHUTDOWN_IN_PROGRESS, "the edge is shutting down, retry in a few seconds".into())
        }
    };
    Words { code, code_name, text }
}

impl Words {
    /// The answer to `asked`, in the way in which that was asked, and in the server's order of fields.
    fn encode(&self, asked: Header) -> Bytes {
        let failure = Writer::new().double("ok", 0.0).string("errmsg", &self.text);
        let failure = failure.int("code", self.code).string("codeName", self.code_name);
        message::encode(asked.family, asked.request_id, failure)
    }
}

// Of the server's error_codes.yml.
const HOST_UNREACHABLE: (i32, &str) = (6, "HostUnreachable");
const PROTOCOL_ERROR: (i32, &str) = (17, "ProtocolError");
const AUTHENTICATION_FAILED: (i32, &str) = (18, "AuthenticationFailed");
const INVALID_BSON: (i32, &str) = (22, "InvalidBSON");
const SHUTDOWN_IN_PROGRESS: (i32, &str) = (91, "ShutdownInProgress");
const EXCEEDED_TIME_LIMIT: (i32, &str) = (262, "ExceededTimeLimit");
const UNSUPPORTED_OP_QUERY_COMMAND: (i32, &str) = (352, "UnsupportedOpQueryCommand");
const TEMPORARILY_UNAVAILABLE: (i32, &str) = (365, "TemporarilyUnavailable");
const BSON_OBJECT_TOO_LARGE: (i32, &str) = (10334, "BSONObjectTooLarge");

const LOGIN_HINT: &str = ": log in as the addon's name and give it as appName too, \
                          mongodb://NAME:PASSWORD@HOST/NAME?directConnection=true&appName=NAME";

/// What the server answers to a browser.
const HTTP: &[u8] = b"HTTP/1.0 200 OK\r\nConnection: close\r\nContent-Type: text/plain\r\nContent-Length: 85\r\n\r\n\
                      It looks like you are trying to access MongoDB over HTTP on the native driver port.\r\n";

const DETAIL_LEN_MAX: usize = 200;

#[cfg(test)]
mod tests {
    use super::super::bson::{Document, Element, Value};
    use super::super::message::Family;
    use super::*;

    fn asked(family: Family) -> Option<Header> {
        Some(Header { len: 100, request_id: 77, family })
    }

    /// The elements of an answer, checked for being one to message 77.
    fn elements(family: Family, answer: &[u8]) -> Vec<String> {
        let word = |at: usize| i32::from_le_bytes(answer[at..at + 4].try_into().unwrap());
        assert_eq!((word(0) as usize, word(8)), (answer.len(), 77));
        let document = match family {
            Family::Msg => {
                let header = Header::parse(answer).unwrap().unwrap();
                assert_eq!(header.family, Family::Msg);
                message::command(Family::Msg, answer).unwrap()
            }
            Family::Query => {
                assert_eq!([word(12), word(16), word(20), word(24), word(28), word(32)], [1, 8, 0, 0, 0, 1]);
                let (document, len) = Document::at_front(&answer[36..]).unwrap();
                assert_eq!(len, answer.len() - 36);
                document
            }
        };
        let text = |element: Element<'_>| {
            let value = match element.value {
                Value::String(text) => String::from_utf8(text.to_vec()).unwrap(),
                _ => String::new(),
            };
            format!("{} {value}", std::str::from_utf8(element.key).unwrap())
        };
        document.elements().map(|element| text(element.unwrap())).collect()
    }

    #[test]
    fn every_reason_has_a_code_and_a_text_in_both_families() {
        let blog = Name::parse("blog").unwrap();
        let expected = [
            (18, "AuthenticationFailed", "no addon named \"blog\": log in as the addon's name and give it"),
            (91, "ShutdownInProgress", "addon \"blog\" is starting, retry in a few seconds"),
            (6, "HostUnreachable", "addon \"blog\" is stopped, \"pierhead start blog\" starts it"),
            (6, "HostUnreachable", "addon \"blog\" is not reachable (be\\x0acause), retry in a few seconds"),
            (365, "TemporarilyUnavailable", "too many connections to addon \"blog\""),
            (17, "ProtocolError", "not a MongoDB client"),
            (262, "ExceededTimeLimit", "timed out waiting for the rest of the first message"),
            (10334, "BSONObjectTooLarge", "the first message is too large"),
            (17, "ProtocolError", "not a MongoDB client"),
            (91, "ShutdownInProgress", "the edge is shutting down, retry in a few seconds"),
        ];
        for (reason, (code, name, text)) in Reason::ALL.into_iter().zip(expected) {
            for family in [Family::Msg, Family::Query] {
                let answer = bytes(asked(family), None, &Refusal::of(&blog, reason, "be\ncause"));
                let elements = elements(family, &answer);
                assert_eq!(elements[0], "ok ");
                assert!(elements[1].starts_with(&format!("errmsg {text}")), "{}", elements[1]);
                assert_eq!(elements[2..], ["code ".to_owned(), format!("codeName {name}")]);
                let code: i32 = code;
                let field = [b"\x10code\0", &code.to_le_bytes()[..]].concat();
                assert!(answer.windows(field.len()).any(|window| window == field));
            }
        }
    }

    #[test]
    fn who_has_asked_nothing_is_told_nothing() {
        let refusal = Refusal::new(Reason::TooSlow, "");
        assert_eq!(bytes(None, None, &refusal), "");
        let malformed = Refusal::new(Reason::Malformed, "");
        assert_eq!(bytes(None, Some(&Fault::Opcode(0)), &malformed), "");
        assert_eq!(bytes(None, Some(&Fault::Tls), &malformed), HANDSHAKE_FAILURE);
        let http = bytes(None, Some(&Fault::Http), &malformed);
        let (head, body) = http.split_at(http.len() - 85);
        assert!(head.ends_with(b"Content-Length: 85\r\n\r\n") && body.starts_with(b"It looks like"));
    }

    #[test]
    fn a_fault_is_told_only_if_it_is_why() {
        let said = |fault: &Fault, reason| {
            let answer = bytes(asked(Family::Msg), Some(fault), &Refusal::new(reason, ""));
            elements(Family::Msg, &answer)[1].clone()
        };
        assert!(said(&Fault::NoBson, Reason::Malformed).starts_with("errmsg invalid BSON"));
        assert!(said(&Fault::NoBson, Reason::Draining).starts_with("errmsg the edge is shutting down"));
        let nobody = said(&Fault::Nobody(None), Reason::UnknownName);
        assert!(
            nobody.contains("neither a login nor appName") && nobody.contains("appName=NAME"),
            "{nobody}"
        );
    }
}
