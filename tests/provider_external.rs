//! The promise of `external`: an engine that runs elsewhere is reached by its addon's name through the edge, wherever its host is now;
//! and nothing is reached that the admin has not allowed. With the real PostgreSQL in containers that Pierhead knows nothing of, under
//! a host name that the test gives them (/etc/hosts).

#![allow(clippy::unwrap_used, reason = "a test")]

mod control;
#[path = "provider_external/elsewhere.rs"]
mod elsewhere;

use std::time::Duration;

use control::{Pierhead, wait_for};
use elsewhere::{Elsewhere, HostName, Session};

const SOON: Duration = Duration::from_secs(60);

#[test]
fn reached_by_name_and_followed_when_its_address_changes() {
    let (mut pierhead, host) = configured("1s", "");
    pierhead.serve(None);
    let name = pierhead.name("away");
    let first = Elsewhere::start(&pierhead.name("db1"), &name);
    let second = Elsewhere::start(&pierhead.name("db2"), &name);
    host.leads_to(&[&first.address]);

    let url = pierhead.create_external(&name, &host.name, &first.password);
    assert_eq!(url, format!("postgres://{name}:{}@127.0.0.1:{}/{name}", first.password, pierhead.port));
    assert_eq!(pierhead.sql(&name, WHO), first.says(&name));
    let info = pierhead.json(&["info", &name]);
    assert_eq!(info["state"], "ready");
    assert_eq!(info["backend"]["at"], format!("{}:5432", host.name));
    assert_eq!(info["backend"]["address"], format!("{}:5432", first.address));
    assert_eq!((&info["kind"], &info["provider"]), (&"postgres".into(), &"elsewhere".into()));
    let explained = pierhead.ok(&["explain", &name]);
    assert!(explained.contains(&format!("goes to {}:5432", first.address)), "{explained}");
    let routes = pierhead.json(&["routes"]);
    assert_eq!(routes["routes"][0]["address"], format!("{}:5432", first.address));
    assert_eq!(pierhead.ok(&["env", "--addon", &name]).trim(), format!("export DATABASE_URL='{url}'"));

    // Connections that are open stay where they are; the next ones go to the new address.
    let mut session = Session::open(&pierhead, &name, &first.password);
    assert_eq!(session.query(WHO), first.says(&name));
    host.leads_to(&[&second.address]);
    wait_for("the new address to be used", SOON, || pierhead.sql(&name, WHO) == second.says(&name));
    assert_eq!(session.query(WHO), first.says(&name));

    drop(session);
    let log = pierhead.log_text();
    assert!(!log.contains(&first.password) && !pierhead.ok(&["events", &name]).contains(&first.password));

    // Destroyed here, left as it is there.
    pierhead.ok(&["destroy", &name, "--force"]);
    assert!(pierhead.try_sql_as(&name, &first.password).unwrap_err().contains("no addon named"));
    assert!(first.answers(&name) && !pierhead.dir.path().join("data/secrets").join(&name).exists());
}

/// The clock would take ten minutes: it is the dial that finds out, and the client that has dialled is let in.
#[test]
fn a_dial_that_fails_has_the_name_resolved_again() {
    let (mut pierhead, host) = configured("10m", "");
    pierhead.serve(None);
    let name = pierhead.name("moved");
    let first = Elsewhere::start(&pierhead.name("db1"), &name);
    let second = Elsewhere::start(&pierhead.name("db2"), &name);
    host.leads_to(&[&first.address]);
    pierhead.create_external(&name, &host.name, &first.password);
    first.stop();
    host.leads_to(&[&second.address]);
    assert_eq!(pierhead.sql(&name, WHO), second.says(&name));
    assert_eq!(pierhead.json(&["info", &name])["backend"]["address"], format!("{}:5432", second.address));
}

