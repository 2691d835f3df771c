//! Backups, restores and clones.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Progress;
use crate::dialect::Name;

/// Body of `POST /v1/addons/{name}/backups`; `{}` does as the configuration says. Only an admin may say more.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupRequest {
    /// A target of the configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// How many good backups of the addon stay there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub keep: Option<u32>,
}

/// A backup as the API shows it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BackupView {
    /// What it is called.
    pub id: String,
    /// Whose data they are.
    pub addon: Name,
    /// Its kind.
    pub kind: Name,
    /// Its plan.
    pub plan: Name,
    /// The image that wrote it.
    pub image: String,
    /// Where it is.
    pub target: Name,
    /// The archive there.
    pub file: String,
    /// `writing`, `verifying`, `storing`, `good`, `failed` or `removing`.
    pub state: String,
    /// Whether that is the end of it.
    pub settled: bool,
    /// Why it failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How far the present step is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Length of the archive, in bytes.
    pub bytes: u64,
    /// Its SHA-256, as hexadecimal digits.
    pub sha256: String,
    /// Length of the file at the target: the same, unless it is encrypted.
    pub stored_bytes: u64,
    /// SHA-256 of that file.
    pub stored_sha256: String,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Whether it was the schedule that asked for it.
    pub scheduled: bool,
    /// RFC 3339, UTC.
    pub started_at: String,
    /// RFC 3339, UTC: when it was good or had failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub finished_at: Option<String>,
}

/// Backups.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BackupList {
    /// The latest last.
    pub backups: Vec<BackupView>,
}

/// Body of `PUT /v1/addons/{name}/schedule`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ScheduleRequest {
    /// `12h` or `7d`; `off` for only when somebody asks; `default` for as the configuration says.
    pub every: String,
}

/// How often an addon is backed up.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct ScheduleView {
    /// In seconds; none: when somebody asks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every_s: Option<i64>,
    /// Whether that is the addon's own, or as the configuration says.
    pub own: bool,
}

/// Body of `POST /v1/backups/adopt`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AdoptRequest {
    /// A target of the configuration.
    pub target: String,
}

/// Body of `POST /v1/addons/{name}/restore`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreRequest {
    /// What the backup is called.
    pub backup: String,
    /// Whether an addon of this name is to be made for it. Only an admin may have that.
    #[serde(default)]
    pub create: bool,
}

/// Body of `POST /v1/addons/{name}/clone`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct CloneRequest {
    /// What the new addon is called.
    pub name: String,
}
