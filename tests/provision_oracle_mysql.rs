//! The promise of `tests/provision_mysql.rs` for the kind `mysql`, with Oracle's server: an addon that was asked for becomes a
//! server that drivers log in to through the edge by `caching_sha2_password`, and see what they see directly; who gives a wrong
//! password, a wrong name or comes to one that is stopped reads so; it survives a stop and a kill; and what was exported comes back.

#![allow(clippy::unwrap_used, reason = "a test")]

mod control;

use std::net::TcpListener;
use std::process::Command;
use std::time::Duration;

use control::{Pierhead, docker, inspect, wait_for};
use serde_json::{Value, json};

#[test]
#[ignore = "needs an image of Debian unstable, which cannot always be built: scripts/test builds it and runs this"]
fn created_used_stopped_exported_destroyed() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let pierhead = Pierhead::start_with(&format!(
        "[[listener]]\ndialect = \"mysql\"\nflavour = \"mysql\"\nlisten = [\"127.0.0.1:{port}\"]\n\
         [kind.mysql]\nimage = \"{}\"\nplan = \"half\"\n[plan.half]\nmemory = \"512MiB\"\nconnections_max = 50\n",
        image()
    ));
    let name = pierhead.name("shop");
    let small = pierhead.run(&["create", "mysql", &name, "--plan", "small"]);
    assert_eq!(small.code, Some(2), "{small:?}");
    assert!(small.stderr.contains("256 MiB of memory, and mysql needs 512 MiB"), "{small:?}");
    assert!(small.stderr.contains("send one of: half"), "{small:?}");
    let url = pierhead.ok(&["create", "mysql", &name]).trim().to_owned();
    let password =
        url.strip_prefix(&format!("mysql://{name}:")).and_then(|rest| rest.split_once('@')).unwrap().0;
    assert_eq!(url, format!("mysql://{name}:{password}@127.0.0.1:{port}/{name}"));
    assert!(!inspect(&name).to_string().contains(password), "the password is in docker inspect");
    assert!(!docker(&["logs", &name]).contains(password), "the password is in the container's log");
    let who = "select concat(current_user(), ' ', database(), ' ', @@skip_name_resolve)";
    assert_eq!(sql(&pierhead, &name, who), format!("{name}@% {name} 1"));
    let version = sql(&pierhead, &name, "select version()");
    assert!(version.starts_with(['8', '9']) && !version.contains("MariaDB"), "{version}");

    let off = pierhead.name("off");
    pierhead.ok(&["create", "mysql", &off]);
    pierhead.ok(&["stop", &off]);
    wait_for("the route to be stopped", Duration::from_secs(30), || {
        sql(&pierhead, &off, "select 1").contains("is stopped")
    });
    drivers_see_what_they_see_directly(&name, password, port, &off);
    is_no_superuser(&pierhead, &name);
    survives(&pierhead, &name);
    comes_back_from_an_export(&pierhead, &name, &off);

    for name in [&name, &off] {
        pierhead.ok(&["destroy", name, "--force"]);
    }
    assert_eq!(pierhead.left_on_docker(), [""; 0]);
    assert!(!pierhead.log_text().contains(password), "the password is in the log");
}

/// Two languages and three families. What comes out must be the same as at the container's own address.
fn drivers_see_what_they_see_directly(name: &str, password: &str, port: u16, off: &str) {
    let networks = &inspect(name)["NetworkSettings"]["Networks"];
    let address = networks.as_object().unwrap().values().next().unwrap()["IPAddress"].as_str().unwrap();
    for (driver, source) in
        [("pymysql", "mysql_cases.py"), ("connector", "mysql_cases.py"), ("mysql2", "mysql_cases.js")]
    {
        let cases = |host: &str, port: u16| {
            let others = ["unknown=nobody-here".to_owned(), format!("stopped={off}")];
            let whom =
                [driver, host, &port.to_string(), name, password, name, password, &others[0], &others[1]];
            driver_cases(source, &whom)
        };
        let (through, directly) = (cases("127.0.0.1", port), cases(address, 3306));
        for case in ["login", "parameter", "result", "rows", "prepared", "crowd", "change_user", "wrong"] {
            assert_eq!(from_anywhere(&through[case]), from_anywhere(&directly[case]), "{driver}, {case}");
        }
        assert_eq!(through["login"], json!({"ok": format!("{name}@%")}), "{driver}");
        assert_eq!(through["crowd"], json!({"ok": 50}), "{driver}");
        assert!(through["result"]["ok"].as_str().is_some_and(|text| text.starts_with("300000 ")), "{driver}");
        assert_eq!(through["unknown"]["code"], 1045, "{driver}: {through}");
        let shown = through["stopped"]["text"].as_str().unwrap_or_default().replace('\\', "");
        assert!(
            shown.contains(&format!("addon \"{off}\" is stopped. \"pierhead start {off}\"")),
            "{driver}: {shown}"
        );
        if driver == "mysql2" {
            // It asks for the server's key, and so hears what the server has to say.
            assert_eq!(through["wrong"]["code"], 1045, "{driver}: {through}");
        }
    }
}

