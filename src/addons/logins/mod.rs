//! The logins of an addon: the application's own, and further ones called `name.role`. Sans-IO.
//!
//! In comes a login's row; out goes what its engine has to let in meanwhile, and what is to be done next. A row says what is
//! wanted before anything is done about it, and every step can be repeated: a crash at any moment is a step done twice.

#[cfg(test)]
mod tests;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::UnixMs;
use super::secrets::Password;
use crate::dialect::{self, Name};

/// A login of an addon: its row in the store.
#[derive(Clone, Debug, PartialEq)]
pub struct Login {
    /// The addon.
    pub addon: Name,
    /// Which of its logins.
    pub role: Role,
    /// What it may do.
    pub rights: Rights,
    /// How far it is.
    pub phase: Phase,
    /// Whether the engine knows it by the second of its two names: where a user has one password, a rotation goes over to it.
    pub second: bool,
    /// Whether sessions of the password that ends are ended with it.
    pub end_sessions: bool,
    /// Why the present step is tried again.
    pub reason: Option<String>,
    /// When it was asked for.
    pub created_at: UnixMs,
}

/// Which of an addon's logins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Role {
    /// The application's, which is called as the addon.
    Application,
    /// `name.role`.
    Bound(String),
}

/// What a login may do with the addon's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Rights {
    /// Everything that the application may.
    Owner,
    /// Change data, but not what they are kept in.
    ReadWrite,
    /// Read.
    ReadOnly,
}

/// How far a login is. Written before what it announces is done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// It is being made.
    Making,
    /// It has one password, which is let in.
    Ready,
    /// A second password is being made; it counts when the engine lets it in. The old one is to end so many milliseconds
    /// later.
    Rotating(u64),
    /// Both passwords are let in, the old one until then.
    Grace(UnixMs),
    /// The old password is being shut out.
    Ending,
    /// It is being removed.
    Removing,
}

/// What an engine is to let in: one of its users.
#[derive(Clone, Debug)]
pub struct Account {
    /// What the user is called.
    pub login: String,
    /// What it may do.
    pub rights: Rights,
    /// Its passwords, the one that stays last: two while both are let in.
    pub passwords: Vec<Password>,
}

impl Account {
    /// The password that stays.
    pub fn password(&self) -> Option<&Password> {
        self.passwords.last()
    }
}

/// The passwords of a login, as far as there are files of them.
#[derive(Clone, Debug, Default)]
pub struct Passwords {
    /// The first one, and the one that counts unless the next does.
    pub present: Option<Password>,
    /// The one that is to take its place.
    pub next: Option<Password>,
}

impl Login {
    /// The application's login, as it is before anything was asked of it.
    pub fn application(addon: &Name) -> Self {
        Login {
            addon: addon.clone(),
            role: Role::Application,
            rights: Rights::Owner,
            phase: Phase::Ready,
            second: false,
            end_sessions: false,
            reason: None,
            created_at: 0,
        }
    }

    /// A further login that has just been asked for.
    pub fn bound(addon: &Name, role: String, rights: Rights, now: UnixMs) -> Self {
        let (role, phase) = (Role::Bound(role), Phase::Making);
        Login { role, rights, phase, created_at: now, ..Login::application(addon) }
    }

    /// One of the two names that it may have in the engine.
    pub fn name(&self, second: bool) -> String {
        match (&self.role, second) {
            (Role::Application, false) => self.addon.to_string(),
            (Role::Application, true) => format!("{}.app{SECOND}", self.addon),
            (Role::Bound(role), false) => format!("{}.{role}", self.addon),
            (Role::Bound(role), true) => format!("{}.{role}{SECOND}", self.addon),
        }
    }

    /// The name with which a client is to log in now, in an engine that keeps two passwords for one (`two`) or does not.
    pub fn current_name(&self, two: bool) -> String {
        self.name(self.second != (!two && self.counts_next()))
    }

    /// The password with which a client is to log in now.
    pub fn current_password(&self, passwords: &Passwords) -> Option<Password> {
        let next = passwords.next.clone().filter(|_| self.counts_next());
        next.or_else(|| passwords.present.clone())
    }

    /// Whether the second password is the one that clients are told.
    fn counts_next(&self) -> bool {
        matches!(self.phase, Phase::Grace(_) | Phase::Ending)
    }

