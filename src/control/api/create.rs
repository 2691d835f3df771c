//! Create: what somebody asks for becomes a row; the rest is the reconciler's.

use std::sync::Arc;

use axum::body::Bytes;
use axum::extract::State;
use axum::extract::rejection::BytesRejection;
use axum::http::StatusCode;
use axum::{Extension, Json};

use super::caller::Caller;
use super::types::{AddonView, CreateRequest};
use super::{Api, ApiError, parse_body, parse_name, parse_named};
use crate::addons::kinds::{self, Kind};
use crate::addons::lifecycle::{Failure, Life};
use crate::addons::order::Order;
use crate::addons::providers::TYPES;
use crate::addons::secrets::Password;
use crate::addons::store::StoreError;
use crate::addons::{Addon, now_ms, random_name};
use crate::dialect::{Name, Protocol};

/// What a request asks for, checked.
struct Wanted {
    order: Order,
    /// The engine, if it will be one.
    kind: Option<&'static dyn Kind>,
    /// What it is called where it is no engine.
    word: Name,
    image: String,
    plan: Name,
    /// What applications expect it in.
    variable: String,
}

/// Ask for an addon: it is provisioned after the answer.
#[utoipa::path(post, path = "/v1/addons", tag = "addons", request_body = CreateRequest, responses((status = 201, body = AddonView)))]
pub async fn create(
    State(api): State<Arc<Api>>,
    Extension(caller): Extension<Caller>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<AddonView>), ApiError> {
    let request: CreateRequest = parse_body(body, WHAT_TO_SEND)?;
    let name = match &request.name {
        Some(name) => parse_name(name)?,
        None => api.free_name()?,
    };
    let app = request.app.as_deref().map(|app| parse_named("app", app)).transpose()?;
    if let Some(own) = caller.own_app().filter(|own| Some(*own) != app.as_ref()) {
        return Err(ApiError::forbidden(format!(
            "this token is for the app {own}: say {{\"app\": \"{own}\"}}"
        )));
    }
    let wanted = match kinds::find(&request.kind) {
        Some(_) => api.container(&request)?,
        None => api.provided(&request, &caller)?,
    };
    if let Some(kind) = wanted.kind.filter(|kind| kind.reserved_names().contains(&name.as_str())) {
        let message = format!("{name} is nobody's name in {}", kind.name());
        return Err(ApiError::invalid("reserved_name", message, "take another name"));
    }
    let password = request.password.clone().map(Password::new);
    if let Some(addon) = api.store.addon(&name)? {
        // The same request may have come before, and nobody has heard the answer.
        if api.store.was_created_here(&name)? {
            api.keep_password(&addon, password)?;
            return Ok((StatusCode::CREATED, Json(api.view(&addon))));
        }
        return Err(StoreError::Exists(name).into());
    }
    api.check_free(&name, &wanted).await?;
    let addon = wanted.row(name);
    match &app {
        Some(app) => api.store.create_for(&addon, app, &wanted.variable)?,
        None => api.store.create(&addon)?,
    }
    api.keep_password(&addon, password)?;
    api.reconciler.kick(&addon.name);
    Ok((StatusCode::CREATED, Json(api.view(&addon))))
}

impl Wanted {
    fn row(&self, name: Name) -> Addon {
        let now = now_ms();
        Addon {
            name,
            kind: self.word.clone(),
            protocol: self.kind.map_or(Protocol::None, |kind| kind.protocol()),
            plan: self.plan.clone(),
            order: self.order.clone(),
            image: self.image.clone(),
            life: Life::new(now),
            container_id: None,
            created_at: now,
            updated_at: now,
            generation: 1,
            volume: 1,
        }
    }
}

impl Api {
    /// An engine in a container.
    fn container(&self, request: &CreateRequest) -> Result<Wanted, ApiError> {
        let (kind, config) = self.kind(&request.kind)?;
        if !request.arguments.is_empty() || request.password.is_some() {
            let message =
                format!("{} takes neither arguments nor a password: it runs in a container", kind.name());
            let hint = "send kind, name, plan and app; or the name of a [provider.NAME] as kind";
            return Err(ApiError::invalid("bad_arguments", message, hint));
        }
        Ok(Wanted {
            order: Order::docker(),
            kind: Some(kind),
            // A kind's word follows the grammar of names: it is an entry of the configuration too.
            word: parse_name(kind.name())?,
            image: config.image.clone(),
            plan: self.plan(Some(kind), request.plan.as_deref().unwrap_or(config.plan.as_str()))?,
            variable: kind.variable().to_owned(),
        })
    }

