//! The turn of the relay: completions in, requests out. Executes what [`flow`](super::flow) decides.

use std::net::Shutdown;
use std::os::fd::AsFd;
use std::sync::Arc;

use slab::Slab;

use super::flow::{Action, PumpStop, RelayMode};
use super::pair::{EndReason, Established, Pair, opposite};
use super::pipes::Pipes;
use super::token::{Op, Token};
use crate::dialect::postgres::Watched;
use crate::edge::cancel::CancelTable;
use crate::edge::counters::CoreCounters;
use crate::routes::Direction;
use crate::sys::{BufferId, Completion, Ring, peer_has_gone, reset_on_close};

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

/// A pump that moves less than this was not worth it: copying costs less.
const LITTLE: usize = 16 * 1024;

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

    fn received(&mut self, ring: &mut Ring, index: u32, direction: Direction, completion: Completion) {
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
                        pair.ends_because(ended(direction));
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
                        pair.ends_because(was_reset(direction));
                    }
                }
            }
        }
    }

    fn sent(&mut self, ring: &mut Ring, index: u32, direction: Direction, result: i32) {
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
    fn writable(&mut self, ring: &mut Ring, index: u32, direction: Direction, completion: &Completion) {
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
    fn sink_gone(&mut self, index: u32, direction: Direction) {
        let pair = &mut self.pairs[index as usize];
        pair.flows[direction as usize].sink_gone();
        pair.reset = true;
        pair.ends_because(was_reset(opposite(direction)));
    }

    /// Does what the flow asks for, until it asks for nothing more.
    fn advance(&mut self, ring: &mut Ring, index: u32, direction: Direction) {
        while let Some(action) = self.pairs[index as usize].flows[direction as usize].next_action() {
            if action == Action::Pump {
                if self.pump(ring, index, direction) == PumpStop::Budget {
                    self.unfinished.push((index, direction));
                    return;
                }
            } else if action == Action::Abort {
                return self.close(ring, index);
            } else {
                self.execute(ring, index, direction, action);
            }
        }
        let pair = &self.pairs[index as usize];
        if !pair.closing && pair.flows.iter().all(|flow| flow.is_done()) {
            self.close(ring, index);
        }
    }

    fn execute(&mut self, ring: &mut Ring, index: u32, direction: Direction, action: Action<BufferId>) {
        let pair = &mut self.pairs[index as usize];
        let token = |op| Token { op, index }.encode();
        match action {
            Action::Recv { multi: true } => {
                ring.recv_multi(pair.source_fd(direction), token(Op::Recv(direction)))
            }
            Action::Recv { multi: false } => {
                ring.recv(pair.source_fd(direction), false, token(Op::Recv(direction)))
            }
            Action::StopRecv => return ring.cancel(token(Op::Recv(direction)), IGNORED.encode()),
            Action::Send if self.send_at_once => return self.send(ring, index, direction),
            Action::Send => {
                let Some(held) = pair.flows[direction as usize].front() else { return };
                let sink = pair.sink_fd(direction);
                ring.send(sink, &held.buffer, held.start, held.end - held.start, token(Op::Send(direction)));
            }
            Action::Spill(buffer, range) => {
                let bytes = ring.bytes(&buffer, range.start, range.end - range.start);
                pair.flows[direction as usize].spill_mut().extend_from_slice(bytes);
                return ring.give_back(buffer);
            }
            Action::SendSpill => return self.send_spill(index, direction),
            Action::Release(buffer) => return ring.give_back(buffer),
            Action::AwaitReadable => {
                let events = libc::POLLIN | libc::POLLRDHUP;
                ring.poll(pair.source_fd(direction), events, token(Op::Readable(direction)));
            }
            Action::AwaitWritable if pair.room_told[direction as usize] => return,
            Action::AwaitWritable => {
                ring.poll(pair.sink_fd(direction), libc::POLLOUT, token(Op::Writable(direction)));
            }
            Action::Finish => return finish(pair, direction),
            Action::Pump | Action::Abort => unreachable!("handled by advance"),
        }
        pair.requests += 1;
    }

    /// Sends from the buffer at once, by a system call of its own.
    fn send(&mut self, ring: &mut Ring, index: u32, direction: Direction) {
        let pair = &self.pairs[index as usize];
        let Some(held) = pair.flows[direction as usize].front() else { return };
        let bytes = ring.bytes(&held.buffer, held.start, held.end - held.start);
        let result = pair.sink(direction).send_with_flags(bytes, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
        let errno = |error: std::io::Error| error.raw_os_error().unwrap_or(libc::EIO);
        self.sent(ring, index, direction, result.map_or_else(|error| -errno(error), |count| count as i32));
    }

    fn send_spill(&mut self, index: u32, direction: Direction) {
        let pair = &mut self.pairs[index as usize];
        let spill = pair.flows[direction as usize].spill();
        let result = pair.sink(direction).send_with_flags(spill, libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL);
        match result {
            Ok(count) => {
                pair.unreported[direction as usize].copied += count as u64;
                pair.flows[direction as usize].spill_sent(count);
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                pair.flows[direction as usize].sink_full();
            }
            Err(_) => self.sink_gone(index, direction),
        }
    }

    /// Splices until one side has enough for now, and tells the flow.
    fn pump(&mut self, ring: &mut Ring, index: u32, direction: Direction) -> PumpStop {
        let pair = &mut self.pairs[index as usize];
        let mut moved = 0;
        let mut stop = splice(pair, direction, &mut self.pipes, self.settings.budget, &mut moved);
        pair.unreported[direction as usize].spliced += moved as u64;
        match stop {
            PumpStop::Eof if pair.reset || lost_unnoticed(pair, direction) => {
                stop = PumpStop::Reset;
                pair.reset = true;
                pair.ends_because(was_reset(direction));
            }
            PumpStop::Eof => pair.ends_because(ended(direction)),
            PumpStop::Reset => {
                pair.reset = true;
                pair.ends_because(was_reset(direction));
            }
            PumpStop::SinkGone => self.sink_gone(index, direction),
            PumpStop::NoPipe => self.counters.pipes_short.add(1),
            _ => {}
        }
        let flow = &mut self.pairs[index as usize].flows[direction as usize];
        if let Some(action) = flow.pumped(moved < LITTLE, stop) {
            self.execute(ring, index, direction, action);
        }
        stop
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

/// Passes the end of a stream on. When the other direction has ended too, closing the sockets does it.
fn finish(pair: &mut Pair, direction: Direction) {
    if pair.flows[opposite(direction) as usize].is_done() {
        return;
    }
    if pair.sink(direction).shutdown(Shutdown::Write).is_err() {
        pair.reset = true;
    }
}

/// Moves bytes source -> pipe -> sink until one of them has enough, counting what reached the sink.
fn splice(
    pair: &mut Pair,
    direction: Direction,
    pipes: &mut Pipes,
    budget: usize,
    moved: &mut usize,
) -> PumpStop {
    use std::io::ErrorKind::{Interrupted, WouldBlock};

    let Some(mut pipe) = pair.pipes[direction as usize].take().or_else(|| pipes.take().ok()) else {
        return PumpStop::NoPipe;
    };
    let mut last = usize::MAX;
    let stop = loop {
        while pipe.holds() > 0 {
            match pipe.drain(pair.sink_fd(direction)) {
                Ok(count) => *moved += count,
                Err(error) if error.kind() == Interrupted => {}
                Err(error) if error.kind() == WouldBlock => {
                    pair.pipes[direction as usize] = Some(pipe);
                    return PumpStop::SinkFull;
                }
                Err(_) => {
                    pipes.give_back(pipe);
                    return PumpStop::SinkGone;
                }
            }
        }
        if last < LITTLE {
            // So few bytes were all there was: asking once more would most likely be in vain, and the poll that
            // follows finds what has come since.
            break PumpStop::SourceEmpty;
        }
        if *moved >= budget {
            break PumpStop::Budget;
        }
        match pipe.fill(pair.source_fd(direction), budget) {
            Ok(0) => break PumpStop::Eof,
            Ok(count) => last = count,
            Err(error) if error.kind() == Interrupted => {}
            // The pipe is empty, so it is the source that has nothing.
            Err(error) if error.kind() == WouldBlock => break PumpStop::SourceEmpty,
            Err(_) => break PumpStop::Reset,
        }
    };
    pipes.give_back(pipe);
    stop
}

/// Whether what looks like the end of a stream is a reset: the kernel tells of it once, and has told a send of the
/// other direction whose completion is not here yet. Such a socket has hung up in both directions although its
/// outgoing stream was not ended.
fn lost_unnoticed(pair: &Pair, direction: Direction) -> bool {
    !pair.flows[opposite(direction) as usize].is_done() && peer_has_gone(pair.source_fd(direction))
}

fn ended(direction: Direction) -> EndReason {
    match direction {
        Direction::ClientToBackend => EndReason::ClientClosed,
        Direction::BackendToClient => EndReason::BackendClosed,
    }
}

fn was_reset(direction: Direction) -> EndReason {
    match direction {
        Direction::ClientToBackend => EndReason::ClientReset,
        Direction::BackendToClient => EndReason::BackendReset,
    }
}

/// One line for each connection, at its end.
fn log(pair: &Pair) {
    let [up, down] = &pair.delivered;
    let story = &pair.story;
    tracing::info!(
        addon = %pair.route.name,
        protocol = %pair.route.protocol,
        source = %story.source,
        reason = pair.end.unwrap_or(EndReason::Drained).as_str(),
        identify_us = story.identify.as_micros() as u64,
        dial_us = story.dial.as_micros() as u64,
        duration_ms = story.accepted.elapsed().as_millis() as u64,
        bytes_up = up.copied + up.spliced + story.replayed,
        bytes_down = down.copied + down.spliced + story.early,
        "connection"
    );
}
