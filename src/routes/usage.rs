//! The counters of one addon. The cores add to them, the control thread reads them.
//!
//! What comes in: connections opened and closed, bytes moved. What goes out: whether one more connection is
//! allowed, and sums for metrics, `top` and the idle check.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwapOption;
use hashbrown::HashMap;

/// Counters of one addon, shared by all cores and kept across changes of its route.
///
/// All operations are relaxed: each counter is exact, but two counters read one after the other need not fit
/// together. What changes per connection and what changes per transfer are on cache lines of their own, so
/// that a busy relay does not slow down the accept path. A relay should add its bytes once per turn and
/// connection rather than once per message: each call is one locked instruction on a shared line.
#[derive(Debug, Default)]
pub struct Usage {
    connections: Connections,
    bytes: Bytes,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Connections {
    active: AtomicU64,
    opened: AtomicU64,
    closed: AtomicU64,
    refused: AtomicU64,
    /// Tries to connect to its engine that have failed.
    dials_failed: AtomicU64,
    /// Unix time in seconds; 0 for never.
    last_used_s: AtomicU64,
    /// Counters of single logins, by role: those that somebody has asked for, so that no client can add one. Of these only
    /// the connections count.
    roles: ArcSwapOption<HashMap<String, Arc<Usage>>>,
}

#[derive(Debug, Default)]
#[repr(align(64))]
struct Bytes([[AtomicU64; Lane::ALL.len()]; Direction::ALL.len()]);

/// One open connection; dropping it counts the connection as closed.
#[derive(Debug)]
#[must_use = "dropping the guard counts the connection as closed"]
pub struct OpenGuard {
    usage: Arc<Usage>,
    /// The counters of its login, where it has some of its own.
    of_role: Option<Arc<Usage>>,
}

impl Usage {
    /// Counts one more connection, unless `max` are open already (0 for no limit). Under contention never
    /// more than `max` are open, and none is refused while there is room.
    pub fn try_open(self: &Arc<Self>, max: u32) -> Option<OpenGuard> {
        let room = |active: u64| (max == 0 || active < u64::from(max)).then_some(active + 1);
        let connections = &self.connections;
        if connections.active.fetch_update(Relaxed, Relaxed, room).is_err() {
            connections.refused.fetch_add(1, Relaxed);
            return None;
        }
        connections.opened.fetch_add(1, Relaxed);
        self.touch();
        Some(OpenGuard { usage: Arc::clone(self), of_role: None })
    }

    /// From now on connections of these roles are counted apart, and no others; the empty one stands for logins without a
    /// role. What was counted of them before stays.
    pub fn count_roles(&self, roles: impl IntoIterator<Item = String>) {
        let before = self.connections.roles.load_full().unwrap_or_default();
        let mut after: HashMap<String, Arc<Usage>> = HashMap::new();
        for role in roles.into_iter().chain([String::new()]) {
            let usage = before.get(&role).cloned().unwrap_or_default();
            after.insert(role, usage);
        }
        if after.len() != before.len() || after.keys().any(|role| !before.contains_key(role)) {
            self.connections.roles.store(Some(Arc::new(after)));
        }
    }

    /// The roles that are counted apart, with their counters, by name.
    pub fn roles(&self) -> Vec<(String, Arc<Usage>)> {
        let roles = self.connections.roles.load_full().unwrap_or_default();
        let mut roles: Vec<_> = roles.iter().map(|(role, usage)| (role.clone(), Arc::clone(usage))).collect();
        roles.sort_by(|(one, _), (other, _)| one.cmp(other));
        roles
    }

    /// The counters of one role, if they are kept.
    pub fn of_role(&self, role: &str) -> Option<Arc<Usage>> {
        self.connections.roles.load().as_ref()?.get(role).cloned()
    }

    /// Adds `n` bytes that were delivered in this direction through this lane.
    pub fn add_bytes(&self, direction: Direction, lane: Lane, n: u64) {
        self.bytes.0[direction as usize][lane as usize].fetch_add(n, Relaxed);
    }

    /// Connections open now.
    pub fn active(&self) -> u64 {
        self.connections.active.load(Relaxed)
    }

    /// Connections opened since start.
    pub fn opened_total(&self) -> u64 {
        self.connections.opened.load(Relaxed)
    }

    /// Connections closed since start.
    pub fn closed_total(&self) -> u64 {
        self.connections.closed.load(Relaxed)
    }

    /// Connections refused because of the addon's limit since start.
    pub fn refused_total(&self) -> u64 {
        self.connections.refused.load(Relaxed)
    }

    /// A try to connect to its engine has failed.
    pub fn dial_failed(&self) {
        self.connections.dials_failed.fetch_add(1, Relaxed);
    }

    /// Tries to connect to its engine that have failed since start.
    pub fn dials_failed_total(&self) -> u64 {
        self.connections.dials_failed.load(Relaxed)
    }

    /// Bytes delivered in this direction through this lane since start.
    pub fn bytes(&self, direction: Direction, lane: Lane) -> u64 {
        self.bytes.0[direction as usize][lane as usize].load(Relaxed)
    }

    /// When a connection was last opened or closed, as Unix time in seconds; `None` for never. An addon is
    /// idle when it has no connections, so `active() == 0` and this say since when.
    pub fn last_used_s(&self) -> Option<u64> {
        match self.connections.last_used_s.load(Relaxed) {
            0 => None,
            at_s => Some(at_s),
        }
    }

