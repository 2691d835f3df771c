//! MariaDB and MySQL, as their official images have them. The application's login is not a superuser: it has every right
//! in the database of its own name. `root` has a password of its own and can log in inside the container only.

use std::net::SocketAddr;

use mysql_async::prelude::Queryable;
use mysql_async::{Conn, Error, OptsBuilder};

use super::accounts::MysqlAccounts;
use super::archive::{Ends, has};
use super::upgrade::Upgrade;
use super::{
    Access, Accounts, Archive, ClientCommand, ImageSettings, Kind, LoginCheck, Settings, in_time, login_url,
    mysql_upgrade, percent_encoded,
};
use crate::addons::secrets::Password;
use crate::config::Plan;
use crate::dialect::mysql::Flavour;
use crate::dialect::{Name, Protocol};

/// The kind `mariadb`.
pub static MARIADB: Mysql = Mysql {
    name: "mariadb",
    flavour: Flavour::Mariadb,
    variables: Variables {
        user: "MARIADB_USER",
        database: "MARIADB_DATABASE",
        password_file: "MARIADB_PASSWORD_FILE",
        root_password_file: "MARIADB_ROOT_PASSWORD_FILE",
        root_host: "MARIADB_ROOT_HOST",
    },
    // From 11.4 on the client insists on TLS otherwise.
    client_option: "--skip-ssl",
    dump_program: "mariadb-dump",
    accounts: MysqlAccounts {
        client: "mariadb",
        flavour: Flavour::Mariadb,
        env: &[("MARIADB_ROOT_PASSWORD_FILE", "/run/secrets/superuser")],
    },
};

/// The kind `mysql`.
pub static MYSQL: Mysql = Mysql {
    name: "mysql",
    flavour: Flavour::Mysql,
    variables: Variables {
        user: "MYSQL_USER",
        database: "MYSQL_DATABASE",
        password_file: "MYSQL_PASSWORD_FILE",
        root_password_file: "MYSQL_ROOT_PASSWORD_FILE",
        root_host: "MYSQL_ROOT_HOST",
    },
    // Without TLS, the first login after a start of the server needs its key. "loose", as a program called mysql may be
    // MariaDB's, which knows no such option and then only says so.
    client_option: "--loose-get-server-public-key",
    dump_program: "mysqldump",
    accounts: MysqlAccounts {
        client: "mysql",
        flavour: Flavour::Mysql,
        env: &[("MYSQL_ROOT_PASSWORD_FILE", "/run/secrets/superuser")],
    },
};

/// A kind of this family.
pub struct Mysql {
    /// The kind, and its client program.
    name: &'static str,
    flavour: Flavour,
    variables: Variables,
    client_option: &'static str,
    dump_program: &'static str,
    accounts: MysqlAccounts,
}

/// What the image calls its environment variables.
struct Variables {
    user: &'static str,
    database: &'static str,
    password_file: &'static str,
    root_password_file: &'static str,
    root_host: &'static str,
}

impl Kind for Mysql {
    fn name(&self) -> &'static str {
        self.name
    }

    fn protocol(&self) -> Protocol {
        Protocol::Mysql
    }

    fn flavour(&self) -> Option<Flavour> {
        Some(self.flavour)
    }

    fn port(&self) -> u16 {
        3306
    }

    /// Users and databases of the server's own.
    fn reserved_names(&self) -> &'static [&'static str] {
        &["root", "mysql", "sys"]
    }

    /// MySQL 9.7 takes 250 MiB when it is idle, and more to set itself up: in 256 MiB the kernel ends it again and again.
    fn memory_min(&self) -> u64 {
        if self.flavour == Flavour::Mysql { 512 << 20 } else { 0 }
    }

    fn image_settings(&self, name: &Name, plan: &Plan) -> ImageSettings {
        let Variables { user, database, password_file, root_password_file, root_host } = self.variables;
        let env = vec![
            (user, name.to_string()),
            (database, name.to_string()),
            (password_file, SECRET_PATH.to_owned()),
            (root_password_file, SECRET_PATH.to_owned()),
            (root_host, "localhost".to_owned()),
        ];
        // To the server all clients come from the edge. If it looked up where they come from, it would count who
        // leaves before the log-in, and after a hundred of those let nobody in.
        let mut args = vec!["--skip-name-resolve".to_owned()];
        // It keeps 240 MiB of figures about itself, so that in 512 MiB the kernel ends it before it is ready (MySQL 9.7).
        if self.flavour == Flavour::Mysql && plan.memory.bytes() < FIGURES_MEMORY_MIN {
            args.push("--performance-schema=OFF".to_owned());
        }
        ImageSettings { env, args, secret_path: SECRET_PATH, volume_paths: &["/var/lib/mysql"] }
    }

    fn url(&self, access: &Access<'_>) -> String {
        format!("{}/{}", login_url("mysql", access), percent_encoded(access.name.as_str()))
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
        in_time(async move { select_one(address, name, login, password).await.map_err(explain) })
    }

    fn accounts(&self) -> Option<&dyn Accounts> {
        Some(&self.accounts)
    }

    fn settings(&self) -> Option<&dyn Settings> {
        Some(&self.accounts)
    }

    fn archive(&self, name: &Name) -> Option<Archive> {
        let at = |program: &str, options: &[&str]| -> Vec<String> {
            let to = ["--protocol=tcp", "-h", "127.0.0.1", "-u", Archive::LOGIN, self.client_option];
            [&[program], &to[..], options, &[name.as_str()]].concat().into_iter().map(str::to_owned).collect()
        };
        let dump = [
            "--single-transaction",
            "--quick",
            "--routines",
            "--triggers",
            "--events",
            "--hex-blob",
            "--no-tablespaces",
        ];
        // Otherwise mysqldump wants to flush tables, which the login may not (seen with 9.7: 1227). MariaDB's knows no GTIDs
        // of this sort.
        let gtid: &[&str] = if self.flavour == Flavour::Mysql { &["--set-gtid-purged=OFF"] } else { &[] };
        let dump = [&dump[..], gtid].concat();
        Some(Archive {
            format: "dump of mariadb-dump or mysqldump (SQL)",
            extension: "sql",
            export: at(self.dump_program, &dump),
            import: [["sh", "-c", IMPORT].map(str::to_owned).to_vec(), at(self.name, &["--batch"])].concat(),
            // The login may do that, and nothing of what was there before is to stay.
            import_prefix: format!("DROP DATABASE `{name}`; CREATE DATABASE `{name}`; USE `{name}`;\n"),
            // Changes of tables are no part of a transaction.
            atomic: false,
            swap: None,
            edit: None,
            password_variable: "MYSQL_PWD",
            check: is_whole_dump,
        })
    }

    fn upgrade(&self) -> Option<Upgrade> {
        (self.flavour == Flavour::Mariadb).then(mysql_upgrade::upgrade)
    }

    fn client(&self, access: &Access<'_>) -> Option<ClientCommand> {
        let args = |host: &str, port: u16| {
            let (name, port) = (access.name.as_str(), port.to_string());
            // By TCP: "localhost" would mean a socket file.
            let args =
                ["--protocol=tcp", "-h", host, "-P", &port, "-u", access.login, self.client_option, name];
            args.map(str::to_owned).to_vec()
        };
        Some(ClientCommand {
            program: self.name.into(),
            args: args(access.host, access.port),
            args_in_container: args("127.0.0.1", self.port()),
            password_variable: "MYSQL_PWD".into(),
        })
    }
}

