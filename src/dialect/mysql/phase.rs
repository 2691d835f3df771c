//! The first two packets of a connection: the edge's greeting, and the client's response or request for TLS.

use std::hint::black_box;

use bytes::{Bytes, BytesMut};

use super::backend::AnswerGreeting;
use super::fault::Fault;
use super::packet::{HEADER_LEN, Header};
use super::refusal::{self, Place};
use super::response::{Response, SEQUENCE, Sent, TlsRequest};
use super::settings::{Offer, Settings};
use crate::dialect::tls::Gate;
use crate::dialect::{By, Dialect, Identified, Login, Opening, Protocol, Reason, Refusal, Step};

/// Greets a client as a server would, and reads its response: whose addon is meant. A client that is let begin TLS
/// responds in TLS, so it is led by the host name in its ClientHello.
#[derive(Debug)]
pub struct ConnectionPhase {
    /// The greeting, until it is said; an error if there is no randomness for it.
    greeting: Option<std::io::Result<Bytes>>,
    offer: Offer,
    /// What was wrong with the client's bytes, once something was.
    fault: Option<Fault>,
    /// Where TLS is offered.
    gate: Option<Gate>,
    /// The client's request for TLS as a backend is sent it, once it has made one. It speaks TLS from there on.
    tls: Option<(Bytes, Sent)>,
}

impl ConnectionPhase {
    /// The longest packet with a client's response, with its header. Nearly all of it may be connection attributes.
    pub const RESPONSE_LEN_MAX: usize = 64 * 1024;

    /// The dialect of one fresh connection.
    pub fn new(settings: &Settings) -> Self {
        ConnectionPhase {
            greeting: Some(settings.greeting()),
            offer: settings.offer(),
            fault: None,
            gate: settings.gate(),
            tls: None,
        }
    }
}

impl Dialect for ConnectionPhase {
    fn protocol(&self) -> Protocol {
        Protocol::Mysql
    }

    fn step(&mut self, input: &mut BytesMut) -> Step {
        match self.greeting.take() {
            Some(Ok(greeting)) => return Step::Reply(greeting),
            Some(Err(error)) => {
                let detail = format!("the edge has no randomness: {error}");
                self.greeting = Some(Err(error));
                return Step::Refuse(Refusal::new(Reason::Unreachable, detail));
            }
            None if self.tls.is_some() => return self.client_hello(input),
            None => {}
        }
        self.read(input).unwrap_or_else(|fault| {
            let refusal = Refusal::new(fault.reason(), fault.to_string());
            self.fault = Some(fault);
            Step::Refuse(refusal)
        })
    }

    fn refuse(&self, refusal: &Refusal) -> Bytes {
        if let (Some(gate), Some(_)) = (&self.gate, &self.tls) {
            return gate.refuse(refusal);
        }
        let fault = self.fault.as_ref().filter(|fault| fault.reason() == refusal.reason);
        let place = match fault {
            _ if self.greeting.is_some() => Place { sequence: 0, sqlstate: false },
            // As the server, which takes the packet for one of another connection.
            Some(Fault::OutOfOrder(_)) => Place { sequence: SEQUENCE, sqlstate: true },
            Some(Fault::Protocol320) => Place { sequence: SEQUENCE + 1, sqlstate: false },
            _ => Place { sequence: SEQUENCE + 1, sqlstate: true },
        };
        fault.map_or_else(|| refusal::error(refusal), Fault::error).encode(place)
    }

    fn identify_bytes_max(&self) -> usize {
        Self::RESPONSE_LEN_MAX
    }
}

