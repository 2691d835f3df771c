//! The promise: an addon's further logins may do what they were made for and nothing else, end with their sessions when they
//! are removed, and no login fails while a password is rotated; whatever crashes in between. With the real engines and
//! their real clients, through the edge.

#![allow(clippy::unwrap_used, reason = "a test")]

mod control;
#[path = "credentials/rotation.rs"]
mod rotation;
#[path = "credentials/stage.rs"]
mod stage;

use std::process::Stdio;
use std::time::{Duration, Instant};

use control::wait_for;
use stage::{Stage, psql, said};

#[test]
fn postgresql_logins_may_do_what_they_were_made_for() {
    let stage = Stage::new("postgres");
    let name = &stage.name;
    stage
        .pierhead
        .sql(name, "CREATE TABLE t AS SELECT 42 AS x; CREATE SCHEMA s; CREATE TABLE s.t AS SELECT 1 AS x");
    let reader = stage.bind("reader", "read-only");
    let writer = stage.bind("writer", "read-write");
    let owner = stage.bind("admin", "owner");
    assert!(
        reader.starts_with(&format!("postgres://{name}.reader:")) && reader.ends_with(&format!("/{name}")),
        "{reader}"
    );

    // What is there, and what comes later, in every schema.
    stage.pierhead.sql(name, "CREATE TABLE later (x int GENERATED ALWAYS AS IDENTITY, y int); CREATE SCHEMA s2; CREATE TABLE s2.t AS SELECT 7 AS x");
    assert_eq!(psql(&reader, "SELECT t.x + a.x + b.x FROM t, s.t a, s2.t b"), Ok("50".into()));
    for refused in [
        "INSERT INTO t VALUES (1)",
        "UPDATE later SET y = 1",
        "CREATE TABLE r ()",
        "DROP TABLE t",
        "CREATE SCHEMA r",
        "SELECT * FROM pg_authid",
    ] {
        let error = psql(&reader, refused).unwrap_err();
        assert!(error.contains("permission denied") || error.contains("must be owner"), "{refused}: {error}");
    }
    assert_eq!(
        psql(
            &writer,
            "INSERT INTO later (y) VALUES (5) RETURNING x; UPDATE later SET y = 6; DELETE FROM s2.t"
        ),
        Ok("1".into())
    );
    for refused in ["CREATE TABLE r ()", "DROP TABLE t", "TRUNCATE t"] {
        assert!(psql(&writer, refused).is_err(), "{refused}");
    }
    // What the owner makes is the application's, and the readers' to read.
    psql(&owner, "CREATE TABLE made AS SELECT 9 AS x; ALTER TABLE t ADD COLUMN y int").unwrap();
    assert_eq!(stage.pierhead.sql(name, "SELECT tableowner FROM pg_tables WHERE tablename = 'made'"), *name);
    assert_eq!(psql(&reader, "SELECT x FROM made"), Ok("9".into()));
    assert!(psql(&owner, "CREATE ROLE x").unwrap_err().contains("permission denied"));
    // A large object of the writer's, and a dump: the application can read it.
    psql(&writer, "SELECT lo_from_bytea(4711, 'hello')").unwrap();
    let dump = stage.pierhead.dir.path().join("one.dump");
    stage.pierhead.ok(&["export", name, "--output", dump.to_str().unwrap()]);
    stage.pierhead.ok(&["import", name, dump.to_str().unwrap()]);
    assert_eq!(psql(&reader, "SELECT x FROM made"), Ok("9".into()), "after everything was made anew");

    let connected =
        stage.pierhead.ok(&["connect", name, "--role", "reader", "--", "-XAtc", "SELECT session_user"]);
    assert_eq!(connected.trim(), format!("{name}.reader"));
    assert_eq!(stage.pierhead.ok(&["enter", name, "--", "hostname"]).trim(), name);
    stage.answers_twice_the_same("reader", "read-only", &reader);
    stage.counts(&[("", 0), ("reader", 0)]);
    let long = stage.session(&reader, "SELECT pg_sleep(60)");
    wait_for("the session to be seen", Duration::from_secs(30), || {
        stage.binding("reader")["connections"]["active"] == 1
    });
    stage.counts(&[("reader", 1), ("writer", 0)]);
    stage.unbind_ends("reader", long);
    assert!(psql(&reader, "SELECT 1").is_err());
    for role in ["writer", "admin"] {
        stage.pierhead.ok(&["unbind", name, role]);
    }
    assert_eq!(stage.pierhead.sql(name, "SELECT x FROM made"), "9");
    assert_eq!(
        stage.pierhead.sql(name, "SELECT lomowner::regrole FROM pg_largeobject_metadata"),
        format!("\"{name}\"")
    );
    assert_eq!(stage.pierhead.sql(name, "SELECT count(*) FROM pg_roles WHERE rolname LIKE '%.%'"), "0");
    stage.destroyed();
}

