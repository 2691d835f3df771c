//! The promise of `tests/provision.rs` for MongoDB, as far as it can be shown without a MongoDB server: the image is a
//! stand-in behind as much of the official image's entry point as the kind relies on. The clients are real.

#![allow(clippy::unwrap_used, reason = "a test")]

mod control;

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use control::{Ended, Pierhead, docker, inspect, mode_and_uid, wait_for};
use pierhead::addons::kinds;
use pierhead::addons::secrets::Password;
use pierhead::dialect::Name;

const IMAGE: &str = "pierhead/mongodb-stand-in:7";
const WHOAMI: &str = "db.runCommand({connectionStatus: 1}).authInfo.authenticatedUsers";

#[test]
fn created_used_stopped_restarted_destroyed() {
    let (pierhead, port) = start();
    let name = pierhead.name("posts");
    let url = pierhead.ok(&["create", "mongodb", &name]).trim().to_owned();
    let password =
        url.strip_prefix(&format!("mongodb://{name}:")).and_then(|rest| rest.split_once('@')).unwrap().0;
    let behind = format!("{name}?authSource={name}&directConnection=true&appName={name}");
    assert_eq!(url, format!("mongodb://{name}:{password}@127.0.0.1:{port}/{behind}"));
    assert_eq!(pierhead.ok(&["url", &name]).trim(), url);
    // Ready means that a login through the edge has succeeded; so does the first one after it.
    let me = format!("[ {{ user: '{name}', db: '{name}' }} ]");
    assert!(connect(&pierhead, &name, WHOAMI).stdout.contains(&me));
    let by_url = mongosh(&[&url, "--eval", WHOAMI]);
    assert_eq!(by_url.stdout.trim(), me, "{by_url:?}");

    looks_as_it_should(&pierhead, &name, password);
    the_script_is_one_for_mongosh(&pierhead, &name, password);

    assert_eq!(pierhead.ok(&["stop", &name]).trim(), format!("{name} is stopped"));
    let quick = format!("{url}&serverSelectionTimeoutMS=500");
    let stopped = format!("addon \"{name}\" is stopped, \"pierhead start {name}\" starts it");
    wait_for("the route to be stopped", Duration::from_secs(30), || {
        mongosh(&[&quick, "--eval", WHOAMI]).stderr.contains(&stopped)
    });
    assert_eq!(pierhead.ok(&["start", &name]).trim(), format!("{name} is ready"));
    assert!(connect(&pierhead, &name, WHOAMI).stdout.contains(&me), "users outlive a restart");

    pierhead.ok(&["destroy", &name, "--force"]);
    assert_eq!(pierhead.left_on_docker(), [""; 0]);
    assert!(!pierhead.dir.path().join("data/secrets").join(&name).exists());
    assert!(!pierhead.log_text().contains(password), "the password is in the log");
}

#[test]
fn the_login_check_tells_why_nobody_gets_in() {
    let (pierhead, port) = start();
    for reserved in ["admin", "config", "local"] {
        let refused = pierhead.run(&["create", "mongodb", reserved]);
        assert!(refused.code == Some(2) && refused.stderr.contains("nobody's name"), "{refused:?}");
    }
    let name = pierhead.name("checked");
    pierhead.ok(&["create", "mongodb", &name]);
    let password =
        fs::read_to_string(pierhead.dir.path().join("data/secrets").join(&name).join("password")).unwrap();
    let direct = SocketAddr::new(address(&name).parse().unwrap(), 27017);
    let edge = SocketAddr::new("127.0.0.1".parse().unwrap(), port);
    for at in [direct, edge] {
        assert_eq!(check(at, &name, &password), Ok(()));
        assert_eq!(check(at, &name, "another"), Err("Authentication failed.".into()));
    }
    assert_eq!(check(direct, "nobody-here", &password), Err("Authentication failed.".into()));
    let unknown = check(edge, "nobody-here", &password).unwrap_err();
    assert!(unknown.starts_with("no addon named \"nobody-here\""), "{unknown}");
    let refused = check(SocketAddr::new(edge.ip(), 1), &name, &password).unwrap_err();
    assert!(refused.contains("refused"), "{refused}");
}

fn check(at: SocketAddr, name: &str, password: &str) -> Result<(), String> {
    let kind = kinds::find("mongodb").unwrap();
    let (name, password) = (Name::parse(name).unwrap(), Password::new(password.to_owned()));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async { kind.check_login(at, &name, name.as_str(), &password).await })
}

