//! Upgrades: begin, look at, finish, roll back, cancel.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};

use super::types::{Progress, RollbackRequest, UpgradeRequest, UpgradeView};
use super::{Api, ApiError, parse_body, rfc3339};
use crate::addons::lifecycle::{self, Desired, Failure};
use crate::addons::logins::{Login, Phase};
use crate::addons::upgrade::{Method, Place, Stage, Upgrade};
use crate::addons::{Addon, now_ms};
use crate::dialect::Name;

type Answer = Result<Json<UpgradeView>, ApiError>;

/// Begin an upgrade, or with `dry_run` say what would be done.
#[utoipa::path(post, path = "/v1/addons/{name}/upgrade", tag = "upgrades", request_body = UpgradeRequest, responses((status = 200, body = UpgradeView)))]
pub async fn begin(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let request: UpgradeRequest = parse_body(body, r#"send JSON such as {"to": "17"}"#)?;
    let addon = api.addon(&name)?;
    let image = image(&addon, &request)?;
    let kind = api.contained(&addon)?;
    if kind.upgrade().is_none() {
        let message = format!("addons of the kind {} cannot be upgraded", kind.name());
        return Err(ApiError::conflict("not_supported", message, "export its data where that can be done"));
    }
    let hold_max_s = request.hold_max_s.unwrap_or(HOLD_MAX_S);
    if hold_max_s == 0 {
        return Err(ApiError::invalid(
            "bad_hold_max",
            "logins have to be held for a moment",
            "send more than 0",
        ));
    }
    let place = Place { generation: addon.generation, volume: addon.volume };
    let images = (addon.image.clone(), image);
    let before = api.store.upgrade(&addon.name)?;
    // Numbers are not used again: something may be left of an upgrade that went wrong.
    let latest = before.as_ref().map_or(0, |before| before.to.generation).max(addon.generation);
    let hold_max_ms = i64::from(hold_max_s) * 1000;
    let upgrade = Upgrade::new(addon.name.clone(), images, place, latest + 1, hold_max_ms, now_ms());
    if request.dry_run {
        return planned(&api, &addon, upgrade).await;
    }
    is_free(&addon, before.as_ref())?;
    logins_rest(&api, &addon)?;
    api.store.begin_upgrade(&upgrade)?;
    api.store.note(&addon, format!("upgrade to {} begun", upgrade.to_image))?;
    api.upgrader.kick(&addon.name);
    Ok(Json(api.upgrade_view(&upgrade)))
}

/// What would be done, as far as it can be known without a pull.
async fn planned(api: &Api, addon: &Addon, upgrade: Upgrade) -> Answer {
    let mut view = UpgradeView { stage: "planned".into(), ..api.upgrade_view(&upgrade) };
    let of = |failure| {
        let (Failure::NotYet(reason) | Failure::Retry(reason) | Failure::Lasting(reason)) = failure;
        ApiError::conflict("cannot_be_upgraded", reason, "nothing was changed")
    };
    if !api.provisioner.is_pulled(&upgrade.to_image).await.map_err(of)? {
        view.reason = Some(format!("{} is not pulled yet: its version is not known", upgrade.to_image));
        return Ok(Json(view));
    }
    let plan = api.upgrader.plan(addon, &upgrade.to_image).await.map_err(of)?;
    (view.from_version, view.to_version) = (plan.from.to_string(), plan.to.to_string());
    view.method = plan.method.as_str().to_owned();
    Ok(Json(view))
}

/// The last upgrade of an addon, until it is finished.
#[utoipa::path(get, path = "/v1/addons/{name}/upgrade", tag = "upgrades", responses((status = 200, body = UpgradeView)))]
pub async fn info(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer {
    let addon = api.addon(&name)?;
    let upgrade = api.store.upgrade(&addon.name)?.ok_or_else(|| ApiError::no_upgrade(&addon.name))?;
    Ok(Json(api.upgrade_view(&upgrade)))
}

/// Remove the old container, and its volume.
#[utoipa::path(post, path = "/v1/addons/{name}/upgrade/finish", tag = "upgrades", responses((status = 200, body = UpgradeView)))]
pub async fn finish(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer {
    let addon = api.addon(&name)?;
    api.change_upgrade(&addon, "finished", |upgrade| upgrade.finish(now_ms()))
}

/// Go back to the old container.
#[utoipa::path(post, path = "/v1/addons/{name}/upgrade/rollback", tag = "upgrades", request_body(content = RollbackRequest), responses((status = 200, body = UpgradeView)))]
pub async fn roll_back(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer {
    let body = body.map(|body| if body.is_empty() { Bytes::from_static(b"{}") } else { body });
    let request: RollbackRequest = parse_body(body, r#"send JSON such as {"force": true}, or nothing"#)?;
    let addon = api.addon(&name)?;
    let moved = api.store.upgrade(&addon.name)?.is_some_and(|upgrade| upgrade.method == Method::Move);
    if moved && !request.force && api.upgrader.may_have_been_written_to(&addon) {
        let message = format!(
            "somebody has logged in to {name} since the upgrade: what was written since would be lost"
        );
        return Err(ApiError::conflict(
            "would_lose_data",
            message,
            "say --force (\"force\": true) if it may be",
        ));
    }
    api.change_upgrade(&addon, "rolled back", |upgrade| upgrade.roll_back(now_ms()))
}

/// Everything goes back, while that is possible.
#[utoipa::path(delete, path = "/v1/addons/{name}/upgrade", tag = "upgrades", responses((status = 200, body = UpgradeView)))]
pub async fn cancel(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer {
    let addon = api.addon(&name)?;
    api.change_upgrade(&addon, "cancelled", |upgrade| upgrade.cancel(now_ms()))
}

impl Api {
    /// 409 while an upgrade has an addon in its hands.
    pub(super) fn not_being_upgraded(&self, name: &Name) -> Result<(), ApiError> {
        match self.store.upgrade(name)? {
            Some(upgrade) if !upgrade.stage.is_settled() => Err(being_upgraded(&upgrade)),
            _ => Ok(()),
        }
    }

    fn change_upgrade(&self, addon: &Addon, done: &str, change: impl FnOnce(&mut Upgrade) -> bool) -> Answer {
        let mut changed = false;
        let upgrade = self.store.change_upgrade(&addon.name, |upgrade, _| changed = change(upgrade))?;
        let upgrade = upgrade.ok_or_else(|| ApiError::no_upgrade(&addon.name))?;
        if !changed {
            let stage = upgrade.stage.as_str();
            let message = format!("the upgrade of {} is at {stage}: it cannot be {done} now", addon.name);
            return Err(ApiError::conflict(
                "wrong_stage",
                message,
                format!("see `pierhead info {}`", addon.name),
            ));
        }
        self.upgrader.kick(&addon.name);
        Ok(Json(self.upgrade_view(&upgrade)))
    }

    /// An upgrade as the API shows it.
    pub(super) fn upgrade_view(&self, upgrade: &Upgrade) -> UpgradeView {
        let settled = upgrade.stage.is_settled();
        let progress = self.upgrader.progress(&upgrade.addon).filter(|_| !settled);
        let known = !upgrade.to_version.is_empty();
        UpgradeView {
            addon: upgrade.addon.clone(),
            from_image: upgrade.from_image.clone(),
            to_image: upgrade.to_image.clone(),
            from_version: upgrade.from_version.clone(),
            to_version: upgrade.to_version.clone(),
            method: if known { upgrade.method.as_str().to_owned() } else { String::new() },
            stage: upgrade.stage.as_str().to_owned(),
            settled,
            held: upgrade.holds(),
            reason: upgrade.reason.clone(),
            progress: progress.map(|(current, total)| Progress {
                step: upgrade.stage.as_str().to_owned(),
                detail: describe(upgrade).to_owned(),
                current,
                total,
            }),
            moved_bytes: upgrade.moved_bytes,
            hold_max_s: u32::try_from(upgrade.hold_max_ms / 1000).unwrap_or(u32::MAX),
            started_at: rfc3339(upgrade.started_at),
        }
    }
}

/// Whether an upgrade of an addon can begin now.
fn is_free(addon: &Addon, before: Option<&Upgrade>) -> Result<(), ApiError> {
    let name = &addon.name;
    match before {
        Some(before) if before.stage == Stage::Kept => {
            let message =
                format!("{name} was upgraded to {}, and its old container is kept", before.to_image);
            let hint = format!(
                "`pierhead upgrade {name} --finish` removes it; `pierhead rollback {name}` takes it back"
            );
            return Err(ApiError::conflict("not_finished", message, hint));
        }
        Some(before) if !before.stage.is_settled() => return Err(being_upgraded(before)),
        _ => {}
    }
    if addon.life.desired != Desired::Running || addon.life.state != lifecycle::State::Ready {
        let message = format!("{name} is {}: its engine has to run for that", addon.life.state.as_str());
        return Err(ApiError::conflict(
            "not_ready",
            message,
            format!("`pierhead start {name}`, then try again"),
        ));
    }
    Ok(())
}

/// What is half-made in the old engine would be missing in one of the two.
fn logins_rest(api: &Api, addon: &Addon) -> Result<(), ApiError> {
    let logins = api.store.logins(&addon.name)?;
    let is_at_rest = |login: &Login| matches!(login.phase, Phase::Ready | Phase::Grace(_));
    let Some(login) = logins.iter().find(|login| !is_at_rest(login)) else { return Ok(()) };
    let (name, phase) = (login.name(login.second), login.phase.as_str());
    let message = format!("the login {name} is being changed ({phase})");
    let hint = format!("wait until `pierhead bindings {}` shows it as ready", addon.name);
    Err(ApiError::conflict("login_being_changed", message, hint))
}

fn being_upgraded(upgrade: &Upgrade) -> ApiError {
    let Upgrade { addon, to_image, .. } = upgrade;
    let message = format!("{addon} is being upgraded to {to_image} ({})", upgrade.stage.as_str());
    ApiError::conflict(
        "being_upgraded",
        message,
        format!("wait for it, or `pierhead upgrade {addon} --cancel`"),
    )
}

/// The image that is meant. One that would change nothing is refused.
fn image(addon: &Addon, request: &UpgradeRequest) -> Result<String, ApiError> {
    let bad = |message: String| {
        let hint = "send a version such as 17, or an image such as registry.example.com/postgres:17";
        Err(ApiError::invalid("bad_image", message, hint))
    };
    let image = match (&request.to, &request.image) {
        (Some(tag), None) => match tagged(&addon.image, tag) {
            Some(image) => image,
            None => return bad(format!("{tag:?} cannot be the tag of an image")),
        },
        (None, Some(image)) => {
            let is_word = |c: char| c.is_ascii_graphic() && !"\"'\\`$<>|;&(){}*?!".contains(c);
            if image.is_empty()
                || image.len() > IMAGE_LEN_MAX
                || image.starts_with('-')
                || !image.chars().all(is_word)
            {
                return bad(format!("{image:?} cannot be an image"));
            }
            image.clone()
        }
        _ => return bad("say either a version or an image".into()),
    };
    if image == addon.image {
        let message = format!("{} runs {image} already", addon.name);
        return Err(ApiError::conflict("same_image", message, "say another version"));
    }
    Ok(image)
}

/// The same repository, another tag: `postgres:15` and `17` make `postgres:17`.
fn tagged(image: &str, tag: &str) -> Option<String> {
    let first = tag.chars().next()?;
    let rest_ok = tag.chars().all(|c| c.is_ascii_alphanumeric() || "._-".contains(c));
    if !(first.is_ascii_alphanumeric() || first == '_') || !rest_ok || tag.len() > TAG_LEN_MAX {
        return None;
    }
    let repository = image.split_once('@').map_or(image, |(repository, _)| repository);
    // A colon before the last slash is that of the registry's port.
    let name = repository.rfind('/').map_or(0, |slash| slash + 1);
    let end = repository[name..].find(':').map_or(repository.len(), |colon| name + colon);
    Some(format!("{}:{tag}", &repository[..end]))
}

fn describe(upgrade: &Upgrade) -> &'static str {
    match upgrade.stage {
        Stage::Check => "pulling the image and comparing versions",
        Stage::Prepare => "starting the new engine",
        Stage::Hold => "holding logins and ending sessions",
        Stage::Stop | Stage::Settle => "stopping the old engine",
        Stage::Move => "moving the data; logins wait",
        Stage::Verify => "comparing both engines; logins wait",
        Stage::Switch => "switching over",
        Stage::Finish => "removing the old container",
        Stage::Return => "going back to the old container; logins wait",
        Stage::Revive => "letting the old engine serve again",
        Stage::Remove => "removing what was made for it",
        Stage::Kept | Stage::Undone | Stage::Failed => "",
    }
}

const HOLD_MAX_S: u32 = 600;
/// As Docker has it.
const TAG_LEN_MAX: usize = 128;
const IMAGE_LEN_MAX: usize = 512;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_a_tag_of_the_same_repository() {
        for (image, expected) in [
            ("postgres:15", "postgres:17"),
            ("postgres", "postgres:17"),
            ("pierhead/postgres:15", "pierhead/postgres:17"),
            ("registry:5000/postgres", "registry:5000/postgres:17"),
            ("registry:5000/a/postgres:15@sha256:abc", "registry:5000/a/postgres:17"),
        ] {
            assert_eq!(tagged(image, "17").as_deref(), Some(expected), "{image}");
        }
        for tag in ["", "-1", ".1", "17 ", "a/b", "17:1", "é", &"1".repeat(129)] {
            assert_eq!(tagged("postgres:15", tag), None, "{tag}");
        }
    }
}
