//! `[backup]`: where backups go, when, how many stay, and who can read them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::{self, Deserializer};

use super::{Millis, fixed_name};
use crate::dialect::Name;

/// Where backups go, when, how many stay, and who can read them.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BackupConfig {
    /// The target that is meant if none is said.
    pub to: Name,
    /// How often every addon is backed up; none only does what is asked for.
    pub every: Option<Millis>,
    /// How many good backups of an addon stay at a target.
    pub keep: u32,
    /// How long they stay; the latest good one stays in any case. None: for ever.
    pub keep_for: Option<Millis>,
    /// Whom backups are encrypted to; none does not encrypt them.
    pub recipients: Vec<Recipient>,
    /// A file with an age identity, for restoring what is encrypted.
    pub identity: Option<PathBuf>,
    /// How long the addon in which a backup is tried may take to become ready.
    pub ready_timeout: Millis,
    /// The targets by name, besides `local`.
    #[serde(rename = "target")]
    pub targets: BTreeMap<Name, Place>,
}

impl Default for BackupConfig {
    fn default() -> Self {
        BackupConfig {
            to: fixed_name(LOCAL),
            every: None,
            keep: 7,
            keep_for: None,
            recipients: vec![],
            identity: None,
            ready_timeout: Millis::from_secs(900),
            targets: BTreeMap::new(),
        }
    }
}

impl BackupConfig {
    /// Where a target is. `local` is a directory in `data_dir`, unless the configuration says otherwise.
    pub fn place(&self, target: &str, data_dir: &Path) -> Option<Place> {
        let local = || Place::Directory { path: data_dir.join("backups"), make: true };
        self.targets.get(target).cloned().or_else(|| (target == LOCAL).then(local))
    }

    /// Every target there is, for messages.
    pub fn target_names(&self) -> String {
        let others = self.targets.keys().map(Name::as_str).filter(|name| *name != LOCAL);
        std::iter::once(LOCAL).chain(others).collect::<Vec<_>>().join(", ")
    }
}

/// Where a target is.
#[derive(Clone, Debug, PartialEq)]
pub enum Place {
    /// A directory, which has to be there: a disk that is not mounted is no empty target.
    Directory {
        /// The directory.
        path: PathBuf,
        /// Whether it is made if it is missing: only one of Pierhead's own.
        make: bool,
    },
    /// A bucket that speaks S3.
    S3 {
        /// Its name.
        bucket: String,
        /// What all names in it begin with; may be empty.
        prefix: String,
        /// Settings of the object store, such as `endpoint` and `region`.
        options: BTreeMap<String, String>,
        /// A file with further ones, which are secret.
        credentials: Option<PathBuf>,
    },
}

impl<'de> Deserialize<'de> for Place {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Table {
            url: String,
            credentials: Option<PathBuf>,
            #[serde(default)]
            options: BTreeMap<String, String>,
        }
        let Table { url, credentials, options } = Table::deserialize(deserializer)?;
        let wrong = || de::Error::invalid_value(de::Unexpected::Str(&url), &EXPECTED_URL);
        match url.split_once("://").ok_or_else(wrong)? {
            ("file", path) if path.starts_with('/') && options.is_empty() && credentials.is_none() => {
                Ok(Place::Directory { path: path.into(), make: false })
            }
            ("s3", rest) => {
                let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
                let prefix = prefix.trim_matches('/').to_owned();
                if bucket.is_empty() {
                    return Err(wrong());
                }
                Ok(Place::S3 { bucket: bucket.to_owned(), prefix, options, credentials })
            }
            _ => Err(wrong()),
        }
    }
}

const EXPECTED_URL: &str =
    "file:///an/absolute/path without options or credentials, or s3://bucket/prefix with them";
const LOCAL: &str = "local";

/// Whom a backup is encrypted to.
#[derive(Clone)]
pub struct Recipient(pub age::x25519::Recipient);

impl std::fmt::Debug for Recipient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}", self.0)
    }
}

impl<'de> Deserialize<'de> for Recipient {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let expected = "an age recipient, such as age1… of `age-keygen`";
        let wrong = |_| de::Error::invalid_value(de::Unexpected::Str(&text), &expected);
        text.parse().map(Recipient).map_err(wrong)
    }
}

#[cfg(test)]
mod tests {
    use crate::config::Config;

    fn parse(text: &str) -> Result<Config, String> {
        Config::parse(text, std::path::Path::new("x.toml")).map_err(|error| error.to_string())
    }

    #[test]
    fn targets_and_recipients() {
        let text = "[backup]\nto = \"offsite\"\nevery = \"24h\"\n[backup.target.offsite]\nurl = \"s3://bucket/a/b/\"\n";
        let config = parse(text).unwrap();
        let place = format!("{:?}", config.backup.place("offsite", &config.data_dir));
        assert!(place.contains("\"bucket\"") && place.contains("\"a/b\""), "{place}");
        assert_eq!(config.backup.target_names(), "local, offsite");
        assert!(format!("{:?}", config.backup.place("local", &config.data_dir)).contains("/backups"));
        for (text, expected) in [
            ("[backup]\nto = \"moon\"", "no target is called moon, expected one of: local"),
            ("[backup]\nrecipients = [\"me\"]", "an age recipient"),
            ("[backup.target.x]\nurl = \"ftp://x\"", "s3://bucket/prefix"),
            ("[backup.target.x]\nurl = \"file://x\"", "an/absolute/path"),
            ("[backup.target.x]\nurl = \"s3:///x\"", "s3://bucket/prefix"),
        ] {
            let error = parse(text).err().unwrap();
            assert!(error.contains(expected), "{error}");
        }
    }
}