/// Run by `sh` with the client program and its arguments. Views, triggers and routines of a dump belong to who made them
/// there, who may be nobody here: they become the importing login's. Rows are on other lines.
const IMPORT: &str = r#"LC_ALL=C sed -E '/^(CREATE |\/\*!5)/s/ DEFINER=`[^`]*`@`[^`]*`//' | exec "$0" "$@""#;

fn is_whole_dump(ends: Ends<'_>) -> Result<(), &'static str> {
    if !has(ends.head, "-- MariaDB dump ") && !has(ends.head, "-- MySQL dump ") {
        return Err("it does not begin as a dump does");
    }
    if has(ends.tail, "-- Dump completed") {
        Ok(())
    } else {
        Err("\"-- Dump completed\" is missing at its end")
    }
}

async fn select_one(address: SocketAddr, name: &Name, login: &str, password: &Password) -> Result<(), Error> {
    let options = OptsBuilder::default().ip_or_hostname(address.ip().to_string()).tcp_port(address.port());
    let options = options.user(Some(login)).pass(Some(password.expose())).db_name(Some(name.as_str()));
    // The driver would ask a server on this host for its socket file and go there, past the edge.
    let mut connection = Conn::new(options.prefer_socket(false)).await?;
    connection.query_drop("SELECT 1").await?;
    // How it ends says nothing about whether the login succeeded.
    let _ = connection.disconnect().await;
    Ok(())
}

/// The server's own words, where it gave any.
fn explain(error: Error) -> String {
    match error {
        Error::Server(error) => format!("{} ({}, {})", error.message, error.code, error.state),
        error => error.to_string(),
    }
}

/// The memory of a plan from which on there is room for the performance schema of MySQL.
const FIGURES_MEMORY_MIN: u64 = 1 << 30;

const SECRET_PATH: &str = "/run/secrets/password";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Size;

    #[test]
    fn urls_are_percent_encoded() {
        let (name, password) = (Name::parse("blog-1").unwrap(), Password::new("p@ss/w:rd %é".into()));
        let access =
            Access { name: &name, login: name.as_str(), password: &password, host: "::1", port: 3306 };
        let url = "mysql://blog-1:p%40ss%2Fw%3Ard%20%25%C3%A9@[::1]:3306/blog-1";
        assert_eq!((MARIADB.url(&access), MYSQL.url(&access)), (url.to_owned(), url.to_owned()));
    }

    #[test]
    fn a_small_mysql_keeps_no_figures_about_itself() {
        let name = Name::parse("blog").unwrap();
        let args = |kind: &Mysql, mib| {
            kind.image_settings(&name, &Plan { memory: Size::from_mib(mib), ..Plan::default() }).args.len()
        };
        assert_eq!([args(&MYSQL, 512), args(&MYSQL, 1024), args(&MARIADB, 512)], [2, 1, 1]);
    }

    #[test]
    fn no_password_in_arguments_or_environment() {
        let (name, password) = (Name::parse("blog").unwrap(), Password::new("sesame".into()));
        let access =
            Access { name: &name, login: name.as_str(), password: &password, host: "127.0.0.1", port: 3306 };
        for kind in [&MARIADB, &MYSQL] {
            let settings = kind.image_settings(&name, &Plan::default());
            let shown = format!("{:?}{:?}{:?}", kind.client(&access), settings.env, settings.args);
            assert!(!shown.contains("sesame"));
            assert_eq!(settings.args[0], "--skip-name-resolve", "the edge must never be blocked");
        }
    }
}
