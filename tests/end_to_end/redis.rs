//! Redis through the edge: who may in, what those read who may not, and that before a login the edge speaks as the
//! server does.

use std::net::{IpAddr, SocketAddr};
use std::sync::OnceLock;
use std::time::Duration;

use super::clients::redis_cli;
use super::engine::{self, PASSWORD, own_network, run};
use super::redis_engine::{PORT, Redis, ask, command};
use super::stage::{HOST, Stage};
use crate::control::wait_for;

#[test]
fn redis_cli_logs_in_or_reads_why_not() {
    let stage = Stage::new("");
    let redis = Redis::shared();
    stage.wait_until_routed_redis(redis);
    let port = stage.pierhead.redis_port;
    let through = |words: &[&str]| redis.cli(HOST, port).args(words.iter().copied()).run().stdout;
    assert_eq!(through(&["ACL", "WHOAMI"]), format!("{}\n", redis.name));
    assert_eq!(through(&["-3", "SET", "redis-cli", "here"]), "OK\n");
    assert_eq!(through(&["-n", "0", "GET", "redis-cli"]), "here\n");

    // A password alone, with the addon's name in front.
    let alone =
        redis_cli(HOST, port, "default", &format!("{}:{PASSWORD}", redis.name)).args(["ACL", "WHOAMI"]).run();
    assert_eq!(alone.stdout, format!("{}\n", redis.name), "{alone:?}");

    // The wrong password is the server's business: the same words as on a direct connection.
    let direct = redis.address().unwrap().to_string();
    let wrong = |host: &str, port| redis_cli(host, port, &redis.name, "wrong").args(["PING"]).run();
    let (through, directly) = (wrong(HOST, port), wrong(&direct, PORT));
    assert!(directly.stderr.contains("WRONGPASS invalid username-password pair"), "{directly:?}");
    assert_eq!((through.stdout, through.stderr), (directly.stdout, directly.stderr));

    for (name, words) in [
        (
            "nobody-here".to_owned(),
            "WRONGPASS invalid username-password pair or user is disabled.".to_owned(),
        ),
        ("default".to_owned(), "WRONGPASS log in with the addon's name: AUTH NAME PASSWORD".to_owned()),
        (stopped(), format!("ERR addon {0} is stopped, \"pierhead start {0}\" starts it", stopped())),
    ] {
        let ended = redis_cli(HOST, port, &name, PASSWORD).args(["PING"]).run();
        let heard = ended.stdout + &ended.stderr;
        assert!(heard.contains(&words), "{name}: {heard:?} does not say {words:?}");
    }
    stage.settle_addon(&redis.name);
}

/// A container that is routed, has run and has ended.
pub fn stopped() -> String {
    static NAME: OnceLock<String> = OnceLock::new();
    NAME.get_or_init(|| labelled("redis-off", &[], "sleep 0")).clone()
}

/// A container that is routed as a Redis and runs something else.
pub fn labelled(suffix: &str, options: &[&str], program: &str) -> String {
    let name = engine::name(suffix);
    let container = ["--name", &name, "--network", own_network(), "-l", "pierhead.protocol=redis"];
    run(&[&container[..], options, &["pierhead/tiny:1", "sh", "-c", program]].concat());
    name
}

