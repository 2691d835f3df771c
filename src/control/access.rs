//! Who may do what, sans-IO. In come who asks, what for and about what; out goes yes, or why not.
//!
//! Whoever may open the control socket may do everything; a token may do what its role allows, on the socket and over
//! TCP alike.

use std::fmt;

use crate::dialect::Name;

/// What a token allows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Role {
    /// Everything.
    Admin,
    /// Everything with this app and with the addons that are attached to it and to no other.
    Owner(Name),
    /// Looking, but not at what holds people's data or passwords.
    ReadOnly,
}

/// What a request is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// To see how something is.
    Look,
    /// To be told a password, or people's data.
    Secret,
    /// To change something.
    Change,
}

/// What a request is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Subject<'a> {
    /// An addon, by its name as it was sent.
    Addon(&'a str),
    /// An app, by its name as it was sent.
    App(&'a str),
    /// Lists of addons, apps and events, and new addons: the handler leaves out what the role may not see.
    Several,
    /// This Pierhead and its host.
    Host,
}

impl Deed {
    /// What a request with this method for this path is for. The path may be the route's pattern.
    pub fn of(method: &str, path: &str) -> Self {
        let secret = ["/url", "/env", "/export", "/logs"].iter().any(|end| path.ends_with(end));
        match method {
            "GET" | "HEAD" if secret => Deed::Secret,
            "GET" | "HEAD" => Deed::Look,
            _ => Deed::Change,
        }
    }
}

impl<'a> Subject<'a> {
    /// What a request for this path is about.
    pub fn of(path: &'a str) -> Self {
        let mut parts = path.strip_prefix("/v1/").unwrap_or("").split('/');
        match (parts.next(), parts.next()) {
            (Some("addons"), Some(name)) => Subject::Addon(name),
            (Some("apps"), Some(name)) => Subject::App(name),
            (Some("addons" | "apps" | "events" | "openapi.json" | "operations"), _) => Subject::Several,
            _ => Subject::Host,
        }
    }
}

impl Role {
    /// Whether a request is allowed. `apps_of` tells the apps that an addon is attached to; it is asked only where that
    /// matters. The error says what the role allows.
    pub fn may<E>(
        &self,
        deed: Deed,
        subject: Subject<'_>,
        apps_of: impl FnOnce(&str) -> Result<Vec<Name>, E>,
    ) -> Result<Result<(), String>, E> {
        let allowed = match (self, subject) {
            (Role::Admin, _) => true,
            (Role::ReadOnly, _) => deed == Deed::Look,
            (Role::Owner(_), Subject::Several) => true,
            (Role::Owner(own), Subject::App(app)) => own.as_str() == app,
            (Role::Owner(own), Subject::Addon(addon)) => owns(own, deed, &apps_of(addon)?),
            (Role::Owner(_), Subject::Host) => false,
        };
        Ok(if allowed { Ok(()) } else { Err(self.what_it_allows()) })
    }

    fn what_it_allows(&self) -> String {
        match self {
            Role::Admin => "an admin's token allows everything".into(),
            Role::Owner(app) => format!(
                "this token is for the app {app}: it allows what is about that app, and about addons that are \
                 attached to it and to no other"
            ),
            Role::ReadOnly => {
                "this token is read-only: it allows looking, but not at passwords, logs and data".into()
            }
        }
    }
}

/// What is shared with another app may be used, not changed.
fn owns(own: &Name, deed: Deed, apps: &[Name]) -> bool {
    let attached = apps.contains(own);
    let alone = apps.iter().all(|app| app == own);
    attached && (alone || deed != Deed::Change)
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Role::Admin => f.write_str("admin"),
            Role::Owner(_) => f.write_str("owner"),
            Role::ReadOnly => f.write_str("read-only"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    fn name(text: &str) -> Name {
        Name::parse(text).unwrap()
    }

    /// `blog` is attached to shop alone, `both` to shop and crm, `free` to nothing, `other` to crm.
    fn may(role: &Role, method: &str, path: &str) -> bool {
        let apps_of = |addon: &str| {
            let apps: &[&str] = match addon {
                "blog" => &["shop", "shop"],
                "both" => &["crm", "shop"],
                "other" => &["crm"],
                _ => &[],
            };
            Ok::<_, Infallible>(apps.iter().map(|app| name(app)).collect())
        };
        role.may(Deed::of(method, path), Subject::of(path), apps_of).unwrap().is_ok()
    }

    #[test]
    fn an_admin_may_everything() {
        for path in ["/v1/addons", "/v1/addons/blog/url", "/v1/tokens", "/v1/audit", "/metrics"] {
            assert!(may(&Role::Admin, "GET", path) && may(&Role::Admin, "DELETE", path));
        }
    }

    #[test]
    fn who_may_only_read_sees_no_secret_and_changes_nothing() {
        for path in ["/v1/addons", "/v1/addons/blog", "/v1/apps/shop", "/v1/status", "/v1/events", "/metrics"]
        {
            assert!(may(&Role::ReadOnly, "GET", path), "{path}");
            assert!(!may(&Role::ReadOnly, "POST", path) && !may(&Role::ReadOnly, "PATCH", path));
        }
        for path in
            ["/v1/addons/blog/url", "/v1/apps/shop/env", "/v1/addons/blog/export", "/v1/addons/blog/logs"]
        {
            assert!(!may(&Role::ReadOnly, "GET", path), "{path}");
        }
    }

    #[test]
    fn an_owner_may_what_is_its_own() {
        let owner = Role::Owner(name("shop"));
        let allowed = [
            ("GET", "/v1/addons/blog/url"),
            ("DELETE", "/v1/addons/blog"),
            ("POST", "/v1/addons/blog/import"),
            ("GET", "/v1/addons/both/url"),
            ("GET", "/v1/apps/shop/env"),
            ("POST", "/v1/apps/shop/attachments"),
            ("GET", "/v1/addons"),
            ("POST", "/v1/addons"),
        ];
        let refused = [
            ("DELETE", "/v1/addons/both"),
            ("POST", "/v1/addons/both/stop"),
            ("GET", "/v1/addons/other"),
            ("GET", "/v1/addons/free/url"),
            ("GET", "/v1/addons/free"),
            ("GET", "/v1/apps/crm"),
            ("GET", "/v1/audit"),
            ("GET", "/v1/tokens"),
            ("POST", "/v1/tokens"),
            ("GET", "/metrics"),
            ("GET", "/v1/status"),
            ("GET", "/v1/addons/"),
            ("GET", "/v1/apps/"),
            ("GET", "/v1/addons/blog%2f"),
        ];
        for (method, path) in allowed {
            assert!(may(&owner, method, path), "{method} {path}");
        }
        for (method, path) in refused {
            assert!(!may(&owner, method, path), "{method} {path}");
        }
    }
}
