//! How an engine's users are made, changed and removed: scripts for the engine's own programs, inside its container.
//!
//! In come accounts; out go scripts. Each can be run again, whatever became of it the first time. Passwords are in what a
//! script reads and in its environment, never in its arguments.

mod mysql;
mod postgres;
mod rabbitmq;
mod redis;
mod settings;

pub(super) use mysql::MysqlAccounts;
pub(super) use postgres::PostgresAccounts;
pub(super) use rabbitmq::RabbitmqAccounts;
pub(super) use redis::RedisAccounts;
pub use settings::{LIVE, Settings};

use crate::addons::logins::Account;
use crate::addons::secrets::Password;
use crate::dialect::Name;

/// An engine whose users Pierhead can manage.
pub trait Accounts: Send + Sync {
    /// Whether the engine lets one user in with either of two passwords. Where it has one for each, a rotation goes over
    /// to another user, who may do the same.
    fn two_passwords(&self) -> bool;

    /// Pierhead's own user in the engine. `None`: its programs need none.
    fn superuser(&self) -> Option<Superuser>;

    /// The longest that a user may be called, in bytes.
    fn login_len_max(&self) -> usize {
        63
    }

    /// Makes a user with these rights and passwords, or puts one right that is there. The application's own user is called
    /// as the addon.
    fn set(&self, addon: &Name, account: &Account) -> Script;

    /// Lets a user in no more. Its sessions stay, and what belongs to it.
    fn retire(&self, addon: &Name, login: &str) -> Script;

    /// Ends the sessions of a user.
    fn end_sessions(&self, login: &str) -> Script;

    /// Ends the sessions of a user and removes it. What belongs to it becomes the application's.
    fn remove(&self, addon: &Name, login: &str) -> Vec<Script>;

    /// The variables with which programs that log in as Pierhead's own user act as the application. `None`: that cannot be.
    fn acting_as(&self, _addon: &Name) -> Option<Vec<String>> {
        None
    }

    /// What the engine's file of users holds, where it has one that counts at every start.
    fn users_text(
        &self,
        _addon: &Name,
        _accounts: &[Account],
        _superuser: Option<&Password>,
    ) -> Option<String> {
        None
    }
}

/// Pierhead's own user in an engine. No login of a client leads to it: no addon of its kind may be called like it.
pub struct Superuser {
    /// What differs in the image's variables from [`Kind::image_settings`](super::Kind::image_settings) for an addon that has
    /// one.
    pub env: &'static [(&'static str, &'static str)],
    /// Where in the container the file with its password is, if the image reads it from one.
    pub secret_path: Option<&'static str>,
    /// The environment variable in which the engine's programs take its password.
    pub password_variable: &'static str,
    /// Whether an addon can be given one at its next start. Otherwise it must have had one from the first start on.
    pub at_any_start: bool,
}

/// A program for the container.
#[derive(Clone, Debug)]
pub struct Script {
    /// The program and its arguments.
    pub command: Vec<String>,
    /// What it reads.
    pub input: String,
    /// Whether it has done what it should, by what it wrote. It has ended with 0.
    pub check: fn(&str) -> bool,
}

impl Script {
    /// A script that has done what it should if it ends with 0.
    fn new(command: &[&str], input: String) -> Self {
        let command = command.iter().map(|&word| word.to_owned()).collect();
        Script { command, input, check: |_| true }
    }
}

/// Pierhead's own user, where one is needed.
pub const SUPERUSER: &str = "pierhead";

/// Text in quotes, for SQL. `escape_backslash` where a backslash means something in there.
fn quoted(text: &str, escape_backslash: bool) -> String {
    let text = if escape_backslash { text.replace('\\', "\\\\") } else { text.to_owned() };
    format!("'{}'", text.replace('\'', "''"))
}
