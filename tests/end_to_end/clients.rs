//! Client programs: how they are started, watched and ended. None of them can hang a test.

use std::io::{Read, Seek, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::control::Ended;

/// A program that is going to be started.
pub struct Program(Command);

/// A program that runs.
pub struct Running {
    child: Child,
    stdout: Option<JoinHandle<String>>,
    stderr: Option<JoinHandle<String>>,
}

/// psql, without its start-up file and with plain output.
pub fn psql(host: &str, port: u16, name: &str, password: &str) -> Program {
    libpq("psql", host, port, name, password).args(["-X", "-A", "-t", "-q", "-v", "ON_ERROR_STOP=1"])
}

/// pgbench, from where Debian keeps it.
pub fn pgbench(host: &str, port: u16, name: &str, password: &str) -> Program {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let found = versions.map(|version| version.path().join("bin/pgbench")).find(|path| path.exists());
    let path = found.unwrap_or_else(|| PathBuf::from("pgbench"));
    libpq(path.to_str().unwrap(), host, port, name, password)
}

fn libpq(program: &str, host: &str, port: u16, name: &str, password: &str) -> Program {
    let mut command = Command::new(program);
    command.env("PGHOST", host).env("PGPORT", port.to_string()).env("PGDATABASE", name);
    command.env("PGUSER", name).env("PGPASSWORD", password).env("LC_ALL", "C.UTF-8");
    Program(command)
}

/// The mariadb program, without its configuration files.
pub fn mariadb(host: &str, port: u16, name: &str, password: &str) -> Program {
    let mut command = Command::new("mariadb");
    // Without it `localhost` and 127.0.0.1 might mean a socket file.
    command.args(["--no-defaults", "--protocol=tcp", "-h", host, "-P", &port.to_string(), "-u", name]);
    command.env("MYSQL_PWD", password);
    Program(command)
}

/// redis-cli.
pub fn redis_cli(host: &str, port: u16, name: &str, password: &str) -> Program {
    let mut command = Command::new("redis-cli");
    command.args(["-h", host, "-p", &port.to_string(), "--user", name]).env("REDISCLI_AUTH", password);
    Program(command)
}

/// mongosh, to run this.
pub fn mongosh(url: &str, script: &str) -> Program {
    let mut command = Command::new(Path::new(&node_modules()).join(".bin/mongosh"));
    // It keeps a history and logs there.
    command.env("HOME", std::env::temp_dir()).args([url, "--quiet", "--norc", "--eval", script]);
    Program(command)
}

/// A script of tests/clients, with the interpreter and the libraries that scripts/test has installed.
pub fn script(name: &str) -> Program {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/clients").join(name);
    let extension = path.extension().unwrap_or_default().to_str();
    let mut command = match extension {
        Some("py") => {
            Command::new(setting("PIERHEAD_TEST_PYTHON", "/var/cache/pierhead/test-clients/venv/bin/python"))
        }
        Some("php") => Command::new("php"),
        _ => Command::new("node"),
    };
    command.env("NODE_PATH", node_modules());
    command.arg(path);
    Program(command)
}

/// Where npm's packages are.
pub fn node_modules() -> String {
    setting("PIERHEAD_TEST_NODE_PATH", "/var/cache/pierhead/test-clients/node_modules")
}

/// Any other program.
pub fn program(name: &str) -> Program {
    let mut command = Command::new(name);
    command.env("LC_ALL", "C.UTF-8");
    Program(command)
}

fn setting(variable: &str, default: &str) -> String {
    std::env::var(variable).unwrap_or_else(|_| default.to_owned())
}

impl Program {
    pub fn args<'a>(mut self, args: impl IntoIterator<Item = &'a str>) -> Self {
        self.0.args(args);
        self
    }

    pub fn env(mut self, variable: &str, value: &str) -> Self {
        self.0.env(variable, value);
        self
    }

    /// Where the names in this file, instead of /etc/hosts, have an address. Needs root.
    pub fn with_hosts(self, file: &Path) -> Self {
        let mut command = Command::new("unshare");
        command.args(["--mount", "sh", "-c", "mount --bind \"$0\" /etc/hosts && exec \"$@\""]).arg(file);
        command.arg(self.0.get_program()).args(self.0.get_args());
        command.envs(self.0.get_envs().filter_map(|(variable, value)| Some((variable, value?))));
        Program(command)
    }

    /// Starts it; what it writes is read as it comes.
    pub fn start(self) -> Running {
        self.start_reading(Stdio::null())
    }

    fn start_reading(mut self, input: Stdio) -> Running {
        self.0.stdin(input).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = spawn(&mut self.0);
        let stdout = Some(read_all(child.stdout.take().unwrap()));
        let stderr = Some(read_all(child.stderr.take().unwrap()));
        Running { child, stdout, stderr }
    }

    /// Starts it with an open input, and an output that nobody reads.
    pub fn start_stuck(mut self) -> Running {
        self.0.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let child = spawn(&mut self.0);
        Running { child, stdout: None, stderr: None }
    }

    /// Runs it to its end.
    pub fn run(self) -> Ended {
        self.start().finish()
    }

    /// The same, with this as its input.
    pub fn run_with_input(self, input: &[u8]) -> Ended {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(input).unwrap();
        file.rewind().unwrap();
        self.start_reading(file.into()).finish()
    }

    /// Runs it to its end, which must be a good one, and reads its output as JSON.
    #[track_caller]
    pub fn json(self) -> Value {
        let ended = self.run();
        assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
        serde_json::from_str(&ended.stdout).unwrap()
    }
}

impl Running {
    /// Waits for the end, up to a time beyond which something has got stuck.
    #[track_caller]
    pub fn finish(self) -> Ended {
        self.finish_within(Duration::from_secs(300))
    }

    /// Waits for the end.
    #[track_caller]
    pub fn finish_within(mut self, timeout: Duration) -> Ended {
        let deadline = Instant::now() + timeout;
        let mut status = None;
        while status.is_none() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
            status = self.child.try_wait().unwrap();
        }
        if status.is_none() {
            self.child.kill().unwrap();
        }
        let text = |reader: &mut Option<JoinHandle<String>>| {
            reader.take().map(|thread| thread.join().unwrap()).unwrap_or_default()
        };
        let (stdout, stderr) = (text(&mut self.stdout), text(&mut self.stderr));
        let Some(status) = status else { panic!("a client hangs after {timeout:?}: {stdout}{stderr}") };
        Ended { code: status.code(), stdout, stderr }
    }

    /// What Ctrl-C does.
    pub fn interrupt(&self) {
        signal(self.child.id(), "INT");
    }

    /// Writes to its input until it takes no more, from a thread that ends with it.
    pub fn feed(&mut self, line: &'static str) {
        let mut input = self.child.stdin.take().unwrap();
        thread::spawn(move || while input.write_all(line.as_bytes()).is_ok() {});
    }
}

impl Drop for Running {
    /// SIGKILL, if it still runs.
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub fn signal(pid: u32, signal: &str) {
    let status = Command::new("sh").args(["-c", "kill -s \"$0\" \"$1\"", signal, &pid.to_string()]).status();
    assert!(status.unwrap().success());
}

fn spawn(command: &mut Command) -> Child {
    let program = command.get_program().to_owned();
    command
        .spawn()
        .unwrap_or_else(|error| panic!("{program:?}: {error} (scripts/test installs what is needed)"))
}

fn read_all(mut from: impl Read + Send + 'static) -> JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = vec![];
        let _ = from.read_to_end(&mut bytes);
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
