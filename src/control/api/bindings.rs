//! Logins of addons: make a further one, remove it, rotate a password, and see who uses which.

use std::sync::Arc;

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;

use super::addons::UrlQuery;
use super::binding_errors::{
    being_removed, bound_otherwise, not_done, parse_role, still_let_in, too_long, too_many,
};
use super::types::{
    BindRequest, BindingList, BindingView, BoundView, LoginConnections, RotateRequest, UrlView,
};
use super::{Api, ApiError, parse_body, rfc3339};
use crate::addons::kinds::Accounts;
use crate::addons::lifecycle;
use crate::addons::logins::{Login, Phase, Role};
use crate::addons::store::Written;
use crate::addons::{Addon, now_ms};
use crate::control::login_counts::{LoginCount, counts};
use crate::dialect::Protocol;

type Answer<T> = Result<Json<T>, ApiError>;

/// Every login of every addon.
#[utoipa::path(get, path = "/v1/bindings", tag = "bindings", responses((status = 200, body = BindingList)))]
pub async fn all(State(api): State<Arc<Api>>) -> Answer<BindingList> {
    let mut bindings = vec![];
    for addon in api.store.addons()? {
        bindings.extend(api.bindings_of(&addon)?);
    }
    Ok(Json(BindingList { bindings }))
}

/// The logins of an addon.
#[utoipa::path(get, path = "/v1/addons/{name}/bindings", tag = "bindings", responses((status = 200, body = BindingList)))]
pub async fn list(State(api): State<Arc<Api>>, Path(name): Path<String>) -> Answer<BindingList> {
    Ok(Json(BindingList { bindings: api.bindings_of(&api.addon(&name)?)? }))
}

