//! The promise: an addon's engine has the settings that somebody gave it, at once where it can and after every start; what it
//! refuses changes nothing; a plan's arguments reach the engine, and a limit that does not hold is told. With real engines.

#![allow(clippy::unwrap_used, reason = "a test")]

mod control;

use control::{Pierhead, docker, further_port};

#[test]
fn of_postgresql() {
    let mut pierhead = Pierhead::start_with(
        "[plan.tuned]\nmemory = \"300MiB\"\nargs = { postgres = [\"-c\", \"lock_timeout=7s\"] }\n",
    );
    let name = pierhead.name("one");
    pierhead.ok(&["create", "postgres", &name, "--plan", "tuned"]);
    let show = |pierhead: &Pierhead, what: &str| pierhead.sql(&name, &format!("SHOW {what}"));
    assert_eq!(show(&pierhead, "lock_timeout"), "7s");
    assert_eq!(pierhead.json(&["set", &name])["settings"], serde_json::json!({}));

    let set = pierhead.json(&["set", &name, "work_mem=17MB", "max_connections=61"]);
    assert_eq!(set["restart_needed"], serde_json::json!(["max_connections"]), "{set}");
    assert_eq!(show(&pierhead, "work_mem"), "17MB", "at once");
    assert_eq!(show(&pierhead, "max_connections"), "100", "with the next start");

    // The second is refused by the engine: the first is undone.
    let refused = pierhead.run(&["set", &name, "statement_timeout=9s", "work_mem=lots"]);
    assert_eq!(refused.code, Some(2), "{refused:?}");
    assert!(refused.stderr.contains("invalid value for parameter \"work_mem\""), "{refused:?}");
    assert!(refused.stderr.contains("nothing was changed"), "{refused:?}");
    for (bad, says) in [
        (&["archive_command=/bin/true"][..], "is no setting that an addon of the kind postgres may have"),
        (&["work_mem='; DROP"], "the value of work_mem is not one"),
        (&["work_mem=1MB", "--unset", "work_mem"], "set and unset at once"),
        (&["work_mem"], "expected SETTING=VALUE"),
        (&["work_mem=1MB", "--plan", "small"], "cannot be used with"),
    ] {
        let ended = pierhead.run(&[&["set", &name][..], bad].concat());
        assert!(ended.code == Some(2) && ended.stderr.contains(says), "{bad:?}: {ended:?}");
    }
    assert_eq!(
        (show(&pierhead, "work_mem"), show(&pierhead, "statement_timeout")),
        ("17MB".into(), "0".into())
    );

    // Killed and started anew, both of them: the rows say what the engine is told.
    pierhead.kill();
    pierhead.serve(None);
    pierhead.ok(&["restart", &name]);
    assert_eq!(
        (show(&pierhead, "work_mem"), show(&pierhead, "max_connections")),
        ("17MB".into(), "61".into())
    );
    assert_eq!(show(&pierhead, "lock_timeout"), "7s", "the plan's");
    let unset = pierhead.json(&["set", &name, "--unset", "work_mem", "--unset", "max_connections"]);
    assert_eq!(unset["restart_needed"], serde_json::json!(["max_connections", "work_mem"]), "{unset}");
    pierhead.ok(&["restart", &name]);
    assert_eq!(
        (show(&pierhead, "work_mem"), show(&pierhead, "max_connections")),
        ("4MB".into(), "100".into())
    );
    let events = pierhead.ok(&["events", &name]);
    assert!(
        events.contains("setting work_mem = 17MB") && events.contains("setting work_mem has its default"),
        "{events}"
    );

    pierhead.ok(&["stop", &name]);
    let stopped = pierhead.run(&["set", &name, "work_mem=5MB"]);
    assert!(stopped.code == Some(4) && stopped.stderr.contains("its engine has to run"), "{stopped:?}");
    pierhead.ok(&["destroy", &name, "--force"]);
    assert_eq!(pierhead.left_on_docker(), [""; 0]);
}

