//! The first packets of a connection: requests for encryption, then a start-up packet or a cancel request.

use bytes::{Bytes, BytesMut};

use super::fault::{Encryption, Fault};
use super::refusal::{self, Voice};
use super::{CancelRequest, KeyWatch, open_tls, u32_at};
use crate::dialect::tls::{self, Alert, Gate, StartTls};
use crate::dialect::words::TLS_HANDSHAKE;
use crate::dialect::{By, Dialect, Identified, Login, Opening, Protocol, Reason, Recognised, Refusal, Step};

/// Reads what a client sends first until it knows whose addon is meant.
///
/// GSSAPI encryption is declined (`N`), and so is TLS where it is not offered, as a server without it does. A client
/// that is let begin TLS (`S`), or begins with it, is led by the host name in its ClientHello. A start-up packet of
/// any minor version of protocol 3 is replayed as it came: what to make of the minor version, of `replication`,
/// `options` and `_pq_.` parameters is the backend's business.
#[derive(Debug, Default)]
pub struct Startup {
    /// The client has asked for TLS, and been answered. It may ask once.
    tls_asked: bool,
    /// The client has asked for GSSAPI encryption, and been answered. It may ask once.
    gss_asked: bool,
    /// What the client can understand if it is refused now.
    voice: Voice,
    /// What was wrong with the client's bytes, once something was.
    fault: Option<Fault>,
    /// Where TLS is offered.
    gate: Option<Gate>,
    /// The client speaks TLS from here on.
    in_tls: bool,
}

impl Startup {
    /// The dialect of one fresh connection, without TLS.
    pub fn new() -> Self {
        Self::default()
    }

    /// The dialect of one fresh connection, with TLS if it is offered.
    pub fn offering(tls: &StartTls) -> Self {
        Startup { gate: tls.gate(), ..Self::default() }
    }
}

impl Dialect for Startup {
    fn protocol(&self) -> Protocol {
        Protocol::Postgres
    }

    fn step(&mut self, input: &mut BytesMut) -> Step {
        if self.begins_with_tls(input) {
            return self.client_hello(input);
        }
        let step = match self.packet(input) {
            Ok(None) => Ok(Step::NeedMore),
            Ok(Some((code, packet))) => self.decide(code, packet, input),
            Err(fault) => Err(fault),
        };
        step.unwrap_or_else(|fault| {
            let refusal = Refusal::new(fault.reason(), fault.to_string());
            self.fault = Some(fault);
            Step::Refuse(refusal)
        })
    }

    fn refuse(&self, refusal: &Refusal) -> Bytes {
        match &self.gate {
            Some(gate) if self.in_tls => gate.refuse(refusal),
            _ => refusal::bytes(self.voice, self.fault.as_ref(), refusal),
        }
    }

    fn identify_bytes_max(&self) -> usize {
        // Enough for requests for encryption, and a ClientHello or a start-up packet.
        Gate::BYTES_MAX
    }
}

impl Startup {
    /// Whether what comes now is TLS: it was agreed on, or the client begins with it where it is offered (direct
    /// TLS, which PostgreSQL has since 17).
    fn begins_with_tls(&mut self, input: &BytesMut) -> bool {
        let direct = || input.first() == Some(&TLS_HANDSHAKE) && !self.tls_asked && !self.gss_asked;
        self.in_tls = self.in_tls || self.gate.is_some() && direct();
        self.in_tls
    }

    /// Reads the ClientHello. The backend is asked for TLS and gets it; what it answers is for the client.
    fn client_hello(&mut self, input: &mut BytesMut) -> Step {
        let Some(gate) = &mut self.gate else { return Step::Close };
        let (name, hello) = match gate.step(input) {
            Ok(Some(passed)) => passed,
            Ok(None) => return Step::NeedMore,
            Err(refusal) => return Step::Refuse(refusal),
        };
        // As the server: without an SSLRequest, only ALPN tells that this is no attack from another protocol.
        if !self.tls_asked && hello.speaks != Some(Protocol::Postgres) {
            return Step::Refuse(gate.fail(Reason::Malformed, NO_ALPN));
        }
        let identified = Identified::new(Login { name, role: None }, open_tls(hello.bytes));
        Step::Identified(Identified { by: By::HostOf(Protocol::Postgres), ..identified })
    }

