//! NATS. In: the one line by which a client answers the server's greeting. Out: the edge's greeting, the addon that
//! is meant, and how its server's own greeting is swallowed before the line is replayed.
//!
//! Where a choice is left open nats-server 2.9 decides, asked by the bytes: `CONNECT` in any case, with or without a
//! space behind it, ended by a line feed; keys as Go's `encoding/json` reads them ([`login`]). Known differences: the
//! server closes without a word what is no JSON, and the edge says why; and what the greeting tells about the server
//! is told before it is known which server it will be ([`Settings`]).

mod fault;
mod greeting;
mod login;
mod refusal;

use bytes::{Bytes, BytesMut};

use self::fault::Fault;
pub use self::greeting::Settings;
use crate::dialect::words::LineEnd;
use crate::dialect::{Dialect, Greeting, Identified, Opening, Protocol, Refusal, Step};

/// Greets, and reads the line that says who the client is. What is behind it is not looked at: clients send `PING`
/// along.
#[derive(Debug)]
pub struct FirstLine {
    settings: Settings,
    greeted: bool,
    line_end: LineEnd,
    /// What was wrong with the client's bytes, once something was.
    fault: Option<Fault>,
}

impl FirstLine {
    /// The dialect of one fresh connection.
    pub fn new(settings: Settings) -> Self {
        FirstLine { settings, greeted: false, line_end: LineEnd::default(), fault: None }
    }
}

impl Dialect for FirstLine {
    fn protocol(&self) -> Protocol {
        Protocol::Nats
    }

    fn step(&mut self, input: &mut BytesMut) -> Step {
        if !std::mem::replace(&mut self.greeted, true) {
            return Step::Reply(self.settings.info());
        }
        connect(input, &mut self.line_end).unwrap_or_else(|fault| {
            let refusal = Refusal::new(fault.reason(), fault.to_string());
            self.fault = Some(fault);
            Step::Refuse(refusal)
        })
    }

    fn refuse(&self, refusal: &Refusal) -> Bytes {
        refusal::bytes(self.fault.as_ref(), refusal)
    }
}

fn connect(input: &mut BytesMut, line_end: &mut LineEnd) -> Result<Step, Fault> {
    let common = input.len().min(CONNECT.len());
    let (said, expected) = (input.get(..common), CONNECT.get(..common));
    if !said.unwrap_or_default().eq_ignore_ascii_case(expected.unwrap_or_default()) {
        return Err(Fault::verb(input));
    }
    let Some(end) = line_end.find(input) else { return Ok(Step::NeedMore) };
    let line = input.split_to(end + 1).freeze();
    let login = login::read(line.get(CONNECT.len()..).unwrap_or_default())?;
    let handshake = Greeting::new(Bytes::new(), greeting::measure, line);
    Ok(Step::Identified(Identified::new(login, Opening::Handshake(Box::new(handshake)))))
}

const CONNECT: &[u8] = b"CONNECT";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Reason;

    /// What the client means, or why it is refused; and what stays in the input.
    fn said(bytes: &[u8]) -> (Result<String, Reason>, BytesMut) {
        let mut dialect = FirstLine::new(Settings::default());
        let mut input = BytesMut::new();
        assert!(matches!(dialect.step(&mut input), Step::Reply(info) if info.starts_with(b"INFO {")));
        input.extend_from_slice(bytes);
        let meaning = match dialect.step(&mut input) {
            Step::Identified(found) => Ok(found.login.name.to_string()),
            Step::Refuse(refusal) => Err(refusal.reason),
            other => panic!("{other:?}"),
        };
        (meaning, input)
    }

    #[test]
    fn a_connect_line_is_read_as_the_server_reads_it_and_the_rest_stays() {
        for line in [
            &b"CONNECT {\"user\":\"blog\",\"pass\":\"pw\"}\r\n"[..],
            b"connect \t {\"user\":\"blog\"}\n",
            b"CoNNeCT{\"user\":\"blog\"} \r\r\n",
        ] {
            let (meaning, rest) = said(&[line, b"PING\r\n"].concat());
            assert_eq!((meaning, &rest[..]), (Ok("blog".into()), &b"PING\r\n"[..]));
        }
    }

    #[test]
    fn another_verb_is_refused_at_its_first_byte() {
        for bytes in [&b"P"[..], b"PING\r\n", b"\x16", b"G", b"\r", b"CX", b"CONNEXT {}\r\n"] {
            assert_eq!(said(bytes).0, Err(Reason::Malformed), "{bytes:?}");
        }
    }

    #[test]
    fn the_line_is_replayed_as_it_came_once_the_server_has_greeted() {
        let line = b"connect  {\"user\":\"blog\"} \r\n";
        let mut dialect = FirstLine::new(Settings::default());
        dialect.step(&mut BytesMut::new());
        let Step::Identified(found) = dialect.step(&mut BytesMut::from(&line[..])) else { panic!() };
        let Opening::Handshake(mut handshake) = found.opening else { panic!() };
        assert!(handshake.begin().is_empty());
        let mut server = BytesMut::from("INFO {\"server_id\":\"x\"} \r\n-ERR 'x'\r\n");
        let step = handshake.step(&mut server);
        assert_eq!(step, crate::dialect::HandshakeStep::Send(Bytes::from_static(line)));
        assert_eq!(server, "-ERR 'x'\r\n", "what the server says next is the client's");
    }
}
