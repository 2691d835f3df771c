//! The manifest beside an archive: all that a Pierhead which has lost its store has to know.

use serde::{Deserialize, Serialize};

use super::{Backup, State};
use crate::dialect::Name;

/// What is known of a backup.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The format of this file.
    pub version: u32,
    /// What the backup is called.
    pub id: String,
    /// The addon.
    pub addon: Name,
    /// Its kind.
    pub kind: Name,
    /// Its plan.
    pub plan: Name,
    /// The image that wrote it.
    pub image: String,
    /// The Pierhead that wrote it.
    pub pierhead: String,
    /// What the archive's name ends with.
    pub extension: String,
    /// Length of the archive, decrypted.
    pub bytes: u64,
    /// Its SHA-256, decrypted.
    pub sha256: String,
    /// Length of the file beside this one.
    pub stored_bytes: u64,
    /// Its SHA-256: `sha256sum` says the same.
    pub stored_sha256: String,
    /// Whether it is encrypted, to age recipients.
    pub encrypted: bool,
    /// RFC 3339, UTC.
    pub started_at: jiff::Timestamp,
}

impl Manifest {
    /// The manifest of a backup.
    pub fn of(backup: &Backup) -> Self {
        Manifest {
            version: VERSION,
            id: backup.id.clone(),
            addon: backup.addon.clone(),
            kind: backup.kind.clone(),
            plan: backup.plan.clone(),
            image: backup.image.clone(),
            pierhead: env!("CARGO_PKG_VERSION").to_owned(),
            extension: backup.extension.clone(),
            bytes: backup.bytes,
            sha256: backup.sha256.clone(),
            stored_bytes: backup.stored_bytes,
            stored_sha256: backup.stored_sha256.clone(),
            encrypted: backup.encrypted,
            started_at: jiff::Timestamp::from_millisecond(backup.started_at).unwrap_or_default(),
        }
    }

    /// Reads one. Whoever may write at the target may not have any other file read or removed by it.
    pub fn parse(bytes: &[u8]) -> Result<Self, String> {
        let manifest: Manifest = serde_json::from_slice(bytes).map_err(|error| error.to_string())?;
        if manifest.version > VERSION {
            return Err(format!("it is of version {}, this pierhead knows {VERSION}", manifest.version));
        }
        let is_plain =
            |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.".contains(&byte));
        let id = manifest.id.strip_prefix(manifest.addon.as_str());
        if !id.is_some_and(|rest| rest.starts_with('-') && is_plain(rest)) || !is_plain(&manifest.extension) {
            return Err(format!("{:?} is nothing that Pierhead calls a backup", manifest.id));
        }
        Ok(manifest)
    }

    /// The row of the backup, found at a target.
    pub fn into_backup(self, target: &Name) -> Backup {
        Backup {
            id: self.id,
            addon: self.addon,
            kind: self.kind,
            plan: self.plan,
            image: self.image,
            target: target.clone(),
            state: State::Good,
            reason: None,
            extension: self.extension,
            bytes: self.bytes,
            sha256: self.sha256,
            stored_bytes: self.stored_bytes,
            stored_sha256: self.stored_sha256,
            encrypted: self.encrypted,
            scheduled: false,
            started_at: self.started_at.as_millisecond(),
            finished_at: Some(self.started_at.as_millisecond()),
        }
    }
}

const VERSION: u32 = 1;
