//! The users of PostgreSQL. Names are made of letters, digits, `-`, `_` and `.`, so that quotes around them are enough.

use super::{Accounts, SUPERUSER, Script, Superuser, quoted};
use crate::addons::logins::{Account, Rights};
use crate::dialect::Name;

/// The users of PostgreSQL.
pub(in crate::addons::kinds) struct PostgresAccounts;

impl Accounts for PostgresAccounts {
    fn two_passwords(&self) -> bool {
        false
    }

    fn superuser(&self) -> Option<Superuser> {
        Some(Superuser {
            env: &[("POSTGRES_USER", SUPERUSER), ("POSTGRES_PASSWORD_FILE", "/run/secrets/superuser")],
            secret_path: Some("/run/secrets/superuser"),
            password_variable: "PGPASSWORD",
            at_any_start: false,
        })
    }

    /// Whichever of its two logins the application has now.
    fn acting_as(&self, addon: &Name) -> Option<Vec<String>> {
        Some(vec![format!("PGOPTIONS=-c role={addon}")])
    }

    fn set(&self, addon: &Name, account: &Account) -> Script {
        let login = &account.login;
        let is_base = login == addon.as_str();
        let member = match account.rights {
            _ if is_base => String::new(),
            // What it makes is the application's from the start.
            Rights::Owner => format!(
                "GRANT \"{addon}\" TO \"{login}\";\n\
                 ALTER ROLE \"{login}\" IN DATABASE \"{addon}\" SET role = '{addon}';\n"
            ),
            Rights::ReadWrite => {
                granted(addon, login, "SELECT, INSERT, UPDATE, DELETE", "USAGE, SELECT, UPDATE")
            }
            Rights::ReadOnly => granted(addon, login, "SELECT", "SELECT"),
        };
        // The server is told a verifier: whatever it logs, there is no password in it.
        let verifier = account
            .password()
            .map(|password| postgres_protocol::password::scram_sha_256(password.expose().as_bytes()));
        let password = verifier.map_or("NULL".to_owned(), |verifier| quoted(&verifier, false));
        sql(
            addon,
            &format!(
                "BEGIN;\n{base}{made}{member}ALTER ROLE \"{login}\" LOGIN PASSWORD {password};\nCOMMIT;\n",
                base = base(addon),
                made = made(login),
            ),
        )
    }

    fn retire(&self, addon: &Name, login: &str) -> Script {
        sql(addon, &if_there(login, &format!("ALTER ROLE \"{login}\" NOLOGIN PASSWORD NULL")))
    }

    fn end_sessions(&self, login: &str) -> Script {
        let end = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE usename =";
        psql("postgres", format!("{end} '{login}';\n"))
    }

    fn remove(&self, addon: &Name, login: &str) -> Vec<Script> {
        let statements = ["REASSIGN OWNED BY", "DROP OWNED BY", "DROP ROLE"];
        let statement = |start: &str| match start {
            "REASSIGN OWNED BY" => if_there(login, &format!("{start} \"{login}\" TO \"{addon}\"")),
            _ => if_there(login, &format!("{start} \"{login}\"")),
        };
        // One transaction, that waits for nobody for long.
        let all: String = statements.iter().map(|start| statement(start)).collect();
        let remove = sql(addon, &format!("BEGIN;\nSET LOCAL lock_timeout = '10s';\n{all}COMMIT;\n"));
        vec![self.retire(addon, login), self.end_sessions(login), remove]
    }
}

/// The role that everything in the database belongs to, and the database.
fn base(addon: &Name) -> String {
    let limits = "NOSUPERUSER NOCREATEROLE NOCREATEDB NOREPLICATION NOBYPASSRLS";
    // From 15 on the schema is the database owner's by itself.
    format!(
        "{made}ALTER ROLE \"{addon}\" {limits};\n\
         ALTER DATABASE \"{addon}\" OWNER TO \"{addon}\";\n\
         DO $$BEGIN IF current_setting('server_version_num')::int < 150000 AND to_regnamespace('public') IS NOT NULL \
         THEN ALTER SCHEMA public OWNER TO \"{addon}\"; REVOKE CREATE ON SCHEMA public FROM PUBLIC; END IF; END$$;\n",
        made = made(addon.as_str()),
    )
}

fn made(role: &str) -> String {
    format!(
        "DO $$BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN CREATE ROLE \"{role}\"; \
         END IF; END$$;\n"
    )
}

fn if_there(role: &str, statement: &str) -> String {
    format!(
        "DO $$BEGIN IF EXISTS (SELECT FROM pg_roles WHERE rolname = '{role}') THEN {statement}; END IF; END$$;\n"
    )
}

/// Rights in every schema that is the application's or `public`, to what is there and to what the application makes later.
/// The application is a member of the login: what that one makes - a large object - it can read, and so can a dump.
fn granted(addon: &Name, login: &str, on_tables: &str, on_sequences: &str) -> String {
    format!(
        "GRANT \"{login}\" TO \"{addon}\";\n\
         GRANT CONNECT, TEMPORARY ON DATABASE \"{addon}\" TO \"{login}\";\n\
         DO $$DECLARE s text; BEGIN FOR s IN SELECT nspname FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname <> \
         'information_schema' LOOP\n\
         EXECUTE format('GRANT USAGE ON SCHEMA %I TO \"{login}\"', s);\n\
         EXECUTE format('GRANT {on_tables} ON ALL TABLES IN SCHEMA %I TO \"{login}\"', s);\n\
         EXECUTE format('GRANT {on_sequences} ON ALL SEQUENCES IN SCHEMA %I TO \"{login}\"', s);\n\
         END LOOP; END$$;\n\
         ALTER DEFAULT PRIVILEGES FOR ROLE \"{addon}\" GRANT USAGE ON SCHEMAS TO \"{login}\";\n\
         ALTER DEFAULT PRIVILEGES FOR ROLE \"{addon}\" GRANT {on_tables} ON TABLES TO \"{login}\";\n\
         ALTER DEFAULT PRIVILEGES FOR ROLE \"{addon}\" GRANT {on_sequences} ON SEQUENCES TO \"{login}\";\n"
    )
}

fn sql(addon: &Name, statements: &str) -> Script {
    psql(addon.as_str(), statements.to_owned())
}

/// Over TCP, which is where a server listens only once it is set up.
pub(super) fn psql(database: &str, statements: String) -> Script {
    let to = ["-h", "127.0.0.1", "-U", SUPERUSER, "-d", database];
    let how = ["psql", "-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1"];
    Script::new(&[&how[..], &to].concat(), format!("SET client_min_messages = warning;\n{statements}"))
}