    /// Takes the next whole packet off the input, with its code.
    fn packet(&mut self, input: &mut BytesMut) -> Result<Option<(u32, Bytes)>, Fault> {
        match input.first() {
            None | Some(0) => {}
            // No packet can begin with it: it would be hundreds of megabytes long.
            Some(&TLS_HANDSHAKE) if !self.tls_asked && !self.gss_asked => {
                self.voice = Voice::Alert;
                return Err(Fault::DirectTls);
            }
            Some(&byte) => return Err(Fault::FirstByte(byte)),
        }
        let Some(len) = u32_at(input, 0) else { return Ok(None) };
        if !(PACKET_LEN_MIN..=PACKET_LEN_MAX).contains(&len) {
            return Err(Fault::Length(len));
        }
        let Some(code) = u32_at(input, 4) else { return Ok(None) };
        self.listen(code);
        let len = len as usize;
        Ok((input.len() >= len).then(|| (code, input.split_to(len).freeze())))
    }

    /// Notes what the client will be waiting for once it has sent a packet with this code.
    fn listen(&mut self, code: u32) {
        match code {
            CANCEL_REQUEST => self.voice = Voice::Silence,
            SSL_REQUEST if !self.tls_asked => {}
            GSSENC_REQUEST if !self.gss_asked => {}
            _ => self.voice = Voice::Error,
        }
    }

    fn decide(&mut self, code: u32, packet: Bytes, behind: &BytesMut) -> Result<Step, Fault> {
        match code {
            CANCEL_REQUEST => Ok(CancelRequest::parse(packet).map_or(Step::Close, Step::Cancel)),
            SSL_REQUEST if !self.tls_asked => {
                self.tls_asked = true;
                self.in_tls = self.gate.is_some() && behind.is_empty();
                match self.in_tls {
                    true => Ok(Step::Reply(Bytes::from_static(YES))),
                    false => self.decline(Encryption::Tls, behind),
                }
            }
            GSSENC_REQUEST if !self.gss_asked => {
                self.gss_asked = true;
                self.decline(Encryption::Gss, behind)
            }
            _ if code >> 16 == PROTOCOL_MAJOR => {
                let user = user(&packet)?;
                let login = Login::parse(user).map_err(|error| Fault::user(user, error))?;
                let identified = Identified::new(login, Opening::Replay(packet));
                Ok(Step::Identified(Identified { watch: Some(KeyWatch::new()), ..identified }))
            }
            _ => Err(Fault::Version(code)),
        }
    }

    /// Declines encryption. A client that asks for it waits for the answer: what came along with the request
    /// may have been put there by somebody else (CVE-2021-23214), so the server refuses it even where it
    /// declines, and so does the edge.
    fn decline(&mut self, encryption: Encryption, behind: &BytesMut) -> Result<Step, Fault> {
        if !behind.is_empty() {
            self.voice = Voice::NoThenError;
            return Err(Fault::Injection(encryption));
        }
        self.voice = Voice::Error;
        Ok(Step::Reply(Bytes::from_static(refusal::NO)))
    }
}

/// Whether these are the first bytes of a client that speaks protocol 3 in the clear: a length that begins with
/// zeros, then the code of a start-up packet or of a request. One that begins with TLS is a TLS client.
pub fn recognise(first: &[u8]) -> Recognised {
    if first.iter().take(2).any(|byte| *byte != 0) {
        return Recognised::NotMine;
    }
    match first.get(4..6) {
        Some([0, 3] | [0x04, 0xd2]) => Recognised::Mine,
        Some(_) => Recognised::NotMine,
        None => Recognised::NeedMore,
    }
}

