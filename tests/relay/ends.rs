//! How a stream ends: a reset is passed on as a reset, an end as an end, and only behind the last byte.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use super::conversation::reset;
use crate::common::bytes::Stream;
use crate::common::{Addon, TestEdge, wait_for};

/// HAProxy 2505: the source had ended while bytes were in the pipe, and they were lost.
#[test]
fn an_end_behind_bytes_in_the_pipe_truncates_nothing() {
    for mode in ["splice", "auto"] {
        let edge = TestEdge::start(&format!("[core]\nrelay = \"{mode}\"\npipes_max = 1"));
        let addon = edge.addon("test");
        for upwards in [false, true] {
            let (source, sink, written) = fill_a_pipe(&edge, &addon, upwards);
            source.shutdown(Shutdown::Write).unwrap();
            // The edge's kernel has acknowledged the end, so it is there, behind the bytes in the pipe.
            wait_for("the end to reach the edge", || tcp_state(&source) == Some(FIN_WAIT2));
            assert_eq!(edge.sum(|core| core.pipes_in_use.get()), 1, "the pipe still holds bytes");
            let (total, end) = Stream::new(SEED).read_and_compare(&sink).unwrap();
            end.expect("a proper end");
            assert_eq!(total, written, "{mode}, upwards: {upwards}");
            drop((source, sink));
            edge.settle();
        }
        assert!(edge.carried().1 > 0, "{mode}: nothing was spliced");
    }
}

/// What a connection leaves in its pipe must reach no other one, and its pipe must come back.
#[test]
fn a_pipe_that_a_reset_has_left_bytes_in_is_not_used_again() {
    let edge = TestEdge::start("[core]\nrelay = \"splice\"\npipes_max = 1");
    let addon = edge.addon("test");
    for upwards in [false, true] {
        for by_sink in [true, false] {
            let (source, sink, written) = fill_a_pipe(&edge, &addon, upwards);
            reset(if by_sink { &sink } else { &source });
            let seen = if by_sink {
                (&source).read(&mut [0]).map(|_| 0)
            } else {
                let (total, end) = Stream::new(SEED).read_and_compare(&sink).unwrap();
                assert!(total <= written);
                end.map(|()| total)
            };
            assert!(seen.is_err(), "upwards: {upwards}, by the sink: {by_sink}: {seen:?}");
            edge.settle();

            let (short, spliced) = (edge.sum(|core| core.pipes_short.get()), edge.carried().1);
            let (client, backend) = addon.connect_past_login();
            stream(&backend, &client, 4 << 20);
            drop((client, backend));
            edge.settle();
            assert_eq!(edge.sum(|core| core.pipes_short.get()), short, "no pipe for the next connection");
            assert!(edge.carried().1 > spliced + (3 << 20));
        }
    }
}

/// The kernel tells of a reset once. When a send is told, the other direction sees what looks like an end. In `splice`
/// the one direction is spliced while the other one is copied, because the edge still waits for the end of the login.
#[test]
fn a_reset_that_a_send_was_told_of_is_not_taken_for_an_end() {
    for mode in ["splice", "copy"] {
        let edge = TestEdge::start(&format!("[core]\nrelay = \"{mode}\""));
        thread::scope(|scope| {
            for worker in 0..4 {
                let addon = edge.addon(&format!("test{worker}"));
                scope.spawn(move || {
                    for round in 0..300 {
                        let (client, backend) = addon.connect().unwrap();
                        let after = Duration::from_micros(round % 100);
                        let seen = reset_while_both_write(client, backend, after);
                        assert!(seen.is_err(), "{mode}: the backend saw a proper end in round {round}");
                    }
                });
            }
        });
        edge.settle();
    }
}

/// Returns how the backend saw the client's stream end.
fn reset_while_both_write(mut client: TcpStream, backend: TcpStream, after: Duration) -> io::Result<usize> {
    // The beginning of a message that the edge looks into.
    (&backend).write_all(&[&b"D"[..], &60_000u32.to_be_bytes()].concat()).unwrap();
    client.read_exact(&mut [0; 5]).unwrap();
    thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..20 {
                client.write_all(b"up").unwrap();
            }
            thread::sleep(after);
            reset(&client);
        });
        let told = scope.spawn(|| (0..1000).any(|_| (&backend).write_all(b"down").is_err()));
        let seen = (&backend).read_to_end(&mut vec![]);
        // The backend's own kernel, too, tells only once.
        if told.join().unwrap() { Err(io::ErrorKind::ConnectionReset.into()) } else { seen }
    })
}

const SEED: u64 = 4711;

/// A new connection whose sink does not read, so that the edge holds bytes in a pipe. Returns the ends where the bytes
/// come from and go to, and how many were written.
pub fn fill_a_pipe(edge: &TestEdge, addon: &Addon, upwards: bool) -> (TcpStream, TcpStream, u64) {
    let (client, backend) = addon.connect_past_login();
    let (source, sink) = if upwards { (client, backend) } else { (backend, client) };
    let (mut stream, mut written) = (Stream::new(SEED), 0);
    source.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
    while edge.sum(|core| core.pipes_in_use.get()) == 0 {
        let bytes = stream.take(64 * 1024);
        (&source).write_all(&bytes).unwrap();
        written += bytes.len() as u64;
        // So that not much more is written than is needed.
        thread::sleep(Duration::from_millis(2));
    }
    (source, sink, written)
}

/// Streams so many bytes over a connection. Both of its ends stay open.
pub fn stream(mut from: &TcpStream, to: &TcpStream, count: usize) {
    thread::scope(|scope| {
        scope.spawn(move || from.write_all(&Stream::new(SEED + 1).take(count)).unwrap());
        let (total, end) = Stream::new(SEED + 1).read_and_compare(to.take(count as u64)).unwrap();
        end.unwrap();
        assert_eq!(total, count as u64);
    });
}

/// The state of a socket on 127.0.0.1, as /proc/net/tcp numbers it.
fn tcp_state(socket: &TcpStream) -> Option<u8> {
    let port = |address: io::Result<std::net::SocketAddr>| format!(":{:04X}", address.unwrap().port());
    let (local, remote) = (port(socket.local_addr()), port(socket.peer_addr()));
    let table = std::fs::read_to_string("/proc/net/tcp").unwrap();
    table.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let found = fields[1].ends_with(&local) && fields[2].ends_with(&remote);
        found.then(|| u8::from_str_radix(fields[3], 16).ok()).flatten()
    })
}

/// TCP_FIN_WAIT2 (include/net/tcp_states.h): our end was acknowledged.
const FIN_WAIT2: u8 = 5;
