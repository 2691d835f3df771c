//! Apps and what is attached to them.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::dialect::Name;

/// Body of `POST /v1/apps/{app}/attachments`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct AttachRequest {
    /// The addon.
    pub addon: String,
    /// What stands before its kind's own variable, such as `BLUE`; none takes that variable itself.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
}

/// Body of `POST /v1/apps/{app}/promote`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct PromoteRequest {
    /// The addon that is to be told in its kind's own variable.
    pub addon: String,
}

/// An addon that an app uses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AttachmentView {
    /// The app.
    pub app: Name,
    /// The name under which it is attached, such as `BLUE`; none for the kind's own variable.
    #[serde(default, rename = "as", skip_serializing_if = "Option::is_none")]
    pub prefix: Option<String>,
    /// The environment variable in which it is told the addon's URL.
    pub variable: String,
    /// The addon.
    pub addon: Name,
}

/// What an app uses.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AppView {
    /// The app.
    pub app: Name,
    /// By variable.
    pub attachments: Vec<AttachmentView>,
}

/// Answer of `GET /v1/apps`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AppList {
    /// By name.
    pub apps: Vec<AppView>,
}

/// Answer of `GET /v1/apps/{app}/env`. It has passwords in it.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct EnvView {
    /// The app.
    pub app: Name,
    /// By name.
    pub variables: Vec<Variable>,
}

/// Answer of `GET /v1/addons/{name}/env`. It has passwords in it.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct AddonEnvView {
    /// The addon.
    pub addon: Name,
    /// What an application is told.
    pub variables: Vec<Variable>,
}

/// An environment variable.
#[derive(Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value: a URL with a password.
    pub value: String,
    /// Whose URL.
    pub addon: Name,
}
