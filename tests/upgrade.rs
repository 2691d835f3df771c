//! The promise: an upgrade keeps the URL, every row that was acknowledged, and everybody who logs in meanwhile waiting
//! instead of refused; it goes back by itself if anything is wrong, also after a SIGKILL, and by `rollback` afterwards.
//!
//! With PostgreSQL 15 and 17, and MariaDB 10.11 and 11.8: scripts/images postgres postgres-next mariadb mariadb-next.

#![allow(clippy::unwrap_used, reason = "a test")]

mod control;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use control::{Ended, Pierhead, docker, further_port, image, wait_for};

const NEWER: &str = "pierhead/postgres:17";

const FILL: &str = "CREATE TABLE t (id serial PRIMARY KEY, x text, b bytea); \
    INSERT INTO t (x, b) SELECT repeat(md5(i::text), 5), decode(md5(i::text), 'hex') FROM generate_series(1, 5000) i; \
    CREATE VIEW v AS SELECT count(*) AS n FROM t; GRANT SELECT ON t TO reader; \
    CREATE EXTENSION pgcrypto; CREATE MATERIALIZED VIEW m AS SELECT * FROM t";
const SUM: &str = "SELECT md5(string_agg(id || x || b::text, ',' ORDER BY id)) || ' ' || (SELECT n FROM v) || ' ' || \
    (SELECT last_value FROM t_id_seq) || ' ' || (SELECT count(*) FROM m) || ' ' || has_table_privilege('reader', 't', 'SELECT') \
    || ' ' || (SELECT count(*) FROM pg_database WHERE datname = 'second') FROM t";

/// What only Pierhead's own user may do.
fn as_superuser(name: &str, statement: &str) {
    let script = "PGPASSWORD=$(cat /run/secrets/superuser) exec psql -X -h 127.0.0.1 -U pierhead -d \"$1\" -v ON_ERROR_STOP=1 -c \"$2\"";
    docker(&["exec", name, "sh", "-c", script, "sh", name, statement]);
}

fn fill(pierhead: &Pierhead, name: &str) -> String {
    as_superuser(name, "CREATE ROLE reader LOGIN PASSWORD 'x'");
    as_superuser(name, "CREATE DATABASE second");
    for statement in FILL.split("; ") {
        pierhead.sql(name, statement);
    }
    pierhead.sql(name, SUM)
}

fn major(pierhead: &Pierhead, name: &str) -> String {
    pierhead.sql(name, "SELECT current_setting('server_version_num')::int / 10000")
}

/// The addon's containers, with what they do: `blog running`.
fn containers(pierhead: &Pierhead, name: &str) -> Vec<String> {
    let label = pierhead.label().unwrap();
    let filters = ["--filter", &label, "--filter", &format!("label=pierhead.name={name}")];
    let args = [&["ps", "-a", "--format", "{{.Names}} {{.State}}"][..], &filters].concat();
    let mut found: Vec<_> = docker(&args).lines().map(|line| line.replace(name, "blog")).collect();
    found.sort();
    found
}

fn volumes(pierhead: &Pierhead) -> usize {
    docker(&["volume", "ls", "-q", "--filter", &pierhead.label().unwrap()]).lines().count()
}

fn stage(pierhead: &Pierhead, name: &str) -> String {
    let info = pierhead.json(&["info", name]);
    info["upgrade"]["stage"].as_str().unwrap_or("").to_owned()
}

fn wait_until_settled(pierhead: &Pierhead, name: &str) -> String {
    wait_for("the upgrade to be over", Duration::from_secs(120), || {
        ["kept", "undone", "failed", ""].contains(&stage(pierhead, name).as_str())
    });
    stage(pierhead, name)
}

/// The sum of a metric over all its labels.
fn metric(pierhead: &Pierhead, name: &str) -> f64 {
    let (_, page) = pierhead.http("GET", "/metrics", b"");
    let samples = page.lines().filter(|line| line.starts_with(name) && !line.starts_with('#'));
    samples.map(|line| line.rsplit(' ').next().unwrap().parse::<f64>().unwrap()).sum()
}

