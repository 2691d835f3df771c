//! Who claims which name. Pure: no engine, no clock.
//!
//! What comes in: containers from the watch, placeholders from the control thread for addons that have no
//! container yet. What goes out: the difference, published to the route table; and what changed, for the
//! reconciler.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::container::Container;
use super::labels::{self, Claim, Problem};
use crate::dialect::{Name, Protocol};
use crate::routes::{Change, Route, RouteState, Table};
use crate::sys::NetNamespace;

/// The sources of the route table, merged.
///
/// A container's route wins over a placeholder. Of two containers that claim the same name the older one
/// wins (by time of creation, then by id), whether it runs or not: nobody can take over a name by waiting for
/// its owner to restart.
#[derive(Debug)]
pub struct RouteBook {
    table: Arc<Table>,
    inner: Mutex<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    containers: HashMap<Arc<str>, Entry>,
    /// For each name everybody who claims it, the owner first.
    claimants: HashMap<Key, BTreeSet<Claimant>>,
    placeholders: HashMap<Key, Placeholder>,
    tenures: HashMap<Key, Tenure>,
}

/// What an addon says of who is to have its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// Of the containers that claim the name, only those of this generation may have it.
    pub generation: u32,
    /// Whether connections wait, whoever has it.
    pub held: bool,
}

#[derive(Debug)]
struct Entry {
    container: Arc<Container>,
    claims: Vec<Claim>,
    problems: Vec<Problem>,
}

#[derive(Clone, Debug)]
struct Placeholder {
    state: RouteState,
    connections_max: u32,
}

type Key = (Protocol, Name);

/// Time of creation, and id.
type Claimant = (i64, Arc<str>);

/// A container that has the label `pierhead.protocol` and is not routed, or cannot be reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejected {
    /// The full id of the container.
    pub id: Arc<str>,
    /// The name of the container.
    pub container: String,
    /// The name that it asks for; not always one that it could have.
    pub name: String,
    /// What is wrong with it; the text says what to do next.
    pub reason: Problem,
}

/// A container that has the label `pierhead.protocol` and is no longer as it was.
#[derive(Clone, Debug)]
pub struct ContainerChange {
    /// What it is like now; the last that was seen of it if it is gone.
    pub container: Arc<Container>,
    /// Whether it has been removed.
    pub gone: bool,
}

impl RouteBook {
    /// A book without containers, that publishes to this table.
    pub fn new(table: Arc<Table>) -> Self {
        RouteBook { table, inner: Mutex::default() }
    }

    /// The table that is published to.
    pub fn table(&self) -> &Arc<Table> {
        &self.table
    }

    /// Routes the name to `state` for as long as no container claims it: [`RouteState::Starting`] while an
    /// addon is provisioned, [`RouteState::Stopped`] while it is kept without a container.
    pub fn set_placeholder(&self, protocol: Protocol, name: Name, state: RouteState, connections_max: u32) {
        let mut inner = self.lock();
        let key = (protocol, name);
        inner.placeholders.insert(key.clone(), Placeholder { state, connections_max });
        self.publish(&inner, [key]);
    }

    /// Takes the placeholder away, if there is one.
    pub fn remove_placeholder(&self, protocol: Protocol, name: &Name) {
        let mut inner = self.lock();
        let key = (protocol, name.clone());
        if inner.placeholders.remove(&key).is_some() {
            self.publish(&inner, [key]);
        }
    }

    /// Says which generation of containers has a name, and whether it is held: both at once, and routes change with it.
    pub fn set_tenure(&self, protocol: Protocol, name: Name, tenure: Tenure) {
        let mut inner = self.lock();
        let key = (protocol, name);
        if inner.tenures.insert(key.clone(), tenure) != Some(tenure) {
            self.publish(&inner, [key]);
        }
    }

    /// From here on the oldest container that claims the name has it.
    pub fn remove_tenure(&self, protocol: Protocol, name: &Name) {
        let mut inner = self.lock();
        let key = (protocol, name.clone());
        if inner.tenures.remove(&key).is_some() {
            self.publish(&inner, [key]);
        }
    }

    /// Every container with the label `pierhead.protocol`, sorted by name.
    pub fn containers(&self) -> Vec<Arc<Container>> {
        let mut containers: Vec<_> =
            self.lock().containers.values().map(|entry| Arc::clone(&entry.container)).collect();
        containers.sort_by(|a, b| (&a.name, &a.id).cmp(&(&b.name, &b.id)));
        containers
    }

    /// The container with this full id, if it has the label `pierhead.protocol`.
    pub fn container(&self, id: &str) -> Option<Arc<Container>> {
        self.lock().containers.get(id).map(|entry| Arc::clone(&entry.container))
    }

    /// What is wrong with which container, sorted by the containers' names.
    pub fn report(&self) -> Vec<Rejected> {
        let inner = self.lock();
        let mut report = Vec::new();
        for entry in inner.containers.values() {
            let lost = entry.claims.iter().filter_map(|claim| inner.lost(entry, claim));
            report.extend(entry.problems.iter().cloned().chain(lost).map(|reason| Rejected {
                id: Arc::clone(&entry.container.id),
                container: entry.container.name.clone(),
                name: labels::wanted_name(&entry.container).to_owned(),
                reason,
            }));
        }
        report.sort_by(|a, b| (&a.container, &a.id).cmp(&(&b.container, &b.id)));
        report
    }

