//! What is said to requests about logins that cannot be carried out.

use super::{ApiError, rfc3339};
use crate::addons::Addon;
use crate::addons::kinds::Accounts;
use crate::addons::logins::{Login, Role};
use crate::dialect::Name;

pub(super) fn parse_role(addon: &Addon, accounts: &dyn Accounts, role: &str) -> Result<Role, ApiError> {
    let hint = "send 1 to 28 of a-z, 0-9, '-' and '_', such as \"reader\"";
    let parsed = Role::parse_bound(&addon.name, role).map_err(|error| {
        ApiError::invalid("bad_role", format!("{role:?} cannot be a role: {error}"), hint)
    })?;
    let login = format!("{}.{role}", addon.name);
    if login.len() > accounts.login_len_max() {
        return Err(too_long(&login, accounts.login_len_max()));
    }
    Ok(parsed)
}

pub(super) fn too_long(login: &str, max: usize) -> ApiError {
    ApiError::invalid(
        "bad_role",
        format!("a user of this engine has {max} characters at most: {login} is longer"),
        "take a shorter role",
    )
}

pub(super) fn too_many(name: &Name, max: u32) -> ApiError {
    let message =
        format!("{name} has {max} further logins already (control.bindings_max); nothing was changed");
    ApiError::conflict("too_many", message, "`pierhead unbind` one that is not used, or raise it")
}

pub(super) fn bound_otherwise(login: &Login) -> ApiError {
    let name = login.name(false);
    let message = format!("{name} is there already, and its access is {}; nothing was changed", login.rights);
    let hint =
        format!("`pierhead unbind {} {}` first, or take another role", login.addon, login.role.as_str());
    ApiError::conflict("bound_otherwise", message, hint)
}

pub(super) fn being_removed(login: &Login) -> ApiError {
    ApiError::conflict(
        "being_removed",
        format!("{} is being removed", login.name(false)),
        "try again when it is gone",
    )
}

pub(super) fn still_let_in(login: &Login, until: i64) -> ApiError {
    let message = format!(
        "the password before the last rotation is let in until {}; nothing was changed",
        rfc3339(until)
    );
    let role = match &login.role {
        Role::Application => String::new(),
        Role::Bound(role) => format!(" --role {role}"),
    };
    let hint = format!("wait, or end it with `pierhead rotate {}{role} --now`", login.addon);
    ApiError::conflict("still_let_in", message, hint)
}

pub(super) fn not_done(login: &Login) -> ApiError {
    let reason = login.reason.as_deref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let message = format!("{} is still {}{reason}", login.name(login.second), login.phase.as_str());
    ApiError::unavailable("not_done", message, "it goes on by itself; the same request again waits for it")
}
