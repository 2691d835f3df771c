//! Connections on which nothing happens cost nothing: in either lane, after a burst, half closed, or with a reader that
//! does not read. (Processor time of the whole program: end_to_end/leaks.rs.)

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::thread;
use std::time::Duration;

use super::ends::{fill_a_pipe, stream};
use super::stalls::activity;
use crate::common::TestEdge;

#[test]
fn cores_do_not_turn_while_nothing_happens() {
    let edges = ["auto", "copy", "splice"].map(|relay| {
        let edge = TestEdge::start(&format!("[core]\nrelay = \"{relay}\""));
        let connections = connections(&edge, relay);
        (relay, edge, connections)
    });
    // Counters are brought up to date for half a second after the last turn.
    thread::sleep(Duration::from_millis(1500));
    let before: Vec<_> = edges.iter().map(|(relay, edge, _)| (relay, activity(edge))).collect();
    thread::sleep(Duration::from_secs(3));
    let after: Vec<_> = edges.iter().map(|(relay, edge, _)| (relay, activity(edge))).collect();
    assert_eq!(before, after, "turns, completions, sleeps and spins while nothing happened");
    for (relay, edge, connections) in edges {
        let spliced = edge.carried().1;
        assert_eq!(spliced > 0, relay != "copy", "{relay}: {spliced} bytes spliced");
        drop(connections);
        edge.settle();
    }
}

/// Connections in every state in which one can stay for long.
fn connections(edge: &TestEdge, relay: &str) -> Vec<(TcpStream, TcpStream)> {
    let addon = edge.addon("test");
    let fresh = addon.connect().unwrap();
    let mut all = vec![fresh, addon.connect_past_login()];
    for upwards in [false, true] {
        let burst = addon.connect_past_login();
        let (from, to) = if upwards { (&burst.0, &burst.1) } else { (&burst.1, &burst.0) };
        stream(from, to, 8 << 20);
        // And a few words behind it.
        for _ in 0..2 {
            (&mut &*from).write_all(b"word").unwrap();
            (&mut &*to).read_exact(&mut [0; 4]).unwrap();
        }
        all.push(burst);

        let half_closed = addon.connect_past_login();
        let (from, mut to) =
            if upwards { (&half_closed.0, &half_closed.1) } else { (&half_closed.1, &half_closed.0) };
        from.shutdown(Shutdown::Write).unwrap();
        assert_eq!(to.read(&mut [0]).unwrap(), 0);
        all.push(half_closed);
    }
    if relay != "copy" {
        let (source, sink, _) = fill_a_pipe(edge, &addon, false);
        // io_uring's polls tell of the end of the sink's own stream when they are asked for room in it.
        sink.shutdown(Shutdown::Write).unwrap();
        all.push((sink, source));
    }
    all
}
