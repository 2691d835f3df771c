//! What goes over the control socket, for the server and the CLI alike. All of it is JSON.

mod apps;
mod backups;
mod bindings;
mod create;
mod history;
mod settings;
mod tokens;
mod upgrades;

pub use apps::*;
pub use backups::*;
pub use bindings::*;
pub use create::*;
pub use history::*;
use serde::{Deserialize, Serialize};
pub use settings::*;
pub use tokens::*;
pub use upgrades::*;
use utoipa::ToSchema;

use crate::dialect::{Name, Protocol};

/// Body of `PATCH /v1/addons/{name}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct SetRequest {
    /// The plan.
    pub plan: String,
}

/// Answer of `PATCH /v1/addons/{name}`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SetView {
    /// The addon.
    pub addon: AddonView,
    /// Whether some of the plan holds only once the addon has been started again.
    pub restart_needed: bool,
}

/// An addon as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AddonView {
    /// Its name, its user and its database.
    pub name: Name,
    /// Its engine, or what else it is, such as `secret`.
    pub kind: Name,
    /// Who makes it: `docker`, or a provider of the configuration.
    pub provider: Name,
    /// Where its engine is, if that is in no container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub backend: Option<BackendView>,
    /// The protocol whose port leads to it.
    pub protocol: Protocol,
    /// How large it may be.
    pub plan: Name,
    /// Its image; empty if it has no container.
    pub image: String,
    /// What is wanted: `running`, `restart`, `stopped` or `destroyed`.
    pub desired: String,
    /// How far it is: `waiting`, `provisioning`, `provisioned`, `ready`, `stopping`, `stopped`, `deprovisioning` or `error`.
    pub state: String,
    /// Whether that is the end of it: nothing is under way, or nothing will come of it without somebody's help.
    pub settled: bool,
    /// While provisioning: `begin` and `provider`, or in a container `secret`, `image`, `network`, `volume`, `container`, `start` or `login`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<String>,
    /// Why it is in error, or why the present step is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How far the present step is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Full id of its container.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// What the name of an exported file ends with; none if its data cannot be exported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub archive: Option<String>,
    /// Its last upgrade, until that is finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upgrade: Option<UpgradeView>,
    /// What somebody should know about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
    /// Its connections through the edge.
    pub connections: Connections,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// RFC 3339, UTC.
    pub updated_at: String,
}

/// Connections through the edge.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Connections {
    /// Open now.
    pub active: u64,
    /// Allowed at once; 0 for no limit.
    pub max: u32,
}

/// How far a step is, for a progress bar.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Progress {
    /// The step.
    pub step: String,
    /// What is being done.
    pub detail: String,
    /// How much of `total` is done; bytes for an image.
    pub current: u64,
    /// How much there is to do; 0 if that is not known.
    pub total: u64,
}

/// Answer of `GET /v1/addons`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AddonList {
    /// By name.
    pub addons: Vec<AddonView>,
}

/// Answer of `GET /v1/addons/{name}/url`. The only place where a password goes out.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UrlView {
    /// The whole URL.
    pub url: String,
    /// The environment variable that applications expect it in.
    pub variable: String,
    /// Host of the edge.
    pub host: String,
    /// Port of the edge.
    pub port: u16,
    /// The addon, and its database.
    pub name: Name,
    /// The user.
    pub login: String,
    /// The password.
    pub password: String,
    /// The engine's client program, as it would connect to `host`; none if it has none that could be given the password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<crate::addons::kinds::ClientCommand>,
    /// A shell script that runs that program, where it takes the password from no variable.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_script: Option<String>,
    /// What to use where that program is not in the container, or there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_elsewhere: Option<String>,
    /// The container in which that program can be found if this host has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
}

/// Answer of `POST /v1/addons/{name}/import`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ImportView {
    /// What the file was.
    pub format: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, as hexadecimal digits.
    pub sha256: String,
}

