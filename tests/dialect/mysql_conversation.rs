//! Talks to the MySQL dialect as a client and as a backend would: chunk by chunk, however the network cuts them. Shared
//! by the property tests and the fuzz targets.

use std::io;

use bytes::BytesMut;

use crate::cuts::{ends, one_of, reasons, reference};
use crate::dialect::mysql::{ConnectionPhase, Flavour, Random, Settings};
use crate::dialect::tls::StartTls;
use crate::dialect::{Dialect, Handshake, HandshakeStep, Opening, Reason, Refusal, Step};

/// The promise about a client's bytes: however they are cut, the outcome is that of one byte at a time, whether TLS is
/// offered or not.
pub fn check_response(stream: &[u8], cuts: &[usize]) {
    let ports = [Flavour::Mariadb, Flavour::Mysql].map(|flavour| [(flavour, false), (flavour, true)]);
    for &(flavour, has_tls) in one_of(ports.as_flattened(), stream) {
        let settings = settings(flavour);
        let settings = if has_tls { settings.offering(StartTls::Passthrough(None)) } else { settings };
        let outcome = converse_at(&settings, stream, cuts);
        assert_eq!(outcome, converse_at(&settings, stream, &reference(stream)));
    }
}

/// The promise about a backend's bytes: the same.
pub fn check_greeting(stream: &[u8], cuts: &[usize]) {
    assert_eq!(shake_hands(&mut *a_handshake(), stream, cuts), {
        shake_hands(&mut *a_handshake(), stream, &reference(stream))
    });
}

/// What became of a client, in a form that can be compared.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It said too little to be judged.
    Open,
    Identified {
        login: String,
        /// What a MariaDB 11.8 is sent.
        replay: Vec<u8>,
        surplus: Vec<u8>,
    },
    Refused {
        reason: Reason,
        detail: String,
        said: Vec<u8>,
    },
}

/// A client of a port of this flavour, without TLS.
pub fn converse(flavour: Flavour, stream: &[u8], cuts: &[usize]) -> Outcome {
    converse_at(&settings(flavour), stream, cuts)
}

/// A client of a port with these settings, whose bytes come in chunks that end at `cuts` (in any order, any may lie
/// outside).
fn converse_at(settings: &Settings, stream: &[u8], cuts: &[usize]) -> Outcome {
    let mut phase = ConnectionPhase::new(settings);
    refuse_in_every_way(&phase, 0, stream);
    let mut input = BytesMut::new();
    assert!(
        matches!(phase.step(&mut input), Step::Reply(greeting) if greeting.starts_with(&[greeting.len() as u8 - 4, 0, 0, 0, 10]))
    );
    assert!(matches!(phase.step(&mut input), Step::NeedMore), "nothing said, nothing decided");
    let mut fed = 0;
    for end in ends(stream, cuts) {
        input.extend_from_slice(&stream[fed..end]);
        fed = end;
        match phase.step(&mut input) {
            Step::NeedMore => assert!(input.len() < ConnectionPhase::RESPONSE_LEN_MAX),
            Step::Identified(found) => {
                let role = found.login.role.map(|role| format!(".{role}")).unwrap_or_default();
                let Opening::Handshake(mut handshake) = found.opening else { panic!("{:?}", found.opening) };
                refuse_in_every_way(&phase, 2, stream);
                return Outcome::Identified {
                    login: format!("{}{role}", found.login.name),
                    replay: shake_hands(&mut *handshake, MARIADB_GREETING, &[])
                        .0
                        .expect("a MariaDB can do it"),
                    surplus: [&input, &stream[fed..]].concat(),
                };
            }
            Step::Refuse(refusal) => {
                refuse_in_every_way(&phase, 2, stream);
                let said = phase.refuse(&refusal).to_vec();
                assert_error(&said, &[1, 2]);
                return Outcome::Refused { reason: refusal.reason, detail: refusal.detail, said };
            }
            other => panic!("{other:?}"),
        }
    }
    refuse_in_every_way(&phase, 2, stream);
    Outcome::Open
}