impl ConnectionPhase {
    fn read(&mut self, input: &mut BytesMut) -> Result<Step, Fault> {
        let Some(header) = Header::parse(input) else { return Ok(Step::NeedMore) };
        if header.sequence != SEQUENCE {
            return Err(Fault::OutOfOrder(header.sequence));
        }
        let len = HEADER_LEN + header.len;
        if len > Self::RESPONSE_LEN_MAX {
            return Err(Fault::Length(header.len));
        }
        if input.len() < len {
            return Ok(Step::NeedMore);
        }
        let mut packet = input.split_to(len);
        let decided = self.decide(packet.get(HEADER_LEN..).unwrap_or_default());
        // What the client has hashed is of no use any more, and no good in memory.
        packet.fill(0);
        black_box(&packet);
        Ok(decided?.unwrap_or_else(|| self.client_hello(input)))
    }

    /// Judges the client's first packet. None: it goes on in TLS.
    fn decide(&mut self, payload: &[u8]) -> Result<Option<Step>, Fault> {
        if self.gate.is_some()
            && let Some(request) = TlsRequest::parse(payload)
        {
            self.tls = Some(request.replay(self.offer));
            return Ok(None);
        }
        let response = Response::parse(payload)?;
        let user = response.user();
        let login = Login::parse(user).map_err(|error| Fault::user(user, error))?;
        let (replay, sent) = response.replay(self.offer);
        let opening = Opening::Handshake(Box::new(AnswerGreeting::new(replay, sent)));
        Ok(Some(Step::Identified(Identified::new(login, opening))))
    }

