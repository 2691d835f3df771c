//! The promise: an addon that was asked for becomes a database that one can log in to through the edge, whatever
//! happens on the way, and nothing is left of one that was destroyed. On the real dockerd, with the real PostgreSQL.

#![allow(clippy::unwrap_used, reason = "a test")]

mod control;

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use control::{Pierhead, docker, inspect, mode_and_uid, try_docker, wait_for};

#[test]
fn created_used_stopped_restarted_destroyed() {
    let pierhead = Pierhead::start();
    let name = pierhead.name("blog");
    let url = pierhead.ok(&["create", "postgres", &name]);
    let url = url.trim();
    // Ready means that a login through the edge has succeeded; so does the first one after it.
    assert_eq!(
        pierhead.sql(&name, "SELECT current_user || ' ' || current_database()"),
        format!("{name} {name}")
    );
    let password =
        url.strip_prefix(&format!("postgres://{name}:")).and_then(|rest| rest.split_once('@')).unwrap().0;
    assert_eq!(url, format!("postgres://{name}:{password}@127.0.0.1:{}/{name}", pierhead.port));
    assert_eq!(pierhead.ok(&["url", &name]).trim(), url);
    assert!(pierhead.ok(&["url", &name, "--host", "db.example.com"]).contains("@db.example.com:"));

    looks_as_it_should(&pierhead, &name, password);
    is_no_superuser(&pierhead, &name, password);
    counted(&pierhead, &name);

    pierhead.sql(&name, "CREATE TABLE t AS SELECT 42 AS x");
    assert_eq!(pierhead.ok(&["stop", &name]).trim(), format!("{name} is stopped"));
    wait_for("the route to be stopped", Duration::from_secs(30), || {
        pierhead.try_sql(&name, "SELECT 1").is_err_and(|error| error.contains("stopped"))
    });
    assert_eq!(inspect(&name)["State"]["Running"], false);
    assert_eq!(pierhead.ok(&["start", &name]).trim(), format!("{name} is ready"));
    assert_eq!(pierhead.sql(&name, "SELECT x FROM t"), "42");
    let before = inspect(&name)["State"]["StartedAt"].clone();
    pierhead.ok(&["restart", &name]);
    assert_ne!(inspect(&name)["State"]["StartedAt"], before);
    assert_eq!(pierhead.sql(&name, "SELECT x FROM t"), "42");
    assert!(pierhead.ok(&["logs", &name, "--tail", "50"]).contains("database system is ready"));

    // A second request changes nothing.
    let again = pierhead.run(&["create", "postgres", &name]);
    assert_eq!(again.code, Some(4), "{again:?}");
    assert_eq!(pierhead.ok(&["url", &name]).trim(), url);

    let asked = pierhead.run(&["destroy", &name]);
    assert_eq!(asked.code, Some(2), "without a terminal nobody can be asked: {asked:?}");
    pierhead.ok(&["destroy", &name, "--force"]);
    nothing_is_left(&pierhead, &name);
    let log = pierhead.log_text();
    assert!(!log.contains(password), "the password is in the log");
}

#[track_caller]
fn looks_as_it_should(pierhead: &Pierhead, name: &str, password: &str) {
    let container = inspect(name);
    let host = &container["HostConfig"];
    assert_eq!(host["Memory"], 256 << 20);
    assert_eq!(host["MemorySwap"], 256 << 20);
    assert_eq!(host["NanoCpus"], 500_000_000);
    assert_eq!(host["PidsLimit"], 100);
    assert_eq!(host["RestartPolicy"]["Name"], "unless-stopped");
    assert!(host["PortBindings"].as_object().is_none_or(|ports| ports.is_empty()));
    assert_eq!(container["Config"]["Labels"]["pierhead.max-connections"], "50");
    assert!(!container.to_string().contains(password), "the password is in docker inspect");
    let networks = container["NetworkSettings"]["Networks"].as_object().unwrap();
    assert_eq!(networks.len(), 1);
    let network = inspect(networks.keys().next().unwrap());
    assert_eq!(network["Options"]["com.docker.network.bridge.enable_icc"], "false");
    assert!(network["Name"].as_str().unwrap().starts_with("pierhead-"));

    let secret = pierhead.dir.path().join("data/secrets").join(name).join("password");
    assert_eq!(mode_and_uid(&secret), (0o600, 999));
    assert_eq!(mode_and_uid(secret.parent().unwrap()).0, 0o700);
    // The official image exports it to the server that sets the database up; what is left of it is the image's.
    let env = container["Config"]["Env"].to_string();
    assert!(env.contains("POSTGRES_PASSWORD_FILE") && !env.contains("POSTGRES_PASSWORD="), "{env}");
}

