//! Bad input at the PostgreSQL port: everybody gets an answer in the protocol's own words, nobody else notices,
//! and nothing is left behind.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use common::{TestEdge, assert_serves, connect, echo, free_address, startup, wait_for};
use pierhead::dialect::{Protocol, Reason};
use pierhead::routes::{RouteState, Upstream};
use pierhead::sys::NetNamespace;

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];
const GSS_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x30];

/// Sends bytes and reads everything that comes back, until the edge closes.
fn answer(edge: &TestEdge, bytes: &[u8]) -> Vec<u8> {
    let mut socket = connect(edge);
    socket.write_all(bytes).unwrap();
    let mut answer = vec![];
    socket.read_to_end(&mut answer).expect("an answer and a proper close, no reset");
    answer
}

/// The fields of an ErrorResponse, by their letters.
fn error_field(answer: &[u8], field: u8) -> String {
    assert_eq!(answer.first(), Some(&b'E'), "{:?} is no ErrorResponse", String::from_utf8_lossy(answer));
    let length = u32::from_be_bytes(answer[1..5].try_into().unwrap()) as usize;
    assert_eq!(length + 1, answer.len(), "exactly one message");
    let fields = answer[5..].split(|byte| *byte == 0).filter(|text| !text.is_empty());
    fields
        .into_iter()
        .find(|text| text[0] == field)
        .map(|text| String::from_utf8_lossy(&text[1..]).into_owned())
        .unwrap_or_default()
}

#[track_caller]
fn assert_refused(edge: &TestEdge, bytes: &[u8], code: &str, words: &str, reason: Reason) {
    let before = refused(edge, reason);
    let answer = answer(edge, bytes);
    assert_eq!(error_field(&answer, b'C'), code, "{}", String::from_utf8_lossy(&answer));
    let text = error_field(&answer, b'M') + " " + &error_field(&answer, b'D');
    assert!(text.contains(words), "{text:?} should say {words:?}");
    assert_eq!(error_field(&answer, b'S'), "FATAL");
    assert!(!error_field(&answer, b'H').is_empty(), "a hint says what to do next");
    assert_eq!(refused(edge, reason), before + 1, "counted as {reason:?}");
}

fn refused(edge: &TestEdge, reason: Reason) -> u64 {
    let view = edge.edge.view();
    view.cores().map(|(_, core)| core.of(Protocol::Postgres).refused[reason as usize].get()).sum()
}

#[test]
fn names_that_lead_nowhere() {
    let edge = TestEdge::start("");
    edge.route("blog", echo());
    for name in ["nobody", "127.0.0.1", "localhost", "Blog", "blog.a.b", "-", &"x".repeat(5000)] {
        assert_refused(&edge, &startup(name), "28000", "", Reason::UnknownName);
    }
    assert_refused(&edge, &startup("nobody"), "28000", "no addon named \"nobody\"", Reason::UnknownName);
    edge.publish("idle", RouteState::Stopped, 0);
    assert_refused(&edge, &startup("idle"), "57P03", "stopped", Reason::Stopped);
    edge.publish("soon", RouteState::Starting, 0);
    assert_refused(&edge, &startup("soon"), "57P03", "starting", Reason::Starting);
    assert_serves(&edge, "blog");
    edge.settle();
}

#[test]
fn a_backend_that_is_not_there_is_waited_for_and_then_given_up() {
    let edge = TestEdge::start("[limits]\ndial_timeout = \"600ms\"\ndial_try_timeout = \"200ms\"");
    let address = free_address();
    edge.route("late", address);
    let start = Instant::now();
    assert_refused(&edge, &startup("late"), "57P03", "not reachable", Reason::Unreachable);
    assert!(start.elapsed() < Duration::from_secs(3));

    // It comes while the client is waiting: the client does not notice.
    let waiting = thread::spawn(move || {
        thread::sleep(Duration::from_millis(300));
        let listener = TcpListener::bind(address).unwrap();
        let (socket, _) = listener.accept().unwrap();
        std::io::copy(&mut &socket, &mut &socket)
    });
    assert_serves(&edge, "late");
    drop(waiting);
    edge.settle();
}

