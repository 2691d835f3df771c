//! The table itself: immutable snapshots behind `arc-swap`, in shards.
//!
//! What comes in: changes from the control thread, names from the cores. What goes out: routes.
//!
//! A look-up hashes once, picks a shard by some bits of the hash and searches that shard's current snapshot.
//! A publish copies the shards that it touches, changes the copies and swaps them in. There are many small
//! shards, so that one publish copies about a hundred pointers where there are 100,000 routes.
//!
//! Names in the table come from operators, names that are looked up come from the wire. An attacker can
//! choose what to look up, but a look-up inserts nothing: it ends at the first group with an empty slot, whatever the
//! name. Hence a fast hash will do; it is seeded at random in each process all the same.

use std::hash::BuildHasher;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable};

use super::{Change, Route, Usage};
use crate::dialect::{Name, Protocol, Protocols};

/// Every route of the host. Cores look up, the control thread publishes.
///
/// A route that [`Table::publish`] has returned from is seen by every look-up that starts afterwards, on any
/// thread. One publish is atomic for each route, not across routes.
pub struct Table {
    shards: Box<[ArcSwap<Shard>]>,
    hasher: DefaultHashBuilder,
    len: AtomicUsize,
    /// Since when the source of the routes has been out of reach, as Unix time in milliseconds; 0 if it is
    /// not.
    stale_since_ms: AtomicU64,
    /// Larger after every publish that changed something.
    version: AtomicU64,
    writer: Mutex<Writer>,
}

/// A name alone does not tell which addon is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {0} addon and a {1} addon have that name, and nothing tells which one is meant")]
pub struct Ambiguous(pub Protocol, pub Protocol);

/// The key of a route is inside the route, so that it is stored once.
type Shard = HashTable<Arc<Route>>;

#[derive(Default)]
struct Writer {
    /// The generation that was given last.
    generation: u64,
    /// The counters of routes that were removed, for as long as a connection still holds them.
    retired: HashMap<(Protocol, Name), Weak<Usage>>,
}

impl Table {
    /// A table without routes, not stale.
    pub fn new() -> Self {
        Table {
            shards: (0..SHARDS).map(|_| ArcSwap::default()).collect(),
            hasher: DefaultHashBuilder::default(),
            len: AtomicUsize::new(0),
            stale_since_ms: AtomicU64::new(0),
            version: AtomicU64::new(0),
            writer: Mutex::default(),
        }
    }

    /// The route of this addon, if there is one. Wait-free, and allocates nothing.
    #[inline]
    pub fn lookup(&self, protocol: Protocol, name: &str) -> Option<Arc<Route>> {
        let hash = self.hash(protocol, name);
        self.shards[shard_of(hash)].load().find(hash, |route| is(route, protocol, name)).cloned()
    }

    /// The route of the only addon of this name that speaks one of `among`. A route for [`Protocol::Tls`] comes
    /// before the others: it is there for clients that say no more than the name.
    pub fn lookup_among(&self, among: Protocols, name: &str) -> Result<Option<Arc<Route>>, Ambiguous> {
        let tls = Some(Protocol::Tls).filter(|tls| among.contains(*tls));
        if let Some(route) = tls.and_then(|tls| self.lookup(tls, name)) {
            return Ok(Some(route));
        }
        let mut found = among.iter().filter_map(|protocol| self.lookup(protocol, name));
        match (found.next(), found.next()) {
            (Some(one), Some(other)) => Err(Ambiguous(one.protocol, other.protocol)),
            (only, _) => Ok(only),
        }
    }

    /// Makes the changes, in order, and returns how many routes are now different. A change that changes
    /// nothing gives no new generation and copies nothing.
    ///
    /// Counters stay with a name: a route that replaces another takes over its [`Usage`], and so does one that
    /// comes back while connections of the removed one are still open.
    pub fn publish(&self, changes: impl IntoIterator<Item = Change>) -> usize {
        let mut writer = self.lock();
        let mut by_shard: Vec<(usize, u64, Change)> = changes
            .into_iter()
            .map(|change| {
                let (protocol, name) = change.key();
                let hash = self.hash(protocol, name);
                (shard_of(hash), hash, change)
            })
            .collect();
        // Stable: two changes of one route stay in order.
        by_shard.sort_by_key(|(shard, _, _)| *shard);

        let mut changed = 0;
        let mut rest = by_shard.into_iter().peekable();
        while let Some(&(shard, _, _)) = rest.peek() {
            let current = self.shards[shard].load();
            let mut copy = None;
            while let Some((_, hash, change)) = rest.next_if(|(next, _, _)| *next == shard) {
                let table: &Shard = copy.as_ref().unwrap_or(&**current);
                if is_effective(table, hash, &change) {
                    self.apply(copy.get_or_insert_with(|| Shard::clone(&current)), hash, change, &mut writer);
                    changed += 1;
                }
            }
            if let Some(copy) = copy {
                let before = current.len();
                drop(current);
                self.len.fetch_add(copy.len().wrapping_sub(before), Relaxed);
                self.shards[shard].store(Arc::new(copy));
            }
        }
        if changed > 0 {
            // After the shards: who sees the new version finds the new routes.
            self.version.fetch_add(1, Release);
        }
        changed
    }

