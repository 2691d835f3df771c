//! The turn of the relay: completions in, requests out. Executes what [`flow`](super::flow) decides.

mod completed;
mod execute;

use std::os::fd::AsFd;
use std::sync::Arc;

use slab::Slab;

use super::flow::RelayMode;
use super::pair::{EndReason, Established, Pair, log};
use super::pipes::Pipes;
use super::token::{Op, Token};
use crate::edge::cancel::CancelTable;
use crate::edge::counters::CoreCounters;
use crate::routes::Direction;
use crate::sys::{Completion, Ring, reset_on_close};

/// Sizes and modes of the relay.
#[derive(Clone, Copy, Debug)]
pub struct EngineSettings {
    /// Which lane flows may take.
    pub mode: RelayMode,
    /// Pipes that flows may hold at once.
    pub pipes_max: u32,
    /// Size of a pipe in bytes.
    pub pipe_size: usize,
    /// Bytes that one flow may splice before others have their turn.
    pub budget: usize,
}

/// All established connections of a core.
pub struct Engine {
    settings: EngineSettings,
    pairs: Slab<Pair>,
    pipes: Pipes,
    cancels: Arc<CancelTable>,
    counters: Arc<CoreCounters>,
    /// Flows whose receive found no buffer.
    starved: Vec<(u32, Direction)>,
    /// Flows that have used up their budget of this turn.
    unfinished: Vec<(u32, Direction)>,
    /// Whether buffers were short since the last report.
    widened: bool,
    /// Whether sends of this turn are system calls of their own.
    send_at_once: bool,
}

const IGNORED: Token = Token { op: Op::Ignored, index: 0 };

/// In a turn with so few completions each send is a system call of its own (docs/decisions.md).
const SENDS_AT_ONCE_MAX: usize = 2;

impl Engine {
    /// An engine without connections.
    pub fn new(settings: EngineSettings, cancels: Arc<CancelTable>, counters: Arc<CoreCounters>) -> Self {
        let pipes = Pipes::new(settings.pipes_max, settings.pipe_size);
        Engine {
            settings,
            pairs: Slab::new(),
            pipes,
            cancels,
            counters,
            starved: Vec::new(),
            unfinished: Vec::new(),
            widened: false,
            send_at_once: true,
        }
    }

    /// Takes over a connection from the lobby.
    pub fn add(&mut self, ring: &mut Ring, established: Established) {
        let index = self.pairs.insert(Pair::new(established, self.settings.mode)) as u32;
        self.counters.relays.open();
        for direction in Direction::ALL {
            // The first direction may already have found the client gone, and removed the pair.
            if self.pairs.contains(index as usize) {
                self.advance(ring, index, direction);
            }
        }
    }

    /// How many connections there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// Handles a completion of one of the engine's requests.
    pub fn complete(&mut self, ring: &mut Ring, token: Token, completion: Completion) {
        let Token { op, index } = token;
        let Some(pair) = self.pairs.get_mut(index as usize) else {
            unreachable!("{op:?} completed for pair {index}, which had no request under way");
        };
        if !completion.more {
            pair.requests -= 1;
        }
        if pair.closing {
            completion.buffer.into_iter().for_each(|buffer| ring.give_back(buffer));
            return self.remove_when_quiet(ring, index);
        }
        let direction = match op {
            Op::Recv(direction) => {
                self.received(ring, index, direction, completion);
                direction
            }
            Op::Send(direction) => {
                self.sent(ring, index, direction, completion.result);
                direction
            }
            Op::Readable(direction) => {
                pair.flows[direction as usize].source_readable();
                direction
            }
            Op::Writable(direction) => {
                self.writable(ring, index, direction, &completion);
                direction
            }
            Op::Accept | Op::Mail | Op::Ignored => unreachable!("{op:?} is not the engine's"),
        };
        self.advance(ring, index, direction);
    }

    /// To be called before a batch of completions is handled. Many sends go out together with the next
    /// `io_uring_enter`, which is cheaper; a few go at once, which spares that `enter` and the wait for it.
    pub fn begin_turn(&mut self, completions: usize) {
        self.send_at_once = completions <= SENDS_AT_ONCE_MAX;
    }

    /// To be called when a batch of completions was handled: gives those another turn that could not go on.
    pub fn end_turn(&mut self, ring: &mut Ring) {
        for (index, direction) in std::mem::take(&mut self.starved) {
            if let Some(pair) = self.pairs.get_mut(index as usize) {
                pair.flows[direction as usize].buffers_are_free();
                self.advance(ring, index, direction);
            }
        }
        for (index, direction) in std::mem::take(&mut self.unfinished) {
            if self.pairs.contains(index as usize) {
                self.advance(ring, index, direction);
            }
        }
        self.counters.buffers_in_use.set(u64::from(ring.buffers_in_use()));
        self.counters.pipes_in_use.set(u64::from(self.pipes.in_use()));
    }

    /// Whether a flow waits for its next turn, so that the core must not sleep.
    pub fn has_unfinished(&self) -> bool {
        !self.unfinished.is_empty() || !self.starved.is_empty()
    }

    /// Adds to the addons' counters what was delivered since the last call, and closes idle pipes.
    pub fn report(&mut self, ring: &mut Ring) {
        if !std::mem::take(&mut self.widened) {
            ring.narrow();
        }
        let mut blocked = 0;
        for (_, pair) in &mut self.pairs {
            pair.report();
            blocked += pair.flows.iter().filter(|flow| flow.is_blocked()).count() as u64;
        }
        self.counters.blocked.set(blocked);
        self.pipes.shrink(8);
    }

    /// Closes up to `count` connections, because Pierhead is shutting down.
    pub fn close_some(&mut self, ring: &mut Ring, count: usize) {
        let open = self.pairs.iter().filter(|(_, pair)| !pair.closing).map(|(index, _)| index as u32);
        for index in open.take(count).collect::<Vec<_>>() {
            self.pairs[index as usize].ends_because(EndReason::Drained);
            self.close(ring, index);
        }
    }

    /// Begins to tear a connection down: what is under way is cancelled, then the sockets are closed.
    fn close(&mut self, ring: &mut Ring, index: u32) {
        let pair = &mut self.pairs[index as usize];
        pair.closing = true;
        if pair.reset {
            reset_on_close(pair.client.as_fd());
            reset_on_close(pair.backend.as_fd());
        }
        if pair.requests > 0 {
            let ops =
                Direction::ALL.into_iter().flat_map(|d| [Op::Recv(d), Op::Readable(d), Op::Writable(d)]);
            for op in ops {
                ring.cancel(Token { op, index }.encode(), IGNORED.encode());
            }
        }
        self.remove_when_quiet(ring, index);
    }

    fn remove_when_quiet(&mut self, ring: &mut Ring, index: u32) {
        if self.pairs[index as usize].requests > 0 {
            return;
        }
        let mut pair = self.pairs.remove(index as usize);
        for direction in Direction::ALL {
            pair.flows[direction as usize].abandon().for_each(|buffer| ring.give_back(buffer));
            pair.pipes[direction as usize].take().into_iter().for_each(|pipe| self.pipes.give_back(pipe));
        }
        pair.report();
        self.counters.relays.close();
        log(&pair);
    }
}
