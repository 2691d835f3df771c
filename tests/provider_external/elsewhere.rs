//! Engines that Pierhead has not made, and names for their hosts.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use crate::control::{self, Ended, Pierhead, docker, inspect, try_docker, wait_for};

/// A container that Pierhead has not made, on Docker's own bridge. It goes when this does.
pub struct Container {
    pub name: String,
}

impl Container {
    /// Starts one.
    pub fn run(name: &str, options: &[&str], image: &str, args: &[&str]) -> Self {
        docker(&[&["run", "-d", "--name", name], options, &[image], args].concat());
        Container { name: name.into() }
    }

    /// Where it is now.
    pub fn address(&self) -> String {
        let networks = inspect(&self.name)["NetworkSettings"]["Networks"].clone();
        let network = networks.as_object().unwrap().values().next().unwrap().clone();
        network["IPAddress"].as_str().unwrap().to_owned()
    }
}

impl Drop for Container {
    fn drop(&mut self) {
        let _ = try_docker(&["rm", "-fv", &self.name]);
    }
}

/// A PostgreSQL in a container of its own, without a label of Pierhead's.
pub struct Elsewhere {
    container: Container,
    pub address: String,
    pub password: String,
}

impl Elsewhere {
    /// Starts one with a superuser and database of this name, and waits until it lets that one in.
    pub fn start(container: &str, user: &str) -> Self {
        Elsewhere::run(container, user, &[])
    }

    /// One with labels that claim the name.
    pub fn labelled(container: &str, user: &str) -> Self {
        let name = format!("pierhead.name={user}");
        let labels =
            ["--label", "pierhead.protocol=postgres", "--label", &name, "--label", "pierhead.generation=0"];
        Elsewhere::run(container, user, &labels)
    }

    fn run(container: &str, user: &str, more: &[&str]) -> Self {
        // The same for each of its name, as replicas have it.
        let password = format!("pw-{user}");
        let (as_user, secret) = (format!("POSTGRES_USER={user}"), format!("POSTGRES_PASSWORD={password}"));
        let options = [&["--env", &as_user, "--env", &secret], more].concat();
        let container = Container::run(container, &options, &control::image(), &[]);
        let elsewhere = Elsewhere { address: container.address(), container, password };
        elsewhere.until_it_answers(user);
        elsewhere
    }

    pub fn address_now(&self) -> String {
        self.container.address()
    }

    fn until_it_answers(&self, user: &str) {
        // Over TCP: while it sets itself up it listens on its Unix socket only.
        wait_for("the engine elsewhere", Duration::from_secs(90), || self.answers(user));
    }

    pub fn answers(&self, user: &str) -> bool {
        try_docker(&["exec", &self.container.name, "pg_isready", "-q", "-h", "127.0.0.1", "-U", user]).is_ok()
    }

    /// What it says who is asked who one is.
    pub fn says(&self, user: &str) -> String {
        format!("{user}@{}", self.address)
    }

    pub fn stop(&self) {
        docker(&["stop", "-t", "5", &self.container.name]);
    }

    pub fn start_again(&self) {
        docker(&["start", &self.container.name]);
    }
}

/// A host name in /etc/hosts, for as long as this lives.
pub struct HostName {
    pub name: String,
}

impl HostName {
    pub fn new(name: &str) -> Self {
        HostName { name: name.into() }
    }

    /// From now on it has these addresses.
    pub fn leads_to(&self, addresses: &[&str]) {
        let lines = addresses.iter().map(|address| format!("{address} {}\n", self.name));
        self.write(&lines.collect::<String>());
    }

    /// In place, as Docker mounts the file; another test may be at it.
    fn write(&self, lines: &str) {
        static TURN: Mutex<()> = Mutex::new(());
        let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let lock = fs::File::create(std::env::temp_dir().join("pierhead-test-hosts.lock")).unwrap();
        lock.lock().unwrap();
        let before = fs::read_to_string(HOSTS).unwrap();
        let others = before.lines().filter(|line| !line.split_whitespace().any(|word| word == self.name));
        let others: String = others.map(|line| format!("{line}\n")).collect();
        fs::write(HOSTS, format!("{others}{lines}")).unwrap();
    }
}

impl Drop for HostName {
    fn drop(&mut self) {
        self.write("");
    }
}

const HOSTS: &str = "/etc/hosts";

/// A psql that stays connected through the edge.
pub struct Session {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Session {
    pub fn open(pierhead: &Pierhead, name: &str, password: &str) -> Self {
        let mut child =
            psql(pierhead, name, password).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut session = Session { child, input, output };
        assert_eq!(session.query("SELECT 'open'"), "open");
        session
    }

    pub fn query(&mut self, sql: &str) -> String {
        writeln!(self.input, "{sql};").unwrap();
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn psql(pierhead: &Pierhead, name: &str, password: &str) -> Command {
    let mut command = Command::new("psql");
    let port = pierhead.port.to_string();
    command.args(["-XAtq", "-h", "127.0.0.1", "-p", &port, "-U", name, name]).env("PGPASSWORD", password);
    command
}

impl Pierhead {
    /// Asks for an addon elsewhere, its password on stdin.
    pub fn try_create_external(&self, name: &str, host: &str, password: &str, more: &[&str]) -> Ended {
        let where_it_is = ["--protocol", "postgres", "--host", host];
        self.try_create("elsewhere", name, password, &[&where_it_is, more].concat())
    }

    /// Asks a provider for an addon, its password on stdin.
    pub fn try_create(&self, provider: &str, name: &str, password: &str, more: &[&str]) -> Ended {
        let create = ["create", provider, name, "--password-file", "-"];
        let mut command = self.command(&[&create[..], more].concat());
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        writeln!(child.stdin.take().unwrap(), "{password}").unwrap();
        let output = child.wait_with_output().unwrap();
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// The same, and it must succeed. Returns its URL.
    #[track_caller]
    pub fn create_external(&self, name: &str, host: &str, password: &str) -> String {
        let ended = self.try_create_external(name, host, password, &[]);
        assert_eq!(ended.code, Some(0), "{ended:?}\n{}", self.log_text());
        ended.stdout.trim().to_owned()
    }

    /// Logs in through the edge as somebody who knows the password.
    pub fn try_sql_as(&self, name: &str, password: &str) -> Result<String, String> {
        let output = psql(self, name, password).args(["-c", "SELECT 1"]).output().unwrap();
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            false => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }
}
