//! The promise of `tests/provision.rs` for MariaDB: an addon that was asked for becomes a server that one can log in to
//! through the edge, at the port that is of its flavour, whoever begins log-ins and leaves; and nothing is left of one
//! that was destroyed.

#![allow(clippy::unwrap_used, reason = "a test")]

mod control;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::time::Duration;

use control::{Pierhead, docker, inspect, mode_and_uid, wait_for};

#[test]
fn created_used_stopped_restarted_destroyed() {
    let (mysql_port, port) = (free_port(), free_port());
    let listener = |flavour, port| {
        format!(
            "[[listener]]\ndialect = \"mysql\"\nflavour = \"{flavour}\"\nlisten = [\"127.0.0.1:{port}\"]\n"
        )
    };
    let lines = listener("mysql", mysql_port)
        + &listener("mariadb", port)
        + "[kind.mariadb]\nimage = \"pierhead/mariadb:10.11\"\nplan = \"narrow\"\nargs = [\"--max-connections=20\"]\n\
           [plan.narrow]\nmemory = \"256MiB\"\nconnections_max = 3\n";
    let pierhead = Pierhead::start_with(&lines);
    reserved(&pierhead);
    let name = pierhead.name("shop");
    let url = pierhead.ok(&["create", "mariadb", &name]).trim().to_owned();
    let password =
        url.strip_prefix(&format!("mysql://{name}:")).and_then(|rest| rest.split_once('@')).unwrap().0;
    assert_eq!(url, format!("mysql://{name}:{password}@127.0.0.1:{port}/{name}"));
    assert_eq!(pierhead.ok(&["url", &name]).trim(), url);
    // Ready means that a login through the edge has succeeded; so does the first one after it.
    let who = "select concat(current_user(), ' ', database())";
    assert_eq!(sql(&pierhead, &name, who), format!("{name}@% {name}"));

    looks_as_it_should(&pierhead, &name, password);
    is_no_superuser(&pierhead, &name);
    counts_nobody_who_leaves(&pierhead, &name, port);
    has_its_limit(&pierhead, &name, port);

    sql(&pierhead, &name, "create table t as select 42 as x");
    assert_eq!(pierhead.ok(&["stop", &name]).trim(), format!("{name} is stopped"));
    let stopped =
        format!("ERROR 1105 (08S01): addon \"{name}\" is stopped. \"pierhead start {name}\" starts it.");
    wait_for("the route to be stopped", Duration::from_secs(30), || {
        sql(&pierhead, &name, "select 1") == stopped
    });
    assert_eq!(pierhead.ok(&["start", &name]).trim(), format!("{name} is ready"));
    assert_eq!(sql(&pierhead, &name, "select x from t"), "42");
    docker(&["kill", &name]);
    wait_for("the addon to be back", Duration::from_secs(60), || {
        sql(&pierhead, &name, "select x from t") == "42"
    });
    assert!(pierhead.ok(&["logs", &name, "--tail", "50"]).contains("ready for connections"));

    pierhead.ok(&["destroy", &name, "--force"]);
    assert_eq!(pierhead.left_on_docker(), [""; 0]);
    assert!(!pierhead.dir.path().join("data/secrets").join(&name).exists());
    assert!(!pierhead.log_text().contains(password), "the password is in the log");
}

/// The server's own users and databases cannot be addons.
fn reserved(pierhead: &Pierhead) {
    for name in ["root", "mysql", "sys"] {
        let refused = pierhead.run(&["create", "mariadb", name]);
        assert_eq!(refused.code, Some(2), "{refused:?}");
        assert!(refused.stderr.contains(&format!("{name} is nobody's name in mariadb")), "{refused:?}");
    }
}

