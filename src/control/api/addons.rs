//! Addons: create, look at, start, stop, destroy.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::{Extension, Json};
use serde::Deserialize;
use utoipa::IntoParams;

use super::caller::Caller;
use super::types::{AddonList, AddonView, BackendView, Connections, Progress, SetRequest, SetView, UrlView};
use super::{Api, ApiError, parse_body, parse_name, rfc3339};
use crate::addons::kinds::{self, Access, Kind};
use crate::addons::lifecycle::Desired;
use crate::addons::logins::Role;
use crate::addons::providers::Shown;
use crate::addons::secrets::Password;
use crate::addons::{Addon, now_ms};
use crate::config::KindConfig;
use crate::control::access::Deed;
use crate::dialect::{Name, Protocol};

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
    // A plan that nobody could have is said first.
    api.plan(None, &request.plan)?;
    let before = api.addon(&name)?;
    api.not_being_upgraded(&before.name)?;
    let kind = api.engine(&before)?;
    let plan = api.plan(Some(kind).filter(|_| before.order.is_docker()), &request.plan)?;
    let made_from = |plan: &Name| {
        let plan = api.config.plans.get(plan)?;
        let settings = kind.image_settings(&before.name, plan);
        let further = plan.args.get(&before.kind).cloned().unwrap_or_default();
        Some((settings.env, settings.args, further, plan.connections_max))
    };
    let restart_needed = before.order.is_docker() && made_from(&before.plan) != made_from(&plan);
    let addon = api.store.change(&before.name, |addon| addon.plan = plan.clone())?;
    let addon = addon.ok_or_else(|| ApiError::no_addon(&before.name))?;
    if before.plan != plan {
        api.store.note(&addon, format!("plan {} instead of {}", plan, before.plan))?;
    }
    if let Some(container) = addon.container_id.as_deref().filter(|_| addon.order.is_docker()) {
        // So that whoever asked can count on it. Where Docker does not do it now, the reconciler goes on.
        if let Err(failure) = api.provisioner.set_limits(&addon, container).await {
            tracing::warn!(addon = %addon.name, ?failure, "the limits of its plan are set later");
        }
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
    /// The kind of an addon's engine.
    pub(super) fn engine(&self, addon: &Addon) -> Result<&'static dyn Kind, ApiError> {
        let known = kinds::find(addon.kind.as_str());
        known.filter(|_| addon.protocol != Protocol::None).ok_or_else(|| {
            let Addon { name, kind, .. } = addon;
            let message =
                format!("{name} is no engine ({kind}): there is nothing to log in to, and it has no URL");
            let hint = format!("`pierhead env --addon {name}` shows what it has");
            ApiError::conflict("no_engine", message, hint)
        })
    }

    /// The kind of an addon that is in a container.
    pub(super) fn contained(&self, addon: &Addon) -> Result<&'static dyn Kind, ApiError> {
        if addon.order.is_docker() {
            return self.kind(addon.kind.as_str()).map(|(kind, _)| kind);
        }
        let Addon { name, order, .. } = addon;
        let message = format!("{name} has no container: it is made by the provider {}", order.provider);
        let hint = match &order.backend {
            Some(backend) => format!("do it where it runs, at {backend}"),
            None => String::new(),
        };
        Err(ApiError::conflict("no_container", message, hint))
    }

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
        let kind = self.engine(addon)?;
        let edge = self.login_address(kind).ok_or_else(|| {
            let message = format!("the edge does not listen for {}", addon.protocol);
            ApiError::conflict("no_listener", message, "add a [[listener]] to the configuration")
        })?;
        let host = host.map(str::to_owned).or_else(|| self.config.public_host.clone());
        let host = host.unwrap_or_else(|| edge.ip().to_string());
        let (login, password) = self.provisioner.current(kind, login).map_err(|_| {
            if addon.order.is_docker() {
                let message = format!("{name} has no password yet");
                return ApiError::conflict("not_ready", message, format!("see `pierhead info {name}`"));
            }
            let filled_in = Password::new("PASSWORD".into());
            let access =
                Access { name, login: name.as_str(), password: &filled_in, host: &host, port: edge.port() };
            let message = format!("Pierhead was not told the password of {name}");
            ApiError::conflict("no_password", message, format!("put it into this: {}", kind.url(&access)))
        })?;
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
        found.ok_or_else(|| self.no_kind(word))
    }

    /// An addon as the API shows it.
    pub(super) fn view(&self, addon: &Addon) -> AddonView {
        let life = &addon.life;
        let active = self.table.lookup(addon.protocol, addon.name.as_str()).map(|route| route.usage.active());
        let max = self.config.plans.get(&addon.plan).map_or(0, |plan| plan.connections_max);
        AddonView {
            name: addon.name.clone(),
            kind: addon.kind.clone(),
            provider: addon.order.provider.clone(),
            backend: self.backend_view(addon),
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
                false => self.progress(&addon.name),
            },
            container: addon.container_id.clone(),
            archive: kinds::find(addon.kind.as_str())
                .filter(|_| addon.order.is_docker())
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
    fn progress(&self, name: &Name) -> Option<Progress> {
        let Shown { step, detail, current, total } = self.reconciler.board.of(name)?;
        Some(Progress { step, detail, current, total })
    }

    fn backend_view(&self, addon: &Addon) -> Option<BackendView> {
        let backend = addon.order.backend.as_ref()?;
        let located = self.backends.located(&addon.name);
        Some(BackendView {
            at: backend.to_string(),
            address: located.as_ref().map(|located| located.address.to_string()),
            others: located.map_or(vec![], |located| {
                let others = located.all.iter().filter(|address| **address != located.address);
                others.map(ToString::to_string).collect()
            }),
        })
    }

    /// What somebody should know who looks at an addon.
    fn warning(&self, addon: &Addon) -> Option<String> {
        if !addon.order.is_docker() {
            return self.backends.located(&addon.name)?.note;
        }
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
