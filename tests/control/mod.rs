//! What the tests of provisioning and of the control API share: a Pierhead of their own on the real dockerd, with
//! its own directory, socket and port. Whatever it has made is removed at the end, also after a failure.

#![allow(dead_code, reason = "every test file uses its own part of this")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

/// The image of the kind `postgres` in the tests: see scripts/images.
pub fn image() -> String {
    std::env::var("PIERHEAD_TEST_IMAGE").unwrap_or_else(|_| "pierhead/postgres:15".into())
}

/// The image of the kind `redis` in the tests, and of the Redis that they start themselves.
pub fn redis_image() -> String {
    std::env::var("PIERHEAD_TEST_REDIS_IMAGE").unwrap_or_else(|_| "pierhead/redis:7".into())
}

/// The image of the kind `valkey` in the tests.
pub const VALKEY_IMAGE: &str = "pierhead/valkey:8";

/// A Pierhead of the test's own.
pub struct Pierhead {
    pub dir: TempDir,
    pub port: u16,
    pub redis_port: u16,
    /// Begins the name of everything that the test makes.
    pub prefix: String,
    child: Option<Child>,
    runs: u32,
    pub docker_host: Option<String>,
}

/// How a command ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

impl Pierhead {
    /// Starts one that is ready for requests.
    pub fn start() -> Self {
        let mut pierhead = Pierhead::stopped();
        pierhead.serve(None);
        pierhead
    }

    /// Starts one whose configuration has these lines too, at its end.
    pub fn start_with(lines: &str) -> Self {
        let mut pierhead = Pierhead::stopped();
        let text = fs::read_to_string(pierhead.config()).unwrap();
        fs::write(pierhead.config(), text + lines).unwrap();
        pierhead.serve(None);
        pierhead
    }

    /// One that has its configuration, but is not started.
    pub fn stopped() -> Self {
        let dir = TempDir::new().unwrap();
        let mut random = [0; 3];
        File::open("/dev/urandom").unwrap().read_exact(&mut random).unwrap();
        let prefix = format!("ct-{:02x}{:02x}{:02x}", random[0], random[1], random[2]);
        let port = free_ports(u16::from_be_bytes([random[0], random[1]]), 2);
        let redis_port = port + 1;
        let pierhead = Pierhead { dir, port, redis_port, prefix, child: None, runs: 0, docker_host: None };
        pierhead.configure(&image());
        pierhead
    }

    /// The same with a Docker engine that does not exist.
    pub fn without_docker() -> Self {
        let mut pierhead = Pierhead::stopped();
        pierhead.docker_host = Some(format!("unix://{}/no-docker.sock", pierhead.dir.path().display()));
        pierhead.serve(None);
        pierhead
    }

    /// Writes the configuration, with this image for the kind `postgres`.
    pub fn configure(&self, image: &str) {
        let dir = self.dir.path().display();
        let (port, redis_port, redis_image) = (self.port, self.redis_port, redis_image());
        let text = format!(
            "data_dir = \"{dir}/data\"\n[control]\nsocket = \"{dir}/run/control.sock\"\nmode = \"0600\"\n\
             [[listener]]\ndialect = \"postgres\"\nlisten = [\"127.0.0.1:{port}\"]\n\
             [[listener]]\ndialect = \"redis\"\nlisten = [\"127.0.0.1:{redis_port}\"]\n\
             [core]\nbuffers = 64\n\
             [plan.small]\ncpus = 0.5\nmemory = \"256MiB\"\npids = 100\nconnections_max = 50\n\
             [plan.odd]\n[kind.postgres]\nimage = \"{image}\"\n\
             [kind.redis]\nimage = \"{redis_image}\"\n[kind.valkey]\nimage = \"{VALKEY_IMAGE}\"\n"
        );
        fs::write(self.config(), text).unwrap();
    }

    pub fn config(&self) -> PathBuf {
        self.dir.path().join("pierhead.toml")
    }

    pub fn socket(&self) -> PathBuf {
        self.dir.path().join("run/control.sock")
    }

    /// A name of the test's own.
    pub fn name(&self, rest: &str) -> String {
        format!("{}-{rest}", self.prefix)
    }

