//! The variables of single addons, and another secret for those that have no engine.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, Query, State};

use super::addons::UrlQuery;
use super::types::{AddonEnvView, Variable};
use super::{Api, ApiError};
use crate::addons::Addon;
use crate::addons::lifecycle::Failure;
use crate::addons::logins::Role;
use crate::addons::providers::{Customisation, Registered, VariableValue};

/// The variables that an application is told of an addon, passwords included.
#[utoipa::path(get, path = "/v1/addons/{name}/env", tag = "addons", params(UrlQuery), responses((status = 200, body = AddonEnvView)))]
pub async fn env(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    Query(query): Query<UrlQuery>,
) -> Result<Json<AddonEnvView>, ApiError> {
    let addon = api.addon(&name)?;
    let variables = api.variables(&addon, &Customisation::default(), query.host.as_deref()).await?;
    Ok(Json(AddonEnvView { addon: addon.name, variables }))
}

/// Another secret in the place of the present one, at once. The passwords of engines are rotated otherwise.
#[utoipa::path(post, path = "/v1/addons/{name}/new-secret", tag = "addons", responses((status = 200, body = AddonEnvView)))]
pub async fn new_secret(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
) -> Result<Json<AddonEnvView>, ApiError> {
    let addon = api.addon(&name)?;
    let registered = api.provider_of(&addon)?;
    let Some(rotated) = registered.provider.rotate(&addon) else {
        let message = format!("{name} has no secret that its provider {} could change", registered.name);
        let hint = format!("`pierhead rotate {name}` changes the password of an engine in a container");
        return Err(ApiError::conflict("not_supported", message, hint));
    };
    api.store.note(&addon, "another secret was asked for".into())?;
    rotated.await.map_err(|failure| not_now(&addon, failure))?;
    api.store.note(&addon, "its secret is another one".into())?;
    let variables = api.variables(&addon, &Customisation::default(), None).await?;
    Ok(Json(AddonEnvView { addon: addon.name, variables }))
}

impl Api {
    /// Who makes an addon.
    pub(super) fn provider_of(&self, addon: &Addon) -> Result<&Registered, ApiError> {
        let provider = &addon.order.provider;
        self.providers.find(provider.as_str()).ok_or_else(|| {
            let message = format!("{} is made by {provider}, which is not configured any more", addon.name);
            ApiError::conflict("no_provider", message, format!("put [provider.{provider}] back"))
        })
    }

    /// The variables of an addon as an application wants them.
    pub(super) async fn variables(
        &self,
        addon: &Addon,
        custom: &Customisation,
        host: Option<&str>,
    ) -> Result<Vec<Variable>, ApiError> {
        let provider = &self.provider_of(addon)?.provider;
        let made =
            tokio::time::timeout(self.config.deadlines.call.get(), provider.config(addon, custom)).await;
        let late = || Failure::Retry("its provider did not answer in time".into());
        let made =
            made.map_err(|_| late()).and_then(|made| made).map_err(|failure| not_now(addon, failure))?;
        let value = |value| match value {
            VariableValue::Text(text) => Ok(text.expose().to_owned()),
            VariableValue::EdgeUrl => self.url_view(addon, &Role::Application, host).map(|view| view.url),
        };
        made.into_iter()
            .map(|one| Ok(Variable { name: one.name, value: value(one.value)?, addon: addon.name.clone() }))
            .collect()
    }
}

fn not_now(addon: &Addon, failure: Failure) -> ApiError {
    let (Failure::NotYet(reason) | Failure::Retry(reason) | Failure::Lasting(reason)) = failure;
    let hint = format!("see `pierhead info {}`", addon.name);
    ApiError::conflict("not_ready", format!("{}: {reason}", addon.name), hint)
}
