//! The edge's part in the log-in at a backend: it hears the greeting, and answers with the client's response.

use bytes::{Buf, Bytes, BytesMut};

use super::capability::{self, CLIENT_MYSQL, SSL};
use super::packet::{HEADER_LEN, Header, Reader};
use super::refusal::ERR;
use super::response::Sent;
use super::settings::{Offer, PROTOCOL_VERSION};
use crate::dialect::{Handshake, HandshakeStep, Reason};

/// Swallows a backend's greeting, looks whether it can do what the client has been offered and has claimed, and sends
/// the client's response with a plugin that nobody has. The next packet is the client's: the AuthSwitchRequest that
/// this provokes, or whatever else the server has to say. Or it sends the client's request for TLS and its ClientHello;
/// then all that follows is the client's.
pub(super) struct AnswerGreeting {
    replay: Bytes,
    sent: Sent,
    greeted: bool,
}

impl AnswerGreeting {
    /// Will send `replay`, which claims the flags `sent`.
    pub(super) fn new(replay: Bytes, sent: Sent) -> Self {
        AnswerGreeting { replay, sent, greeted: false }
    }
}

impl Handshake for AnswerGreeting {
    fn begin(&mut self) -> Bytes {
        self.greeted = false;
        Bytes::new()
    }

    fn step(&mut self, input: &mut BytesMut) -> HandshakeStep {
        if self.greeted {
            return HandshakeStep::Done;
        }
        let Some(header) = Header::parse(input) else { return HandshakeStep::NeedMore };
        if header.sequence != 0 || header.len > GREETING_LEN_MAX {
            return foreign();
        }
        let Some(payload) = input.get(HEADER_LEN..HEADER_LEN + header.len) else {
            return HandshakeStep::NeedMore;
        };
        if let Err(step) = check(payload, self.sent) {
            return step;
        }
        input.advance(HEADER_LEN + header.len);
        self.greeted = true;
        HandshakeStep::Send(self.replay.clone())
    }
}

/// Whether the server that greets like this can do what the client has claimed.
fn check(payload: &[u8], sent: Sent) -> Result<(), HandshakeStep> {
    let mut reader = Reader(payload);
    match reader.u8() {
        Some(ERR) => return Err(turned_away(reader.u16().unwrap_or_default())),
        Some(PROTOCOL_VERSION) => {}
        _ => return Err(foreign()),
    }
    let offer = offer(&mut reader).ok_or_else(foreign)?;
    // That bit says what a side is, not what it can do.
    let lacking = sent.flags & !offer.flags & !CLIENT_MYSQL;
    if lacking & SSL != 0 {
        let detail = "its server has no TLS (ssl_cert is not set)".to_owned();
        return Err(HandshakeStep::Refuse(Reason::Unreachable, detail));
    }
    let lacking_mariadb = sent.mariadb & !offer.mariadb;
    if lacking == 0 && lacking_mariadb == 0 {
        return Ok(());
    }
    let what = match lacking {
        0 => format!("MariaDB's 0x{lacking_mariadb:x}"),
        flags => capability::names(flags),
    };
    let detail = format!("its server lacks {what}, which this port's flavour and version promise");
    Err(HandshakeStep::Refuse(Reason::Unreachable, detail))
}

/// What a server offers, from behind the first byte of its greeting.
fn offer(reader: &mut Reader<'_>) -> Option<Offer> {
    reader.string()?; // version
    reader.bytes(4 + 8 + 1)?; // id, first part of the nonce, filler
    let low = u32::from(reader.u16()?);
    reader.bytes(1 + 2)?; // collation, status
    let flags = low | u32::from(reader.u16()?) << 16;
    reader.bytes(1 + 6)?; // length of the nonce, filler
    let mariadb = reader.u32()?;
    Some(Offer { flags, mariadb: if flags & CLIENT_MYSQL == 0 { mariadb } else { 0 } })
}

/// A server that answers with an error before its greeting. Its text may name the address of the edge, so only what the
/// code means is told.
fn turned_away(code: u16) -> HandshakeStep {
    let refuse = |reason, detail: &str| HandshakeStep::Refuse(reason, detail.to_owned());
    match code {
        CON_COUNT_ERROR => refuse(Reason::TooManyConnections, "its server has no room for more"),
        HOST_IS_BLOCKED => refuse(
            Reason::Unreachable,
            "its server has blocked the edge, error 1129: run FLUSH HOSTS and set skip_name_resolve",
        ),
        HOST_NOT_PRIVILEGED => {
            refuse(Reason::Unreachable, "its server lets nobody in from the edge's address, error 1130")
        }
        code => HandshakeStep::Retry(format!("its server answers with error {code}")),
    }
}

fn foreign() -> HandshakeStep {
    HandshakeStep::Refuse(Reason::Unreachable, "its server does not speak MySQL's protocol".to_owned())
}

/// Real ones have about a hundred bytes.
const GREETING_LEN_MAX: usize = 4096;

const CON_COUNT_ERROR: u16 = 1040;
const HOST_IS_BLOCKED: u16 = 1129;
const HOST_NOT_PRIVILEGED: u16 = 1130;

