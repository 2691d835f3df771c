//! The promise of `secret`: a random key in a file that only Pierhead reads, told to apps, there until it is destroyed. It needs no
//! Docker, so these tests run without one.

#![allow(clippy::unwrap_used, reason = "a test")]

mod control;

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use control::{Pierhead, mode_and_uid, wait_for};

#[test]
fn made_told_rotated_destroyed() {
    let pierhead = Pierhead::without_docker();
    let name = pierhead.name("key");
    let made = pierhead.ok(&["create", "secret", &name]);
    let key = key_in(&made, "SECRET_KEY");
    assert_eq!(key.len(), 43, "32 bytes in base64: {key}");
    assert!(key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)), "{key}");
    assert_eq!(fs::read_to_string(file(&pierhead, &name)).unwrap(), key);
    let me = mode_and_uid(pierhead.dir.path()).1;
    assert_eq!(mode_and_uid(&file(&pierhead, &name)), (0o600, me));
    assert_eq!(mode_and_uid(file(&pierhead, &name).parent().unwrap()).0, 0o700);

    let info = pierhead.json(&["info", &name]);
    assert_eq!(
        (&info["state"], &info["kind"], &info["provider"]),
        (&"ready".into(), &"secret".into(), &"secret".into())
    );
    assert!(info["container"].is_null() && !info.to_string().contains(&key));
    assert!(pierhead.ok(&["list"]).contains(&name));
    // Nothing leads to it, and whoever asks for that is told so.
    assert_eq!(pierhead.json(&["routes"])["routes"], serde_json::json!([]));
    for verb in ["url", "connect"] {
        let ended = pierhead.run(&[verb, &name]);
        assert!(ended.code != Some(0) && ended.stderr.contains("it has no URL"), "{verb}: {ended:?}");
    }
    for args in [
        &["logs", &name][..],
        &["bind", &name, "reader", "--access", "read-only"],
        &["upgrade", &name, "--to", "17"],
        &["export", &name, "--output", "/tmp/never-written"],
        &["clone", &name, "other"],
        &["set", &name, "work_mem=1MB"],
        &["enter", &name],
    ] {
        let ended = pierhead.run(args);
        assert!(ended.code != Some(0) && ended.stderr.contains("no container"), "{args:?}: {ended:?}");
    }
    let explained = pierhead.run(&["explain", &name]);
    assert!(explained.code == Some(1) && explained.stdout.contains("no engine"), "{explained:?}");

    pierhead.ok(&["attach", &name, "--app", "shop"]);
    pierhead.ok(&["attach", &name, "--app", "shop", "--as", "BLUE"]);
    let env = pierhead.ok(&["env", "--app", "shop"]);
    assert_eq!((key_in(&env, "SECRET_KEY"), key_in(&env, "BLUE_SECRET_KEY")), (key.clone(), key.clone()));

    let other = key_in(&pierhead.ok(&["rotate", &name]), "SECRET_KEY");
    assert!(other != key && other.len() == 43);
    assert_eq!(key_in(&pierhead.ok(&["env", "--app", "shop"]), "SECRET_KEY"), other);
    assert_eq!(key_in(&pierhead.ok(&["env", "--addon", &name]), "SECRET_KEY"), other);

    pierhead.ok(&["stop", &name]);
    assert_eq!(pierhead.state(&name), "stopped");
    pierhead.ok(&["start", &name]);
    pierhead.ok(&["restart", &name]);
    assert_eq!(key_in(&pierhead.ok(&["env", "--addon", &name]), "SECRET_KEY"), other, "the key is kept");

    let attached = pierhead.run(&["destroy", &name, "--no-wait"]);
    assert_eq!(attached.code, Some(2), "nobody is there to be asked: {attached:?}");
    pierhead.ok(&["destroy", &name, "--force"]);
    nothing_is_left(&pierhead, &name);
    let events = pierhead.ok(&["events", &name]);
    for word in
        ["provisioning:begin", "provisioning:provider", "ready", "stopped", "deprovisioning", "deprovisioned"]
    {
        assert!(events.contains(word), "{word} is not in\n{events}");
    }
    for secret in [&key, &other] {
        assert!(!events.contains(secret.as_str()) && !pierhead.log_text().contains(secret.as_str()));
    }
}

