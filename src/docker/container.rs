//! One container as the engine tells of it, reduced to what Pierhead needs.
//!
//! What comes in: a bollard answer, from a list or an inspection. What goes out: a [`Container`], which is the
//! same whichever of the two it came from, so that comparing two shows whether anything changed.

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

use bollard::models::{
    ContainerInspectResponse, ContainerStateStatusEnum as Inspected, ContainerSummary,
    ContainerSummaryStateEnum as Listed, EndpointSettings,
};

use crate::sys::NetNamespace;

/// A container that exists on the engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// The full id.
    pub id: Arc<str>,
    /// The name, without the leading `/`.
    pub name: String,
    /// When it was created, as Unix time in seconds. Lists know no smaller unit.
    pub created_s: i64,
    /// All labels.
    pub labels: BTreeMap<String, String>,
    /// What it is doing.
    pub status: Status,
    /// How its main process ended; only while it is [`Status::Stopped`], and only if it has run.
    pub exit_code: Option<i64>,
    /// `host`, `none`, `container:<id>`, or the name of the network that it was created on (`default` for the
    /// engine's default bridge).
    pub network_mode: String,
    /// Its addresses by network name. A container that does not run is on its networks, without addresses.
    pub networks: BTreeMap<String, Addresses>,
    /// Its network namespace; only while it runs, if it has one of its own and the watch may enter it. Lists do not
    /// tell: this is the one thing that an inspection has to find.
    pub namespace: Option<Arc<NetNamespace>>,
}

/// What a container is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// Created, never started.
    Created,
    /// Running, not paused.
    Running,
    /// Ended; the engine is about to start it again.
    Restarting,
    /// Frozen: accepts connections in the kernel and answers none.
    Paused,
    /// Exited, dead, stopping or being removed.
    Stopped,
}

/// The addresses of a container on one network.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Addresses {
    /// Preferred, if there is one.
    pub v4: Option<Ipv4Addr>,
    /// The global IPv6 address.
    pub v6: Option<Ipv6Addr>,
}

impl Container {
    /// From an element of a container list; `None` if it has no id.
    pub fn from_list(summary: ContainerSummary) -> Option<Self> {
        let status = match summary.state? {
            Listed::CREATED => Status::Created,
            Listed::RUNNING => Status::Running,
            Listed::RESTARTING => Status::Restarting,
            Listed::PAUSED => Status::Paused,
            Listed::EXITED | Listed::REMOVING | Listed::DEAD | Listed::STOPPING | Listed::EMPTY => {
                Status::Stopped
            }
        };
        let networks = summary.network_settings.and_then(|settings| settings.networks);
        Some(Container {
            id: summary.id?.into(),
            name: own_name(&summary.names.unwrap_or_default()),
            created_s: summary.created.unwrap_or_default(),
            labels: summary.labels.unwrap_or_default().into_iter().collect(),
            status,
            exit_code: listed_exit_code(status, summary.status.as_deref().unwrap_or_default()),
            network_mode: summary.host_config.and_then(|config| config.network_mode).unwrap_or_default(),
            networks: addresses(networks),
            namespace: None,
        })
    }

    /// From an inspection; `None` if it has no id or no state.
    pub fn from_inspection(answer: ContainerInspectResponse) -> Option<Self> {
        let state = answer.state?;
        let status = match state.status? {
            Inspected::CREATED => Status::Created,
            Inspected::RUNNING => Status::Running,
            Inspected::RESTARTING => Status::Restarting,
            Inspected::PAUSED => Status::Paused,
            Inspected::EXITED
            | Inspected::REMOVING
            | Inspected::DEAD
            | Inspected::STOPPING
            | Inspected::EMPTY => Status::Stopped,
        };
        let created: Option<jiff::Timestamp> = answer.created.and_then(|text| text.parse().ok());
        Some(Container {
            id: answer.id?.into(),
            name: answer.name.unwrap_or_default().trim_start_matches('/').to_owned(),
            // Rounds down, as lists do.
            created_s: created.map_or(0, |time| time.as_second()),
            labels: answer.config.and_then(|config| config.labels).unwrap_or_default().into_iter().collect(),
            status,
            exit_code: state.exit_code.filter(|_| status == Status::Stopped),
            network_mode: answer.host_config.and_then(|config| config.network_mode).unwrap_or_default(),
            networks: addresses(answer.network_settings.and_then(|settings| settings.networks)),
            namespace: None,
        })
    }

    /// Whether its main process runs and is not paused.
    pub fn is_running(&self) -> bool {
        self.status == Status::Running
    }

    /// Whether it runs in a network namespace that is its own.
    pub fn has_own_network(&self) -> bool {
        self.is_running() && self.network_mode != "host" && !self.network_mode.starts_with("container:")
    }

    /// The id as people see it: the first 12 digits.
    pub fn short_id(&self) -> &str {
        self.id.get(..12).unwrap_or(&self.id)
    }
}

/// `docker run --link` gives further names such as `/web/db`, which are no names of this container.
fn own_name(names: &[String]) -> String {
    let names = || names.iter().map(|name| name.trim_start_matches('/'));
    names().find(|name| !name.contains('/')).or_else(|| names().next()).unwrap_or_default().to_owned()
}

/// A list has the exit code only inside a text: `Exited (137) 5 minutes ago`.
fn listed_exit_code(status: Status, text: &str) -> Option<i64> {
    if status != Status::Stopped {
        return None;
    }
    text.split_once('(')?.1.split_once(')')?.0.parse().ok()
}

fn addresses(networks: Option<HashMap<String, EndpointSettings>>) -> BTreeMap<String, Addresses> {
    let address = |endpoint: EndpointSettings| Addresses {
        v4: endpoint.ip_address.and_then(|text| text.parse().ok()),
        v6: endpoint.global_ipv6_address.and_then(|text| text.parse().ok()),
    };
    networks.unwrap_or_default().into_iter().map(|(name, endpoint)| (name, address(endpoint))).collect()
}
