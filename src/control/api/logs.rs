//! What an addon's engine writes, as a stream of text.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use bollard::query_parameters::{InspectContainerOptions, LogsOptionsBuilder};
use futures_util::StreamExt;
use serde::Deserialize;
use utoipa::IntoParams;

use super::{Api, ApiError};

/// What can be asked of `GET /v1/addons/{name}/logs`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct LogsQuery {
    /// Whether to go on with what is written from now on.
    #[serde(default)]
    follow: bool,
    /// How many of the lines written so far to begin with; none for all.
    tail: Option<u32>,
}

/// What the engine of an addon writes.
#[utoipa::path(get, path = "/v1/addons/{name}/logs", tag = "addons", params(LogsQuery), responses((status = 200, body = String, content_type = "text/plain")))]
pub async fn logs(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    query: Result<Query<LogsQuery>, axum::extract::rejection::QueryRejection>,
) -> Result<Response, ApiError> {
    let Query(query) = query
        .map_err(|error| ApiError::malformed(error.body_text(), "send for example ?follow=true&tail=100"))?;
    let addon = api.addon(&name)?;
    api.contained(&addon)?;
    let no_container = || {
        let hint = format!("see `pierhead info {name}`");
        ApiError::conflict("not_ready", format!("{name} has no container now"), hint)
    };
    let container = addon.container_id.ok_or_else(no_container)?;
    let docker = api.engine.connected().await.map_err(|error| {
        ApiError::unavailable("docker_down", error.to_string(), "start Docker, then try again")
    })?;
    // Once the answer has begun, an error could only break it off.
    if docker.inspect_container(&container, None::<InspectContainerOptions>).await.is_err() {
        return Err(no_container());
    }
    let tail = query.tail.map_or("all".to_owned(), |lines| lines.to_string());
    let options =
        LogsOptionsBuilder::default().stdout(true).stderr(true).follow(query.follow).tail(&tail).build();
    let stream = docker.logs(&container, Some(options)).map(|chunk| chunk.map(|output| output.into_bytes()));
    Ok(([(header::CONTENT_TYPE, "text/plain; charset=utf-8")], Body::from_stream(stream)).into_response())
}
