//! The promise: a backup counts once it has been restored into a scratch addon and read back from its target; what cannot be is
//! said everywhere, and leaves nothing. What is restored is what was backed up, or nothing is changed.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "backups/bucket.rs"]
mod bucket;
mod control;
#[path = "backups/encrypted.rs"]
mod encrypted;
#[path = "backups/killed.rs"]
mod killed;
#[path = "backups/owners.rs"]
mod owners;
#[path = "backups/scheduled.rs"]
mod scheduled;
#[path = "backups/stage.rs"]
mod stage;

use std::fs;
use std::process::Stdio;
use std::time::Duration;

use stage::{MARIADB, POSTGRES, REDIS, Stage};

fn there_and_back(stage: &Stage) {
    let (one, other) = (stage.name("one"), stage.name("other"));
    stage.create(&one);
    stage.create(&other);
    stage.fill(&one);
    let sum = stage.sum(&one);

    // Somebody writes meanwhile, over a connection that stays open.
    let mut writing = stage.pierhead.command(&["connect", &one, "--"]);
    let mut writing = writing.args((stage.kind.write)()).stdout(Stdio::null()).spawn().unwrap();
    let backup = stage.pierhead.json(&["backup", &one]);
    assert_eq!((backup["state"].as_str(), backup["settled"].as_bool()), (Some("good"), Some(true)));
    assert!(writing.wait().unwrap().success());
    let (id, file) = (backup["id"].as_str().unwrap(), backup["file"].as_str().unwrap());

    // It is as its manifest says, and nobody else's to read.
    let dir = stage.file("data/backups");
    let archive = dir.join(file);
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(dir.join(&one).join(format!("{id}.manifest.json"))).unwrap())
            .unwrap();
    assert_eq!(manifest["stored_bytes"].as_u64().unwrap(), fs::metadata(&archive).unwrap().len());
    assert_eq!(manifest["sha256"], backup["sha256"]);
    assert!(stage::sha256(&archive) == manifest["stored_sha256"] && manifest["kind"] == stage.kind.name);
    assert_eq!(control::mode_and_uid(&dir).0, 0o700);
    let events = stage.pierhead.ok(&["events", &one]);
    assert!(events.contains(&format!("backup {id} is good")), "{events}");
    assert_eq!(stage.addons(), [one.clone(), other.clone()], "the scratch addon is gone");

    // In place, into another one, as a new one, and as a clone: also after the addon itself is gone.
    stage.change(&one);
    assert_ne!(stage.sum(&one), sum);
    stage.pierhead.ok(&["restore", &one, "--from", id]);
    stage.pierhead.ok(&["restore", &other, "--from", id]);
    stage.pierhead.ok(&["destroy", &one, "--force"]);
    let (new, copy) = (stage.name("new"), stage.name("copy"));
    stage.pierhead.ok(&["restore", &one, "--from", id, "--as", &new]);
    stage.pierhead.ok(&["clone", &other, &copy]);
    for name in [&other, &new, &copy] {
        assert_eq!(stage.sum(name), sum, "{name}");
    }
    let events = stage.pierhead.ok(&["events", &new]);
    assert!(events.contains(&format!("restore of {id}: ")), "{events}");
    let twice = stage.pierhead.run(&["clone", &other, &copy]);
    assert_eq!(twice.code, Some(4), "{twice:?}");
    let twice = stage.pierhead.run(&["restore", &one, "--from", id, "--as", &new]);
    assert_eq!(twice.code, Some(4), "{twice:?}");
    stage.leaves_nothing(&[&other, &new, &copy]);
}

#[test]
fn postgresql_there_and_back() {
    there_and_back(&Stage::new(&POSTGRES, ""));
}

#[test]
fn mariadb_there_and_back() {
    there_and_back(&Stage::new(&MARIADB, ""));
}

#[test]
fn redis_there_and_back() {
    there_and_back(&Stage::new(&REDIS, ""));
}