    fn touch(&self) {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        // Two cores may store in the wrong order; with a resolution of one second that is harmless.
        self.connections.last_used_s.store(now.as_secs(), Relaxed);
    }
}

impl OpenGuard {
    /// The counters that this connection is counted in.
    pub fn usage(&self) -> &Arc<Usage> {
        &self.usage
    }

    /// Counts the connection for its login, too, if that one is counted apart.
    pub fn with_role(mut self, role: Option<&str>) -> Self {
        if let Some(of_role) = self.usage.of_role(role.unwrap_or_default()) {
            of_role.connections.active.fetch_add(1, Relaxed);
            of_role.connections.opened.fetch_add(1, Relaxed);
            of_role.touch();
            self.of_role = Some(of_role);
        }
        self
    }
}

impl Drop for OpenGuard {
    fn drop(&mut self) {
        for usage in [Some(&self.usage), self.of_role.as_ref()].into_iter().flatten() {
            usage.touch();
            usage.connections.closed.fetch_add(1, Relaxed);
            usage.connections.active.fetch_sub(1, Relaxed);
        }
    }
}

/// Which way bytes flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Direction {
    /// What the client sends.
    ClientToBackend,
    /// What the backend sends.
    BackendToClient,
}

impl Direction {
    /// Both directions, in the order of the metric's labels.
    pub const ALL: [Direction; 2] = [Direction::ClientToBackend, Direction::BackendToClient];

    /// The metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Direction::ClientToBackend => "client_to_backend",
            Direction::BackendToClient => "backend_to_client",
        }
    }
}

/// How bytes are moved (DESIGN §4.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lane {
    /// Received into a buffer and sent from it.
    Copy,
    /// Spliced through a pipe, never in user space.
    Splice,
}

impl Lane {
    /// Both lanes, in the order of the metric's labels.
    pub const ALL: [Lane; 2] = [Lane::Copy, Lane::Splice];

    /// The metric's label.
    pub fn as_str(self) -> &'static str {
        match self {
            Lane::Copy => "copy",
            Lane::Splice => "splice",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_holds_and_a_closed_connection_makes_room() {
        let usage = Arc::new(Usage::default());
        assert_eq!(usage.last_used_s(), None);
        let first = usage.try_open(2).unwrap();
        let _second = usage.try_open(2).unwrap();
        assert!(usage.try_open(2).is_none());
        assert!(usage.try_open(0).is_some(), "0 is no limit");
        drop(first);
        assert!(usage.try_open(2).is_some());
        assert_eq!(
            (usage.active(), usage.opened_total(), usage.closed_total(), usage.refused_total()),
            (1, 4, 3, 1)
        );
        assert!(usage.last_used_s().is_some());
    }

    #[test]
    fn the_limit_holds_between_threads() {
        let usage = Arc::new(Usage::default());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..20_000 {
                        let guard = usage.try_open(3);
                        assert!(usage.active() <= 3);
                        drop(guard);
                    }
                });
            }
        });
        assert_eq!(usage.active(), 0);
        assert_eq!(usage.opened_total(), usage.closed_total());
        assert_eq!(usage.opened_total() + usage.refused_total(), 80_000);
    }

    #[test]
    fn roles_are_counted_that_were_asked_for_and_no_others() {
        let usage = Arc::new(Usage::default());
        drop(usage.try_open(0).unwrap().with_role(Some("reader")));
        assert!(usage.of_role("reader").is_none());
        usage.count_roles(["reader".to_owned()]);
        let first = usage.try_open(0).unwrap().with_role(Some("reader"));
        let _own = usage.try_open(0).unwrap().with_role(None);
        let _other = usage.try_open(0).unwrap().with_role(Some("nobody"));
        assert!(usage.of_role("nobody").is_none());
        let reader = usage.of_role("reader").unwrap();
        assert_eq!((reader.active(), reader.opened_total(), usage.active()), (1, 1, 3));
        assert_eq!(usage.of_role("").unwrap().active(), 1);
        // What was counted stays, also of a connection that goes on.
        usage.count_roles(["reader".to_owned(), "writer".to_owned()]);
        drop(first);
        let reader = usage.of_role("reader").unwrap();
        assert_eq!((reader.active(), reader.closed_total(), usage.active()), (0, 1, 2));
        assert!(reader.last_used_s().is_some());
        usage.count_roles([]);
        assert!(usage.of_role("reader").is_none());
    }

    #[test]
    fn bytes_are_kept_apart_by_direction_and_lane() {
        let usage = Usage::default();
        for (n, direction) in Direction::ALL.into_iter().enumerate() {
            for (m, lane) in Lane::ALL.into_iter().enumerate() {
                usage.add_bytes(direction, lane, 10 * n as u64 + m as u64 + 1);
            }
        }
        assert_eq!(usage.bytes(Direction::ClientToBackend, Lane::Splice), 2);
        assert_eq!(usage.bytes(Direction::BackendToClient, Lane::Copy), 11);
    }

    #[test]
    fn connections_and_bytes_share_no_cache_line() {
        assert_eq!((size_of::<Usage>(), align_of::<Usage>()), (128, 64));
    }
}
