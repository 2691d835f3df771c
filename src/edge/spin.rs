//! Whether a core polls for completions before it sleeps (DESIGN §4.4).
//!
//! Waking a sleeping virtual CPU costs more than relaying a message. A core that polls for a while answers at
//! once - but takes the CPU from others if they need it, and heats an idle one. So it polls only while polling
//! pays: after each spin in vain it skips twice as many idle moments as before. And it lets others go first: between
//! two looks it yields, and when that takes long somebody else has run, so it stops for a while.

use std::time::{Duration, Instant};

use super::counters::CoreCounters;

/// Decides, and spins.
pub struct Spinner {
    limit: Duration,
    /// Idle moments to skip before the next spin.
    skip: u32,
    /// How many to skip after the next spin in vain.
    penalty: u32,
    /// No spinning before this moment: others want the CPU.
    contended_until: Option<Instant>,
    /// How long spinning stops the next time that others want the CPU.
    pause: Duration,
}

const PENALTY_MAX: u32 = 256;
/// Looks between two yields: about a microsecond.
const LOOKS: u32 = 32;
/// A yield that takes longer than this has let somebody else run; one that has not takes less than one.
const YIELD_MAX: Duration = Duration::from_micros(10);
/// How long spinning stops when others want the CPU: twice as long each time, an eighth less for each spin that paid.
const PAUSE_MIN: Duration = Duration::from_micros(500);
const PAUSE_MAX: Duration = Duration::from_millis(20);

impl Spinner {
    /// A spinner that polls for at most `limit`; zero never polls.
    pub fn new(limit: Duration) -> Self {
        Spinner { limit, skip: 0, penalty: 1, contended_until: None, pause: PAUSE_MIN }
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
        if self.contended_until.is_some_and(|until| start < until) {
            return false;
        }
        counters.spins.add(1);
        let mut now = start;
        let won = loop {
            if (0..LOOKS).any(|_| {
                std::hint::spin_loop();
                ready()
            }) {
                break true;
            }
            let before = Instant::now();
            std::thread::yield_now();
            now = Instant::now();
            if now - before > YIELD_MAX {
                self.contended_until = Some(now + self.pause);
                self.pause = (self.pause * 2).min(PAUSE_MAX);
                break ready();
            }
            if now - start >= self.limit {
                break false;
            }
        };
        counters.spin_us.add((now - start).as_micros() as u64);
        if won {
            counters.spins_won.add(1);
            self.penalty = 1;
            self.pause = (self.pause - self.pause / 8).max(PAUSE_MIN);
        } else {
            self.skip = self.penalty;
            self.penalty = (self.penalty * 2).min(PENALTY_MAX);
        }
        won
    }
}
