//! What has happened to addons, and what happens from now on.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::HeaderMap;
use axum::response::sse::{Event as Message, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use futures_util::{StreamExt, stream};
use serde::Deserialize;
use utoipa::IntoParams;

use super::caller::Caller;
use super::types::{EventList, EventView};
use super::{Api, ApiError, parse_name, rfc3339};
use crate::addons::store::{Event, StoreError};
use crate::control::access::Deed;
use crate::dialect::Name;

/// What can be asked of `GET /v1/events`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct EventsQuery {
    /// Whose; none for everybody's.
    addon: Option<String>,
    /// Only events behind the one with this number.
    #[serde(default)]
    after: i64,
    /// At most so many of those that have happened already, the latest.
    tail: Option<u32>,
    /// Whether to go on with what happens from now on.
    #[serde(default)]
    follow: bool,
}

/// What has happened. With `follow` a stream of server-sent events, each with its number as `id`: a client that comes
/// back with `Last-Event-ID` misses none that is still kept.
#[utoipa::path(get, path = "/v1/events", tag = "host", params(EventsQuery), responses((status = 200, content((EventList = "application/json"), (EventView = "text/event-stream")))))]
pub async fn events(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
    query: Result<Query<EventsQuery>, QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query.map_err(|error| ApiError::malformed(error.body_text(), WHAT_TO_SEND))?;
    let addon = query.addon.as_deref().map(parse_name).transpose()?;
    match &addon {
        Some(name) => caller.check_addon(&api, Deed::Look, name)?,
        None if caller.own_app().is_some() => return Err(ApiError::forbidden(ONE_ADDON.into())),
        None => {}
    }
    let last_seen = headers.get("last-event-id").and_then(|id| id.to_str().ok()?.parse().ok());
    let after = last_seen.unwrap_or(query.after);
    let commits = api.store.commits();
    let tail = query.tail.unwrap_or(TAIL).min(TAIL_MAX);
    // One at least: it says where what comes next begins.
    let mut past = api.store.events(addon.as_ref(), after, tail.max(1))?;
    if let Some(name) = &addon
        && past.is_empty()
        && after == 0
        && api.store.addon(name)?.is_none()
    {
        return Err(ApiError::no_addon(name));
    }
    let last = past.last().map_or(after, |event| event.id);
    past.truncate(tail as usize);
    if !query.follow {
        return Ok(Json(EventList { events: past.iter().map(view).collect() }).into_response());
    }
    let later = stream::unfold(Follow { api, addon, after: last, commits }, |mut follow| async {
        let events = follow.next().await?;
        Some((stream::iter(events), follow))
    });
    let messages =
        stream::iter(past).chain(later.flatten()).map(|event| Ok::<_, Infallible>(message(&event)));
    Ok(Sse::new(messages).keep_alive(KeepAlive::new().interval(KEEP_ALIVE)).into_response())
}

/// Somebody who waits for what comes next.
struct Follow {
    api: Arc<Api>,
    addon: Option<Name>,
    after: i64,
    commits: tokio::sync::watch::Receiver<u64>,
}

impl Follow {
    /// The events that have come since the last call; waits for the first. `None`: there will be no more.
    async fn next(&mut self) -> Option<Vec<Event>> {
        loop {
            let events = self.read().inspect_err(|error| tracing::error!(%error, "the store failed")).ok()?;
            if let Some(last) = events.last() {
                self.after = last.id;
                return Some(events);
            }
            self.commits.changed().await.ok()?;
        }
    }

    fn read(&mut self) -> Result<Vec<Event>, StoreError> {
        self.commits.mark_unchanged();
        self.api.store.events(self.addon.as_ref(), self.after, TAIL_MAX)
    }
}

fn message(event: &Event) -> Message {
    let message = Message::default().id(event.id.to_string()).event("state");
    // A view is texts and a number: it always becomes JSON.
    message.json_data(view(event)).unwrap_or_default()
}

pub(super) fn view(event: &Event) -> EventView {
    EventView {
        id: event.id,
        at: rfc3339(event.at),
        addon: event.addon.clone(),
        from: event.from.clone(),
        to: event.to.clone(),
        note: event.note.clone(),
        operation: event.operation.clone(),
    }
}

const WHAT_TO_SEND: &str = "send for example ?addon=blog&tail=100&follow=true";
const ONE_ADDON: &str = "this token is for one app: say which addon's events, as in ?addon=blog";
const TAIL: u32 = 100;
const TAIL_MAX: u32 = 10_000;
const KEEP_ALIVE: Duration = Duration::from_secs(15);
