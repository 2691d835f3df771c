//! What a core counts. Written by the core alone, read by the control thread: relaxed atomics, no locks.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use std::time::Duration;

use crate::dialect::{By, Protocol, Reason};

/// A number that only grows.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// Adds `n`. Only the owning thread may call this: it is no read-modify-write.
    pub fn add(&self, n: u64) {
        self.0.store(self.0.load(Relaxed).wrapping_add(n), Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// A number that goes up and down.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

impl Gauge {
    /// Sets the number.
    pub fn set(&self, n: u64) {
        self.0.store(n, Relaxed);
    }

    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// Things that are opened and closed: both are counted, so that a scraper sees what came and went in between.
#[derive(Debug, Default)]
pub struct OpenClose {
    opened: Counter,
    closed: Counter,
}

impl OpenClose {
    /// One more.
    pub fn open(&self) {
        self.opened.add(1);
    }

    /// One less.
    pub fn close(&self) {
        self.closed.add(1);
    }

    /// How many were opened.
    pub fn opened(&self) -> u64 {
        self.opened.get()
    }

    /// How many were closed.
    pub fn closed(&self) -> u64 {
        self.closed.get()
    }

    /// How many are open.
    pub fn active(&self) -> u64 {
        // `closed` first: read the other way round, the difference could be below zero.
        let closed = self.closed();
        self.opened().saturating_sub(closed)
    }
}

/// How many things took how long.
#[derive(Debug, Default)]
pub struct Times {
    counts: [Counter; TIMES_BOUNDS_S.len() + 1],
    sum_us: Counter,
}

/// Upper bounds of the buckets of [`Times`], in seconds.
pub const TIMES_BOUNDS_S: [f64; 9] = [0.0001, 0.00025, 0.0005, 0.001, 0.005, 0.025, 0.1, 1.0, 5.0];

impl Times {
    /// Counts one.
    pub fn add(&self, time: Duration) {
        let seconds = time.as_secs_f64();
        let bucket =
            TIMES_BOUNDS_S.iter().position(|bound| seconds <= *bound).unwrap_or(TIMES_BOUNDS_S.len());
        self.counts[bucket].add(1);
        self.sum_us.add(time.as_micros() as u64);
    }

    /// How many fell into each bucket, not cumulated; the last is beyond all bounds.
    pub fn counts(&self) -> impl Iterator<Item = u64> {
        self.counts.iter().map(Counter::get)
    }

    /// All of them together, in seconds.
    pub fn sum_s(&self) -> f64 {
        self.sum_us.get() as f64 / 1e6
    }
}

/// What one core counts for one protocol.
#[derive(Debug, Default)]
pub struct ProtocolCounters {
    /// Connections that entered this core's lobby.
    pub accepted: Counter,
    /// Connections handed to the relay, by [`By::METHODS`].
    pub routed: [Counter; By::METHODS.len()],
    /// Refusals by [`Reason`].
    pub refused: [Counter; Reason::ALL.len()],
    /// From accept to the name.
    pub identify: Times,
    /// From the name to a backend that took the first bytes.
    pub dial: Times,
}

/// Everything that one core counts.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct CoreCounters {
    /// Connections accepted by this core's listeners.
    pub accepted: Counter,
    /// Connections that this core accepted and gave to another one.
    pub handed_over: Counter,
    /// Failed accepts (no descriptors, no memory), each followed by a pause.
    pub accept_errors: Counter,
    /// Connections from accept to hand-over or refusal.
    pub lobby: OpenClose,
    /// Established connections.
    pub relays: OpenClose,
    /// By [`Protocol`].
    pub protocols: [ProtocolCounters; Protocol::ALL.len()],
    /// Connections closed unheard, because too many had not said their name.
    pub turned_away: Counter,
    /// Tries to connect that failed and were repeated or given up.
    pub dial_failures: Counter,
    /// Connections that had to wait for a route to be let go.
    pub held: OpenClose,
    /// Of these, how many waited in vain.
    pub held_too_long: Counter,
    /// Connections that would have had to wait and found no place.
    pub held_short: Counter,
    /// Cancel requests passed on.
    pub cancels: Counter,
    /// Turns of the core's loop: stands still when the core idles.
    pub turns: Counter,
    /// Completions handled.
    pub completions: Counter,
    /// Microseconds spent polling for completions.
    pub spin_us: Counter,
    /// Times that the core polled for completions instead of sleeping.
    pub spins: Counter,
    /// Of these, how many found something.
    pub spins_won: Counter,
    /// Times that the core went to sleep.
    pub sleeps: Counter,
    /// Receive buffers handed out.
    pub buffers_in_use: Gauge,
    /// Receives that found no buffer.
    pub buffers_short: Counter,
    /// Pipes held by flows.
    pub pipes_in_use: Gauge,
    /// Pumps that found no pipe and fell back to copying.
    pub pipes_short: Counter,
    /// Flows whose sink takes no bytes.
    pub blocked: Gauge,
}

impl CoreCounters {
    /// The counters of one protocol.
    pub fn of(&self, protocol: Protocol) -> &ProtocolCounters {
        &self.protocols[protocol as usize]
    }
}
