//! What the control thread may know of the edge: numbers and addresses, nothing that could hold it up.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::addons::kinds::Kind;
use crate::config::Config;
use crate::dialect::{By, Protocol, Reason};

/// The running edge, as the control thread sees it. All of it must return at once.
pub trait EdgeStatus: Send + Sync + 'static {
    /// Counters of each core, in the order of the cores.
    fn cores(&self) -> Vec<CoreStatus>;

    /// What is really listened on: a port that was configured as 0 is the kernel's choice here.
    fn listeners(&self) -> Vec<ListenerStatus>;

    /// Whether the edge is shutting down.
    fn is_draining(&self) -> bool;
}

/// One port of the edge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListenerStatus {
    /// What is spoken there.
    pub protocol: Protocol,
    /// Where.
    pub address: SocketAddr,
}

impl ListenerStatus {
    /// Where clients of this host reach it.
    pub fn local_address(&self) -> SocketAddr {
        let mut address = self.address;
        match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
            IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
            _ => {}
        }
        address
    }
}

/// Where clients of this host reach the edge for a kind: at the first port for its protocol, unless another one is of
/// its flavour.
pub fn login_address(edge: &dyn EdgeStatus, config: &Config, kind: &dyn Kind) -> Option<SocketAddr> {
    let listeners = edge.listeners();
    let of_protocol = listeners.iter().filter(|listener| listener.protocol == kind.protocol());
    let suits = |listener: &&ListenerStatus| config.flavour_at(listener.address) == kind.flavour();
    // Of several that do, or do not, the first one is taken.
    of_protocol.min_by_key(|listener| !suits(listener)).map(ListenerStatus::local_address)
}

/// The counters of one core.
#[derive(Clone, Debug, Default)]
pub struct CoreStatus {
    /// Its CPU.
    pub cpu: usize,
    /// By protocol.
    pub protocols: Vec<ProtocolStatus>,
    /// Everything else. The same metrics in the same order for every core.
    pub samples: Vec<Sample>,
}

/// One number of a core, as Prometheus is shown it.
#[derive(Clone, Copy, Debug)]
pub struct Sample {
    /// Name of the metric: `pierhead_..._total` if it only grows.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// The number now.
    pub value: u64,
}

/// The counters of one core for one protocol.
#[derive(Clone, Debug)]
pub struct ProtocolStatus {
    /// The protocol.
    pub protocol: Protocol,
    /// Connections accepted.
    pub accepted: u64,
    /// Connections routed, in the order of [`By::METHODS`].
    pub routed: [u64; By::METHODS.len()],
    /// Connections refused, in the order of [`Reason::ALL`].
    pub refused: [u64; Reason::ALL.len()],
    /// From accept to the name.
    pub identify: Histogram,
    /// From the route to a connected backend.
    pub dial: Histogram,
}

/// How many things took how long.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    /// Upper bounds of the buckets in seconds, ascending. The last bucket, without a bound, comes on top.
    pub bounds_s: &'static [f64],
    /// How many fell into each bucket (not cumulated): one more than there are bounds.
    pub counts: Vec<u64>,
    /// Of all of them together, in seconds.
    pub sum_s: f64,
}