#[test]
fn the_latest_stay_and_what_is_wrong_changes_nothing() {
    let stage = Stage::new(&REDIS, "[backup]\nkeep = 2\n");
    let (one, dir) = (stage.name("one"), stage.file("data/backups"));
    stage.create(&one);
    stage.fill(&one);
    let ids: Vec<String> = (0..3).map(|_| stage.backup(&one)).collect();
    assert_eq!(stage.good(&one), ids[1..]);
    let files = |name: &str| fs::read_dir(dir.join(name)).unwrap().count();
    assert_eq!(files(&one), 4, "the oldest is gone, with its manifest");
    stage.pierhead.ok(&["backup", &one, "--keep", "1"]);
    assert_eq!((stage.good(&one).len(), files(&one)), (1, 2));

    let id = stage.good(&one).pop().unwrap();
    let sum = stage.sum(&one);
    let refused = |arguments: &[&str], code: i32, expected: &str| {
        let ended = stage.pierhead.run(arguments);
        assert!(ended.code == Some(code) && ended.stderr.contains(expected), "{expected}: {ended:?}");
        assert_eq!(stage.sum(&one), sum, "{expected}");
    };
    refused(&["restore", &one, "--from", "nothing"], 3, "there is no backup");
    refused(&["backup", &one, "--to", "moon"], 2, "there are: local");
    refused(&["backup", "nobody"], 3, "no addon called");
    refused(&["backups", "nobody"], 3, "no addon called");
    let cache = stage.name("cache");
    stage.pierhead.ok(&["create", "valkey", &cache]);
    refused(&["restore", &cache, "--from", &id], 2, "is of a redis");
    // Somebody has changed the file, or cut it off, or taken it away.
    let file = dir.join(&one).join(format!("{id}.rdb"));
    let whole = fs::read(&file).unwrap();
    let mut changed = whole.clone();
    changed[whole.len() / 2] ^= 1;
    for content in [&changed[..], &whole[..whole.len() / 2], b""] {
        fs::write(&file, content).unwrap();
        refused(&["restore", &one, "--from", &id], 2, "is not what was backed up");
        let new = stage.name("new");
        refused(&["restore", &one, "--from", &id, "--as", &new], 2, "nothing was changed");
        assert_eq!(stage.pierhead.run(&["info", &new]).code, Some(3));
    }
    fs::remove_file(&file).unwrap();
    refused(&["restore", &one, "--from", &id], 1, "target local");
    stage.pierhead.ok(&["stop", &cache]);
    let stopped = stage.pierhead.run(&["backup", &cache]);
    assert!(stopped.code == Some(4) && stopped.stderr.contains("has to run"), "{stopped:?}");

    // Removed when somebody says so, also without its file.
    stage.pierhead.ok(&["backups", &one, "--remove", &id]);
    assert_eq!((stage.good(&one).len(), files(&one)), (0, 0));
    stage.leaves_nothing(&[&one, &cache]);
}

/// A disk that is not mounted looks like a directory that is missing, or is gone a moment later.
#[test]
fn a_target_that_is_gone_is_no_empty_target() {
    let stage = Stage::stopped(&REDIS);
    let disk = stage.file("disk");
    let mut stage = stage.serve(&format!(
        "[backup]\nto = \"disk\"\n[backup.target.disk]\nurl = \"file://{}\"\n",
        disk.display()
    ));
    let one = stage.name("one");
    stage.create(&one);
    stage.fill(&one);
    let refused = stage.pierhead.run(&["backup", &one]);
    assert!(refused.code == Some(1) && refused.stderr.contains("is its disk mounted?"), "{refused:?}");
    assert!(!disk.exists());
    fs::create_dir(&disk).unwrap();
    let id = stage.backup(&one);

    // It goes while the backup is being tried.
    let backup = stage.pierhead.command(&["backup", &one]).stderr(Stdio::piped()).spawn().unwrap();
    control::wait_for("the scratch addon", Duration::from_secs(60), || stage.addons().len() == 2);
    fs::rename(&disk, stage.file("elsewhere")).unwrap();
    let ended = backup.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.code() == Some(1) && said.contains("the directory is gone"), "{said}");
    assert!(!disk.exists());
    let events = stage.pierhead.ok(&["events", &one]);
    assert!(events.contains("failed: target disk"), "{events}");
    let metrics = stage.metrics();
    assert!(metrics.contains("pierhead_backups_failed_total 1\n"), "{metrics}");
    let doctor = stage.pierhead.run(&["doctor"]).stdout;
    assert!(doctor.contains(&format!("{one}: the latest backup failed")), "{doctor}");
    assert!(stage.pierhead.log_text().contains("ERROR"));
    assert_eq!(stage.addons(), [one.as_str()]);

    // It is back.
    fs::rename(stage.file("elsewhere"), &disk).unwrap();
    let next = stage.backup(&one);
    assert_eq!(stage.good(&one), [id.clone(), next.clone()]);
    let doctor = stage.pierhead.run(&["doctor"]).stdout;
    assert!(!doctor.contains("the latest backup failed"), "{doctor}");

    // A Pierhead that has lost everything finds them there.
    let sum = stage.sum(&one);
    stage.pierhead.ok(&["destroy", &one, "--force"]);
    stage.pierhead.kill();
    fs::remove_dir_all(stage.file("data")).unwrap();
    fs::write(disk.join(&one).join("bad.manifest.json"), "{}").unwrap();
    stage.pierhead.serve(None);
    let adopted = stage.pierhead.json(&["backups", "--adopt", "disk"]);
    assert_eq!(adopted["backups"].as_array().unwrap().len(), 2);
    stage.pierhead.ok(&["restore", &one, "--from", &next, "--as", &one]);
    assert_eq!(stage.sum(&one), sum);
    assert_eq!(stage.pierhead.json(&["backups", "--adopt", "disk"])["backups"].as_array().unwrap().len(), 0);
    stage.leaves_nothing(&[&one]);
}