/// The user that a start-up packet names; the last one, if it names several, as in the server.
fn user(packet: &[u8]) -> Result<&[u8], Fault> {
    let mut rest = packet.get(8..).unwrap_or_default();
    let mut user = None;
    loop {
        let name = string(&mut rest)?;
        if name.is_empty() {
            break;
        }
        let value = string(&mut rest)?;
        if name == b"user" {
            user = Some(value);
        }
    }
    if !rest.is_empty() {
        return Err(Fault::Layout);
    }
    user.filter(|user| !user.is_empty()).ok_or(Fault::NoUser)
}

/// Takes a string and the zero byte behind it off the front.
fn string<'a>(rest: &mut &'a [u8]) -> Result<&'a [u8], Fault> {
    let end = rest.iter().position(|&byte| byte == 0).ok_or(Fault::Layout)?;
    let (text, behind) = rest.split_at(end);
    *rest = behind.get(1..).unwrap_or_default();
    Ok(text)
}

/// TLS granted.
const YES: &[u8] = b"S";

const NO_ALPN: tls::Fault =
    tls::Fault::new(Alert::NoApplicationProtocol, "direct TLS without ALPN \"postgresql\"");

const PROTOCOL_MAJOR: u32 = 3;
const CANCEL_REQUEST: u32 = 80877102;
const SSL_REQUEST: u32 = 80877103;
const GSSENC_REQUEST: u32 = 80877104;

/// Length and code.
const PACKET_LEN_MIN: u32 = 8;

