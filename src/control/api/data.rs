//! The data of addons: export and import, as streams.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use tokio::task::JoinError;

use super::types::ImportView;
use super::{Api, ApiError};
use crate::addons::archives::ArchiveError;
use crate::addons::store::operation;

/// The engine's own archive. If the answer breaks off, the archive is not whole.
#[utoipa::path(get, path = "/v1/addons/{name}/export", tag = "data", responses((status = 200, body = [u8], content_type = "application/octet-stream")))]
pub async fn export(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Result<Response, ApiError> {
    let addon = api.addon(&name)?;
    let kind = api.contained(&addon)?;
    let export = api.archives.export(&addon, kind).await?;
    api.store.note(&addon, "export begun".into())?;
    let disposition = format!("attachment; filename=\"{name}.{}\"", export.archive.extension);
    let body = stream::unfold(export.chunks, |mut chunks| async { Some((chunks.recv().await?, chunks)) });
    let headers = [
        (header::CONTENT_TYPE, "application/octet-stream".to_owned()),
        (header::CONTENT_DISPOSITION, disposition),
    ];
    Ok((headers, Body::from_stream(body)).into_response())
}

/// Replace the data by those of an archive, the body. Answered when it is done; who does not wait finds how it
/// ended among the events.
#[utoipa::path(post, path = "/v1/addons/{name}/import", tag = "data", request_body(content = [u8], content_type = "application/octet-stream"), responses((status = 200, body = ImportView)))]
pub async fn import(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    body: Body,
) -> Result<Json<ImportView>, ApiError> {
    let addon = api.addon(&name)?;
    let kind = api.contained(&addon)?;
    let received = api.archives.receive(&addon, kind, body.into_data_stream()).await?;
    // Whoever has asked may go away: what has begun comes to its end.
    let work = tokio::spawn(operation::carried(async move {
        let imported = api.archives.import(received).await;
        let note = match &imported {
            Ok(imported) => format!("imported {} bytes, SHA-256 {}", imported.bytes, imported.sha256),
            Err(error) => format!("import failed: {error}"),
        };
        if let Err(error) = api.store.note(&addon, note) {
            tracing::error!(addon = %addon.name, %error, "the store failed");
        }
        imported
    }));
    let ended = |error: JoinError| ArchiveError::Failed(format!("the import broke off: {error}"));
    let imported = work.await.map_err(ended)??;
    Ok(Json(ImportView { format: imported.format.into(), bytes: imported.bytes, sha256: imported.sha256 }))
}

impl From<ArchiveError> for ApiError {
    fn from(error: ArchiveError) -> Self {
        let message = error.to_string();
        match error {
            ArchiveError::NotSupported(_) => ApiError::conflict("not_supported", message, ""),
            ArchiveError::NotReady(name, _) => {
                ApiError::conflict("not_ready", message, format!("`pierhead start {name}`, then try again"))
            }
            ArchiveError::Busy(_) => ApiError::conflict("busy", message, "try again when it has ended"),
            ArchiveError::Bad(_) => ApiError::invalid(
                "bad_archive",
                message,
                "send what `pierhead export` has written for such an addon",
            ),
            ArchiveError::TooLarge(_) => {
                ApiError::invalid("too_large", message, "raise import_max in [control] of the configuration")
            }
            ArchiveError::BrokeOff(_) => ApiError::malformed(message, "send it again"),
            ArchiveError::Failed(_) => {
                ApiError::invalid("archive_failed", message, "the engine's words say why")
            }
            ArchiveError::Spool(_) => {
                ApiError::unavailable("disk_failed", message, "see whether the disk of data_dir is full")
            }
            ArchiveError::Store(error) => error.into(),
            ArchiveError::Docker(_) => {
                ApiError::unavailable("docker_down", message, "start Docker, then try again")
            }
        }
    }
}
