//! Operations: what has become of a request that was to change something.

use std::sync::Arc;

use axum::extract::{Path, State};
use axum::{Extension, Json};

use super::caller::Caller;
use super::types::OperationView;
use super::{Api, ApiError, audit, events};
use crate::addons::store::{AuditEntry, Event, StoreError};
use crate::control::access::Deed;

/// What has become of an operation.
#[utoipa::path(get, path = "/v1/operations/{id}", tag = "host", responses((status = 200, body = OperationView)))]
pub async fn info(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(id): Path<String>,
) -> Result<Json<OperationView>, ApiError> {
    let request = api.store.audited_operation(&id)?;
    let events = api.store.events_of_operation(&id)?;
    if request.is_none() && events.is_empty() {
        return Err(ApiError::no_operation(&id));
    }
    if caller.own_app().is_some() {
        // Of a token's own operations, and of those on its app's addons.
        let own = request
            .as_ref()
            .is_some_and(|entry| entry.token == caller.token.as_ref().map(|of| of.to_string()));
        let first = events.first().filter(|_| !own);
        let checked = first.map(|event| caller.check_addon(&api, Deed::Look, &event.addon));
        checked.unwrap_or(if own { Ok(()) } else { Err(ApiError::no_operation(&id)) })?;
    }
    Ok(Json(OperationView {
        state: api.state_of(request.as_ref(), events.last())?.to_owned(),
        id,
        request: request.map(audit::view),
        events: events.iter().map(events::view).collect(),
    }))
}

impl Api {
    /// `last` is the latest event of the operation.
    fn state_of(
        &self,
        request: Option<&AuditEntry>,
        last: Option<&Event>,
    ) -> Result<&'static str, StoreError> {
        if request.is_some_and(|entry| entry.status >= 400) {
            return Ok("refused");
        }
        let Some(last) = last else { return Ok("done") };
        let latest = self.store.events(Some(&last.addon), 0, 1)?.pop();
        let goes_on = latest.is_some_and(|event| event.id == last.id);
        let addon = self.store.addon(&last.addon)?.filter(|_| goes_on);
        // An upgrade goes on behind an addon that is ready all the while.
        if goes_on && self.store.upgrade(&last.addon)?.is_some_and(|upgrade| !upgrade.stage.is_settled()) {
            return Ok("running");
        }
        Ok(match (last.to.as_str(), addon) {
            ("deprovisioned", _) => "done",
            ("error", _) => "failed",
            (_, Some(addon)) if addon.life.is_settled() => "done",
            (_, Some(_)) => "running",
            ("ready" | "stopped", None) if !last.note.starts_with("wanted ") => "done",
            (_, None) => "superseded",
        })
    }
}
