//! What rows say about routes. In come rows; out goes what the route book has to know: placeholders, so that the edge can say
//! "starting" instead of "no such addon" where there is no container (the book prefers real ones); and which container of
//! an addon is the one in use, and whether logins to it wait.

use std::sync::Arc;

use crate::addons::Addon;
use crate::addons::lifecycle::{Desired, State};
use crate::addons::store::{Store, StoreError};
use crate::dialect::{Name, Protocol};
use crate::docker::{RouteBook, Tenure};
use crate::routes::RouteState;

/// Publishes what provisioned addons are called, and which of their containers is meant.
pub struct Placeholders {
    book: Arc<RouteBook>,
    store: Arc<Store>,
}

impl Placeholders {
    /// Placeholders of this book.
    pub fn new(book: Arc<RouteBook>, store: Arc<Store>) -> Self {
        Placeholders { book, store }
    }

    /// All that the store says. Before the first container is seen, so that none is taken for another.
    pub fn set_all(&self) -> Result<(), StoreError> {
        self.store.addons()?.iter().try_for_each(|addon| self.set(addon))
    }

    /// The addon is in this state.
    pub fn set(&self, addon: &Addon) -> Result<(), StoreError> {
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
