//! The promise of `tests/archives.rs` for Redis and Valkey: what is exported comes back the same, while somebody writes; and an
//! import that cannot be done leaves the addon as it was, also where only the start of the engine shows that.

#![allow(clippy::unwrap_used, reason = "a test")]

mod control;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use control::{Pierhead, docker};

/// One line that tells whether two servers hold the same under `k:`: names, types, values and when they expire.
const SUM: &str = "local keys = redis.call('keys', 'k:*') table.sort(keys) local sum = '' \
    for _, k in ipairs(keys) do sum = redis.sha1hex(sum .. k .. redis.call('type', k).ok .. redis.call('dump', k) .. redis.call('pexpiretime', k)) end \
    return #keys .. ' ' .. sum";

const FILL: &str = "for i = 1, 20000 do redis.call('set', 'k:s' .. i, redis.sha1hex(i)) end \
    for i = 1, 500 do redis.call('hset', 'k:h', i, i * 7) redis.call('rpush', 'k:l', i) redis.call('sadd', 'k:set', i) \
    redis.call('zadd', 'k:z', i / 3, i) redis.call('xadd', 'k:x', i .. '-1', 'f', i) end \
    redis.call('set', 'k:\\0\\255\\n', 'binary', 'px', '86400000') return 1";

struct Stage {
    pierhead: Pierhead,
    kind: &'static str,
}

impl Stage {
    fn new(kind: &'static str) -> Self {
        let stage = Stage { pierhead: Pierhead::start(), kind };
        for name in ["one", "other"] {
            stage.pierhead.ok(&["create", kind, &stage.name(name)]);
        }
        stage
    }

    fn name(&self, rest: &str) -> String {
        self.pierhead.name(rest)
    }

    fn file(&self, name: &str) -> PathBuf {
        self.pierhead.dir.path().join(name)
    }

    fn cli(&self, name: &str, arguments: &[&str]) -> String {
        self.pierhead.ok(&[&["connect", &self.name(name), "--"], arguments].concat()).trim().to_owned()
    }

    fn sum(&self, name: &str) -> String {
        self.cli(name, &["EVAL", SUM, "0"])
    }

    fn import(&self, name: &str, file: &Path) -> control::Ended {
        self.pierhead.run(&["import", &self.name(name), file.to_str().unwrap()])
    }

    #[track_caller]
    fn refused(&self, content: &[u8], expected: &str) {
        let bad = self.file("bad.rdb");
        fs::write(&bad, content).unwrap();
        let ended = self.import("other", &bad);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains(expected) && ended.stderr.contains("nothing was changed"), "{ended:?}");
    }

    /// What an import leaves on the volume.
    fn leaves_nothing(&self) {
        for name in ["one", "other"] {
            let files = docker(&["exec", &self.name(name), "ls", "/data"]);
            assert!(!files.contains("pierhead"), "{files}");
            self.pierhead.ok(&["destroy", &self.name(name), "--force"]);
        }
        assert_eq!(self.pierhead.left_on_docker(), [""; 0]);
    }
}

/// Writes one key after the other, and tells how many it has written, until it is dropped.
struct Writer {
    stop: Arc<AtomicBool>,
    written: Arc<AtomicU64>,
}

impl Writer {
    fn start(url: &str) -> Self {
        let (stop, written) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let writer = Writer { stop: Arc::clone(&stop), written: Arc::clone(&written) };
        let client = redis::Client::open(url).unwrap();
        std::thread::spawn(move || {
            let mut connection = client.get_connection().unwrap();
            while !stop.load(Relaxed) {
                let n = written.load(Relaxed);
                let answer = redis::cmd("SET").arg(format!("w:{n}")).arg(n).query::<()>(&mut connection);
                if answer.is_err() {
                    break;
                }
                written.fetch_add(1, Relaxed);
            }
        });
        let seen = || writer.written.load(Relaxed) > 100;
        control::wait_for("the writer to write", Duration::from_secs(20), seen);
        writer
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.stop.store(true, Relaxed);
    }
}

