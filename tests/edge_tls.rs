//! The port for TLS: the host name leads to the addon, what is said stays as it is, and who cannot be served gets an
//! alert. The clients' first messages are recordings of real ones; real handshakes are in end_to_end/tls.rs.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use common::{TestEdge, free_address, startup};
use pierhead::dialect::tls::Alert;
use pierhead::dialect::{Name, Protocol, Reason};
use pierhead::routes::{Change, Direction, Lane, Route, RouteState, Upstream};

const SSL_REQUEST: [u8; 8] = [0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f];

fn edge(config: &str) -> TestEdge {
    TestEdge::speaking("dialect = \"tls\"\nzone = \"db.example.com\"", config)
}

fn hello(client: &str) -> Vec<u8> {
    std::fs::read(format!("{}/tests/corpus/tls/{client}.bin", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

/// A backend that says `first` once it has heard as many bytes as `hears`, then answers everything in kind.
fn backend(hears: &'static [u8], first: &'static [u8]) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for mut socket in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || {
                let mut heard = vec![0; hears.len()];
                socket.read_exact(&mut heard).unwrap();
                assert_eq!(heard, hears);
                socket.write_all(first).unwrap();
                std::io::copy(&mut &socket, &mut &socket)
            });
        }
    });
    address
}

fn echo() -> SocketAddr {
    backend(b"", b"")
}

fn publish(edge: &TestEdge, protocol: Protocol, state: RouteState, tls_port: Option<u16>) {
    let name = Name::parse("blog").unwrap();
    let route = Route::new(protocol, name, state, "container".into(), 0);
    edge.table.publish([Change::Set(Route { tls_port, ..route })]);
}

fn ready(address: SocketAddr) -> RouteState {
    RouteState::Ready(Upstream::Tcp(address))
}