#[cfg(test)]
mod tests {
    use super::super::capability::{COMMON, MARIADB_10_6};
    use super::super::{Flavour, Random, Settings, Version};
    use super::*;

    fn greeting(flavour: Flavour, version: &str) -> Bytes {
        let version = Version::try_from(version.to_owned()).unwrap();
        Settings::new(Some(flavour), Some(version), Random(|_| Ok(()))).greeting().unwrap()
    }

    fn handshake(flags: u32, mariadb: u32) -> AnswerGreeting {
        AnswerGreeting::new(Bytes::from_static(b"replay"), Sent { flags, mariadb })
    }

    fn refused(greeting: &[u8], flags: u32, mariadb: u32) -> String {
        match handshake(flags, mariadb).step(&mut BytesMut::from(greeting)) {
            HandshakeStep::Refuse(_, detail) | HandshakeStep::Retry(detail) => detail,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_greeting_is_swallowed_wherever_it_is_cut_and_nothing_more() {
        let greeting = greeting(Flavour::Mariadb, "10.11.6");
        let all = [&greeting[..], b"\x2c\0\0\x02\xfe"].concat();
        for cut in 0..all.len() {
            let mut handshake = handshake(COMMON, MARIADB_10_6);
            // A first try that was lost half-way leaves no trace.
            assert_eq!(handshake.begin(), "");
            assert_eq!(handshake.step(&mut BytesMut::from(&*greeting)), HandshakeStep::Send("replay".into()));
            assert_eq!(handshake.begin(), "");
            let mut input = BytesMut::from(&all[..cut]);
            let mut step = handshake.step(&mut input);
            if cut < greeting.len() {
                assert_eq!(step, HandshakeStep::NeedMore);
                input.extend_from_slice(&all[cut..]);
                step = handshake.step(&mut input);
            }
            assert_eq!(step, HandshakeStep::Send("replay".into()));
            assert_eq!(handshake.step(&mut input), HandshakeStep::Done);
            assert!(all[greeting.len()..].starts_with(&input));
        }
    }

    #[test]
    fn a_server_that_cannot_do_what_was_promised_is_not_connected() {
        let old = greeting(Flavour::Mysql, "5.6.51");
        assert!(refused(&old, COMMON, 0).starts_with("its server lacks SESSION_TRACK, DEPRECATE_EOF, which"));
        assert_eq!(refused(&old, COMMON | SSL, 0), "its server has no TLS (ssl_cert is not set)");
        let mysql = greeting(Flavour::Mysql, "8.4.0");
        assert!(refused(&mysql, COMMON, MARIADB_10_6).starts_with("its server lacks MariaDB's 0x1d,"));
        let mariadb = greeting(Flavour::Mariadb, "10.5.1");
        assert!(refused(&mariadb, COMMON, MARIADB_10_6).starts_with("its server lacks MariaDB's 0x18,"));
        // A MySQL client at a MariaDB, and what an old server does have.
        for (greeting, flags, further) in
            [(&mariadb, COMMON, 0), (&old, COMMON & 0xffff, 0), (&mariadb, 0, 5)]
        {
            let step = handshake(flags, further).step(&mut BytesMut::from(&**greeting));
            assert!(matches!(step, HandshakeStep::Send(_)), "{step:?}");
        }
    }

    #[test]
    fn a_server_that_turns_the_edge_away_is_not_quoted() {
        let error = |code: u16, text: &str| {
            let payload = [&[ERR][..], &code.to_le_bytes(), text.as_bytes()].concat();
            [&[payload.len() as u8, 0, 0, 0][..], &payload].concat()
        };
        let step = |bytes: &[u8]| handshake(COMMON, 0).step(&mut BytesMut::from(bytes));
        match step(&error(1040, "#08004Too many connections")) {
            HandshakeStep::Refuse(Reason::TooManyConnections, detail) => assert!(!detail.contains("Too")),
            other => panic!("{other:?}"),
        }
        for code in [1129, 1130] {
            match step(&error(code, "Host '172.17.0.1' is blocked")) {
                HandshakeStep::Refuse(Reason::Unreachable, detail) => {
                    assert!(detail.contains(&code.to_string()) && !detail.contains("172"), "{detail}");
                }
                other => panic!("{other:?}"),
            }
        }
        let shutdown = HandshakeStep::Retry("its server answers with error 1053".into());
        assert_eq!(step(&error(1053, "Server shutdown in progress")), shutdown);
    }

    #[test]
    fn what_is_no_greeting_is_no_mysql() {
        let mysql = greeting(Flavour::Mysql, "8.4.0");
        let cut = [&[(mysql.len() - 4 - 40) as u8][..], &mysql[1..mysql.len() - 40]].concat();
        let others: [&[u8]; 6] = [
            b"-ERR unknown command\r\n",
            b"SSH-2.0-OpenSSH_9.2\r\n",
            b"\x01\0\0\0\x09",
            b"\0\0\0\0",
            b"\x01\x10\0\0\x0a",
            &cut,
        ];
        for other in others {
            assert_eq!(refused(other, COMMON, 0), "its server does not speak MySQL's protocol");
        }
    }
}
