//! One direction of a connection, sans-IO: what has happened comes in by methods, what is to be done goes out
//! by [`Flow::next_action`]. The engine executes it; tests, fuzzers and benches run the same code without a socket.
//!
//! A flow is in one of two lanes. In the *copy* lane the ring receives into a buffer and sends from it. In the
//! *splice* lane the bytes go socket -> pipe -> socket and never enter user space. It changes lane only when
//! nothing of it is on the way, so no byte can overtake another.
//!
//! A sink that does not take bytes blocks its flow: what was received is moved out of the ring's buffers to
//! memory of the flow's own (*spill*), and nothing more is received until that is sent. So a stalled reader
//! costs the bytes that were under way, and the buffers of the ring stay free for everybody else.

mod action;
mod events;

use std::collections::VecDeque;

pub use action::{Action, Held, PumpStop, RelayMode};

/// Reads in a row that fill their buffer before a flow counts as streaming (HAProxy's rule).
const STREAMING_READS: u8 = 3;
/// Pumps in a row that move little before a flow no longer counts as streaming.
const QUIET_PUMPS: u8 = 3;
/// Received pieces that may wait for their turn to be sent before receiving stops.
const HELD_MAX: usize = 4;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Recv {
    Idle,
    Once,
    Multi,
    Stopping,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sink {
    Ready,
    Sending,
    /// Full; nobody has been asked yet to tell when it no longer is.
    Full,
    AwaitingWritable,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Copy,
    /// Splice, when the source is readable.
    SpliceReady,
    SpliceAwaitingReadable,
}

/// Whether the source goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Open,
    Eof,
    Reset,
    /// The sink is gone: nothing can be delivered any more.
    SinkGone,
    /// Finish or Abort was asked for: nothing is left to do.
    Done,
}

/// The state of one direction.
#[derive(Debug)]
pub struct Flow<B> {
    mode: RelayMode,
    lane: Lane,
    recv: Recv,
    sink: Sink,
    end: End,
    /// Reads in a row that filled their buffer (copy), or pumps in a row that moved little (splice).
    streak: u8,
    /// The engine looks at the bytes, so they have to pass through user space.
    watched: bool,
    /// No buffer was free for the last receive; cleared when one is.
    starved: bool,
    /// The pipe holds bytes (splice lane).
    pipe_holds: bool,
    /// No pipe was to be had: copy until the flow streams (again).
    pipeless: bool,
    held: VecDeque<Held<B>>,
    spill: Vec<u8>,
    spill_sent: usize,
}

impl<B> Flow<B> {
    /// A flow of an established connection. A `watched` one copies until [`Flow::unwatch`].
    pub fn new(mode: RelayMode, watched: bool) -> Self {
        let lane = if mode == RelayMode::Splice && !watched { Lane::SpliceReady } else { Lane::Copy };
        Flow {
            mode,
            lane,
            recv: Recv::Idle,
            sink: Sink::Ready,
            end: End::Open,
            streak: 0,
            watched,
            starved: false,
            pipe_holds: false,
            pipeless: false,
            held: VecDeque::new(),
            spill: Vec::new(),
            spill_sent: 0,
        }
    }

    /// What is to be done now; call until there is nothing more.
    pub fn next_action(&mut self) -> Option<Action<B>> {
        match self.end {
            End::Done => return None,
            End::SinkGone => return self.next_sink_gone(),
            _ => {}
        }
        if let Some(action) = self.next_delivery() {
            return Some(action);
        }
        if self.end != End::Open {
            return self.next_at_end();
        }
        self.change_lane();
        match self.lane {
            Lane::Copy => self.next_receive(),
            Lane::SpliceReady if self.sink == Sink::Ready => Some(Action::Pump),
            Lane::SpliceReady | Lane::SpliceAwaitingReadable => None,
        }
    }