#[test]
fn down_is_said_in_the_protocols_own_words_and_up_is_found() {
    let (mut pierhead, host) = configured("2s", "[deadlines]\ncheck = \"1s\"\n");
    pierhead.serve(None);
    let name = pierhead.name("down");
    let away = Elsewhere::start(&pierhead.name("db"), &name);
    host.leads_to(&[&away.address]);
    pierhead.create_external(&name, &host.name, &away.password);
    away.stop();
    // Whoever comes first has its dial fail; the look that follows finds out.
    assert!(pierhead.try_sql_as(&name, &away.password).is_err());
    wait_for("the error to be seen", SOON, || {
        let _ = pierhead.try_sql_as(&name, &away.password);
        pierhead.state(&name) == "error"
    });
    let reason = pierhead.json(&["info", &name])["reason"].as_str().unwrap().to_owned();
    assert!(reason.contains(&host.name) && reason.contains(&away.address), "{reason}");
    let refused = pierhead.try_sql_as(&name, &away.password).unwrap_err();
    assert!(refused.contains("did not answer when it was last looked at"), "{refused}");
    assert_eq!(pierhead.json(&["routes"])["routes"][0]["state"], "unreachable");
    let explained = pierhead.run(&["explain", &name]);
    assert!(explained.code == Some(1) && explained.stdout.contains("did not answer"), "{explained:?}");

    // SIGKILL in the middle of that; then it comes back by itself, at another address perhaps.
    pierhead.kill();
    pierhead.serve(None);
    away.start_again();
    host.leads_to(&[&away.address_now()]);
    wait_for("it to be ready again", SOON, || pierhead.state(&name) == "ready");
    assert_eq!(pierhead.sql(&name, "SELECT 1"), "1");

    pierhead.ok(&["stop", &name]);
    let refused = pierhead.try_sql_as(&name, &away.password).unwrap_err();
    assert!(refused.contains("stopped"), "{refused}");
    pierhead.ok(&["start", &name]);
    assert_eq!(pierhead.sql(&name, "SELECT 1"), "1");
}

#[test]
fn of_several_addresses_one_that_answers_is_used() {
    let (mut pierhead, host) = configured("10m", "");
    pierhead.serve(None);
    let name = pierhead.name("many");
    let away = Elsewhere::start(&pierhead.name("db"), &name);
    // Nothing listens at the first: an address of the test's own net that is nobody's.
    host.leads_to(&["127.77.0.9", &away.address]);
    pierhead.create_external(&name, &host.name, &away.password);
    let backend = pierhead.json(&["info", &name])["backend"].clone();
    assert_eq!(backend["address"], format!("{}:5432", away.address));
    assert_eq!(backend["others"], serde_json::json!(["127.77.0.9:5432"]));
    assert!(pierhead.ok(&["info", &name]).contains("(also 127.77.0.9:5432)"));
    // The name is gone: what was known serves on, and that is said.
    host.leads_to(&[]);
    pierhead.ok(&["restart", &name]);
    assert_eq!(pierhead.sql(&name, "SELECT 1"), "1");
    assert!(pierhead.json(&["info", &name])["warning"].as_str().unwrap().contains("cannot be resolved"));
    // A wrong password is found before it is called ready.
    host.leads_to(&[&away.address]);
    let wrong = pierhead.name("wrong");
    let ended = pierhead.try_create_external(&wrong, &host.name, "not it", &["--timeout", "3s"]);
    assert!(matches!(ended.code, Some(1 | 5)) && ended.stderr.contains("a login as"), "{ended:?}");
}

/// The plan's limit counts, and no label of somebody else's takes the name away.
#[test]
fn limits_are_those_of_its_plan_and_its_name_is_its_own() {
    let (mut pierhead, host) = configured("10m", "[plan.two]\nconnections_max = 2\n");
    pierhead.serve(None);
    let name = pierhead.name("two");
    let away = Elsewhere::start(&pierhead.name("db"), &name);
    host.leads_to(&[&away.address]);
    let ended = pierhead.try_create_external(&name, &host.name, &away.password, &["--plan", "two"]);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let sessions = [1, 2].map(|_| Session::open(&pierhead, &name, &away.password));
    let refused = pierhead.try_sql_as(&name, &away.password).unwrap_err();
    assert!(refused.contains("limit is 2"), "{refused}");
    drop(sessions);
    wait_for("the connections to be counted as closed", SOON, || {
        pierhead.json(&["info", &name])["connections"]["active"] == 0
    });
    pierhead.ok(&["set", &name, "--plan", "small"]);
    let _sessions = [1, 2, 3].map(|_| Session::open(&pierhead, &name, &away.password));

    let thief = Elsewhere::labelled(&pierhead.name("thief"), &name);
    wait_for("the thief to be known", SOON, || {
        pierhead.try_sql_as(&name, &away.password).is_ok() && thief.answers(&name)
    });
    for _ in 0..20 {
        assert_eq!(pierhead.sql(&name, WHO), away.says(&name));
    }
}

