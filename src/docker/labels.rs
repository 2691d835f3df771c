//! What the labels of a container ask for. Pure: no engine, no clock.
//!
//! What comes in: a [`Container`]. What goes out: a [`Claim`] for each route that it asks for, and a
//! [`Problem`] for each wish that cannot be met.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;

use super::container::{Addresses, Container, Status};
use crate::dialect::{Name, NameError, Protocol};
use crate::routes::{RouteState, Upstream};

/// The protocols that the container serves, separated by commas. A container is Pierhead's business if it
/// has this label.
pub const PROTOCOL: &str = "pierhead.protocol";
/// The name that clients log in with. Default: the container's name.
pub const NAME: &str = "pierhead.name";
/// The port inside the container, one for each protocol and in the same order. Default: the protocol's own.
pub const PORT: &str = "pierhead.port";
/// The port inside the container where TLS is spoken from the first byte, one for each protocol and in the same
/// order. Default: the port of the protocol.
pub const TLS_PORT: &str = "pierhead.tls-port";
/// The network whose address is used. Default: the first by name that has an IPv4 address, else IPv6.
pub const NETWORK: &str = "pierhead.network";
/// Which of its addon's containers it is, by number: only the one that is in use is routed. Default: 1.
pub const GENERATION: &str = "pierhead.generation";
/// How many connections are allowed at once. Default, and 0: no limit.
pub const CONNECTIONS_MAX: &str = "pierhead.max-connections";

/// A route that a container asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The protocol whose port leads here.
    pub protocol: Protocol,
    /// The name that clients log in with.
    pub name: Name,
    /// Whether connections can be made now.
    pub state: RouteState,
    /// How many connections are allowed at once; 0 for no limit.
    pub connections_max: u32,
    /// The port for TLS from the first byte, if it is another one.
    pub tls_port: Option<u16>,
}

/// Why a container is not routed, or cannot be reached; each text says what to do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// No such protocol.
    #[error("label {PROTOCOL}: {0}")]
    Protocol(String),
    /// The same protocol twice.
    #[error("label {PROTOCOL}: {0} is given twice")]
    ProtocolTwice(Protocol),
    /// The label is no name.
    #[error("label {NAME}={text:?}: {error}")]
    NameLabel {
        /// What it says.
        text: String,
        /// What is wrong with it.
        error: NameError,
    },
    /// There is no label, and the container's name will not do.
    #[error("the container's name {text:?} cannot be used ({error}): set the label {NAME}")]
    ContainerName {
        /// The container's name.
        text: String,
        /// What is wrong with it.
        error: NameError,
    },
    /// Not a port.
    #[error("label {label}: {text:?} is no port from 1 to 65535")]
    Port {
        /// Which label.
        label: &'static str,
        /// What it says.
        text: String,
    },
    /// Not one port for each protocol.
    #[error(
        "label {label}: {ports} given for {protocols} in {PROTOCOL}; give one for each, in the same order"
    )]
    PortCount {
        /// Which label.
        label: &'static str,
        /// How many ports there are.
        ports: usize,
        /// How many protocols there are.
        protocols: usize,
    },
    /// Not a number of connections.
    #[error("label {CONNECTIONS_MAX}: {0:?} is no number of connections; 0 is for no limit")]
    ConnectionsMax(String),
    /// No network at all.
    #[error(
        "it is on network none: docker network disconnect none {0}, then docker network connect NETWORK {0}"
    )]
    NoNetwork(String),
    /// It lives in another container's network.
    #[error("it shares the network of container {0}: set the labels on that container instead")]
    SharedNetwork(String),
    /// Not on the network that its label names.
    #[error(
        "label {NETWORK}={0:?}: the container has no address on that network: docker network connect {0} {1}"
    )]
    NotOnNetwork(String, String),
    /// Running, and on no network now.
    #[error("it runs but has no address on any network: docker network connect NETWORK {0}")]
    NoAddress(String),
    /// The protocol has no port of its own, and none is given.
    #[error("protocol {0} has no port of its own: add the label pierhead.port=PORT")]
    PortNeeded(Protocol),
    /// Another container has the name.
    #[error(
        "{protocol} {name} belongs to the older container {owner}: remove one of them, or set the label {NAME}"
    )]
    Claimed {
        /// The protocol that both claim.
        protocol: Protocol,
        /// The name that both claim.
        name: Name,
        /// The name of the container that has it.
        owner: String,
    },
}

