//! Pipes and buffers that run out: slower, never broken, and as before when they are there again. (Descriptors, and
//! pipes as the kernel rations them: end_to_end/exhaustion.rs.)

use std::thread;
use std::time::Duration;

use super::conversation::{Script, play_both};
use super::ends::fill_a_pipe;
use crate::common::{Addon, TestEdge};

/// A stalled reader keeps the only pipe, so the streams of others are copied; then they are spliced again.
#[test]
fn streams_without_a_pipe_are_copied() {
    let cpu = pierhead::sys::available_cpus().unwrap()[0];
    for relay in ["auto", "splice"] {
        let edge = TestEdge::start(&format!("[core]\ncpus = [{cpu}]\nrelay = \"{relay}\"\npipes_max = 1"));
        let addon = edge.addon("test");
        let keeper = fill_a_pipe(&edge, &addon, false);
        let (short, copied, spliced) = stream(&edge, &addon);
        assert!(short > 0, "{relay}: no pipe was missing");
        assert!(copied >= Script::STREAM && spliced == 0, "{relay}: {copied} copied, {spliced} spliced");
        drop(keeper);
        edge.settle();
        let (short, copied, spliced) = stream(&edge, &addon);
        // When everything is spliced, the words of the other direction may find the stream in the only pipe.
        assert!(relay == "splice" || short == 0, "{relay}: a pipe was missing");
        assert!(spliced > Script::STREAM / 100, "{relay}: {copied} copied, {spliced} spliced");
        edge.settle();
    }
}

/// Many streams at once that a ring of few buffers has to carry.
#[test]
fn streams_without_buffers_wait_for_them() {
    let cpu = pierhead::sys::available_cpus().unwrap()[0];
    let config = format!("[core]\ncpus = [{cpu}]\nrelay = \"copy\"\nbuffers = 16\nbuffer_size = \"1KiB\"");
    let edge = TestEdge::start(&config);
    thread::scope(|scope| {
        for worker in 0..24 {
            let addon = edge.addon(&format!("test{worker}"));
            scope.spawn(move || {
                play_both(&addon, Script::piece(worker), Script::piece(worker + 1)).unwrap();
            });
        }
    });
    assert!(edge.sum(|core| core.buffers_short.get()) > 0, "no buffer was missing");
    edge.settle();
}

/// Streams through the addon. Returns how often a pipe was missing meanwhile, and how many bytes
/// were copied and spliced.
fn stream(edge: &TestEdge, addon: &Addon) -> (u64, u64, u64) {
    let before = counted(edge);
    play_both(addon, Script::words(1), Script::stream(2, Duration::ZERO)).unwrap();
    let after = counted(edge);
    (after.0 - before.0, after.1 - before.1, after.2 - before.2)
}

/// How often a pipe was missing so far, and how many bytes were copied and spliced.
pub fn counted(edge: &TestEdge) -> (u64, u64, u64) {
    // Open connections count up to half a second late.
    thread::sleep(Duration::from_millis(700));
    let (copied, spliced) = edge.carried();
    (edge.sum(|core| core.pipes_short.get()), copied, spliced)
}
