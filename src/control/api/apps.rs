//! Apps: attach an addon, take it away, promote it, and the variables that an app is told.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use axum::{Extension, Json};

use super::caller::Caller;
use super::types::{AppList, AppView, AttachRequest, AttachmentView, EnvView, PromoteRequest};
use super::{Api, ApiError, addons::UrlQuery, parse_body, parse_named};
use crate::addons::apps::{Attachment, Prefix};
use crate::addons::providers::Customisation;
use crate::addons::store::AttachError;
use crate::control::access::Deed;
use crate::dialect::Name;

type Answer<T> = Result<Json<T>, ApiError>;

/// Every app that uses an addon.
#[utoipa::path(get, path = "/v1/apps", tag = "apps", responses((status = 200, body = AppList)))]
pub async fn list(State(api): State<Arc<Api>>, Extension(caller): Extension<Caller>) -> Answer<AppList> {
    let mut apps: Vec<AppView> = vec![];
    let seen = |attachment: &Attachment| caller.own_app().is_none_or(|own| *own == attachment.app);
    for attachment in api.store.attachments()?.into_iter().filter(seen) {
        match apps.last_mut().filter(|app| app.app == attachment.app) {
            Some(app) => app.attachments.push(view(&attachment)),
            None => apps.push(AppView { app: attachment.app.clone(), attachments: vec![view(&attachment)] }),
        }
    }
    Ok(Json(AppList { apps }))
}

/// What an app uses.
#[utoipa::path(get, path = "/v1/apps/{app}", tag = "apps", responses((status = 200, body = AppView)))]
pub async fn info(State(api): State<Arc<Api>>, Path(app): Path<String>) -> Answer<AppView> {
    let app = parse_app(&app)?;
    let attachments = api.attachments_of(&app)?;
    Ok(Json(AppView { app, attachments: attachments.iter().map(view).collect() }))
}

/// Tell an app about an addon.
#[utoipa::path(post, path = "/v1/apps/{app}/attachments", tag = "apps", request_body = AttachRequest, responses((status = 201, body = AttachmentView)))]
pub async fn attach(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    Path(app): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<AttachmentView>), ApiError> {
    let app = parse_app(&app)?;
    let request: AttachRequest =
        parse_body(body, r#"send JSON such as {"addon": "blog"}; "as": "BLUE" may be added"#)?;
    let prefix: Option<Prefix> = request
        .prefix
        .as_deref()
        .map(str::parse)
        .transpose()
        .map_err(|error| ApiError::invalid("bad_attachment_name", error, "take another name, or none"))?;
    let addon = api.addon(&request.addon)?;
    // Otherwise an owner could attach what is somebody else's, and have it.
    caller.check_addon(&api, Deed::Change, &addon.name)?;
    let variable = api.provider_of(&addon)?.provider.variable(&addon);
    let attachment = Attachment::new(app, addon.name, prefix, &variable);
    api.store.attach(&attachment)?;
    Ok((StatusCode::CREATED, Json(view(&attachment))))
}

/// Take an addon away from an app.
#[utoipa::path(delete, path = "/v1/apps/{app}/attachments/{variable}", tag = "apps", responses((status = 204)))]
pub async fn detach(
    State(api): State<Arc<Api>>,
    Path((app, variable)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let app = parse_app(&app)?;
    api.store.detach(&app, &variable)?;
    Ok(StatusCode::NO_CONTENT)
}

/// Make an addon the one that the app finds in the kind's own variable.
#[utoipa::path(post, path = "/v1/apps/{app}/promote", tag = "apps", request_body = PromoteRequest, responses((status = 200, body = AppView)))]
pub async fn promote(
    State(api): State<Arc<Api>>,
    Path(app): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<AppView> {
    let app = parse_app(&app)?;
    let request: PromoteRequest = parse_body(body, r#"send JSON such as {"addon": "blog"}"#)?;
    let addon = api.addon(&request.addon)?;
    let variable = api.provider_of(&addon)?.provider.variable(&addon);
    let attachments = api.store.promote(&app, &addon.name, &variable)?;
    Ok(Json(AppView { app, attachments: attachments.iter().map(view).collect() }))
}

/// The variables of an app with their values, passwords included.
#[utoipa::path(get, path = "/v1/apps/{app}/env", tag = "apps", params(UrlQuery), responses((status = 200, body = EnvView)))]
pub async fn env(
    State(api): State<Arc<Api>>,
    Path(app): Path<String>,
    Query(query): Query<UrlQuery>,
) -> Answer<EnvView> {
    let app = parse_app(&app)?;
    let mut variables = vec![];
    for attachment in api.attachments_of(&app)? {
        let addon = api.addon(attachment.addon.as_str())?;
        let custom = Customisation { prefix: attachment.prefix.as_ref().map(ToString::to_string) };
        variables.extend(api.variables(&addon, &custom, query.host.as_deref()).await?);
    }
    Ok(Json(EnvView { app, variables }))
}

impl Api {
    /// What an app uses; 404 if that is nothing.
    fn attachments_of(&self, app: &Name) -> Result<Vec<Attachment>, ApiError> {
        let mut attachments = self.store.attachments()?;
        attachments.retain(|attachment| attachment.app == *app);
        if attachments.is_empty() { Err(ApiError::no_app(app)) } else { Ok(attachments) }
    }
}

fn view(attachment: &Attachment) -> AttachmentView {
    AttachmentView {
        app: attachment.app.clone(),
        prefix: attachment.prefix.as_ref().map(ToString::to_string),
        variable: attachment.variable.clone(),
        addon: attachment.addon.clone(),
    }
}

fn parse_app(text: &str) -> Result<Name, ApiError> {
    parse_named("app", text)
}

impl From<AttachError> for ApiError {
    fn from(error: AttachError) -> Self {
        let message = format!("{error}; nothing was changed");
        match error {
            AttachError::NoAddon(name) => ApiError::no_addon(&name),
            AttachError::Taken(Attachment { app, addon, .. }) => {
                let hint = format!(
                    "attach it under another name (`--as BLUE`), or `pierhead detach {addon} --app {app}` first"
                );
                ApiError::conflict("variable_taken", message, hint)
            }
            AttachError::InUse(_) => {
                ApiError::conflict("attached", message, "`pierhead detach` it first, or say --force")
            }
            AttachError::NotAttached => ApiError::not_attached(),
            AttachError::Store(error) => error.into(),
        }
    }
}
