//! What is not about one addon: routes, why a login goes where it goes, the state of the host, metrics.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::header;
use axum::response::IntoResponse;
use serde::Deserialize;

use super::types::{Connections, Doctor, Explanation, RouteList, RouteView, Status};
use super::{Api, ApiError};
use crate::addons::kinds::Kind;
use crate::control::{doctor, edge_status, explain, metrics};
use crate::routes::{Route, RouteState, Upstream};

/// `GET /v1/routes`
pub async fn routes(State(api): State<Arc<Api>>) -> Json<RouteList> {
    let routes = api.table.snapshot().iter().map(|route| view(route)).collect();
    Json(RouteList { routes, stale_since: api.table.stale_since().map(time) })
}

/// What is asked of `GET /v1/explain`.
#[derive(Debug, Deserialize)]
pub struct ExplainQuery {
    login: String,
    #[serde(default)]
    protocol: Option<String>,
}

/// `GET /v1/explain?login=blog&protocol=postgres`
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

/// `GET /v1/doctor`
pub async fn doctor(State(api): State<Arc<Api>>) -> Json<Doctor> {
    Json(Doctor { checks: doctor::serving(&api).await })
}

/// `GET /v1/status`
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

/// `GET /metrics`
pub async fn metrics(State(api): State<Arc<Api>>) -> Result<impl IntoResponse, ApiError> {
    let page = metrics::page(&*api.edge, &api.table, api.watch.counters(), &api.store.addons()?);
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
