//! The users of RabbitMQ. They are in the file of definitions that the server reads at every start, and are given to the
//! running server as such a file, too. What is not in there any more has to be removed from the server.

use serde_json::{Value, json};

use super::{Accounts, Script, Superuser};
use crate::addons::kinds::rabbitmq::password_hash;
use crate::addons::logins::{Account, Rights};
use crate::addons::secrets::Password;
use crate::dialect::Name;

/// The users of RabbitMQ.
pub(in crate::addons::kinds) struct RabbitmqAccounts;

impl Accounts for RabbitmqAccounts {
    fn two_passwords(&self) -> bool {
        false
    }

    /// Who is root in the container has the server's cookie.
    fn superuser(&self) -> Option<Superuser> {
        None
    }

    fn set(&self, addon: &Name, account: &Account) -> Script {
        let definitions = definitions(addon, std::slice::from_ref(account));
        Script::new(&["rabbitmqctl", "-q", "import_definitions"], format!("{definitions}\n"))
    }

    /// A user without a password is let in by nothing.
    fn retire(&self, _addon: &Name, login: &str) -> Script {
        only_if_there(login, "clear_password \"$0\"")
    }

    fn end_sessions(&self, login: &str) -> Script {
        let what = "close_all_user_connections \"$0\" 'ended by pierhead'";
        Script::new(&["sh", "-c", &format!("rabbitmqctl -q {what}"), login], String::new())
    }

    /// The server ends the sessions by itself. Queues are the virtual host's: they stay.
    fn remove(&self, _addon: &Name, login: &str) -> Vec<Script> {
        vec![only_if_there(login, "delete_user \"$0\"")]
    }

    fn users_text(
        &self,
        addon: &Name,
        accounts: &[Account],
        _superuser: Option<&Password>,
    ) -> Option<String> {
        Some(format!("{}\n", definitions(addon, accounts)))
    }
}

/// In the server's own terms: a client that only publishes and consumes needs no right to configure, but for queues that the
/// server names.
fn definitions(addon: &Name, accounts: &[Account]) -> Value {
    let user = |account: &Account| {
        json!({
            "name": account.login,
            "password_hash": account.password().map(|password| password_hash(&account.login, password)),
            "hashing_algorithm": "rabbit_password_hashing_sha256",
            // May set policies for its queues, where the image has the plugin `management`.
            "tags": if account.rights == Rights::Owner { vec!["policymaker"] } else { vec![] },
        })
    };
    let permission = |account: &Account| {
        let (configure, write) = match account.rights {
            Rights::Owner => (".*", ".*"),
            Rights::ReadWrite => (r"^amq\.gen.*$", ".*"),
            Rights::ReadOnly => ("^$", "^$"),
        };
        json!({
            "user": account.login, "vhost": addon.as_str(), "configure": configure, "write": write, "read": ".*",
        })
    };
    json!({
        "vhosts": [{ "name": addon.as_str() }],
        "users": accounts.iter().map(user).collect::<Vec<_>>(),
        "permissions": accounts.iter().map(permission).collect::<Vec<_>>(),
    })
}

/// rabbitmqctl has no way of its own to say that there is no such user.
fn only_if_there(login: &str, what: &str) -> Script {
    let script = format!(
        "rabbitmqctl -q {what} && exit\n\
         users=$(rabbitmqctl -q list_users --no-table-headers) || exit\n\
         ! printf '%s\\n' \"$users\" | cut -f 1 | grep -qxF -- \"$0\""
    );
    Script::new(&["sh", "-c", &script, login], String::new())
}
