//! Routes of addons whose container is not there to be routed yet, so that the edge can say "starting" instead of
//! "no such addon".

use std::sync::Arc;

use crate::addons::Addon;
use crate::addons::lifecycle::{Desired, State};
use crate::dialect::Name;
use crate::routes::{RouteState, Table};

/// Publishes what provisioned addons are called while Docker knows nothing of them.
pub struct Placeholders {
    table: Arc<Table>,
}

impl Placeholders {
    /// Stub until branch `routes` has the book.
    pub fn new(table: Arc<Table>) -> Self {
        Placeholders { table }
    }

    /// The addon exists, in this state.
    pub fn set(&self, addon: &Addon) {
        let _ = (&self.table, state(addon));
    }

    /// There is no such addon any more.
    pub fn remove(&self, name: &Name) {
        let _ = name;
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