    /// What another provider makes.
    fn provided(&self, request: &CreateRequest, caller: &Caller) -> Result<Wanted, ApiError> {
        let registered =
            self.providers.find(&request.kind).filter(|found| found.name.as_str() != Order::DOCKER);
        let registered = registered.ok_or_else(|| self.no_kind(&request.kind))?;
        let (name, provider) = (&registered.name, &registered.provider);
        if caller.own_app().is_some() && !registered.owners {
            return Err(ApiError::forbidden(format!(
                "this token is for one app, and {name} leads to hosts that an admin has to choose: ask one"
            )));
        }
        let accepted = provider.accept(&request.arguments).map_err(|error| {
            ApiError::invalid("bad_arguments", format!("{name}: {error}; nothing was changed"), "")
        })?;
        if request.password.is_some() && !accepted.takes_password {
            let message = format!("{name} takes no password");
            return Err(ApiError::invalid("bad_arguments", message, "leave it out"));
        }
        if let Some(kind) = accepted.kind.filter(|kind| self.login_address(*kind).is_none()) {
            let message = format!("the edge does not listen for {}", kind.protocol());
            return Err(ApiError::conflict(
                "no_listener",
                message,
                "add a [[listener]] to the configuration",
            ));
        }
        let plan = match (accepted.kind, &request.plan) {
            // There is nothing that could be large.
            (None, Some(_)) => {
                return Err(ApiError::invalid("no_plan", format!("{name} has no plans"), "leave it out"));
            }
            (None, None) => parse_name("none")?,
            (Some(_), plan) => self.plan(None, plan.as_deref().unwrap_or(registered.plan.as_str()))?,
        };
        let mut arguments = accepted.arguments;
        if request.password.is_some() {
            // A row whose password never came to its file must not look like one that has none.
            arguments.insert("password".into(), true.into());
        }
        let word = accepted.kind.map_or(Ok(name.clone()), |kind| parse_name(kind.name()))?;
        let order = Order { arguments, ..Order::of(name.clone()) };
        let mut wanted =
            Wanted { order, kind: accepted.kind, word, image: String::new(), plan, variable: String::new() };
        // It may be one of the arguments.
        wanted.variable = provider.variable(&wanted.row(name.clone()));
        Ok(wanted)
    }

    /// Nothing that is called so can be created.
    pub(super) fn no_kind(&self, word: &str) -> ApiError {
        let known = kinds::ALL.iter().map(|kind| kind.name());
        let known = known.filter(|word| self.config.kinds.contains_key(*word));
        let known: Vec<_> = known.chain(self.providers.names().map(Name::as_str)).collect();
        let mut hint = format!("send one of: {}", known.join(", "));
        if kinds::find(word).is_some() {
            hint.push_str(&format!("; or add a table [kind.{word}] to the configuration"));
        } else if TYPES.iter().any(|known| known.word == word) {
            hint.push_str(&format!(
                "; or add a table [provider.{word}] with type = \"{word}\" to the configuration"
            ));
        }
        ApiError::invalid("unknown_kind", format!("there is no kind {word:?}"), hint)
    }

    /// A password goes into a file, never into a row.
    fn keep_password(&self, addon: &Addon, password: Option<Password>) -> Result<(), ApiError> {
        let Some(password) = password else { return Ok(()) };
        let kept = self.provisioner.secrets().put(&addon.name, &password);
        kept.map_err(|error| {
            let message = format!("the password cannot be kept: {error}");
            let hint = format!(
                "see whether the disk of data_dir is full; then destroy {} and create it again",
                addon.name
            );
            ApiError::unavailable("disk_failed", message, hint)
        })
    }

    /// Fails if something has this name already that is none of the store's.
    async fn check_free(&self, name: &Name, wanted: &Wanted) -> Result<(), ApiError> {
        if !wanted.order.is_docker() {
            let protocol = wanted.kind.map(|kind| kind.protocol());
            let route = protocol.and_then(|protocol| self.table.lookup(protocol, name.as_str()));
            let secret = self.provisioner.secrets().path(name);
            return match route {
                Some(_) => Err(taken(name, "a container")),
                None if secret.exists() => Err(taken(name, &format!("the file {}", secret.display()))),
                None => Ok(()),
            };
        }
        self.check_free_in_docker(name).await
    }

    /// Fails if Docker has something of this name already.
    pub(super) async fn check_free_in_docker(&self, name: &Name) -> Result<(), ApiError> {
        match self.provisioner.in_the_way(name).await {
            Ok(None) => Ok(()),
            Ok(Some(what)) => Err(taken(name, &what)),
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

const WHAT_TO_SEND: &str = r#"send JSON such as {"kind": "postgres", "name": "blog"}; "plan", "app" and - for what is in no container - "arguments" and "password" may be added, "name" left out"#;

fn taken(name: &Name, what: &str) -> ApiError {
    let message = format!("{what} has the name {name} already; nothing was changed");
    ApiError::conflict("name_taken", message, "take another name, or remove or rename it")
}