/// A route of the edge.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RouteView {
    /// The protocol whose port leads here.
    pub protocol: Protocol,
    /// The name that clients log in with.
    pub name: Name,
    /// `ready`, `starting`, `stopped`, `unreachable` or `held`.
    pub state: String,
    /// Where it leads, if it is ready.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// Full id of the container; empty if there is none.
    pub container: String,
    /// Larger for every change of the route.
    pub generation: u64,
    /// Connections through the edge.
    pub connections: Connections,
}

/// Answer of `GET /v1/routes`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct RouteList {
    /// By protocol and name.
    pub routes: Vec<RouteView>,
    /// RFC 3339: since when Docker has not answered, so that the routes may be out of date.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_since: Option<String>,
}

/// Answer of `GET /v1/explain`: why a login goes where it goes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Explanation {
    /// Whether a connection would be made.
    pub ok: bool,
    /// In one line: where it goes, or why it is refused.
    pub result: String,
    /// What was looked at, in the edge's own order.
    pub steps: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Check {
    /// What.
    pub name: String,
    /// How it is.
    pub status: CheckStatus,
    /// What was found.
    pub detail: String,
    /// What to do about it; empty if there is nothing to do.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}

/// How something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum CheckStatus {
    /// As it should be.
    Ok,
    /// It works, but not as well as it could, or not for long.
    Warn,
    /// It does not work.
    Fail,
}

impl Check {
    /// As it should be.
    pub fn ok(name: &str, detail: impl Into<String>) -> Self {
        Check { name: name.into(), status: CheckStatus::Ok, detail: detail.into(), hint: String::new() }
    }

    /// It could be better; `hint` says how.
    pub fn warn(name: &str, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Check { name: name.into(), status: CheckStatus::Warn, detail: detail.into(), hint: hint.into() }
    }

    /// It does not work; `hint` says what to do.
    pub fn fail(name: &str, detail: impl Into<String>, hint: impl Into<String>) -> Self {
        Check { name: name.into(), status: CheckStatus::Fail, detail: detail.into(), hint: hint.into() }
    }
}

/// Answer of `GET /v1/doctor`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Doctor {
    /// What was looked at.
    pub checks: Vec<Check>,
    /// What of Pierhead's is on this host and belongs to no addon.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orphans: Vec<OrphanView>,
}

/// Something that belongs to no addon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OrphanView {
    /// `container`, `volume`, `secret` or `network`.
    pub what: String,
    /// What it is called.
    pub called: String,
    /// The addon that it was made for; none for a network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub addon: Option<Name>,
    /// Whether Pierhead can remove it.
    pub can_be_fixed: bool,
}

/// Body of `POST /v1/doctor/fix`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct FixRequest {
    /// Names of addons that there are not: whatever is left of them is removed, data included.
    pub names: Vec<String>,
}

/// Answer of `POST /v1/doctor/fix`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct FixView {
    /// Those of which something is left. They are addons from now on, until they are destroyed.
    pub taken_on: Vec<Name>,
}

/// Answer of `GET /v1/status`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Status {
    /// Version of the running Pierhead.
    pub version: String,
    /// Its process id.
    pub pid: u32,
    /// RFC 3339: when it started.
    pub started_at: String,
    /// Whether it is shutting down.
    pub draining: bool,
    /// The ports of the edge, such as `postgres 0.0.0.0:5432`.
    pub listeners: Vec<String>,
    /// The CPUs of the edge's cores.
    pub cpus: Vec<usize>,
    /// How many routes there are.
    pub routes: usize,
    /// RFC 3339: since when Docker has not answered; none if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stale_since: Option<String>,
    /// How many addons are in each state.
    pub addons: std::collections::BTreeMap<String, usize>,
}

/// Body of every answer that is not a success.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// What went wrong.
    pub error: ErrorView,
}

/// What went wrong.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ErrorView {
    /// For programs: `not_found`, `name_taken`, ...
    pub code: String,
    /// For people.
    pub message: String,
    /// What to do next; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub hint: String,
}
