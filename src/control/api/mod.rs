//! The HTTP API on the control socket. In come requests of the CLI and of other programs; out go JSON answers.
//!
//! A request that wants something of an addon is answered as soon as the store has it; what is done about it is the
//! reconciler's, and shows in later answers. Nothing here waits for Docker but `logs`, `doctor` and the check
//! that a new name is free.

mod addons;
mod apps;
pub mod audit;
mod data;
mod error;
mod events;
mod host;
mod logs;
pub mod types;
mod upgrades;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{Method, StatusCode};
use axum::middleware;
use axum::routing::{delete, get, post};

use crate::addons::archives::Archives;
use crate::addons::provision::Engine;
use crate::addons::provision::Provisioner;
use crate::addons::store::Store;
use crate::config::Config;
use crate::control::edge_status::EdgeStatus;
use crate::control::reconciler::Reconciler;
use crate::control::upgrader::Upgrader;
use crate::dialect::Name;
use crate::docker::Watch;
use crate::routes::Table;
pub use error::ApiError;
pub use host::upstream_text;

/// The longest request body, in bytes.
pub const BODY_MAX: usize = 64 * 1024;

/// What the handlers work with.
pub struct Api {
    /// The configuration.
    pub config: Arc<Config>,
    /// The rows of all addons.
    pub store: Arc<Store>,
    /// Makes Docker match the rows.
    pub reconciler: Arc<Reconciler>,
    /// The Docker objects of addons, and the passwords.
    pub provisioner: Arc<Provisioner>,
    /// Exports and imports.
    pub archives: Arc<Archives>,
    /// Carries upgrades out.
    pub upgrader: Arc<Upgrader>,
    /// The Docker engine.
    pub engine: Arc<Engine>,
    /// Keeps the routes true to what runs there.
    pub watch: Arc<Watch>,
    /// The routes of the edge.
    pub table: Arc<Table>,
    /// The edge.
    pub edge: Arc<dyn EdgeStatus>,
    /// When this Pierhead started.
    pub started_at: jiff::Timestamp,
}

/// Everything that the control socket answers.
pub fn router(api: Arc<Api>) -> Router {
    Router::new()
        .route("/v1/addons", get(addons::list).post(addons::create))
        .route("/v1/addons/{name}", get(addons::info).patch(addons::set).delete(addons::destroy))
        .route("/v1/addons/{name}/start", post(addons::start))
        .route("/v1/addons/{name}/stop", post(addons::stop))
        .route("/v1/addons/{name}/restart", post(addons::restart))
        .route("/v1/addons/{name}/url", get(addons::url))
        .route("/v1/addons/{name}/export", get(data::export))
        .route("/v1/addons/{name}/import", post(data::import))
        .route("/v1/addons/{name}/logs", get(logs::logs))
        .route(
            "/v1/addons/{name}/upgrade",
            get(upgrades::info).post(upgrades::begin).delete(upgrades::cancel),
        )
        .route("/v1/addons/{name}/upgrade/finish", post(upgrades::finish))
        .route("/v1/addons/{name}/upgrade/rollback", post(upgrades::roll_back))
        .route("/v1/apps", get(apps::list))
        .route("/v1/apps/{app}", get(apps::info))
        .route("/v1/apps/{app}/attachments", post(apps::attach))
        .route("/v1/apps/{app}/attachments/{variable}", delete(apps::detach))
        .route("/v1/apps/{app}/promote", post(apps::promote))
        .route("/v1/apps/{app}/env", get(apps::env))
        .route("/v1/audit", get(audit::audit))
        .route("/v1/events", get(events::events))
        .route("/v1/routes", get(host::routes))
        .route("/v1/explain", get(host::explain))
        .route("/v1/doctor", get(host::doctor))
        .route("/v1/status", get(host::status))
        .route("/metrics", get(host::metrics))
        .fallback(no_path)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), audit::record))
        .with_state(api)
}

/// What the TCP address for Prometheus answers: nothing else.
pub fn metrics_router(api: Arc<Api>) -> Router {
    Router::new().route("/metrics", get(host::metrics)).fallback(no_path).with_state(api)
}

async fn no_path(request: Request) -> ApiError {
    ApiError::no_path(request.uri().path())
}

async fn no_method(method: Method, request: Request) -> ApiError {
    ApiError::method(method.as_str(), request.uri().path())
}

/// The name of an addon that a caller sent.
fn parse_name(text: &str) -> Result<Name, ApiError> {
    parse_named("addon", text)
}

/// A name that a caller sent, of an addon or an app.
fn parse_named(what: &str, text: &str) -> Result<Name, ApiError> {
    Name::parse(text).map_err(|error| {
        let hint =
            "send 1 to 32 characters: a-z first, then a-z, 0-9 and '-', such as \"blog\" or \"shop-2\"";
        ApiError::invalid("bad_name", format!("{text:?} cannot be the name of an {what}: {error}"), hint)
    })
}

/// A body that has to be JSON of this shape. The error says what to send.
fn parse_body<T: serde::de::DeserializeOwned>(
    body: Result<Bytes, BytesRejection>,
    what_to_send: &str,
) -> Result<T, ApiError> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large(BODY_MAX),
        _ => ApiError::malformed("the request's body did not arrive whole", what_to_send),
    })?;
    serde_json::from_slice(&body)
        .map_err(|error| ApiError::malformed(format!("the body cannot be read: {error}"), what_to_send))
}

/// As the API writes times.
fn rfc3339(ms: crate::addons::UnixMs) -> String {
    jiff::Timestamp::from_millisecond(ms).unwrap_or_default().to_string()
}
