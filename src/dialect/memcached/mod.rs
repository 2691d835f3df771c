//! memcached, its binary protocol with SASL PLAIN. In: what a client sends until it has said who it is. Out: the addon that
//! is meant, the request to replay, and what a server answers before that: the list of mechanisms, and its version.
//!
//! Where a choice is left open memcached 1.6.18 with `-S` decides, asked by the bytes. Known differences: a version that is
//! not the server's; who is refused may talk on, but is told the same again, where a server waits for another
//! try; a user with a realm (`user@host`) is no name; and a client that speaks the text protocol, which has no login, is
//! told so.

mod fault;
mod login;
mod packet;
mod refusal;

use bytes::{Buf, Bytes, BytesMut};

use self::fault::Fault;
use self::packet::{Header, Opcode};
use self::refusal::Voice;
use crate::dialect::words::TLS_HANDSHAKE;
use crate::dialect::{
    Dialect, Greeting, HandshakeStep, Identified, Login, Opening, Protocol, Reason, Recognised, Refusal, Step,
};

/// Reads requests until one of them says who the client is, and answers those that need no login.
#[derive(Debug, Default)]
pub struct FirstRequests {
    /// How many requests have been answered.
    answered: u32,
    /// A request to log in that had nothing but the mechanism's name in it: the rest is to come.
    begun: Option<Bytes>,
    /// What the client can understand if it is refused now.
    voice: Voice,
    /// What was wrong with the client's bytes, once something was.
    fault: Option<Fault>,
}

impl FirstRequests {
    /// How many requests are answered before a login.
    pub const REQUESTS_MAX: u32 = 16;

    /// The longest request that is read, in bytes.
    pub const REQUEST_LEN_MAX: usize = 8 * 1024;

    /// The dialect of one fresh connection.
    pub fn new() -> Self {
        Self::default()
    }

    fn next(&mut self, input: &mut BytesMut) -> Result<Step, Fault> {
        match input.first() {
            None | Some(&packet::REQUEST) => {}
            Some(&TLS_HANDSHAKE) if self.answered == 0 => {
                self.voice = Voice::Alert;
                return Err(Fault::Tls);
            }
            Some(&byte) => {
                if self.answered == 0 && byte.is_ascii_graphic() {
                    self.voice = Voice::Text;
                }
                return Err(Fault::FirstByte(byte));
            }
        }
        let Some(header) = Header::read(input) else { return Ok(Step::NeedMore) };
        self.voice = Voice::Binary(header);
        // What is wrong with it can be seen before all of it is there.
        let opcode = header.check()?;
        if header.len() > Self::REQUEST_LEN_MAX {
            return Err(Fault::TooLong(header.len()));
        }
        if input.len() < header.len() {
            return Ok(Step::NeedMore);
        }
        let request = input.split_to(header.len()).freeze();
        match opcode {
            Opcode::Version => self.answer(header.answer(packet::OK, VERSION)),
            Opcode::ListMechanisms => self.answer(header.answer(packet::OK, login::PLAIN)),
            Opcode::Auth | Opcode::Step => self.login(&header, request),
        }
    }

    fn answer(&mut self, bytes: Bytes) -> Result<Step, Fault> {
        self.answered += 1;
        if self.answered > Self::REQUESTS_MAX { Err(Fault::TooMany) } else { Ok(Step::Reply(bytes)) }
    }

    fn login(&mut self, header: &Header, request: Bytes) -> Result<Step, Fault> {
        let (mechanism, credentials) = header.key_and_value(&request);
        if !mechanism.eq_ignore_ascii_case(login::PLAIN) {
            return Err(Fault::Mechanism);
        }
        let is_step = header.opcode == Opcode::Step as u8;
        if credentials.is_empty() && !is_step {
            self.begun = Some(request);
            return self.answer(header.answer(packet::CONTINUE, b""));
        }
        let user = login::user(credentials)?;
        let login = Login::parse(user).map_err(|error| Fault::user(user, error))?;
        let opening = match self.begun.take() {
            _ if !is_step => Opening::Replay(request),
            // The server has to be asked to begin, too, and says the same.
            Some(begun) => Opening::Handshake(Box::new(Greeting::new(begun, begun_len, request))),
            None => return Err(Fault::Mechanism),
        };
        Ok(Step::Identified(Identified::new(login, opening)))
    }
}

impl Dialect for FirstRequests {
    fn protocol(&self) -> Protocol {
        Protocol::Memcached
    }

