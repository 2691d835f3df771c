//! What the tests with a real Docker engine share: containers and networks that are gone when the test ends,
//! even if it panics, and a watch that runs meanwhile.
//!
//! They need an engine and the image `pierhead/tiny:1`: `scripts/docker-engine`, `scripts/images`.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::net::SocketAddr;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use pierhead::dialect::Protocol;
use pierhead::docker::{Endpoint, RouteBook, Watch};
use pierhead::routes::{Route, RouteState, Table, Upstream};
use tokio::sync::oneshot;

/// A container that lives until it is told to end.
pub const IMAGE: &str = "pierhead/tiny:1";

/// How long anything may take on a busy machine before the test fails.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// An engine, and what this test made on it.
pub struct Engine {
    host: Option<String>,
    prefix: String,
}

impl Engine {
    /// The engine of this machine.
    pub fn of_this_machine() -> Self {
        Engine::at(None)
    }

    /// Another engine.
    pub fn at(host: Option<String>) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let prefix = format!("rt-{:x}-{:x}-", std::process::id(), COUNT.fetch_add(1, Relaxed));
        Engine { host, prefix }
    }

    pub fn endpoint(&self) -> Endpoint {
        Endpoint::find(self.host.as_deref()).unwrap()
    }

    /// A name for a container, route or network that no other test uses.
    pub fn name(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    /// Runs `docker` with these arguments, separated by spaces; `@` stands for this test's prefix. Returns what it
    /// prints.
    pub fn docker(&self, arguments: &str) -> String {
        self.try_docker(arguments).unwrap_or_else(|error| panic!("docker {arguments}: {error}"))
    }

    pub fn try_docker(&self, arguments: &str) -> Result<String, String> {
        let mut command = Command::new("docker");
        command.args(arguments.split_ascii_whitespace().map(|word| word.replace('@', &self.prefix)));
        if let Some(host) = &self.host {
            command.env("DOCKER_HOST", host);
        }
        let output = command.output().map_err(|error| error.to_string())?;
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).trim().to_owned();
        if output.status.success() { Ok(text(output.stdout)) } else { Err(text(output.stderr)) }
    }

    /// `docker run -d` of a container with this name, `pierhead.protocol=postgres` and further options.
    pub fn run(&self, name: &str, options: &str) -> String {
        self.docker(&format!(
            "run -d --name @{name} -l pierhead.protocol=postgres {options} {IMAGE} sleep 1d"
        ))
    }

    /// The address of the container of that full name on that network.
    pub fn address(&self, name: &str, network: &str) -> String {
        let inspection = self.docker(&format!("inspect {name}"));
        let inspection: serde_json::Value = serde_json::from_str(&inspection).unwrap();
        let networks = &inspection[0]["NetworkSettings"]["Networks"];
        networks[network.replace('@', &self.prefix)]["IPAddress"].as_str().unwrap_or_default().to_owned()
    }
}

impl Engine {
    /// Removes every container and network that this test made.
    pub fn remove_all(&self) {
        for (list, remove) in [("ps -aq", "rm -fv"), ("network ls -q", "network rm")] {
            let list = self.try_docker(&format!("{list} --filter name=@")).unwrap_or_default();
            if !list.is_empty() {
                let _ = self.try_docker(&format!("{remove} {}", list.replace('\n', " ")));
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.remove_all();
    }
}

/// A watch that runs on a thread of its own, as the control thread does, until it is dropped.
pub struct Watched {
    pub table: Arc<Table>,
    pub watch: Arc<Watch>,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Watched {
    pub fn new(engine: &Engine) -> Self {
        let watched = Watched::begin(engine);
        watched.wait("all containers to be known", |watched| watched.table.stale_since().is_none());
        watched
    }

    /// As [`Watched::new`], but does not wait for the first list.
    pub fn begin(engine: &Engine) -> Self {
        Watched::with(engine, |watch| watch)
    }

    /// As [`Watched::begin`], with other settings.
    pub fn with(engine: &Engine, settings: impl FnOnce(Watch) -> Watch) -> Self {
        let table = Arc::new(Table::new());
        let book = Arc::new(RouteBook::new(Arc::clone(&table)));
        let watch = Arc::new(settings(Watch::new(engine.endpoint(), book)));
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn({
            let watch = Arc::clone(&watch);
            move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(async {
                    tokio::select! {
                        () = watch.run() => {}
                        _ = stopped => {}
                    }
                });
            }
        });
        Watched { table, watch, stop: Some(stop), thread: Some(thread) }
    }

    pub fn route(&self, name: &str) -> Option<Arc<Route>> {
        self.table.lookup(Protocol::Postgres, name)
    }

    /// What the route of this name says, in short: `10.0.0.2:5432`, `starting`, `stopped` or `none`.
    pub fn state(&self, name: &str) -> String {
        match self.route(name).map(|route| route.state.clone()) {
            Some(RouteState::Ready(Upstream::Tcp(address))) => address.to_string(),
            Some(RouteState::Ready(_)) => "reached in another way".to_owned(),
            Some(RouteState::Starting) => "starting".to_owned(),
            Some(RouteState::Stopped) => "stopped".to_owned(),
            Some(RouteState::Unreachable) => "unreachable".to_owned(),
            Some(RouteState::Held) => "held".to_owned(),
            None => "none".to_owned(),
        }
    }

    /// Waits until the route of this name says so.
    pub fn expect(&self, name: &str, state: &str) {
        self.wait(&format!("{name} to be {state}"), |watched| watched.state(name) == state);
    }

    /// Waits until the route has an address.
    pub fn expect_ready(&self, name: &str) -> SocketAddr {
        self.wait(&format!("{name} to be ready"), |watched| {
            watched.state(name).parse::<SocketAddr>().is_ok()
        });
        self.state(name).parse().unwrap()
    }

    pub fn wait(&self, what: &str, done: impl Fn(&Self) -> bool) {
        let start = Instant::now();
        while !done(self) {
            assert!(
                start.elapsed() < PATIENCE,
                "waited in vain for {what}; routes: {:?}, link: {:?}",
                self.table.snapshot(),
                *self.watch.link().borrow()
            );
            std::thread::sleep(Duration::from_micros(500));
        }
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "the watch panicked");
        }
    }
}
