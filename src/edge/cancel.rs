//! Where a PostgreSQL CancelRequest belongs: the keys seen in BackendKeyData, for as long as their connections
//! live. A cancel comes on a connection of its own and carries nothing but the key (PROTOCOLS §3, option A).

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, PoisonError};

use crate::dialect::postgres::CancelKey;
use crate::routes::Route;

/// Keys of all live connections of all cores. Sharded: it is written once per connection.
pub struct CancelTable {
    shards: Vec<Mutex<Shard>>,
    /// Random keys for SipHash, so that nobody can choose keys that collide.
    hasher: RandomState,
}

/// Two containers may hand out the same key: each that did is asked.
type Shard = HashMap<CancelKey, Vec<Arc<Route>>>;

const SHARDS: usize = 64;

impl Default for CancelTable {
    fn default() -> Self {
        CancelTable { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), hasher: RandomState::new() }
    }
}

impl CancelTable {
    /// Remembers that `key` belongs to a connection along `route`, until the registration is dropped.
    pub fn register(table: &Arc<Self>, key: CancelKey, route: &Arc<Route>) -> Registration {
        table.shard(&key, |shard| shard.entry(key.clone()).or_default().push(Arc::clone(route)));
        Registration { table: Arc::clone(table), key, route: Arc::clone(route) }
    }

    /// The routes that handed out this key; none for a key that nobody has.
    pub fn lookup(&self, key: &CancelKey) -> Vec<Arc<Route>> {
        self.shard(key, |shard| shard.get(key).cloned().unwrap_or_default())
    }

    /// How many keys are remembered.
    pub fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().unwrap_or_else(PoisonError::into_inner).len()).sum()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    fn shard<T>(&self, key: &CancelKey, with: impl FnOnce(&mut Shard) -> T) -> T {
        let shard = &self.shards[self.hasher.hash_one(key) as usize % SHARDS];
        // A shard is never left half-changed, so a panic of another core does not spoil it.
        with(&mut shard.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// One live connection's key. Dropping it forgets the key.
pub struct Registration {
    table: Arc<CancelTable>,
    key: CancelKey,
    route: Arc<Route>,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.table.shard(&self.key, |shard| {
            let Some(routes) = shard.get_mut(&self.key) else { return };
            if let Some(at) = routes.iter().position(|route| Arc::ptr_eq(route, &self.route)) {
                routes.swap_remove(at);
            }
            if routes.is_empty() {
                shard.remove(&self.key);
            }
        });
    }
}
