//! What has happened to a flow.

use super::{Action, End, Flow, Held, Lane, PumpStop, QUIET_PUMPS, Recv, RelayMode, Sink};

impl<B> Flow<B> {
    /// Bytes `0..len` of `buffer` were received; `full` when they fill it; `more` when the receive goes on.
    pub fn received(&mut self, buffer: B, len: u32, full: bool, more: bool) {
        self.recv_completed(more);
        self.streak = if full { self.streak.saturating_add(1) } else { 0 };
        self.held.push_back(Held { buffer, start: 0, end: len });
    }

    /// The receive ended without bytes: it was stopped.
    pub fn recv_stopped(&mut self) {
        self.recv_completed(false);
    }

    /// The receive ended because no buffer was free. Nothing is received until [`Flow::buffers_are_free`].
    pub fn recv_starved(&mut self) {
        self.recv_completed(false);
        self.starved = true;
    }

    /// Buffers are free again.
    pub fn buffers_are_free(&mut self) {
        self.starved = false;
    }

    /// The source has ended its stream.
    pub fn source_ended(&mut self) {
        self.recv_completed(false);
        self.end_at(End::Eof);
    }

    /// The source was reset.
    pub fn source_reset(&mut self) {
        self.recv_completed(false);
        self.end_at(End::Reset);
    }

    /// The bytes that [`Action::Send`] means.
    pub fn front(&self) -> Option<&Held<B>> {
        self.held.front()
    }

    /// The sink took `count` bytes of the front. Returns the buffer to give back when it is sent in full; when it
    /// is not, the sink is full.
    pub fn sent(&mut self, count: u32) -> Option<B> {
        self.sink = Sink::Ready;
        let front = self.held.front_mut()?;
        front.start += count;
        if front.start < front.end {
            self.sink = Sink::Full;
            return None;
        }
        self.held.pop_front().map(|held| held.buffer)
    }

    /// The bytes that [`Action::SendSpill`] means.
    pub fn spill(&self) -> &[u8] {
        &self.spill[self.spill_sent..]
    }

    /// Where [`Action::Spill`] appends.
    pub fn spill_mut(&mut self) -> &mut Vec<u8> {
        &mut self.spill
    }

    /// The sink took `count` bytes of the spill.
    pub fn spill_sent(&mut self, count: usize) {
        self.spill_sent += count;
        if self.spill_sent == self.spill.len() {
            // A flow that is not blocked holds no memory.
            self.spill = Vec::new();
            self.spill_sent = 0;
        } else {
            self.sink = Sink::Full;
        }
    }

    /// The sink takes no bytes for now.
    pub fn sink_full(&mut self) {
        self.sink = Sink::Full;
    }

    /// The sink takes bytes again.
    pub fn sink_writable(&mut self) {
        if self.sink == Sink::AwaitingWritable {
            self.sink = Sink::Ready;
        }
    }

    /// The sink is gone: what was for it is dropped, and its source is no longer read.
    pub fn sink_gone(&mut self) {
        if self.sink == Sink::Sending {
            self.sink = Sink::Ready;
        }
        if self.end != End::Done {
            self.end = End::SinkGone;
        }
    }

    /// The source is readable ([`Action::AwaitReadable`]).
    pub fn source_readable(&mut self) {
        if self.lane == Lane::SpliceAwaitingReadable {
            self.lane = Lane::SpliceReady;
        }
    }

    /// A pump moved bytes and stopped; `little` when it moved so few that copying would have been cheaper.
    /// Returns what to ask for, as [`Flow::next_action`] does.
    pub fn pumped(&mut self, little: bool, stop: PumpStop) -> Option<Action<B>> {
        self.pipe_holds = stop == PumpStop::SinkFull;
        self.streak = if little { self.streak.saturating_add(1) } else { 0 };
        match stop {
            PumpStop::SourceEmpty if self.mode == RelayMode::Auto && self.streak >= QUIET_PUMPS => None,
            PumpStop::SourceEmpty => {
                self.lane = Lane::SpliceAwaitingReadable;
                Some(Action::AwaitReadable)
            }
            PumpStop::SinkFull => {
                self.sink = Sink::Full;
                None
            }
            PumpStop::Budget => None,
            PumpStop::NoPipe => {
                self.lane = Lane::Copy;
                self.streak = 0;
                self.pipeless = true;
                None
            }
            PumpStop::Eof => {
                self.end_at(End::Eof);
                None
            }
            PumpStop::Reset => {
                self.end_at(End::Reset);
                None
            }
            PumpStop::SinkGone => {
                self.sink_gone();
                None
            }
        }
    }

    fn recv_completed(&mut self, more: bool) {
        if !more {
            self.recv = Recv::Idle;
        }
    }

    fn end_at(&mut self, end: End) {
        if self.end == End::Open {
            self.end = end;
        }
    }
}
