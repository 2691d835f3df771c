//! Watching the engine for ever: connect, follow, and start again after every loss.
//!
//! What comes in: an [`Endpoint`]. What goes out: routes, through the [`RouteBook`]; [`ContainerChange`]s for
//! whoever subscribes; and how the watch is doing, for metrics and `doctor`.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, SystemTime};

use tokio::sync::{broadcast, watch};

use super::book::{ContainerChange, Rejected, RouteBook};
use super::client::{DockerError, Endpoint};
use super::session::{End, Session};

/// Keeps a [`RouteBook`] true to what runs on an engine.
///
/// While the engine is out of reach the last good routes serve on, and the table is marked stale since the
/// moment when the engine was last heard of.
#[derive(Debug)]
pub struct Watch {
    pub(super) endpoint: Endpoint,
    pub(super) book: Arc<RouteBook>,
    /// How long after a list the next one is made, in case that an event got lost.
    pub(super) list_every: Duration,
    /// How long the engine may take for a list before it counts as lost.
    pub(super) list_max: Duration,
    /// Whether containers are reached from inside their network namespaces.
    pub(super) enter_namespaces: bool,
    pub(super) counters: Counters,
    changes: broadcast::Sender<ContainerChange>,
    link: watch::Sender<Link>,
}

/// How the watch stands with the engine.
#[derive(Clone, Debug)]
pub enum Link {
    /// All containers are known and events are coming in.
    Up,
    /// Not yet, or not any more. Trying again.
    Down {
        /// When the engine was last heard of; when the watch began if it never was.
        since: SystemTime,
        /// Why, with what to do next; none before the first try has ended.
        error: Option<Arc<DockerError>>,
    },
}

/// What the watch has done since start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Events that came in, for `pierhead_docker_events_total`.
    pub events: AtomicU64,
    /// Containers looked at because of an event.
    pub inspections: AtomicU64,
    /// Lists of all containers.
    pub lists: AtomicU64,
    /// Connections to the engine that were lost or could not be made.
    pub losses: AtomicU64,
}

impl Watch {
    /// A watch that has not begun yet; its table is stale until the first list.
    pub fn new(endpoint: Endpoint, book: Arc<RouteBook>) -> Self {
        let since = SystemTime::now();
        book.table().mark_stale(since);
        Watch {
            endpoint,
            book,
            list_every: LIST_EVERY,
            list_max: LIST_MAX,
            enter_namespaces: false,
            counters: Counters::default(),
            changes: broadcast::channel(CHANGES_MAX).0,
            link: watch::channel(Link::Down { since, error: None }).0,
        }
    }

    /// Lists all containers anew that long after the last time, and takes the engine for lost if it needs more
    /// than `max` for that. Default: 60 s both.
    pub fn list_every(mut self, interval: Duration, max: Duration) -> Self {
        (self.list_every, self.list_max) = (interval, max);
        self
    }

    /// Routes lead into the network namespaces of containers, where these can be found, and not over the bridge.
    /// Default: no.
    pub fn enter_namespaces(mut self, enter: bool) -> Self {
        self.enter_namespaces = enter;
        self
    }

    /// Watches for ever; stopped by dropping it. Needs a tokio runtime with IO and time. Call it once.
    pub async fn run(&self) {
        let mut pause = Pause::default();
        loop {
            let End { error, heard } = Session::run(self).await;
            self.counters.losses.fetch_add(1, Relaxed);
            if heard.is_some() {
                pause = Pause::default();
            }
            let pause = pause.next();
            self.lost(error, heard, pause);
            tokio::time::sleep(pause).await;
        }
    }

    /// Changes of containers with the label `pierhead.protocol`, from now on. A receiver that falls behind by
    /// 1,024 changes is told so by the channel, and finds the present state in [`RouteBook::containers`].
    pub fn subscribe(&self) -> broadcast::Receiver<ContainerChange> {
        self.changes.subscribe()
    }

    /// How the watch stands with the engine; the receiver can wait for a change.
    pub fn link(&self) -> watch::Receiver<Link> {
        self.link.subscribe()
    }