#[test]
fn mariadb_logins_may_do_what_they_were_made_for() {
    sql_logins("mariadb");
}

#[test]
#[ignore = "needs an image of Debian unstable, which cannot always be built: scripts/test builds it and runs this"]
fn mysql_logins_may_do_what_they_were_made_for() {
    sql_logins("mysql");
}

fn sql_logins(kind: &'static str) {
    let stage = Stage::new(kind);
    let owner = stage.url();
    let sql = |url: &str, sql: &str| stage::mariadb(url, sql);
    sql(&owner, "CREATE TABLE t AS SELECT 42 AS x").unwrap();
    let (reader, writer, admin) =
        (stage.bind("reader", "read-only"), stage.bind("writer", "read-write"), stage.bind("admin", "owner"));
    assert_eq!(sql(&reader, "SELECT x FROM t"), Ok("42".into()));
    for refused in ["INSERT INTO t VALUES (1)", "CREATE TABLE r (x int)", "DROP TABLE t", "CREATE USER x"] {
        let error = sql(&reader, refused).unwrap_err();
        assert!(error.contains("denied"), "{refused}: {error}");
    }
    assert_eq!(sql(&writer, "INSERT INTO t VALUES (1); SELECT count(*) FROM t"), Ok("2".into()));
    assert!(sql(&writer, "CREATE TABLE r (x int)").unwrap_err().contains("denied"));
    sql(&admin, "CREATE TABLE made AS SELECT 9 AS x; CREATE VIEW v AS SELECT x FROM made").unwrap();
    assert_eq!(sql(&reader, "SELECT x FROM v"), Ok("9".into()));

    stage.answers_twice_the_same("reader", "read-only", &reader);
    let long = stage.session(&reader, "SELECT sleep(60)");
    wait_for("the session to be seen", Duration::from_secs(30), || {
        stage.binding("reader")["connections"]["active"] == 1
    });
    stage.unbind_ends("reader", long);
    for role in ["writer", "admin"] {
        stage.pierhead.ok(&["unbind", &stage.name, role]);
    }
    for gone in [&reader, &writer, &admin] {
        assert!(sql(gone, "SELECT 1").is_err());
    }
    // A view runs with the rights of who defined it.
    assert_eq!(sql(&owner, "SELECT x FROM v"), Ok("9".into()));
    let again = stage.bind("admin", "owner");
    assert_eq!(sql(&again, "SELECT x FROM v"), Ok("9".into()));
    stage.destroyed();
}

#[test]
fn redis_logins_may_do_what_they_were_made_for() {
    redis_logins("redis");
}

#[test]
fn valkey_logins_may_do_what_they_were_made_for() {
    redis_logins("valkey");
}

