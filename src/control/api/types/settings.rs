//! Settings of an addon's engine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// Body of `PATCH /v1/addons/{name}/settings`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SettingsRequest {
    /// Values, by name, such as `{"work_mem": "16MB"}`.
    pub set: BTreeMap<String, String>,
    /// Those that are to have their default again.
    pub unset: Vec<String>,
}

/// What `/v1/addons/{name}/settings` answers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct SettingsView {
    /// The addon's own values, by name.
    pub settings: BTreeMap<String, String>,
    /// What there is to be set.
    pub names: Vec<String>,
    /// Of what was just changed: those that hold only once the addon has been started again.
    pub restart_needed: Vec<String>,
}