    /// Starts the process, to stop at a crash point if one is given, and waits until it answers.
    pub fn serve(&mut self, crash_at: Option<&str>) {
        self.serve_by(self.command(&["serve"]), crash_at);
    }

    /// Starts one that may have so many descriptors open, and waits until it answers.
    pub fn serve_with_descriptors(&mut self, count: usize) {
        let serve = self.command(&["serve"]);
        let mut command = Command::new("prlimit");
        command.arg(format!("--nofile={count}:{count}")).arg(serve.get_program()).args(serve.get_args());
        command.envs(serve.get_envs().filter_map(|(key, value)| Some((key, value?))));
        self.serve_by(command, None);
    }

    fn serve_by(&mut self, mut command: Command, crash_at: Option<&str>) {
        assert!(self.child.is_none());
        self.runs += 1;
        let log = File::create(self.log()).unwrap();
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        if let Some(point) = crash_at {
            command.env("PIERHEAD_CRASH_AT", point);
        }
        self.child = Some(command.spawn().unwrap());
        let up = || UnixStream::connect(self.socket()).is_ok() || self.has_stopped_at_crash_point();
        wait_for("pierhead to answer", Duration::from_secs(30), up);
    }

    fn log(&self) -> PathBuf {
        self.dir.path().join(format!("log.{}", self.runs))
    }

    /// What the present process has written.
    pub fn log_text(&self) -> String {
        fs::read_to_string(self.log()).unwrap_or_default()
    }

    /// Whether the process has reached its crash point.
    pub fn has_stopped_at_crash_point(&self) -> bool {
        self.log_text().contains("as PIERHEAD_CRASH_AT says")
    }