/// Logs in and writes a row, again and again.
struct Writer {
    stop: Arc<AtomicBool>,
    acknowledged: Arc<Mutex<Vec<i32>>>,
    refused: Arc<Mutex<Vec<String>>>,
    logins: Arc<AtomicU32>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Writer {
    fn start(url: String, first: i32) -> Self {
        let (stop, logins) = (Arc::new(AtomicBool::new(false)), Arc::default());
        let (acknowledged, refused) = (Arc::default(), Arc::default());
        let mut writer = Writer { stop, acknowledged, refused, logins, thread: None };
        let (stop, logins) = (Arc::clone(&writer.stop), Arc::clone(&writer.logins));
        let (acknowledged, refused) = (Arc::clone(&writer.acknowledged), Arc::clone(&writer.refused));
        writer.thread = Some(thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                let mut next = first;
                while !stop.load(Ordering::Relaxed) {
                    let (client, connection) =
                        match tokio_postgres::connect(&url, tokio_postgres::NoTls).await {
                            Ok(connected) => connected,
                            Err(error) => {
                                refused.lock().unwrap().push(format!("{error:?}"));
                                continue;
                            }
                        };
                    logins.fetch_add(1, Ordering::Relaxed);
                    let connection = tokio::spawn(connection);
                    for _ in 0..20 {
                        // Whether a row that was not acknowledged is there is nobody's promise: each has its own number.
                        next += 1;
                        let insert = format!("INSERT INTO w VALUES ({next})");
                        match client.batch_execute(&insert).await {
                            Ok(()) => acknowledged.lock().unwrap().push(next),
                            Err(_) => break,
                        }
                    }
                    drop(client);
                    let _ = connection.await;
                }
            });
        }));
        writer
    }

    fn stop(mut self) -> (Vec<i32>, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
        (self.acknowledged.lock().unwrap().clone(), self.refused.lock().unwrap().clone())
    }
}

#[test]
fn writers_lose_nothing_and_nobody_is_refused_from_15_to_17() {
    let pierhead = Pierhead::start();
    let name = pierhead.name("one");
    pierhead.ok(&["create", "postgres", &name]);
    let sum = fill(&pierhead, &name);
    pierhead.sql(&name, "CREATE TABLE w (i int PRIMARY KEY)");
    let url = pierhead.ok(&["url", &name]).trim().to_owned();
    let plan = pierhead.ok(&["upgrade", &name, "--to", "17", "--dry-run"]);
    assert!(plan.contains("into a volume of its own"), "{plan}");
    assert_eq!(stage(&pierhead, &name), "");

    // While it was made, logins that look whether it is ready were.
    let refused_before = metric(&pierhead, "pierhead_refused_total");
    let writers: Vec<_> = (0..4).map(|nth| Writer::start(url.clone(), nth * 1_000_000)).collect();
    wait_for("the writers to write", Duration::from_secs(20), || {
        writers.iter().all(|writer| writer.acknowledged.lock().unwrap().len() > 50)
    });
    // One that is connected, and does nothing.
    let mut idle = pierhead.command(&["connect", &name, "--", "-c", "SELECT pg_sleep(600)"]);
    let mut idle =
        idle.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().unwrap();
    let begun = std::time::Instant::now();
    let upgraded = pierhead.json(&["upgrade", &name, "--to", "17"]);
    let took = begun.elapsed();
    assert_eq!((upgraded["stage"].as_str(), upgraded["method"].as_str()), (Some("kept"), Some("move")));
    assert!(upgraded["moved_bytes"].as_u64().unwrap() > 100_000, "{upgraded}");
    let logins_then: Vec<_> = writers.iter().map(|writer| writer.logins.load(Ordering::Relaxed)).collect();
    wait_for("the writers to go on", Duration::from_secs(20), || {
        writers
            .iter()
            .zip(&logins_then)
            .all(|(writer, then)| writer.logins.load(Ordering::Relaxed) > then + 2)
    });
    assert!(!idle.wait().unwrap().success(), "its session was ended");

    for writer in writers {
        let (acknowledged, refused) = writer.stop();
        assert_eq!(refused, Vec::<String>::new());
        let list = acknowledged.iter().map(i32::to_string).collect::<Vec<_>>().join(",");
        let found = pierhead.sql(&name, &format!("SELECT count(*) FROM w WHERE i IN ({list})"));
        assert_eq!(found, acknowledged.len().to_string(), "rows are lost");
    }
    assert_eq!(metric(&pierhead, "pierhead_refused_total"), refused_before);
    let held = metric(&pierhead, "pierhead_held_opened_total");
    assert!(held >= 4.0, "only {held} logins were held");
    eprintln!("upgraded in {took:?}, {held} logins held");
    assert_eq!((major(&pierhead, &name), pierhead.sql(&name, SUM)), ("17".into(), sum));
    assert_eq!(pierhead.ok(&["url", &name]).trim(), url);
    assert_eq!(containers(&pierhead, &name), ["blog exited", "blog.g2 running"]);

    let refused = pierhead.run(&["upgrade", &name, "--to", "17-again"]);
    assert!(refused.code == Some(4) && refused.stderr.contains("--finish"), "{refused:?}");
    pierhead.ok(&["upgrade", &name, "--finish"]);
    assert_eq!((containers(&pierhead, &name), volumes(&pierhead)), (vec!["blog.g2 running".to_owned()], 1));
    assert_eq!(major(&pierhead, &name), "17");
    // The lifecycle knows the new container as its own.
    pierhead.ok(&["restart", &name]);
    docker(&["rm", "-f", &format!("{name}.g2")]);
    wait_for("the container to come back", Duration::from_secs(60), || {
        containers(&pierhead, &name) == ["blog.g2 running"]
    });
    pierhead.ok(&["wait", &name]);
    assert_eq!(major(&pierhead, &name), "17");
    pierhead.ok(&["destroy", &name, "--force"]);
    assert_eq!(pierhead.left_on_docker(), Vec::<String>::new());
}

