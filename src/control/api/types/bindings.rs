//! Logins of addons: the application's, and further ones.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::UrlView;
use crate::addons::logins::Rights;
use crate::dialect::Name;

/// Body of `POST /v1/addons/{name}/bindings`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct BindRequest {
    /// What stands behind the dot: the login is `name.role`.
    pub role: String,
    /// What it may do.
    pub access: Rights,
}

/// Body of `POST /v1/addons/{name}/rotate`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RotateRequest {
    /// Which login; none is the application's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// How long the old password is let in beside the new one, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub grace_ms: Option<u64>,
    /// Whether the old password ends at once, and all its sessions with it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub now: bool,
}

/// A login of an addon.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BindingView {
    /// The addon.
    pub addon: Name,
    /// What stands behind the dot; none for the application's own login.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Who logs in now.
    pub login: String,
    /// What it may do.
    pub access: Rights,
    /// `ready`; `making`, `rotating`, `ending` or `removing` while that is being done; `grace` while two passwords are let in.
    pub state: String,
    /// RFC 3339, UTC: until when an old password is let in, too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_until: Option<String>,
    /// Why the present step is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Its connections through the edge.
    pub connections: LoginConnections,
}

/// Connections of a login through the edge, since Pierhead started. Those count, too, whose password was wrong.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct LoginConnections {
    /// Open now.
    pub active: u64,
    /// Opened.
    pub total: u64,
    /// RFC 3339, UTC: when one was last opened or closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<String>,
}

/// Answer of `POST /v1/addons/{name}/bindings` and `.../rotate`. It has a password in it.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BoundView {
    /// The login.
    pub binding: BindingView,
    /// How it is used.
    pub url: UrlView,
}

/// Answer of `GET /v1/addons/{name}/bindings` and `GET /v1/bindings`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct BindingList {
    /// By addon; the application's login first.
    pub bindings: Vec<BindingView>,
}