    /// Brings what was received to the sink, or out of the ring's buffers when the sink is full.
    fn next_delivery(&mut self) -> Option<Action<B>> {
        match self.sink {
            Sink::Ready if !self.spill.is_empty() => Some(Action::SendSpill),
            Sink::Ready if !self.held.is_empty() => {
                self.sink = Sink::Sending;
                Some(Action::Send)
            }
            Sink::Full | Sink::AwaitingWritable if !self.held.is_empty() => {
                let held = self.held.pop_front()?;
                Some(Action::Spill(held.buffer, held.start..held.end))
            }
            Sink::Full => {
                self.sink = Sink::AwaitingWritable;
                Some(Action::AwaitWritable)
            }
            _ => None,
        }
    }

    fn next_at_end(&mut self) -> Option<Action<B>> {
        if self.recv != Recv::Idle {
            return None;
        }
        match self.end {
            End::Eof if self.is_delivered() => {
                self.end = End::Done;
                Some(Action::Finish)
            }
            // A reset is passed on behind what was received, but does not wait for a sink that is full.
            End::Reset if self.is_delivered() || self.sink == Sink::AwaitingWritable => {
                self.end = End::Done;
                Some(Action::Abort)
            }
            _ => None,
        }
    }

    fn next_sink_gone(&mut self) -> Option<Action<B>> {
        if self.sink != Sink::Sending
            && let Some(held) = self.held.pop_front()
        {
            return Some(Action::Release(held.buffer));
        }
        self.spill = Vec::new();
        match self.recv {
            Recv::Once | Recv::Multi => {
                self.recv = Recv::Stopping;
                Some(Action::StopRecv)
            }
            _ => None,
        }
    }

    fn next_receive(&mut self) -> Option<Action<B>> {
        let room = self.held.len() < HELD_MAX && matches!(self.sink, Sink::Ready | Sink::Sending);
        match self.recv {
            Recv::Idle if room && !self.starved && !self.wants_splice() => {
                let multi = !self.is_streaming();
                self.recv = if multi { Recv::Multi } else { Recv::Once };
                Some(Action::Recv { multi })
            }
            Recv::Multi if !room || self.is_streaming() => {
                self.recv = Recv::Stopping;
                Some(Action::StopRecv)
            }
            _ => None,
        }
    }

    /// Into the splice lane when nothing is held and no receive is under way; back when nothing is in the pipe.
    fn change_lane(&mut self) {
        match self.lane {
            Lane::Copy if self.wants_splice() && self.recv == Recv::Idle && self.is_delivered() => {
                self.lane = Lane::SpliceReady;
                self.streak = 0;
                self.pipeless = false;
            }
            Lane::SpliceReady
                if self.mode == RelayMode::Auto && self.streak >= QUIET_PUMPS && !self.pipe_holds =>
            {
                self.lane = Lane::Copy;
                self.streak = 0;
            }
            _ => {}
        }
    }

    fn wants_splice(&self) -> bool {
        !self.watched
            && match self.mode {
                RelayMode::Auto => self.is_streaming(),
                RelayMode::Copy => false,
                RelayMode::Splice => !self.pipeless || self.is_streaming(),
            }
    }

    fn is_streaming(&self) -> bool {
        self.lane == Lane::Copy && self.streak >= STREAMING_READS
    }

    fn is_delivered(&self) -> bool {
        self.held.is_empty() && self.spill.is_empty() && !self.pipe_holds && self.sink == Sink::Ready
    }

    /// Nobody needs to look at the bytes any more.
    pub fn unwatch(&mut self) {
        self.watched = false;
    }

    /// The connection is being torn down: nothing more is to be done, and these buffers are to be given back.
    pub fn abandon(&mut self) -> impl Iterator<Item = B> {
        self.end = End::Done;
        self.spill = Vec::new();
        std::mem::take(&mut self.held).into_iter().map(|held| held.buffer)
    }

    /// Nothing will ever be done again for this flow.
    pub fn is_done(&self) -> bool {
        match self.end {
            End::Done => true,
            End::SinkGone => self.held.is_empty() && self.recv == Recv::Idle,
            _ => false,
        }
    }

    /// The sink does not take bytes although there are some for it.
    pub fn is_blocked(&self) -> bool {
        self.sink == Sink::AwaitingWritable
    }

    /// A receive is under way and can be cancelled.
    pub fn is_receiving(&self) -> bool {
        matches!(self.recv, Recv::Once | Recv::Multi)
    }
}
