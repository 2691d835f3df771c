//! Backups: begin, look at, restore, remove; and clones.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};
use axum::{Extension, Json};
use serde::Deserialize;
use serde::de::value::{Error as ValueError, StrDeserializer};

use super::caller::Caller;
use super::types::{
    AdoptRequest, BackupList, BackupRequest, BackupView, CloneRequest, ImportView, RestoreRequest,
    ScheduleRequest, ScheduleView,
};
use super::{Api, ApiError, parse_body, parse_name, rfc3339};
use crate::addons::archives::Imported;
use crate::addons::backups::Backup;
use crate::addons::store::{StoreError, operation};
use crate::config::Millis;
use crate::control::backups::{Asked, BackupError};
use crate::dialect::Name;

type Answer<T> = Result<Json<T>, ApiError>;

/// Begin a backup of an addon. It goes on after the answer.
#[utoipa::path(post, path = "/v1/addons/{name}/backups", tag = "backups", request_body = BackupRequest, responses((status = 200, body = BackupView)))]
pub async fn begin(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<BackupView> {
    let BackupRequest { target, keep } = parse_body(body, r#"send JSON such as {} or {"target": "local"}"#)?;
    if caller.own_app().is_some() && (target.is_some() || keep.is_some()) {
        return Err(only_admin("say where backups go and how many stay"));
    }
    if keep == Some(0) {
        return Err(ApiError::invalid(
            "bad_keep",
            "the latest good backup stays in any case",
            "send 1 or more",
        ));
    }
    let addon = api.addon(&name)?;
    api.contained(&addon)?;
    let backup = api.backups.begin(&addon, &Asked { target, keep, scheduled: false })?;
    Ok(Json(api.backup_view(backup)))
}

/// The backups of an addon, and of earlier ones of that name.
#[utoipa::path(get, path = "/v1/addons/{name}/backups", tag = "backups", responses((status = 200, body = BackupList)))]
pub async fn of_addon(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
) -> Answer<BackupList> {
    let name = parse_name(&name)?;
    let backups = api.store.backups(Some(&name))?;
    if backups.is_empty() {
        api.addon(name.as_str())?;
    }
    let mut shown = vec![];
    for backup in backups {
        if is_own(&api, &caller, &backup)? {
            shown.push(api.backup_view(backup));
        }
    }
    Ok(Json(BackupList { backups: shown }))
}

/// Every backup.
#[utoipa::path(get, path = "/v1/backups", tag = "backups", responses((status = 200, body = BackupList)))]
pub async fn list(State(api): State<Arc<Api>>) -> Answer<BackupList> {
    let backups = api.store.backups(None)?.into_iter().map(|backup| api.backup_view(backup)).collect();
    Ok(Json(BackupList { backups }))
}

/// Take on the backups that are at a target and that this Pierhead does not know.
#[utoipa::path(post, path = "/v1/backups/adopt", tag = "backups", request_body = AdoptRequest, responses((status = 200, body = BackupList)))]
pub async fn adopt(State(api): State<Arc<Api>>, body: Result<Bytes, BytesRejection>) -> Answer<BackupList> {
    let request: AdoptRequest = parse_body(body, r#"send JSON such as {"target": "local"}"#)?;
    let taken = api.backups.adopt(&request.target).await?;
    Ok(Json(BackupList { backups: taken.into_iter().map(|backup| api.backup_view(backup)).collect() }))
}

/// One backup.
#[utoipa::path(get, path = "/v1/addons/{name}/backups/{id}", tag = "backups", responses((status = 200, body = BackupView)))]
pub async fn info(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path((name, id)): Path<(String, String)>,
) -> Answer<BackupView> {
    Ok(Json(api.backup_view(api.backup_of(&caller, &name, &id)?)))
}

/// Remove a backup, and what is at the target.
#[utoipa::path(delete, path = "/v1/addons/{name}/backups/{id}", tag = "backups", responses((status = 200, body = BackupView)))]
pub async fn remove(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path((name, id)): Path<(String, String)>,
) -> Answer<BackupView> {
    let backup = api.backup_of(&caller, &name, &id)?;
    api.backups.forget(&id).await?;
    Ok(Json(api.backup_view(backup)))
}

/// Replace the data of an addon by those of a backup, or make a new addon of it. Answered when it is done; who does not wait
/// finds how it ended among the events.
#[utoipa::path(post, path = "/v1/addons/{name}/restore", tag = "backups", request_body = RestoreRequest, responses((status = 200, body = ImportView)))]
pub async fn restore(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<ImportView> {
    let request: RestoreRequest = parse_body(body, r#"send JSON such as {"backup": "ID"}"#)?;
    let backup = api.backups.good(&request.backup)?;
    let backups = Arc::clone(&api.backups);
    if request.create {
        if caller.own_app().is_some() {
            return Err(only_admin("make an addon of a backup"));
        }
        let name = api.new_name(&name, backup.kind.as_str()).await?;
        return to_the_end(async move { backups.restore_as_new(&backup, &name).await }).await;
    }
    let addon = api.addon(&name)?;
    api.contained(&addon)?;
    if caller.own_app().is_some() && (backup.addon != addon.name || !is_own(&api, &caller, &backup)?) {
        return Err(only_admin("restore a backup of another addon"));
    }
    to_the_end(async move { backups.restore(&backup, &addon).await }).await
}

/// Make a new addon of the same kind, plan and image with the data of another. Answered when it is done.
#[utoipa::path(post, path = "/v1/addons/{name}/clone", tag = "backups", request_body = CloneRequest, responses((status = 200, body = ImportView)))]
pub async fn clone_addon(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<ImportView> {
    let request: CloneRequest = parse_body(body, r#"send JSON such as {"name": "blog-test"}"#)?;
    if caller.own_app().is_some() {
        return Err(only_admin("clone an addon"));
    }
    let addon = api.addon(&name)?;
    api.contained(&addon)?;
    let new = api.new_name(&request.name, addon.kind.as_str()).await?;
    let backups = Arc::clone(&api.backups);
    to_the_end(async move { backups.clone_addon(&addon, &new).await }).await
}

/// How often an addon is backed up without anybody asking.
#[utoipa::path(get, path = "/v1/addons/{name}/schedule", tag = "backups", responses((status = 200, body = ScheduleView)))]
pub async fn schedule(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer<ScheduleView> {
    let addon = api.addon(&name)?;
    let own = api.store.schedule(&addon.name)?.is_some();
    let every_s = api.backups.every_ms(&addon.name)?.map(|every_ms| every_ms / 1000);
    Ok(Json(ScheduleView { every_s, own }))
}

/// Change how often an addon is backed up without anybody asking.
#[utoipa::path(put, path = "/v1/addons/{name}/schedule", tag = "backups", request_body = ScheduleRequest, responses((status = 200, body = ScheduleView)))]
pub async fn set_schedule(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<ScheduleView> {
    let ScheduleRequest { every } = parse_body(body, r#"send JSON such as {"every": "12h"}"#)?;
    let addon = api.addon(&name)?;
    let kind = api.contained(&addon)?;
    if kind.archive(&addon.name).is_none() {
        return Err(BackupError::NotSupported(kind.name()).into());
    }
    let every_ms = match every.as_str() {
        "default" => None,
        "off" => Some(0),
        text => {
            let every = Millis::deserialize(StrDeserializer::<ValueError>::new(text)).ok();
            let every_ms = every.and_then(|every| i64::try_from(every.get().as_millis()).ok());
            let wrong = || {
                let message = format!("{text:?} is no time between two backups");
                ApiError::invalid("bad_schedule", message, "send 12h or 7d, 1s at least; off; or default")
            };
            Some(every_ms.filter(|every_ms| *every_ms >= 1000).ok_or_else(wrong)?)
        }
    };
    api.store.keep_schedule(&addon.name, every_ms)?;
    api.store.note(&addon, format!("backups every: {every}"))?;
    schedule(State(api), Path(name)).await
}

/// Whoever has asked may go away: what has begun comes to its end.
async fn to_the_end(
    work: impl Future<Output = Result<Imported, BackupError>> + Send + 'static,
) -> Answer<ImportView> {
    let work = tokio::spawn(operation::carried(work));
    let Imported { format, bytes, sha256 } =
        work.await.map_err(|error| BackupError::Failed(format!("it broke off: {error}")))??;
    Ok(Json(ImportView { format: format.into(), bytes, sha256 }))
}

/// Whether the caller may know a backup: not one of an earlier addon of the same name, which may have been somebody else's.
fn is_own(api: &Api, caller: &Caller, backup: &Backup) -> Result<bool, StoreError> {
    if caller.own_app().is_none() {
        return Ok(true);
    }
    let addon = api.store.addon(&backup.addon)?;
    Ok(addon.is_some_and(|addon| backup.started_at >= addon.created_at))
}

fn only_admin(what: &str) -> ApiError {
    ApiError::forbidden(format!("only an admin may {what}"))
}

impl Api {
    fn backup_of(&self, caller: &Caller, name: &str, id: &str) -> Result<Backup, ApiError> {
        let name = parse_name(name)?;
        let found = self.store.backup(id)?.filter(|backup| backup.addon == name);
        match found {
            Some(backup) if is_own(self, caller, &backup)? => Ok(backup),
            _ => Err(BackupError::NoBackup(id.to_owned()).into()),
        }
    }

    /// A name for a new addon of this kind that nothing else has.
    async fn new_name(&self, text: &str, kind: &str) -> Result<Name, ApiError> {
        let (name, (kind, _)) = (parse_name(text)?, self.kind(kind)?);
        if kind.reserved_names().contains(&name.as_str()) {
            let message = format!("{name} is nobody's name in {}", kind.name());
            return Err(ApiError::invalid("reserved_name", message, "take another name"));
        }
        if self.store.addon(&name)?.is_some() {
            return Err(StoreError::Exists(name).into());
        }
        self.check_free_in_docker(&name).await?;
        Ok(name)
    }

    fn backup_view(&self, backup: Backup) -> BackupView {
        let progress = self.backups.progress(&backup.addon);
        let under_way = backup.state.is_under_way();
        BackupView {
            file: backup.archive_path(),
            state: backup.state.as_str().to_owned(),
            // A moment after it is good the older ones go.
            settled: !under_way && progress.is_none(),
            progress: progress.filter(|_| under_way),
            id: backup.id,
            addon: backup.addon,
            kind: backup.kind,
            plan: backup.plan,
            image: backup.image,
            target: backup.target,
            reason: backup.reason,
            bytes: backup.bytes,
            sha256: backup.sha256,
            stored_bytes: backup.stored_bytes,
            stored_sha256: backup.stored_sha256,
            encrypted: backup.encrypted,
            scheduled: backup.scheduled,
            started_at: rfc3339(backup.started_at),
            finished_at: backup.finished_at.map(rfc3339),
        }
    }
}