/// Shows a handshake what a backend sends, in chunks. What it sent, or why it did not; and how much it took.
pub fn shake_hands(
    handshake: &mut dyn Handshake,
    stream: &[u8],
    cuts: &[usize],
) -> (Result<Vec<u8>, String>, usize) {
    assert_eq!(handshake.begin(), "", "the backend speaks first");
    let mut input = BytesMut::new();
    let mut fed = 0;
    for end in ends(stream, cuts) {
        input.extend_from_slice(&stream[fed..end]);
        fed = end;
        match handshake.step(&mut input) {
            HandshakeStep::NeedMore => assert!(input.len() < handshake.bytes_max()),
            HandshakeStep::Send(replay) => {
                let taken = fed - input.len();
                assert_eq!(handshake.step(&mut input), HandshakeStep::Done);
                assert_eq!(fed - input.len(), taken, "one greeting is swallowed");
                return (Ok(replay.to_vec()), taken);
            }
            HandshakeStep::Retry(text) | HandshakeStep::Refuse(_, text) => {
                assert!(text.starts_with("its server ") && text.is_ascii());
                return (Err(text), 0);
            }
            HandshakeStep::Done => panic!("done before anything was sent"),
        }
    }
    (Err("more".to_owned()), 0)
}

/// What a client of MariaDB has begun, who claims all that is offered.
fn a_handshake() -> Box<dyn Handshake> {
    let head = [&[0xfe, 0xf7, 0xff, 0x01][..], &[0; 24], &[0x1d, 0, 0, 0]].concat();
    let payload = [&head, &b"blog\0\0app\0plugin\0\0"[..]].concat();
    handshake_of(Flavour::Mariadb, &[&[payload.len() as u8, 0, 0, 1][..], &payload].concat())
}

/// What this response of a client leads to.
pub fn handshake_of(flavour: Flavour, response: &[u8]) -> Box<dyn Handshake> {
    let mut phase = ConnectionPhase::new(&settings(flavour));
    let mut input = BytesMut::new();
    phase.step(&mut input);
    input.extend_from_slice(response);
    match phase.step(&mut input) {
        Step::Identified(found) => match found.opening {
            Opening::Handshake(handshake) => handshake,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

fn settings(flavour: Flavour) -> Settings {
    // Bytes of every kind.
    fn random(bytes: &mut [u8]) -> io::Result<()> {
        bytes.iter_mut().enumerate().for_each(|(n, byte)| *byte = (n * 13) as u8);
        Ok(())
    }
    Settings::new(Some(flavour), None, Random(random))
}

/// Whatever the reason, the client gets one well-formed error, with this number unless its own bytes had a wrong one.
fn refuse_in_every_way(phase: &ConnectionPhase, sequence: u8, stream: &[u8]) {
    for &reason in reasons(stream) {
        let said = phase.refuse(&Refusal::new(reason, "\u{1b}why\0"));
        assert_error(
            &said,
            if reason == Reason::Malformed { &[0, 1, 2] } else { std::slice::from_ref(&sequence) },
        );
    }
}

/// An error, or an alert for whom TLS has begun with.
fn assert_error(said: &[u8], sequences: &[u8]) {
    if let [21, 3, 3, 0, 2, 2, _] = said {
        return;
    }
    assert!(said.len() < 4 + 1 + 2 + 6 + 4 * 512, "clients keep 512 characters");
    let len = u32::from_le_bytes([said[0], said[1], said[2], 0]) as usize;
    assert_eq!(len + 4, said.len());
    assert!(sequences.contains(&said[3]) && said[4] == 0xff, "{said:?}");
    assert!(said[7..].iter().all(|byte| matches!(byte, b' '..=b'~')));
}

/// Recorded from MariaDB 11.8.9, which has TLS.
const MARIADB_GREETING: &[u8] = include_bytes!("../corpus/mysql/server-mariadb-11.8.greeting.bin");