    /// The process that runs.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().unwrap().id()
    }

    /// Waits until the process has ended by itself.
    #[track_caller]
    pub fn wait(&mut self, timeout: Duration) -> ExitStatus {
        let mut status = None;
        wait_for("pierhead to end", timeout, || {
            status = self.child.as_mut().unwrap().try_wait().unwrap();
            status.is_some()
        });
        self.child = None;
        status.unwrap()
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// The command line on this Pierhead.
    pub fn run(&self, args: &[&str]) -> Ended {
        let output = self.command(args).stdin(Stdio::null()).output().unwrap();
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The same, and it must succeed. Returns what it has written to stdout.
    #[track_caller]
    pub fn ok(&self, args: &[&str]) -> String {
        let ended = self.run(args);
        assert_eq!(ended.code, Some(0), "{args:?}: {ended:?}\n{}", self.log_text());
        ended.stdout
    }

    /// The same, with `--json`.
    #[track_caller]
    pub fn json(&self, args: &[&str]) -> Value {
        let text = self.ok(&[args, &["--json"]].concat());
        serde_json::from_str(&text).unwrap()
    }

    /// The state of an addon; empty if there is none.
    pub fn state(&self, name: &str) -> String {
        let ended = self.run(&["info", name, "--json"]);
        let value: Value = serde_json::from_str(&ended.stdout).unwrap_or_default();
        value["state"].as_str().unwrap_or("").to_owned()
    }

    /// Runs SQL through the edge with psql, as the addon's user. `Err` is what psql has said.
    pub fn try_sql(&self, name: &str, sql: &str) -> Result<String, String> {
        let ended = self.run(&["connect", name, "--", "-XAtqv", "ON_ERROR_STOP=1", "-c", sql]);
        if ended.code == Some(0) { Ok(ended.stdout.trim().to_owned()) } else { Err(ended.stderr) }
    }

    /// The same, and it must succeed.
    #[track_caller]
    pub fn sql(&self, name: &str, sql: &str) -> String {
        self.try_sql(name, sql).unwrap_or_else(|error| panic!("{sql}: {error}\n{}", self.log_text()))
    }

    /// The command line on this Pierhead, to be run otherwise.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pierhead"));
        command.args(args.iter().take_while(|arg| **arg != "--"));
        command.arg("--config").arg(self.config()).args(args.iter().skip_while(|arg| **arg != "--"));
        if let Some(host) = &self.docker_host {
            command.env("DOCKER_HOST", host);
        }
        command
    }

    /// A request as somebody without the CLI would send it. Returns status and body; status 0 without an answer.
    pub fn http(&self, method: &str, path: &str, body: &[u8]) -> (u16, String) {
        let mut stream = UnixStream::connect(self.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let length = body.len();
        let head = format!(
            "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(head.as_bytes()).unwrap();
        // The server may refuse a large body before it has read all of it.
        let _ = stream.write_all(body);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8(answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
        (status.unwrap_or(0), body.to_owned())
    }

    /// The label that is on everything that this Pierhead makes.
    pub fn label(&self) -> Option<String> {
        let store = rusqlite::Connection::open(self.dir.path().join("data/pierhead.db")).ok()?;
        let query = "SELECT value FROM meta WHERE key = 'instance'";
        let instance: String = store.query_row(query, [], |row| row.get(0)).ok()?;
        Some(format!("label=pierhead.instance={instance}"))
    }

    /// Names of everything that this Pierhead has on the engine.
    pub fn left_on_docker(&self) -> Vec<String> {
        let label = self.label().unwrap();
        let mut left = vec![];
        for what in
            [&["ps", "-a", "--format", "{{.Names}}"][..], &["volume", "ls", "-q"], &["network", "ls", "-q"]]
        {
            left.extend(docker(&[what, &["--filter", &label]].concat()).lines().map(str::to_owned));
        }
        left
    }
}

impl Drop for Pierhead {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.log_text();
            let skipped = log.lines().count().saturating_sub(LOG_LINES_SHOWN);
            let end: Vec<&str> = log.lines().skip(skipped).collect();
            eprintln!("the end of pierhead's log ({skipped} lines before it):\n{}", end.join("\n"));
        }
        self.kill();
        let Some(label) = self.label() else { return };
        let filter = ["--filter", &label];
        for (list, remove) in [
            (&["ps", "-aq"][..], &["rm", "-fv"][..]),
            (&["volume", "ls", "-q"], &["volume", "rm", "-f"]),
            (&["network", "ls", "-q"], &["network", "rm"]),
        ] {
            let found = try_docker(&[list, &filter].concat()).unwrap_or_default();
            for id in found.lines() {
                let _ = try_docker(&[remove, &[id]].concat());
            }
        }
    }
}

const LOG_LINES_SHOWN: usize = 60;

/// The first of `count` ports in a row that can be listened on again and again: below those that the kernel gives to
/// clients. They are looked for from `first` on.
pub fn free_ports(first: u16, count: u16) -> u16 {
    let is_free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let mut firsts = (0..1000).map(|n| 20_000 + (first % 11_000).wrapping_add(n));
    firsts.find(|first| (0..count).all(|n| is_free(first + n))).unwrap()
}

/// A port for a further listener, which no other test of this process is given.
pub fn further_port() -> u16 {
    static TAKEN: AtomicU16 = AtomicU16::new(0);
    free_ports((std::process::id() as u16 % 10_000) + TAKEN.fetch_add(17, Ordering::Relaxed), 1)
}

/// Runs the Docker command line, which must succeed.
#[track_caller]
pub fn docker(args: &[&str]) -> String {
    try_docker(args).unwrap_or_else(|error| panic!("docker {args:?}: {error} (scripts/test sets Docker up)"))
}

/// Runs the Docker command line. `Err` is what it has said.
pub fn try_docker(args: &[&str]) -> Result<String, String> {
    let output = Command::new("docker").args(args).output().map_err(|error| error.to_string())?;
    if output.status.success() {
        return Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned());
    }
    Err(String::from_utf8_lossy(&output.stderr).into_owned())
}

/// What Docker says of a container, volume or network.
#[track_caller]
pub fn inspect(what: &str) -> Value {
    let all: Value = serde_json::from_str(&docker(&["inspect", what])).unwrap();
    all[0].clone()
}

/// Waits until something is so.
#[track_caller]
pub fn wait_for(what: &str, timeout: Duration, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + timeout;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited {timeout:?} in vain for {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// Permission bits and owner of a file.
pub fn mode_and_uid(path: &Path) -> (u32, u32) {
    use std::os::unix::fs::MetadataExt;
    let metadata = path.metadata().unwrap();
    (metadata.mode() & 0o777, metadata.uid())
}
