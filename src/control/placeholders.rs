//! What rows say about routes. In come rows; out goes what the route book has to know: placeholders, so that the edge can say
//! "starting" instead of "no such addon" where there is no container (the book prefers real ones); and which container of
//! an addon is the one in use, and whether logins to it wait.

use std::sync::Arc;

use super::backends::Backends;
use crate::addons::Addon;
use crate::addons::lifecycle::{Desired, State};
use crate::addons::store::{Store, StoreError};
use crate::config::Config;
use crate::dialect::{Name, Protocol};
use crate::docker::{RouteBook, Tenure};
use crate::routes::{RouteState, Upstream};

/// Publishes what provisioned addons are called, and which of their containers is meant.
pub struct Placeholders {
    book: Arc<RouteBook>,
    store: Arc<Store>,
    backends: Arc<Backends>,
    config: Arc<Config>,
}

impl Placeholders {
    /// Placeholders of this book.
    pub fn new(
        book: Arc<RouteBook>,
        store: Arc<Store>,
        backends: Arc<Backends>,
        config: Arc<Config>,
    ) -> Self {
        Placeholders { book, store, backends, config }
    }

    /// All that the store says. Before the first container is seen, so that none is taken for another.
    pub fn set_all(&self) -> Result<(), StoreError> {
        self.store.addons()?.iter().try_for_each(|addon| self.set(addon))
    }

    /// The addon is in this state.
    pub fn set(&self, addon: &Addon) -> Result<(), StoreError> {
        if !addon.order.is_docker() {
            self.set_provided(addon);
            return Ok(());
        }
        let held = self.store.upgrade(&addon.name)?.is_some_and(|upgrade| upgrade.holds());
        let tenure = Tenure { generation: addon.generation, held };
        match state(addon) {
            // The limit comes with the container; until then there is no connection to be limited.
            Some(state) => self.book.set_placeholder(addon.protocol, addon.name.clone(), state, 0),
            None => self.book.remove_placeholder(addon.protocol, &addon.name),
        }
        self.book.set_tenure(addon.protocol, addon.name.clone(), tenure);
        Ok(())
    }

    /// Of an addon without a container: its route, as nobody else will make it.
    fn set_provided(&self, addon: &Addon) {
        let (protocol, name) = (addon.protocol, &addon.name);
        // It may have no engine, or its provider has not said yet whether it will.
        let Some(state) = self.provided_state(addon).filter(|_| protocol != Protocol::None) else {
            self.book.remove_placeholder(protocol, name);
            self.book.remove_tenure(protocol, name);
            return;
        };
        // A container of this generation there is none: nobody's label takes the name away.
        let tenure = Tenure { generation: NO_GENERATION, held: false };
        self.book.set_tenure(protocol, name.clone(), tenure);
        let plan = self.config.plans.get(&addon.plan);
        // Without its plan it is as good as closed: a limit must not vanish with a table of the configuration.
        let connections_max = plan.map_or(1, |plan| plan.connections_max);
        self.book.set_placeholder(protocol, name.clone(), state, connections_max);
    }

    fn provided_state(&self, addon: &Addon) -> Option<RouteState> {
        let located = self.backends.located(&addon.name);
        match (addon.life.desired, addon.life.state, located) {
            (Desired::Destroyed, ..) => None,
            (Desired::Stopped, ..) => Some(RouteState::Stopped),
            (_, State::Error, _) => Some(RouteState::Unreachable),
            (_, _, Some(located)) => Some(RouteState::Ready(Upstream::Tcp(located.address))),
            (_, _, None) => Some(RouteState::Starting),
        }
    }

    /// Whether a container is seen to run: where it is the addon's, the route leads to it.
    pub fn has_seen(&self, container: &str) -> bool {
        self.book.container(container).is_some_and(|container| container.is_running())
    }

    /// There is no such addon any more.
    pub fn remove(&self, name: &Name) {
        for protocol in Protocol::ALL {
            self.book.remove_placeholder(*protocol, name);
            self.book.remove_tenure(*protocol, name);
        }
    }
}

/// What a client is told while there is no container; `None`: that there is no such addon.
fn state(addon: &Addon) -> Option<RouteState> {
    match (addon.life.desired, addon.life.state) {
        (Desired::Destroyed, _) => None,
        (Desired::Stopped, _) | (_, State::Error) => Some(RouteState::Stopped),
        (Desired::Running | Desired::Restart, _) => Some(RouteState::Starting),
    }
}

/// Containers count theirs from 1.
const NO_GENERATION: u32 = 0;
