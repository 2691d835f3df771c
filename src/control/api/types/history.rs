//! What has happened, and who has asked for it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::dialect::Name;

/// Answer of `GET /v1/audit`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditList {
    /// The latest last.
    pub requests: Vec<AuditView>,
}

/// A request that changed something, or was told a secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AuditView {
    /// RFC 3339, UTC: when it was answered.
    pub at: String,
    /// The user who asked.
    pub uid: Option<u32>,
    /// That user's process.
    pub pid: Option<i32>,
    /// The name of the token that came with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Where it came from, if it came over TCP.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
    /// The operation that it began; see `GET /v1/operations/{id}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
    /// `POST`, `DELETE`, or `GET` of a secret.
    pub method: String,
    /// What it was about.
    pub path: String,
    /// The status it was answered with; 499 if whoever had asked went away before that.
    pub status: u16,
}

/// Answer of `GET /v1/events`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventList {
    /// The latest last.
    pub events: Vec<EventView>,
}

/// A change of an addon's state, or of what is wanted of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EventView {
    /// Larger for every later one.
    pub id: i64,
    /// RFC 3339, UTC.
    pub at: String,
    /// Whose.
    pub addon: Name,
    /// The state before; empty if there was no addon.
    pub from: String,
    /// The state after; `destroyed` if there is no addon any more.
    pub to: String,
    /// Why, or what was wanted; may be empty.
    pub note: String,
    /// The operation that led to it; none if nobody had asked for anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub operation: Option<String>,
}

/// Answer of `GET /v1/operations/{id}`: what has become of a request that was to change something.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct OperationView {
    /// Its id, as in the header `Pierhead-Operation` of the answer.
    pub id: String,
    /// `running`, `done`, `failed`, `refused`, or `superseded`: something else was wanted before it had come to its end.
    pub state: String,
    /// The request that began it, if the audit log still has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub request: Option<AuditView>,
    /// What it has led to, the latest last.
    pub events: Vec<EventView>,
}
