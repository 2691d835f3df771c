//! A Pierhead with addons of one kind, and what is the same for all of them.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::control::{Pierhead, further_port};

/// A kind, and how its client does things.
pub struct Kind {
    pub name: &'static str,
    fill: &'static [&'static str],
    change: &'static [&'static str],
    /// One line that tells whether two addons hold the same.
    sum: &'static [&'static str],
    /// Writes for a while what the sum does not tell.
    pub write: fn() -> Vec<String>,
}

pub const POSTGRES: Kind = Kind {
    name: "postgres",
    fill: &[
        "-qAtc",
        "CREATE TABLE t (id int PRIMARY KEY, x text); INSERT INTO t SELECT i, md5(i::text) FROM generate_series(1, 20000) i; CREATE TABLE w (i int)",
    ],
    change: &["-qAtc", "DELETE FROM t WHERE id % 2 = 0"],
    sum: &["-qAtc", "SELECT count(*) || ' ' || md5(string_agg(id || x, ',' ORDER BY id)) FROM t"],
    write: || vec!["-qc".into(), "INSERT INTO w VALUES (1); ".repeat(300)],
};

pub const MARIADB: Kind = Kind {
    name: "mariadb",
    fill: &[
        "-NBe",
        "SET max_recursive_iterations = 1000000; CREATE TABLE t (id int PRIMARY KEY, x text); INSERT INTO t WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 20000) SELECT i, md5(i) FROM n; CREATE TABLE w (i int)",
    ],
    change: &["-NBe", "DELETE FROM t WHERE id % 2 = 0"],
    sum: &["-NBe", "SELECT concat(count(*), ' ', bit_xor(crc32(concat(id, x)))) FROM t"],
    write: || vec!["-NBe".into(), "INSERT INTO w VALUES (1); ".repeat(300)],
};

pub const REDIS: Kind = Kind {
    name: "redis",
    fill: &["EVAL", "for i = 1, 20000 do redis.call('set', 'k:' .. i, redis.sha1hex(i)) end", "0"],
    change: &["DEL", "k:1", "k:2", "k:3"],
    sum: &[
        "EVAL",
        "local keys = redis.call('keys', 'k:*') table.sort(keys) local sum = '' for _, k in ipairs(keys) do sum = redis.sha1hex(sum .. k .. redis.call('dump', k)) end return #keys .. ' ' .. sum",
        "0",
    ],
    write: || ["-r", "500", "INCR", "w"].map(str::to_owned).to_vec(),
};

pub struct Stage {
    pub pierhead: Pierhead,
    pub kind: &'static Kind,
}

impl Stage {
    /// With these lines at the end of the configuration.
    pub fn new(kind: &'static Kind, lines: &str) -> Self {
        Stage::stopped(kind).serve(lines)
    }

    /// Not started yet.
    pub fn stopped(kind: &'static Kind) -> Self {
        Stage { pierhead: Pierhead::stopped(), kind }
    }

    pub fn serve(mut self, lines: &str) -> Self {
        self.configure(lines);
        self.pierhead.serve(None);
        self
    }

    /// Puts these lines at the end of the configuration.
    pub fn configure(&self, lines: &str) {
        self.pierhead.configure(&super::control::image());
        let mariadb = match self.kind.name {
            "mariadb" => format!(
                "[[listener]]\ndialect = \"mysql\"\nlisten = [\"127.0.0.1:{}\"]\n[kind.mariadb]\nimage = \"pierhead/mariadb:10.11\"\n",
                further_port()
            ),
            _ => String::new(),
        };
        let text = std::fs::read_to_string(self.pierhead.config()).unwrap();
        std::fs::write(self.pierhead.config(), format!("{text}{mariadb}{lines}")).unwrap();
    }

    pub fn name(&self, rest: &str) -> String {
        self.pierhead.name(rest)
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.pierhead.dir.path().join(name)
    }

    pub fn create(&self, name: &str) {
        self.pierhead.ok(&["create", self.kind.name, name]);
    }

    #[track_caller]
    fn client(&self, name: &str, arguments: &[&str]) -> String {
        self.pierhead.ok(&[&["connect", name, "--"], arguments].concat()).trim().to_owned()
    }

    #[track_caller]
    pub fn fill(&self, name: &str) {
        self.client(name, self.kind.fill);
    }

    #[track_caller]
    pub fn change(&self, name: &str) {
        self.client(name, self.kind.change);
    }

    #[track_caller]
    pub fn sum(&self, name: &str) -> String {
        let sum = self.client(name, self.kind.sum);
        assert!(sum.split(' ').count() == 2, "{sum}");
        sum
    }

    /// Takes a backup, which is good, and says what it is called.
    #[track_caller]
    pub fn backup(&self, name: &str) -> String {
        self.pierhead.json(&["backup", name])["id"].as_str().unwrap().to_owned()
    }

    /// What the good backups of an addon are called.
    #[track_caller]
    pub fn good(&self, name: &str) -> Vec<String> {
        self.backups(name, "good")
            .into_iter()
            .map(|backup| backup["id"].as_str().unwrap().to_owned())
            .collect()
    }

    /// Those in a state.
    #[track_caller]
    pub fn backups(&self, name: &str, state: &str) -> Vec<serde_json::Value> {
        let mut found = self.pierhead.json(&["backups", name])["backups"].as_array().unwrap().clone();
        found.retain(|backup| backup["state"] == state);
        found
    }

    /// The names of all addons.
    pub fn addons(&self) -> Vec<String> {
        let list = self.pierhead.json(&["list"]);
        let addons = list["addons"].as_array().unwrap().iter();
        addons.map(|addon| addon["name"].as_str().unwrap().to_owned()).collect()
    }

    pub fn metrics(&self) -> String {
        let (status, page) = self.pierhead.http("GET", "/metrics", b"");
        assert_eq!(status, 200);
        page
    }

    pub fn leaves_nothing(&self, names: &[&str]) {
        let left = std::fs::read_dir(self.file("data/spool")).map(Iterator::count).unwrap_or(0);
        assert_eq!(left, 0, "the spool");
        for name in names {
            self.pierhead.ok(&["destroy", name, "--force"]);
        }
        assert_eq!(self.pierhead.left_on_docker(), [""; 0]);
    }
}

/// As `sha256sum` says.
pub fn sha256(path: &Path) -> String {
    let output = Command::new("sha256sum").arg(path).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}
