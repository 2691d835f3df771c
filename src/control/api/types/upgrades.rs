//! Upgrades of addons.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Progress;
use crate::dialect::Name;

/// Body of `POST /v1/addons/{name}/upgrade`: one of `to` and `image`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct UpgradeRequest {
    /// A tag in the repository of the present image, such as `17`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// A whole image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub image: Option<String>,
    /// How long logins may be held before everything goes back, in seconds; none for 600.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_max_s: Option<u32>,
    /// Only say what would be done.
    #[serde(default)]
    pub dry_run: bool,
}

/// Body of `POST /v1/addons/{name}/upgrade/rollback`; none is `{}`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// Whether what was written since the upgrade may be lost.
    #[serde(default)]
    pub force: bool,
}

/// An upgrade as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct UpgradeView {
    /// Whose.
    pub addon: Name,
    /// The image before.
    pub from_image: String,
    /// The image after.
    pub to_image: String,
    /// What the engine before says its version is; empty until it has been asked.
    pub from_version: String,
    /// What the engine after says its version is; empty until it has been asked.
    pub to_version: String,
    /// `move`: the data are written out and read in. `swap`: the new engine takes over the volume. Empty until that is known.
    pub method: String,
    /// `check`, `prepare`, `hold`, `stop`, `move`, `verify`, `switch`, `settle`, `kept`, `finish`, `return`, `revive`,
    /// `remove`, `undone` or `failed`; `planned` is that of a dry run.
    pub stage: String,
    /// Whether nothing happens any more before somebody asks for something.
    pub settled: bool,
    /// Whether logins wait.
    pub held: bool,
    /// Why it has failed, why it goes back, or why a step is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How far the present step is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// How many bytes were moved.
    pub moved_bytes: u64,
    /// How long logins may be held, in seconds.
    pub hold_max_s: u32,
    /// RFC 3339, UTC.
    pub started_at: String,
}
