//! Readers that stop reading: they get everything when they go on, and meanwhile nobody else notices.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use super::conversation::{Script, play_both};
use crate::common::{TestEdge, wait_for};

const STALL: Duration = Duration::from_secs(10);

#[test]
fn readers_that_stall_for_ten_seconds_get_everything() {
    let modes = [
        "relay = \"auto\"",
        "relay = \"copy\"",
        "relay = \"splice\"",
        "buffers = 16\nbuffer_size = \"1KiB\"\npipes_max = 1",
    ];
    let edges: Vec<_> = modes.iter().map(|mode| TestEdge::start(&format!("[core]\n{mode}"))).collect();
    let seed = u64::from(std::process::id());
    thread::scope(|scope| {
        for (edge, mode) in edges.iter().zip(modes) {
            for who in ["client", "backend", "both"] {
                let addon = edge.addon(who);
                let script = |stalls| if stalls { Script::stream(seed, STALL) } else { Script::words(seed) };
                scope.spawn(move || {
                    let played = play_both(&addon, script(who != "client"), script(who != "backend"));
                    played.unwrap_or_else(|error| panic!("{mode}, stalled: {who}, seed {seed}: {error}"));
                });
            }
        }
        let blocked = |edge: &TestEdge| edge.sum(|core| core.blocked.get());
        wait_for("four directions of each edge to be blocked", || {
            edges.iter().all(|edge| blocked(edge) == 4)
        });
        // Counters are brought up to date for half a second.
        thread::sleep(Duration::from_secs(1));
        let before: Vec<_> = edges.iter().map(activity).collect();
        thread::sleep(Duration::from_secs(3));
        let after: Vec<_> = edges.iter().map(activity).collect();
        assert_eq!(before, after, "turns and sleeps of cores whose connections are all stalled");
        assert!(edges.iter().all(|edge| edge.sum(|core| core.buffers_in_use.get()) == 0));
    });
    edges.iter().for_each(TestEdge::settle);
}

/// What a core does that does anything.
pub fn activity(edge: &TestEdge) -> [u64; 4] {
    [
        edge.sum(|core| core.turns.get()),
        edge.sum(|core| core.completions.get()),
        edge.sum(|core| core.sleeps.get()),
        edge.sum(|core| core.spins.get()),
    ]
}

/// Small pieces are received by a multishot request. No stream: nothing is spliced.
#[test]
fn stalled_readers_of_messages_take_no_buffer_from_others() {
    let edge = TestEdge::start("[core]\nrelay = \"auto\"\nbuffers = 16\nbuffer_size = \"1MiB\"");
    others_are_served(&edge, &[7; 16 * 1024]);
    assert_eq!(edge.carried().1, 0, "a flow was streaming");
}

/// A stream that is copied is received by one request after the other.
#[test]
fn stalled_readers_of_streams_take_no_buffer_from_others() {
    let edge = TestEdge::start("[core]\nrelay = \"copy\"\nbuffers = 16\nbuffer_size = \"1KiB\"");
    others_are_served(&edge, &[7; 256 * 1024]);
}

/// More readers stall than a core has buffers: others are served, and none of their receives waits for a buffer.
fn others_are_served(edge: &TestEdge, piece: &[u8]) {
    let (stalled, asking) = (edge.addon("stalled"), edge.addon("asking"));
    let cores = edge.edge.view().cores().count();
    let asking: Vec<_> = (0..2 * cores).map(|_| asking.connect_past_login()).collect();
    let mut stalled: Vec<_> = (0..24 * cores).map(|_| stalled.connect_past_login()).collect();
    fill(edge, &mut stalled, piece);
    assert_eq!(edge.sum(|core| core.buffers_in_use.get()), 0, "stalled readers hold no buffer");
    let short = edge.sum(|core| core.buffers_short.get());
    for _ in 0..500 {
        for (client, backend) in &asking {
            for (mut from, mut to) in [(client, backend), (backend, client)] {
                from.write_all(&[9; 100]).unwrap();
                to.read_exact(&mut [0; 100]).unwrap();
            }
        }
    }
    assert_eq!(edge.sum(|core| core.buffers_short.get()), short, "a receive found no buffer");
    assert!(edge.edge.view().cores().all(|(_, core)| core.blocked.get() > 16));
    drop((stalled, asking));
    edge.settle();
}

/// Writes pieces to the clients, who do not read, until all of these flows are blocked.
fn fill(edge: &TestEdge, stalled: &mut [(TcpStream, TcpStream)], piece: &[u8]) {
    for (_, backend) in &*stalled {
        backend.set_nonblocking(true).unwrap();
    }
    let all = stalled.len() as u64;
    wait_for("all flows to be blocked", || {
        for (_, backend) in &mut *stalled {
            let _ = backend.write(piece);
        }
        edge.sum(|core| core.blocked.get()) == all
    });
}