#[test]
fn a_black_hole_costs_the_deadline_and_no_more() {
    let edge = TestEdge::start("[limits]\ndial_timeout = \"700ms\"\ndial_try_timeout = \"300ms\"");
    // A listener whose backlog is full drops SYNs, as a host that is gone does.
    let full = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    full.bind(&"127.0.0.1:0".parse::<SocketAddr>().unwrap().into()).unwrap();
    full.listen(0).unwrap();
    let address = full.local_addr().unwrap().as_socket().unwrap();
    let fill: Vec<_> = (0..4)
        .filter_map(|_| TcpStream::connect_timeout(&address, Duration::from_millis(100)).ok())
        .collect();
    assert!(fill.len() < 4, "the backlog is full");
    edge.route("hole", address);
    let start = Instant::now();
    assert_refused(&edge, &startup("hole"), "57P03", "not reachable", Reason::Unreachable);
    assert!(start.elapsed() < Duration::from_secs(4), "{:?}", start.elapsed());
    edge.settle();
}

#[test]
fn a_namespace_that_leads_nowhere_is_passed_by() {
    let edge = TestEdge::start("");
    // A namespace in which nothing listens, as that of a container is that was replaced unnoticed.
    let mut empty = std::process::Command::new("unshare").args(["-n", "sleep", "60"]).spawn().unwrap();
    let path = format!("/proc/{}/ns/net", empty.id());
    let own = NetNamespace::open("/proc/self/ns/net".as_ref()).unwrap();
    wait_for("the namespace", || NetNamespace::open(path.as_ref()).is_ok_and(|found| found != own));
    let namespace = Arc::new(NetNamespace::open(path.as_ref()).unwrap());
    edge.publish("moved", RouteState::Ready(Upstream::Namespace(echo(), namespace)), 0);
    assert_serves(&edge, "moved");
    let failures: u64 = edge.edge.view().cores().map(|(_, core)| core.dial_failures.get()).sum();
    assert_eq!(failures, 1, "the first try went into the namespace");
    empty.kill().unwrap();
    empty.wait().unwrap();
    edge.settle();
}

#[test]
fn an_addons_limit_holds_and_frees() {
    let edge = TestEdge::start("");
    edge.publish("small", RouteState::Ready(Upstream::Tcp(echo())), 2);
    let login = || {
        let mut socket = connect(&edge);
        socket.write_all(&startup("small")).unwrap();
        let mut first = [0; 1];
        socket.read_exact(&mut first).unwrap();
        socket
    };
    let (first, _second) = (login(), login());
    assert_refused(&edge, &startup("small"), "53300", "too many", Reason::TooManyConnections);
    drop(first);
    wait_for("a place", || edge.connections() == 1);
    assert_serves(&edge, "small");
}

#[test]
fn malformed_packets() {
    let edge = TestEdge::start("");
    edge.route("blog", echo());
    let mut no_end = startup("blog");
    let last = no_end.len() - 1;
    no_end[last] = b'x';
    assert_refused(&edge, &no_end, "08P01", "invalid startup packet layout", Reason::Malformed);
    // Who sends nonsense in place of the first request may be waiting for one byte, S or N: libpq would hide any
    // other answer (CVE-2024-10977). PostgreSQL says nothing either.
    for nonsense in [&[0x7f, 0xff, 0xff, 0xff, 0, 3, 0, 0][..], b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"] {
        let before = refused(&edge, Reason::Malformed);
        assert_eq!(answer(&edge, nonsense), b"");
        assert_eq!(refused(&edge, Reason::Malformed), before + 1);
    }
    let twice = [&SSL_REQUEST[..], &SSL_REQUEST[..]];
    let mut socket = connect(&edge);
    for request in twice {
        socket.write_all(request).unwrap();
        thread::sleep(Duration::from_millis(50));
    }
    let mut answer = vec![];
    socket.read_to_end(&mut answer).unwrap();
    assert_eq!(answer[0], b'N');
    assert_eq!(error_field(&answer[1..], b'S'), "FATAL");

    let injected = [&SSL_REQUEST[..], &startup("blog")].concat();
    let before = refused(&edge, Reason::PlaintextInjection);
    let answer = self::answer(&edge, &injected);
    assert_eq!(answer[0], b'N');
    assert!(error_field(&answer[1..], b'M').contains("unencrypted data after SSL request"));
    assert_eq!(refused(&edge, Reason::PlaintextInjection), before + 1);
    assert_serves(&edge, "blog");
    edge.settle();
}