/// The application owns its database and what is in it, and has no say in the server. Pierhead's own user has a secret of its
/// own; no addon can be called like it, so that no login of a client leads to it.
#[track_caller]
fn is_no_superuser(pierhead: &Pierhead, name: &str, password: &str) {
    let rights = "SELECT rolsuper::int || ' ' || rolcreaterole::int || ' ' || rolcreatedb::int || ' ' || rolbypassrls::int \
                  FROM pg_roles WHERE rolname = current_user";
    assert_eq!(pierhead.sql(name, rights), "0 0 0 0");
    for refused in
        ["SELECT pg_read_file('/run/secrets/superuser')", "SELECT * FROM pg_authid", "CREATE ROLE x"]
    {
        let error = pierhead.try_sql(name, refused).unwrap_err();
        assert!(error.contains("permission denied"), "{refused}: {error}");
    }
    pierhead.sql(name, "CREATE SCHEMA s; CREATE TABLE s.t (); DROP SCHEMA s CASCADE; CREATE EXTENSION pgcrypto; DROP EXTENSION pgcrypto");
    let secret = pierhead.dir.path().join("data/secrets").join(name).join("superuser");
    assert_eq!(mode_and_uid(&secret), (0o600, 999));
    let superuser = std::fs::read_to_string(&secret).unwrap();
    assert!(superuser.len() >= 40 && superuser != password);
    assert!(!inspect(name).to_string().contains(&superuser), "the superuser's password is in docker inspect");
    for reserved in ["pierhead", "postgres"] {
        let ended = pierhead.run(&["create", "postgres", reserved]);
        assert!(ended.code == Some(2) && ended.stderr.contains("nobody's name"), "{ended:?}");
    }
    // A password that somebody has changed in the server is put right at the next start.
    pierhead.sql(name, &format!("ALTER ROLE \"{name}\" PASSWORD 'other'"));
    assert!(pierhead.try_sql(name, "SELECT 1").is_err());
    pierhead.ok(&["restart", name]);
    assert_eq!(pierhead.sql(name, "SELECT 1"), "1");
    assert!(!pierhead.log_text().contains(&superuser), "the superuser's password is in the log");
}

/// The login check and the logins of the test went through the edge: its own counters say so.
#[track_caller]
fn counted(pierhead: &Pierhead, name: &str) {
    let (status, page) = pierhead.http("GET", "/metrics", b"");
    assert_eq!(status, 200);
    let of = format!("pierhead_connections_opened_total{{protocol=\"postgres\",addon=\"{name}\"}} ");
    let opened = page.lines().find_map(|line| line.strip_prefix(&of)).unwrap_or_else(|| panic!("{page}"));
    assert!(opened.parse::<u32>().unwrap() >= 2, "{opened}");
}

#[track_caller]
fn nothing_is_left(pierhead: &Pierhead, name: &str) {
    assert_eq!(pierhead.left_on_docker(), [""; 0]);
    assert!(!pierhead.dir.path().join("data/secrets").join(name).exists());
    assert_eq!(pierhead.run(&["info", name]).code, Some(3));
}

#[test]
fn somebody_elses_container_and_volume_are_not_touched() {
    let pierhead = Pierhead::start();
    let (named, labelled, volume) = (pierhead.name("named"), pierhead.name("label"), pierhead.name("vol"));
    let image = control::image();
    let other = pierhead.name("other");
    let label = format!("pierhead.name={labelled}");
    let volume_name = format!("pierhead-{volume}");
    let clean = || {
        let _ = try_docker(&["rm", "-fv", &named, &other]);
        let _ = try_docker(&["volume", "rm", &volume_name]);
    };
    clean();
    docker(&["create", "--name", &named, &image]);
    docker(&["create", "--name", &other, "--label", &label, &image]);
    docker(&["volume", "create", &volume_name]);
    let before = [inspect(&named), inspect(&other), inspect(&volume_name)];
    for name in [&named, &labelled, &volume] {
        let ended = pierhead.run(&["create", "postgres", name]);
        assert_eq!(ended.code, Some(4), "{ended:?}");
        assert!(ended.stderr.contains("already"), "{ended:?}");
    }
    assert_eq!(pierhead.json(&["list"])["addons"].as_array().map(Vec::len), Some(0));
    let after = [inspect(&named), inspect(&other), inspect(&volume_name)];
    clean();
    assert_eq!(before, after);
}

