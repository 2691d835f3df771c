//! The promise: an app is told the URLs of what is attached to it, in variables that no other addon can take; nothing that
//! an app uses is destroyed by accident; and whatever happens to an addon can be read, and followed.

#![allow(clippy::unwrap_used, reason = "a test")]

mod control;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::process::{Command, Stdio};

use control::Pierhead;
use serde_json::Value;

#[test]
fn an_app_is_told_what_is_attached_and_keeps_it() {
    let pierhead = Pierhead::start();
    let (one, two) = (pierhead.name("one"), pierhead.name("two"));
    let url_of_one = pierhead.ok(&["create", "redis", &one]).trim().to_owned();
    let url_of_two = pierhead.ok(&["create", "redis", &two]).trim().to_owned();

    assert_eq!(pierhead.ok(&["attach", &one, "--app", "shop"]), format!("shop has REDIS_URL from {one}\n"));
    // Twice is once; a variable has one addon.
    pierhead.ok(&["attach", &one, "--app", "shop"]);
    let taken = pierhead.run(&["attach", &two, "--app", "shop"]);
    assert_eq!(taken.code, Some(4), "{taken:?}");
    assert!(taken.stderr.contains(&format!("shop has REDIS_URL from {one} already")), "{taken:?}");
    pierhead.ok(&["attach", &two, "--app", "shop", "--as", "BLUE"]);
    // BLUE is not BLUE_2.
    pierhead.ok(&["attach", &two, "--app", "shop", "--as", "BLUE_2"]);
    let gone = pierhead.json(&["detach", &two, "--app", "shop", "--as", "BLUE_2"]);
    assert_eq!((&gone["as"], &gone["variable"]), (&Value::from("BLUE_2"), &Value::from("BLUE_2_REDIS_URL")));
    pierhead.ok(&["attach", &two, "--app", "other"]);

    // What a shell makes of it logs in.
    let env = pierhead.ok(&["env", "--app", "shop"]);
    let script = format!(
        "{env}redis-cli --no-auth-warning -u \"$REDIS_URL\" ACL WHOAMI; redis-cli --no-auth-warning -u \"$BLUE_REDIS_URL\" ACL WHOAMI"
    );
    let output = Command::new("sh").args(["-c", &script]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&output.stdout), format!("{one}\n{two}\n"));
    let docker = pierhead.ok(&["env", "--app", "shop", "--format", "docker"]);
    assert_eq!(docker, format!("BLUE_REDIS_URL={url_of_two}\nREDIS_URL={url_of_one}\n"));
    let json: Value =
        serde_json::from_str(&pierhead.ok(&["env", "--app", "shop", "--format", "json"])).unwrap();
    assert_eq!(json["REDIS_URL"], url_of_one);

    pierhead.ok(&["promote", &two, "--app", "shop"]);
    let docker = pierhead.ok(&["env", "--app", "shop", "--format", "docker"]);
    let expected =
        format!("BLUE_REDIS_URL={url_of_two}\nGREEN_REDIS_URL={url_of_one}\nREDIS_URL={url_of_two}\n");
    assert_eq!(docker, expected);

    let refused = pierhead.run(&["destroy", &one, "--no-wait"]);
    assert_eq!(refused.code, Some(2), "nobody is there to be asked: {refused:?}");
    let (status, answer) = pierhead.http("DELETE", &format!("/v1/addons/{one}"), b"");
    assert!(status == 409 && answer.contains("shop (GREEN_REDIS_URL)"), "{status} {answer}");
    assert_eq!(pierhead.state(&one), "ready");
    pierhead.ok(&["detach", &one, "--app", "shop"]);
    let several = pierhead.run(&["detach", &two, "--app", "shop"]);
    assert!(several.stderr.contains("as BLUE_REDIS_URL and REDIS_URL"), "{several:?}");
    pierhead.ok(&["detach", &two, "--app", "shop", "--as", "BLUE"]);
    // What is attached survives a restart of Pierhead's; who is destroyed by force is attached no more.
    let apps = pierhead.json(&["apps"]);
    assert_eq!(apps["apps"].as_array().unwrap().len(), 2, "{apps}");
    for name in [&one, &two] {
        pierhead.ok(&["destroy", name, "--force"]);
    }
    assert_eq!(pierhead.json(&["apps"])["apps"], serde_json::json!([]));
    let gone = pierhead.run(&["env", "--app", "shop"]);
    assert_eq!(gone.code, Some(3), "{gone:?}");
}

