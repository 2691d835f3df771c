//! Addons: create, look at, start, stop, destroy.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::IntoParams;

use super::caller::Caller;
use super::types::{AddonList, AddonView, Connections, CreateRequest, SetRequest, SetView, UrlView};
use super::{Api, ApiError, parse_body, parse_name, parse_named, rfc3339};
use crate::addons::kinds::{self, Access, Kind};
use crate::addons::lifecycle::{Desired, Failure, Life};
use crate::addons::logins::Role;
use crate::addons::store::StoreError;
use crate::addons::{Addon, now_ms, random_name};
use crate::config::KindConfig;
use crate::control::access::Deed;
use crate::dialect::Name;

type Answer<T> = Result<Json<T>, ApiError>;

/// Every addon.
#[utoipa::path(get, path = "/v1/addons", tag = "addons", responses((status = 200, body = AddonList)))]
pub async fn list(State(api): State<Arc<Api>>, Extension(caller): Extension<Caller>) -> Answer<AddonList> {
    let addons = api.store.addons()?;
    let seen = |addon: &&Addon| {
        caller.own_app().is_none() || caller.check_addon(&api, Deed::Look, &addon.name).is_ok()
    };
    Ok(Json(AddonList { addons: addons.iter().filter(seen).map(|addon| api.view(addon)).collect() }))
}

/// Ask for an addon: it is provisioned after the answer.
#[utoipa::path(post, path = "/v1/addons", tag = "addons", request_body = CreateRequest, responses((status = 201, body = AddonView)))]
pub async fn create(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<AddonView>), ApiError> {
    let request: CreateRequest = parse_body(body, WHAT_TO_SEND)?;
    let (kind, config) = api.kind(&request.kind)?;
    let name = match &request.name {
        Some(name) => parse_name(name)?,
        None => api.free_name()?,
    };
    if kind.reserved_names().contains(&name.as_str()) {
        let message = format!("{name} is nobody's name in {}", kind.name());
        return Err(ApiError::invalid("reserved_name", message, "take another name"));
    }
    let plan = api.plan(kind, request.plan.as_deref().unwrap_or(config.plan.as_str()))?;
    let app = request.app.as_deref().map(|app| parse_named("app", app)).transpose()?;
    if let Some(own) = caller.own_app().filter(|own| Some(*own) != app.as_ref()) {
        return Err(ApiError::forbidden(format!(
            "this token is for the app {own}: say {{\"app\": \"{own}\"}}"
        )));
    }
    if let Some(addon) = api.store.addon(&name)? {
        // The same request may have come before, and nobody has heard the answer.
        if api.store.was_created_here(&name)? {
            return Ok((StatusCode::CREATED, Json(api.view(&addon))));
        }
        return Err(StoreError::Exists(name).into());
    }
    api.check_free(&name).await?;
    let now = now_ms();
    let addon = Addon {
        name,
        // A kind's word follows the grammar of names: it is an entry of the configuration too.
        kind: parse_name(kind.name())?,
        protocol: kind.protocol(),
        plan,
        image: config.image.clone(),
        life: Life::new(now),
        container_id: None,
        created_at: now,
        updated_at: now,
        generation: 1,
        volume: 1,
    };
    match &app {
        Some(app) => api.store.create_for(&addon, app, kind.variable())?,
        None => api.store.create(&addon)?,
    }
    api.reconciler.kick(&addon.name);
    Ok((StatusCode::CREATED, Json(api.view(&addon))))
}

/// One addon.
#[utoipa::path(get, path = "/v1/addons/{name}", tag = "addons", responses((status = 200, body = AddonView)))]
pub async fn info(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer<AddonView> {
    Ok(Json(api.view(&api.addon(&name)?)))
}

/// What can be asked of `DELETE /v1/addons/{name}`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct DestroyQuery {
    /// Whether apps that use it are to lose it.
    #[serde(default)]
    force: bool,
}

/// Remove an addon and its data, for good.
#[utoipa::path(delete, path = "/v1/addons/{name}", tag = "addons", params(DestroyQuery), responses((status = 200, body = AddonView)))]
pub async fn destroy(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    query: Result<Query<DestroyQuery>, QueryRejection>,
) -> Answer<AddonView> {
    let Query(query) =
        query.map_err(|error| ApiError::malformed(error.body_text(), "send ?force=true, or nothing"))?;
    let name = parse_name(&name)?;
    api.not_being_upgraded(&name)?;
    let addon = api.store.want_destroyed(&name, query.force)?;
    let addon = addon.ok_or_else(|| ApiError::no_addon(&name))?;
    api.reconciler.kick(&name);
    Ok(Json(api.view(&addon)))
}