#[test]
fn drift_is_repaired_and_data_are_kept() {
    let pierhead = Pierhead::start();
    let name = pierhead.name("drift");
    pierhead.ok(&["create", "postgres", &name]);
    pierhead.sql(&name, "CREATE TABLE t AS SELECT 42 AS x");
    let network =
        inspect(&name)["NetworkSettings"]["Networks"].as_object().unwrap().keys().next().unwrap().clone();
    let away = pierhead.name("away");
    let drifts: [&[&str]; 6] = [
        &["kill", &name],
        &["stop", &name],
        &["pause", &name],
        &["rename", &name, &away],
        &["network", "disconnect", "-f", &network, &name],
        &["rm", "-f", &name],
    ];
    for drift in drifts {
        docker(drift);
        wait_for(&format!("{drift:?} to be repaired"), Duration::from_secs(60), || {
            try_docker(&["inspect", &name]).is_ok()
                && pierhead.state(&name) == "ready"
                && pierhead.try_sql(&name, "SELECT x FROM t").is_ok_and(|x| x == "42")
        });
    }
    // What cannot be repaired is said, and nothing is made up in its place.
    docker(&["rm", "-f", &name]);
    let volume = format!("pierhead-{name}");
    wait_for("the volume to be gone", Duration::from_secs(20), || {
        let _ = try_docker(&["rm", "-f", &name]);
        try_docker(&["volume", "rm", &volume]).is_ok()
    });
    wait_for("the loss to be noticed", Duration::from_secs(40), || pierhead.state(&name) == "error");
    let info = pierhead.json(&["info", &name]);
    assert!(info["reason"].as_str().unwrap().contains("volume"), "{info}");
    let running = try_docker(&["inspect", "-f", "{{.State.Running}}", &name]);
    assert!(running.is_err() || running == Ok("false".into()), "an empty database runs in its place");
    pierhead.ok(&["destroy", &name, "--force"]);
    nothing_is_left(&pierhead, &name);
}

#[test]
fn an_image_that_is_not_to_be_had_is_an_error_with_its_reason() {
    let mut pierhead = Pierhead::stopped();
    pierhead.configure("127.0.0.1:1/pierhead/no-such-image:0");
    pierhead.serve(None);
    let name = pierhead.name("image");
    pierhead.ok(&["create", "postgres", &name, "--no-wait"]);
    let waited = pierhead.run(&["wait", &name, "--timeout", "300ms"]);
    assert!(matches!(waited.code, Some(1 | 5)), "{waited:?}");
    wait_for("the pull to be tried", Duration::from_secs(30), || {
        pierhead.json(&["info", &name])["reason"]
            .as_str()
            .is_some_and(|reason| reason.contains("no-such-image"))
    });
    assert!(pierhead.ok(&["doctor"]).contains("no-such-image"));
    pierhead.ok(&["destroy", &name, "--force"]);
    nothing_is_left(&pierhead, &name);
}

#[test]
fn several_at_once() {
    let pierhead = Pierhead::start();
    let names: Vec<String> = (0..4).map(|n| pierhead.name(&format!("n{n}"))).collect();
    for name in &names {
        pierhead.ok(&["create", "postgres", name, "--no-wait"]);
    }
    for name in &names {
        pierhead.ok(&["wait", name]);
        assert_eq!(pierhead.sql(name, "SELECT current_user"), *name);
    }
    // No addon reaches another one: inter-container traffic is off.
    let other = inspect(&names[1])["NetworkSettings"]["Networks"]
        .as_object()
        .unwrap()
        .values()
        .next()
        .unwrap()["IPAddress"]
        .as_str()
        .unwrap()
        .to_owned();
    let reached = try_docker(&["exec", &names[0], "timeout", "3", "pg_isready", "-h", &other]);
    if iptables_is_on() {
        assert!(reached.is_err(), "{} reaches {other}", names[0]);
    }
    for name in &names {
        pierhead.ok(&["destroy", name, "--force", "--no-wait"]);
    }
    wait_for("all of them to be gone", Duration::from_secs(60), || pierhead.left_on_docker().is_empty());
}