    fn step(&mut self, input: &mut BytesMut) -> Step {
        self.next(input).unwrap_or_else(|fault| {
            let refusal = Refusal::new(fault.reason(), fault.to_string());
            self.fault = Some(fault);
            Step::Refuse(refusal)
        })
    }

    fn refuse(&self, refusal: &Refusal) -> Bytes {
        refusal::bytes(&self.voice, self.fault.as_ref(), refusal)
    }

    /// memjs takes any answer to a login for a good one but a failure of authentication, and reads only then why its
    /// request cannot be served: every request gets the status and the text that the login got.
    fn answer_refused(&self, refusal: &Refusal, input: &mut BytesMut) -> Option<Bytes> {
        if !refusal::may_go_on(refusal) || !matches!(self.voice, Voice::Binary(_)) {
            return None;
        }
        let mut answers = BytesMut::new();
        while let Some(header) = Header::read(input) {
            if header.magic != packet::REQUEST || header.len() > Self::REQUEST_LEN_MAX {
                return None;
            }
            if input.len() < header.len() {
                break;
            }
            input.advance(header.len());
            answers.extend_from_slice(&refusal::bytes(&Voice::Binary(header), self.fault.as_ref(), refusal));
        }
        Some(answers.freeze())
    }
}

/// Whether these are the first bytes of a request that is answered before a login. What else memcached's clients say is
/// understood where memcached alone is spoken.
pub fn recognise(first: &[u8]) -> Recognised {
    match first {
        [] | [packet::REQUEST] => Recognised::NeedMore,
        [packet::REQUEST, opcode, ..] if Opcode::of(*opcode).is_some() => Recognised::Mine,
        [..] => Recognised::NotMine,
    }
}

/// How long a server's answer is that asks for the rest of a login.
fn begun_len(bytes: &[u8]) -> Result<Option<usize>, HandshakeStep> {
    let Some(header) = Header::read(bytes) else { return Ok(None) };
    if header.magic != packet::RESPONSE || header.status != packet::CONTINUE {
        return Err(HandshakeStep::Refuse(Reason::Unreachable, "its server does not take SASL PLAIN".into()));
    }
    Ok((bytes.len() >= header.len()).then(|| header.len()))
}

/// Clients show it; none is known to look at it.
const VERSION: &[u8] = b"1.6.18";

#[cfg(test)]
mod tests {
    use super::packet::tests::request;
    use super::*;

    const AUTH: u8 = Opcode::Auth as u8;
    const STEP: u8 = Opcode::Step as u8;
    const LIST: u8 = Opcode::ListMechanisms as u8;

