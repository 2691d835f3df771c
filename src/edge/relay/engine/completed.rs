//! What becomes of a request: bytes, an end, or an error; and what that means for the flow.

use std::sync::Arc;

use super::Engine;
use crate::dialect::postgres::Watched;
use crate::edge::cancel::CancelTable;
use crate::edge::relay::pair::{EndReason, Pair, opposite};
use crate::edge::relay::token::{Op, Token};
use crate::routes::Direction;
use crate::sys::{Completion, Ring};

impl Engine {
    pub(super) fn received(
        &mut self,
        ring: &mut Ring,
        index: u32,
        direction: Direction,
        completion: Completion,
    ) {
        let pair = &mut self.pairs[index as usize];
        match (completion.result, completion.buffer) {
            (count @ 1.., Some(buffer)) => {
                let count = count as u32;
                if direction == Direction::BackendToClient && pair.watch.is_some() {
                    watch(pair, ring.bytes(&buffer, 0, count), &self.cancels);
                }
                let full = count == ring.buffer_size();
                pair.flows[direction as usize].received(buffer, count, full, completion.more);
            }
            (result, buffer) => {
                buffer.into_iter().for_each(|buffer| ring.give_back(buffer));
                let flow = &mut pair.flows[direction as usize];
                match -result {
                    0 if !pair.reset => {
                        flow.source_ended();
                        pair.ends_because(EndReason::closed(direction));
                    }
                    libc::ECANCELED => flow.recv_stopped(),
                    libc::ENOBUFS => {
                        flow.recv_starved();
                        self.starved.push((index, direction));
                        self.widened = true;
                        if !ring.widen() {
                            self.counters.buffers_short.add(1);
                        }
                    }
                    _ => {
                        flow.source_reset();
                        pair.reset = true;
                        pair.ends_because(EndReason::reset(direction));
                    }
                }
            }
        }
    }

    pub(super) fn sent(&mut self, ring: &mut Ring, index: u32, direction: Direction, result: i32) {
        let pair = &mut self.pairs[index as usize];
        let flow = &mut pair.flows[direction as usize];
        match result {
            count @ 0.. => {
                pair.unreported[direction as usize].copied += count as u64;
                if let Some(buffer) = flow.sent(count as u32) {
                    ring.give_back(buffer);
                }
            }
            error if -error == libc::EAGAIN => flow.sink_full(),
            _ => self.sink_gone(index, direction),
        }
    }

    /// The poll for room in a sink has completed. It does so too when the sink's peer has ended its own stream, and
    /// would at once do so again, although there is no room. So then a multishot poll waits, which tells of what
    /// changes.
    pub(super) fn writable(
        &mut self,
        ring: &mut Ring,
        index: u32,
        direction: Direction,
        completion: &Completion,
    ) {
        let pair = &mut self.pairs[index as usize];
        let ended_only = completion.result == i32::from(libc::POLLRDHUP);
        if !completion.more {
            pair.room_told[direction as usize] = ended_only;
        }
        if !ended_only {
            pair.flows[direction as usize].sink_writable();
        } else if !completion.more {
            let token = Token { op: Op::Writable(direction), index }.encode();
            ring.poll_multi(pair.sink_fd(direction), libc::POLLOUT, token);
            pair.requests += 1;
        }
    }

    /// The sink of a direction was reset. What the sink sent before that is still delivered the other way.
    pub(super) fn sink_gone(&mut self, index: u32, direction: Direction) {
        let pair = &mut self.pairs[index as usize];
        pair.flows[direction as usize].sink_gone();
        pair.reset = true;
        pair.ends_because(EndReason::reset(opposite(direction)));
    }
}

/// Lets the watcher see what the backend sends, and remembers the cancel key before it is passed on.
fn watch(pair: &mut Pair, bytes: &[u8], cancels: &Arc<CancelTable>) {
    let Some(watch) = &mut pair.watch else { return };
    match watch.observe(bytes) {
        Watched::More => return,
        Watched::Key(key) => pair.cancel = Some(CancelTable::register(cancels, key, &pair.route)),
        Watched::Done => {}
    }
    pair.watch = None;
    pair.flows[Direction::BackendToClient as usize].unwatch();
}
