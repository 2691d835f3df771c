//! Who may be in the lobby: limits on connections that have not said their name, over all and by source, and on those
//! that have said it and are held.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

/// Counts connections in the lobbies of all cores.
pub struct Admission {
    max: u32,
    per_source_max: u32,
    inside: AtomicU32,
    held_max: u32,
    held: AtomicU32,
    sources: Vec<Mutex<HashMap<Source, u32>>>,
    hasher: RandomState,
}

/// An IPv4 address, or an IPv6 /64: what one customer of a provider has.
type Source = u64;

const SHARDS: usize = 16;

impl Admission {
    /// At most `max` connections, at most `per_source_max` of them from one source, and `held_max` that are held.
    pub fn new(max: u32, per_source_max: u32, held_max: u32) -> Self {
        Admission {
            max,
            per_source_max,
            inside: AtomicU32::new(0),
            held_max,
            held: AtomicU32::new(0),
            sources: (0..SHARDS).map(|_| Mutex::default()).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Lets a connection in, or not. It counts until the ticket is dropped.
    pub fn admit(admission: &Arc<Self>, address: IpAddr) -> Option<Ticket> {
        let room = |inside| (inside < admission.max).then_some(inside + 1);
        admission.inside.fetch_update(Relaxed, Relaxed, room).ok()?;
        let source = source(address);
        let admitted = admission.with_source(source, |count| {
            let room = *count < admission.per_source_max;
            *count += u32::from(room);
            room
        });
        if !admitted {
            admission.inside.fetch_sub(1, Relaxed);
            return None;
        }
        Some(Ticket { admission: Arc::clone(admission), source, held: false })
    }

    /// Connections inside now that are not held.
    pub fn inside(&self) -> u32 {
        self.inside.load(Relaxed)
    }

    /// Connections that are held now.
    pub fn held(&self) -> u32 {
        self.held.load(Relaxed)
    }

    fn with_source<T>(&self, source: Source, change: impl FnOnce(&mut u32) -> T) -> T {
        let shard = &self.sources[self.hasher.hash_one(source) as usize % SHARDS];
        let mut counts = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(source).or_insert(0);
        let result = change(count);
        if *count == 0 {
            counts.remove(&source);
        }
        result
    }
}

fn source(address: IpAddr) -> Source {
    match address.to_canonical() {
        IpAddr::V4(ip) => u64::from(u32::from(ip)),
        // Global IPv6 prefixes have high bits that no IPv4 address in the lower half collides with.
        IpAddr::V6(ip) => (u128::from(ip) >> 64) as u64,
    }
}

/// The right to be in a lobby.
pub struct Ticket {
    admission: Arc<Admission>,
    source: Source,
    held: bool,
}

impl Ticket {
    /// The connection has said its name and has to wait: it takes a place among the held, and leaves its own to others.
    /// `false`: there is no such place.
    pub fn hold(&mut self) -> bool {
        let admission = &self.admission;
        let room = |held| (held < admission.held_max).then_some(held + 1);
        if !self.held && admission.held.fetch_update(Relaxed, Relaxed, room).is_ok() {
            self.leave();
            self.held = true;
        }
        self.held
    }

    fn leave(&self) {
        self.admission.inside.fetch_sub(1, Relaxed);
        self.admission.with_source(self.source, |count| *count = count.saturating_sub(1));
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.held {
            self.admission.held.fetch_sub(1, Relaxed);
        } else {
            self.leave();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_and_tickets_come_back() {
        let admission = Arc::new(Admission::new(3, 2, 1));
        let near: IpAddr = "10.0.0.1".parse().unwrap();
        let far: IpAddr = "2001:db8::1".parse().unwrap();
        let same_net: IpAddr = "2001:db8::2".parse().unwrap();
        let first = Admission::admit(&admission, near).unwrap();
        let _second = Admission::admit(&admission, near).unwrap();
        assert!(Admission::admit(&admission, near).is_none(), "two from one source");
        let _third = Admission::admit(&admission, far).unwrap();
        assert!(Admission::admit(&admission, same_net).is_none(), "three in total");
        drop(first);
        assert!(Admission::admit(&admission, same_net).is_some());
        assert_eq!(admission.inside(), 2);
    }

    #[test]
    fn who_is_held_leaves_a_place_to_others() {
        let admission = Arc::new(Admission::new(1, 1, 1));
        let near: IpAddr = "10.0.0.1".parse().unwrap();
        let mut first = Admission::admit(&admission, near).unwrap();
        assert!(first.hold() && first.hold(), "held once");
        let mut second = Admission::admit(&admission, near).expect("the place of the first");
        assert!(!second.hold());
        assert_eq!((admission.inside(), admission.held()), (1, 1), "who may not be held stays what it was");
        drop(first);
        assert!(second.hold());
        drop(second);
        assert_eq!((admission.inside(), admission.held()), (0, 0));
    }
}
