//! How the data of a kind are written out and read in again: by the engine's own programs, inside its container.

use crate::dialect::Name;

/// An archive of one addon.
#[derive(Clone, Debug)]
pub struct Archive {
    /// What it is, for people.
    pub format: &'static str,
    /// What its file's name ends with.
    pub extension: &'static str,
    /// The program that writes it to its stdout.
    pub export: Vec<String>,
    /// The program that reads it from its stdin.
    pub import: Vec<String>,
    /// What that program reads first.
    pub import_prefix: String,
    /// Whether an import that fails leaves the data as they were. Otherwise they are written out before and read in
    /// again after.
    pub atomic: bool,
    /// Where the program only lays the data out: what makes them the engine's. `None`: they are when it has ended.
    pub swap: Option<Swap>,
    /// What is done to it on its way out of an engine and into one, where the programs cannot. It is held in memory for that.
    pub edit: Option<Edit>,
    /// The environment variable in which both take the password.
    pub password_variable: &'static str,
    /// Whether a file is a whole archive of this kind.
    pub check: fn(Ends<'_>) -> Result<(), &'static str>,
}

/// What is done to an archive on its way out of the engine of an addon, and into it. The error says what is wrong with it.
#[derive(Clone, Copy, Debug)]
pub struct Edit {
    /// From what the program writes to the archive.
    pub out: fn(&Name, &[u8]) -> Result<Vec<u8>, String>,
    /// From the archive to what the program reads.
    pub back: fn(&Name, &[u8]) -> Result<Vec<u8>, String>,
}

/// How data that have been laid out become those of an engine: by a start. Each can be repeated.
#[derive(Clone, Debug)]
pub struct Swap {
    /// Puts them in the place of the present ones, and ends the engine.
    pub swap: Vec<String>,
    /// Puts those before back. Run beside the engine, which does not come up, in the directory of its volume.
    pub undo: Vec<String>,
    /// Removes those before.
    pub forget: Vec<String>,
}

impl Archive {
    /// An argument that is this stands for whoever logs in when the program is run.
    pub const LOGIN: &str = "{login}";
}

/// The first and the last bytes of a file, [`Ends::LEN`] of each or fewer.
#[derive(Clone, Copy, Debug)]
pub struct Ends<'a> {
    /// Where it begins.
    pub head: &'a [u8],
    /// Where it ends.
    pub tail: &'a [u8],
}

impl Ends<'_> {
    /// How much of a file is looked at on either side, in bytes.
    pub const LEN: usize = 1024;
}

/// Whether `text` is somewhere in `bytes`.
pub(super) fn has(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}
