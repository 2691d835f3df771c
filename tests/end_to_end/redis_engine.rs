//! Redis in a container, made with plain `docker run`, and the protocol as far as a test speaks it itself.

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::sync::OnceLock;
use std::time::Duration;

use super::clients::{Program, program, redis_cli};
use super::engine::{PASSWORD, address, name, own_network, run};
use crate::control::{redis_image, try_docker, wait_for};

/// A Redis whose one user and container have one name. `default` is off, as in a provisioned addon.
pub struct Redis {
    pub name: String,
    removed_on_drop: bool,
}

pub const PORT: u16 = 6379;

impl Redis {
    /// The one that all tests may use that do it no harm.
    pub fn shared() -> &'static Redis {
        static SHARED: OnceLock<Redis> = OnceLock::new();
        SHARED.get_or_init(|| {
            let mut redis = Redis::start("redis", own_network());
            redis.removed_on_drop = false;
            redis
        })
    }

    /// One of the test's own, which answers.
    pub fn start(suffix: &str, network: &str) -> Redis {
        Redis::start_with(suffix, network, &[], &[])
    }

    /// The same, with further arguments for `docker run` and for the server.
    pub fn start_with(suffix: &str, network: &str, container: &[&str], settings: &[&str]) -> Redis {
        let name = name(suffix);
        // As ACL SETUSER would be told; an argument of its own for each word.
        let password = format!(">{PASSWORD}");
        let users =
            ["--user", "default", "off", "--user", &name, "on", &password, "allkeys", "allchannels", "+@all"];
        let routed = ["-d", "--name", &name, "--network", network, "-l", "pierhead.protocol=redis"];
        run(&[&routed[..], container, &[&redis_image()], &users, &["--save", ""], settings].concat());
        let redis = Redis { name, removed_on_drop: true };
        wait_for("Redis to be up", Duration::from_secs(60), || {
            redis.address().is_some_and(|host| {
                redis.cli(&host.to_string(), PORT).args(["PING"]).run().stdout == "PONG\n"
            })
        });
        redis
    }

    /// The container's address, if it has one now.
    pub fn address(&self) -> Option<IpAddr> {
        address(&self.name)
    }

    /// redis-benchmark, as this Redis' user.
    pub fn benchmark(&self, host: &str, port: u16) -> Program {
        let port = port.to_string();
        program("redis-benchmark").args(["-h", host, "-p", &port, "--user", &self.name, "-a", PASSWORD])
    }

    /// redis-cli, as this Redis' user.
    pub fn cli(&self, host: &str, port: u16) -> Program {
        redis_cli(host, port, &self.name, PASSWORD)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        if self.removed_on_drop {
            let _ = try_docker(&["rm", "-fv", &self.name]);
        }
    }
}

/// A command as an array.
pub fn command(words: &[&str]) -> Vec<u8> {
    let mut out = format!("*{}\r\n", words.len()).into_bytes();
    words.iter().for_each(|word| out.extend(format!("${}\r\n{word}\r\n", word.len()).as_bytes()));
    out
}

/// Sends bytes and reads what comes back for a while: the answer, and whether the stream has been ended behind it.
pub fn ask(at: SocketAddr, bytes: &[u8]) -> (String, bool) {
    let mut socket = TcpStream::connect(at).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    socket.write_all(bytes).unwrap();
    let (mut answer, mut buffer) = (vec![], [0; 4096]);
    let ended = loop {
        match socket.read(&mut buffer) {
            Ok(0) => break true,
            Ok(count) => answer.extend(&buffer[..count]),
            Err(_) => break false,
        }
    };
    (String::from_utf8_lossy(&answer).into_owned(), ended)
}