    /// Reads the ClientHello. The backend gets it behind the request for TLS; what it answers is for the client.
    fn client_hello(&mut self, input: &mut BytesMut) -> Step {
        let (Some(gate), Some((request, sent))) = (&mut self.gate, &self.tls) else { return Step::Close };
        let (name, hello) = match gate.step(input) {
            Ok(Some(passed)) => passed,
            Ok(None) => return Step::NeedMore,
            Err(refusal) => return Step::Refuse(refusal),
        };
        let replay = [&request[..], &hello.bytes].concat().into();
        let opening = Opening::Handshake(Box::new(AnswerGreeting::new(replay, *sent)));
        let identified = Identified::new(Login { name, role: None }, opening);
        Step::Identified(Identified { by: By::HostOf(Protocol::Mysql), ..identified })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Name;
    use crate::dialect::mysql::Random;

    fn greeted(settings: &Settings) -> ConnectionPhase {
        let mut phase = ConnectionPhase::new(settings);
        assert!(matches!(phase.step(&mut BytesMut::new()), Step::Reply(greeting) if greeting.len() > 60));
        phase
    }

    fn settings() -> Settings {
        Settings::new(None, None, Random(|_| Ok(())))
    }

    /// What is refused, and how.
    fn refused(bytes: &[u8]) -> (Reason, Bytes) {
        let mut phase = greeted(&settings());
        match phase.step(&mut BytesMut::from(bytes)) {
            Step::Refuse(refusal) => (refusal.reason, phase.refuse(&refusal)),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_header_is_judged_as_soon_as_it_is_there() {
        for other in [&b"GET / HTTP/1.1\r\n"[..], b"\x16\x03\x01\x02\0\x01", b"\0\0\0\0", b"\x20\0\0\x02"] {
            let expected = b"\x21\0\0\x01\xff\x84\x04#08S01Got packets out of order"[..].into();
            assert_eq!(refused(other), (Reason::Malformed, expected));
        }
        let mut longest = BytesMut::from(&b"\xfc\xff\0\x01"[..]);
        assert!(matches!(greeted(&settings()).step(&mut longest), Step::NeedMore));
        let (reason, said) = refused(b"\xfd\xff\0\x01");
        assert_eq!(reason, Reason::TooBig);
        assert!(said[3..].starts_with(b"\x02\xff\x81\x04#08S01Got a packet bigger than"));
    }

    #[test]
    fn before_the_greeting_an_error_has_number_0_and_no_state() {
        let refusal = Refusal::new(Reason::TooManyConnections, "");
        let settings = settings();
        let said = ConnectionPhase::new(&settings).refuse(&refusal);
        assert!(said[3..].starts_with(b"\0\xff\x10\x04Too many connections"));
        let mut phase = greeted(&settings);
        assert!(phase.refuse(&refusal)[3..].starts_with(b"\x02\xff\x10\x04#08004Too many connections"));
        assert!(matches!(phase.step(&mut BytesMut::new()), Step::NeedMore), "it greets once");
    }

    #[test]
    fn without_randomness_nobody_is_greeted() {
        let settings = Settings::new(None, None, Random(|_| Err(std::io::ErrorKind::Unsupported.into())));
        let mut phase = ConnectionPhase::new(&settings);
        match phase.step(&mut BytesMut::new()) {
            Step::Refuse(refusal) => {
                assert!(phase.refuse(&refusal)[3..].starts_with(b"\0\xff\x51\x04the addon is not"));
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_fault_is_told_only_if_it_is_why() {
        let mut phase = greeted(&settings());
        assert!(matches!(phase.step(&mut BytesMut::from("HTTP/1.1")), Step::Refuse(_)));
        let blog = Name::parse("blog").unwrap();
        let said = phase.refuse(&Refusal::of(&blog, Reason::Stopped, ""));
        assert!(said[3..].starts_with(b"\x02\xff\x51\x04#08S01addon \"blog\" is stopped"));
    }

    /// A request for TLS, and a ClientHello of a real client for `blog.db.example.com`.
    fn request_and_hello() -> (Vec<u8>, &'static [u8]) {
        let head = [&b"\x20\0\0\x01\x00\x8a\x08\x08"[..], &[7; 24], &[0; 4]].concat();
        (head, include_bytes!("../../../tests/corpus/tls/openssl-3.0.bin"))
    }

    fn offering_tls() -> ConnectionPhase {
        greeted(&settings().offering(crate::dialect::tls::StartTls::Passthrough(None)))
    }

    #[test]
    fn in_tls_the_host_name_leads_and_the_backend_is_asked_for_tls() {
        let (request, hello) = request_and_hello();
        let stream = [&request[..], hello, b"more"].concat();
        for cut in 0..stream.len() {
            let mut phase = offering_tls();
            let mut input = BytesMut::from(&stream[..cut]);
            let mut step = phase.step(&mut input);
            if matches!(step, Step::NeedMore) {
                input.extend_from_slice(&stream[cut..]);
                step = phase.step(&mut input);
            }
            let Step::Identified(found) = step else { panic!("cut at {cut}: {step:?}") };
            assert_eq!((found.login.name.as_str(), found.by), ("blog", By::HostOf(Protocol::Mysql)));
            let Opening::Handshake(mut handshake) = found.opening else { panic!("{:?}", found.opening) };
            // What the edge has not offered is not claimed: bit 27.
            let asked = [&b"\x20\0\0\x01\x00\x8a\x08\x00"[..], &request[8..], hello].concat();
            let mut greeting = BytesMut::from(
                &include_bytes!("../../../tests/corpus/mysql/server-mariadb-11.8.greeting.bin")[..],
            );
            assert_eq!(handshake.step(&mut greeting), crate::dialect::HandshakeStep::Send(asked.into()));
            assert!(b"more".starts_with(&input[..]));
        }
    }

    #[test]
    fn who_is_in_tls_is_refused_by_an_alert() {
        let (request, _) = request_and_hello();
        let mut phase = offering_tls();
        let stopped = Refusal::of(&Name::parse("blog").unwrap(), Reason::Stopped, "");
        assert_eq!(phase.refuse(&stopped)[4], 0xff, "not yet");
        match phase.step(&mut BytesMut::from(&[&request[..], b"GET /"].concat()[..])) {
            Step::Refuse(refusal) => {
                assert_eq!(refusal.reason, Reason::Malformed);
                assert_eq!(phase.refuse(&refusal), b"\x15\x03\x03\0\x02\x02\x0a"[..]);
            }
            other => panic!("{other:?}"),
        }
        // Where TLS is not offered the answer is an error, as before.
        let (reason, said) = refused(&request);
        assert!(reason == Reason::Malformed && said[3..].starts_with(b"\x02\xff\x13\x04#08S01Bad handshake"));
    }
}