    /// Waits until all containers are known, unless they are.
    pub async fn synced(&self) {
        // Fails only if the sender is gone, and that is in `self`.
        let _ = self.link().wait_for(|link| matches!(link, Link::Up)).await;
    }

    /// The routes, and where they come from.
    pub fn book(&self) -> &Arc<RouteBook> {
        &self.book
    }

    /// Containers that are not routed or cannot be reached, with reasons.
    pub fn report(&self) -> Vec<Rejected> {
        self.book.report()
    }

    /// What the watch has done since start.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }

    /// How old the routes are, for `pierhead_routes_age_seconds`: nothing while events are coming in, else the
    /// time since the engine was last heard of.
    pub fn routes_age(&self) -> Duration {
        self.book.table().stale_since().and_then(|since| since.elapsed().ok()).unwrap_or_default()
    }

    /// All containers are known: the routes are true from now on.
    pub(super) fn up(&self) {
        self.book.table().mark_fresh();
        let before = self.link.send_replace(Link::Up);
        if let Link::Down { .. } = before {
            let routes = self.book.table().len();
            tracing::info!(endpoint = %self.endpoint, routes, "watching the Docker engine");
        }
    }

    pub(super) fn announce(&self, changes: impl IntoIterator<Item = ContainerChange>) {
        for change in changes {
            let ContainerChange { container, gone } = &change;
            tracing::debug!(container = %container.name, status = ?container.status, gone, "container changed");
            // Fails only if nobody listens.
            let _ = self.changes.send(change);
        }
    }

    fn lost(&self, error: DockerError, heard: Option<SystemTime>, pause: Duration) {
        let error = Arc::new(error);
        let mut first = false;
        self.link.send_modify(|link| {
            let since = match link {
                Link::Up => heard.unwrap_or_else(SystemTime::now),
                Link::Down { since, .. } => *since,
            };
            first = !matches!(link, Link::Down { error: Some(_), .. });
            self.book.table().mark_stale(since);
            *link = Link::Down { since, error: Some(Arc::clone(&error)) };
        });
        // Once per outage is enough for a log that people read.
        if first {
            tracing::warn!(%error, "the last known routes serve on; trying again until the engine is back");
        } else {
            tracing::debug!(%error, ?pause, "the Docker engine is still out of reach");
        }
    }
}

/// How long to wait before the next try: twice as long each time, give or take a quarter, so that many hosts
/// that lost one engine do not come back at the same moment.
#[derive(Debug)]
struct Pause(Duration);

impl Default for Pause {
    fn default() -> Self {
        Pause(PAUSE_MIN)
    }
}

impl Pause {
    fn next(&mut self) -> Duration {
        let pause = self.0;
        self.0 = (pause * 2).min(PAUSE_MAX);
        // Without a random number the pause is merely not spread.
        let random = getrandom::u32().unwrap_or(u32::MAX / 2);
        pause.mul_f64(0.75 + 0.5 * f64::from(random) / f64::from(u32::MAX)).min(PAUSE_MAX)
    }
}

const PAUSE_MIN: Duration = Duration::from_millis(100);
const PAUSE_MAX: Duration = Duration::from_secs(5);
const LIST_EVERY: Duration = Duration::from_secs(60);
const LIST_MAX: Duration = Duration::from_secs(60);

/// How many changes a subscriber may fall behind.
const CHANGES_MAX: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_watch_can_be_spawned() {
        fn spawnable<F: Future + Send>(_: impl FnOnce(&'static Watch) -> F) {}
        spawnable(|watch| watch.run());
    }

    #[test]
    fn pauses_grow_and_have_a_limit() {
        let mut pause = Pause::default();
        for nominal_ms in [100, 200, 400, 800, 1_600, 3_200, 5_000, 5_000] {
            let ms = pause.next().as_millis();
            assert!(
                ms >= nominal_ms * 3 / 4 && ms <= (nominal_ms * 5 / 4).min(5_000),
                "{ms} for {nominal_ms}"
            );
        }
    }
}
