use super::*;
use crate::dialect::{Handshake, HandshakeStep, Name, Reason};

const PIKA: &[u8] = include_bytes!("../../../tests/corpus/amqp/pika-1.4.bin");
const PY_AMQP: &[u8] = include_bytes!("../../../tests/corpus/amqp/py-amqp-5.4-amqplain.bin");
const AIORMQ: &[u8] = include_bytes!("../../../tests/corpus/amqp/aiormq-7.2.bin");
const AMQPLIB: &[u8] = include_bytes!("../../../tests/corpus/amqp/amqplib-2.3.bin");
const RHEA: &[u8] = include_bytes!("../../../tests/corpus/amqp/rhea-3.0.bin");
const PROTON: &[u8] = include_bytes!("../../../tests/corpus/amqp/qpid-proton-0.40.bin");
const SERVER_091: &[u8] = include_bytes!("../../../tests/corpus/amqp/server-3.10.start.bin");
const SERVER_10: &[u8] = include_bytes!("../../../tests/corpus/amqp/server-3.10.mechanisms.bin");

/// Feeds a stream in two pieces, and goes on until something is decided or everything is fed.
fn converse(stream: &[u8], cut: usize) -> (FirstFrames, Vec<u8>, Step, BytesMut) {
    let (mut dialect, mut input, mut replies) = (FirstFrames::new(), BytesMut::new(), vec![]);
    assert!(matches!(dialect.step(&mut input), Step::NeedMore), "nothing said, nothing decided");
    for piece in [&stream[..cut], &stream[cut..]] {
        input.extend_from_slice(piece);
        loop {
            match dialect.step(&mut input) {
                Step::NeedMore => break,
                Step::Reply(bytes) => replies.extend(bytes),
                step => return (dialect, replies, step, input),
            }
        }
    }
    (dialect, replies, Step::NeedMore, input)
}

#[track_caller]
fn refused(stream: &[u8]) -> (Reason, String, Bytes) {
    let (dialect, _, step, _) = converse(stream, 0);
    let Step::Refuse(refusal) = step else { panic!("{step:?}") };
    (refusal.reason, refusal.detail.clone(), dialect.refuse(&refusal))
}

/// Plays a backend that says `says` cut at `cut`; returns what it has heard and what is left for the client.
fn shake_hands(handshake: &mut dyn Handshake, says: &[u8], cut: usize) -> (Vec<u8>, BytesMut) {
    let mut heard = handshake.begin().to_vec();
    let mut input = BytesMut::new();
    for piece in [&says[..cut], &says[cut..]] {
        input.extend_from_slice(piece);
        loop {
            match handshake.step(&mut input) {
                HandshakeStep::NeedMore => break,
                HandshakeStep::Send(bytes) => heard.extend(bytes),
                HandshakeStep::Done => return (heard, input),
                other => panic!("{other:?}"),
            }
        }
    }
    panic!("the handshake does not end");
}

#[test]
fn real_clients_reach_a_real_greeting_wherever_their_bytes_are_cut() {
    for (stream, server) in [
        (PIKA, SERVER_091),
        (PY_AMQP, SERVER_091),
        (AIORMQ, SERVER_091),
        (AMQPLIB, SERVER_091),
        (RHEA, SERVER_10),
        (PROTON, SERVER_10),
    ] {
        for cut in 0..stream.len() {
            let (_, replies, step, input) = converse(stream, cut);
            let Step::Identified(found) = step else { panic!("{step:?} cut at {cut}") };
            assert_eq!((found.login.name.as_str(), found.login.role), ("blog", None));
            assert!(input.is_empty(), "cut at {cut}");
            // The edge's own greeting is one that its handshake would take from a server.
            let measured = match server[0] {
                1 => amqp091::measure_start(&replies),
                _ => amqp10::measure_mechanisms(&replies),
            };
            assert_eq!(measured, Ok(Some(replies.len())));
            let Opening::Handshake(mut handshake) = found.opening else { panic!() };
            let cut = cut % server.len();
            let (heard, left) = shake_hands(handshake.as_mut(), server, cut);
            assert_eq!((heard.as_slice(), left.len()), (stream, 0), "the server hears what the client said");
        }
    }
}

#[test]
fn what_is_pipelined_behind_the_login_stays_in_order() {
    let stream = [RHEA, b"AMQP\0\x01\0\0", b"open"].concat();
    for cut in [0, 8, RHEA.len(), RHEA.len() + 3, stream.len()] {
        let (mut dialect, mut input, mut all) = (FirstFrames::new(), BytesMut::new(), vec![]);
        input.extend_from_slice(&stream[..cut]);
        let mut fed = cut;
        loop {
            match dialect.step(&mut input) {
                Step::NeedMore => {
                    input.extend_from_slice(&stream[fed..]);
                    fed = stream.len();
                }
                Step::Reply(_) => {}
                Step::Identified(_) => break,
                other => panic!("{other:?}"),
            }
        }
        all.extend_from_slice(&input);
        all.extend_from_slice(&stream[fed..]);
        assert_eq!(all, b"AMQP\0\x01\0\0open", "cut at {cut}");
    }
}