#[test]
fn networks_fill_grow_and_go() {
    let pierhead = Pierhead::start_with("[docker]\nnetwork_containers_max = 2\n");
    let names: Vec<String> = (0..5).map(|n| pierhead.name(&format!("n{n}"))).collect();
    for name in &names {
        pierhead.ok(&["create", "redis", name, "--no-wait"]);
    }
    let mut on: HashMap<String, usize> = HashMap::new();
    for name in &names {
        pierhead.ok(&["wait", name]);
        let networks = inspect(name)["NetworkSettings"]["Networks"].as_object().unwrap().clone();
        *on.entry(networks.keys().next().unwrap().clone()).or_default() += 1;
    }
    let mut filled: Vec<usize> = on.into_values().collect();
    filled.sort();
    assert_eq!(filled, [1, 2, 2], "made all at once, two on a network at most");
    for name in &names {
        pierhead.ok(&["destroy", name, "--force", "--no-wait"]);
    }
    wait_for("all of them to be gone", Duration::from_secs(60), || pierhead.left_on_docker().is_empty());
}

/// Where dockerd runs with `--iptables=false`, bridges cannot keep containers apart.
fn iptables_is_on() -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().all(|process| {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        !(line.starts_with("dockerd") && line.contains("--iptables=false"))
    })
}

/// SIGKILL right before and right after every step. Each restart goes on until the next point.
#[test]
fn killed_at_every_step_of_create_restart_and_destroy() {
    if !cfg!(debug_assertions) {
        return; // A release build has no crash points.
    }
    let mut pierhead = Pierhead::stopped();
    let name = pierhead.name("crash");
    let path = format!("/v1/addons/{name}");
    let body = format!(r#"{{"kind": "postgres", "name": "{name}"}}"#);
    let create =
        ["ensure-secret", "ensure-network", "ensure-volume", "ensure-container", "start", "check-login"];
    kill_at_each(&mut pierhead, &create, ("POST", "/v1/addons", &body));
    pierhead.ok(&["wait", &name]);
    pierhead.sql(&name, "CREATE TABLE t AS SELECT 42 AS x");
    let url = pierhead.ok(&["url", &name]);
    assert_eq!(pierhead.run(&["create", "postgres", &name]).code, Some(4));
    assert_eq!(docker(&["ps", "-aq", "--filter", &pierhead.label().unwrap()]).lines().count(), 1);
    pierhead.kill();

    let restart = ["stop", "want-running", "start", "check-login"];
    kill_at_each(&mut pierhead, &restart, ("POST", &format!("{path}/restart"), ""));
    pierhead.ok(&["wait", &name]);
    assert_eq!(pierhead.sql(&name, "SELECT x FROM t"), "42");
    assert_eq!(pierhead.ok(&["url", &name]), url);
    pierhead.kill();

    let destroy = ["remove-container", "remove-volume", "remove-secret", "forget"];
    kill_at_each(&mut pierhead, &destroy, ("DELETE", &path, ""));
    wait_for("the addon to be gone", Duration::from_secs(30), || {
        pierhead.run(&["info", &name]).code == Some(3)
    });
    wait_for("the network to be gone", Duration::from_secs(30), || pierhead.left_on_docker().is_empty());
    nothing_is_left(&pierhead, &name);
    assert!(Path::new(&pierhead.socket()).exists());
}

/// Sends the request, lets Pierhead be killed at each point in turn, and leaves it running without one.
fn kill_at_each(pierhead: &mut Pierhead, steps: &[&str], (method, path, body): (&str, &str, &str)) {
    let points = steps.iter().flat_map(|step| [format!("before:{step}"), format!("after:{step}")]);
    for (nth, point) in points.enumerate() {
        pierhead.serve(Some(&point));
        if nth == 0 {
            // It may be stopped before it has answered, but not before it has written what is wanted.
            let (status, answer) = pierhead.http(method, path, body.as_bytes());
            assert!(matches!(status, 0 | 200 | 201), "{status} {answer}");
        }
        wait_for(&format!("pierhead to reach {point}"), Duration::from_secs(60), || {
            pierhead.has_stopped_at_crash_point()
        });
        pierhead.kill();
    }
    pierhead.serve(None);
}
