//! Servers in containers for the dialects whose servers are told a user and a password and nothing else, what real
//! clients see of them through the edge and directly, and bytes by hand.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::time::Duration;

use comfy_table::Table;
use serde_json::Value;

use super::clients::script;
use super::engine::{PASSWORD, address, name, own_network, run};
use super::stage::{HOST, Stage};
use crate::control::{free_ports, try_docker, wait_for};

/// A protocol, and how its server is started in a container.
pub struct Broker {
    pub protocol: &'static str,
    pub port: u16,
    pub image: &'static str,
    /// The arguments of a server whose one user has this name and [`PASSWORD`].
    pub args: fn(name: &str) -> Vec<String>,
    /// What a client of this name sends to log in, and what the server answers last.
    pub login: fn(name: &str) -> (Vec<u8>, &'static [u8]),
}

/// A container that is routed. It is removed with its test.
pub struct Server {
    pub name: String,
    port: u16,
}

/// A Pierhead with a port for one protocol, and one container for everything that can become of a client.
pub struct Scene {
    pub stage: Stage,
    pub port: u16,
    pub server: Server,
    /// Has run and has ended.
    pub stopped: Server,
    /// Runs, and takes no connection.
    pub deaf: Server,
    /// Takes one connection, which somebody has.
    pub full: Server,
    holder: TcpStream,
}

/// A driver: its name, its script, and how a person sees each refusal: unknown, stopped, unreachable, full.
pub type Driver<'a> = (&'a str, &'a str, [&'a str; 4]);

impl Broker {
    /// Starts its server, with further options for `docker run`.
    pub fn start(&self, suffix: &str, options: &[&str]) -> Server {
        let name = self.name(suffix);
        let server = (self.args)(&name);
        let server: Vec<&str> = server.iter().map(String::as_str).collect();
        self.run(&name, &[&["-d"], options].concat(), &[&[self.image], &server[..]].concat());
        Server { name, port: self.port }
    }

    /// What the server with this suffix is called.
    pub fn name(&self, suffix: &str) -> String {
        name(&format!("{}-{suffix}", self.protocol))
    }

    fn run(&self, name: &str, options: &[&str], command: &[&str]) {
        let protocol = format!("pierhead.protocol={}", self.protocol);
        let container = ["--name", name, "--network", own_network(), "-l", &protocol];
        run(&[&container[..], options, command].concat());
    }

    /// Everything at once, ready to be connected to.
    pub fn scene(&self) -> Scene {
        let random = RandomState::new().hash_one(self.protocol) as u16;
        let port = free_ports(random, 1);
        let stage = Stage::new(&format!(
            "[limits]\ndial_timeout = \"1s\"\n[[listener]]\ndialect = \"{}\"\nlisten = [\"{HOST}:{port}\"]\n",
            self.protocol
        ));
        let server = self.start("main", &[]);
        let full = self.start("full", &["-l", "pierhead.max-connections=1"]);
        let tiny = |suffix: &str, options: &[&str], time: &str| {
            let name = self.name(suffix);
            self.run(&name, options, &["pierhead/tiny:1", "sleep", time]);
            Server { name, port: self.port }
        };
        let stopped = tiny("off", &[], "0");
        let deaf = tiny("deaf", &["-d"], "1d");
        for server in [&server, &full] {
            server.wait_until_up();
        }
        let edge = SocketAddr::new(HOST.parse().unwrap(), port);
        let mut holder = None;
        wait_for("a route to the server that takes one connection", Duration::from_secs(30), || {
            holder = self.hold(edge, &full.name);
            holder.is_some()
        });
        self.wait_until_routed(edge, &server.name);
        let holder = holder.unwrap();
        Scene { stage, port, server, stopped, deaf, full, holder }
    }

    /// Waits until a login at the edge leads to the server of this name.
    pub fn wait_until_routed(&self, edge: SocketAddr, name: &str) {
        wait_for("a route to the server", Duration::from_secs(30), || self.hold(edge, name).is_some());
    }

    /// A connection that is logged in, if that can be done now.
    fn hold(&self, edge: SocketAddr, name: &str) -> Option<TcpStream> {
        let (bytes, welcome) = (self.login)(name);
        let mut socket = TcpStream::connect(edge).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        socket.write_all(&bytes).unwrap();
        let (mut answer, mut buffer) = (vec![], [0; 4096]);
        while !answer.ends_with(welcome) {
            match socket.read(&mut buffer) {
                Ok(count @ 1..) => answer.extend(&buffer[..count]),
                _ => return None,
            }
        }
        Some(socket)
    }
}

