//! Why a backup, a restore or a clone did not come about, for people and for programs.

use crate::addons::archives::ArchiveError;
use crate::addons::backups::TargetError;
use crate::addons::store::StoreError;
use crate::control::api::ApiError;
use crate::dialect::Name;

/// Why a backup, a restore or a clone did not come about.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The kind has no programs for it.
    #[error("the data of the kind {0} cannot be backed up")]
    NotSupported(&'static str),
    /// Its engine is not running.
    #[error("{0} is {1}: its engine has to run for that")]
    NotReady(Name, String),
    /// Something else goes on with it.
    #[error("a {1} of {0} is going on")]
    Busy(Name, &'static str),
    /// The configuration has no such target.
    #[error("no target is called {0:?}; there are: {1}")]
    NoTarget(String, String),
    /// The target cannot be used, or failed.
    #[error("target {0}: {1}")]
    Target(String, TargetError),
    /// There is no such backup.
    #[error("there is no backup {0:?}")]
    NoBackup(String),
    /// It is not good.
    #[error("the backup {0} is {1}: only a good one can be restored; nothing was changed")]
    NotGood(String, &'static str),
    /// It is of something else.
    #[error("{0} is of a {1}, {2} is a {3}; nothing was changed")]
    OtherKind(String, Name, Name, Name),
    /// What is at the target is not what was written there, or cannot be read.
    #[error("{0}; nothing was changed")]
    Damaged(String),
    /// The archive was not written or not read in.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The store failed.
    #[error(transparent)]
    Store(StoreError),
    /// Something else.
    #[error("{0}")]
    Failed(String),
}

impl From<BackupError> for ApiError {
    fn from(error: BackupError) -> Self {
        let message = error.to_string();
        match error {
            BackupError::NotSupported(_) => ApiError::conflict("not_supported", message, ""),
            BackupError::NotReady(name, _) => {
                ApiError::conflict("not_ready", message, format!("`pierhead start {name}`, then try again"))
            }
            BackupError::Busy(..) => ApiError::conflict("busy", message, "try again when it has ended"),
            BackupError::NoTarget(..) => {
                ApiError::invalid("unknown_target", message, "add [backup.target.NAME] to the configuration")
            }
            BackupError::Target(..) => ApiError::unavailable(
                "target_failed",
                message,
                "see [backup.target] in the configuration, and whether the target is there; nothing was changed",
            ),
            BackupError::NoBackup(_) => ApiError::missing(message, "`pierhead backups` shows what there is"),
            BackupError::NotGood(..) | BackupError::OtherKind(..) => {
                ApiError::invalid("wrong_backup", message, "`pierhead backups` shows what there is")
            }
            BackupError::Damaged(_) => {
                ApiError::invalid("damaged", message, "take another backup: `pierhead backups` shows them")
            }
            BackupError::Archive(error) => error.into(),
            BackupError::Store(error) => error.into(),
            BackupError::Failed(_) => {
                ApiError::unavailable("failed", message, "the log of `pierhead serve` may say more")
            }
        }
    }
}
