//! Settings of an addon's engine: its own values, beside those that its plan and the configuration say.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, State};

use super::types::{SettingsRequest, SettingsView};
use super::{Api, ApiError, parse_body};
use crate::addons::Addon;
use crate::addons::kinds::{self, Settings};
use crate::addons::lifecycle::{Failure, State as Life};

type Answer<T> = Result<Json<T>, ApiError>;

/// The settings of an addon's engine that have values of its own.
#[utoipa::path(get, operation_id = "settings", path = "/v1/addons/{name}/settings", tag = "addons", responses((status = 200, body = SettingsView)))]
pub async fn list(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer<SettingsView> {
    let addon = api.addon(&name)?;
    let settings = settings_of(&addon)?;
    Ok(Json(api.settings_view(&addon, settings, vec![])?))
}

/// Change settings of an addon's engine: at once where it can. What the engine refuses changes nothing.
#[utoipa::path(patch, path = "/v1/addons/{name}/settings", tag = "addons", request_body = SettingsRequest, responses((status = 200, body = SettingsView)))]
pub async fn change(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<SettingsView> {
    let request: SettingsRequest = parse_body(body, WHAT_TO_SEND)?;
    let addon = api.addon(&name)?;
    api.not_being_upgraded(&addon.name)?;
    let settings = settings_of(&addon)?;
    let changes = changes(&addon, settings, request)?;
    let container = match (&addon.container_id, addon.life.state) {
        (Some(container), Life::Ready) => container.clone(),
        _ => return Err(not_ready(&addon)),
    };
    // Whoever goes away in between must not leave half of it.
    let work = {
        let api = Arc::clone(&api);
        let addon = addon.clone();
        async move { api.change_all(&addon, &container, changes).await }
    };
    let restart_needed = tokio::spawn(work).await.map_err(|error| {
        ApiError::unavailable(
            "broken_off",
            format!("the change broke off: {error}"),
            "send the request again",
        )
    })??;
    Ok(Json(api.settings_view(&addon, settings, restart_needed)?))
}

impl Api {
    /// One after the other. The first that the engine refuses undoes those before it.
    async fn change_all(
        &self,
        addon: &Addon,
        container: &str,
        changes: BTreeMap<String, Option<String>>,
    ) -> Result<Vec<String>, ApiError> {
        let before = self.store.settings(&addon.name)?;
        let (mut done, mut restart_needed) = (vec![], vec![]);
        for (name, value) in changes {
            match self.provisioner.apply_setting(addon, container, &name, value.as_deref()).await {
                Ok(live) => {
                    if !live {
                        restart_needed.push(name.clone());
                    }
                    done.push((name, value));
                }
                Err(failure) => {
                    for (name, _) in done {
                        // It was let to have this value until now; should it fail, the next start puts it right.
                        let old = before.get(&name).map(String::as_str);
                        let _ = self.provisioner.apply_setting(addon, container, &name, old).await;
                    }
                    return Err(refused(&name, failure));
                }
            }
        }
        for (name, value) in done {
            self.store.keep_setting(&addon.name, &name, value.as_deref())?;
            let note = match value {
                Some(value) => format!("setting {name} = {value}"),
                None => format!("setting {name} has its default again"),
            };
            self.store.note(addon, note)?;
        }
        Ok(restart_needed)
    }

    fn settings_view(
        &self,
        addon: &Addon,
        settings: &dyn Settings,
        restart_needed: Vec<String>,
    ) -> Result<SettingsView, ApiError> {
        let names = settings.names().into_iter().map(str::to_owned).collect();
        Ok(SettingsView { settings: self.store.settings(&addon.name)?, names, restart_needed })
    }
}

/// What is to be changed, by name; without a value: its default again.
fn changes(
    addon: &Addon,
    settings: &dyn Settings,
    request: SettingsRequest,
) -> Result<BTreeMap<String, Option<String>>, ApiError> {
    let names = settings.names();
    let mut changes: BTreeMap<_, _> = request.unset.into_iter().map(|name| (name, None)).collect();
    for (name, value) in request.set {
        if changes.insert(name.clone(), Some(value)).is_some() {
            let message = format!("{name} is to be set and unset at once");
            return Err(ApiError::invalid("bad_setting", message, "say one of the two"));
        }
    }
    for (name, value) in &changes {
        if !names.contains(&name.as_str()) {
            let message = format!("{name:?} is no setting that an addon of the kind {} may have", addon.kind);
            return Err(ApiError::invalid(
                "bad_setting",
                message,
                format!("take one of: {}", names.join(", ")),
            ));
        }
        if value.as_ref().is_some_and(|value| !is_value(value)) {
            let message =
                format!("the value of {name} is not one: {:?}", value.as_deref().unwrap_or_default());
            let hint =
                format!("send 1 to {VALUE_LEN_MAX} of the characters A-Z a-z 0-9 _ . , : / + % - and spaces");
            return Err(ApiError::invalid("bad_setting", message, hint));
        }
    }
    if changes.is_empty() {
        return Err(ApiError::invalid("bad_setting", "there is nothing to be changed", WHAT_TO_SEND));
    }
    Ok(changes)
}

/// Nothing that could end a quotation, in any engine's language.
fn is_value(value: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.,:/+%- ".contains(&byte);
    !value.trim().is_empty() && value.len() <= VALUE_LEN_MAX && value.bytes().all(allowed)
}

fn settings_of(addon: &Addon) -> Result<&'static dyn Settings, ApiError> {
    let settings = kinds::find(addon.kind.as_str()).and_then(|kind| kind.settings());
    settings.ok_or_else(|| {
        let message = format!("an addon of the kind {} has no settings of its own", addon.kind);
        let hint =
            format!("say what its engine needs in [kind.{0}] args, or in [plan.NAME.args] {0}", addon.kind);
        ApiError::conflict("no_settings", message, hint)
    })
}

fn not_ready(addon: &Addon) -> ApiError {
    let message = format!(
        "{} is {}: its engine has to run, to look at the values",
        addon.name,
        addon.life.state.as_str()
    );
    ApiError::conflict("not_ready", message, format!("pierhead start {}", addon.name))
}

fn refused(name: &str, failure: Failure) -> ApiError {
    match failure {
        Failure::NotYet(words) => {
            let message = format!("{name}: {words}; nothing was changed");
            ApiError::invalid("bad_setting", message, "send a value that the engine takes")
        }
        Failure::Retry(reason) | Failure::Lasting(reason) => {
            let message = format!("{name} could not be changed: {reason}");
            ApiError::unavailable("not_changed", message, "send the request again once that is mended")
        }
    }
}

const VALUE_LEN_MAX: usize = 200;

const WHAT_TO_SEND: &str = r#"send JSON such as {"set": {"work_mem": "16MB"}, "unset": ["jit"]}"#;
