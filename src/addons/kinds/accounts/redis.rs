//! The users of Redis and Valkey. They are in the file that the server reads at every start, and in the running server.

use sha2::{Digest, Sha256};

use super::{Accounts, SUPERUSER, Script, Superuser};
use crate::addons::hex;
use crate::addons::logins::{Account, Rights};
use crate::addons::secrets::Password;
use crate::dialect::Name;

/// The users of one of the two.
pub(in crate::addons::kinds) struct RedisAccounts {
    /// The client program.
    pub client: &'static str,
}

impl Accounts for RedisAccounts {
    fn two_passwords(&self) -> bool {
        true
    }

    fn superuser(&self) -> Option<Superuser> {
        Some(Superuser {
            env: &[],
            secret_path: None,
            password_variable: "REDISCLI_AUTH",
            at_any_start: true,
        })
    }

    fn set(&self, _addon: &Name, account: &Account) -> Script {
        self.commands(format!("ACL SETUSER {} reset {}\n", account.login, rules(account)), |said| {
            said == "OK"
        })
    }

    fn retire(&self, _addon: &Name, login: &str) -> Script {
        self.commands(format!("ACL SETUSER {login} off resetpass\n"), |said| said == "OK")
    }

    fn end_sessions(&self, login: &str) -> Script {
        self.commands(format!("CLIENT KILL USER {login}\n"), |said| {
            said.starts_with("ERR No such user") || said.parse::<u64>().is_ok()
        })
    }

    /// The server ends the sessions by itself.
    fn remove(&self, _addon: &Name, login: &str) -> Vec<Script> {
        vec![self.commands(format!("ACL DELUSER {login}\n"), |said| said.parse::<u64>().is_ok())]
    }

    /// It is only about which data there are: nothing of them belongs to a user.
    fn acting_as(&self, _addon: &Name) -> Option<Vec<String>> {
        Some(vec![])
    }

    fn users_text(
        &self,
        _addon: &Name,
        accounts: &[Account],
        superuser: Option<&Password>,
    ) -> Option<String> {
        // Reset, `default` is off, has no password, and lets nobody in. It may do everything all the same: what a start replays
        // of the append-only file runs as `default`, and a transaction that this user may not do is dropped without a word
        // (Redis issue 14541, Valkey issue 3983).
        let mut text = "user default reset ~* &* +@all\n".to_owned();
        if let Some(password) = superuser {
            text.push_str(&format!("user {SUPERUSER} on #{} ~* &* +@all\n", hash(password)));
        }
        for account in accounts {
            text.push_str(&format!("user {} {}\n", account.login, rules(account)));
        }
        Some(text)
    }
}

impl RedisAccounts {
    pub(super) fn commands(&self, input: String, check: fn(&str) -> bool) -> Script {
        Script { check, ..Script::new(&[self.client, "-h", "127.0.0.1", "--user", SUPERUSER], input) }
    }
}

/// What a user may do. None of them may change users, settings or the server itself.
fn rules(account: &Account) -> String {
    let rights = match account.rights {
        Rights::Owner => "+@all -@admin +config|get",
        Rights::ReadWrite => "+@all -@admin -@dangerous +info +keys +sort",
        Rights::ReadOnly => {
            "+@read +@connection +@transaction -@admin -@dangerous +info +keys +subscribe +psubscribe +unsubscribe +punsubscribe"
        }
    };
    let hashes: String = account.passwords.iter().map(|password| format!("#{} ", hash(password))).collect();
    format!("on {hashes}~* &* {rights}")
}

fn hash(password: &Password) -> String {
    hex(&Sha256::digest(password.expose()))
}