fn connect(edge: &TestEdge) -> TcpStream {
    let socket = TcpStream::connect(edge.address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    socket
}

#[track_caller]
fn assert_echoed(edge: &TestEdge, bytes: &[u8]) {
    let mut socket = connect(edge);
    socket.write_all(bytes).unwrap();
    let mut echoed = vec![0; bytes.len()];
    socket.read_exact(&mut echoed).unwrap();
    assert_eq!(echoed, bytes);
}

#[track_caller]
fn assert_alert(edge: &TestEdge, bytes: &[u8], alert: Alert, reason: Reason) {
    let refused = || edge.count(Protocol::Tls, |of| of.refused[reason as usize].get());
    let before = refused();
    let mut socket = connect(edge);
    socket.write_all(bytes).unwrap();
    let mut answer = vec![];
    socket.read_to_end(&mut answer).expect("an answer and a proper close, no reset");
    assert_eq!(answer, [21, 3, 3, 0, 2, 2, alert as u8]);
    assert_eq!(refused(), before + 1, "counted as {reason:?}");
}

#[test]
fn the_host_name_leads_to_the_addon_and_nothing_is_changed() {
    let edge = edge("");
    publish(&edge, Protocol::Tls, ready(echo()), None);
    for client in ["openssl-3.0", "python-3.11", "node-20-alpn", "curl-7.88", "rustls-0.23"] {
        assert_echoed(&edge, &hello(client));
        assert_echoed(&edge, &[hello(client), b"early data".repeat(500)].concat());
    }
    let sni = edge.count(Protocol::Tls, |of| of.routed[1].get());
    assert_eq!(sni, 10);
    edge.settle();
}

#[test]
fn streams_are_spliced_as_any_other() {
    let edge = edge("");
    publish(&edge, Protocol::Tls, ready(echo()), None);
    let mut socket = connect(&edge);
    let sent = hello("openssl-3.0");
    socket.write_all(&sent).unwrap();
    let mut writer = socket.try_clone().unwrap();
    thread::spawn(move || (0..320).for_each(|n| writer.write_all(&[n as u8; 65536]).unwrap()));
    let mut echoed = vec![0; sent.len() + 320 * 65536];
    socket.read_exact(&mut echoed).unwrap();
    assert!(echoed.starts_with(&sent));
    assert!(echoed[sent.len()..].chunks(65536).enumerate().all(|(n, chunk)| chunk == [n as u8; 65536]));
    drop(socket);
    edge.settle();
    let usage = &edge.table.lookup(Protocol::Tls, "blog").unwrap().usage;
    for direction in Direction::ALL {
        assert!(usage.bytes(direction, Lane::Splice) > 1 << 20, "{direction:?}");
    }
}

#[test]
fn the_port_for_tls_is_dialled() {
    let edge = edge("");
    let plain = free_address();
    publish(&edge, Protocol::Postgres, ready(plain), Some(echo().port()));
    assert_echoed(&edge, &hello("openssl-3.0"));
    // One for TLS as such comes before it.
    publish(&edge, Protocol::Postgres, ready(plain), None);
    publish(&edge, Protocol::Tls, ready(echo()), None);
    assert_echoed(&edge, &hello("openssl-3.0"));
}

#[test]
fn a_postgresql_server_is_asked_for_tls_first() {
    let edge = edge("[limits]\ndial_timeout = \"600ms\"");
    let direct = hello("psycopg-3.3-direct-tls");
    publish(&edge, Protocol::Postgres, ready(backend(&SSL_REQUEST, b"S")), Some(1));
    // Who says by ALPN what it speaks does not mean anything else.
    publish(&edge, Protocol::Tls, ready(free_address()), None);
    assert_echoed(&edge, &direct);
    for (answer, reason) in [
        (&b"N"[..], Reason::Unreachable),
        (b"SE", Reason::Unreachable),
        (b"E\0\0\0\x04", Reason::Unreachable),
        (b"220 mail ready\r\n", Reason::Unreachable),
    ] {
        publish(&edge, Protocol::Postgres, ready(backend(&SSL_REQUEST, answer)), None);
        assert_alert(&edge, &direct, Alert::InternalError, reason);
    }
    edge.table.publish([Change::Remove(Protocol::Postgres, Name::parse("blog").unwrap())]);
    assert_alert(&edge, &direct, Alert::UnrecognizedName, Reason::UnknownName);
    edge.settle();
}

#[test]
fn who_cannot_be_served_gets_an_alert() {
    let edge =
        edge("[limits]\ndial_timeout = \"300ms\"\nidentify_timeout = \"500ms\"\nrefusal_linger = \"200ms\"");
    let client = hello("openssl-3.0");
    assert_alert(&edge, &client, Alert::UnrecognizedName, Reason::UnknownName);
    publish(&edge, Protocol::Tls, ready(free_address()), None);
    assert_alert(&edge, &client, Alert::InternalError, Reason::Unreachable);
    publish(&edge, Protocol::Tls, RouteState::Starting, None);
    assert_alert(&edge, &client, Alert::InternalError, Reason::Starting);
    publish(&edge, Protocol::Tls, RouteState::Stopped, None);
    assert_alert(&edge, &client, Alert::InternalError, Reason::Stopped);
    // "localhost" is not of the zone.
    assert_alert(&edge, &hello("dockerd-20.10-go"), Alert::UnrecognizedName, Reason::UnknownName);
    assert_alert(&edge, &hello("openssl-3.0-no-sni"), Alert::MissingExtension, Reason::UnknownName);
    assert_alert(&edge, &startup("blog"), Alert::UnexpectedMessage, Reason::Malformed);
    assert_alert(&edge, b"GET / HTTP/1.1\r\n\r\n", Alert::UnexpectedMessage, Reason::Malformed);
    assert_alert(&edge, &client[..100], Alert::InternalError, Reason::TooSlow);
    assert_alert(&edge, b"", Alert::InternalError, Reason::TooSlow);
    edge.settle();
}

#[test]
fn postgresql_and_tls_on_one_port() {
    let config = "[limits]\nidentify_timeout = \"500ms\"\nrefusal_linger = \"200ms\"";
    let edge = TestEdge::speaking("dialect = [\"postgres\", \"tls\"]", config);
    publish(&edge, Protocol::Postgres, ready(echo()), Some(echo().port()));
    assert_echoed(&edge, &startup("blog"));
    assert_echoed(&edge, &hello("rustls-0.23"));
    assert_echoed(&edge, &[startup("blog"), vec![b'p'; 3000]].concat());
    let mut socket = connect(&edge);
    for byte in SSL_REQUEST {
        socket.write_all(&[byte]).unwrap();
    }
    let mut answer = [0];
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"N");
    drop(socket);
    let counted = |protocol| edge.count(protocol, |of| of.routed.iter().map(|count| count.get()).sum());
    assert_eq!((counted(Protocol::Postgres), counted(Protocol::Tls)), (2, 1));

    // Who speaks neither is told nothing, nor is who says nothing.
    for (bytes, reason) in [
        (&b"*1\r\n$4\r\nPING\r\n"[..], Reason::Malformed),
        (b"", Reason::TooSlow),
        (b"\0\0", Reason::TooSlow),
    ] {
        let refused = || edge.count(Protocol::Postgres, |of| of.refused[reason as usize].get());
        let before = refused();
        let mut socket = connect(&edge);
        socket.write_all(bytes).unwrap();
        let mut answer = vec![];
        socket.read_to_end(&mut answer).unwrap();
        assert_eq!((answer.len(), refused()), (0, before + 1), "{bytes:?}");
    }
    edge.settle();
}

#[test]
fn a_name_that_two_addons_have() {
    let (alone, with_redis) = (edge(""), TestEdge::speaking("dialect = [\"redis\", \"tls\"]", ""));
    for edge in [&alone, &with_redis] {
        publish(edge, Protocol::Postgres, ready(backend(&SSL_REQUEST, b"S")), None);
        publish(edge, Protocol::Redis, ready(free_address()), Some(echo().port()));
    }
    // On a port that is shared with Redis it is Redis that is meant.
    assert_echoed(&with_redis, &hello("openssl-3.0"));
    assert_alert(&alone, &hello("openssl-3.0"), Alert::UnrecognizedName, Reason::UnknownName);
    assert_echoed(&alone, &hello("psycopg-3.3-direct-tls"));
    publish(&alone, Protocol::Tls, ready(echo()), None);
    assert_echoed(&alone, &hello("openssl-3.0"));
}