#[test]
fn encryption_is_declined_in_any_order_and_byte_by_byte() {
    let edge = TestEdge::start("");
    edge.route("blog", echo());
    for requests in
        [vec![SSL_REQUEST, GSS_REQUEST], vec![GSS_REQUEST, SSL_REQUEST], vec![GSS_REQUEST], vec![]]
    {
        let mut socket = connect(&edge);
        socket.set_nodelay(true).unwrap();
        for request in requests {
            request.iter().for_each(|byte| socket.write_all(&[*byte]).unwrap());
            let mut answer = [0];
            socket.read_exact(&mut answer).unwrap();
            assert_eq!(&answer, b"N");
        }
        let packet = startup("blog");
        packet.iter().for_each(|byte| socket.write_all(&[*byte]).unwrap());
        let mut echoed = vec![0; packet.len()];
        socket.read_exact(&mut echoed).unwrap();
        assert_eq!(echoed, packet);
    }
    edge.settle();
}

#[test]
fn bytes_behind_the_start_up_packet_are_delivered() {
    let edge = TestEdge::start("");
    edge.route("blog", echo());
    let mut socket = connect(&edge);
    let all = [startup("blog"), vec![b'p'; 3000]].concat();
    socket.write_all(&all).unwrap();
    let mut echoed = vec![0; all.len()];
    socket.read_exact(&mut echoed).unwrap();
    assert_eq!(echoed, all);
}

#[test]
fn silence_and_half_a_packet_are_timed_out() {
    let edge = TestEdge::start("[limits]\nidentify_timeout = \"400ms\"\nrefusal_linger = \"200ms\"");
    edge.route("blog", echo());
    let packet = startup("blog");
    for bytes in [&b""[..], &packet[..1], &packet[..packet.len() - 1], &SSL_REQUEST[..]] {
        let start = Instant::now();
        let before = refused(&edge, Reason::TooSlow);
        answer(&edge, bytes);
        assert!((300..3000).contains(&start.elapsed().as_millis()), "{:?}", start.elapsed());
        assert_eq!(refused(&edge, Reason::TooSlow), before + 1);
    }
    // The deadline is for all of it: a byte now and then does not extend it.
    let mut slow = connect(&edge);
    let start = Instant::now();
    let cut = packet.iter().position(|byte| {
        thread::sleep(Duration::from_millis(60));
        slow.write_all(&[*byte]).is_err()
    });
    assert!(cut.is_some() || slow.read(&mut [0; 16]).is_ok_and(|count| count < 16));
    assert!(start.elapsed() < Duration::from_secs(4));
    edge.settle();
}

#[test]
fn draining_lets_connections_finish_and_refuses_new_names() {
    let edge = TestEdge::start("");
    edge.route("blog", echo());
    let mut open = connect(&edge);
    let packet = startup("blog");
    open.write_all(&packet).unwrap();
    let mut echoed = vec![0; packet.len()];
    open.read_exact(&mut echoed).unwrap();
    edge.edge.drain(Duration::from_secs(2), Duration::from_millis(100));
    wait_for("the port to be closed", || TcpStream::connect(edge.address).is_err());
    open.write_all(b"still here").unwrap();
    let mut still = [0; 10];
    open.read_exact(&mut still).unwrap();
    let start = Instant::now();
    assert_eq!(open.read(&mut still).unwrap(), 0, "closed when patience ends");
    assert!(start.elapsed() < Duration::from_secs(4));
    wait_for("the cores to end", || edge.edge.is_over());
}

#[test]
fn connections_are_spread_over_the_cores() {
    let edge = TestEdge::start("");
    edge.route("blog", echo());
    let cores = edge.edge.view().cores().count() as u64;
    let mut open = vec![];
    for _ in 0..20 {
        let mut socket = connect(&edge);
        socket.write_all(&startup("blog")).unwrap();
        socket.read_exact(&mut [0; 1]).unwrap();
        open.push(socket);
    }
    for (cpu, core) in edge.edge.view().cores() {
        let share = 20 / cores;
        let active = core.relays.active();
        assert!(active.abs_diff(share) <= 2, "core {cpu} has {active} of 20 connections");
    }
}