#[test]
fn what_is_asked_for_is_what_is_made_and_what_cannot_be_is_said() {
    let pierhead = Pierhead::without_docker();
    let made =
        pierhead.ok(&["create", "secret", "--bytes", "48", "--variable", "SESSION_KEY", "--app", "shop"]);
    assert_eq!(key_in(&made, "SESSION_KEY").len(), 64);
    // A name was made up.
    let list = pierhead.json(&["list"]);
    let name = list["addons"][0]["name"].as_str().unwrap().to_owned();
    assert_eq!(name.split('-').count(), 3, "{name}");
    assert_eq!(key_in(&pierhead.ok(&["env", "--app", "shop"]), "SESSION_KEY").len(), 64);
    for (args, words) in [
        (&["--bytes", "15"][..], "expected 16 to 1024"),
        (&["--variable", "lower"], "such as SECRET_KEY"),
        (&["--plan", "small"], "has no plans"),
        (&["--host", "db.example.com"], "unknown field `host`"),
        (&["--argument", "odd=1"], "unknown field `odd`"),
    ] {
        let ended = pierhead.run(&[&["create", "secret", "bad"], args].concat());
        assert!(ended.code == Some(2) && ended.stderr.contains(words), "{args:?}: {ended:?}");
    }
    let unknown = pierhead.run(&["create", "odd", "bad"]);
    assert!(unknown.code == Some(2) && unknown.stderr.contains(", secret"), "{unknown:?}");
    let docker = pierhead.run(&["create", "postgres", "bad", "--bytes", "48"]);
    assert!(docker.code == Some(2) && docker.stderr.contains("takes neither"), "{docker:?}");
    let set = pierhead.run(&["set", &name, "--plan", "small"]);
    assert!(set.code == Some(4) && set.stderr.contains("no engine"), "{set:?}");
    let again = pierhead.run(&["create", "secret", &name]);
    assert_eq!(again.code, Some(4), "{again:?}");
    assert_eq!(pierhead.json(&["list"])["addons"].as_array().map(Vec::len), Some(1));
}

#[test]
fn a_key_that_is_gone_is_said_and_not_made_up_again() {
    let mut pierhead = Pierhead::without_docker();
    let name = pierhead.name("gone");
    let key = key_in(&pierhead.ok(&["create", "secret", &name]), "SECRET_KEY");
    let path = file(&pierhead, &name);
    let aside = pierhead.dir.path().join("aside");
    fs::rename(&path, &aside).unwrap();
    let env = pierhead.run(&["env", "--addon", &name]);
    assert!(env.code == Some(4) && env.stderr.contains("its key is gone"), "{env:?}");
    pierhead.kill();
    pierhead.serve(None);
    wait_for("the loss to be noticed", Duration::from_secs(30), || pierhead.state(&name) == "error");
    assert!(pierhead.json(&["info", &name])["reason"].as_str().unwrap().contains("its key is gone"));
    assert!(!path.exists());
    assert_ne!(pierhead.run(&["rotate", &name]).code, Some(0));
    let page = pierhead.http("GET", "/metrics", b"").1;
    assert!(page.contains("pierhead_addon_errors_total{state=\"provisioned\"} 1"), "{page}");
    fs::rename(&aside, &path).unwrap();
    pierhead.ok(&["start", &name]);
    assert_eq!(pierhead.state(&name), "ready");
    assert_eq!(key_in(&pierhead.ok(&["env", "--addon", &name]), "SECRET_KEY"), key);
}

/// SIGKILL right before and right after every call, and around the last line of the row's life.
#[test]
fn killed_at_every_call() {
    if !cfg!(debug_assertions) {
        return; // A release build has no crash points.
    }
    let mut pierhead = Pierhead::stopped_without_docker();
    let name = pierhead.name("crash");
    let body = format!(r#"{{"kind": "secret", "name": "{name}"}}"#);
    kill_at_each(&mut pierhead, &["begin", "complete", "check"], ("POST", "/v1/addons", &body));
    pierhead.ok(&["wait", &name]);
    let key = key_in(&pierhead.ok(&["env", "--addon", &name]), "SECRET_KEY");
    assert_eq!(fs::read_to_string(file(&pierhead, &name)).unwrap(), key);
    pierhead.kill();
    let path = format!("/v1/addons/{name}");
    kill_at_each(&mut pierhead, &["want-running"], ("POST", &format!("{path}/restart"), ""));
    pierhead.ok(&["wait", &name]);
    assert_eq!(key_in(&pierhead.ok(&["env", "--addon", &name]), "SECRET_KEY"), key);
    pierhead.kill();
    kill_at_each(&mut pierhead, &["deprovision", "forget"], ("DELETE", &path, ""));
    wait_for("it to be gone", Duration::from_secs(30), || pierhead.run(&["info", &name]).code == Some(3));
    nothing_is_left(&pierhead, &name);
}

/// As in tests/provision.rs.
fn kill_at_each(pierhead: &mut Pierhead, steps: &[&str], (method, path, body): (&str, &str, &str)) {
    let points = steps.iter().flat_map(|step| [format!("before:{step}"), format!("after:{step}")]);
    for (nth, point) in points.enumerate() {
        pierhead.serve(Some(&point));
        if nth == 0 {
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

#[track_caller]
fn nothing_is_left(pierhead: &Pierhead, name: &str) {
    assert_eq!(pierhead.run(&["info", name]).code, Some(3));
    assert!(!file(pierhead, name).parent().unwrap().exists());
}

fn file(pierhead: &Pierhead, name: &str) -> PathBuf {
    pierhead.dir.path().join("data/secrets").join(name).join("password")
}

/// The value of a variable in what `env` prints.
#[track_caller]
fn key_in(printed: &str, variable: &str) -> String {
    let line = printed.lines().find_map(|line| line.strip_prefix(&format!("export {variable}='")));
    line.and_then(|rest| rest.strip_suffix('\''))
        .unwrap_or_else(|| panic!("no {variable} in {printed:?}"))
        .to_owned()
}