fn round_trip(kind: &'static str) {
    let stage = Stage::new(kind);
    let (pierhead, dump) = (&stage.pierhead, stage.file("one.rdb"));
    stage.cli("one", &["EVAL", FILL, "0"]);
    let sum = stage.sum("one");
    assert!(sum.starts_with("20006 "), "{sum}");
    stage.cli("other", &["SET", "k:old", "1"]);

    // Both are written to meanwhile, over connections that stay open.
    let writer = Writer::start(pierhead.ok(&["url", &stage.name("one")]).trim());
    let before = writer.written.load(Relaxed);
    pierhead.ok(&["export", &stage.name("one"), "--output", dump.to_str().unwrap()]);
    let after = writer.written.load(Relaxed);
    assert!(after > before, "nobody wrote during the export");
    drop(writer);
    let _writer = Writer::start(pierhead.ok(&["url", &stage.name("other")]).trim());
    let imported = pierhead.json(&["import", &stage.name("other"), dump.to_str().unwrap()]);
    assert_eq!(imported["bytes"].as_u64().unwrap(), fs::metadata(&dump).unwrap().len());
    assert_eq!(stage.sum("other"), sum);
    // The file is of one moment: every key up to one number, none behind it.
    let count: u64 = stage.cli("other", &["EVAL", "return #redis.call('keys', 'w:*')", "0"]).parse().unwrap();
    assert!((before..=after + 1).contains(&count), "{before} {count} {after}");
    assert_eq!(stage.cli("other", &["EXISTS", &format!("w:{}", count - 1), &format!("w:{count}")]), "1");
    // What is written from now on stays, as do the data, over a restart.
    stage.cli("other", &["SET", "new", "1"]);
    pierhead.ok(&["restart", &stage.name("other")]);
    assert_eq!((stage.cli("other", &["GET", "new"]).as_str(), stage.sum("other")), ("1", sum.clone()));

    // By a pipe, and as a clone.
    let copy = stage.name("copy");
    pierhead.ok(&["clone", &stage.name("one"), &copy]);
    assert_eq!(stage.sum("copy"), sum);
    pierhead.ok(&["destroy", &copy, "--force"]);

    let whole = fs::read(&dump).unwrap();
    stage.refused(b"", "this is no whole");
    stage.refused(b"PGDMP and so on", "this is no whole");
    stage.refused(&whole[..whole.len() / 2], "this is no whole");
    // Whole to look at.
    let mut newer = whole.clone();
    newer[5..9].copy_from_slice(b"0099");
    stage.refused(&newer, "version");
    let mut damaged = whole.clone();
    damaged[whole.len() / 2] ^= 1;
    damaged[whole.len() - 1] ^= 1;
    stage.refused(&damaged, "RDB");
    assert_eq!((stage.cli("other", &["GET", "new"]).as_str(), stage.sum("other")), ("1", sum));
    stage.leaves_nothing();
}

#[test]
fn redis_goes_out_and_comes_in_again() {
    round_trip("redis");
}

#[test]
fn valkey_goes_out_and_comes_in_again() {
    round_trip("valkey");
}

/// A file that is good, and whose data are larger than the memory: the engine is killed while it reads them.
#[test]
fn what_does_not_come_up_is_changed_back() {
    let stage = Stage::new("redis");
    stage.cli("other", &["EVAL", FILL, "0"]);
    let sum = stage.sum("other");
    let (big, file) = (stage.name("big"), stage.file("big.rdb"));
    let label = stage.pierhead.label().unwrap();
    docker(&[
        "run",
        "-d",
        "--name",
        &big,
        "--label",
        label.trim_start_matches("label="),
        &control::redis_image(),
    ]);
    let fill = "for i = 1, 40 do redis.call('setrange', i, 10000000, 'x') end return 1";
    control::wait_for("a server", Duration::from_secs(30), || {
        control::try_docker(&["exec", &big, "redis-cli", "EVAL", fill, "0"]).is_ok_and(|said| said == "1")
    });
    docker(&["exec", &big, "redis-cli", "SAVE"]);
    docker(&["cp", &format!("{big}:/data/dump.rdb"), file.to_str().unwrap()]);
    docker(&["rm", "-f", "-v", &big]);
    let ended = stage.import("other", &file);
    assert!(ended.code == Some(2) && ended.stderr.contains("its data are as they were"), "{ended:?}");
    assert!(ended.stderr.contains("does not come up"), "{ended:?}");
    stage.pierhead.ok(&["wait", &stage.name("other")]);
    assert_eq!(stage.sum("other"), sum);
    stage.leaves_nothing();
}

/// Killed before the files are changed, and after.
#[test]
fn a_killed_pierhead_leaves_the_old_data_or_the_new() {
    let mut stage = Stage::new(REDIS);
    assert_eq!(stage.kind, REDIS);
    stage.cli("one", &["EVAL", FILL, "0"]);
    let (sum, dump) = (stage.sum("one"), stage.file("one.rdb"));
    stage.pierhead.ok(&["export", &stage.name("one"), "--output", dump.to_str().unwrap()]);
    stage.cli("other", &["SET", "k:old", "1"]);
    let old = stage.sum("other");
    for (point, is_new) in [("before:swap", false), ("after:swap", true)] {
        stage.pierhead.kill();
        stage.pierhead.serve(Some(point));
        let mut import = stage.pierhead.command(&["import", &stage.name("other"), dump.to_str().unwrap()]);
        let mut import = import.stderr(std::process::Stdio::null()).spawn().unwrap();
        control::wait_for("the crash point", Duration::from_secs(60), || {
            stage.pierhead.has_stopped_at_crash_point()
        });
        stage.pierhead.kill();
        assert!(!import.wait().unwrap().success());
        stage.pierhead.serve(None);
        let expected = if is_new { "cut off is done" } else { "its data are as they were" };
        control::wait_for("the next one to see to it", Duration::from_secs(120), || {
            stage.pierhead.ok(&["events", &stage.name("other")]).contains(expected)
        });
        assert_eq!(&stage.sum("other"), if is_new { &sum } else { &old }, "{point}");
    }
    stage.leaves_nothing();
}

const REDIS: &str = "redis";
