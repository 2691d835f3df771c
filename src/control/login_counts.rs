//! What the edge has counted of single logins. In come logins and the counters of a route; out go sums for each login.

use crate::addons::logins::{Login, Role};
use crate::routes::Usage;

/// Connections of one login since Pierhead started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoginCount {
    /// Open now.
    pub active: u64,
    /// Opened.
    pub total: u64,
    /// When one was last opened or closed, as Unix time in seconds; 0 for never.
    pub last_used_s: u64,
}

impl LoginCount {
    fn of(usage: &Usage) -> Self {
        let last_used_s = usage.last_used_s().unwrap_or(0);
        LoginCount { active: usage.active(), total: usage.opened_total(), last_used_s }
    }

    fn plus(self, other: Self) -> Self {
        LoginCount {
            active: self.active + other.active,
            total: self.total + other.total,
            last_used_s: self.last_used_s.max(other.last_used_s),
        }
    }
}

/// The counts of these logins of one addon, in order; the first is the application's. It has whatever is not another's: what
/// was counted before any login was counted apart, too.
pub fn counts(logins: &[Login], usage: &Usage) -> Vec<LoginCount> {
    let apart = |login: &Login| {
        let usages = login.role.spoken().into_iter().filter_map(|role| usage.of_role(&role));
        usages.fold(LoginCount::default(), |sum, usage| sum.plus(LoginCount::of(&usage)))
    };
    let mut counts: Vec<LoginCount> = logins.iter().map(apart).collect();
    let others = counts.iter().skip(1).fold(LoginCount::default(), |sum, one| sum.plus(*one));
    if let (Some(Login { role: Role::Application, .. }), Some(own)) = (logins.first(), counts.first_mut()) {
        let all = LoginCount::of(usage);
        own.active = all.active.saturating_sub(others.active);
        own.total = all.total.saturating_sub(others.total);
        own.last_used_s = match usage.of_role("") {
            Some(plain) => own.last_used_s.max(LoginCount::of(&plain).last_used_s),
            None => all.last_used_s,
        };
    }
    counts
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::addons::logins::Rights;
    use crate::dialect::Name;

    #[test]
    fn the_application_has_what_is_not_anothers() {
        let (usage, name) = (Arc::new(Usage::default()), Name::parse("blog").unwrap());
        let _before = usage.try_open(0).unwrap().with_role(None);
        let logins = [Login::application(&name), Login::bound(&name, "reader".into(), Rights::ReadOnly, 0)];
        assert_eq!(counts(&logins[..1], &usage)[0].total, 1);
        usage.count_roles(logins.iter().flat_map(|login| login.role.spoken()));
        let _second = usage.try_open(0).unwrap().with_role(Some("app_2"));
        drop(usage.try_open(0).unwrap().with_role(Some("reader")));
        let _reader = usage.try_open(0).unwrap().with_role(Some("reader_2"));
        let [own, reader] = counts(&logins, &usage)[..] else { panic!() };
        assert_eq!((own.active, own.total), (2, 2));
        assert_eq!((reader.active, reader.total), (1, 2));
        assert!(own.last_used_s > 0 && reader.last_used_s > 0);
    }
}
