//! The promise: a Docker engine that is killed in the middle of a create, and a store on a full disk, leave nothing behind and
//! nobody without an answer; when they are back, what was asked for is done.

#![allow(clippy::unwrap_used, reason = "a test")]

mod control;
#[path = "docker/engine.rs"]
mod engine;
#[path = "docker/own_engine.rs"]
mod own_engine;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use control::{Pierhead, wait_for};
use engine::Engine;
use own_engine::OwnEngine;

const IMAGE: &str = "pierhead/redis:7";

#[test]
fn the_engine_is_killed_in_the_middle_of_create_and_of_destroy() {
    let own = OwnEngine::new("plug", "");
    own.start();
    let tar = own.directory.join("redis.tar");
    Engine::of_this_machine().docker(&format!("save -o {} {IMAGE}", tar.display()));
    own.engine.docker(&format!("load -i {}", tar.display()));
    let mut pierhead = Pierhead::stopped();
    pierhead.docker_host = Some(format!("unix://{}/docker.sock", own.directory.display()));
    pierhead.serve(None);

    // A create takes half a second when nobody disturbs it.
    for (nth, after_ms) in [0, 60, 150, 250, 350, 500].into_iter().enumerate() {
        let name = pierhead.name(&format!("n{nth}"));
        pierhead.ok(&["create", "redis", &name, "--no-wait"]);
        std::thread::sleep(Duration::from_millis(after_ms));
        own.signal("KILL");
        let state = pierhead.state(&name);
        own.start();
        pierhead.ok(&["wait", &name, "--timeout", "120s"]);
        assert_eq!(pierhead.state(&name), "ready", "killed after {after_ms} ms, when it was {state}");
        assert_eq!(ping(&pierhead, &name), "PONG");

        pierhead.ok(&["destroy", &name, "--force", "--no-wait"]);
        std::thread::sleep(Duration::from_millis(after_ms));
        own.signal("KILL");
        own.start();
        wait_for("it to be gone", Duration::from_secs(120), || {
            pierhead.run(&["info", &name]).code == Some(3)
        });
    }
    for what in ["ps -aq", "volume ls -q", "network ls -q --filter label=pierhead.managed"] {
        wait_for(what, Duration::from_secs(30), || own.engine.docker(what).is_empty());
    }
    assert_eq!(fs::read_dir(pierhead.dir.path().join("data/secrets")).unwrap().count(), 0);
}

#[test]
fn the_store_is_on_a_full_disk() {
    let mut pierhead = Pierhead::stopped();
    let disk = SmallDisk::at(pierhead.dir.path().join("data"));
    pierhead.serve(None);
    let before = pierhead.name("before");
    pierhead.ok(&["create", "redis", &before]);

    disk.fill();
    let name = pierhead.name("blog");
    let refused = pierhead.run(&["create", "redis", &name]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("full"), "{refused:?}");
    // Who is there goes on, and reads are answered.
    assert_eq!(ping(&pierhead, &before), "PONG");
    assert_eq!(pierhead.json(&["list"])["addons"].as_array().unwrap().len(), 1);
    for verb in [
        &["stop", &before][..],
        &["set", &before, "--plan", "odd"],
        &["bind", &before, "reader", "--access", "read-only"],
    ] {
        let refused = pierhead.run(verb);
        assert!(refused.code == Some(1) && refused.stderr.contains("full"), "{verb:?}: {refused:?}");
    }
    assert!(control::try_docker(&["inspect", &name]).is_err());

    disk.free();
    pierhead.ok(&["create", "redis", &name]);
    assert_eq!(ping(&pierhead, &name), "PONG");
    // It starts from it as well.
    disk.fill();
    pierhead.kill();
    disk.free();
    pierhead.serve(None);
    for name in [&before, &name] {
        pierhead.ok(&["destroy", name, "--force"]);
    }
    assert_eq!(pierhead.left_on_docker(), [""; 0]);
    pierhead.kill();
}

fn ping(pierhead: &Pierhead, name: &str) -> String {
    let url = pierhead.ok(&["url", name]);
    let ping = ["--no-auth-warning", "-u", url.trim(), "PING"];
    let output = Command::new("redis-cli").args(ping).output().unwrap();
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

/// A file system of its own, that is gone with this.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn at(path: PathBuf) -> Self {
        fs::create_dir_all(&path).unwrap();
        run("mount", &["-t", "tmpfs", "-o", "size=2m", "none"], &path);
        SmallDisk(path)
    }

    /// Until there is not a byte left.
    fn fill(&self) {
        let zeros =
            Command::new("sh").args(["-c", "cat /dev/zero >\"$0\""]).arg(self.0.join("filler")).output();
        assert!(String::from_utf8_lossy(&zeros.unwrap().stderr).contains("No space left"));
    }

    fn free(&self) {
        fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        run("umount", &["--lazy"], &self.0);
    }
}

fn run(program: &str, args: &[&str], path: &Path) {
    let status = Command::new(program).args(args).arg(path).status().unwrap();
    assert!(status.success(), "{program} {args:?} {}", path.display());
}
