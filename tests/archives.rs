//! The promise: what is exported is whole or said not to be, and comes back the same; and an import that cannot be done leaves
//! the addon as it was. With PostgreSQL and MariaDB, their own programs, and somebody who writes meanwhile.

#![allow(clippy::unwrap_used, reason = "a test")]

mod control;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::time::Duration;

use control::{Ended, Pierhead, further_port};

/// A kind, and how its client runs SQL.
struct Kind {
    name: &'static str,
    image: &'static str,
    option: &'static str,
    /// Fills a table `t` with this many rows, made of `i` from 1.
    fill: fn(u32) -> String,
    /// One line that tells whether two addons hold the same.
    sum: &'static str,
}

const POSTGRES: Kind = Kind {
    name: "postgres",
    image: "pierhead/postgres:15",
    option: "-qAtc",
    fill: |rows| {
        format!(
            "CREATE TABLE t (id int PRIMARY KEY, x text, b bytea); INSERT INTO t SELECT i, repeat(md5(i::text), 20), decode(md5(i::text), 'hex') FROM generate_series(1, {rows}) i; CREATE VIEW v AS SELECT count(*) AS n FROM t; CREATE SEQUENCE s START 42; COMMENT ON TABLE t IS 'é \u{1f600}'"
        )
    },
    sum: "SELECT md5(string_agg(id || x || b::text, ',' ORDER BY id)) || ' ' || (SELECT n FROM v) || ' ' || (SELECT last_value FROM s) FROM t",
};

const MARIADB: Kind = Kind {
    name: "mariadb",
    image: "pierhead/mariadb:10.11",
    option: "-NBe",
    fill: |rows| {
        format!(
            "SET max_recursive_iterations = 1000000; CREATE TABLE t (id int PRIMARY KEY, x text, b varbinary(40)); INSERT INTO t WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < {rows}) SELECT i, repeat(md5(i), 20), unhex(md5(i)) FROM n; INSERT INTO t VALUES (0, '\\nCREATE DEFINER=`a`@`%` x', ''); CREATE VIEW v AS SELECT count(*) AS n FROM t; CREATE PROCEDURE p() SELECT 42; CREATE TRIGGER g BEFORE INSERT ON t FOR EACH ROW SET NEW.x = NEW.x"
        )
    },
    sum: "SELECT concat(bit_xor(crc32(concat(id, x, hex(b)))), ' ', (SELECT n FROM v), ' ', (SELECT count(*) FROM t WHERE x LIKE '% DEFINER=`a`@`%`%'), ' ', (SELECT count(*) FROM information_schema.routines WHERE routine_schema = database()), (SELECT count(*) FROM information_schema.triggers WHERE trigger_schema = database())) FROM t",
};

struct Stage {
    pierhead: Pierhead,
    kind: Kind,
}

impl Stage {
    fn new(kind: Kind) -> Self {
        let port = further_port();
        let lines = match kind.name {
            "postgres" => String::new(),
            name => format!(
                "[[listener]]\ndialect = \"mysql\"\nlisten = [\"127.0.0.1:{port}\"]\n[kind.{name}]\nimage = \"{}\"\n",
                kind.image
            ),
        };
        let stage = Stage { pierhead: Pierhead::start_with(&lines), kind };
        for name in [stage.one(), stage.other()] {
            stage.pierhead.ok(&["create", stage.kind.name, &name]);
        }
        stage
    }

    fn one(&self) -> String {
        self.pierhead.name("one")
    }

    fn other(&self) -> String {
        self.pierhead.name("other")
    }

    fn run(&self, name: &str, sql: &str) -> Ended {
        self.pierhead.run(&["connect", name, "--", self.kind.option, sql])
    }

    #[track_caller]
    fn sql(&self, name: &str, sql: &str) -> String {
        let ended = self.run(name, sql);
        assert_eq!(ended.code, Some(0), "{sql}: {ended:?}");
        ended.stdout.trim().to_owned()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.pierhead.dir.path().join(name)
    }