#[test]
fn of_redis_and_mariadb() {
    let port = further_port();
    let pierhead = Pierhead::start_with(&format!(
        "[[listener]]\ndialect = \"mysql\"\nlisten = [\"127.0.0.1:{port}\"]\n[kind.mariadb]\nimage = \"pierhead/mariadb:10.11\"\n"
    ));
    let (cache, shop) = (pierhead.name("cache"), pierhead.name("shop"));
    pierhead.ok(&["create", "redis", &cache]);
    let url = pierhead.ok(&["url", &cache]).trim().to_owned();
    let policy = || {
        let output = std::process::Command::new("redis-cli")
            .args(["--no-auth-warning", "-u", &url, "CONFIG", "GET", "maxmemory-policy"])
            .output();
        String::from_utf8(output.unwrap().stdout).unwrap().lines().nth(1).unwrap_or_default().to_owned()
    };
    assert_eq!(
        pierhead.json(&["set", &cache, "maxmemory-policy=allkeys-lru"])["restart_needed"],
        serde_json::json!([])
    );
    assert_eq!(policy(), "allkeys-lru", "at once");
    let refused = pierhead.run(&["set", &cache, "maxmemory-policy=whatever"]);
    assert!(refused.code == Some(2) && refused.stderr.contains("nothing was changed"), "{refused:?}");
    pierhead.ok(&["restart", &cache]);
    assert_eq!(policy(), "allkeys-lru", "after a start");

    pierhead.ok(&["create", "mariadb", &shop]);
    let limit = || {
        let ask = "mariadb -N -u root -p\"$(cat /run/secrets/superuser)\" -e 'SELECT @@global.max_connections, @@global.innodb_buffer_pool_size'";
        docker(&["exec", &shop, "sh", "-c", ask]).trim().to_owned()
    };
    let set = pierhead.json(&["set", &shop, "max_connections=44", "innodb_buffer_pool_size=32M"]);
    assert_eq!(set["restart_needed"], serde_json::json!([]), "{set}");
    let wanted = format!("44\t{}", 32 << 20);
    assert_eq!(limit(), wanted, "at once");
    pierhead.ok(&["restart", &shop]);
    assert_eq!(limit(), wanted, "after a start");
    let shown = pierhead.ok(&["set", &shop]);
    assert!(shown.contains("max_connections") && shown.contains("44"), "{shown}");
    for name in [&cache, &shop] {
        pierhead.ok(&["destroy", name, "--force"]);
    }
    assert_eq!(pierhead.left_on_docker(), [""; 0]);
}

/// Docker's volumes are on a file system without project quotas here; where they are not, the limit has to hold instead.
#[test]
fn a_limit_for_the_disk_holds_or_is_said_not_to() {
    let pierhead = Pierhead::start_with("[plan.short]\nmemory = \"300MiB\"\ndisk = \"96MiB\"\n");
    let name = pierhead.name("one");
    pierhead.ok(&["create", "postgres", &name, "--plan", "short"]);
    let info = pierhead.ok(&["info", &name]);
    let volume = docker(&["volume", "inspect", "--format", "{{json .Options}}", &format!("pierhead-{name}")]);
    if volume.contains("size") {
        let full = pierhead.run(&[
            "connect",
            &name,
            "--",
            "-c",
            "CREATE TABLE t AS SELECT repeat('x', 1000) FROM generate_series(1, 200000)",
        ]);
        assert!(full.stderr.contains("No space left"), "{full:?}");
    } else {
        assert!(info.contains("(96 MiB) does not hold") && info.contains("prjquota"), "{info}");
    }
    pierhead.ok(&["destroy", &name, "--force"]);
    assert_eq!(pierhead.left_on_docker(), [""; 0]);
    assert!(!docker(&["volume", "ls", "-q"]).contains("pierhead-quota"));
}