impl Server {
    /// Where it is reached directly.
    pub fn address(&self) -> Option<SocketAddr> {
        Some(SocketAddr::new(address(&self.name)?, self.port))
    }

    pub fn wait_until_up(&self) {
        let answers = || self.address().is_some_and(|at| TcpStream::connect(at).is_ok());
        wait_for("a server to be up", Duration::from_secs(60), answers);
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = try_docker(&["rm", "-fv", &self.name]);
    }
}

impl Scene {
    /// The edge's port.
    pub fn edge(&self) -> SocketAddr {
        SocketAddr::new(HOST.parse::<IpAddr>().unwrap(), self.port)
    }

    /// Lets each driver do everything through the edge and directly, and what it sees must be the same. `refused` are the
    /// cases that fail both ways, each with the edge's words where these are not the server's.
    pub fn same_as_directly(&self, drivers: &[Driver<'_>], refused: &[(&str, Option<&str>)]) {
        let direct = self.server.address().unwrap();
        let mut table = Table::new();
        table.set_header(["client", "as direct", "unknown", "stopped", "unreachable", "full"]);
        let others = [
            ("unknown", UNKNOWN),
            ("stopped", &self.stopped.name),
            ("deaf", &self.deaf.name),
            ("full", &self.full.name),
        ];
        for (driver, source, words) in drivers {
            let through = cases(driver, source, self.edge(), &self.server.name, &others);
            let directly = cases(driver, source, direct, &self.server.name, &[]);
            for (case, seen) in directly.as_object().unwrap() {
                match refused.iter().find(|(refused, _)| refused == case) {
                    Some((_, Some(words))) => {
                        assert!(says(&through[case], words), "{driver}, {case}: {through}")
                    }
                    _ => assert_eq!(&through[case], seen, "{driver}, {case}"),
                }
                let fails = refused.iter().any(|(refused, _)| refused == case);
                assert_eq!(seen["ok"].is_null(), fails, "{driver}, {case}: {seen}");
            }
            for ((case, name), words) in others.iter().zip(words) {
                let words = words.replace("NAME", name);
                assert!(says(&through[*case], &words), "{driver}, {case}: {} {words:?}", through[*case]);
            }
            let same = directly.as_object().unwrap().keys().cloned().collect::<Vec<_>>().join(", ");
            let texts =
                others.iter().map(|(case, _)| through[case]["text"].as_str().unwrap_or("").to_owned());
            table.add_row([(*driver).to_owned(), same].into_iter().chain(texts));
        }
        // Not eprintln!: a test that succeeds is not heard.
        let mut stderr = std::io::stderr();
        writeln!(stderr, "{table}").unwrap();
    }

    /// The end: nothing is left of any client.
    pub fn settle(self) {
        drop(self.holder);
        self.stage.settle_addon(&self.server.name);
    }

    /// How many clients the edge has refused for this reason.
    pub fn refused(&self, reason: &str) -> u64 {
        self.stage.metric("pierhead_refused_total", &[&format!("reason=\"{reason}\"")])
    }
}

fn says(seen: &Value, words: &str) -> bool {
    seen["text"].as_str().is_some_and(|text| text.contains(words))
}

fn cases(driver: &str, source: &str, at: SocketAddr, name: &str, others: &[(&str, &str)]) -> Value {
    let (host, port) = (at.ip().to_string(), at.port().to_string());
    let others: Vec<String> = others.iter().map(|(case, name)| format!("{case}={name}")).collect();
    let args = [driver, &host, &port, name, PASSWORD];
    let seen = script(source).args(args).args(others.iter().map(String::as_str)).json();
    // Some drivers name the place in their messages.
    serde_json::from_str(&seen.to_string().replace(&at.to_string(), "HOST:PORT")).unwrap()
}

/// Sends bytes and reads what comes back until the stream ends, or for a while: what was read, and whether it has ended.
pub fn ask(at: SocketAddr, bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut socket = TcpStream::connect(at).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(700))).unwrap();
    socket.write_all(bytes).unwrap();
    let (mut answer, mut buffer) = (vec![], [0; 4096]);
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return (answer, true),
            Ok(count) => answer.extend(&buffer[..count]),
            Err(error) => return (answer, error.kind() == std::io::ErrorKind::ConnectionReset),
        }
    }
}

pub const UNKNOWN: &str = "nobody-here";
