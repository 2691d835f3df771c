//! Routes of addons whose container is not there to be routed yet, so that the edge can say "starting" instead of
//! "no such addon". In come rows; out go placeholders of the route book, which prefers real containers.

use std::sync::Arc;

use crate::addons::Addon;
use crate::addons::lifecycle::{Desired, State};
use crate::dialect::{Name, Protocol};
use crate::docker::RouteBook;
use crate::routes::RouteState;

/// Publishes what provisioned addons are called while Docker knows nothing of them.
pub struct Placeholders {
    book: Arc<RouteBook>,
}

impl Placeholders {
    /// Placeholders of this book.
    pub fn new(book: Arc<RouteBook>) -> Self {
        Placeholders { book }
    }

    /// The addon is in this state.
    pub fn set(&self, addon: &Addon) {
        match state(addon) {
            // The limit comes with the container; until then there is no connection to be limited.
            Some(state) => self.book.set_placeholder(addon.protocol, addon.name.clone(), state, 0),
            None => self.book.remove_placeholder(addon.protocol, &addon.name),
        }
    }

    /// There is no such addon any more.
    pub fn remove(&self, name: &Name) {
        Protocol::ALL.iter().for_each(|protocol| self.book.remove_placeholder(*protocol, name));
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
