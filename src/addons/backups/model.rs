//! A backup, as its row has it.

use crate::addons::UnixMs;
use crate::dialect::Name;

/// One backup of one addon.
#[derive(Clone, Debug, PartialEq)]
pub struct Backup {
    /// What it is called: `blog-20261129T030000Z-3f2a`.
    pub id: String,
    /// Whose data they are. There may be no such addon any more.
    pub addon: Name,
    /// Its kind.
    pub kind: Name,
    /// Its plan.
    pub plan: Name,
    /// The image that wrote it.
    pub image: String,
    /// The target where it is.
    pub target: Name,
    /// How far it is. Written before it is acted on.
    pub state: State,
    /// Why it failed.
    pub reason: Option<String>,
    /// What the name of its archive ends with: `dump`, `dump.age`.
    pub extension: String,
    /// Length of the archive, in bytes; 0 until it has been written.
    pub bytes: u64,
    /// Its SHA-256, as hexadecimal digits; empty until then.
    pub sha256: String,
    /// Length of what is at the target: the same, unless it is encrypted.
    pub stored_bytes: u64,
    /// Its SHA-256.
    pub stored_sha256: String,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// Whether nobody had asked for it but the schedule.
    pub scheduled: bool,
    /// When it was begun.
    pub started_at: UnixMs,
    /// When it was good or had failed.
    pub finished_at: Option<UnixMs>,
}

impl Backup {
    /// The path of its archive at the target.
    pub fn archive_path(&self) -> String {
        format!("{}/{}.{}", self.addon, self.id, self.extension)
    }

    /// The path of its manifest at the target.
    pub fn manifest_path(&self) -> String {
        format!("{}/{}{MANIFEST_END}", self.addon, self.id)
    }
}

/// What the names of manifests end with, and of no archive.
pub(super) const MANIFEST_END: &str = ".manifest.json";

/// How far a backup is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The engine's program writes it.
    Writing,
    /// It is read into an addon of its own.
    Verifying,
    /// It is brought to the target, and read back.
    Storing,
    /// It can be restored.
    Good,
    /// It cannot.
    Failed,
    /// It is to go.
    Removing,
}

impl State {
    /// Every one.
    pub const ALL: [State; 6] =
        [State::Writing, State::Verifying, State::Storing, State::Good, State::Failed, State::Removing];

    /// In the store, and for people.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Writing => "writing",
            State::Verifying => "verifying",
            State::Storing => "storing",
            State::Good => "good",
            State::Failed => "failed",
            State::Removing => "removing",
        }
    }

    /// The reverse of [`State::as_str`].
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|state| state.as_str() == text)
    }

    /// Whether somebody works on it.
    pub fn is_under_way(self) -> bool {
        matches!(self, State::Writing | State::Verifying | State::Storing)
    }
}
