//! Does what flows ask for.

use std::net::Shutdown;

use super::{Engine, IGNORED};
use crate::edge::relay::flow::{Action, PumpStop};
use crate::edge::relay::pair::{EndReason, Pair, opposite};
use crate::edge::relay::splice::{LITTLE, lost_unnoticed, splice};
use crate::edge::relay::token::{Op, Token};
use crate::routes::Direction;
use crate::sys::{BufferId, Ring};

impl Engine {
    /// Does what the flow asks for, until it asks for nothing more.
    pub(super) fn advance(&mut self, ring: &mut Ring, index: u32, direction: Direction) {
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
                pair.ends_because(EndReason::reset(direction));
            }
            PumpStop::Eof => pair.ends_because(EndReason::closed(direction)),
            PumpStop::Reset => {
                pair.reset = true;
                pair.ends_because(EndReason::reset(direction));
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