/// A Pierhead that listens for MongoDB's clients, and its port.
fn start() -> (Pierhead, u16) {
    let port = control::further_port();
    let lines = format!(
        "[[listener]]\ndialect = \"mongodb\"\nlisten = [\"127.0.0.1:{port}\"]\n[kind.mongodb]\nimage = \"{IMAGE}\"\n"
    );
    (Pierhead::start_with(&lines), port)
}

#[track_caller]
fn looks_as_it_should(pierhead: &Pierhead, name: &str, password: &str) {
    let container = inspect(name);
    assert!(!container.to_string().contains(password), "the password is in docker inspect");
    assert_eq!(container["Config"]["Labels"]["pierhead.protocol"], "mongodb");
    assert_eq!(container["Config"]["Cmd"], serde_json::json!(["--auth"]));
    let processes = docker(&["top", name, "-eo", "pid,uid,args"]);
    assert!(processes.contains(" 999 ") && processes.contains("--auth"), "{processes}");
    assert!(!processes.contains(password), "the password is in the arguments");
    let dir = pierhead.dir.path().join("data/secrets").join(name);
    assert_eq!(mode_and_uid(&dir.join("engine")), (0o600, 999));
    let mounts = container["Mounts"].as_array().unwrap();
    let of = |path: &str| mounts.iter().find(|mount| mount["Destination"] == path).unwrap();
    assert_eq!(of("/data/db")["Name"], format!("pierhead-{name}"));
    assert_eq!(of("/docker-entrypoint-initdb.d/pierhead.js")["RW"], false);
    // Nobody gets in without a login.
    let address =
        docker(&["inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", name]);
    let without = mongosh(&[&format!("mongodb://{address}/{name}"), "--eval", "db.posts.findOne()"]);
    assert!(without.stderr.contains("requires authentication"), "{without:?}");
}

/// The stand-in understands only what it expects, so the program that runs the script in the official image is given it
/// too.
fn the_script_is_one_for_mongosh(pierhead: &Pierhead, name: &str, password: &str) {
    let fresh = pierhead.name("fresh");
    let label = pierhead.label().unwrap();
    docker(&["run", "-d", "--name", &fresh, "--label", label.strip_prefix("label=").unwrap(), IMAGE]);
    let address = address(&fresh);
    let script = pierhead.dir.path().join("data/secrets").join(name).join("engine");
    // As `docker-entrypoint.sh` does: a name that ends in .js, and the database `test`.
    let copy = pierhead.dir.path().join("pierhead.js");
    fs::copy(script, &copy).unwrap();
    let mut ended = Ended { code: None, stdout: String::new(), stderr: String::new() };
    wait_for("the script to have been run", Duration::from_secs(20), || {
        ended = mongosh(&[&format!("mongodb://{address}/test"), copy.to_str().unwrap()]);
        ended.code == Some(0)
    });
    let login = mongosh(&[&format!("mongodb://{name}:{password}@{address}/{name}"), "--eval", WHOAMI]);
    assert!(login.stdout.contains(&format!("user: '{name}'")), "{login:?} {ended:?}");
    docker(&["rm", "-fv", &fresh]);
}

fn address(container: &str) -> String {
    docker(&["inspect", "--format", "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}", container])
}

/// What `pierhead connect` says when it is given this to run.
fn connect(pierhead: &Pierhead, name: &str, script: &str) -> Ended {
    let mut command = pierhead.command(&["connect", name, "--", "--quiet", "--norc", "--eval", script]);
    let path = format!("{}:{}", programs().display(), std::env::var("PATH").unwrap());
    ended(command.env("PATH", path).env("HOME", pierhead.dir.path()))
}

fn mongosh(args: &[&str]) -> Ended {
    ended(
        Command::new(programs().join("mongosh"))
            .env("HOME", std::env::temp_dir())
            .args(["--quiet", "--norc"])
            .args(args),
    )
}

#[track_caller]
fn ended(command: &mut Command) -> Ended {
    let output =
        command.stdin(std::process::Stdio::null()).output().expect("mongosh (scripts/test installs it)");
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ended { code: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) }
}

/// Where npm has put programs.
fn programs() -> PathBuf {
    let modules = std::env::var("PIERHEAD_TEST_NODE_PATH");
    let modules = modules.unwrap_or_else(|_| "/var/cache/pierhead/test-clients/node_modules".into());
    PathBuf::from(modules).join(".bin")
}
