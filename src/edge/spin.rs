//! Whether a core polls for completions before it sleeps (DESIGN §4.4).
//!
//! Waking a sleeping virtual CPU costs more than relaying a message. A core that polls for a while answers at
//! once - but takes the CPU from others if they need it, and heats an idle one. So it polls only while polling
//! pays: after each spin in vain it skips twice as many idle moments as before, and at the first sign that
//! others want the CPU (involuntary context switches) it stops for a while.

use std::time::{Duration, Instant};

use super::counters::CoreCounters;
use crate::sys::thread_usage;

/// Decides, and spins.
pub struct Spinner {
    limit: Duration,
    /// Idle moments to skip before the next spin.
    skip: u32,
    /// How many to skip after the next spin in vain.
    penalty: u32,
    /// No spinning before this moment: others want the CPU.
    contended_until: Option<Instant>,
    checked: Instant,
    switches: u64,
}

const PENALTY_MAX: u32 = 256;
/// How often the context switches are looked at.
const CHECK_EVERY: Duration = Duration::from_millis(2);
/// How long spinning stops after an involuntary context switch.
const CONTENTION_PAUSE: Duration = Duration::from_millis(20);

impl Spinner {
    /// A spinner that polls for at most `limit`; zero never polls.
    pub fn new(limit: Duration) -> Self {
        let usage = thread_usage();
        Spinner {
            limit,
            skip: 0,
            penalty: 1,
            contended_until: None,
            checked: Instant::now(),
            switches: usage.involuntary_switches,
        }
    }

    /// Polls `ready` if that is likely to pay. Returns whether it became true.
    pub fn spin(&mut self, counters: &CoreCounters, mut ready: impl FnMut() -> bool) -> bool {
        if self.limit.is_zero() {
            return false;
        }
        if self.skip > 0 {
            self.skip -= 1;
            return false;
        }
        let start = Instant::now();
        if self.is_contended(start) {
            return false;
        }
        counters.spins.add(1);
        let mut now = start;
        while now - start < self.limit {
            for _ in 0..32 {
                if ready() {
                    counters.spins_won.add(1);
                    counters.spin_us.add((now - start).as_micros() as u64);
                    self.penalty = 1;
                    return true;
                }
                std::hint::spin_loop();
            }
            now = Instant::now();
        }
        counters.spin_us.add((now - start).as_micros() as u64);
        self.skip = self.penalty;
        self.penalty = (self.penalty * 2).min(PENALTY_MAX);
        false
    }

    fn is_contended(&mut self, now: Instant) -> bool {
        if self.contended_until.is_some_and(|until| now < until) {
            return true;
        }
        if now - self.checked < CHECK_EVERY {
            return false;
        }
        self.checked = now;
        let switches = thread_usage().involuntary_switches;
        let contended = switches > self.switches;
        self.switches = switches;
        self.contended_until = contended.then_some(now + CONTENTION_PAUSE);
        contended
    }
}
