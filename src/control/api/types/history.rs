//! What has happened, and who has asked for it.

use serde::{Deserialize, Serialize};

use crate::dialect::Name;

/// Answer of `GET /v1/audit`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditList {
    /// The latest last.
    pub requests: Vec<AuditView>,
}

/// A request that changed something, or was told a secret.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AuditView {
    /// RFC 3339, UTC: when it was answered.
    pub at: String,
    /// The user who asked.
    pub uid: Option<u32>,
    /// That user's process.
    pub pid: Option<i32>,
    /// `POST`, `DELETE`, or `GET` of a secret.
    pub method: String,
    /// What it was about.
    pub path: String,
    /// The status it was answered with; 499 if whoever had asked went away before that.
    pub status: u16,
}

/// Answer of `GET /v1/events`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventList {
    /// The latest last.
    pub events: Vec<EventView>,
}

/// A change of an addon's state, or of what is wanted of it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
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
}
