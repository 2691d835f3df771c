//! Who may be in the lobby: limits on connections that have not said their name, over all and by source.

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
    sources: Vec<Mutex<HashMap<Source, u32>>>,
    hasher: RandomState,
}

/// An IPv4 address, or an IPv6 /64: what one customer of a provider has.
type Source = u64;

const SHARDS: usize = 16;

impl Admission {
    /// At most `max` connections, at most `per_source_max` of them from one source.
    pub fn new(max: u32, per_source_max: u32) -> Self {
        let sources = (0..SHARDS).map(|_| Mutex::default()).collect();
        Admission { max, per_source_max, inside: AtomicU32::new(0), sources, hasher: RandomState::new() }
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
        Some(Ticket { admission: Arc::clone(admission), source })
    }

    /// Connections inside now.
    pub fn inside(&self) -> u32 {
        self.inside.load(Relaxed)
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
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.admission.inside.fetch_sub(1, Relaxed);
        self.admission.with_source(self.source, |count| *count = count.saturating_sub(1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_hold_and_tickets_come_back() {
        let admission = Arc::new(Admission::new(3, 2));
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
}
