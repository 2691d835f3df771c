//! The store: what is wanted of every addon and how far it has come, in one SQLite file, `pierhead.db`.
//!
//! In come changes of rows; each is one transaction that is on the disk when the call returns, because Docker is
//! only told to do what the store already says. Calls block for as long as the disk takes.

mod answers;
mod apps;
mod audit;
mod backups;
mod events;
mod logins;
pub mod operation;
mod row;
mod schema;
mod settings;
mod swaps;
mod tokens;
mod upgrades;

use std::fs::{self, DirBuilder, File, TryLockError};
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, Transaction};
use tokio::sync::watch;

pub use self::answers::{Kept, KeptAnswer};
pub use self::apps::AttachError;
pub use self::audit::AuditEntry;
pub use self::events::Event;
pub use self::logins::Written;
pub use self::swaps::Swapped;
pub use self::tokens::TokenRow;
use super::{Addon, now_ms};
use crate::dialect::Name;

/// The rows of all addons.
pub struct Store {
    connection: Mutex<Connection>,
    instance: String,
    /// How often something has been written.
    commits: watch::Sender<u64>,
    /// Held for as long as the store is open: two Pierheads on one directory would undo each other's work.
    _lock: File,
}

/// Why the store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// An addon of this name exists.
    #[error("an addon called {0} exists already")]
    Exists(Name),
    /// Another process has the directory.
    #[error("{0} is used by another pierhead: stop it, or set another data_dir")]
    Locked(PathBuf),
    /// The file was written by a later version.
    #[error("{path} has format {found}, this pierhead knows {known}: use the version that wrote it")]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its format.
        found: i64,
        /// The latest format that is known here.
        known: i64,
    },
    /// A row makes no sense; somebody else has written it.
    #[error("the row of addon {name:?} holds {value:?} as its {column}")]
    Row {
        /// The addon.
        name: String,
        /// The column.
        column: &'static str,
        /// What it holds.
        value: String,
    },
    /// SQLite failed: the disk is full, broken or not to be written to.
    #[error("the store failed: {0}")]
    Sqlite(#[from] rusqlite::Error),
    /// The directory cannot be used.
    #[error("cannot use {path}: {source}")]
    Io {
        /// The directory or file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl Store {
    /// Opens the store below `data_dir`, which is made if it is missing, and brings its format up to date.
    pub fn open(data_dir: &Path) -> Result<Self, StoreError> {
        let failed = |source| StoreError::Io { path: data_dir.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(data_dir).map_err(failed)?;
        let lock = lock(data_dir)?;
        let path = data_dir.join("pierhead.db");
        let mut connection = Connection::open(&path)?;
        schema::prepare(&mut connection, &path)?;
        // The directory entry of a new file must survive a power failure as its contents do.
        File::open(data_dir).and_then(|dir| dir.sync_all()).map_err(failed)?;
        let instance = schema::instance(&connection)?;
        Ok(Store {
            connection: Mutex::new(connection),
            instance,
            commits: watch::Sender::new(0),
            _lock: lock,
        })
    }

    /// The random identity of this installation: what Docker objects of Pierhead's are labelled with.
    pub fn instance(&self) -> &str {
        &self.instance
    }

    /// Every addon, by name.
    pub fn addons(&self) -> Result<Vec<Addon>, StoreError> {
        row::all(&self.connection())
    }

    /// One addon.
    pub fn addon(&self, name: &Name) -> Result<Option<Addon>, StoreError> {
        row::one(&self.connection(), name)
    }

    /// Adds an addon. An addon of the same name is left as it is.
    pub fn create(&self, addon: &Addon) -> Result<(), StoreError> {
        self.transaction(|transaction| create_in(transaction, addon))
    }

    /// Changes an addon and returns it as it is then; `None` if there is none. `change` sees the row as it is now,
    /// not as somebody read it earlier. A change of state is kept as an event.
    pub fn change(&self, name: &Name, change: impl FnOnce(&mut Addon)) -> Result<Option<Addon>, StoreError> {
        self.transaction(|transaction| change_in(transaction, name, change))
    }

    /// Keeps a note among the events of an addon.
    pub fn note(&self, addon: &Addon, note: String) -> Result<(), StoreError> {
        self.transaction(|transaction| {
            events::add(transaction, &Event::noted(addon, note), !addon.life.is_settled())
        })
    }

    /// Removes the row of an addon of which nothing else is left. Its history stays.
    pub fn forget(&self, name: &Name) -> Result<(), StoreError> {
        self.transaction(|transaction| {
            let Some(addon) = row::one(transaction, name)? else { return Ok(()) };
            transaction.execute("DELETE FROM addons WHERE name = ?1", [name.as_str()])?;
            apps::remove_of(transaction, name)?;
            upgrades::remove_of(transaction, name)?;
            swaps::remove_of(transaction, name)?;
            backups::remove_of(transaction, name)?;
            transaction.execute("DELETE FROM schedules WHERE addon = ?1", [name.as_str()])?;
            logins::remove_of(transaction, name)?;
            settings::remove_of(transaction, name)?;
            events::add(transaction, &Event::forgotten(&addon), true)
        })
    }

    /// What has happened, the latest last: at most the latest `count` events behind the one numbered `after`, of one
    /// name or of all. Those of an earlier addon of that name are among them.
    pub fn events(&self, name: Option<&Name>, after: i64, count: u32) -> Result<Vec<Event>, StoreError> {
        events::latest(&self.connection(), name, after, count)
    }

    /// Whether the operation that is being carried out has made the addon of this name.
    pub fn was_created_here(&self, name: &Name) -> Result<bool, StoreError> {
        let Some(operation) = operation::current() else { return Ok(false) };
        let events = self.events_of_operation(&operation)?;
        Ok(events.iter().any(|event| event.addon == *name && event.from.is_empty()))
    }

    /// What an operation has led to, the latest last.
    pub fn events_of_operation(&self, operation: &str) -> Result<Vec<Event>, StoreError> {
        events::of_operation(&self.connection(), operation)
    }

    /// Tells whenever something has been written.
    pub fn commits(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }

    fn transaction<T, E: From<rusqlite::Error>>(
        &self,
        work: impl FnOnce(&Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut connection = self.connection();
        let transaction = connection.transaction()?;
        let result = work(&transaction)?;
        transaction.commit()?;
        drop(connection);
        self.commits.send_modify(|count| *count += 1);
        Ok(result)
    }

    /// A panic while the lock was held has rolled its transaction back, so the connection is good.
    fn connection(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn create_in(transaction: &Transaction<'_>, addon: &Addon) -> Result<(), StoreError> {
    if row::one(transaction, &addon.name)?.is_some() {
        return Err(StoreError::Exists(addon.name.clone()));
    }
    row::insert(transaction, addon)?;
    events::add(transaction, &Event::created(addon), false)
}

fn change_in(
    transaction: &Transaction<'_>,
    name: &Name,
    change: impl FnOnce(&mut Addon),
) -> Result<Option<Addon>, StoreError> {
    let Some(before) = row::one(transaction, name)? else { return Ok(None) };
    let mut after = before.clone();
    change(&mut after);
    if after == before {
        return Ok(Some(before));
    }
    after.updated_at = now_ms();
    row::update(transaction, &after)?;
    if let Some(event) = Event::changed(&before, &after) {
        events::add(transaction, &event, !before.life.is_settled())?;
    }
    Ok(Some(after))
}

fn lock(data_dir: &Path) -> Result<File, StoreError> {
    let path = data_dir.join("pierhead.lock");
    let failed = |source| StoreError::Io { path: path.clone(), source };
    let file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(StoreError::Locked(data_dir.to_owned())),
        Err(TryLockError::Error(source)) => Err(failed(source)),
    }
}

#[cfg(test)]
mod tests;
