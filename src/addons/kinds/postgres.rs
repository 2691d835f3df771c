//! PostgreSQL, as the official image has it.

use std::net::SocketAddr;

use tokio_postgres::NoTls;

use super::accounts::PostgresAccounts;
use super::upgrade::Upgrade;
use super::{
    Access, Accounts, Archive, ClientCommand, ImageSettings, Kind, LoginCheck, Settings, in_time, login_url,
    percent_encoded, postgres_upgrade,
};
use crate::addons::secrets::Password;
use crate::config::Plan;
use crate::dialect::{Name, Protocol};

/// The kind `postgres`.
pub struct Postgres;

impl Kind for Postgres {
    fn name(&self) -> &'static str {
        "postgres"
    }

    fn protocol(&self) -> Protocol {
        Protocol::Postgres
    }

    fn port(&self) -> u16 {
        5432
    }

    /// Pierhead's own user in the engine, and what the engine keeps for itself.
    fn reserved_names(&self) -> &'static [&'static str] {
        &["pierhead", "postgres"]
    }

    /// As it is without a user of Pierhead's own: the application's login is then the superuser.
    fn image_settings(&self, name: &Name, _plan: &Plan) -> ImageSettings {
        let env = vec![
            ("POSTGRES_USER", name.to_string()),
            ("POSTGRES_DB", name.to_string()),
            ("POSTGRES_PASSWORD_FILE", SECRET_PATH.to_owned()),
            // The image lets everybody in over the socket inside the container unless told otherwise.
            ("POSTGRES_INITDB_ARGS", "--auth-host=scram-sha-256 --auth-local=scram-sha-256".to_owned()),
        ];
        // From 18 on the volume is one level up, with the data in a directory named by the major version.
        let volume_paths = &["/var/lib/postgresql/data", "/var/lib/postgresql"];
        ImageSettings { env, args: vec![], secret_path: SECRET_PATH, volume_paths }
    }

    fn url(&self, access: &Access<'_>) -> String {
        format!("{}/{}", login_url("postgres", access), percent_encoded(access.name.as_str()))
    }

    fn variable(&self) -> &'static str {
        "DATABASE_URL"
    }

    fn check_login<'a>(
        &'a self,
        address: SocketAddr,
        name: &'a Name,
        login: &'a str,
        password: &'a Password,
    ) -> LoginCheck<'a> {
        in_time(select_one(address, name, login, password))
    }

    fn accounts(&self) -> Option<&dyn Accounts> {
        Some(&PostgresAccounts)
    }

    fn settings(&self) -> Option<&dyn Settings> {
        Some(&PostgresAccounts)
    }

    fn archive(&self, name: &Name) -> Option<Archive> {
        let at = |program: &str, options: &[&str]| {
            let to = ["-h", "127.0.0.1", "-U", Archive::LOGIN, "-d", name.as_str()];
            [&[program], options, &to].concat().into_iter().map(str::to_owned).collect()
        };
        Some(Archive {
            format: "archive of pg_dump (custom format)",
            extension: "dump",
            export: at("pg_dump", &["--format=custom", "--no-owner", "--no-privileges"]),
            import: at(
                "pg_restore",
                &["--single-transaction", "--clean", "--if-exists", "--no-owner", "--no-privileges"],
            ),
            import_prefix: String::new(),
            // All or nothing, as it is one transaction.
            atomic: true,
            swap: None,
            edit: None,
            password_variable: "PGPASSWORD",
            // It has no mark at its end: pg_restore notices what is cut off, and nothing is committed then.
            check: |ends| {
                if ends.head.starts_with(b"PGDMP") { Ok(()) } else { Err("it does not begin with PGDMP") }
            },
        })
    }

    fn upgrade(&self) -> Option<Upgrade> {
        Some(postgres_upgrade::upgrade())
    }

    fn client(&self, access: &Access<'_>) -> Option<ClientCommand> {
        let args = |host: &str, port: u16| {
            let (port, name) = (port.to_string(), access.name.as_str());
            let args = ["-h", host, "-p", &port, "-U", access.login, "-d", name];
            args.map(str::to_owned).to_vec()
        };
        Some(ClientCommand {
            program: "psql".into(),
            args: args(access.host, access.port),
            args_in_container: args("127.0.0.1", self.port()),
            password_variable: "PGPASSWORD".into(),
        })
    }
}

async fn select_one(
    address: SocketAddr,
    name: &Name,
    login: &str,
    password: &Password,
) -> Result<(), String> {
    let mut config = tokio_postgres::Config::new();
    config.host(address.ip().to_string()).port(address.port());
    config.user(login).dbname(name.as_str()).password(password.expose());
    config.application_name("pierhead login check");
    let (client, connection) = config.connect(NoTls).await.map_err(explain)?;
    // The connection ends by itself once the client is dropped, having said good-bye to the server.
    let connection = tokio::spawn(connection);
    let answer = client.simple_query("SELECT 1").await.map(drop).map_err(explain);
    drop(client);
    // How it ended says nothing about whether the login succeeded.
    let _ = connection.await;
    answer
}

/// The server's own words, where it gave any: the driver's text for these is just "db error".
fn explain(error: tokio_postgres::Error) -> String {
    if let Some(error) = error.as_db_error() {
        return format!("{} ({})", error.message(), error.code().code());
    }
    let source = std::error::Error::source(&error);
    source.map_or_else(|| error.to_string(), |source| format!("{error}: {source}"))
}

const SECRET_PATH: &str = "/run/secrets/password";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls_are_percent_encoded() {
        let (name, password) = (Name::parse("blog-1").unwrap(), Password::new("p@ss/w:rd %é".into()));
        let mut access = Access {
            name: &name,
            login: name.as_str(),
            password: &password,
            host: "db.example.com",
            port: 5432,
        };
        let url = "postgres://blog-1:p%40ss%2Fw%3Ard%20%25%C3%A9@db.example.com:5432/blog-1";
        assert_eq!(Postgres.url(&access), url);
        access.host = "::1";
        assert!(Postgres.url(&access).ends_with("@[::1]:5432/blog-1"));
    }

    #[test]
    fn no_password_in_arguments_or_environment() {
        let (name, password) = (Name::parse("blog").unwrap(), Password::new("sesame".into()));
        let access =
            Access { name: &name, login: name.as_str(), password: &password, host: "127.0.0.1", port: 5432 };
        let client = format!("{:?}", Postgres.client(&access));
        let env = format!("{:?}", Postgres.image_settings(&name, &Plan::default()).env);
        assert!(!client.contains("sesame") && !env.contains("sesame"));
    }
}
