//! The stand-in for MongoDB (tests/mongodb/server.py) in a container, a Pierhead that listens for its clients, and the
//! protocol as far as a test speaks it itself.

use std::io::{Read, Write};
use std::net::{IpAddr, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

use super::certificate::Certificate;
use super::engine::{PASSWORD, TINY, address, create, name, own_network, run};
use super::stage::{HOST, Stage};
use crate::control::{docker, further_port, wait_for};

/// A Pierhead with a port for MongoDB.
pub struct MongoStage {
    pub stage: Stage,
    pub port: u16,
}

impl MongoStage {
    /// As [`Stage::new`].
    pub fn new(lines: &str) -> Self {
        Self::speaking("\"mongodb\"", lines)
    }

    /// With a listener that speaks these dialects.
    pub fn speaking(dialects: &str, lines: &str) -> Self {
        let port = further_port();
        let listener = format!("[[listener]]\ndialect = {dialects}\nlisten = [\"{HOST}:{port}\"]\n");
        MongoStage { stage: Stage::new(&(listener + lines)), port }
    }

    /// Waits until the edge tells somebody who means `name` something with these words in it.
    #[track_caller]
    pub fn wait_until_said(&self, name: &str, words: &str) {
        wait_for(&format!("{name}: {words:?}"), Duration::from_secs(20), || {
            String::from_utf8_lossy(&self.ask(&hello(name))).contains(words)
        });
    }

    /// A connection to `name`, for as long as it is kept.
    #[track_caller]
    pub fn hold(&self, name: &str) -> TcpStream {
        let mut held = None;
        wait_for(&format!("a connection to {name}"), Duration::from_secs(20), || {
            let mut socket = TcpStream::connect((HOST, self.port)).unwrap();
            socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
            socket.write_all(&hello(name)).unwrap();
            let mut answer = [0; 64];
            let is_answer = socket.read(&mut answer).is_ok_and(|count| count > 0);
            held = Some(socket);
            is_answer && String::from_utf8_lossy(&answer).contains("isWritablePrimary")
        });
        held.unwrap()
    }

    /// Sends bytes to the edge and reads what comes back until the stream is ended, or for a second.
    pub fn ask(&self, bytes: &[u8]) -> Vec<u8> {
        let mut socket = TcpStream::connect((HOST, self.port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        socket.write_all(bytes).unwrap();
        let (mut answer, mut buffer) = (vec![], [0; 4096]);
        while let Ok(count @ 1..) = socket.read(&mut buffer) {
            answer.extend(&buffer[..count]);
        }
        answer
    }
}

/// A server whose one user, database and container have one name; the one that all tests may use that do it no harm.
pub fn shared() -> &'static str {
    static SHARED: OnceLock<String> = OnceLock::new();
    SHARED.get_or_init(|| {
        let name = name("mongo");
        run(&[&["-d"], &server(&name)[..]].concat());
        let up = || address(&name).is_some_and(|host| TcpStream::connect((host, PORT)).is_ok());
        wait_for("the stand-in for MongoDB to be up", Duration::from_secs(60), up);
        name
    })
}

/// A server that exists and has not been started: what is routed to it is starting. [`docker`] can start it.
pub fn created(suffix: &str) -> String {
    let name = name(suffix);
    create(&server(&name));
    name
}

/// A container that is routed, has run and has ended.
pub fn stopped(name: &str) -> String {
    without_server(name, &[], "0")
}

/// A container that is routed and runs, in which nobody listens.
pub fn deaf() -> String {
    without_server("mongo-deaf", &["-d"], "1d")
}

fn without_server(suffix: &str, how: &[&str], seconds: &str) -> String {
    let name = name(suffix);
    let container = ["--name", &name, "--network", own_network(), "-l", ROUTED, TINY, "sleep", seconds];
    run(&[how, &container].concat());
    name
}

/// A running server with a limit of one connection.
pub fn narrow() -> String {
    let name = name("mongo-narrow");
    run(&[&["-d", "-l", "pierhead.max-connections=1"], &server(&name)[..]].concat());
    wait_for("it to have an address", Duration::from_secs(20), || address(&name).is_some());
    name
}

/// Starts a server that speaks TLS only, with this certificate.
pub fn secured_server(name: &str, certificate: &Certificate) {
    let pair = ["server.crt", "server.key"].map(|file| std::fs::read(certificate.path(file)).unwrap());
    std::fs::write(certificate.path("server.pem"), pair.concat()).unwrap();
    let volume = certificate.volume();
    let tls = ["--tlsMode", "requireTLS", "--tlsCertificateKeyFile", "/tls/server.pem"];
    run(&[&["-d", "-v", &volume], &server(name)[..], &tls].concat());
}

fn server(name: &str) -> Vec<&'static str> {
    let user = format!("{name}:{PASSWORD}@{name}").leak();
    let name = name.to_owned().leak();
    let container = ["--name", name, "--network", own_network(), "-l", ROUTED, IMAGE];
    [&container[..], &["mongod", "--auth", "--user", user]].concat()
}

/// Where the server in a container is.
pub fn direct(name: &str) -> IpAddr {
    address(name).unwrap_or_else(|| panic!("{name} has no address: {}", docker(&["inspect", name])))
}

/// A hello in which an application calls itself `name`.
pub fn hello(name: &str) -> Vec<u8> {
    let string = |key: &str, text: &str| {
        [b"\x02", key.as_bytes(), b"\0", &(text.len() as i32 + 1).to_le_bytes(), text.as_bytes(), b"\0"]
            .concat()
    };
    let document =
        |elements: &[u8]| [&(elements.len() as i32 + 5).to_le_bytes()[..], elements, b"\0"].concat();
    let application = [b"\x03application\0", &document(&string("name", name))[..]].concat();
    let client = [b"\x03client\0", &document(&application)[..]].concat();
    let command = document(&[b"\x10hello\0\x01\0\0\0", &client[..], &string("$db", "admin")].concat());
    let words = [command.len() as i32 + 21, 1, 0, 2013].map(i32::to_le_bytes).concat();
    [&words[..], b"\0\0\0\0\0", &command].concat()
}

pub const PORT: u16 = 27017;
const IMAGE: &str = "pierhead/mongodb-stand-in:7";
const ROUTED: &str = "pierhead.protocol=mongodb";