fn redis_logins(kind: &'static str) {
    let stage = Stage::new(kind);
    let owner = stage.url();
    let cli = |url: &str, words: &[&str]| stage::redis(url, words);
    assert_eq!(cli(&owner, &["SET", "x", "42"]), "OK");
    for refused in [
        &["ACL", "LIST"][..],
        &["CONFIG", "SET", "maxmemory", "0"],
        &["SHUTDOWN"],
        &["REPLICAOF", "NO", "ONE"],
    ] {
        assert!(cli(&owner, refused).starts_with("NOPERM"), "{refused:?}");
    }
    assert!(cli(&owner, &["CONFIG", "GET", "maxmemory"]).starts_with("maxmemory"));
    let (reader, writer) = (stage.bind("reader", "read-only"), stage.bind("writer", "read-write"));
    assert_eq!(cli(&reader, &["GET", "x"]), "42");
    assert!(cli(&reader, &["SET", "x", "1"]).starts_with("NOPERM"));
    assert_eq!(cli(&writer, &["INCR", "x"]), "43");
    assert!(cli(&writer, &["FLUSHALL"]).starts_with("NOPERM"));
    stage.answers_twice_the_same("reader", "read-only", &reader);

    // They outlive the server: both of a restart that Pierhead was asked for, and of one that Docker makes.
    stage.pierhead.ok(&["restart", &stage.name]);
    assert_eq!(cli(&reader, &["GET", "x"]), "43");
    control::docker(&["restart", &stage.name]);
    wait_for("the addon to be back", Duration::from_secs(30), || cli(&reader, &["GET", "x"]) == "43");
    wait_for("the addon to be ready", Duration::from_secs(30), || {
        stage.pierhead.state(&stage.name) == "ready"
    });

    let long = stage.session(&reader, "SUBSCRIBE never");
    wait_for("the session to be seen", Duration::from_secs(30), || {
        stage.binding("reader")["connections"]["active"] == 1
    });
    stage.unbind_ends("reader", long);
    assert!(cli(&reader, &["GET", "x"]).contains("WRONGPASS"));
    stage.pierhead.ok(&["restart", &stage.name]);
    assert!(cli(&reader, &["GET", "x"]).contains("WRONGPASS"));
    assert_eq!(cli(&writer, &["GET", "x"]), "43");
    stage.destroyed();
}

#[test]
fn rabbitmq_logins_may_do_what_they_were_made_for() {
    let stage = Stage::new("rabbitmq");
    let owner = stage.url();
    let pika = |url: &str, line: &str| stage::pika(url, line);
    pika(&owner, "channel.queue_declare('q', durable=True)").unwrap();
    let (reader, writer) = (stage.bind("reader", "read-only"), stage.bind("writer", "read-write"));
    pika(&writer, "channel.basic_publish('', 'q', b'42')").unwrap();
    assert!(pika(&writer, "channel.queue_declare('other')").unwrap_err().contains("ACCESS_REFUSED"));
    assert!(
        pika(&reader, "channel.confirm_delivery(); channel.basic_publish('', 'q', b'1')")
            .unwrap_err()
            .contains("ACCESS_REFUSED")
    );
    assert_eq!(pika(&reader, "print(channel.basic_get('q', auto_ack=True)[2].decode())"), Ok("42".into()));
    stage.answers_twice_the_same("reader", "read-only", &reader);
    stage.pierhead.ok(&["restart", &stage.name]);
    assert!(pika(&writer, "channel.basic_publish('', 'q', b'43')").is_ok());
    let long = stage.session(&reader, "connection.process_data_events(60)");
    wait_for("the session to be seen", Duration::from_secs(30), || {
        stage.binding("reader")["connections"]["active"] == 1
    });
    stage.unbind_ends("reader", long);
    assert!(pika(&reader, "pass").unwrap_err().contains("ACCESS_REFUSED"));
    stage.pierhead.ok(&["restart", &stage.name]);
    assert!(pika(&reader, "pass").unwrap_err().contains("ACCESS_REFUSED"));
    stage.destroyed();
}