/// As RabbitMQ 3.10 answers them; 0-8 is the difference that is listed as known.
#[test]
fn other_headers_are_answered_with_one_that_is_spoken() {
    for header in [&b"AMQP\0\x01\0\0"[..], b"AMQP\x02\x01\0\0", b"AMQP\x04\x01\0\0"] {
        assert_eq!(refused(header).2, &HEADER_10[..], "{header:?}");
    }
    for header in [
        &b"AMQP\x01\x01\x08\0"[..],
        b"AMQP\0\0\x08\0",
        b"AMQP\0\0\x0a\0",
        b"AMQP\x03\x01\0\x01",
        b"GET / HTTP/1.1\r\n",
        b"\x16\x03\x01\x02\0\x01\0\x01\xfc",
    ] {
        let (reason, _, said) = refused(header);
        assert_eq!((reason, said), (Reason::Malformed, Bytes::from_static(HEADER_091)), "{header:?}");
    }
    assert_eq!(refused(b"\x16\x03\x01\x02\0\x01\0\x01").1, "TLS is not served on this port");
    assert!(matches!(converse(b"AMQP\x01\x01\0\x09", 0).2, Step::NeedMore), "0-9 is taken for 0-9-1");
    assert!(matches!(converse(b"GET / H", 0).2, Step::NeedMore), "eight bytes are waited for");
}

#[test]
fn a_refusal_is_said_only_to_who_can_read_it() {
    let slow = Refusal::new(Reason::TooSlow, "");
    for (stream, begins) in [(PIKA, &b"\x01\0\0"[..]), (PROTON, b"\0\0\0\x16\x02\x01")] {
        for end in 0..stream.len() {
            let said = converse(&stream[..end], 0).0.refuse(&slow);
            assert_eq!(said.is_empty(), end <= HEADER_LEN, "{end} bytes");
            assert!(said.is_empty() || said.starts_with(begins), "{said:?}");
        }
    }
}

fn changed(stream: &[u8], at: usize, byte: u8) -> Vec<u8> {
    let mut stream = stream.to_vec();
    stream[at] = byte;
    stream
}

#[test]
fn a_frame_is_judged_as_soon_as_it_can_be() {
    let last = PIKA.len() - 1;
    for (stream, detail) in [
        (changed(PIKA, 8, 2), "unexpected frame type 2"),
        (changed(PIKA, 10, 7), "unexpected frame on channel 7"),
        (changed(PIKA, 12, 1), "a frame claims 65869 bytes"),
        (changed(PIKA, last, 0), "a frame ends with 0x00"),
        (changed(PIKA, 18, 31), "unexpected method 10,31, expected Start-Ok"),
        (changed(PIKA, 20, 1), "invalid arguments of a login"),
        (changed(PROTON, 8, 1), "a frame claims 16777264 bytes"),
        (changed(PROTON, 11, 7), "a frame claims 7 bytes"),
        (changed(PROTON, 12, 1), "a frame claims a data offset of 1"),
        (changed(PROTON, 13, 0), "unexpected frame type 0"),
        (changed(PROTON, 18, 0x40), "expected a sasl-init"),
    ] {
        assert_eq!(refused(&stream).1, detail);
    }
    assert!(matches!(converse(&PIKA[..last], 0).2, Step::NeedMore));
    let mut long = PIKA[..HEADER_LEN].to_vec();
    long.extend(b"\x01\0\0\x00\x00\x3f\xf1");
    assert!(matches!(refused(&long).0, Reason::Malformed), "a byte more than fits");
    *long.last_mut().unwrap() -= 1;
    assert!(matches!(converse(&long, 0).2, Step::NeedMore));
}

#[test]
fn a_server_that_speaks_something_else_is_said_so() {
    for (stream, server, detail) in [
        (RHEA, &b"AMQP\0\0\x09\x01"[..], "does not speak AMQP 1.0"),
        (PIKA, b"AMQP\x03\x01\0\0", "does not speak AMQP 0-9-1"),
        (PIKA, b"\x01\0\0\0\0\0\x04\0\x0a\0\x32\xce", "does not begin with Connection.Start"),
        (RHEA, b"AMQP\x03\x01\0\0\0\0\0\x08\x02\x01\0\0", "does not begin with the mechanisms"),
    ] {
        let Step::Identified(found) = converse(stream, 0).2 else { panic!() };
        let Opening::Handshake(mut handshake) = found.opening else { panic!() };
        match handshake.step(&mut BytesMut::from(server)) {
            HandshakeStep::Refuse(Reason::Unreachable, text) => assert!(text.contains(detail), "{text}"),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_user_that_can_be_no_addon_is_told_what_to_do() {
    let at = PIKA.windows(6).position(|window| window == b"\0blog\0").unwrap() + 1;
    let (reason, detail, said) = refused(&changed(PIKA, at, b'B'));
    assert_eq!(reason, Reason::UnknownName);
    assert!(detail.starts_with("no addon can be named \"Blog\""), "{detail}");
    let text = String::from_utf8_lossy(&said);
    assert!(text.contains("ACCESS_REFUSED - no addon can be named \"Blog\"") && text.contains("log in as"));
    assert!(!text.contains("correcthorse"), "the password is not shown");
}

#[test]
fn every_reason_is_answered_in_both_protocols() {
    let blog = Name::parse("blog").unwrap();
    for reason in Reason::ALL {
        let refusal = Refusal::of(&blog, reason, "\u{1b}why");
        let close = converse(PIKA, 0).0.refuse(&refusal);
        assert_eq!((amqp091::frame_len(&close), close[10]), (Ok(Some(close.len())), 50));
        let outcome = converse(RHEA, 0).0.refuse(&refusal);
        assert_eq!(amqp10::frame_len(&outcome), Ok(Some(outcome.len())));
    }
}