/// What was seen, without the address that the server saw the client at.
fn from_anywhere(seen: &Value) -> String {
    let text = seen.to_string();
    let Some((before, behind)) = text.split_once("'@'") else { return text };
    let behind = behind.split_once('\'').map_or(behind, |(_, behind)| behind);
    format!("{before}'@'...'{behind}")
}

/// What a driver sees, as its script in tests/clients prints it.
fn driver_cases(source: &str, arguments: &[&str]) -> Value {
    let (variable, default) =
        if source.ends_with(".py") { ("PIERHEAD_TEST_PYTHON", "python3") } else { ("", "node") };
    let program = std::env::var(variable).unwrap_or_else(|_| default.to_owned());
    let mut command = Command::new(program);
    command.arg(format!("{}/tests/clients/{source}", env!("CARGO_MANIFEST_DIR"))).args(arguments);
    if let Ok(path) = std::env::var("PIERHEAD_TEST_NODE_PATH") {
        command.env("NODE_PATH", path);
    }
    let done = command.output().unwrap();
    serde_json::from_slice(&done.stdout)
        .unwrap_or_else(|error| panic!("{source}: {error}: {}", String::from_utf8_lossy(&done.stderr)))
}

fn is_no_superuser(pierhead: &Pierhead, name: &str) {
    for (statement, error) in [
        ("create database other", "ERROR 1044 (42000)"),
        ("select * from mysql.user", "ERROR 1142 (42000)"),
        ("set global max_connections = 1000", "ERROR 1227 (42000)"),
    ] {
        let said = sql(pierhead, name, statement);
        assert!(said.contains(error), "{statement}: {said}");
    }
}

fn survives(pierhead: &Pierhead, name: &str) {
    sql(pierhead, name, "create table t as select 42 as x");
    assert_eq!(pierhead.ok(&["stop", name]).trim(), format!("{name} is stopped"));
    assert_eq!(pierhead.ok(&["start", name]).trim(), format!("{name} is ready"));
    assert_eq!(sql(pierhead, name, "select x from t"), "42");
    docker(&["kill", name]);
    wait_for("the addon to be back", Duration::from_secs(60), || {
        sql(pierhead, name, "select x from t") == "42"
    });
}

fn comes_back_from_an_export(pierhead: &Pierhead, name: &str, other: &str) {
    sql(pierhead, name, "create view v as select x + 1 as y from t");
    let dump = pierhead.dir.path().join("shop.sql");
    pierhead.ok(&["export", name, "--output", dump.to_str().unwrap()]);
    pierhead.ok(&["start", other]);
    sql(pierhead, other, "create table old as select 1 as gone");
    pierhead.ok(&["import", other, dump.to_str().unwrap()]);
    assert_eq!(sql(pierhead, other, "select x, y from t, v"), "42\t43");
    assert!(sql(pierhead, other, "select * from old").contains("ERROR 1146"), "an import replaces");
}

/// What the client program says to a statement.
fn sql(pierhead: &Pierhead, name: &str, statement: &str) -> String {
    let ended = pierhead.run(&["connect", name, "--", "-N", "-e", statement]);
    let said = ended.stdout + &ended.stderr;
    // MariaDB's program, where it is called mysql, says that it does not know an option.
    let said =
        said.lines().filter(|line| !line.contains("WARNING: option") && !line.contains("unknown option"));
    said.collect::<Vec<_>>().join("\n").trim().to_owned()
}

/// The image that scripts/images has built, of whatever version Debian has.
fn image() -> String {
    let tags = docker(&["images", "pierhead/mysql", "--format", "{{.Repository}}:{{.Tag}}"]);
    tags.lines().next().expect("scripts/images mysql has built it").to_owned()
}
