//! MariaDB in a container, made with plain `docker run`, and the protocol as far as a test speaks it itself.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::{Once, OnceLock};
use std::time::Duration;

use super::clients::{Program, mariadb};
use super::engine::{PASSWORD, address, name, own_network, run};
use super::stage::{HOST, Stage};
use crate::control::{docker, try_docker, wait_for};

/// A MariaDB whose user, database and container have one name. There is another user, `NAME.other`.
pub struct Mariadb {
    pub name: String,
    removed_on_drop: bool,
}

/// A Pierhead of the test's own with a port for MariaDB.
pub struct MysqlStage {
    pub stage: Stage,
    pub port: u16,
}

/// What the server says in one packet.
#[derive(Debug, PartialEq, Eq)]
pub struct Packet {
    pub sequence: u8,
    pub payload: Vec<u8>,
}

pub const PORT: u16 = 3306;
pub const OTHER_PASSWORD: &str = "another one";

impl Mariadb {
    /// The one that all tests may use that do it no harm.
    pub fn shared() -> &'static Mariadb {
        static SHARED: OnceLock<Mariadb> = OnceLock::new();
        SHARED.get_or_init(|| {
            let mut mariadb = Mariadb::start("mysql", &[], &["--max-connections=300"]);
            mariadb.removed_on_drop = false;
            mariadb
        })
    }

    /// One of the test's own, which answers; with these options for Docker and arguments for the server.
    pub fn start(suffix: &str, options: &[&str], arguments: &[&str]) -> Mariadb {
        let name = name(suffix);
        let variables = [
            format!("MARIADB_USER={name}"),
            format!("MARIADB_DATABASE={name}"),
            format!("MARIADB_PASSWORD={PASSWORD}"),
            format!("MARIADB_ROOT_PASSWORD={PASSWORD}"),
            "MARIADB_ROOT_HOST=localhost".to_owned(),
            "MARIADB_INITDB_SKIP_TZINFO=1".to_owned(),
        ];
        let variables = variables.iter().flat_map(|variable| ["-e", variable]).collect::<Vec<_>>();
        let container = ["-d", "--name", &name, "--network", own_network(), "-l", ROUTED];
        // What is written is thrown away anyway.
        let server = [&[IMAGE, "--innodb-flush-log-at-trx-commit=0"], arguments].concat();
        run(&[&container[..], &variables, options, &server].concat());
        let mariadb = Mariadb { name, removed_on_drop: true };
        let up = || mariadb.address().is_some_and(|_| mariadb.try_sql("select 1").is_ok());
        wait_for("MariaDB to be up", Duration::from_secs(60), up);
        mariadb.as_root(&format!(
            "create user '{0}.other'@'%' identified by '{OTHER_PASSWORD}'; grant all on `{0}`.* to '{0}.other'@'%'",
            mariadb.name
        ));
        mariadb
    }

    /// The container's address, if it has one now.
    pub fn address(&self) -> Option<IpAddr> {
        address(&self.name)
    }

    /// The mariadb program, as this MariaDB's user and in its database.
    pub fn cli(&self, host: &str, port: u16) -> Program {
        mariadb(host, port, &self.name, PASSWORD).args([&*self.name])
    }

    /// Runs SQL as root, inside the container: it may come in no other way.
    #[track_caller]
    pub fn as_root(&self, sql: &str) {
        let password = format!("MYSQL_PWD={PASSWORD}");
        docker(&["exec", "-e", &password, &self.name, "mariadb", "-uroot", "-e", sql]);
    }

    fn try_sql(&self, sql: &str) -> Result<String, String> {
        let host = self.address().unwrap().to_string();
        let ended = self.cli(&host, PORT).args(["-e", sql]).run();
        if ended.code == Some(0) { Ok(ended.stdout.trim().to_owned()) } else { Err(ended.stderr) }
    }
}

impl Drop for Mariadb {
    fn drop(&mut self) {
        if self.removed_on_drop {
            let _ = try_docker(&["rm", "-fv", &self.name]);
        }
    }
}

impl MysqlStage {
    /// Its configuration has these lines too.
    pub fn new(lines: &str) -> Self {
        let port = TcpListener::bind((HOST, 0)).unwrap().local_addr().unwrap().port();
        let listener = format!("[[listener]]\ndialect = \"mysql\"\nlisten = [\"{HOST}:{port}\"]\n");
        MysqlStage { stage: Stage::new(&(listener + lines)), port }
    }

    /// Where its port for MariaDB is.
    pub fn address(&self) -> SocketAddr {
        SocketAddr::new(HOST.parse().unwrap(), self.port)
    }

    /// Waits until the edge lets clients in at `mariadb`, which must be up.
    #[track_caller]
    pub fn wait_until_routed(&self, mariadb: &Mariadb) {
        wait_for("a login at the MySQL port", Duration::from_secs(30), || {
            // It begins TLS unasked where it is offered.
            mariadb.cli(HOST, self.port).args(["--skip-ssl", "-e", "select 1"]).run().code == Some(0)
        });
    }
}

/// A container that is routed, has run and has ended.
pub fn stopped() -> String {
    static MADE: Once = Once::new();
    let name = name("mysql-off");
    MADE.call_once(|| {
        let container = ["--name", &name, "--network", own_network(), "-l", ROUTED];
        run(&[&container[..], &["pierhead/tiny:1", "sleep", "0"]].concat());
    });
    name
}

/// A server's text without the address that it says its client comes from: through the edge it is another one.
pub fn from_anywhere(text: &str) -> String {
    let parts = text.split("'@'").enumerate().map(|(number, part)| match part.split_once('\'') {
        Some((_, rest)) if number > 0 => format!("HOST'{rest}"),
        _ => part.to_owned(),
    });
    parts.collect::<Vec<_>>().join("'@'")
}

/// Connects and hears the greeting.
pub fn greeted(at: SocketAddr) -> (TcpStream, Packet) {
    let mut socket = TcpStream::connect(at).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let greeting = packet(&mut socket);
    (socket, greeting)
}

/// The next packet.
#[track_caller]
pub fn packet(socket: &mut TcpStream) -> Packet {
    let mut header = [0; 4];
    socket.read_exact(&mut header).unwrap();
    let [a, b, c, sequence] = header;
    let mut payload = vec![0; u32::from_le_bytes([a, b, c, 0]) as usize];
    socket.read_exact(&mut payload).unwrap();
    Packet { sequence, payload }
}

/// Says that the client is `user`, and nothing more, in a packet with this number.
pub fn respond(socket: &mut TcpStream, sequence: u8, user: &str) {
    let payload = [&head(BASE)[..], user.as_bytes(), b"\0\0some_plugin\0"].concat();
    socket.write_all(&framed(sequence, &payload)).unwrap();
}

/// A packet.
pub fn framed(sequence: u8, payload: &[u8]) -> Vec<u8> {
    [&(payload.len() as u32).to_le_bytes()[..3], &[sequence], payload].concat()
}

/// The first 32 bytes of a response that claims these capabilities.
pub fn head(flags: u32) -> Vec<u8> {
    [&flags.to_le_bytes()[..], b"\0\0\0\x01\x2d", &[0; 23]].concat()
}

/// CLIENT_MYSQL, PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH.
pub const BASE: u32 = 1 | 1 << 9 | 1 << 15 | 1 << 19;

const ROUTED: &str = "pierhead.protocol=mysql";
const IMAGE: &str = "pierhead/mariadb:10.11";