    /// What the engine is to let in while this row holds.
    pub fn accounts(&self, passwords: &Passwords, two: bool) -> Vec<Account> {
        let Passwords { present, next } = passwords;
        let (old, new) = match self.phase {
            Phase::Removing => return vec![],
            Phase::Making | Phase::Ready => (present.clone(), None),
            Phase::Rotating(_) | Phase::Grace(_) => (present.clone(), next.clone()),
            // The files may have been put in order already.
            Phase::Ending if next.is_some() => (None, next.clone()),
            Phase::Ending => (None, present.clone()),
        };
        let account = |second: bool, passwords: Vec<Password>| Account {
            login: self.name(second),
            rights: self.rights,
            passwords,
        };
        if two {
            let both: Vec<_> = old.into_iter().chain(new).collect();
            return if both.is_empty() { vec![] } else { vec![account(self.second, both)] };
        }
        let old = old.map(|old| account(self.second, vec![old]));
        let new = new.map(|new| account(!self.second, vec![new]));
        old.into_iter().chain(new).collect()
    }

    /// How long nothing is to be done about it. `None`: for ever, unless somebody asks for something.
    pub fn due_in(&self, now: UnixMs) -> Option<Duration> {
        match self.phase {
            Phase::Ready => None,
            Phase::Grace(until) => Some(Duration::from_millis((until - now).max(0) as u64)),
            Phase::Making | Phase::Rotating(_) | Phase::Ending | Phase::Removing => Some(Duration::ZERO),
        }
    }
}

impl Role {
    /// The role of a further login that may be asked for.
    pub fn parse_bound(addon: &Name, role: &str) -> Result<Self, String> {
        let login = format!("{addon}.{role}");
        dialect::Login::parse(login.as_bytes()).map_err(|error| error.to_string())?;
        if role.ends_with(SECOND) || role.len() > ROLE_LEN_MAX {
            return Err(format!(
                "a role has at most {ROLE_LEN_MAX} characters and does not end in {SECOND}, which is for rotations"
            ));
        }
        Ok(Role::Bound(role.to_owned()))
    }

    /// The word in the store; empty for the application.
    pub fn as_str(&self) -> &str {
        match self {
            Role::Application => "",
            Role::Bound(role) => role,
        }
    }

    /// The other way round.
    pub fn from_store(text: String) -> Self {
        if text.is_empty() { Role::Application } else { Role::Bound(text) }
    }

    /// What clients may say behind the dot when they mean this one.
    pub fn spoken(&self) -> Vec<String> {
        match self {
            Role::Application => vec![format!("app{SECOND}")],
            Role::Bound(role) => vec![role.clone(), format!("{role}{SECOND}")],
        }
    }
}

impl Rights {
    /// The word in the store, in the API and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Rights::Owner => "owner",
            Rights::ReadWrite => "read-write",
            Rights::ReadOnly => "read-only",
        }
    }
}

impl FromStr for Rights {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        let all = [Rights::ReadWrite, Rights::ReadOnly, Rights::Owner];
        let unknown = || format!("{word:?} is no access, expected read-write, read-only or owner");
        all.into_iter().find(|rights| rights.as_str() == word).ok_or_else(unknown)
    }
}

impl fmt::Display for Rights {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl Phase {
    /// The word in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Phase::Making => "making",
            Phase::Ready => "ready",
            Phase::Rotating(_) => "rotating",
            Phase::Grace(_) => "grace",
            Phase::Ending => "ending",
            Phase::Removing => "removing",
        }
    }

    /// As in the store: a word and a number.
    pub fn to_store(self) -> (&'static str, i64) {
        let number = match self {
            Phase::Rotating(grace_ms) => grace_ms as i64,
            Phase::Grace(until) => until,
            _ => 0,
        };
        (self.as_str(), number)
    }

    /// The other way round; `None` for any other word.
    pub fn from_store(word: &str, number: i64) -> Option<Self> {
        Some(match word {
            "making" => Phase::Making,
            "ready" => Phase::Ready,
            "rotating" => Phase::Rotating(number.max(0) as u64),
            "grace" => Phase::Grace(number),
            "ending" => Phase::Ending,
            "removing" => Phase::Removing,
            _ => return None,
        })
    }
}

/// What the second of a login's two names ends with.
const SECOND: &str = "_2";
const ROLE_LEN_MAX: usize = dialect::Login::ROLE_LEN_MAX - SECOND.len();
