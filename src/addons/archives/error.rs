//! Why data were not exported or imported.

use std::io;

use crate::addons::lifecycle::Failure;
use crate::addons::store::StoreError;
use crate::dialect::Name;

/// Why data were not exported or imported.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The kind has no programs for it.
    #[error("the data of the kind {0} cannot be exported or imported")]
    NotSupported(&'static str),
    /// Its engine is not running.
    #[error("{0} is {1}: its engine has to run for that")]
    NotReady(Name, String),
    /// Another export or import of it is going on.
    #[error("another export or import of {0} is going on")]
    Busy(Name),
    /// What was sent is no whole archive. Nothing was changed.
    #[error("{0}; nothing was changed")]
    Bad(String),
    /// What was sent is larger than `control.import_max`. Nothing was changed.
    #[error("the file has more than {0} bytes (control.import_max); nothing was changed")]
    TooLarge(u64),
    /// What was sent did not arrive whole. Nothing was changed.
    #[error("the file broke off: {0}; nothing was changed")]
    BrokeOff(String),
    /// The engine's program failed.
    #[error("{0}")]
    Failed(String),
    /// The disk under `data_dir` failed.
    #[error("the copy in data_dir failed: {0}")]
    Spool(#[from] io::Error),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Docker did not do what it was asked, or nobody knows whether it did.
    #[error("Docker: {0}")]
    Docker(String),
}

impl From<Failure> for ArchiveError {
    fn from(failure: Failure) -> Self {
        let (Failure::NotYet(reason) | Failure::Retry(reason) | Failure::Lasting(reason)) = failure;
        ArchiveError::Docker(reason)
    }
}
