//! The promise of `tests/provision.rs` for Redis and Valkey: an addon that was asked for becomes a server that one can log in to
//! through the edge, its data and its password are where they belong, and nothing is left of one that was destroyed.

#![allow(clippy::unwrap_used, reason = "a test")]

mod control;

use std::process::Command;
use std::time::Duration;

use serde_json::json;

use control::{Pierhead, docker, inspect, mode_and_uid, wait_for};

#[test]
fn created_used_stopped_restarted_destroyed() {
    let pierhead = Pierhead::start();
    let name = pierhead.name("cache");
    let url = pierhead.ok(&["create", "redis", &name]).trim().to_owned();
    let password =
        url.strip_prefix(&format!("redis://{name}:")).and_then(|rest| rest.split_once('@')).unwrap().0;
    assert_eq!(url, format!("redis://{name}:{password}@127.0.0.1:{}/0", pierhead.redis_port));
    assert_eq!(pierhead.ok(&["url", &name]).trim(), url);
    // Ready means that a login through the edge has succeeded; so does the first one after it.
    assert_eq!(cli(&pierhead, &name, &["ACL", "WHOAMI"]), name);
    assert_eq!(by_url(&url, &["PING"]), "PONG");
    assert_eq!(pierhead.ok(&["wait", &name]).trim(), format!("{name} is ready"));

    looks_as_it_should(&pierhead, &name, password);

    // What is written is on the disk: it outlives a stop and a SIGKILL.
    assert_eq!(cli(&pierhead, &name, &["SET", "x", "42"]), "OK");
    assert_eq!(pierhead.ok(&["stop", &name]).trim(), format!("{name} is stopped"));
    let stopped = format!("ERR addon {name} is stopped, \"pierhead start {name}\" starts it");
    wait_for("the route to be stopped", Duration::from_secs(30), || {
        cli(&pierhead, &name, &["PING"]).contains(&stopped)
    });
    assert_eq!(pierhead.ok(&["start", &name]).trim(), format!("{name} is ready"));
    assert_eq!(cli(&pierhead, &name, &["GET", "x"]), "42");
    // Longer than the second that a write may take to reach the disk.
    cli(&pierhead, &name, &["SET", "x", "43"]);
    std::thread::sleep(Duration::from_secs(2));
    docker(&["kill", &name]);
    wait_for("the addon to be back", Duration::from_secs(60), || {
        cli(&pierhead, &name, &["GET", "x"]) == "43"
    });
    // So are transactions, which the server replays as the user `default`.
    let two = "redis.call('SET', 'y', '44') redis.call('SET', 'z', '45')";
    cli(&pierhead, &name, &["EVAL", two, "0"]);
    docker(&["restart", &name]);
    wait_for("the addon to be ready again", Duration::from_secs(60), || pierhead.state(&name) == "ready");
    assert_eq!(cli(&pierhead, &name, &["MGET", "x", "y", "z"]), "43\n44\n45");
    let unnamed = docker(&["exec", &name, "redis-cli", "PING"]);
    assert!(unnamed.starts_with("NOAUTH"), "{unnamed}");
    assert!(pierhead.ok(&["logs", &name, "--tail", "50"]).contains("Ready to accept connections"));

    other_passwords(&pierhead, &name, &url);

    pierhead.ok(&["destroy", &name, "--force"]);
    assert_eq!(pierhead.left_on_docker(), [""; 0]);
    assert!(!pierhead.dir.path().join("data/secrets").join(&name).exists());
    assert!(!pierhead.log_text().contains(password), "the password is in the log");
}

/// One that somebody has put into the file holds from the next start on, whatever is in it. One that was given to the
/// server alone does not outlive it.
fn other_passwords(pierhead: &Pierhead, name: &str, url: &str) {
    let file = pierhead.dir.path().join("data/secrets").join(name).join("password");
    std::fs::write(&file, "se same>#\"%").unwrap();
    pierhead.ok(&["restart", name]);
    assert_eq!(cli(pierhead, name, &["GET", "x"]), "43");
    let with = pierhead.ok(&["url", name]).trim().to_owned();
    assert!(with.starts_with(&format!("redis://{name}:se%20same%3E%23%22%25@")), "{with}");
    assert_eq!(by_url(&with, &["ACL", "WHOAMI"]), name);
    let refused = by_url(url, &["PING"]);
    assert!(refused.contains("WRONGPASS invalid username-password pair or user is disabled."), "{refused}");

    // The application may not do that; Pierhead's own user may.
    let refused = cli(pierhead, name, &["ACL", "SETUSER", name, "resetpass", ">other"]);
    assert!(refused.starts_with("NOPERM"), "{refused}");
    let changed = as_superuser(pierhead, name, &["ACL", "SETUSER", name, "resetpass", ">other"]);
    assert_eq!(changed, "OK");
    assert!(by_url(&with, &["PING"]).contains("WRONGPASS"));
    pierhead.ok(&["restart", name]);
    assert_eq!(by_url(&with, &["GET", "x"]), "43");
}

