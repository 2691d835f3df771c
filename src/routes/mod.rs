//! The route table: (protocol, name) -> where the addon is. Read by every core for every connection without
//! a lock or an allocation; published by the control thread.

mod table;
mod usage;

use std::net::SocketAddr;
use std::sync::Arc;

pub use table::Table;
pub use usage::{Direction, Lane, Usage};

use crate::dialect::{Name, Protocol};

/// One addon as the edge sees it. Immutable: a change publishes a new one.
#[derive(Clone, Debug)]
pub struct Route {
    /// The protocol whose port leads here.
    pub protocol: Protocol,
    /// The name that clients log in with.
    pub name: Name,
    /// Whether connections can be made now.
    pub state: RouteState,
    /// Which container this is (full Docker id; empty where there is none yet). Container addresses are
    /// reused, so an address alone does not tell that it is still the same addon.
    pub container: Arc<str>,
    /// Set by [`Table::publish`]: larger for every change of this route.
    pub generation: u64,
    /// How many connections the addon may have at once; 0 for no limit.
    pub connections_max: u32,
    /// Counters that outlive a change of the route.
    pub usage: Arc<Usage>,
}

/// Whether and how an addon is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RouteState {
    /// Running, at this address.
    Ready(Upstream),
    /// Being provisioned, created or restarted.
    Starting,
    /// Stopped, paused or dead.
    Stopped,
}

/// How a backend is reached (DESIGN §4.12). Later ways (a socket inside the container's network namespace, a
/// Unix socket file) are further variants here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Upstream {
    /// An address on a bridge of this host.
    Tcp(SocketAddr),
}