#[test]
fn what_happens_can_be_read_and_followed_and_names_may_be_left_out() {
    let pierhead = Pierhead::start();
    let mut follower = pierhead.command(&["events", "--follow", "--json"]);
    let mut follower = follower.stdout(Stdio::piped()).spawn().unwrap();
    let created: Value = pierhead.json(&["create", "redis"]);
    let name = created["name"].as_str().unwrap().to_owned();
    let words: Vec<_> = name.split('-').collect();
    assert!(words.len() == 3 && words[2].len() == 6, "{name}");
    pierhead.ok(&["stop", &name]);
    pierhead.ok(&["destroy", &name, "--force"]);

    // Live, in order, to the end ...
    let lines = BufReader::new(follower.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut followed: Vec<Value> = vec![];
    for event in lines.map(|line| serde_json::from_str::<Value>(&line).unwrap()) {
        followed.push(event);
        if followed.last().unwrap()["to"] == "deprovisioned" {
            break;
        }
    }
    follower.kill().unwrap();
    follower.wait().unwrap();
    let states: Vec<_> = followed.iter().map(|event| event["to"].as_str().unwrap()).collect();
    let after =
        |state: &str| states.iter().position(|other| *other == state).unwrap_or_else(|| panic!("{states:?}"));
    let milestones = ["waiting", "provisioned:login", "ready", "stopped", "deprovisioning", "deprovisioned"];
    assert!(milestones.map(after).is_sorted(), "{states:?}");
    // ... and the same afterwards, though the addon is gone.
    let read = pierhead.json(&["events", &name]);
    assert_eq!(read["events"].as_array().unwrap(), &followed);
    let tail = pierhead.json(&["events", &name, "--tail", "1"]);
    assert_eq!(tail["events"][0]["to"], "deprovisioned");
    assert_eq!(pierhead.json(&["events", &name, "--tail", "0"])["events"], serde_json::json!([]));
    // Who wants none of those gets what comes next, once the answer has begun.
    let mut stream = UnixStream::connect(pierhead.socket()).unwrap();
    stream.write_all(b"GET /v1/events?follow=true&tail=0 HTTP/1.1\r\nhost: pierhead\r\n\r\n").unwrap();
    let mut lines = BufReader::new(stream).lines().map(Result::unwrap);
    assert!(lines.by_ref().take_while(|line| !line.is_empty()).any(|line| line.ends_with("200 OK")));
    let next = pierhead.name("next");
    pierhead.ok(&["create", "redis", &next, "--no-wait"]);
    let first = lines.find_map(|line| line.strip_prefix("data: ").map(str::to_owned)).unwrap();
    let first: Value = serde_json::from_str(&first).unwrap();
    assert_eq!((&first["addon"], &first["note"]), (&Value::from(next.as_str()), &Value::from("created")));
    pierhead.ok(&["destroy", &next, "--force"]);
    let table = pierhead.ok(&["events", &name]);
    assert!(table.contains("wanted stopped") && table.contains("deprovisioned"), "{table}");
}

#[test]
fn shells_are_told_the_verbs() {
    let pierhead = Pierhead::start();
    for shell in ["bash", "zsh", "fish"] {
        assert!(pierhead.ok(&["completion", shell]).contains("promote"), "{shell}");
    }
}

#[test]
fn who_has_asked_for_what_is_kept() {
    let pierhead = Pierhead::start();
    let name = pierhead.name("audited");
    pierhead.ok(&["create", "redis", &name, "--no-wait"]);
    pierhead.run(&["url", "nobody-here"]);
    pierhead.ok(&["list"]);
    let (status, _) = pierhead.http("DELETE", &format!("/v1/addons/{name}?force=maybe"), b"");
    assert_eq!(status, 400);
    let log = pierhead.json(&["audit"]);
    let shown = |request: &Value| {
        assert_eq!(request["uid"], 0, "{request}");
        assert!(request["pid"].as_i64().unwrap() > 0);
        let word = |key: &str| request[key].as_str().unwrap().to_owned();
        format!("{} {} {}", request["status"], word("method"), word("path"))
    };
    let requests: Vec<_> = log["requests"].as_array().unwrap().iter().map(shown).collect();
    let expected = [
        "201 POST /v1/addons".to_owned(),
        "404 GET /v1/addons/nobody-here/url".into(),
        format!("400 DELETE /v1/addons/{name}"),
    ];
    assert_eq!(requests, expected);
    assert!(pierhead.ok(&["audit", "--tail", "1"]).contains("DELETE"));
    pierhead.ok(&["destroy", &name, "--force"]);
}

#[test]
fn another_plan_is_live_where_it_can_be() {
    let pierhead = Pierhead::start_with(
        "[plan.large]\ncpus = 1.5\nmemory = \"512MiB\"\npids = 200\nconnections_max = 7\n",
    );
    let name = pierhead.name("grows");
    let url = pierhead.ok(&["create", "redis", &name]).trim().to_owned();
    let maxmemory = || {
        let output = Command::new("redis-cli")
            .args(["--no-auth-warning", "-u", &url, "CONFIG", "GET", "maxmemory"])
            .output();
        String::from_utf8_lossy(&output.unwrap().stdout).trim().replace("maxmemory\n", "")
    };
    let container = control::inspect(&name)["Id"].clone();
    assert_eq!(maxmemory(), (192 << 20).to_string());
    let set = pierhead.run(&["set", &name, "--plan", "large"]);
    assert!(set.code == Some(0) && set.stderr.contains("pierhead restart"), "{set:?}");
    let limits = |key: &str| control::inspect(&name)["HostConfig"][key].clone();
    assert_eq!(
        (limits("Memory"), limits("NanoCpus"), limits("PidsLimit")),
        (Value::from(512 << 20), Value::from(1_500_000_000), Value::from(200))
    );
    assert_eq!(control::inspect(&name)["Id"], container, "it went on running");
    assert_eq!(maxmemory(), (192 << 20).to_string());
    let write = ["--no-auth-warning", "-u", &url, "SET", "x", "42"];
    assert!(Command::new("redis-cli").args(write).output().unwrap().status.success());

    pierhead.ok(&["restart", &name]);
    assert_ne!(control::inspect(&name)["Id"], container, "it was made anew");
    assert_eq!(maxmemory(), (384 << 20).to_string());
    let read =
        Command::new("redis-cli").args(["--no-auth-warning", "-u", &url, "GET", "x"]).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&read.stdout), "42\n");
    let info = pierhead.json(&["info", &name]);
    assert_eq!((&info["plan"], &info["connections"]["max"]), (&Value::from("large"), &Value::from(7)));
    assert!(pierhead.ok(&["events", &name]).contains("plan large instead of small"));
    // The same again changes nothing.
    let same = pierhead.json(&["set", &name, "--plan", "large"]);
    assert_eq!(same["restart_needed"], false);
    // Somebody else's `docker update` is put right.
    control::docker(&["update", "--cpus", "0.2", &name]);
    control::wait_for("the limits to be put right", std::time::Duration::from_secs(40), || {
        limits("NanoCpus") == 1_500_000_000
    });
    pierhead.ok(&["destroy", &name, "--force"]);
}