/// What a server says to somebody who has not logged in, byte for byte, and whether it closes behind it.
#[test]
fn before_a_login_the_edge_speaks_as_the_server_does() {
    let stage = Stage::new("");
    let redis = Redis::shared();
    stage.wait_until_routed_redis(redis);
    let edge = SocketAddr::new(HOST.parse::<IpAddr>().unwrap(), stage.pierhead.redis_port);
    let server = SocketAddr::new(redis.address().unwrap(), PORT);
    let arrays = [
        &["PING"][..],
        &["COMMAND"],
        &["INFO"],
        &["CLIENT", "LIST"],
        &["SELECT", "0"],
        &["HELLO"],
        &["HELLO", "2"],
        &["HELLO", "3"],
        &["HELLO", "4"],
        &["HELLO", "-1"],
        &["HELLO", "x"],
        &["HELLO", ""],
        &["HELLO", "03"],
        &["HELLO", "99999999999999999999"],
        &["HELLO", "3", "FOO"],
        &["HELLO", "3", "FOO\r\nBAR"],
        &["HELLO", "3", "AUTH", "x"],
        &["HELLO", "3", "SETNAME"],
        &["HELLO", "3", "SETNAME", "a b"],
        &["HELLO", "3", "SETNAME", ""],
        &["HELLO", "4", "AUTH", "blog", "pw"],
        &["AUTH"],
        &["AUTH", "a", "b", "c"],
        &["RESET"],
        &["RESET", "x"],
        &["QUIT"],
        &["quit", "x"],
        &["POST"],
        &["Host:", "x"],
        // The login itself: the server's answer comes through the edge.
        &["AUTH", &redis.name, "wrong"],
        &["AUTH", &redis.name, PASSWORD],
        &["HELLO", "2", "SETNAME", "x", "AUTH", &redis.name, "wrong"],
    ];
    let lines: [&[u8]; 23] = [
        b"PING\r\n",
        b"ping\n",
        b"\r\n\n*0\r\n*-1\r\nPING\r\n",
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        b"*x\r\n",
        b"*01\r\n",
        b"*11\r\n",
        b"*2147483648\r\n",
        b"*1\r\n$x\r\n",
        b"*1\r\n$-1\r\n",
        b"*1\r\n$16385\r\n",
        b"*1\r\n$600000000\r\n",
        b"*1\r\nPING\r\n",
        b"*1\r\n\r\n$4\r\nPING\r\n",
        b"*1\r\n$4\r\nPINGxxPING\r\n",
        b"*1\rX$4\rXPING\r\n",
        b"\"PING\r\n",
        b"'PI'NG\r\n",
        b"\"PING\"\r\n",
        b"P\"ING\"\r\n",
        b"\"\\x50ING\" \r\n",
        b"AUTH\r\nPING\r\nQUIT\r\n",
        b"AUTH \x0b\x0c'x' y z\r\n",
    ];
    // "GET / HTTP/1.1" has the wrong number of arguments, says the server; for the edge it is any command.
    let alike = |bytes: &[u8]| !bytes.starts_with(b"GET");
    let all = arrays.iter().map(|words| command(words)).chain(lines.map(<[u8]>::to_vec));
    // All at once: each takes as long as it takes to be sure that nothing more comes.
    std::thread::scope(|scope| {
        for bytes in all.filter(|bytes| alike(bytes)) {
            scope.spawn(move || {
                assert_eq!(ask(edge, &bytes), ask(server, &bytes), "{:?}", String::from_utf8_lossy(&bytes));
            });
        }
    });
    assert_eq!(ask(edge, lines[3]), ("-NOAUTH Authentication required.\r\n".to_owned(), true));
}

/// Clients pipeline behind the login, and some try another one when the first fails: all of it is answered, and
/// nothing is lost to a reset.
#[test]
fn a_refused_client_reads_why_again_and_again_and_then_the_end() {
    let stage = Stage::new("[limits]\nrefusal_linger = \"2s\"\n");
    let name = stopped();
    let edge = SocketAddr::new(HOST.parse::<IpAddr>().unwrap(), stage.pierhead.redis_port);
    let words = format!("-ERR addon {name} is stopped, \"pierhead start {name}\" starts it\r\n");
    let hello = command(&["HELLO", "3", "AUTH", &name, "pw"]);
    let more =
        [command(&["SELECT", "0"]), command(&["CLIENT", "SETNAME", "x"]), b"PING\r\n".to_vec()].concat();
    wait_for("the route", Duration::from_secs(30), || ask(edge, &hello).0 == words);
    assert_eq!(ask(edge, &[hello.clone(), more].concat()), (words.repeat(4), false));

    use std::io::{Read, Write};
    let mut socket = std::net::TcpStream::connect(edge).unwrap();
    let start = std::time::Instant::now();
    socket.write_all(&hello).unwrap();
    let mut answer = vec![0; words.len()];
    socket.read_exact(&mut answer).unwrap();
    socket.write_all(&command(&["AUTH", &name, "pw"])).unwrap();
    socket.read_exact(&mut answer).unwrap();
    assert_eq!(String::from_utf8_lossy(&answer), words);
    assert_eq!(socket.read(&mut answer).unwrap(), 0, "an orderly end");
    let waited = start.elapsed();
    assert!((Duration::from_millis(1900)..Duration::from_secs(6)).contains(&waited), "{waited:?}");
    assert!(stage.metric("pierhead_refused_total", &["protocol=\"redis\"", "reason=\"stopped\""]) >= 3);
}
