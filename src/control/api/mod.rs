//! The HTTP API on the control socket. In come requests of the CLI and of other programs; out go JSON answers.
//!
//! A request that wants something of an addon is answered as soon as the store has it; what is done about it is the
//! reconciler's, and shows in later answers. Nothing here waits for Docker but `logs`, `doctor` and the check
//! that a new name is free.

mod addons;
mod apps;
mod audit;
mod backups;
mod binding_errors;
mod bindings;
pub mod caller;
mod create;
mod data;
mod entrance;
mod error;
mod events;
mod host;
pub mod idempotency;
mod logs;
mod openapi;
mod operations;
mod plans;
mod settings;
mod tokens;
pub mod types;
mod upgrades;
mod variables;

use std::sync::Arc;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{DefaultBodyLimit, Request};
use axum::http::{Method, StatusCode, header};
use axum::middleware;
use axum::routing::get;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::addons::archives::Archives;
use crate::addons::providers::Providers;
use crate::addons::provision::Engine;
use crate::addons::provision::Provisioner;
use crate::addons::store::Store;
use crate::config::Config;
use crate::control::backends::Backends;
use crate::control::backups::Backups;
use crate::control::credentials::Credentials;
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
    /// Who makes addons.
    pub providers: Arc<Providers>,
    /// Where engines are that are in no container.
    pub(in crate::control) backends: Arc<Backends>,
    /// The Docker objects of addons, and the passwords.
    pub provisioner: Arc<Provisioner>,
    /// Exports and imports.
    pub archives: Arc<Archives>,
    /// Backups, restores and clones.
    pub(in crate::control) backups: Arc<Backups>,
    /// Carries upgrades out.
    pub(in crate::control) upgrader: Arc<Upgrader>,
    /// Carries out what the rows of logins say.
    pub(in crate::control) credentials: Arc<Credentials>,
    /// The Docker engine.
    pub engine: Arc<Engine>,
    /// Keeps the routes true to what runs there.
    pub watch: Arc<Watch>,
    /// The routes of the edge.
    pub table: Arc<Table>,
    /// The edge.
    pub edge: Arc<dyn EdgeStatus>,
    /// Idempotency keys in use.
    pub keys: idempotency::InProgress,
    /// When this Pierhead started.
    pub started_at: jiff::Timestamp,
}

/// Everything that the control socket answers.
pub fn router(api: Arc<Api>) -> Router {
    let (router, mut document) = routes().split_for_parts();
    openapi::finish(&mut document);
    // A document is texts and lists: it always becomes JSON.
    let document = Bytes::from(serde_json::to_vec(&document).unwrap_or_default());
    let json = [(header::CONTENT_TYPE, "application/json")];
    router
        .route("/v1/openapi.json", get(move || async move { (json, document) }))
        .fallback(no_path)
        .method_not_allowed_fallback(no_method)
        .layer(DefaultBodyLimit::max(BODY_MAX))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), idempotency::once))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), entrance::enter))
        .with_state(api)
}

/// The paths, each with its place in the OpenAPI document.
fn routes() -> OpenApiRouter<Arc<Api>> {
    OpenApiRouter::with_openapi(openapi::frame())
        .routes(routes!(addons::list, create::create))
        .routes(routes!(addons::info, addons::set, addons::destroy))
        .routes(routes!(settings::settings, settings::change_settings))
        .routes(routes!(addons::start))
        .routes(routes!(addons::stop))
        .routes(routes!(addons::restart))
        .routes(routes!(addons::url))
        .routes(routes!(variables::env))
        .routes(routes!(variables::new_secret))
        .routes(routes!(data::export))
        .routes(routes!(data::import))
        .routes(routes!(backups::of_addon, backups::begin))
        .routes(routes!(backups::info, backups::remove))
        .routes(routes!(backups::list))
        .routes(routes!(backups::adopt))
        .routes(routes!(backups::schedule, backups::set_schedule))
        .routes(routes!(backups::restore))
        .routes(routes!(backups::clone_addon))
        .routes(routes!(logs::logs))
        .routes(routes!(upgrades::info, upgrades::begin, upgrades::cancel))
        .routes(routes!(upgrades::finish))
        .routes(routes!(upgrades::roll_back))
        .routes(routes!(bindings::list, bindings::bind))
        .routes(routes!(bindings::unbind))
        .routes(routes!(bindings::url))
        .routes(routes!(bindings::rotate))
        .routes(routes!(bindings::all))
        .routes(routes!(apps::list))
        .routes(routes!(apps::info))
        .routes(routes!(apps::attach))
        .routes(routes!(apps::detach))
        .routes(routes!(apps::promote))
        .routes(routes!(apps::env))
        .routes(routes!(tokens::list, tokens::create))
        .routes(routes!(tokens::revoke))
        .routes(routes!(operations::info))
        .routes(routes!(audit::audit))
        .routes(routes!(events::events))
        .routes(routes!(host::routes))
        .routes(routes!(host::explain))
        .routes(routes!(host::doctor))
        .routes(routes!(host::fix))
        .routes(routes!(host::status))
        .routes(routes!(host::metrics))
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
