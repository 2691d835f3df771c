//! Backups: archives of addons at a target, each with its manifest. A backup is good once it has been read into an addon of
//! its own, and what is at the target has been read back.
//!
//! Here is what needs no Docker: the rows, which of them go and when one is due (sans-IO), targets, encryption.
//! `control::backups` carries them out.

mod crypt;
mod manifest;
mod model;
mod schedule;
mod target;

pub use crypt::{decrypt, encrypt};
pub use manifest::Manifest;
pub use model::{Backup, State};
pub use schedule::{due_at, is_overdue, surplus};
pub use target::{Stored, Target, TargetError};
