//! Addons: create, look at, start, stop, destroy.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::Deserialize;

use super::types::{AddonList, AddonView, Connections, CreateRequest, UrlView};
use super::{Api, ApiError, BODY_MAX, parse_name, rfc3339};
use crate::addons::kinds::{self, Access, Kind};
use crate::addons::lifecycle::{Desired, Failure, Life};
use crate::addons::{Addon, now_ms};
use crate::config::KindConfig;
use crate::dialect::Name;

type Answer<T> = Result<Json<T>, ApiError>;

/// `GET /v1/addons`
pub async fn list(State(api): State<Arc<Api>>) -> Answer<AddonList> {
    let addons = api.store.addons()?;
    Ok(Json(AddonList { addons: addons.iter().map(|addon| api.view(addon)).collect() }))
}

/// `POST /v1/addons`
pub async fn create(
    State(api): State<Arc<Api>>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<AddonView>), ApiError> {
    let body = body.map_err(|rejection| match rejection.status() {
        StatusCode::PAYLOAD_TOO_LARGE => ApiError::too_large(BODY_MAX),
        _ => ApiError::malformed("the request's body did not arrive whole", WHAT_TO_SEND),
    })?;
    let request: CreateRequest = serde_json::from_slice(&body)
        .map_err(|error| ApiError::malformed(format!("the body cannot be read: {error}"), WHAT_TO_SEND))?;
    let name = parse_name(&request.name)?;
    let (kind, config) = api.kind(&request.kind)?;
    if kind.reserved_names().contains(&name.as_str()) {
        let message = format!("{name} is nobody's name in {}", kind.name());
        return Err(ApiError::invalid("reserved_name", message, "take another name"));
    }
    let plan = api.plan(request.plan.as_deref().unwrap_or(config.plan.as_str()))?;
    if api.store.addon(&name)?.is_some() {
        return Err(crate::addons::store::StoreError::Exists(name).into());
    }
    match api.provisioner.in_the_way(&name).await {
        Ok(None) => {}
        Ok(Some(what)) => {
            let message = format!("{what} has the name {name} already; nothing was changed");
            return Err(ApiError::conflict(
                "name_taken",
                message,
                "take another name, or remove or rename it",
            ));
        }
        Err(failure) => return Err(docker_down(failure)),
    }
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
    };
    api.store.create(&addon)?;
    api.reconciler.kick(&addon.name);
    Ok((StatusCode::CREATED, Json(api.view(&addon))))
}

/// `GET /v1/addons/{name}`
pub async fn info(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer<AddonView> {
    Ok(Json(api.view(&api.addon(&name)?)))
}

/// `DELETE /v1/addons/{name}`
pub async fn destroy(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer<AddonView> {
    api.want(&name, Desired::Destroyed)
}

/// `POST /v1/addons/{name}/start`
pub async fn start(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer<AddonView> {
    api.want(&name, Desired::Running)
}

/// `POST /v1/addons/{name}/stop`
pub async fn stop(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer<AddonView> {
    api.want(&name, Desired::Stopped)
}

/// `POST /v1/addons/{name}/restart`
pub async fn restart(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer<AddonView> {
    api.want(&name, Desired::Restart)
}

/// What can be asked of `GET /v1/addons/{name}/url`.
#[derive(Debug, Deserialize)]
pub struct UrlQuery {
    /// Host for the URL; none takes the configured one.
    host: Option<String>,
}

/// `GET /v1/addons/{name}/url`
pub async fn url(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    Query(query): Query<UrlQuery>,
) -> Answer<UrlView> {
    let addon = api.addon(&name)?;
    let password = api.provisioner.secrets().read(&addon.name).map_err(|error| {
        let message = format!("{name} has no password yet: {error}");
        ApiError::conflict("not_ready", message, format!("see `pierhead info {name}`"))
    })?;
    let (kind, _) = api.kind(addon.kind.as_str())?;
    let edge = api.login_address(kind).ok_or_else(|| {
        let message = format!("the edge does not listen for {}", addon.protocol);
        ApiError::conflict("no_listener", message, "add a [[listener]] to the configuration")
    })?;
    let host = query.host.or_else(|| api.config.public_host.clone()).unwrap_or_else(|| edge.ip().to_string());
    let access = Access { name: &addon.name, password: &password, host: &host, port: edge.port() };
    Ok(Json(UrlView {
        url: kind.url(&access),
        variable: kind.variable().to_owned(),
        client: kind.client(&access),
        client_script: kind.client_script().map(str::to_owned),
        client_elsewhere: kind.client_elsewhere().map(str::to_owned),
        host: host.clone(),
        port: edge.port(),
        name: addon.name.clone(),
        password: password.expose().to_owned(),
        container: addon.container_id,
    }))
}

impl Api {
    /// The addon of that name; 404 if there is none.
    pub(super) fn addon(&self, name: &str) -> Result<Addon, ApiError> {
        let name = parse_name(name)?;
        self.store.addon(&name)?.ok_or_else(|| ApiError::no_addon(&name))
    }

    fn want(&self, name: &str, desired: Desired) -> Answer<AddonView> {
        let name = parse_name(name)?;
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

    fn kind(&self, word: &str) -> Result<(&'static dyn Kind, &KindConfig), ApiError> {
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

    fn plan(&self, word: &str) -> Result<Name, ApiError> {
        self.config.plans.get_key_value(word).map(|(name, _)| name.clone()).ok_or_else(|| {
            let known = self.config.plans.keys().map(Name::as_str).collect::<Vec<_>>();
            let hint = format!("send one of: {}", known.join(", "));
            ApiError::invalid("unknown_plan", format!("there is no plan {word:?}"), hint)
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
            progress: if life.is_settled() { None } else { self.reconciler.progress(&addon.name) },
            container: addon.container_id.clone(),
            connections: Connections { active: active.unwrap_or(0), max },
            created_at: rfc3339(addon.created_at),
            updated_at: rfc3339(addon.updated_at),
        }
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

const WHAT_TO_SEND: &str = r#"send JSON such as {"kind": "postgres", "name": "blog"}; "plan" may be added"#;
