//! Thousands of random conversations, many at once, in every mode of the relay. A failure prints its seed;
//! `PIERHEAD_SEED=... scripts/test --test relay conversations` repeats it, PIERHEAD_ROUNDS says how often.

use std::io::Write;
use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use super::conversation::converse;
use crate::common::{TestEdge, startup};

const WORKERS: u64 = 8;
const ROUNDS: u64 = 150;

#[test]
fn conversations_in_auto_use_both_lanes() {
    let (copied, spliced) = hold("auto", "").carried();
    assert!(copied > 0 && spliced > 0, "{copied} bytes copied, {spliced} spliced");
}

#[test]
fn conversations_copied() {
    let (copied, spliced) = hold("copy", "").carried();
    assert!(copied > 0 && spliced == 0, "{copied} bytes copied, {spliced} spliced");
}

#[test]
fn conversations_spliced() {
    // What comes first from the backend is taken for the answer to a login, and copied.
    let (copied, spliced) = hold("splice", "").carried();
    assert!(spliced > 0, "{copied} bytes copied, {spliced} spliced");
}

/// Here flows change lanes all the time, also because pipes run out.
#[test]
fn conversations_with_hardly_any_buffers_and_pipes() {
    let scarce =
        "buffers = 16\nbuffer_size = \"1KiB\"\npipes_max = 1\nring_entries = 64\nturn_budget = \"16KiB\"";
    let edge = hold("auto", scarce);
    let short = edge.sum(|core| core.buffers_short.get().min(core.pipes_short.get()));
    assert!(short > 0, "neither buffers nor pipes have been short");
}

/// Runs conversations, by several workers at once that share the edge's buffers and pipes.
fn hold(mode: &str, more: &str) -> TestEdge {
    let edge = TestEdge::start(&format!("[core]\nrelay = \"{mode}\"\n{more}"));
    let fixed = setting("PIERHEAD_SEED");
    let rounds = setting("PIERHEAD_ROUNDS").unwrap_or(if fixed.is_some() { 1 } else { ROUNDS });
    let first = fixed.unwrap_or_else(|| u64::from(std::process::id()) << 32);
    let work = |worker: u64, edge: &TestEdge| {
        let addon = edge.addon(&format!("test{worker}"));
        for seed in (first + worker * 1_000_003..).take(rounds as usize) {
            if let Err(error) = converse(&addon, seed) {
                panic!("relay = {mode}, PIERHEAD_SEED={seed}: {error}");
            }
        }
    };
    thread::scope(|scope| {
        let edge = &edge;
        (0..if fixed.is_some() { 1 } else { WORKERS }).for_each(|worker| {
            scope.spawn(move || work(worker, edge));
        });
    });
    edge.settle();
    edge
}

fn setting(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}={text:?}")))
}

/// A client that is gone when the relay takes over is found out by the first thing the relay does. No core may
/// stumble over that: afterwards all of them still serve.
#[test]
fn clients_that_reset_while_they_are_handed_over() {
    for mode in ["auto", "copy", "splice"] {
        let edge = TestEdge::start(&format!("[core]\nrelay = \"{mode}\""));
        let gone = edge.addon("gone");
        for round in 0..600 {
            let mut client = TcpStream::connect(edge.address).unwrap();
            client.write_all(&startup("gone")).unwrap();
            thread::sleep(Duration::from_micros(round));
            SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
            drop(client);
        }
        edge.settle();
        drop(gone);
        let addon = edge.addon("test");
        for seed in 0..8 {
            converse(&addon, seed).unwrap_or_else(|error| panic!("relay = {mode}: {error}"));
        }
        edge.settle();
    }
}