/// Every login of an addon, the URL of each: all of them have to be let in.
fn all_are_let_in(pierhead: &Pierhead, name: &str, expected: usize) {
    let bindings = pierhead.json(&["bindings", name]);
    let bindings = bindings["bindings"].as_array().unwrap();
    assert_eq!(bindings.len(), expected, "{bindings:?}");
    for binding in bindings {
        let url = match binding["role"].as_str() {
            Some(role) => pierhead.ok(&["url", name, "--role", role]),
            None => pierhead.ok(&["url", name]),
        };
        assert_eq!(asked(url.trim(), "SELECT count(*)::text FROM t").as_deref(), Ok("5000"), "{binding}");
    }
}

/// What a client with this URL is answered.
fn asked(url: &str, sql: &str) -> Result<String, String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let connected = tokio_postgres::connect(url, tokio_postgres::NoTls).await;
        let (client, connection) = connected.map_err(|error| format!("{error:?}"))?;
        tokio::spawn(connection);
        let row = client.query_one(sql, &[]).await.map_err(|error| format!("{error:?}"))?;
        Ok(row.get(0))
    })
}

#[test]
fn every_login_is_in_the_new_engine_and_can_be_changed_there() {
    let pierhead = Pierhead::start();
    let name = pierhead.name("one");
    pierhead.ok(&["create", "postgres", &name]);
    fill(&pierhead, &name);
    pierhead.ok(&["bind", &name, "viewer", "--access", "read-only"]);
    pierhead.ok(&["bind", &name, "worker", "--access", "owner"]);
    // The application goes by its second name then, and the first one is let in no more.
    let first = pierhead.ok(&["url", &name]).trim().to_owned();
    pierhead.ok(&["rotate", &name, "--now"]);
    let second = pierhead.ok(&["url", &name]).trim().to_owned();
    assert!(first != second && asked(&first, "SELECT 'in'").is_err());
    // Both are let in while the grace lasts.
    let reader = pierhead.ok(&["url", &name, "--role", "viewer"]).trim().to_owned();
    pierhead.ok(&["rotate", &name, "--role", "viewer", "--grace", "1h"]);
    all_are_let_in(&pierhead, &name, 3);

    pierhead.ok(&["upgrade", &name, "--to", "17"]);
    assert_eq!(major(&pierhead, &name), "17");
    all_are_let_in(&pierhead, &name, 3);
    assert_eq!(asked(&reader, "SELECT count(*)::text FROM t").as_deref(), Ok("5000"));
    assert!(asked(&first, "SELECT 'in'").is_err(), "what was retired before is let in");
    assert_eq!(asked(&second, "SELECT current_user::text"), Ok(name.clone()));
    assert!(asked(&reader, "DELETE FROM t RETURNING 'gone'").is_err());
    assert_eq!(pierhead.ok(&["url", &name]).trim(), second);

    pierhead.ok(&["rotate", &name, "--role", "viewer", "--now"]);
    assert!(asked(&reader, "SELECT 'in'").is_err());
    pierhead.ok(&["rotate", &name, "--now"]);
    pierhead.ok(&["bind", &name, "later", "--access", "read-write"]);
    all_are_let_in(&pierhead, &name, 4);
    pierhead.ok(&["unbind", &name, "worker"]);
    all_are_let_in(&pierhead, &name, 3);
    // The old container is not taken for an orphan.
    let doctor = pierhead.run(&["doctor"]).stdout;
    assert!(!doctor.contains(&format!("pierhead-{name}")), "{doctor}");
    pierhead.ok(&["upgrade", &name, "--finish"]);
    all_are_let_in(&pierhead, &name, 3);
    pierhead.ok(&["destroy", &name, "--force"]);
    assert_eq!(pierhead.left_on_docker(), Vec::<String>::new());
}

