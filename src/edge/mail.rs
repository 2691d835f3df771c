//! What one thread tells a core.

use std::os::fd::OwnedFd;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::counters::CoreCounters;
use crate::sys::EventFd;

/// A message for a core.
pub enum Mail {
    /// A connection that another core accepted on a listener of this index.
    Accepted(OwnedFd, usize),
    /// Stop accepting; close what is left at `deadline`, spread over `spread`.
    Drain {
        /// When patience ends.
        deadline: Instant,
        /// Over how long the closing is spread.
        spread: Duration,
    },
}

/// What others see of a core.
pub struct CoreShared {
    /// The CPU that the core runs on.
    pub cpu: usize,
    /// What it counts.
    pub counters: Arc<CoreCounters>,
    /// Connections in its lobby and relay.
    load: AtomicUsize,
    mail: Mutex<Vec<Mail>>,
    event: EventFd,
}

impl CoreShared {
    /// The shared part of a core that is about to start.
    pub fn new(cpu: usize) -> std::io::Result<Self> {
        Ok(CoreShared {
            cpu,
            counters: Arc::default(),
            load: AtomicUsize::new(0),
            mail: Mutex::default(),
            event: EventFd::new()?,
        })
    }

    /// Leaves a message and wakes the core.
    pub fn post(&self, mail: Mail) {
        self.mail.lock().unwrap_or_else(PoisonError::into_inner).push(mail);
        self.event.notify();
    }

    /// Takes all messages. The event is reset first, so a message that comes meanwhile makes it ready again.
    pub fn take_mail(&self) -> Vec<Mail> {
        self.event.reset();
        std::mem::take(&mut *self.mail.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Readable when there is mail.
    pub fn event(&self) -> &EventFd {
        &self.event
    }

    /// Connections in the core's lobby and relay.
    pub fn load(&self) -> usize {
        self.load.load(Relaxed)
    }

    /// Tells the others how loaded this core is.
    pub fn set_load(&self, load: usize) {
        self.load.store(load, Relaxed);
    }
}
