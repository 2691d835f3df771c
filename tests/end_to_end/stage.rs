//! Where a test plays: a Pierhead of its own, clients that go through it, and what it counts meanwhile.

use std::fs;
use std::process::Command;
use std::sync::{Condvar, Mutex};
use std::time::{Duration, Instant};

use super::clients::{Program, pgbench, psql, signal};
use super::engine::{Engine, PASSWORD};
use super::redis_engine::Redis;
use crate::control::{Pierhead, wait_for};

/// A Pierhead of the test's own, as a process.
pub struct Stage {
    pub pierhead: Pierhead,
    _permit: Permit,
}

/// What a process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holdings {
    pub descriptors: usize,
    pub pipe_ends: usize,
    pub resident_kib: u64,
}

impl Stage {
    /// One besides which another test may run. Its configuration has these lines too.
    pub fn new(lines: &str) -> Self {
        let permit = Permit::take(1);
        Stage { pierhead: Pierhead::start_with(lines), _permit: permit }
    }

    /// One beside which nothing else runs, for what is measured.
    pub fn alone(lines: &str) -> Self {
        let permit = Permit::take(PERMITS);
        Stage { pierhead: Pierhead::start_with(lines), _permit: permit }
    }

    /// Waits until the edge lets clients in at `engine`, which must be up.
    #[track_caller]
    pub fn wait_until_routed(&self, engine: &Engine) {
        let deadline = Instant::now() + Duration::from_secs(15);
        while let Err(error) = self.try_sql(engine, "select 1") {
            assert!(Instant::now() < deadline, "no login at {}: {error}", engine.name);
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The same for a Redis.
    #[track_caller]
    pub fn wait_until_routed_redis(&self, redis: &Redis) {
        wait_for("a login at the Redis port", Duration::from_secs(30), || {
            redis.cli(HOST, self.pierhead.redis_port).args(["PING"]).run().stdout == "PONG\n"
        });
    }

    /// psql through the edge, as `engine`'s user.
    pub fn psql(&self, engine: &Engine) -> Program {
        psql(HOST, self.pierhead.port, &engine.name, PASSWORD)
    }

    /// pgbench through the edge.
    pub fn pgbench(&self, engine: &Engine) -> Program {
        pgbench(HOST, self.pierhead.port, &engine.name, PASSWORD)
    }

    /// Runs SQL through the edge.
    #[track_caller]
    pub fn sql(&self, engine: &Engine, sql: &str) -> String {
        self.try_sql(engine, sql).unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// Runs SQL through the edge. `Err` is what psql has said.
    pub fn try_sql(&self, engine: &Engine, sql: &str) -> Result<String, String> {
        let ended = self.psql(engine).args(["-c", sql]).run();
        if ended.code == Some(0) { Ok(ended.stdout.trim().to_owned()) } else { Err(ended.stderr) }
    }

    /// The sum of a metric's samples that carry these labels, written as in `cpu="0"`.
    #[track_caller]
    pub fn metric(&self, name: &str, labels: &[&str]) -> u64 {
        self.samples(name, labels).iter().sum()
    }

    /// A metric's samples that carry these labels.
    #[track_caller]
    pub fn samples(&self, name: &str, labels: &[&str]) -> Vec<u64> {
        let (status, page) = self.pierhead.http("GET", "/metrics", b"");
        assert_eq!(status, 200, "{page}");
        let of_name = |line: &&str| {
            line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' ']))
                && labels.iter().all(|label| line.contains(label))
        };
        let samples: Vec<u64> = page
            .lines()
            .filter(of_name)
            .map(|line| line.rsplit_once(' ').unwrap().1.parse().unwrap())
            .collect();
        assert!(!samples.is_empty(), "no sample of {name} with {labels:?} in\n{page}");
        samples
    }

    /// Connections that the edge holds now.
    pub fn connections(&self) -> u64 {
        let of = |what: &str| {
            // Closed first: read the other way round, the difference could be below zero.
            let closed = self.metric(&format!("pierhead_{what}_closed_total"), &[]);
            self.metric(&format!("pierhead_{what}_opened_total"), &[]) - closed
        };
        of("lobby") + of("relays")
    }

    /// Waits until no connection, buffer and pipe is in use.
    #[track_caller]
    pub fn settle(&self, engine: &Engine) {
        self.settle_addon(&engine.name);
    }

    /// The same for any engine.
    #[track_caller]
    pub fn settle_addon(&self, name: &str) {
        let patience = Duration::from_secs(10);
        wait_for("the edge to be empty", patience, || self.connections() == 0);
        wait_for("all buffers and pipes to be back", patience, || {
            self.metric("pierhead_buffers_in_use", &[]) + self.metric("pierhead_pipes_in_use", &[]) == 0
        });
        let addon = format!("addon=\"{name}\"");
        wait_for("the addon's counter to say so", patience, || {
            self.metric("pierhead_connections_active", &[&addon]) == 0
        });
    }

    pub fn holdings(&self) -> Holdings {
        let directory = format!("/proc/{}", self.pierhead.pid());
        let status = fs::read_to_string(format!("{directory}/status")).unwrap();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        let descriptors = fs::read_dir(format!("{directory}/fd")).unwrap();
        let kinds = descriptors.filter_map(|entry| fs::read_link(entry.ok()?.path()).ok());
        let kinds: Vec<_> = kinds.map(|kind| kind.to_string_lossy().into_owned()).collect();
        // One for each labelled container that runs on this machine, whoever started it: not of connections.
        let namespaces = kinds.iter().filter(|kind| kind.contains("/netns/") || kind.starts_with("net:["));
        Holdings {
            descriptors: kinds.len() - namespaces.count(),
            pipe_ends: kinds.iter().filter(|kind| kind.starts_with("pipe:")).count(),
            resident_kib: resident.trim().trim_end_matches(" kB").parse().unwrap(),
        }
    }

    /// Waits until what the process holds is as it should be.
    #[track_caller]
    pub fn wait_until_it_holds(&self, what: &str, is_so: impl Fn(&Holdings) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(5);
        while !is_so(&self.holdings()) {
            assert!(Instant::now() < deadline, "it does not hold {what}: {:?}", self.holdings());
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Sockets at the edge's port in a state, as ss(8) names it.
    pub fn sockets(&self, state: &str) -> usize {
        let filter = format!("( sport = :{} )", self.pierhead.port);
        let output = Command::new("ss").args(["-Htan", "state", state, &filter]).output().unwrap();
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap().lines().count()
    }

    /// Sends a signal to Pierhead.
    pub fn signal(&self, name: &str) {
        signal(self.pierhead.pid(), name);
    }
}

/// Where the edge listens.
pub const HOST: &str = "127.0.0.1";

/// The right to use the machine: as many tests run at once as there are permits.
struct Permit(usize);

const PERMITS: usize = 2;

static FREE: (Mutex<usize>, Condvar) = (Mutex::new(PERMITS), Condvar::new());

impl Permit {
    fn take(count: usize) -> Self {
        let free = FREE.0.lock().unwrap();
        *FREE.1.wait_while(free, |free| *free < count).unwrap() -= count;
        Permit(count)
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        *FREE.0.lock().unwrap() += self.0;
        FREE.1.notify_all();
    }
}