    fn identified(dialect: &mut FirstRequests, bytes: &[u8]) -> Opening {
        match dialect.step(&mut BytesMut::from(bytes)) {
            Step::Identified(found) => {
                assert_eq!(found.login.name.as_str(), "blog");
                found.opening
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_needs_no_login_is_answered_and_only_the_login_replayed() {
        let mut dialect = FirstRequests::new();
        let login = request(AUTH, b"PLAIN", b"\0blog\0pw");
        let mut input =
            BytesMut::from(&[request(LIST, b"", b""), request(0x0b, b"", b""), login.clone()].concat()[..]);
        input.extend_from_slice(b"\x80more");
        for body in [&b"PLAIN"[..], b"1.6.18"] {
            let Step::Reply(answer) = dialect.step(&mut input) else { panic!() };
            assert!(answer.starts_with(b"\x81") && answer.ends_with(body) && answer.len() == 24 + body.len());
        }
        let Step::Identified(found) = dialect.step(&mut input) else { panic!() };
        assert!(matches!(found.opening, Opening::Replay(replay) if replay == login));
        assert_eq!(input, &b"\x80more"[..]);
    }

    #[test]
    fn a_login_in_two_steps_is_replayed_in_two_steps() {
        let mut dialect = FirstRequests::new();
        let (begin, end) = (request(AUTH, b"plain", b""), request(STEP, b"plain", b"x\0blog\0pw"));
        let Step::Reply(answer) = dialect.step(&mut BytesMut::from(&begin[..])) else { panic!() };
        assert_eq!(answer[6..8], [0, 0x21]);
        let Opening::Handshake(mut handshake) = identified(&mut dialect, &end) else { panic!() };
        assert_eq!(handshake.begin(), begin);
        let mut server = BytesMut::from(&answer[..]);
        assert_eq!(handshake.step(&mut server), HandshakeStep::Send(end.into()));
        assert_eq!(handshake.step(&mut server), HandshakeStep::Done);
        handshake.begin();
        server = BytesMut::from(&request(AUTH, b"", b"")[..]);
        assert!(matches!(handshake.step(&mut server), HandshakeStep::Refuse(Reason::Unreachable, _)));
        // Without the first step there is no second one.
        let alone =
            FirstRequests::new().step(&mut BytesMut::from(&request(STEP, b"PLAIN", b"\0blog\0pw")[..]));
        assert!(matches!(alone, Step::Refuse(_)));
    }

    #[test]
    fn requests_before_a_login_are_counted() {
        let mut dialect = FirstRequests::new();
        for _ in 0..FirstRequests::REQUESTS_MAX {
            assert!(matches!(
                dialect.step(&mut BytesMut::from(&request(LIST, b"", b"")[..])),
                Step::Reply(_)
            ));
        }
        let refused = dialect.step(&mut BytesMut::from(&request(LIST, b"", b"")[..]));
        assert!(matches!(refused, Step::Refuse(refusal) if refusal.reason == Reason::TooBig));
    }

    #[test]
    fn a_refused_client_that_goes_on_reads_why_again() {
        let mut dialect = FirstRequests::new();
        identified(&mut dialect, &request(AUTH, b"PLAIN", b"\0blog\0pw"));
        let blog = crate::dialect::Name::parse("blog").unwrap();
        let mut input =
            BytesMut::from(&[request(0x01, b"key", b"value"), request(0x0a, b"", b"")].concat()[..]);
        input.extend_from_slice(b"\x80\x0a");
        let stopped = Refusal::of(&blog, Reason::Stopped, "");
        let said = dialect.answer_refused(&stopped, &mut input).unwrap();
        let one = dialect.refuse(&stopped);
        assert_eq!(
            (said.len(), &said[1..2], &said[24..one.len()]),
            (2 * one.len(), &b"\x01"[..], &one[24..])
        );
        assert_eq!(input, &b"\x80\x0a"[..], "half a request waits");
        let malformed = Refusal::new(Reason::Malformed, "");
        assert!(dialect.answer_refused(&malformed, &mut input).is_none());
        assert!(dialect.answer_refused(&stopped, &mut BytesMut::from(&[0; 24][..])).is_none());
    }

    #[test]
    fn what_no_login_can_be_is_refused_with_the_servers_status() {
        let long = vec![b'p'; FirstRequests::REQUEST_LEN_MAX];
        let cases: [(Vec<u8>, Reason, u16); 12] = [
            (request(0x0a, b"", b""), Reason::Malformed, 0x20),
            (request(0x00, b"key", b"")[..24].to_vec(), Reason::Malformed, 0x20),
            (request(LIST, b"x", b"")[..24].to_vec(), Reason::Malformed, 0x04),
            (request(AUTH, b"", b"\0blog\0pw"), Reason::Malformed, 0x04),
            (request(AUTH, &[b'x'; 33], b""), Reason::Malformed, 0x04),
            (request(AUTH, b"CRAM-MD5", b""), Reason::Malformed, 0x20),
            (request(AUTH, b"PLAIN", b"blog"), Reason::Malformed, 0x20),
            (request(AUTH, b"PLAIN", b"\0blog\0pw\0"), Reason::Malformed, 0x20),
            (request(AUTH, b"PLAIN", b"blog\0\0pw"), Reason::UnknownName, 0x20),
            (request(AUTH, b"PLAIN", b"\0Blog\0pw"), Reason::UnknownName, 0x20),
            (request(AUTH, b"PLAIN", b"\0blog@host\0pw"), Reason::UnknownName, 0x20),
            (request(AUTH, b"PLAIN", &long)[..24].to_vec(), Reason::TooBig, 0x03),
        ];
        for (bytes, reason, status) in cases {
            let mut dialect = FirstRequests::new();
            let Step::Refuse(refusal) = dialect.step(&mut BytesMut::from(&bytes[..])) else {
                panic!("{bytes:?}")
            };
            let said = dialect.refuse(&refusal);
            assert_eq!((refusal.reason, &said[6..8]), (reason, &status.to_be_bytes()[..]), "{bytes:?}");
            assert_eq!((said[1], &said[12..16]), (bytes[1], &bytes[12..16]), "the answer to this request");
        }
    }
}
