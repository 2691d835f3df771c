//! The room of the route table: (protocol, name) -> where the addon is.
//!
//! What comes in: [`Change`]s, published by the control thread. What goes out: an [`Arc<Route>`] for every
//! look-up of a core, without a lock, a wait or an allocation; and the counters that the cores keep in each
//! route's [`Usage`]. Knows no IO.

mod table;
mod usage;

use std::net::SocketAddr;
use std::sync::Arc;

pub use table::{Ambiguous, Table};
pub use usage::{Direction, Lane, OpenGuard, Usage};

use crate::dialect::{Name, Protocol};
use crate::sys::NetNamespace;

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
    /// The port for TLS from the first byte, if it is not the one of `state`.
    pub tls_port: Option<u16>,
    /// Counters that outlive a change of the route. [`Table::publish`] puts the right ones here.
    pub usage: Arc<Usage>,
}

impl Route {
    /// A route to be published, without a port of its own for TLS. Its generation and its counters are for
    /// [`Table::publish`] to give.
    pub fn new(
        protocol: Protocol,
        name: Name,
        state: RouteState,
        container: Arc<str>,
        connections_max: u32,
    ) -> Self {
        let (generation, tls_port, usage) = (0, None, Arc::default());
        Route { protocol, name, state, container, generation, connections_max, tls_port, usage }
    }

    /// Where connections that begin with TLS go: to `upstream`, or to the port that is there for them.
    pub fn for_tls(&self, upstream: &Upstream) -> Upstream {
        let port = self.tls_port.unwrap_or(upstream.address().port());
        let address = SocketAddr::new(upstream.address().ip(), port);
        match upstream {
            Upstream::Tcp(_) => Upstream::Tcp(address),
            Upstream::Namespace(_, namespace) => Upstream::Namespace(address, Arc::clone(namespace)),
        }
    }

    /// Whether the edge would treat connections to both alike: everything but generation and counters.
    pub fn same_as(&self, other: &Route) -> bool {
        self.protocol == other.protocol
            && self.name == other.name
            && self.state == other.state
            && self.container == other.container
            && self.connections_max == other.connections_max
            && self.tls_port == other.tls_port
    }
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
    /// Known to be out of reach.
    Unreachable,
    /// About to be somewhere else: connections wait until it is let go, see `limits.hold_timeout`.
    Held,
}

/// How a backend is reached (DESIGN §4.12). A later way (a Unix socket file) is a further variant here.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Upstream {
    /// An address on a bridge of this host.
    Tcp(SocketAddr),
    /// The same address, by a socket inside the container's own network namespace: the bytes do not cross the bridge
    /// and the host's packet filter.
    Namespace(SocketAddr, Arc<NetNamespace>),
}

impl Upstream {
    /// The container's own address.
    pub fn address(&self) -> SocketAddr {
        match self {
            Upstream::Tcp(address) | Upstream::Namespace(address, _) => *address,
        }
    }
}

/// One change of the table, for [`Table::publish`].
#[derive(Clone, Debug)]
pub enum Change {
    /// Adds the route, or puts it in the place of the one with the same protocol and name.
    Set(Route),
    /// Takes the route away. Connections that use it are not touched.
    Remove(Protocol, Name),
}

impl Change {
    fn key(&self) -> (Protocol, &str) {
        match self {
            Change::Set(route) => (route.protocol, route.name.as_str()),
            Change::Remove(protocol, name) => (*protocol, name.as_str()),
        }
    }
}