/// Nothing but what the admin has allowed, and never the edge itself.
#[test]
fn it_is_no_open_relay() {
    let (mut pierhead, host) = configured("10m", "");
    let config = "[provider.narrow]\ntype = \"external\"\nallow = [\"192.0.2.0/24\", \"*.invalid\"]\n";
    pierhead.configure_too(config);
    pierhead.serve(None);
    let (port, name) = (pierhead.port.to_string(), pierhead.name("loop"));
    for (args, code, words) in [
        (["narrow", "--host", "198.51.100.1"], 2, "none of the networks in allow (192.0.2.0/24, *.invalid)"),
        (["narrow", "--host", "127.0.0.1"], 2, "this host or this link"),
        (["narrow", "--host", "db:5432"], 2, "without a port"),
        (["narrow", "--protocol", "postgres"], 2, "missing field `host`"),
        (["external", "--host", "192.0.2.1"], 2, "add a table [provider.external]"),
    ] {
        let mut line = vec!["create", args[0], &name, args[1], args[2]];
        if args[1] == "--host" {
            line.extend(["--protocol", "postgres"]);
        }
        let ended = pierhead.run(&line);
        assert!(ended.code == Some(code) && ended.stderr.contains(words), "{args:?}: {ended:?}");
    }
    let ended = pierhead.run(&["create", "elsewhere", &name, "--protocol", "mongodb", "--host", &host.name]);
    assert!(ended.code == Some(4) && ended.stderr.contains("does not listen for mongodb"), "{ended:?}");
    // The edge, by each of its names and addresses.
    for at in ["127.0.0.1", "localhost", host.name.as_str()] {
        host.leads_to(&["127.0.0.1"]);
        let create = ["create", "elsewhere", &name, "--protocol", "postgres", "--host", at, "--port", &port];
        let ended = pierhead.run(&create);
        assert!(ended.code == Some(1) && ended.stderr.contains("Pierhead itself"), "{at}: {ended:?}");
        assert!(pierhead.try_sql_as(&name, "x").is_err());
        pierhead.ok(&["destroy", &name, "--force"]);
    }
    // A name that is allowed, and leads where it may not.
    host.leads_to(&["127.0.0.1"]);
    let inside = HostName::new(&format!("{}.invalid", pierhead.name("rebound")));
    inside.leads_to(&["127.0.0.1"]);
    let ended = pierhead.run(&[
        "create",
        "narrow",
        &name,
        "--protocol",
        "postgres",
        "--host",
        &inside.name,
        "--timeout",
        "2s",
    ]);
    assert!(ended.code != Some(0) && ended.stderr.contains("an admin has to list it"), "{ended:?}");
    pierhead.ok(&["destroy", &name, "--force"]);
    // It was allowed, and its name leads elsewhere later: nobody is led there.
    let engine = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let engine_port = engine.local_addr().unwrap().port().to_string();
    host.leads_to(&["127.0.0.1"]);
    let create = [
        "create",
        "elsewhere",
        &name,
        "--protocol",
        "postgres",
        "--host",
        &host.name,
        "--port",
        &engine_port,
    ];
    pierhead.ok(&create);
    host.leads_to(&["0.0.0.0"]);
    pierhead.run(&["restart", &name]);
    assert_eq!(pierhead.state(&name), "error");
    let refused = pierhead.try_sql_as(&name, "x").unwrap_err();
    assert!(refused.contains("did not answer"), "{refused}");
    pierhead.ok(&["destroy", &name, "--force"]);
    // Owners of an app do not choose hosts; a key they may have.
    let token = pierhead.ok(&["token", "create", "ci", "--role", "owner", "--app", "shop"]);
    let as_owner = |args: &[&str]| {
        let output = pierhead.command(args).env("PIERHEAD_TOKEN", token.trim()).output().unwrap();
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let create =
        ["create", "elsewhere", &name, "--protocol", "postgres", "--host", &host.name, "--app", "shop"];
    let (code, stderr) = as_owner(&create);
    assert!(code == Some(1) && stderr.contains("an admin has to choose"), "{code:?} {stderr}");
    assert_eq!(as_owner(&["create", "secret", &pierhead.name("key"), "--app", "shop"]).0, Some(0));
}

/// An addon outlives the table that it was made by: it is in error, says why, and goes on when the table is back.
#[test]
fn a_provider_that_is_not_configured_any_more_is_missed() {
    let mut pierhead = Pierhead::stopped_without_docker();
    let plain = std::fs::read_to_string(pierhead.config()).unwrap();
    let table = "[provider.elsewhere]\ntype = \"external\"\nallow = [\"127.0.0.0/8\"]\n[backend]\ncheck_every = \"1s\"\n";
    pierhead.configure_too(table);
    pierhead.serve(None);
    let name = pierhead.name("left");
    let engine = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = engine.local_addr().unwrap().port().to_string();
    let create =
        ["create", "elsewhere", &name, "--protocol", "postgres", "--host", "127.0.0.1", "--port", &port];
    pierhead.ok(&create);
    pierhead.kill();
    std::fs::write(pierhead.config(), plain).unwrap();
    pierhead.serve(None);
    wait_for("it to be missed", SOON, || pierhead.state(&name) == "error");
    let info = pierhead.ok(&["info", &name]);
    assert!(info.contains("put [provider.elsewhere] back"), "{info}");
    assert!(pierhead.ok(&["list"]).contains(&name));
    // It fails for want of a Docker engine, and says this too.
    assert!(pierhead.run(&["doctor"]).stdout.contains("not configured any more"));
    assert!(pierhead.run(&["env", "--addon", &name]).stderr.contains("put [provider.elsewhere] back"));
    pierhead.ok(&["bindings", &name]);
    pierhead.ok(&["destroy", &name, "--force", "--no-wait"]);
    pierhead.kill();
    pierhead.configure_too(table);
    pierhead.serve(None);
    wait_for("it to be gone", Duration::from_secs(90), || pierhead.run(&["info", &name]).code == Some(3));
}

/// SIGKILL right before and right after every call.
#[test]
fn killed_at_every_call() {
    if !cfg!(debug_assertions) {
        return; // A release build has no crash points.
    }
    let (mut pierhead, host) = configured("10m", "");
    let name = pierhead.name("crash");
    let away = Elsewhere::start(&pierhead.name("db"), &name);
    host.leads_to(&[&away.address]);
    let body = format!(
        r#"{{"kind": "elsewhere", "name": "{name}", "password": "{}", "arguments": {{"protocol": "postgres", "host": "{}"}}}}"#,
        away.password, host.name
    );
    kill_at(&mut pierhead, &["begin", "complete", "check"], ("POST", "/v1/addons", &body));
    let path = format!("/v1/addons/{name}");
    pierhead.serve(None);
    pierhead.ok(&["wait", &name]);
    assert_eq!(pierhead.sql(&name, "SELECT 1"), "1");
    pierhead.kill();
    kill_at(&mut pierhead, &["deprovision", "forget"], ("DELETE", &path, ""));
    pierhead.serve(None);
    wait_for("it to be gone", SOON, || pierhead.run(&["info", &name]).code == Some(3));
    assert!(away.answers(&name) && pierhead.left_on_docker().is_empty());
}

fn kill_at(pierhead: &mut Pierhead, calls: &[&str], (method, path, body): (&str, &str, &str)) {
    let points = calls.iter().flat_map(|call| [format!("before:{call}"), format!("after:{call}")]);
    for (nth, point) in points.enumerate() {
        pierhead.serve(Some(&point));
        if nth == 0 {
            let (status, answer) = pierhead.http(method, path, body.as_bytes());
            assert!(matches!(status, 0 | 200 | 201), "{status} {answer}");
        }
        wait_for(&format!("pierhead to reach {point}"), SOON, || pierhead.has_stopped_at_crash_point());
        pierhead.kill();
    }
}

/// A Pierhead that may lead to what tests have, and a host name of the test's own.
fn configured(check_every: &str, more: &str) -> (Pierhead, HostName) {
    let pierhead = Pierhead::stopped();
    let host = HostName::new(&format!("{}.test", pierhead.name("host")));
    pierhead.configure_too(&format!(
        "[provider.elsewhere]\ntype = \"external\"\nallow = [\"{}\", \"127.0.0.0/8\", \"localhost\", \"::1\"]\n\
         [backend]\ncheck_every = \"{check_every}\"\n{more}",
        host.name
    ));
    (pierhead, host)
}

const WHO: &str = "SELECT current_user || '@' || host(inet_server_addr())";
