//! An addon of one kind with its clients.

use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::control::{Pierhead, further_port};

/// An addon, and the Pierhead that it belongs to.
pub struct Stage {
    pub pierhead: Pierhead,
    pub kind: &'static str,
    pub name: String,
}

impl Stage {
    pub fn new(kind: &'static str) -> Self {
        let listener = |dialect: &str, further: &str, image: &str| {
            let port = further_port();
            format!(
                "[[listener]]\ndialect = \"{dialect}\"\n{further}listen = [\"127.0.0.1:{port}\"]\n[kind.{kind}]\nimage = \"{image}\"\nplan = \"roomy\"\n"
            )
        };
        let lines = match kind {
            "mariadb" => listener("mysql", "", "pierhead/mariadb:10.11"),
            "mysql" => listener("mysql", "flavour = \"mysql\"\n", &built("pierhead/mysql")),
            "rabbitmq" => listener("amqp", "", "pierhead/rabbitmq:3.10"),
            _ => String::new(),
        };
        let plan = "[plan.roomy]\ncpus = 1.5\nmemory = \"512MiB\"\npids = 400\nconnections_max = 500\n";
        let pierhead = Pierhead::stopped();
        let text = std::fs::read_to_string(pierhead.config()).unwrap();
        let text = text.replace(
            "mode = \"0600\"\n",
            "mode = \"0600\"\nbindings_max = 2\n"
                .replace('2', if matches!(kind, "redis" | "valkey") { "2" } else { "8" })
                .as_str(),
        );
        std::fs::write(pierhead.config(), text + &lines + plan).unwrap();
        let mut pierhead = pierhead;
        pierhead.serve(None);
        let name = pierhead.name("one");
        pierhead.ok(&["create", kind, &name, "--plan", "roomy"]);
        Stage { pierhead, kind, name }
    }

    pub fn url(&self) -> String {
        self.pierhead.ok(&["url", &self.name]).trim().to_owned()
    }

    #[track_caller]
    pub fn bind(&self, role: &str, access: &str) -> String {
        self.pierhead.ok(&["bind", &self.name, role, "--access", access]).trim().to_owned()
    }

    /// A login as `bindings` shows it; the empty role is the application's.
    #[track_caller]
    pub fn binding(&self, role: &str) -> Value {
        let all = self.pierhead.json(&["bindings", &self.name]);
        let found = all["bindings"]
            .as_array()
            .unwrap()
            .iter()
            .find(|binding| binding["role"].as_str().unwrap_or("") == role);
        found.unwrap_or_else(|| panic!("{role}: {all}")).clone()
    }

    /// Nothing is left, and no password has been written where it does not belong.
    #[track_caller]
    pub fn destroyed(self) {
        let secrets = self.pierhead.dir.path().join("data/secrets").join(&self.name);
        let log = self.pierhead.log_text();
        let engine_log = self.pierhead.ok(&["logs", &self.name, "--tail", "2000"]);
        let inspected = crate::control::inspect(&self.name).to_string();
        for file in std::fs::read_dir(&secrets).unwrap() {
            let secret = std::fs::read_to_string(file.unwrap().path()).unwrap();
            for place in [&log, &engine_log, &inspected] {
                assert!(secret.len() != 40 || !place.contains(&secret), "a password is in {place}");
            }
        }
        self.pierhead.ok(&["destroy", &self.name, "--force"]);
        assert_eq!(self.pierhead.left_on_docker(), [""; 0]);
        assert!(!secrets.exists());
        assert_eq!(self.pierhead.json(&["bindings"])["bindings"].as_array().unwrap().len(), 0);
    }
}

pub fn python() -> String {
    let python = std::env::var("PIERHEAD_TEST_PYTHON");
    python.unwrap_or_else(|_| "/var/cache/pierhead/test-clients/venv/bin/python".into())
}

/// The image of this name that scripts/images has built, whatever its version.
fn built(name: &str) -> String {
    let tags = crate::control::docker(&["images", name, "--format", "{{.Repository}}:{{.Tag}}"]);
    tags.lines().next().unwrap_or_else(|| panic!("scripts/images has built no {name}")).to_owned()
}

/// A client program that says this to the addon at a URL.
pub fn client(kind: &str, url: &str, what: &str) -> Command {
    let (user, password, host, port, database) = parts(url);
    match kind {
        "postgres" => {
            let mut command = Command::new("psql");
            command.args([url, "-XAtqv", "ON_ERROR_STOP=1", "-c", what]);
            command
        }
        "mariadb" | "mysql" => {
            let mut command = Command::new("mariadb");
            command.args([
                "--protocol=tcp",
                "-h",
                host,
                "-P",
                port,
                "-u",
                user,
                "--skip-ssl",
                "-NBe",
                what,
                database,
            ]);
            command.env("MYSQL_PWD", password);
            command
        }
        "redis" | "valkey" => {
            let mut command = Command::new("redis-cli");
            command.args(["--no-auth-warning", "-u", url]).args(what.split(' '));
            command
        }
        _ => {
            let script = format!(
                "import pika\nconnection = pika.BlockingConnection(pika.URLParameters({url:?}))\nchannel = connection.channel()\n{what}\nconnection.close()"
            );
            let mut command = Command::new(python());
            command.args(["-c", &script]);
            command
        }
    }
}

/// User, password, host, port and path of a URL. Passwords of Pierhead's need no escapes.
fn parts(url: &str) -> (&str, &str, &str, &str, &str) {
    let rest = url.split_once("://").unwrap().1;
    let (login, place) = rest.split_once('@').unwrap();
    let (user, password) = login.split_once(':').unwrap();
    let (address, path) = place.split_once('/').unwrap_or((place, ""));
    let (host, port) = address.split_once(':').unwrap();
    (user, password, host, port, path)
}

/// What a program has written; `Err` if it has failed.
pub fn said(mut command: Command) -> Result<String, String> {
    let output = command.output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    if output.status.success() { Ok(text(&output.stdout)) } else { Err(text(&output.stderr)) }
}

pub fn psql(url: &str, sql: &str) -> Result<String, String> {
    said(client("postgres", url, sql))
}

pub fn mariadb(url: &str, sql: &str) -> Result<String, String> {
    said(client("mariadb", url, sql))
}

/// What redis-cli says, errors included.
pub fn redis(url: &str, words: &[&str]) -> String {
    let output = client("redis", url, &words.join(" ")).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    text.trim().to_owned()
}

pub fn pika(url: &str, line: &str) -> Result<String, String> {
    said(client("rabbitmq", url, line))
}

/// A script of tests/clients.
pub fn script(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name)
}