#[test]
fn what_cannot_be_is_said_and_changes_nothing() {
    let stage = Stage::new("redis");
    let (pierhead, name) = (&stage.pierhead, &stage.name);
    let refused = |args: &[&str], code: i32, words: &str| {
        let ended = pierhead.run(args);
        assert!(ended.code == Some(code) && ended.stderr.contains(words), "{args:?}: {ended:?}");
    };
    for role in ["Reader", "a.b", "x_2", "", &"x".repeat(29)] {
        refused(&["bind", name, role, "--access", "owner"], 2, "cannot be a role");
    }
    refused(&["bind", name, "reader", "--access", "all"], 2, "read-write, read-only or owner");
    refused(&["bind", "nobody", "reader", "--access", "owner"], 3, "no addon");
    refused(&["unbind", name, "reader"], 3, "no login");
    refused(&["rotate", name, "--role", "reader"], 3, "no login");
    refused(&["rotate", name, "--grace", "800h"], 2, "30 days");
    refused(&["url", name, "--role", "reader"], 3, "no login");
    stage.bind("one", "owner");
    stage.bind("two", "owner");
    refused(&["bind", name, "three", "--access", "owner"], 4, "bindings_max");
    refused(&["bind", name, "one", "--access", "read-only"], 4, "its access is owner");
    pierhead.ok(&["stop", name]);
    for args in
        [&["bind", name, "three", "--access", "owner"][..], &["unbind", name, "one"], &["rotate", name]]
    {
        refused(args, 4, "its engine has to run");
    }
    let roles: Vec<_> = pierhead.json(&["bindings", name])["bindings"].as_array().unwrap().clone();
    assert_eq!(roles.len(), 3);
    assert!(roles.iter().all(|role| role["state"] == "ready"), "{roles:?}");
    stage.destroyed();
}