#[track_caller]
fn looks_as_it_should(pierhead: &Pierhead, name: &str, password: &str) {
    let container = inspect(name);
    assert!(!container.to_string().contains(password), "the password is in docker inspect");
    assert_eq!(container["Config"]["Labels"]["pierhead.protocol"], "mysql");
    assert_eq!(container["HostConfig"]["Memory"], 256 << 20);
    assert_eq!(
        container["Config"]["Cmd"],
        serde_json::json!(["--skip-name-resolve", "--max-connections=20"])
    );
    let processes = docker(&["top", name, "-eo", "pid,uid,args"]);
    assert!(processes.contains(" 999 ") && processes.contains("mariadbd"), "{processes}");
    assert!(!docker(&["logs", name]).contains(password), "the password is in the container's log");
    let environment = docker(&["exec", "-u", "999", name, "cat", "/proc/1/environ"]);
    assert!(!environment.contains(password), "the password is in the server's environment");
    let secret = pierhead.dir.path().join("data/secrets").join(name).join("password");
    assert_eq!(mode_and_uid(&secret), (0o600, 999));
    let mount =
        container["Mounts"].as_array().unwrap().iter().find(|it| it["Destination"] == "/var/lib/mysql");
    assert_eq!(mount.unwrap()["Name"], format!("pierhead-{name}"));
}

fn is_no_superuser(pierhead: &Pierhead, name: &str) {
    let refused = [
        ("create database other", "ERROR 1044 (42000)"),
        ("select * from mysql.global_priv", "ERROR 1142 (42000)"),
        ("set global max_connections = 1000", "ERROR 1227 (42000)"),
    ];
    for (statement, error) in refused {
        let said = sql(pierhead, name, statement);
        assert!(said.contains(error), "{statement}: {said}");
    }
}

/// Log-ins that are begun and abandoned: as many as would have the edge locked out, were it not for the kind's setting.
fn counts_nobody_who_leaves(pierhead: &Pierhead, name: &str, port: u16) {
    for _ in 0..110 {
        assert_eq!(begin(name, port).1[0], 0xfe, "AuthSwitchRequest");
    }
    assert_eq!(sql(pierhead, name, "select @@skip_name_resolve"), "1");
}

/// A connection over the limit of the plan reads so.
fn has_its_limit(pierhead: &Pierhead, name: &str, port: u16) {
    wait_for("those who left to be gone", Duration::from_secs(30), || sql(pierhead, name, "select 1") == "1");
    std::thread::sleep(Duration::from_millis(600));
    let inside: Vec<_> = (0..3).map(|_| begin(name, port)).collect();
    assert!(inside.iter().all(|(_, packet)| packet[0] == 0xfe));
    let refused = sql(pierhead, name, "select 1");
    assert!(
        refused.starts_with("ERROR 1040 (08004): Too many connections: its limit is 3 connections; close"),
        "{refused}"
    );
    drop(inside);
    wait_for("room again", Duration::from_secs(30), || sql(pierhead, name, "select 1") == "1");
}

/// Begins a log-in: the connection, and what the server has said.
fn begin(name: &str, port: u16) -> (TcpStream, Vec<u8>) {
    let mut socket = TcpStream::connect(("127.0.0.1", port)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    packet(&mut socket);
    // CLIENT_MYSQL, PROTOCOL_41, SECURE_CONNECTION, PLUGIN_AUTH.
    let head = [&b"\x01\x82\x08\0\0\0\0\x01\x2d"[..], &[0; 23]].concat();
    let payload = [&head, name.as_bytes(), b"\0\0some_plugin\0"].concat();
    socket.write_all(&[&[payload.len() as u8, 0, 0, 1][..], &payload].concat()).unwrap();
    let answer = packet(&mut socket);
    (socket, answer)
}

fn packet(socket: &mut TcpStream) -> Vec<u8> {
    let mut header = [0; 4];
    socket.read_exact(&mut header).unwrap();
    let mut payload = vec![0; usize::from(header[0]) + 256 * usize::from(header[1])];
    socket.read_exact(&mut payload).unwrap();
    payload
}

/// What the mariadb program that `pierhead connect` runs says to a statement.
fn sql(pierhead: &Pierhead, name: &str, statement: &str) -> String {
    let ended = pierhead.run(&["connect", name, "--", "-N", "-e", statement]);
    (ended.stdout + &ended.stderr).trim().to_owned()
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}
