//! Rotations under fifty clients that log in again and again, each with its kind's own driver.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::Value;

use crate::control::wait_for;
use crate::stage::{Stage, python, script};

/// The clients: half of them ask for the URL before each login, half keep the one that they had.
struct Clients {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Clients {
    fn start(stage: &Stage) -> Self {
        let mut child = Command::new(python())
            .arg(script("rotation.py"))
            .arg(stage.kind)
            .arg(stage.pierhead.socket())
            .args([&stage.name, "50"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut clients = Clients { child, input, output };
        assert_eq!(clients.line(), "started");
        clients
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }

    /// Those who keep what they have come to an end: the grace is about to be over.
    fn end_keepers(&mut self) {
        self.input.write_all(b"keepers\n").unwrap();
        assert_eq!(self.line(), "no keepers");
    }

    fn end(mut self) -> Value {
        self.input.write_all(b"stop\n").unwrap();
        let result = self.line();
        self.child.wait().unwrap();
        serde_json::from_str(&result).unwrap_or_else(|error| panic!("{error}: {result}"))
    }
}

/// Twice, so that an engine with one password for each user goes there and back.
fn no_login_fails(kind: &'static str, logins_min: u64) {
    let stage = Stage::new(kind);
    let mut urls = vec![stage.url()];
    for round in 0..2 {
        let mut clients = Clients::start(&stage);
        std::thread::sleep(Duration::from_secs(2));
        let url = stage.pierhead.ok(&["rotate", &stage.name, "--grace", "25s"]).trim().to_owned();
        assert_eq!(stage.url(), url);
        assert!(!urls.contains(&url));
        urls.push(url);
        let grace = stage.binding("");
        assert!(grace["state"] == "grace" && grace["old_until"].is_string(), "{grace}");
        let again = stage.pierhead.run(&["rotate", &stage.name]);
        assert!(again.code == Some(4) && again.stderr.contains("--now"), "{again:?}");
        std::thread::sleep(Duration::from_secs(4));
        clients.end_keepers();
        assert_eq!(stage.binding("")["state"], "grace", "the keepers have taken too long");
        wait_for("the old password to end", Duration::from_secs(150), || {
            stage.binding("")["state"] == "ready"
        });
        std::thread::sleep(Duration::from_secs(2));
        let result = clients.end();
        eprintln!("{kind}, round {round}: {result}");
        assert_eq!(result["failed"].as_array().unwrap().len(), 0, "{result}");
        for who in ["asking", "keeping"] {
            assert!(result[who].as_u64().unwrap() >= logins_min, "{result}");
        }
        let works = |url: &str| {
            crate::stage::said(crate::stage::client(kind, url, probe(kind)))
                .is_ok_and(|said| !said.contains("NOAUTH"))
        };
        let working: Vec<bool> = urls.iter().map(|url| works(url)).collect();
        assert!(
            working.iter().enumerate().all(|(nth, works)| *works == (nth + 1 == urls.len())),
            "{working:?}"
        );
    }
    // The engine may read its file, and Pierhead may start anew.
    let mut stage = stage;
    stage.pierhead.kill();
    stage.pierhead.serve(None);
    stage.pierhead.ok(&["restart", &stage.name]);
    assert_eq!(Some(&stage.url()), urls.last());
    let secret = stage.pierhead.dir.path().join("data/secrets").join(&stage.name).join("password");
    assert!(urls[2].contains(&std::fs::read_to_string(secret).unwrap()));
    // At once: who is inside is put out.
    let mut session = crate::stage::client(kind, &urls[2], stays(kind))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    wait_for("the session to be seen", Duration::from_secs(30), || {
        stage.binding("")["connections"]["active"] == 1
    });
    stage.pierhead.ok(&["rotate", &stage.name, "--now"]);
    wait_for("the session to end", Duration::from_secs(30), || session.try_wait().unwrap().is_some());
    assert_ne!(stage.url(), urls[2]);
    stage.destroyed();
}

fn probe(kind: &str) -> &'static str {
    match kind {
        "redis" => "PING",
        "rabbitmq" => "pass",
        _ => "SELECT 1",
    }
}

fn stays(kind: &str) -> &'static str {
    match kind {
        "postgres" => "SELECT pg_sleep(60)",
        "mariadb" | "mysql" => "SELECT sleep(60)",
        "redis" => "BLPOP never 60",
        _ => "connection.process_data_events(60)",
    }
}

#[test]
fn no_login_of_postgresql_fails_during_a_rotation() {
    no_login_fails("postgres", 100);
}

#[test]
fn no_login_of_mariadb_fails_during_a_rotation() {
    no_login_fails("mariadb", 100);
}

#[test]
#[ignore = "needs an image of Debian unstable, which cannot always be built: scripts/test builds it and runs this"]
fn no_login_of_mysql_fails_during_a_rotation() {
    no_login_fails("mysql", 100);
}

#[test]
fn no_login_of_redis_fails_during_a_rotation() {
    no_login_fails("redis", 100);
}

#[test]
fn no_login_of_rabbitmq_fails_during_a_rotation() {
    no_login_fails("rabbitmq", 50);
}
