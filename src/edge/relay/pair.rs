//! One established connection: two sockets, and a flow in each direction.

use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::Arc;
use std::time::{Duration, Instant};

use socket2::Socket;

use super::flow::{Flow, RelayMode};
use crate::dialect::postgres::KeyWatch;
use crate::edge::cancel::Registration;
use crate::routes::{Direction, OpenGuard, Route};
use crate::sys::{BufferId, Pipe};

/// A connection that the lobby has finished with: both byte streams line up.
pub struct Established {
    /// The client's socket, non-blocking.
    pub client: Socket,
    /// The backend's socket, non-blocking.
    pub backend: Socket,
    /// What to look for in the backend's first bytes.
    pub watch: Option<KeyWatch>,
    /// Where it leads.
    pub route: Arc<Route>,
    /// Counts the connection as open.
    pub open: OpenGuard,
    /// For the log line at its end.
    pub story: Story,
}

/// What is told about a connection when it ends.
#[derive(Clone, Debug)]
pub struct Story {
    /// The client's address.
    pub source: SocketAddr,
    /// When it was accepted.
    pub accepted: Instant,
    /// From accept to the name.
    pub identify: Duration,
    /// How long it had to wait for a held addon.
    pub held: Duration,
    /// From the name to the backend's socket, without that.
    pub dial: Duration,
    /// Bytes that the lobby delivered to the backend (the opening).
    pub replayed: u64,
    /// Bytes of the backend that the lobby delivered to the client (sent along with the end of a handshake).
    pub early: u64,
}

/// Why a connection ended, as the log tells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndReason {
    /// The client ended its stream first.
    ClientClosed,
    /// The backend ended its stream first.
    BackendClosed,
    /// The client's connection was reset.
    ClientReset,
    /// The backend's connection was reset.
    BackendReset,
    /// Pierhead was shutting down.
    Drained,
}

impl EndReason {
    /// The source of this direction has ended its stream.
    pub(super) fn closed(direction: Direction) -> Self {
        match direction {
            Direction::ClientToBackend => EndReason::ClientClosed,
            Direction::BackendToClient => EndReason::BackendClosed,
        }
    }

    /// The source of this direction was reset.
    pub(super) fn reset(direction: Direction) -> Self {
        match direction {
            Direction::ClientToBackend => EndReason::ClientReset,
            Direction::BackendToClient => EndReason::BackendReset,
        }
    }

    /// The word in the log.
    pub fn as_str(self) -> &'static str {
        match self {
            EndReason::ClientClosed => "client closed",
            EndReason::BackendClosed => "backend closed",
            EndReason::ClientReset => "client reset",
            EndReason::BackendReset => "backend reset",
            EndReason::Drained => "drained",
        }
    }
}

/// Bytes delivered in one direction.
#[derive(Clone, Copy, Debug, Default)]
pub struct Delivered {
    /// By copying.
    pub copied: u64,
    /// By splicing.
    pub spliced: u64,
}

/// The engine's record of one connection.
pub struct Pair {
    pub(super) client: Socket,
    pub(super) backend: Socket,
    /// By [`Direction`].
    pub(super) flows: [Flow<BufferId>; 2],
    /// The pipe of a flow that has bytes in it.
    pub(super) pipes: [Option<Pipe>; 2],
    /// Since the last time they were added to the addon's counters.
    pub(super) unreported: [Delivered; 2],
    /// Since the beginning.
    pub(super) delivered: [Delivered; 2],
    /// Requests in the ring that name this pair. It is removed only when there are none.
    pub(super) requests: u32,
    /// By [`Direction`]: a multishot poll tells when the sink has room.
    pub(super) room_told: [bool; 2],
    /// Being torn down: only completions are awaited.
    pub(super) closing: bool,
    /// One of the sockets was reset: the other one is reset too, so that nobody takes it for a proper end.
    pub(super) reset: bool,
    /// What happened first.
    pub(super) end: Option<EndReason>,
    pub(super) watch: Option<Box<KeyWatch>>,
    pub(super) cancel: Option<Registration>,
    pub(super) route: Arc<Route>,
    pub(super) open: OpenGuard,
    pub(super) story: Box<Story>,
}

impl Pair {
    pub(super) fn new(established: Established, mode: RelayMode) -> Self {
        let Established { client, backend, watch, route, open, story } = established;
        let watched = watch.is_some();
        Pair {
            client,
            backend,
            flows: [Flow::new(mode, false), Flow::new(mode, watched)],
            pipes: [None, None],
            unreported: Default::default(),
            delivered: Default::default(),
            requests: 0,
            room_told: [false; 2],
            closing: false,
            reset: false,
            end: None,
            watch: watch.map(Box::new),
            cancel: None,
            route,
            open,
            story: Box::new(story),
        }
    }

    /// Where the bytes of a direction come from.
    pub(super) fn source(&self, direction: Direction) -> &Socket {
        match direction {
            Direction::ClientToBackend => &self.client,
            Direction::BackendToClient => &self.backend,
        }
    }

    /// Where the bytes of a direction go.
    pub(super) fn sink(&self, direction: Direction) -> &Socket {
        self.source(opposite(direction))
    }

    pub(super) fn source_fd(&self, direction: Direction) -> BorrowedFd<'_> {
        self.source(direction).as_fd()
    }

    pub(super) fn sink_fd(&self, direction: Direction) -> BorrowedFd<'_> {
        self.sink(direction).as_fd()
    }

    /// Notes why the connection ends, if nothing was noted before.
    pub(super) fn ends_because(&mut self, reason: EndReason) {
        self.end.get_or_insert(reason);
    }

    /// Adds what was delivered since the last call to the addon's counters.
    pub(super) fn report(&mut self) {
        use crate::routes::Lane;
        for direction in Direction::ALL {
            let bytes = std::mem::take(&mut self.unreported[direction as usize]);
            for (lane, count) in [(Lane::Copy, bytes.copied), (Lane::Splice, bytes.spliced)] {
                if count > 0 {
                    self.open.usage().add_bytes(direction, lane, count);
                }
            }
            self.delivered[direction as usize].copied += bytes.copied;
            self.delivered[direction as usize].spliced += bytes.spliced;
        }
    }
}

/// One line for each connection, at its end.
pub(super) fn log(pair: &Pair) {
    let [up, down] = &pair.delivered;
    let story = &pair.story;
    tracing::info!(
        addon = %pair.route.name,
        protocol = %pair.route.protocol,
        source = %story.source,
        reason = pair.end.unwrap_or(EndReason::Drained).as_str(),
        identify_us = story.identify.as_micros() as u64,
        held_us = story.held.as_micros() as u64,
        dial_us = story.dial.as_micros() as u64,
        duration_ms = story.accepted.elapsed().as_millis() as u64,
        bytes_up = up.copied + up.spliced + story.replayed,
        bytes_down = down.copied + down.spliced + story.early,
        "connection"
    );
}

/// The other direction.
pub(super) fn opposite(direction: Direction) -> Direction {
    match direction {
        Direction::ClientToBackend => Direction::BackendToClient,
        Direction::BackendToClient => Direction::ClientToBackend,
    }
}