/// What redis-cli says to Pierhead's own user, inside the container.
fn as_superuser(pierhead: &Pierhead, name: &str, words: &[&str]) -> String {
    let file = pierhead.dir.path().join("data/secrets").join(name).join("superuser");
    let auth = format!("REDISCLI_AUTH={}", std::fs::read_to_string(file).unwrap());
    docker(&[&["exec", "-e", &auth, name, "redis-cli", "--user", "pierhead"], words].concat())
}

/// What redis-cli says when it is given a URL.
fn by_url(url: &str, words: &[&str]) -> String {
    let output =
        Command::new("redis-cli").args(["--no-auth-warning", "-u", url]).args(words).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    String::from_utf8_lossy(&said).trim().to_owned()
}

#[track_caller]
fn looks_as_it_should(pierhead: &Pierhead, name: &str, password: &str) {
    let container = inspect(name);
    assert!(!container.to_string().contains(password), "the password is in docker inspect");
    assert_eq!(container["Config"]["Labels"]["pierhead.protocol"], "redis");
    let limits = &container["HostConfig"];
    assert_eq!((&limits["Memory"], &limits["PidsLimit"]), (&json!(256 << 20), &json!(100)));
    assert_eq!(limits["NanoCpus"], 500_000_000);
    let processes = docker(&["top", name, "-eo", "pid,uid,args"]);
    assert!(processes.contains("999 ") && processes.contains("redis-server"), "{processes}");
    assert!(!processes.contains(password), "the password is in the arguments");
    let environment = docker(&["exec", "-u", "999", name, "cat", "/proc/1/environ"]);
    assert!(!environment.contains(password), "the password is in the server's environment");
    let users = docker(&["exec", "-u", "999", name, "cat", "/run/secrets/users.acl"]);
    assert!(users.starts_with("user default reset ~* &* +@all\n") && !users.contains(password), "{users}");

    let dir = pierhead.dir.path().join("data/secrets").join(name);
    assert_eq!(mode_and_uid(&dir.join("engine")), (0o600, 999));
    assert_eq!(mode_and_uid(&dir.join("password")), (0o600, 0));
    assert_eq!(mode_and_uid(&dir).0, 0o700);

    assert_eq!(cli(pierhead, name, &["CONFIG", "GET", "appendonly"]), "appendonly\nyes");
    let memory = (256u64 << 20) / 4 * 3;
    assert_eq!(cli(pierhead, name, &["CONFIG", "GET", "maxmemory"]), format!("maxmemory\n{memory}"));
    // Nobody gets in without a name, from inside the container either.
    let default = as_superuser(pierhead, name, &["ACL", "LIST"]);
    assert!(default.contains("user default off") && !default.contains("nopass"), "{default}");
    let without = docker(&["exec", name, "redis-cli", "PING"]);
    assert!(without.contains("NOAUTH"), "{without}");
    // In the volume, and nowhere else.
    let files = docker(&["exec", name, "ls", "/data/appendonlydir"]);
    assert!(files.contains("appendonly.aof"), "{files}");
    let mount = container["Mounts"].as_array().unwrap().iter().find(|mount| mount["Destination"] == "/data");
    assert_eq!(mount.unwrap()["Name"], format!("pierhead-{name}"));
}

/// Valkey's client is in its container only, so `connect` runs it there.
#[test]
fn valkey_created_restarted_destroyed() {
    let pierhead = Pierhead::start();
    let name = pierhead.name("valkey");
    let url = pierhead.ok(&["create", "valkey", &name]).trim().to_owned();
    assert!(url.starts_with(&format!("redis://{name}:")), "{url}");
    assert_eq!(by_url(&url, &["ACL", "WHOAMI"]), name);
    assert_eq!(cli(&pierhead, &name, &["SET", "x", "42"]), "OK");
    assert!(cli(&pierhead, &name, &["INFO", "server"]).contains("server_name:valkey"));
    assert_eq!(pierhead.json(&["info", &name])["kind"], "valkey");
    let processes = docker(&["top", &name, "-eo", "pid,uid,args"]);
    assert!(processes.contains("999 ") && processes.contains("valkey-server"), "{processes}");
    docker(&["restart", &name]);
    wait_for("the addon to be back", Duration::from_secs(60), || by_url(&url, &["GET", "x"]) == "42");
    assert!(docker(&["exec", &name, "valkey-cli", "PING"]).contains("NOAUTH"));
    // Which protocol it is need not be said.
    let explained = pierhead.ok(&["explain", &name]);
    assert!(explained.contains("redis is spoken at"), "{explained}");
    pierhead.ok(&["destroy", &name, "--force"]);
    assert_eq!(pierhead.left_on_docker(), [""; 0]);
}

/// Redis' own user of that name needs no password.
#[test]
fn default_is_nobodys_name() {
    let pierhead = Pierhead::start();
    let refused = pierhead.run(&["create", "redis", "default"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("default is nobody's name in redis"), "{refused:?}");
    assert_eq!(pierhead.left_on_docker(), [""; 0]);
}

/// What `pierhead connect` says when it is given this command.
fn cli(pierhead: &Pierhead, name: &str, words: &[&str]) -> String {
    let ended = pierhead.run(&[&["connect", name, "--"], words].concat());
    (ended.stdout + &ended.stderr).trim().to_owned()
}