    /// Larger after every publish that changed something: who waits for a change need not look anything up before.
    pub fn version(&self) -> u64 {
        self.version.load(Acquire)
    }

    /// Every route, sorted by protocol and name.
    pub fn snapshot(&self) -> Vec<Arc<Route>> {
        let mut routes: Vec<_> =
            self.shards.iter().flat_map(|shard| shard.load().iter().cloned().collect::<Vec<_>>()).collect();
        routes.sort_by(|a, b| (a.protocol, &a.name).cmp(&(b.protocol, &b.name)));
        routes
    }

    /// How many routes there are.
    pub fn len(&self) -> usize {
        self.len.load(Relaxed)
    }

    /// Whether there is no route.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Says that the routes are known to be true now.
    pub fn mark_fresh(&self) {
        self.stale_since_ms.store(0, Relaxed);
    }

    /// Says that the source of the routes has been out of reach since then. The routes serve on.
    pub fn mark_stale(&self, since: SystemTime) {
        let ms = since.duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        self.stale_since_ms.store(u64::try_from(ms).unwrap_or(u64::MAX).max(1), Relaxed);
    }

    /// Since when the source of the routes has been out of reach (to the millisecond); `None` if it is not.
    pub fn stale_since(&self) -> Option<SystemTime> {
        match self.stale_since_ms.load(Relaxed) {
            0 => None,
            ms => UNIX_EPOCH.checked_add(Duration::from_millis(ms)),
        }
    }

    fn apply(&self, table: &mut Shard, hash: u64, change: Change, writer: &mut Writer) {
        match change {
            Change::Set(mut route) => {
                writer.generation += 1;
                route.generation = writer.generation;
                let rehash = |route: &Arc<Route>| self.hash(route.protocol, route.name.as_str());
                match table.find_mut(hash, |old| is(old, route.protocol, route.name.as_str())) {
                    Some(old) => {
                        route.usage = Arc::clone(&old.usage);
                        *old = Arc::new(route);
                    }
                    None => {
                        if let Some(usage) = writer.take_retired(route.protocol, &route.name) {
                            route.usage = usage;
                        }
                        table.insert_unique(hash, Arc::new(route), rehash);
                    }
                }
            }
            Change::Remove(protocol, name) => {
                if let Ok(entry) = table.find_entry(hash, |old| is(old, protocol, name.as_str())) {
                    let (old, _) = entry.remove();
                    writer.retire(protocol, name, &old.usage);
                }
            }
        }
    }

    fn hash(&self, protocol: Protocol, name: &str) -> u64 {
        self.hasher.hash_one((protocol, name))
    }

    fn lock(&self) -> MutexGuard<'_, Writer> {
        // A writer that panicked has swapped in whole shards only, so the table is still good.
        self.writer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Table {
    fn default() -> Self {
        Table::new()
    }
}

impl std::fmt::Debug for Table {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Table").field("len", &self.len()).field("stale_since", &self.stale_since()).finish()
    }
}

impl Writer {
    fn retire(&mut self, protocol: Protocol, name: Name, usage: &Arc<Usage>) {
        if usage.active() == 0 {
            return;
        }
        // The map must not grow with every name that ever was. Sweeping when it would have to grow anyway
        // costs little per removal.
        if self.retired.len() == self.retired.capacity() {
            self.retired.retain(|_, usage| usage.upgrade().is_some_and(|usage| usage.active() > 0));
        }
        self.retired.insert((protocol, name), Arc::downgrade(usage));
    }

    fn take_retired(&mut self, protocol: Protocol, name: &Name) -> Option<Arc<Usage>> {
        // Most of the time nothing is retired, and then the key need not be built.
        if self.retired.is_empty() {
            return None;
        }
        self.retired.remove(&(protocol, name.clone()))?.upgrade().filter(|usage| usage.active() > 0)
    }
}

/// Whether this route is the one of that key.
#[inline]
fn is(route: &Route, protocol: Protocol, name: &str) -> bool {
    route.protocol == protocol && route.name.as_str() == name
}

fn is_effective(table: &Shard, hash: u64, change: &Change) -> bool {
    let (protocol, name) = change.key();
    let old = table.find(hash, |route| is(route, protocol, name));
    match (change, old) {
        (Change::Set(route), Some(old)) => !route.same_as(old),
        (Change::Set(_), None) => true,
        (Change::Remove(..), old) => old.is_some(),
    }
}

/// hashbrown finds the bucket with the low bits of the hash and compares the top seven, so the shard is taken
/// from the middle.
#[inline]
fn shard_of(hash: u64) -> usize {
    (hash >> 32) as usize % SHARDS
}

/// 100,000 routes make about 100 for each shard; an empty shard costs 50 bytes or so.
const SHARDS: usize = 1024;