/// An addon whose application is its engine's superuser, as it was before there was a user of Pierhead's own.
#[test]
fn an_addon_that_was_made_before_is_upgraded_as_it_is() {
    let pierhead = Pierhead::start();
    let name = pierhead.name("old");
    let secrets = pierhead.dir.path().join("data/secrets").join(&name);
    std::fs::create_dir_all(&secrets).unwrap();
    std::fs::write(secrets.join("password"), "of-old-times").unwrap();
    pierhead.ok(&["create", "postgres", &name]);
    pierhead.sql(&name, "CREATE TABLE t AS SELECT generate_series(1, 5000) AS i");
    pierhead.ok(&["upgrade", &name, "--to", "17"]);
    assert_eq!(
        (major(&pierhead, &name), pierhead.sql(&name, "SELECT count(*) FROM t")),
        ("17".into(), "5000".into())
    );
    assert_eq!(pierhead.sql(&name, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user"), "t");
    pierhead.ok(&["rollback", &name, "--force"]);
    assert_eq!(
        (major(&pierhead, &name), pierhead.sql(&name, "SELECT count(*) FROM t")),
        ("15".into(), "5000".into())
    );
    pierhead.ok(&["destroy", &name, "--force"]);
    assert_eq!(pierhead.left_on_docker(), Vec::<String>::new());
}

/// Stops Pierhead for good at each of these, and looks what the next one makes of it.
fn killed_at(points: &[(&str, &str)]) {
    let mut pierhead = Pierhead::start();
    let name = pierhead.name("one");
    pierhead.ok(&["create", "postgres", &name]);
    let sum = fill(&pierhead, &name);
    for (point, expected) in points {
        pierhead.kill();
        pierhead.serve(Some(point));
        pierhead.ok(&["upgrade", &name, "--to", "17", "--no-wait"]);
        wait_for("the crash point", Duration::from_secs(90), || pierhead.has_stopped_at_crash_point());
        pierhead.kill();
        pierhead.serve(None);
        // Whoever logs in at once waits, if need be, until it is decided.
        assert_eq!(pierhead.sql(&name, SUM), sum, "{point}");
        assert_eq!(wait_until_settled(&pierhead, &name), *expected, "{point}");
        let version = if *expected == "kept" { "17" } else { "15" };
        assert_eq!(
            (major(&pierhead, &name), pierhead.sql(&name, SUM)),
            (version.into(), sum.clone()),
            "{point}"
        );
        let running = containers(&pierhead, &name);
        let running: Vec<_> = running.iter().filter(|line| line.ends_with("running")).collect();
        assert_eq!(running.len(), 1, "{point}: {running:?}");
        if *expected == "kept" {
            let refused = pierhead.run(&["rollback", &name]);
            assert!(refused.code == Some(4) && refused.stderr.contains("--force"), "{refused:?}");
            pierhead.ok(&["rollback", &name, "--force"]);
        }
        assert_eq!(
            (containers(&pierhead, &name), volumes(&pierhead)),
            (vec!["blog running".to_owned()], 1),
            "{point}"
        );
        assert_eq!(
            (major(&pierhead, &name), pierhead.sql(&name, SUM)),
            ("15".into(), sum.clone()),
            "{point}"
        );
    }
    pierhead.ok(&["destroy", &name, "--force"]);
    assert_eq!(pierhead.left_on_docker(), Vec::<String>::new());
}

#[test]
fn killed_before_the_data_are_there_it_goes_on_or_goes_back() {
    killed_at(&[
        ("before:upgrade-check", "kept"),
        ("after:upgrade-prepare", "kept"),
        ("after:upgrade-hold", "kept"),
        ("before:upgrade-move", "undone"),
        ("after:upgrade-move", "undone"),
    ]);
}

#[test]
fn killed_when_the_data_are_there_it_goes_on() {
    killed_at(&[
        ("before:upgrade-verify", "kept"),
        ("before:upgrade-switch", "kept"),
        ("after:upgrade-switch", "kept"),
        ("before:upgrade-settle", "kept"),
        ("after:upgrade-settle", "kept"),
    ]);
}

#[test]
fn killed_on_the_way_back_it_goes_on_going_back() {
    let mut pierhead = Pierhead::start();
    let name = pierhead.name("one");
    pierhead.ok(&["create", "postgres", &name]);
    let sum = fill(&pierhead, &name);
    for point in
        ["before:upgrade-return", "after:upgrade-return", "before:upgrade-remove", "after:upgrade-remove"]
    {
        pierhead.ok(&["upgrade", &name, "--to", "17"]);
        pierhead.kill();
        pierhead.serve(Some(point));
        let mut rollback = pierhead.command(&["rollback", &name, "--force"]);
        let mut rollback = rollback.spawn().unwrap();
        wait_for("the crash point", Duration::from_secs(90), || pierhead.has_stopped_at_crash_point());
        pierhead.kill();
        rollback.wait().unwrap();
        pierhead.serve(None);
        assert_eq!(wait_until_settled(&pierhead, &name), "undone", "{point}");
        assert_eq!(
            (major(&pierhead, &name), pierhead.sql(&name, SUM)),
            ("15".into(), sum.clone()),
            "{point}"
        );
        assert_eq!(
            (containers(&pierhead, &name), volumes(&pierhead)),
            (vec!["blog running".to_owned()], 1),
            "{point}"
        );
    }
    // The same with `--finish`.
    pierhead.ok(&["upgrade", &name, "--to", "17"]);
    pierhead.kill();
    pierhead.serve(Some("after:upgrade-finish"));
    pierhead.ok(&["upgrade", &name, "--finish", "--no-wait"]);
    wait_for("the crash point", Duration::from_secs(90), || pierhead.has_stopped_at_crash_point());
    pierhead.kill();
    pierhead.serve(None);
    wait_for("the end", Duration::from_secs(60), || stage(&pierhead, &name).is_empty());
    assert_eq!((major(&pierhead, &name), pierhead.sql(&name, SUM)), ("17".into(), sum));
    assert_eq!(volumes(&pierhead), 1);
    pierhead.ok(&["destroy", &name, "--force"]);
    assert_eq!(pierhead.left_on_docker(), Vec::<String>::new());
}

#[track_caller]
fn undone(pierhead: &Pierhead, name: &str, args: &[&str], expected: &str) -> Ended {
    let ended = pierhead.run(&[&["upgrade", name], args].concat());
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains(expected) && ended.stderr.contains("as before"), "{expected}: {ended:?}");
    assert_eq!((containers(pierhead, name), volumes(pierhead)), (vec!["blog running".to_owned()], 1));
    ended
}

#[test]
fn what_cannot_be_done_changes_nothing() {
    let pierhead = Pierhead::start();
    let name = pierhead.name("one");
    pierhead.ok(&["create", "postgres", &name]);
    let sum = fill(&pierhead, &name);
    let refused_before = metric(&pierhead, "pierhead_refused_total");
    for (args, code, expected) in [
        (&["--to", "15"][..], 4, "already"),
        (&["--to", "1 7"], 2, "cannot be the tag"),
        (&["--image", "-x"], 2, ""),
        (&["--finish"], 3, "no upgrade"),
        (&["--cancel"], 3, "no upgrade"),
        (&[], 2, ""),
        (&["--to", "17", "--finish"], 2, ""),
    ] {
        let ended = pierhead.run(&[&["upgrade", &name], args].concat());
        assert!(ended.code == Some(code) && ended.stderr.contains(expected), "{args:?}: {ended:?}");
    }
    assert_eq!(pierhead.run(&["rollback", &name]).code, Some(3));
    assert_eq!(pierhead.run(&["upgrade", "nobody-here", "--to", "17"]).code, Some(3));
    let cache = pierhead.name("cache");
    undone(&pierhead, &name, &["--image", "pierhead/redis:7"], "no program postgres");
    // In the way: what would be lost.
    as_superuser(&name, "SELECT pg_create_physical_replication_slot('left')");
    undone(&pierhead, &name, &["--to", "17"], "the replication slot left would be lost");
    as_superuser(&name, "SELECT pg_drop_replication_slot('left')");
    // Held for too long: a dump that cannot end, as somebody inside the container has locked a table.
    let lock = "PGPASSWORD=$(cat /run/secrets/superuser) psql -h 127.0.0.1 -U pierhead -d \"$POSTGRES_DB\" -c 'SELECT pg_sleep(0)' >/dev/null; \
        (sleep 9; true) & while kill -0 $! 2>/dev/null; do PGPASSWORD=$(cat /run/secrets/superuser) psql -h 127.0.0.1 -U pierhead -d \"$POSTGRES_DB\" \
        -c 'BEGIN; LOCK TABLE t; SELECT pg_sleep(9)'; done";
    docker(&["exec", "-d", &name, "sh", "-c", lock]);
    let ended = undone(&pierhead, &name, &["--to", "17", "--hold-max", "3s"], "");
    assert!(
        ended.stderr.contains("as long as was allowed") || ended.stderr.contains("took too long"),
        "{ended:?}"
    );
    assert_eq!(pierhead.sql(&name, SUM), sum);
    assert_eq!(metric(&pierhead, "pierhead_refused_total"), refused_before);

    // Cancelled; and while it goes on nothing else can be begun.
    pierhead.ok(&["upgrade", &name, "--to", "17", "--no-wait"]);
    for args in [&["stop", &name][..], &["destroy", &name, "--force"], &["upgrade", &name, "--to", "17"]] {
        let ended = pierhead.run(args);
        assert!(ended.code == Some(4) && ended.stderr.contains("being upgraded"), "{args:?}: {ended:?}");
    }
    pierhead.ok(&["upgrade", &name, "--cancel"]);
    assert_eq!((containers(&pierhead, &name), volumes(&pierhead)), (vec!["blog running".to_owned()], 1));
    assert_eq!((major(&pierhead, &name), pierhead.sql(&name, SUM)), ("15".into(), sum));

    pierhead.ok(&["create", "redis", &cache]);
    let image = pierhead.json(&["info", &cache])["image"].as_str().unwrap().to_owned();
    assert!(image.contains("redis"), "{image}");
    let mosquitto = pierhead.run(&["upgrade", &cache, "--image", NEWER]);
    assert!(mosquitto.stderr.contains("no program redis-server"), "{mosquitto:?}");
    // Kept, and destroyed: nothing of either container is left.
    pierhead.ok(&["upgrade", &name, "--to", "17"]);
    let down = pierhead.run(&["upgrade", &name, "--to", "15"]);
    assert!(down.stderr.contains("is kept"), "{down:?}");
    pierhead.ok(&["upgrade", &name, "--finish"]);
    let down = pierhead.run(&["upgrade", &name, "--to", "15"]);
    assert!(down.code == Some(1) && down.stderr.contains("older than"), "{down:?}");
    for name in [&name, &cache] {
        pierhead.ok(&["destroy", name, "--force"]);
    }
    assert_eq!(pierhead.left_on_docker(), Vec::<String>::new());
}

/// An image under a name of the test's own, which goes with it.
struct Tag(String);

impl Tag {
    fn new(pierhead: &Pierhead, image: &str) -> Self {
        let repository = image.split_once(':').unwrap().0;
        let tag = format!("{repository}:{}", pierhead.prefix);
        docker(&["tag", image, &tag]);
        Tag(tag)
    }
}

impl Drop for Tag {
    fn drop(&mut self) {
        let _ = control::try_docker(&["rmi", &self.0]);
    }
}

#[test]
fn versions_that_read_each_others_files_share_a_volume() {
    let mut pierhead = Pierhead::start();
    let (name, cache) = (pierhead.name("one"), pierhead.name("cache"));
    let (tag, redis_tag) = (Tag::new(&pierhead, &image()), Tag::new(&pierhead, &control::redis_image()));
    pierhead.ok(&["create", "postgres", &name]);
    let sum = fill(&pierhead, &name);
    let url = pierhead.ok(&["url", &name]).trim().to_owned();
    pierhead.sql(&name, "CREATE TABLE w (i int PRIMARY KEY)");
    let refused_before = metric(&pierhead, "pierhead_refused_total");
    let writer = Writer::start(url, 0);
    let upgraded = pierhead.json(&["upgrade", &name, "--image", &tag.0]);
    assert_eq!((upgraded["method"].as_str(), upgraded["stage"].as_str()), (Some("swap"), Some("kept")));
    assert_eq!(
        (containers(&pierhead, &name).as_slice(), volumes(&pierhead)),
        (&["blog exited".to_owned(), "blog.g2 running".into()][..], 1)
    );
    let count = || writer.acknowledged.lock().unwrap().len();
    let then = count();
    wait_for("the writer to go on", Duration::from_secs(20), || count() > then + 20);
    // Back, with what was written since.
    pierhead.ok(&["rollback", &name]);
    let (acknowledged, refused) = writer.stop();
    assert_eq!(refused, Vec::<String>::new());
    assert_eq!(
        pierhead.sql(
            &name,
            "SELECT count(*) >= $$COUNT$$::int FROM w"
                .replace("COUNT", &acknowledged.len().to_string())
                .as_str()
        ),
        "t"
    );
    assert_eq!((pierhead.sql(&name, SUM), volumes(&pierhead)), (sum.clone(), 1));
    assert_eq!(containers(&pierhead, &name), ["blog running"]);
    assert_eq!(metric(&pierhead, "pierhead_refused_total"), refused_before);

    for point in
        ["after:upgrade-stop", "after:upgrade-prepare", "after:upgrade-switch", "before:upgrade-settle"]
    {
        pierhead.kill();
        pierhead.serve(Some(point));
        pierhead.ok(&["upgrade", &name, "--image", &tag.0, "--no-wait"]);
        wait_for("the crash point", Duration::from_secs(90), || pierhead.has_stopped_at_crash_point());
        pierhead.kill();
        pierhead.serve(None);
        assert_eq!(wait_until_settled(&pierhead, &name), "kept", "{point}");
        assert_eq!(pierhead.sql(&name, SUM), sum, "{point}");
        pierhead.ok(&["rollback", &name]);
        assert_eq!(
            (containers(&pierhead, &name), volumes(&pierhead)),
            (vec!["blog running".to_owned()], 1),
            "{point}"
        );
    }

    pierhead.ok(&["create", "redis", &cache]);
    pierhead.ok(&["connect", &cache, "--", "SET", "key", "value"]);
    pierhead.ok(&["upgrade", &cache, "--image", &redis_tag.0]);
    assert_eq!(pierhead.ok(&["connect", &cache, "--", "GET", "key"]).trim(), "value");
    pierhead.ok(&["upgrade", &cache, "--finish"]);
    assert_eq!(pierhead.ok(&["connect", &cache, "--", "GET", "key"]).trim(), "value");
    for name in [&name, &cache] {
        pierhead.ok(&["destroy", name, "--force"]);
    }
    assert_eq!(pierhead.left_on_docker(), Vec::<String>::new());
}

#[test]
fn mariadb_from_10_11_to_11_8() {
    let port = further_port();
    let pierhead = Pierhead::start_with(&format!(
        "[[listener]]\ndialect = \"mysql\"\nlisten = [\"127.0.0.1:{port}\"]\n[kind.mariadb]\nimage = \"pierhead/mariadb:10.11\"\n"
    ));
    let name = pierhead.name("one");
    pierhead.ok(&["create", "mariadb", &name]);
    let sql = |sql: &str| pierhead.ok(&["connect", &name, "--", "-NBe", sql]).trim().to_owned();
    sql("CREATE TABLE t (id int AUTO_INCREMENT PRIMARY KEY, x text, b varbinary(40)); \
         INSERT INTO t (x, b) WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 900) SELECT md5(i), unhex(md5(i)) FROM n; \
         CREATE VIEW v AS SELECT count(*) AS n FROM t; CREATE PROCEDURE p() SELECT 42; \
         CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.x = NEW.x");
    let sum = "SELECT concat(bit_xor(crc32(concat(id, x, hex(b)))), ' ', (SELECT n FROM v)) FROM t";
    let before = sql(sum);
    // The application goes by its second name, and the first one is locked.
    pierhead.ok(&["bind", &name, "viewer", "--access", "read-only"]);
    pierhead.ok(&["rotate", &name, "--now"]);
    // As root, who alone may look.
    let users = |container: &str| {
        let script = r#"MYSQL_PWD=$(cat /run/secrets/superuser) exec mariadb --protocol=socket -u root -NB -e "SELECT concat(user, ' ', json_value(priv, '\$.authentication_string'), ' ', coalesce(json_value(priv, '\$.account_locked'), 0) IN ('1', 'true')) FROM mysql.global_priv WHERE user LIKE '$1%' ORDER BY 1""#;
        docker(&["exec", container, "sh", "-c", script, "sh", &name])
    };
    let users_before = users(&name);
    let locked: Vec<_> = users_before.lines().filter(|line| line.ends_with(" 1")).collect();
    assert_eq!((users_before.lines().count(), locked.len()), (3, 1), "{users_before}");
    let refused_before = metric(&pierhead, "pierhead_refused_total");
    assert!(sql("SELECT version()").starts_with("10.11"));
    let (url, mut idle) = (
        pierhead.ok(&["url", &name]),
        pierhead.command(&["connect", &name, "--", "-e", "SELECT sleep(600)"]),
    );
    let mut idle = idle.stdout(std::process::Stdio::null()).spawn().unwrap();
    let upgraded = pierhead.json(&["upgrade", &name, "--to", "11.8"]);
    assert_eq!((upgraded["stage"].as_str(), upgraded["method"].as_str()), (Some("kept"), Some("move")));
    idle.wait().unwrap();
    assert!(sql("SELECT version()").starts_with("11.8"));
    assert_eq!((sql(sum), sql("CALL p()"), pierhead.ok(&["url", &name])), (before.clone(), "42".into(), url));
    assert_eq!(users(&format!("{name}.g2")), users_before);
    pierhead.ok(&["rotate", &name, "--role", "viewer", "--now"]);
    pierhead.ok(&["bind", &name, "later", "--access", "read-write"]);
    assert_eq!(sql("SELECT 1"), "1");
    // Back, and writable.
    pierhead.ok(&["rollback", &name, "--force"]);
    assert!(sql("SELECT version()").starts_with("10.11"));
    assert_eq!(sql(sum), before);
    sql("INSERT INTO t (x) VALUES ('after')");
    assert_eq!(metric(&pierhead, "pierhead_refused_total"), refused_before);
    pierhead.ok(&["destroy", &name, "--force"]);
    assert_eq!(pierhead.left_on_docker(), Vec::<String>::new());
}