    #[track_caller]
    fn refused(&self, file: &Path, expected: &str) {
        let ended = self.pierhead.run(&["import", &self.other(), file.to_str().unwrap()]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert!(ended.stderr.contains(expected), "{expected}: {ended:?}");
    }

    /// An import that has begun to change the data.
    fn begin_import(&self, file: &Path) -> Child {
        let mut import = self.pierhead.command(&["import", &self.other(), file.to_str().unwrap()]);
        let import = import.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let is_whole = |file: &PathBuf| file.extension().is_some_and(|extension| extension == "sql");
        control::wait_for("the import to be under way", Duration::from_secs(30), || {
            self.rescued().iter().any(is_whole)
        });
        import
    }

    fn rescued(&self) -> Vec<PathBuf> {
        let files = fs::read_dir(self.file("data/rescued")).into_iter().flatten();
        files.map(|file| file.unwrap().path()).collect()
    }

    fn leaves_nothing(&self) {
        for dir in ["spool", "rescued"] {
            let left = fs::read_dir(self.file("data").join(dir)).map(Iterator::count).unwrap_or(0);
            assert_eq!(left, 0, "{dir}");
        }
        for name in [self.one(), self.other()] {
            self.pierhead.ok(&["destroy", &name, "--force"]);
        }
    }
}

fn round_trip(kind: Kind) {
    let stage = Stage::new(kind);
    let (one, other, dump) = (stage.one(), stage.other(), stage.file("one.dump"));
    stage.sql(&one, &(stage.kind.fill)(50_000));
    let sum = stage.sql(&one, stage.kind.sum);
    assert!(sum.contains(" 50000 ") || sum.contains(" 50001 1 11"), "{sum}");

    // Somebody writes meanwhile: what they add may be in it or not, but nothing is broken.
    let writer = "CREATE TABLE w (i int)".to_owned() + &"; INSERT INTO w VALUES (1)".repeat(300);
    let mut writing = stage.pierhead.command(&["connect", &one, "--", stage.kind.option, &writer]);
    let mut writing = writing.stdout(Stdio::null()).spawn().unwrap();
    stage.pierhead.ok(&["export", &one, "--output", dump.to_str().unwrap()]);
    assert!(writing.wait().unwrap().success());
    let again = stage.pierhead.run(&["export", &one, "--output", dump.to_str().unwrap()]);
    assert!(again.stderr.contains("is there already"), "{again:?}");

    // What was there is replaced.
    stage.sql(&other, "CREATE TABLE t (old int); INSERT INTO t VALUES (1)");
    let imported = stage.pierhead.json(&["import", &other, dump.to_str().unwrap()]);
    assert_eq!(imported["bytes"].as_u64().unwrap(), fs::metadata(&dump).unwrap().len());
    assert_eq!(stage.sql(&other, stage.kind.sum), sum);
    // By a pipe, too.
    let mut export = stage.pierhead.command(&["export", &one]);
    let mut export = export.stdout(Stdio::piped()).spawn().unwrap();
    let piped = stage
        .pierhead
        .command(&["import", &other, "-"])
        .stdin(export.stdout.take().unwrap())
        .output()
        .unwrap();
    assert!(export.wait().unwrap().success() && piped.status.success(), "{piped:?}");
    assert_eq!(stage.sql(&other, stage.kind.sum), sum);
    let events = stage.pierhead.ok(&["events", &other]);
    assert!(events.contains("imported ") && events.contains("SHA-256"), "{events}");

    what_is_wrong_changes_nothing(&stage, &dump, &sum);
    stage.leaves_nothing();
}

fn what_is_wrong_changes_nothing(stage: &Stage, dump: &Path, sum: &str) {
    let (other, bad) = (stage.other(), stage.file("bad.dump"));
    let whole = fs::read(dump).unwrap();
    for (content, expected) in
        [(&b""[..], "this is no whole"), (b"hello", "this is no whole"), (&[0; 4096], "this is no whole")]
    {
        fs::write(&bad, content).unwrap();
        stage.refused(&bad, expected);
    }
    // Cut off, in the middle and near the end.
    for len in [whole.len() / 2, whole.len() - 40] {
        fs::write(&bad, &whole[..len]).unwrap();
        let ended = stage.pierhead.run(&["import", &other, bad.to_str().unwrap()]);
        assert_eq!(ended.code, Some(2), "{ended:?}");
        assert_eq!(stage.sql(&other, stage.kind.sum), sum, "cut off at {len} of {}", whole.len());
    }
    // Whole to look at, but the engine cannot do it.
    let mut broken = whole.clone();
    match stage.kind.name {
        "postgres" => broken[whole.len() / 2..][..2000].fill(0xff),
        _ => {
            let at = broken.windows(12).rposition(|window| window == b"INSERT INTO ").unwrap();
            broken[at..at + 11].copy_from_slice(b"INSERT ONTO");
        }
    }
    fs::write(&bad, &broken).unwrap();
    stage.refused(&bad, "its data are as they were");
    assert_eq!(stage.sql(&other, stage.kind.sum), sum);
    // An engine that does not run.
    stage.pierhead.ok(&["stop", &other]);
    let ended = stage.pierhead.run(&["import", &other, dump.to_str().unwrap()]);
    assert!(ended.code == Some(4) && ended.stderr.contains("has to run"), "{ended:?}");
    stage.pierhead.ok(&["start", &other]);
    assert_eq!(stage.sql(&other, stage.kind.sum), sum);
}

#[test]
fn postgresql_goes_out_and_comes_in_again() {
    round_trip(POSTGRES);
}

#[test]
fn mariadb_goes_out_and_comes_in_again() {
    round_trip(MARIADB);
}

#[test]
fn an_export_that_is_not_whole_is_no_file() {
    let stage = Stage::new(POSTGRES);
    let (one, file) = (stage.one(), stage.file("cut.dump"));
    stage.sql(&one, &(stage.kind.fill)(200_000));
    let mut export = stage.pierhead.command(&["export", &one, "--output", file.to_str().unwrap()]);
    let export = export.stderr(Stdio::piped()).spawn().unwrap();
    control::wait_for("the export to be under way", Duration::from_secs(20), || {
        fs::metadata(stage.file("cut.dump.part")).is_ok_and(|part| part.len() > 0)
    });
    control::docker(&["kill", &one]);
    let ended = export.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(!ended.status.success() && said.contains("not whole"), "{said}");
    assert!(!file.exists() && !stage.file("cut.dump.part").exists());
    let none = stage.pierhead.run(&["export", "nobody-here"]);
    assert_eq!(none.code, Some(3), "{none:?}");
    stage.pierhead.ok(&["wait", &one]);
    stage.leaves_nothing();
}

/// MariaDB commits as it goes, so an import that is left alone in the middle would have broken the data.
#[test]
fn an_import_that_is_interrupted_loses_nothing() {
    let mut stage = Stage::new(MARIADB);
    let (one, other, dump) = (stage.one(), stage.other(), stage.file("one.dump"));
    stage.sql(&one, &(stage.kind.fill)(100_000));
    stage.sql(&other, &(stage.kind.fill)(70));
    let (sum, small) = (stage.sql(&one, stage.kind.sum), stage.sql(&other, stage.kind.sum));
    stage.pierhead.ok(&["export", &one, "--output", dump.to_str().unwrap()]);

    // Whoever has asked for it goes away: it comes to its end.
    let mut client = stage.begin_import(&dump);
    client.kill().unwrap();
    client.wait().unwrap();
    control::wait_for("the import to end", Duration::from_secs(60), || {
        stage.pierhead.ok(&["events", &other]).contains("imported ")
    });
    assert_eq!(stage.sql(&other, stage.kind.sum), sum);
    assert_eq!(stage.rescued().len(), 0);
    let audit = stage.pierhead.json(&["audit"]);
    let left = |request: &serde_json::Value| {
        request["path"] == format!("/v1/addons/{other}/import") && request["status"] == 499
    };
    assert!(audit["requests"].as_array().unwrap().iter().any(left), "{audit}");

    // Pierhead is killed: the data before it are in a file, whole.
    let back = stage.file("small.dump");
    stage.pierhead.ok(&["export", &other, "--output", back.to_str().unwrap()]);
    let mut client = stage.begin_import(&dump);
    stage.pierhead.kill();
    client.wait().unwrap();
    stage.pierhead.serve(None);
    stage.pierhead.ok(&["wait", &other]);
    let [file] = &stage.rescued()[..] else { panic!("{:?}", stage.rescued()) };
    assert!(stage.pierhead.log_text().contains(file.to_str().unwrap()), "the log tells where");
    stage.pierhead.ok(&["import", &other, file.to_str().unwrap()]);
    assert_eq!(stage.sql(&other, stage.kind.sum), sum);
    assert_ne!(sum, small);
    fs::remove_file(file).unwrap();
    stage.leaves_nothing();
}
