//! What is not about one addon: routes, why a login goes where it goes, the state of the host, metrics.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::IntoResponse;
use serde::Deserialize;
use utoipa::IntoParams;

use super::types::{Connections, Doctor, Explanation, FixRequest, FixView, RouteList, RouteView, Status};
use super::{Api, ApiError, parse_body, parse_name};
use crate::addons::kinds::Kind;
use crate::control::orphans::OrphanError;
use crate::control::{doctor, edge_status, explain, metrics};
use crate::routes::{Route, RouteState, Upstream};

/// The routes of the edge.
#[utoipa::path(get, path = "/v1/routes", tag = "host", responses((status = 200, body = RouteList)))]
pub async fn routes(State(api): State<Arc<Api>>) -> Json<RouteList> {
    let routes = api.table.snapshot().iter().map(|route| view(route)).collect();
    Json(RouteList { routes, stale_since: api.table.stale_since().map(time) })
}

/// What is asked of `GET /v1/explain`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct ExplainQuery {
    login: String,
    #[serde(default)]
    protocol: Option<String>,
}

/// Why a login goes where it goes.
#[utoipa::path(get, path = "/v1/explain", tag = "host", params(ExplainQuery), responses((status = 200, body = Explanation)))]
pub async fn explain(
    State(api): State<Arc<Api>>,
    query: Result<Query<ExplainQuery>, QueryRejection>,
) -> Result<Json<Explanation>, ApiError> {
    let hint = "send for example ?login=blog&protocol=postgres";
    let Query(query) = query.map_err(|error| ApiError::malformed(error.body_text(), hint))?;
    let protocol = match query.protocol.as_deref() {
        None => explain::likely_protocol(&api, &query.login),
        Some(word) => {
            word.parse().map_err(|error: String| ApiError::invalid("unknown_protocol", error, hint))?
        }
    };
    Ok(Json(explain::explain(&api, &query.login, protocol)))
}

/// Whether this host has what Pierhead needs.
#[utoipa::path(get, path = "/v1/doctor", tag = "host", responses((status = 200, body = Doctor)))]
pub async fn doctor(State(api): State<Arc<Api>>) -> Json<Doctor> {
    let mut checks = doctor::serving(&api).await;
    let orphans = api.orphans().await;
    checks.push(doctor::orphans(&orphans));
    Json(Doctor { checks, orphans: orphans.unwrap_or_default() })
}

/// Remove what is left of addons that there are not, data included.
#[utoipa::path(
    post, path = "/v1/doctor/fix", tag = "host",
    request_body = FixRequest, responses((status = 200, body = FixView))
)]
pub async fn fix(
    State(api): State<Arc<Api>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json<FixView>, ApiError> {
    let request: FixRequest =
        parse_body(body, r#"send JSON such as {"names": ["blog"]}, after GET /v1/doctor"#)?;
    let names = request.names.iter().map(|name| parse_name(name)).collect::<Result<Vec<_>, _>>()?;
    let mut taken_on = vec![];
    for name in names {
        if api.destroy_orphans(&name).await? {
            taken_on.push(name);
        }
    }
    if api.store.addons()?.iter().all(|addon| addon.life.is_settled()) {
        api.provisioner.remove_unused_networks().await;
    }
    Ok(Json(FixView { taken_on }))
}

impl From<OrphanError> for ApiError {
    fn from(error: OrphanError) -> Self {
        match error {
            OrphanError::Store(error) => error.into(),
            OrphanError::Look(_) => {
                let hint = "start Docker, then send the request again";
                ApiError::unavailable("docker_down", error.to_string(), hint)
            }
        }
    }
}

/// How this Pierhead is.
#[utoipa::path(get, path = "/v1/status", tag = "host", responses((status = 200, body = Status)))]
pub async fn status(State(api): State<Arc<Api>>) -> Result<Json<Status>, ApiError> {
    let mut addons = BTreeMap::new();
    for addon in api.store.addons()? {
        *addons.entry(addon.life.state.as_str().to_owned()).or_default() += 1;
    }
    let listeners = api.edge.listeners();
    Ok(Json(Status {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        pid: std::process::id(),
        started_at: api.started_at.to_string(),
        draining: api.edge.is_draining(),
        listeners: listeners.iter().map(|of| format!("{} {}", of.protocol, of.address)).collect(),
        cpus: api.edge.cores().iter().map(|core| core.cpu).collect(),
        routes: api.table.len(),
        stale_since: api.table.stale_since().map(time),
        addons,
    }))
}

/// The page for Prometheus.
#[utoipa::path(get, path = "/metrics", tag = "host", responses((status = 200, body = String, content_type = "text/plain")))]
pub async fn metrics(State(api): State<Arc<Api>>) -> Result<impl IntoResponse, ApiError> {
    let counts = api.backups.counts();
    let backups = metrics::BackupsSeen { counts, rows: &api.store.backups(None)? };
    let page = metrics::page(
        &*api.edge,
        &api.table,
        api.watch.counters(),
        &api.store.addons()?,
        &api.reconciler.board,
        &backups,
    );
    Ok(([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page))
}

impl Api {
    /// Where clients of this host reach the edge for a kind.
    pub(super) fn login_address(&self, kind: &dyn Kind) -> Option<SocketAddr> {
        edge_status::login_address(&*self.edge, &self.config, kind)
    }
}

/// Where a backend is, in words.
pub fn upstream_text(upstream: &Upstream) -> String {
    match upstream {
        Upstream::Tcp(address) => address.to_string(),
        Upstream::Namespace(address, _) => format!("{address} in its namespace"),
    }
}

fn view(route: &Route) -> RouteView {
    let (state, address) = match &route.state {
        RouteState::Ready(upstream) => ("ready", Some(upstream_text(upstream))),
        RouteState::Starting => ("starting", None),
        RouteState::Stopped => ("stopped", None),
        RouteState::Unreachable => ("unreachable", None),
        RouteState::Held => ("held", None),
    };
    RouteView {
        protocol: route.protocol,
        name: route.name.clone(),
        state: state.to_owned(),
        address,
        container: route.container.to_string(),
        generation: route.generation,
        connections: Connections { active: route.usage.active(), max: route.connections_max },
    }
}

fn time(at: SystemTime) -> String {
    jiff::Timestamp::try_from(at).unwrap_or_default().to_string()
}