/// SIGKILL right before and right after what each step does. The next Pierhead finishes it, and a request that is sent again
/// has the same answer.
#[test]
fn killed_at_every_step_of_bind_rotate_and_unbind() {
    if !cfg!(debug_assertions) {
        return; // A release build has no crash points.
    }
    for kind in ["redis", "postgres"] {
        let mut stage = Stage::new(kind);
        let (name, log_in) = (stage.name.clone(), stage.log_in());
        let bind = r#"{"role": "reader", "access": "read-only"}"#.to_owned();
        let bindings = format!("/v1/addons/{name}/bindings");
        let rotate = format!("/v1/addons/{name}/rotate");
        stage.killed_at(&["making"], ("POST", &bindings, &bind));
        let reader = stage.bind("reader", "read-only");
        assert_eq!(log_in(&reader), Ok(()));

        for (path, body, url) in [
            (&rotate, r#"{"role": "reader", "grace_ms": 0}"#, &["--role", "reader"][..]),
            (&rotate, r#"{"grace_ms": 0}"#, &[]),
        ] {
            let get = |stage: &Stage| stage.pierhead.ok(&[&["url", &name], url].concat()).trim().to_owned();
            let before = get(&stage);
            stage.killed_at(&["rotating", "grace", "ending"], ("POST", path, body));
            let after = get(&stage);
            assert_ne!(before, after);
            assert_eq!(log_in(&after), Ok(()), "{kind}");
            assert!(log_in(&before).is_err(), "{kind}");
        }
        let reader = stage.pierhead.ok(&["url", &name, "--role", "reader"]).trim().to_owned();
        stage.killed_at(&["removing"], ("DELETE", &format!("{bindings}/reader"), ""));
        assert!(log_in(&reader).is_err());
        assert_eq!(log_in(&stage.url()), Ok(()));
        stage.destroyed();
    }
}

/// An addon that has its password already, but no user of Pierhead's own: as if it had been made before there was one.
#[test]
fn an_addon_that_was_made_before_goes_on_and_its_clone_has_logins() {
    let pierhead = control::Pierhead::start();
    let (old, new) = (pierhead.name("old"), pierhead.name("new"));
    let secrets = pierhead.dir.path().join("data/secrets").join(&old);
    std::fs::create_dir_all(&secrets).unwrap();
    std::fs::write(secrets.join("password"), "of-old-times").unwrap();
    pierhead.ok(&["create", "postgres", &old]);
    assert_eq!(pierhead.sql(&old, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"), "t");
    pierhead.sql(&old, "CREATE EXTENSION hstore; CREATE TABLE t AS SELECT 'a=>1'::hstore AS x");
    let info = pierhead.ok(&["info", &old]);
    assert!(info.contains("superuser") && info.contains("pierhead clone"), "{info}");
    for args in [&["bind", &old, "reader", "--access", "read-only"][..], &["rotate", &old]] {
        let refused = pierhead.run(args);
        assert!(refused.code == Some(4) && refused.stderr.contains("pierhead clone"), "{refused:?}");
    }
    pierhead.ok(&["restart", &old]);
    pierhead.ok(&["clone", &old, &new]);
    assert_eq!(pierhead.sql(&new, "SELECT x -> 'a' FROM t"), "1");
    assert_eq!(pierhead.sql(&new, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"), "f");
    let reader = pierhead.ok(&["bind", &new, "reader", "--access", "read-only"]).trim().to_owned();
    assert_eq!(psql(&reader, "SELECT x -> 'a' FROM t"), Ok("1".into()));
    for name in [&old, &new] {
        pierhead.ok(&["destroy", name, "--force"]);
    }
    assert_eq!(pierhead.left_on_docker(), [""; 0]);
}

impl Stage {
    /// The same request again: the same login, with the same password.
    #[track_caller]
    fn answers_twice_the_same(&self, role: &str, access: &str, url: &str) {
        assert_eq!(self.bind(role, access), url);
        assert_eq!(self.pierhead.ok(&["url", &self.name, "--role", role]).trim(), url);
        let table = self.pierhead.ok(&["bindings", &self.name]);
        assert!(table.contains(&format!("{}.{role}", self.name)) && table.contains(access), "{table}");
        let audit = self.pierhead.json(&["audit"]).to_string();
        assert!(audit.contains(&format!("/v1/addons/{}/bindings/{role}/url", self.name)), "{audit}");
    }

    /// So many connections of these are open, and each has had some.
    #[track_caller]
    fn counts(&self, expected: &[(&str, u64)]) {
        for (role, active) in expected {
            let connections = self.binding(role)["connections"].clone();
            assert_eq!(connections["active"], *active, "{role}: {connections}");
            assert!(
                connections["total"].as_u64().unwrap() >= 1 && connections["last_used"].is_string(),
                "{role}: {connections}"
            );
        }
    }

    #[track_caller]
    fn unbind_ends(&self, role: &str, mut session: std::process::Child) {
        let begun = Instant::now();
        self.pierhead.ok(&["unbind", &self.name, role]);
        wait_for("the session to end", Duration::from_secs(30), || session.try_wait().unwrap().is_some());
        assert!(begun.elapsed() < Duration::from_secs(40), "it ended by itself");
        assert_eq!(self.pierhead.run(&["url", &self.name, "--role", role]).code, Some(3));
    }

    /// A client that stays.
    fn session(&self, url: &str, what: &str) -> std::process::Child {
        let mut command = stage::client(self.kind, url, what);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap()
    }

    /// Whether a login succeeds.
    fn log_in(&self) -> fn(&str) -> Result<(), String> {
        match self.kind {
            "redis" => |url| {
                said(stage::client("redis", url, "PING"))
                    .and_then(|said| if said == "PONG" { Ok(()) } else { Err(said) })
            },
            _ => |url| psql(url, "SELECT 1").map(drop),
        }
    }

    /// Sends a request, lets Pierhead be killed at each point of these phases in turn, and waits until all is done.
    fn killed_at(&mut self, phases: &[&str], (method, path, body): (&str, &str, &str)) {
        let points =
            phases.iter().flat_map(|phase| [format!("before:login-{phase}"), format!("after:login-{phase}")]);
        for (nth, point) in points.enumerate() {
            self.pierhead.kill();
            self.pierhead.serve(Some(&point));
            if nth == 0 {
                wait_for("the addon to be ready", Duration::from_secs(60), || {
                    self.pierhead.state(&self.name) == "ready"
                });
                let (status, answer) = self.pierhead.http(method, path, body.as_bytes());
                assert_eq!(status, 0, "{answer}");
            }
            wait_for(&format!("pierhead to reach {point}"), Duration::from_secs(60), || {
                self.pierhead.has_stopped_at_crash_point()
            });
        }
        self.pierhead.kill();
        self.pierhead.serve(None);
        wait_for("the addon to be ready", Duration::from_secs(60), || {
            self.pierhead.state(&self.name) == "ready"
        });
        wait_for("everything to be done", Duration::from_secs(30), || {
            let bindings = self.pierhead.json(&["bindings", &self.name]);
            bindings["bindings"].as_array().unwrap().iter().all(|binding| binding["state"] == "ready")
        });
    }
}
