//! How an engine changes its version. In come names; out go programs that run inside its container.

use std::cmp::Ordering;

use super::Archive;

/// What a kind can do about a new version.
#[derive(Clone, Debug)]
pub struct Upgrade {
    /// The program that prints its version, without a server: `postgres (PostgreSQL) 17.5`.
    pub version: &'static [&'static str],
    /// How many numbers of a version have to be the same for two engines to read each other's files. 0: a later one reads
    /// those of every earlier one.
    pub same_files: usize,
    /// How data move to where the files cannot be read. `None`: not at all.
    pub moving: Option<Moving>,
}

/// Programs that move everything that an engine holds to another version of it: data, logins, rights. They log in as its
/// superuser: an argument that is [`Archive::LOGIN`] stands for that one.
#[derive(Clone, Debug)]
pub struct Moving {
    /// Ends the sessions of others in the old engine, and keeps what writes by itself from writing. Repeated until there
    /// are none.
    pub freeze: Vec<String>,
    /// Undoes what `freeze` has changed beyond the sessions.
    pub thaw: Vec<String>,
    /// Prints, a line each, what stands in the way of a move. Nothing: nothing does.
    pub obstacles: Vec<String>,
    /// Writes everything that the old engine holds to its stdout.
    pub dump: Vec<String>,
    /// Reads that from its stdin, into an engine that has just been made.
    pub load: Vec<String>,
    /// Prints what an engine holds, a line for each thing. The same in both: nothing is missing.
    pub inventory: Vec<String>,
    /// The variable in which they all take the password.
    pub password_variable: &'static str,
}

/// The version in what a program says of itself: the first numbers with a dot between them.
pub fn version_in(text: &str) -> Option<Version> {
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let tail = &rest[start..];
        let end = tail.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(tail.len());
        let numbers: Vec<u32> =
            tail[..end].split('.').map_while(|number| number.parse().ok()).take(NUMBERS_MAX).collect();
        if numbers.len() > 1 {
            return Some(Version(numbers));
        }
        rest = &tail[end..];
    }
    None
}

/// A version of an engine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version(Vec<u32>);

impl Version {
    /// Whether the first `count` numbers are the same.
    pub fn agrees(&self, other: &Version, count: usize) -> bool {
        let first = |version: &Version| {
            version.0.iter().copied().chain([0; NUMBERS_MAX]).take(count).collect::<Vec<_>>()
        };
        first(self) == first(other)
    }

    /// Which of two is the later.
    pub fn compare(&self, other: &Version) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let numbers: Vec<_> = self.0.iter().map(u32::to_string).collect();
        f.write_str(&numbers.join("."))
    }
}

/// A program that a shell runs, with `$1` for who logs in.
pub(super) fn script(text: &str) -> Vec<String> {
    ["sh", "-c", text, "upgrade", Archive::LOGIN].map(str::to_owned).to_vec()
}

const NUMBERS_MAX: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn engines_say_their_version_in_their_own_way() {
        for (text, version) in [
            ("postgres (PostgreSQL) 17.5 (Debian 17.5-1)", "17.5"),
            ("mariadbd  Ver 10.11.14-MariaDB-0+deb12u2 for debian-linux-gnu on x86_64", "10.11.14"),
            ("Redis server v=7.0.15 sha=00000000:0 malloc=jemalloc-5.3.0 bits=64", "7.0.15"),
            ("Valkey server v=8.0.1 sha=0", "8.0.1"),
            ("1.2.3.4.5", "1.2.3.4"),
        ] {
            assert_eq!(
                version_in(text).map(|version| version.to_string()).as_deref(),
                Some(version),
                "{text}"
            );
        }
        for text in ["", "postgres 17", "no version", "é9"] {
            assert_eq!(version_in(text), None, "{text}");
        }
    }

    #[test]
    fn what_reads_each_others_files() {
        let of = |text| version_in(text).unwrap();
        assert!(of("15.4").agrees(&of("15.10"), 1) && !of("15.4").agrees(&of("16.4"), 1));
        assert!(!of("10.6.1").agrees(&of("10.11.1"), 2) && of("7.0").agrees(&of("8.0"), 0));
        assert_eq!(of("15.10").compare(&of("15.9")), Ordering::Greater);
        assert_eq!(of("15.4").compare(&of("15.4.1")), Ordering::Less);
    }
}