/// What a container asks for. Problems do not exclude claims: one protocol may be good and another not.
pub fn read(container: &Container) -> (Vec<Claim>, Vec<Problem>) {
    let mut claims = Vec::new();
    let mut problems = Vec::new();
    let Some(text) = container.labels.get(PROTOCOL) else { return (claims, problems) };
    let protocols: Vec<&str> = text.split(',').map(str::trim).collect();
    let common = name(container).and_then(|name| {
        let ports = |label| ports(container, label, protocols.len());
        let ports = ports(PORT)?.into_iter().zip(ports(TLS_PORT)?);
        Ok((name, ports, connections_max(container)?, reach(container)?))
    });
    let (name, ports, connections_max, reach) = match common {
        Ok(common) => common,
        Err(problem) => return (claims, vec![problem]),
    };
    if container.status == Status::Running
        && let Err(problem) = &reach
    {
        problems.push(problem.clone());
    }
    for (protocol, (port, tls_port)) in protocols.into_iter().zip(ports) {
        match protocol.parse::<Protocol>() {
            Err(text) => problems.push(Problem::Protocol(text)),
            Ok(protocol) if claims.iter().any(|claim: &Claim| claim.protocol == protocol) => {
                problems.push(Problem::ProtocolTwice(protocol));
            }
            Ok(protocol) => {
                let Some(port) = port.or(protocol.default_port()) else {
                    problems.push(Problem::PortNeeded(protocol));
                    continue;
                };
                let state = state(container, reach.as_ref().ok().copied(), port);
                claims.push(Claim { protocol, name: name.clone(), state, connections_max, tls_port });
            }
        }
    }
    (claims, problems)
}

/// Which of its addon's containers it is.
pub fn generation(container: &Container) -> u32 {
    let label = container.labels.get(GENERATION).and_then(|text| text.parse().ok());
    // None is nobody's: no label may claim the name of an addon that has no container.
    label.filter(|generation| *generation > 0).unwrap_or(1)
}

/// The name that a container asks for, good or not.
pub fn wanted_name(container: &Container) -> &str {
    container.labels.get(NAME).unwrap_or(&container.name)
}

fn state(container: &Container, address: Option<IpAddr>, port: u16) -> RouteState {
    match (container.status, address) {
        (Status::Running, Some(address)) => {
            let address = SocketAddr::new(address, port);
            RouteState::Ready(match &container.namespace {
                Some(namespace) => Upstream::Namespace(address, Arc::clone(namespace)),
                None => Upstream::Tcp(address),
            })
        }
        // Running without an address is what a container looks like while it moves to another network.
        (Status::Running, None) | (Status::Created | Status::Restarting, _) => RouteState::Starting,
        (Status::Paused | Status::Stopped, _) => RouteState::Stopped,
    }
}

fn name(container: &Container) -> Result<Name, Problem> {
    let text = wanted_name(container).to_owned();
    Name::parse(&text).map_err(|error| match container.labels.contains_key(NAME) {
        true => Problem::NameLabel { text, error },
        false => Problem::ContainerName { text, error },
    })
}

/// What this label says: a port for each protocol; `None` where there is no such label.
fn ports(container: &Container, label: &'static str, protocols: usize) -> Result<Vec<Option<u16>>, Problem> {
    let Some(text) = container.labels.get(label) else { return Ok(vec![None; protocols]) };
    let ports: Vec<_> = text.split(',').map(str::trim).collect();
    if ports.len() != protocols {
        return Err(Problem::PortCount { label, ports: ports.len(), protocols });
    }
    let port = |text: &str| match text.parse() {
        Ok(port) if port > 0 => Ok(Some(port)),
        _ => Err(Problem::Port { label, text: text.to_owned() }),
    };
    ports.into_iter().map(port).collect()
}

fn connections_max(container: &Container) -> Result<u32, Problem> {
    let Some(text) = container.labels.get(CONNECTIONS_MAX) else { return Ok(0) };
    text.trim().parse().map_err(|_| Problem::ConnectionsMax(text.clone()))
}

/// The address to connect to. The outer error is for good, the inner one may pass.
fn reach(container: &Container) -> Result<Result<IpAddr, Problem>, Problem> {
    if container.network_mode == "host" {
        return Ok(Ok(Ipv4Addr::LOCALHOST.into()));
    }
    if let Some(other) = container.network_mode.strip_prefix("container:") {
        return Err(Problem::SharedNetwork(other.get(..12).unwrap_or(other).to_owned()));
    }
    if let Some(network) = container.labels.get(NETWORK) {
        let addresses = container.networks.get(network).copied().unwrap_or_default();
        return Ok(
            any_v4([addresses]).ok_or_else(|| Problem::NotOnNetwork(network.clone(), container.name.clone()))
        );
    }
    // In the order of the networks' names, so that the choice does not change from one look to the next.
    if let Some(address) = any_v4(container.networks.values().copied()) {
        return Ok(Ok(address));
    }
    // `none` is a network too. A container created on it stays without an address until it gets another one.
    let only_none = container.networks.keys().all(|network| network == "none");
    if container.network_mode == "none" && only_none {
        return Err(Problem::NoNetwork(container.name.clone()));
    }
    Ok(Err(Problem::NoAddress(container.name.clone())))
}

/// The first IPv4 address, else the first IPv6 address.
fn any_v4(networks: impl IntoIterator<Item = Addresses, IntoIter: Clone>) -> Option<IpAddr> {
    let networks = networks.into_iter();
    let v4 = networks.clone().find_map(|addresses| addresses.v4).map(IpAddr::V4);
    v4.or_else(|| networks.clone().find_map(|addresses| addresses.v6).map(IpAddr::V6))
}