/// Make a further login. Twice is once, with the same answer.
#[utoipa::path(post, path = "/v1/addons/{name}/bindings", tag = "bindings", request_body = BindRequest, responses((status = 201, body = BoundView), (status = 200, description = "It was there", body = BoundView)))]
pub async fn bind(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Result<(StatusCode, Json<BoundView>), ApiError> {
    let request: BindRequest = parse_body(body, WHAT_TO_BIND)?;
    let addon = api.addon(&name)?;
    let accounts = api.accounts(&addon)?;
    let role = parse_role(&addon, accounts, &request.role)?;
    let max = api.config.control.bindings_max;
    let made = api.store.change_logins(&addon.name, |logins| {
        match logins.iter().find(|login| login.role == role) {
            Some(login) if login.phase == Phase::Removing => Err(being_removed(login)),
            Some(login) if login.rights != request.access => Err(bound_otherwise(login)),
            Some(login) => Ok((Written::Row(Login { reason: None, ..login.clone() }), false)),
            // The application's is the first.
            None if logins.len() > max as usize => Err(too_many(&addon.name, max)),
            None => {
                let login = Login::bound(&addon.name, request.role.clone(), request.access, now_ms());
                Ok((Written::Row(login), true))
            }
        }
    })?;
    let login = api.credentials.until(&addon.name, &role, |login| login.phase != Phase::Making).await?;
    let view = api.bound(&addon, login.filter(|login| login.phase != Phase::Making), &role)?;
    Ok((if made { StatusCode::CREATED } else { StatusCode::OK }, Json(view)))
}

/// Remove a login. Answered when it is gone, and its sessions with it.
#[utoipa::path(delete, path = "/v1/addons/{name}/bindings/{role}", tag = "bindings", responses((status = 204)))]
pub async fn unbind(
    State(api): State<Arc<Api>>,
    Path((name, role)): Path<(String, String)>,
) -> Result<StatusCode, ApiError> {
    let addon = api.addon(&name)?;
    let role = Role::Bound(role);
    if !api.store.logins(&addon.name)?.iter().any(|login| login.role == role) {
        return Err(ApiError::no_binding(&addon.name, &role));
    }
    api.accounts(&addon)?;
    api.store.change_logins(&addon.name, |logins| match logins.iter().find(|login| login.role == role) {
        Some(login) => {
            let going = Login { phase: Phase::Removing, reason: None, ..login.clone() };
            Ok((Written::Row(going), ()))
        }
        None => Err(ApiError::no_binding(&addon.name, &role)),
    })?;
    match api.credentials.until(&addon.name, &role, |_| false).await? {
        None => Ok(StatusCode::NO_CONTENT),
        Some(login) => Err(not_done(&login)),
    }
}

/// Change a password. Answered when the new one is let in.
#[utoipa::path(post, path = "/v1/addons/{name}/rotate", tag = "bindings", request_body = RotateRequest, responses((status = 200, body = BoundView)))]
pub async fn rotate(
    State(api): State<Arc<Api>>,
    Path(name): Path<String>,
    body: Result<Bytes, BytesRejection>,
) -> Answer<BoundView> {
    let request: RotateRequest =
        parse_body(body, r#"send JSON such as {"grace_ms": 3600000} or {"role": "reader", "now": true}"#)?;
    let grace_ms = if request.now { 0 } else { request.grace_ms.unwrap_or(GRACE_MS) };
    if grace_ms > GRACE_MS_MAX {
        return Err(ApiError::invalid(
            "bad_grace",
            "a grace lasts 30 days at most",
            "rotate later, or say less",
        ));
    }
    let addon = api.addon(&name)?;
    let role = match &request.role {
        None => Role::Application,
        Some(role) => Role::Bound(role.clone()),
    };
    if !api.store.logins(&addon.name)?.iter().any(|login| login.role == role) {
        return Err(ApiError::no_binding(&addon.name, &role));
    }
    let accounts = api.accounts(&addon)?;
    let second = Login { role: role.clone(), ..Login::application(&addon.name) }.name(true);
    if !accounts.two_passwords() && second.len() > accounts.login_len_max() {
        return Err(too_long(&second, accounts.login_len_max()));
    }
    api.store.change_logins(&addon.name, |logins| {
        let found = logins.iter().find(|login| login.role == role);
        let login = found.ok_or_else(|| ApiError::no_binding(&addon.name, &role))?;
        let row =
            |phase| Written::Row(Login { phase, end_sessions: request.now, reason: None, ..login.clone() });
        match login.phase {
            Phase::Ready => Ok((row(Phase::Rotating(grace_ms)), ())),
            Phase::Rotating(_) if request.now => Ok((row(Phase::Rotating(0)), ())),
            Phase::Grace(_) if request.now => Ok((row(Phase::Ending), ())),
            Phase::Rotating(_) => Ok((Written::Nothing, ())),
            Phase::Grace(until) => Err(still_let_in(login, until)),
            Phase::Making | Phase::Ending => Err(not_done(login)),
            Phase::Removing => Err(being_removed(login)),
        }
    })?;
    let now = request.now;
    let is_done = |login: &Login| match login.phase {
        Phase::Ready => true,
        Phase::Grace(_) => !now,
        _ => false,
    };
    let login = api.credentials.until(&addon.name, &role, is_done).await?;
    if let Some(login) = login.as_ref().filter(|login| !is_done(login)) {
        return Err(not_done(login));
    }
    Ok(Json(api.bound(&addon, login, &role)?))
}

/// The URL of a further login, with its password.
#[utoipa::path(get, path = "/v1/addons/{name}/bindings/{role}/url", tag = "bindings", params(UrlQuery), responses((status = 200, body = UrlView)))]
pub async fn url(
    State(api): State<Arc<Api>>,
    Path((name, role)): Path<(String, String)>,
    Query(query): Query<UrlQuery>,
) -> Answer<UrlView> {
    Ok(Json(api.url_view(&api.addon(&name)?, &Role::Bound(role), query.host.as_deref())?))
}

impl Api {
    /// How the users of an addon's engine are managed, if that can be done now.
    fn accounts(&self, addon: &Addon) -> Result<&'static dyn Accounts, ApiError> {
        let kind = self.contained(addon)?;
        let name = &addon.name;
        let Some(accounts) = kind.accounts() else {
            let message = format!("an addon of the kind {} has one login and one password", kind.name());
            let hint = "postgres, mariadb, mysql, redis, valkey and rabbitmq can have more, and rotate them";
            return Err(ApiError::conflict("not_supported", message, hint));
        };
        if addon.life.state != lifecycle::State::Ready {
            let message = format!("{name} is {}: its engine has to run for that", addon.life.state.as_str());
            return Err(ApiError::conflict(
                "not_ready",
                message,
                format!("`pierhead start {name}`, then try again"),
            ));
        }
        self.not_being_upgraded(name)?;
        match accounts.superuser() {
            Some(superuser) if self.provisioner.secrets().superuser(name).is_ok_and(|one| one.is_none()) => {
                let message = format!("{name} was made before Pierhead had a user of its own in its engine");
                let hint = match superuser.at_any_start {
                    true => format!("`pierhead restart {name}`, then try again"),
                    false => format!("`pierhead clone {name} NEW` makes one with the same data that has"),
                };
                Err(ApiError::conflict("made_before", message, hint))
            }
            _ => Ok(accounts),
        }
    }

    fn bound(&self, addon: &Addon, login: Option<Login>, role: &Role) -> Result<BoundView, ApiError> {
        let Some(login) = login else {
            let logins = self.store.logins(&addon.name)?;
            let login = logins.iter().find(|login| login.role == *role);
            return Err(login.map_or_else(|| ApiError::no_binding(&addon.name, role), not_done));
        };
        let bindings = self.bindings_of(addon)?;
        let is_meant = |view: &BindingView| view.role.as_deref().unwrap_or_default() == login.role.as_str();
        let binding = bindings.into_iter().find(is_meant);
        let binding = binding.ok_or_else(|| ApiError::no_binding(&addon.name, role))?;
        Ok(BoundView { binding, url: self.url_view(addon, role, None)? })
    }

    /// Every login of an addon, with what the edge has counted.
    fn bindings_of(&self, addon: &Addon) -> Result<Vec<BindingView>, ApiError> {
        // What is no engine lets nobody in.
        if addon.protocol == Protocol::None {
            return Ok(vec![]);
        }
        let logins = self.store.logins(&addon.name)?;
        let route = self.table.lookup(addon.protocol, addon.name.as_str());
        let counted = route.map(|route| counts(&logins, &route.usage)).unwrap_or_default();
        let counted = counted.into_iter().chain(std::iter::repeat(LoginCount::default()));
        logins.iter().zip(counted).map(|(login, count)| self.binding(addon, login, count)).collect()
    }

    fn binding(&self, addon: &Addon, login: &Login, count: LoginCount) -> Result<BindingView, ApiError> {
        let kind = self.engine(addon)?;
        let two = kind.accounts().is_none_or(Accounts::two_passwords);
        Ok(BindingView {
            addon: addon.name.clone(),
            role: Some(login.role.as_str().to_owned()).filter(|role| !role.is_empty()),
            login: login.current_name(two),
            access: login.rights,
            state: login.phase.as_str().to_owned(),
            old_until: match login.phase {
                Phase::Grace(until) => Some(rfc3339(until)),
                _ => None,
            },
            reason: login.reason.clone(),
            connections: LoginConnections {
                active: count.active,
                total: count.total,
                last_used: (count.last_used_s > 0).then(|| rfc3339(count.last_used_s as i64 * 1000)),
            },
        })
    }
}

const WHAT_TO_BIND: &str = r#"send JSON such as {"role": "reader", "access": "read-only"}; access is read-write, read-only or owner"#;
const GRACE_MS: u64 = 3_600_000;
const GRACE_MS_MAX: u64 = 30 * 24 * 3_600_000;
