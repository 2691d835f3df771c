//! The audit log: every request that changes something or is told a secret, with who has sent it.

use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::Deserialize;
use utoipa::IntoParams;

use super::types::{AuditList, AuditView};
use super::{Api, ApiError, rfc3339};
use crate::addons::store::AuditEntry;

/// What can be asked of `GET /v1/audit`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct AuditQuery {
    /// How many of the latest.
    tail: Option<u32>,
}

/// Who has asked for what.
#[utoipa::path(get, path = "/v1/audit", tag = "host", params(AuditQuery), responses((status = 200, body = AuditList)))]
pub async fn audit(
    State(api): State<Arc<Api>>,
    query: Result<Query<AuditQuery>, QueryRejection>,
) -> Result<Json<AuditList>, ApiError> {
    let Query(query) = query
        .map_err(|error| ApiError::malformed(error.body_text(), "send for example ?tail=100, or nothing"))?;
    let entries = api.store.audited(query.tail.unwrap_or(TAIL))?;
    Ok(Json(AuditList { requests: entries.into_iter().map(view).collect() }))
}

/// An entry as the API shows it.
pub fn view(entry: AuditEntry) -> AuditView {
    AuditView {
        at: rfc3339(entry.at),
        uid: entry.uid,
        pid: entry.pid,
        token: entry.token,
        address: entry.address,
        operation: entry.operation,
        method: entry.method,
        path: entry.path,
        status: entry.status,
    }
}

const TAIL: u32 = 100;
