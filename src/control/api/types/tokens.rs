//! Tokens: who may use the API by what they know.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::dialect::Name;

/// Body of `POST /v1/tokens`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct TokenRequest {
    /// What it is to be called, in the audit log too.
    pub name: String,
    /// `admin`, `owner` (of an app and what is attached to it) or `read-only`.
    pub role: String,
    /// The app, for an owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<String>,
    /// After how many seconds it is good for nothing; none for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_s: Option<u32>,
}

/// Answer of `POST /v1/tokens`: the only time that the token itself is told.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TokenMade {
    /// The token, for `Authorization: Bearer TOKEN`.
    pub token: String,
    /// What is kept of it.
    #[serde(flatten)]
    pub view: TokenView,
}

/// A token, without what makes it one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TokenView {
    /// What it is called.
    pub name: Name,
    /// `admin`, `owner` or `read-only`.
    pub role: String,
    /// The app, for an owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub app: Option<Name>,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// RFC 3339, UTC: from when on it is good for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

/// Answer of `GET /v1/tokens`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct TokenList {
    /// By name.
    pub tokens: Vec<TokenView>,
}