/// The server's MAX_STARTUP_PACKET_LENGTH, which does not count the length itself.
pub(super) const PACKET_LEN_MAX: u32 = 4 + 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    const SSL: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x2f";
    const GSS: &[u8] = b"\0\0\0\x08\x04\xd2\x16\x30";

    fn packet(code: u32, body: &[u8]) -> Vec<u8> {
        [&(body.len() as u32 + 8).to_be_bytes()[..], &code.to_be_bytes(), body].concat()
    }

    fn startup(body: &[u8]) -> Vec<u8> {
        packet(0x0003_0000, body)
    }

    fn step(dialect: &mut Startup, bytes: &[u8]) -> (Step, BytesMut) {
        let mut input = BytesMut::from(bytes);
        (dialect.step(&mut input), input)
    }

    fn login_of(bytes: &[u8]) -> Result<String, String> {
        match step(&mut Startup::new(), bytes).0 {
            Step::Identified(found) => {
                assert!(matches!(found.opening, Opening::Replay(replay) if replay == bytes));
                assert!(found.watch.is_some());
                let role = found.login.role.map(|role| format!(".{role}"));
                Ok(found.login.name.to_string() + &role.unwrap_or_default())
            }
            Step::Refuse(refusal) => Err(format!("{}: {}", refusal.reason.as_str(), refusal.detail)),
            other => panic!("{other:?}"),
        }
    }

    fn declined(dialect: &mut Startup, request: &[u8]) -> bool {
        matches!(step(dialect, request).0, Step::Reply(no) if no == "N")
    }

    #[test]
    fn the_last_user_counts_wherever_it_stands() {
        assert_eq!(login_of(&startup(b"user\0blog\0\0")), Ok("blog".into()));
        let last = b"database\0x\0user\0a\0user\0blog.ro\0_pq_.x\0y\0replication\x001\0\0";
        assert_eq!(login_of(&startup(last)), Ok("blog.ro".into()));
        assert_eq!(login_of(&startup(b"options\0user\0user\0blog\0\0")), Ok("blog".into()));
    }

    #[test]
    fn any_minor_version_of_protocol_3_is_left_to_the_backend() {
        for minor in [0, 1, 2, 9999, 65535] {
            assert_eq!(login_of(&packet(0x0003_0000 | minor, b"user\0blog\0\0")), Ok("blog".into()));
        }
        for (code, version) in [(0x2_0000, "2.0"), (0x4_0001, "4.1"), (0, "0.0"), (80877105, "1234.5681")] {
            let error = login_of(&packet(code, b"user\0blog\0\0")).unwrap_err();
            assert_eq!(
                error,
                format!("malformed: unsupported frontend protocol {version}: server supports 3.0 to 3.2")
            );
        }
    }

    #[test]
    fn a_packet_without_a_user_or_an_end_is_refused() {
        for body in
            [&b"\0"[..], b"database\0x\0\0", b"user\0\0\0", b"user\0blog\0user\0\0\0", b"User\0blog\0\0"]
        {
            let error = login_of(&startup(body)).unwrap_err();
            assert!(error.starts_with("unknown_name: no PostgreSQL user name"), "{error}");
        }
        for body in
            [&b""[..], b"user\0blog\0", b"user\0blog", b"user\0blog\0\0\0", b"user\0blog\0x", b"user\0\0"]
        {
            let error = login_of(&startup(body)).unwrap_err();
            assert!(error.starts_with("malformed: invalid startup packet layout"), "{error}");
        }
    }

    #[test]
    fn a_user_that_can_be_no_addon_is_refused_before_any_look_up() {
        for user in ["127.0.0.2", "localhost.", "Blog", "a b", "blog\n", "../blog", &"b".repeat(33)] {
            let error = login_of(&startup(format!("user\0{user}\0\0").as_bytes())).unwrap_err();
            assert!(error.starts_with("unknown_name: no addon named"), "{error}");
            assert!(!error.contains('\n'));
        }
    }

    #[test]
    fn a_length_is_judged_as_soon_as_it_is_there() {
        for len in [0u32, 7, 10_005, 0x00ff_ffff] {
            let (step, _) = step(&mut Startup::new(), &len.to_be_bytes());
            assert!(matches!(step, Step::Refuse(refusal) if refusal.reason == Reason::Malformed), "{len}");
        }
        let (too_long, _) = step(&mut Startup::new(), &0x8000_0000u32.to_be_bytes());
        assert!(matches!(too_long, Step::Refuse(_)));
        let body = [b"user\0blog\0options\0".to_vec(), vec![b'x'; 10_004 - 28], b"\0\0".to_vec()].concat();
        assert_eq!(startup(&body).len() as u32, PACKET_LEN_MAX);
        assert_eq!(login_of(&startup(&body)), Ok("blog".into()));
    }

    #[test]
    fn each_encryption_is_declined_once_in_either_order() {
        for (first, second) in [(SSL, GSS), (GSS, SSL)] {
            let mut dialect = Startup::new();
            assert!(declined(&mut dialect, first) && declined(&mut dialect, second));
            assert!(matches!(step(&mut dialect, &startup(b"user\0blog\0\0")).0, Step::Identified(_)));
        }
        let mut dialect = Startup::new();
        assert!(declined(&mut dialect, SSL));
        match step(&mut dialect, SSL).0 {
            Step::Refuse(refusal) => assert!(refusal.detail.contains("1234.5679"), "{}", refusal.detail),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn what_comes_behind_a_startup_packet_stays() {
        let bytes = [&startup(b"user\0blog\0\0")[..], b"p\0\0\0\x07pw\0"].concat();
        let (step, rest) = step(&mut Startup::new(), &bytes);
        assert!(matches!(step, Step::Identified(_)));
        assert_eq!(rest, &b"p\0\0\0\x07pw\0"[..]);
    }

    #[test]
    fn a_cancel_request_is_read_or_closed() {
        for secret in [0, 3, 4, 32, 256, 257] {
            let bytes = packet(CANCEL_REQUEST, &[&7u32.to_be_bytes()[..], &vec![1; secret]].concat());
            let mut dialect = Startup::new();
            assert!(secret % 2 == 0 || declined(&mut dialect, SSL));
            match step(&mut dialect, &bytes).0 {
                Step::Cancel(request) => {
                    assert_eq!((request.key.secret().len(), request.packet), (secret, bytes.into()))
                }
                Step::Close => assert!(!(4..=256).contains(&secret)),
                other => panic!("{other:?}"),
            }
        }
        assert!(matches!(step(&mut Startup::new(), &packet(CANCEL_REQUEST, b"")).0, Step::Close));
    }
}
