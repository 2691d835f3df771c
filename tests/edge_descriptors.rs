//! The promise: clients that never speak, and clients that leave at any moment, leave no descriptor behind. In a process of
//! its own, one after the other: other tests have thousands open at the same time.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::io::Write;
use std::thread;
use std::time::Duration;

use common::{TestEdge, assert_serves, connect, echo, free_address, open_descriptors, startup, wait_for};

#[test]
fn nothing_is_left_behind() {
    five_thousand_that_never_speak();
    clients_that_leave_at_any_moment();
}

fn five_thousand_that_never_speak() {
    let edge = TestEdge::start(
        "[limits]\nidentify_timeout = \"3s\"\nunidentified_max = 6000\nunidentified_per_source_max = 4500",
    );
    edge.route("blog", echo());
    let before = descriptors_at_rest(&edge);
    let silent: Vec<_> = (0..5000).map(|_| connect(&edge)).collect();
    wait_for("the limit", || edge.edge.view().unidentified() == 4500);
    let view = edge.edge.view();
    let turned_away = || view.cores().map(|(_, core)| core.turned_away.get()).sum::<u64>();
    wait_for("the rest of this source to be turned away", || turned_away() == 500);
    wait_for("the silent to be timed out", || edge.edge.view().unidentified() < 4500);
    assert_serves(&edge, "blog");
    wait_for("all of them to be timed out", || edge.edge.view().unidentified() == 0);
    drop(silent);
    edge.settle();
    wait_for("the descriptors to be closed", || open_descriptors() <= before + 8);
}

fn clients_that_leave_at_any_moment() {
    let edge = TestEdge::start("[limits]\ndial_timeout = \"500ms\"");
    edge.route("blog", echo());
    edge.route("gone", free_address());
    let before = descriptors_at_rest(&edge);
    for name in ["blog", "gone", "nobody"] {
        let packet = startup(name);
        for cut in [0, 1, 7, packet.len() - 1, packet.len()] {
            for reset in [false, true] {
                let mut socket = connect(&edge);
                socket.write_all(&packet[..cut]).unwrap();
                if reset {
                    socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
                }
            }
        }
    }
    edge.settle();
    wait_for("the descriptors to be closed", || open_descriptors() <= before + 4);
    assert_serves(&edge, "blog");
}

/// Descriptors that are open once every core has started and has served somebody.
fn descriptors_at_rest(edge: &TestEdge) -> usize {
    (0..20).for_each(|_| assert_serves(edge, "blog"));
    edge.settle();
    let mut count = open_descriptors();
    wait_for("the descriptors to be at rest", || {
        thread::sleep(Duration::from_millis(200));
        let last = std::mem::replace(&mut count, open_descriptors());
        last == count
    });
    count
}
