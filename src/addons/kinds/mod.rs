//! The engines that can be provisioned. A kind is one file here and one line in [`ALL`].
//!
//! In come names, passwords and addresses; out go the image's variables, URLs, command lines, and the answer to
//! "does a login succeed?", the only thing here that touches the network.

mod accounts;
mod archive;
mod memcached;
mod mongodb;
mod mosquitto;
mod mysql;
mod mysql_upgrade;
mod nats;
mod postgres;
mod postgres_upgrade;
mod rabbitmq;
mod rabbitmq_archive;
mod redis;
mod redis_archive;
pub mod upgrade;

use std::fmt::Write;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::time::Duration;

pub use self::accounts::{Accounts, LIVE, SUPERUSER, Script, Settings, Superuser};
pub use self::archive::{Archive, Edit, Ends, Swap};
use super::secrets::Password;
use crate::config::Plan;
use crate::dialect::mysql::Flavour;
use crate::dialect::{Name, Protocol};

/// Every kind, in the order in which they are listed to people.
pub static ALL: &[&dyn Kind] = &[
    &postgres::Postgres,
    &mysql::MARIADB,
    &mysql::MYSQL,
    &redis::REDIS,
    &redis::VALKEY,
    &rabbitmq::Rabbitmq,
    &mongodb::Mongodb,
    &nats::Nats,
    &mosquitto::Mosquitto,
    &memcached::Memcached,
];

/// The kind called `name`.
pub fn find(name: &str) -> Option<&'static dyn Kind> {
    ALL.iter().copied().find(|kind| kind.name() == name)
}

/// What makes an engine an addon.
pub trait Kind: Send + Sync {
    /// The word in `pierhead create KIND NAME` and in `[kind.KIND]`.
    fn name(&self) -> &'static str;

    /// The protocol it speaks.
    fn protocol(&self) -> Protocol;

    /// The port on which it listens inside its container.
    fn port(&self) -> u16;

    /// What the ports of the edge say they are that suit it best, where its protocol has flavours.
    fn flavour(&self) -> Option<Flavour> {
        None
    }

    /// Names that no addon of this kind may have: its engine's logins of that name mean something else.
    fn reserved_names(&self) -> &'static [&'static str] {
        &[]
    }

    /// The least memory, in bytes, with which its engine starts.
    fn memory_min(&self) -> u64 {
        0
    }

    /// How its image is told what to become.
    fn image_settings(&self, name: &Name, plan: &Plan) -> ImageSettings;

    /// What the file at [`ImageSettings::secret_path`] holds, where that is not the bare password.
    fn secret_text(&self, _name: &Name, _password: &Password) -> Option<String> {
        None
    }

    /// The user (uid) inside its official image who must be able to read that file.
    fn secret_uid(&self) -> u32 {
        // What most of those have that are based on Debian.
        999
    }

    /// The URL that an application is given.
    fn url(&self, access: &Access<'_>) -> String;

    /// The environment variable that applications expect the URL in.
    fn variable(&self) -> &'static str;

    /// Whether a login with the application's password, as `login`, succeeds at `address`. The error says why not; whether that
    /// will pass with time cannot be told from it. Gives up by itself after a few seconds.
    fn check_login<'a>(
        &'a self,
        address: SocketAddr,
        name: &'a Name,
        login: &'a str,
        password: &'a Password,
    ) -> LoginCheck<'a>;

    /// How its engine's users are made, changed and removed. `None`: it has but the one that it was made with.
    fn accounts(&self) -> Option<&dyn Accounts> {
        None
    }

    /// What an addon may tell its engine otherwise than its plan does. `None`: nothing.
    fn settings(&self) -> Option<&dyn Settings> {
        None
    }

    /// How its data are exported and imported. `None`: not at all.
    fn archive(&self, _name: &Name) -> Option<Archive> {
        None
    }

    /// How it changes its version. `None`: not at all.
    fn upgrade(&self) -> Option<upgrade::Upgrade> {
        None
    }

    /// The engine's own client program, for `pierhead connect`. `None`: there is none that takes a password from anywhere
    /// but its arguments, which everybody can read.
    fn client(&self, _access: &Access<'_>) -> Option<ClientCommand> {
        None
    }

    /// Where that program takes the password from no variable: a shell script that runs it. The program is `$0`.
    fn client_script(&self) -> Option<&'static str> {
        None
    }

    /// Where the image has no such program, or there is none at all: what to use.
    fn client_elsewhere(&self) -> Option<&'static str> {
        None
    }
}

/// What [`Kind::check_login`] returns.
pub type LoginCheck<'a> = Pin<Box<dyn Future<Output = Result<(), String>> + Send + 'a>>;

/// A check that gives up after a few seconds.
fn in_time<'a>(check: impl Future<Output = Result<(), String>> + Send + 'a) -> LoginCheck<'a> {
    Box::pin(async move {
        let checked = tokio::time::timeout(LOGIN_TIMEOUT, check).await;
        checked.unwrap_or_else(|_| Err(format!("no answer to a login within {LOGIN_TIMEOUT:?}")))
    })
}

const LOGIN_TIMEOUT: Duration = Duration::from_secs(5);

/// How an image is told what to become.
pub struct ImageSettings {
    /// Environment variables. No secrets: anyone who may ask Docker can read them.
    pub env: Vec<(&'static str, String)>,
    /// Arguments for the image's entry point, before those of the configuration. No secrets either.
    pub args: Vec<String>,
    /// Where in the container the file with the secret is.
    pub secret_path: &'static str,
    /// Where in the container the data are. Images have moved this from one version to the next: the first of
    /// these that the image declares as a volume is meant, else the first.
    pub volume_paths: &'static [&'static str],
}

/// Everything that a client needs.
#[derive(Clone, Copy)]
pub struct Access<'a> {
    /// The addon, and its database.
    pub name: &'a Name,
    /// Who logs in: the addon's name, or `name.role`.
    pub login: &'a str,
    /// The password.
    pub password: &'a Password,
    /// Host name or address of the edge.
    pub host: &'a str,
    /// Port of the edge.
    pub port: u16,
}

/// A program to run for somebody at a terminal.
#[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize, utoipa::ToSchema)]
pub struct ClientCommand {
    /// The program, found in `PATH`. Empty where there is none.
    pub program: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Its arguments inside the container, where the program is missing on this host.
    pub args_in_container: Vec<String>,
    /// The environment variable through which it takes the password: an argument could be read by anybody.
    pub password_variable: String,
}

/// A URL that holds a login and a place, and nothing else.
fn login_url(scheme: &str, access: &Access<'_>) -> String {
    let (login, password) = (percent_encoded(access.login), percent_encoded(access.password.expose()));
    format!("{scheme}://{login}:{password}@{}:{}", url_host(access.host), access.port)
}

/// Escapes what RFC 3986 does not allow in the user, password or path of a URL.
fn percent_encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(byte.into()),
            // Writing to a string cannot fail.
            _ => drop(write!(out, "%{byte:02X}")),
        }
        out
    })
}

/// `host` as it is written in a URL: an IPv6 address needs brackets.
fn url_host(host: &str) -> String {
    if host.contains(':') { format!("[{host}]") } else { host.to_owned() }
}