/// Another plan. CPU, memory and processes change at once, the rest with the next start.
#[utoipa::path(patch, path = "/v1/addons/{name}", tag = "addons", request_body = SetRequest, responses((status = 200, body = SetView)))]
pub async fn set(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<SetView> {
    let request: SetRequest = parse_body(body, r#"send JSON such as {"plan": "large"}"#)?;
    let before = api.addon(&name)?;
    api.not_being_upgraded(&before.name)?;
    let (kind, _) = api.kind(before.kind.as_str())?;
    let plan = api.plan(kind, &request.plan)?;
    let made_from = |plan: &Name| {
        let plan = api.config.plans.get(plan)?;
        let settings = kind.image_settings(&before.name, plan);
        Some((settings.env, settings.args, plan.connections_max))
    };
    let restart_needed = made_from(&before.plan) != made_from(&plan);
    let addon = api.store.change(&before.name, |addon| addon.plan = plan.clone())?;
    let addon = addon.ok_or_else(|| ApiError::no_addon(&before.name))?;
    if before.plan != plan {
        api.store.note(&addon, format!("plan {} instead of {}", plan, before.plan))?;
    }
    api.reconciler.kick(&addon.name);
    Ok(Json(SetView { addon: api.view(&addon), restart_needed }))
}

/// Want an addon running.
#[utoipa::path(post, path = "/v1/addons/{name}/start", tag = "addons", responses((status = 200, body = AddonView)))]
pub async fn start(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer<AddonView> {
    api.want(&name, Desired::Running)
}

/// Want an addon stopped; its data are kept.
#[utoipa::path(post, path = "/v1/addons/{name}/stop", tag = "addons", responses((status = 200, body = AddonView)))]
pub async fn stop(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer<AddonView> {
    api.want(&name, Desired::Stopped)
}

/// Want an addon stopped once and then running.
#[utoipa::path(post, path = "/v1/addons/{name}/restart", tag = "addons", responses((status = 200, body = AddonView)))]
pub async fn restart(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer<AddonView> {
    api.want(&name, Desired::Restart)
}

/// What can be asked of `GET /v1/addons/{name}/url`.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct UrlQuery {
    /// Host for the URL; none takes the configured one.
    pub(super) host: Option<String>,
}

/// The URL of an addon, with its password.
#[utoipa::path(get, path = "/v1/addons/{name}/url", tag = "addons", params(UrlQuery), responses((status = 200, body = UrlView)))]
pub async fn url(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    Query(query): Query<UrlQuery>,
) -> Answer<UrlView> {
    Ok(Json(api.url_view(&api.addon(&name)?, &Role::Application, query.host.as_deref())?))
}

impl Api {
    /// The addon of that name; 404 if there is none.
    pub(super) fn addon(&self, name: &str) -> Result<Addon, ApiError> {
        let name = parse_name(name)?;
        self.store.addon(&name)?.ok_or_else(|| ApiError::no_addon(&name))
    }

    /// How an application reaches an addon, at this host or the configured one.
    pub(super) fn url_view(
        &self,
        addon: &Addon,
        role: &Role,
        host: Option<&str>,
    ) -> Result<UrlView, ApiError> {
        let name = &addon.name;
        let logins = self.store.logins(name)?;
        let login = logins
            .iter()
            .find(|login| login.role == *role)
            .ok_or_else(|| ApiError::no_binding(name, role))?;
        let (kind, _) = self.kind(addon.kind.as_str())?;
        let (login, password) = self.provisioner.current(kind, login).map_err(|_| {
            let message = format!("{name} has no password yet");
            ApiError::conflict("not_ready", message, format!("see `pierhead info {name}`"))
        })?;
        let edge = self.login_address(kind).ok_or_else(|| {
            let message = format!("the edge does not listen for {}", addon.protocol);
            ApiError::conflict("no_listener", message, "add a [[listener]] to the configuration")
        })?;
        let host = host.map(str::to_owned).or_else(|| self.config.public_host.clone());
        let host = host.unwrap_or_else(|| edge.ip().to_string());
        let access = Access { name, login: &login, password: &password, host: &host, port: edge.port() };
        Ok(UrlView {
            url: kind.url(&access),
            variable: kind.variable().to_owned(),
            client: kind.client(&access),
            client_script: kind.client_script().map(str::to_owned),
            client_elsewhere: kind.client_elsewhere().map(str::to_owned),
            host: host.clone(),
            port: edge.port(),
            name: name.clone(),
            login: login.clone(),
            password: password.expose().to_owned(),
            container: addon.container_id.clone(),
        })
    }

    /// Fails if Docker has something of this name already.
    pub(super) async fn check_free(&self, name: &Name) -> Result<(), ApiError> {
        match self.provisioner.in_the_way(name).await {
            Ok(None) => Ok(()),
            Ok(Some(what)) => {
                let message = format!("{what} has the name {name} already; nothing was changed");
                let hint = "take another name, or remove or rename it";
                Err(ApiError::conflict("name_taken", message, hint))
            }
            Err(failure) => Err(docker_down(failure)),
        }
    }

    /// A name for an addon that nobody has named.
    fn free_name(&self) -> Result<Name, ApiError> {
        loop {
            let name = random_name()
                .map_err(|error| ApiError::unavailable("no_randomness", error.to_string(), "say a name"))?;
            if self.store.addon(&name)?.is_none() {
                return Ok(name);
            }
        }
    }

    fn want(&self, name: &str, desired: Desired) -> Answer<AddonView> {
        let name = parse_name(name)?;
        self.not_being_upgraded(&name)?;
        let mut going = false;
        let addon = self.store.change(&name, |addon| {
            going = addon.life.desired == Desired::Destroyed && desired != Desired::Destroyed;
            if !going {
                addon.life.want(desired, now_ms());
            }
        })?;
        let addon = addon.ok_or_else(|| ApiError::no_addon(&name))?;
        if going {
            let message = format!("{name} is being destroyed");
            return Err(ApiError::conflict("being_destroyed", message, "create it again when it is gone"));
        }
        self.reconciler.kick(&name);
        Ok(Json(self.view(&addon)))
    }

    pub(super) fn kind(&self, word: &str) -> Result<(&'static dyn Kind, &KindConfig), ApiError> {
        let found = kinds::find(word).zip(self.config.kinds.get(word));
        found.ok_or_else(|| {
            let known = kinds::ALL.iter().map(|kind| kind.name());
            let known = known.filter(|word| self.config.kinds.contains_key(*word)).collect::<Vec<_>>();
            let mut hint = format!("send one of: {}", known.join(", "));
            if kinds::find(word).is_some() {
                hint.push_str(&format!("; or add a table [kind.{word}] to the configuration"));
            }
            ApiError::invalid("unknown_kind", format!("there is no kind {word:?}"), hint)
        })
    }

    /// An addon as the API shows it.
    fn view(&self, addon: &Addon) -> AddonView {
        let life = &addon.life;
        let active = self.table.lookup(addon.protocol, addon.name.as_str()).map(|route| route.usage.active());
        let max = self.config.plans.get(&addon.plan).map_or(0, |plan| plan.connections_max);
        AddonView {
            name: addon.name.clone(),
            kind: addon.kind.clone(),
            protocol: addon.protocol,
            plan: addon.plan.clone(),
            image: addon.image.clone(),
            desired: life.desired.as_str().to_owned(),
            state: life.state.as_str().to_owned(),
            settled: life.is_settled(),
            step: life.state.step().map(|step| step.as_str().to_owned()),
            reason: life.reason.clone(),
            progress: match life.is_settled() {
                true => self.backups.progress(&addon.name),
                false => self.reconciler.progress(&addon.name),
            },
            container: addon.container_id.clone(),
            archive: kinds::find(addon.kind.as_str())
                .and_then(|kind| kind.archive(&addon.name))
                .map(|archive| archive.extension.to_owned()),
            // What cannot be read is not shown; the request that needs it fails.
            upgrade: self
                .store
                .upgrade(&addon.name)
                .ok()
                .flatten()
                .map(|upgrade| self.upgrade_view(&upgrade)),
            warning: self.warning(addon),
            connections: Connections { active: active.unwrap_or(0), max },
            created_at: rfc3339(addon.created_at),
            updated_at: rfc3339(addon.updated_at),
        }
    }
}

impl Api {
    /// What somebody should know who looks at an addon.
    fn warning(&self, addon: &Addon) -> Option<String> {
        let is_postgres = addon.protocol == crate::dialect::Protocol::Postgres;
        let what = if is_postgres {
            "its login is a superuser, and there can be no others"
        } else {
            "it can have no further logins"
        };
        let how = format!(
            "it was made before Pierhead had a user of its own in the engine; `pierhead clone {} NEW` makes one that has",
            addon.name
        );
        let superuser = self.provisioner.is_without_superuser(addon).then(|| format!("{what}: {how}"));
        superuser.or_else(|| self.provisioner.disk_warning(addon))
    }
}

fn docker_down(failure: Failure) -> ApiError {
    let (Failure::NotYet(reason) | Failure::Retry(reason) | Failure::Lasting(reason)) = failure;
    let message = format!("Docker cannot say whether the name is free: {reason}");
    ApiError::unavailable(
        "docker_down",
        message,
        "start Docker, then send the request again; nothing was changed",
    )
}

const WHAT_TO_SEND: &str = r#"send JSON such as {"kind": "postgres", "name": "blog"}; "plan" and "app" may be added, "name" left out"#;
