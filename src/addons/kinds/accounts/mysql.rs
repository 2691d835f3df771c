//! The users of MariaDB and MySQL. MySQL lets a user in with either of two passwords: an old one is retained. MariaDB could be
//! told of two ways of logging in (`VIA ... OR ...`), but asks for the second password by a second AuthSwitchRequest, which
//! drivers refuse.

use super::{Accounts, Script, Superuser, quoted};
use crate::addons::logins::{Account, Rights};
use crate::addons::secrets::Password;
use crate::dialect::Name;
use crate::dialect::mysql::Flavour;

/// The users of one of the two.
pub(in crate::addons::kinds) struct MysqlAccounts {
    /// The client program.
    pub client: &'static str,
    /// Which of the two it is.
    pub flavour: Flavour,
    /// What differs in the image's variables if `root` has a password of its own.
    pub env: &'static [(&'static str, &'static str)],
}

impl Accounts for MysqlAccounts {
    fn two_passwords(&self) -> bool {
        self.flavour == Flavour::Mysql
    }

    fn superuser(&self) -> Option<Superuser> {
        Some(Superuser {
            env: self.env,
            secret_path: Some("/run/secrets/superuser"),
            password_variable: "MYSQL_PWD",
            at_any_start: false,
        })
    }

    fn login_len_max(&self) -> usize {
        match self.flavour {
            Flavour::Mariadb => 63,
            Flavour::Mysql => 32,
        }
    }

    fn set(&self, addon: &Name, account: &Account) -> Script {
        let user = user(&account.login);
        let rights = match account.rights {
            Rights::Owner => "ALL PRIVILEGES",
            Rights::ReadWrite => {
                "SELECT, INSERT, UPDATE, DELETE, EXECUTE, SHOW VIEW, LOCK TABLES, CREATE TEMPORARY TABLES"
            }
            Rights::ReadOnly => "SELECT, SHOW VIEW",
        };
        let made = match (self.flavour, account.password()) {
            (Flavour::Mysql, Some(password)) => {
                format!("CREATE USER IF NOT EXISTS {user} IDENTIFIED BY {};\n", literal(password))
            }
            _ => format!("CREATE USER IF NOT EXISTS {user} ACCOUNT LOCK;\n"),
        };
        let passwords = self.identified(&user, &account.passwords);
        self.sql(&format!(
            "{made}GRANT {rights} ON `{addon}`.* TO {user};\n{passwords}ALTER USER {user} ACCOUNT UNLOCK;\n"
        ))
    }

    fn retire(&self, _addon: &Name, login: &str) -> Script {
        self.sql(&format!("ALTER USER IF EXISTS {} ACCOUNT LOCK;\n", user(login)))
    }

    /// There is no statement for it that both know. A session that is gone by then is no error.
    fn end_sessions(&self, login: &str) -> Script {
        let sessions = "information_schema.processlist WHERE user =";
        let script = self.sql(&format!("SELECT CONCAT('KILL ', id, ';') FROM {sessions} '{login}';\n"));
        let shell = ["sh", "-c", END_SESSIONS].map(str::to_owned);
        Script { command: [&shell[..], &script.command].concat(), ..script }
    }

    /// A user by whom views or routines are defined stays, locked: they run with its rights.
    fn remove(&self, addon: &Name, login: &str) -> Vec<Script> {
        let definer = quoted(&format!("{login}@%"), true);
        let defined = |table: &str, schema: &str| {
            format!(
                "(SELECT COUNT(*) FROM information_schema.{table} WHERE {schema} = '{addon}' AND definer = {definer})"
            )
        };
        let count = [
            defined("views", "table_schema"),
            defined("routines", "routine_schema"),
            defined("triggers", "trigger_schema"),
            defined("events", "event_schema"),
        ]
        .join(" + ");
        let drop = quoted(&format!("DROP USER IF EXISTS {}", user(login)), true);
        let remove = self.sql(&format!(
            "SET @what = IF({count} = 0, {drop}, 'DO 0');\nPREPARE what FROM @what;\nEXECUTE what;\n"
        ));
        vec![self.retire(addon, login), self.end_sessions(login), remove]
    }
}

impl MysqlAccounts {
    fn identified(&self, user: &str, passwords: &[Password]) -> String {
        let by = |password: &Password| literal(password);
        match (self.flavour, passwords) {
            (_, []) => String::new(),
            (Flavour::Mariadb, [.., one]) => format!("ALTER USER {user} IDENTIFIED BY {};\n", by(one)),
            (Flavour::Mysql, [one]) => {
                format!(
                    "ALTER USER {user} IDENTIFIED BY {};\nALTER USER {user} DISCARD OLD PASSWORD;\n",
                    by(one)
                )
            }
            // Whichever of the two is the present one, both are let in after each of the statements.
            (Flavour::Mysql, [old, new, ..]) => [old, new]
                .map(|password| {
                    format!("ALTER USER {user} IDENTIFIED BY {} RETAIN CURRENT PASSWORD;\n", by(password))
                })
                .concat(),
        }
    }

    /// By the socket file: `root` has no other way in.
    pub(super) fn sql(&self, statements: &str) -> Script {
        Script::new(&[self.client, "--protocol=socket", "-u", "root", "-N", "-B"], statements.to_owned())
    }
}

fn user(login: &str) -> String {
    format!("'{login}'@'%'")
}

fn literal(password: &Password) -> String {
    quoted(password.expose(), true)
}

/// The client and its arguments are `$0` and behind; what it reads says which statements it is to run.
const END_SESSIONS: &str = r#"statements=$("$0" "$@") && printf '%s\n' "$statements" | "$0" "$@" --force 2>/dev/null || [ -n "$statements" ]"#;