    /// Takes over what was seen of one container. A container without the label is forgotten.
    pub fn put(&self, container: Container) -> Option<ContainerChange> {
        let mut inner = self.lock();
        let mut keys = Vec::new();
        let change = inner.put(container, &mut keys);
        self.publish(&inner, keys);
        change
    }

    /// Forgets a container.
    pub fn remove(&self, id: &str) -> Option<ContainerChange> {
        let mut inner = self.lock();
        let mut keys = Vec::new();
        let change = inner.remove(id, &mut keys);
        self.publish(&inner, keys);
        change
    }

    /// Takes over a list of all containers. Those in `except` are left as they are, whether listed or not:
    /// something newer than the list is known of them, or will be soon.
    pub fn replace_all(&self, listed: Vec<Container>, except: &HashSet<Arc<str>>) -> Vec<ContainerChange> {
        let mut inner = self.lock();
        let mut keys = Vec::new();
        let ids: HashSet<Arc<str>> = listed.iter().map(|container| Arc::clone(&container.id)).collect();
        let gone: Vec<Arc<str>> = inner
            .containers
            .keys()
            .filter(|id| !ids.contains(*id) && !except.contains(*id))
            .cloned()
            .collect();
        let mut changes: Vec<_> = gone.iter().filter_map(|id| inner.remove(id, &mut keys)).collect();
        let listed = listed.into_iter().filter(|container| !except.contains(&container.id));
        changes.extend(listed.filter_map(|mut container| {
            container.namespace = inner.namespace_of(&container);
            inner.put(container, &mut keys)
        }));
        self.publish(&inner, keys);
        changes
    }

    fn publish(&self, inner: &Inner, keys: impl IntoIterator<Item = Key>) {
        self.table.publish(keys.into_iter().map(|key| match inner.route(&key) {
            Some(route) => Change::Set(route),
            None => Change::Remove(key.0, key.1),
        }));
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing in here panics half-way; and an old route is better than none.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Adds the names whose route may be another now to `keys`.
    fn put(&mut self, container: Container, keys: &mut Vec<Key>) -> Option<ContainerChange> {
        if !container.labels.contains_key(labels::PROTOCOL) {
            return self.remove(&container.id, keys);
        }
        if self.containers.get(&container.id).is_some_and(|old| *old.container == container) {
            return None;
        }
        self.remove(&container.id, keys);
        let (claims, problems) = labels::read(&container);
        for claim in &claims {
            let key = (claim.protocol, claim.name.clone());
            keys.push(key.clone());
            self.claimants.entry(key).or_default().insert(claimant(&container));
        }
        let container = Arc::new(container);
        let entry = Entry { container: Arc::clone(&container), claims, problems };
        self.containers.insert(Arc::clone(&container.id), entry);
        Some(ContainerChange { container, gone: false })
    }

    /// What an inspection has found holds for as long as the container runs.
    fn namespace_of(&self, listed: &Container) -> Option<Arc<NetNamespace>> {
        let known = &self.containers.get(&listed.id)?.container;
        if known.is_running() && listed.is_running() { known.namespace.clone() } else { None }
    }

    fn remove(&mut self, id: &str, keys: &mut Vec<Key>) -> Option<ContainerChange> {
        let entry = self.containers.remove(id)?;
        for claim in &entry.claims {
            let key = (claim.protocol, claim.name.clone());
            if let Some(claimants) = self.claimants.get_mut(&key) {
                claimants.remove(&claimant(&entry.container));
                if claimants.is_empty() {
                    self.claimants.remove(&key);
                }
            }
            keys.push(key);
        }
        Some(ContainerChange { container: entry.container, gone: true })
    }

    fn route(&self, key: &Key) -> Option<Route> {
        let (protocol, name) = (key.0, key.1.clone());
        let held = self.tenures.get(key).is_some_and(|tenure| tenure.held);
        let state = |state: &RouteState| if held { RouteState::Held } else { state.clone() };
        if let Some(owner) = self.owner(key) {
            let claim = owner.claims.iter().find(|claim| claim.protocol == protocol && claim.name == name)?;
            let id = Arc::clone(&owner.container.id);
            let route = Route::new(protocol, name, state(&claim.state), id, claim.connections_max);
            return Some(Route { tls_port: claim.tls_port, ..route });
        }
        let placeholder = self.placeholders.get(key)?;
        Some(Route::new(protocol, name, state(&placeholder.state), "".into(), placeholder.connections_max))
    }

    fn owner(&self, key: &Key) -> Option<&Entry> {
        let mut claimants = self.claimants.get(key)?.iter().filter_map(|(_, id)| self.containers.get(id));
        match self.tenures.get(key) {
            Some(tenure) => claimants.find(|entry| labels::generation(&entry.container) == tenure.generation),
            None => claimants.next(),
        }
    }

    /// The problem that this claim has if its name belongs to somebody else.
    fn lost(&self, entry: &Entry, claim: &Claim) -> Option<Problem> {
        let key = (claim.protocol, claim.name.clone());
        let owner = self.owner(&key)?;
        // A container of another generation is kept, or made ready: it wants nothing yet, or no more.
        let tenure = self.tenures.get(&key);
        if tenure.is_some_and(|tenure| labels::generation(&entry.container) != tenure.generation) {
            return None;
        }
        (owner.container.id != entry.container.id).then(|| Problem::Claimed {
            protocol: claim.protocol,
            name: claim.name.clone(),
            owner: owner.container.name.clone(),
        })
    }
}

fn claimant(container: &Container) -> Claimant {
    (container.created_s, Arc::clone(&container.id))
}
