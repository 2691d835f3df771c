//! Carries backups out, and restores and clones. In come rows and requests; out go archives at targets and addons.
//!
//! How far a backup is is in the store before it is acted on. One that a Pierhead was at when it ended has failed: the next one
//! says so, and removes what was written and the addon in which it was tried.

mod error;
mod restore;
mod schedule;
mod work;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::api::types::Progress;
use super::reconciler::Reconciler;
use crate::addons::archives::Archives;
use crate::addons::backups::{Backup, State, Target};
use crate::addons::kinds::{self, Kind};
use crate::addons::lifecycle;
use crate::addons::store::{Store, StoreError, operation};
use crate::addons::{Addon, hex, now_ms};
use crate::config::Config;
use crate::dialect::Name;
pub use error::BackupError;

/// Carries backups, restores and clones out.
pub struct Backups {
    store: Arc<Store>,
    reconciler: Arc<Reconciler>,
    archives: Arc<Archives>,
    config: Arc<Config>,
    /// What goes on, by the addon; for eyes, and so that it is one thing at a time.
    running: Arc<Mutex<HashMap<Name, Arc<Running>>>>,
    good: AtomicU64,
    failed: AtomicU64,
}

/// What is asked of a backup.
#[derive(Clone, Debug, Default)]
pub struct Asked {
    /// Where it goes; none: where the configuration says.
    pub target: Option<String>,
    /// How many good ones stay; none: as many as the configuration says.
    pub keep: Option<u32>,
    /// Whether it is the schedule that asks.
    pub scheduled: bool,
}

/// How many backups there have been since this Pierhead started.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// Good ones.
    pub good: u64,
    /// Those that failed.
    pub failed: u64,
    /// What goes on now, restores and clones included.
    pub under_way: u64,
}

impl Backups {
    /// One that does nothing until it is asked.
    pub fn new(
        store: Arc<Store>,
        reconciler: Arc<Reconciler>,
        archives: Arc<Archives>,
        config: Arc<Config>,
    ) -> Self {
        let (running, good, failed) = Default::default();
        Backups { store, reconciler, archives, config, running, good, failed }
    }

    /// Begins a backup of an addon. What can be seen to be wrong is, before anything is written.
    pub fn begin(self: &Arc<Self>, addon: &Addon, asked: &Asked) -> Result<Backup, BackupError> {
        let backup = self.row(addon, asked)?;
        if addon.container_id.is_none() || addon.life.state != lifecycle::State::Ready {
            return Err(BackupError::NotReady(addon.name.clone(), addon.life.state.as_str().to_owned()));
        }
        let target = self.target(backup.target.as_str())?;
        let job = self.job(&addon.name, "backup")?;
        self.store.add_backup(&backup)?;
        self.note(addon, format!("backup {} to {} begun", backup.id, backup.target));
        let keep = asked.keep.unwrap_or(self.config.backup.keep);
        let work = Arc::clone(self).work(backup.clone(), addon.clone(), target, job, keep);
        tokio::spawn(operation::carried(work));
        Ok(backup)
    }

    /// The row of a backup that is about to begin.
    fn row(&self, addon: &Addon, asked: &Asked) -> Result<Backup, BackupError> {
        let kind = kind(addon.kind.as_str())?;
        let archive = kind.archive(&addon.name);
        let archive = archive.ok_or_else(|| BackupError::NotSupported(kind.name()))?;
        let config = &self.config.backup;
        let word = asked.target.as_deref().unwrap_or(config.to.as_str());
        let target = config.place(word, &self.config.data_dir).and_then(|_| Name::parse(word).ok());
        let encrypted = !config.recipients.is_empty();
        Ok(Backup {
            id: new_id(&addon.name)?,
            addon: addon.name.clone(),
            kind: addon.kind.clone(),
            plan: addon.plan.clone(),
            image: addon.image.clone(),
            target: target.ok_or_else(|| BackupError::NoTarget(word.to_owned(), config.target_names()))?,
            state: State::Writing,
            reason: None,
            extension: format!("{}{}", archive.extension, if encrypted { ".age" } else { "" }),
            bytes: 0,
            sha256: String::new(),
            stored_bytes: 0,
            stored_sha256: String::new(),
            encrypted,
            scheduled: asked.scheduled,
            started_at: now_ms(),
            finished_at: None,
        })
    }

    /// How far what goes on with an addon is.
    pub fn progress(&self, name: &Name) -> Option<Progress> {
        locked(&self.running).get(name).map(|running| running.view())
    }

    /// How many there have been.
    pub fn counts(&self) -> Counts {
        let under_way = locked(&self.running).len() as u64;
        Counts { good: self.good.load(Relaxed), failed: self.failed.load(Relaxed), under_way }
    }

    /// The target of that name.
    fn target(&self, word: &str) -> Result<Target, BackupError> {
        let config = &self.config.backup;
        let place = config.place(word, &self.config.data_dir);
        let place = place.ok_or_else(|| BackupError::NoTarget(word.to_owned(), config.target_names()))?;
        Target::open(&place).map_err(|error| BackupError::Target(word.to_owned(), error))
    }

    /// Begins something with an addon, unless something goes on with it.
    fn job(&self, name: &Name, what: &'static str) -> Result<Job, BackupError> {
        let mut running = locked(&self.running);
        if let Some(other) = running.get(name) {
            return Err(BackupError::Busy(name.clone(), other.what));
        }
        let new = Arc::new(Running { what, step: Mutex::default(), done: 0.into(), total: 0.into() });
        running.insert(name.clone(), Arc::clone(&new));
        Ok(Job { all: Arc::clone(&self.running), running: new, name: name.clone() })
    }

    /// Keeps a note among the events; what cannot be kept is in the log.
    fn note(&self, addon: &Addon, note: String) {
        if let Err(error) = self.store.note(addon, note) {
            tracing::error!(addon = %addon.name, %error, "the store failed");
        }
    }
}

/// What goes on with an addon.
struct Running {
    what: &'static str,
    step: Mutex<&'static str>,
    /// In bytes; a total of 0 is not known.
    done: AtomicU64,
    total: AtomicU64,
}

impl Running {
    fn view(&self) -> Progress {
        Progress {
            step: self.what.to_owned(),
            detail: (*locked(&self.step)).to_owned(),
            current: self.done.load(Relaxed),
            total: self.total.load(Relaxed),
        }
    }
}

/// It goes on until this is dropped.
struct Job {
    all: Arc<Mutex<HashMap<Name, Arc<Running>>>>,
    running: Arc<Running>,
    name: Name,
}

impl Job {
    /// Another step begins, of so many bytes; 0 if that is not known.
    fn step(&self, step: &'static str, total: u64) {
        *locked(&self.running.step) = step;
        self.running.total.store(total, Relaxed);
        self.running.done.store(0, Relaxed);
    }

    /// So many bytes of the step are done.
    fn done(&self, bytes: u64) {
        self.running.done.store(bytes, Relaxed);
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        locked(&self.all).remove(&self.name);
    }
}

fn kind(word: &str) -> Result<&'static dyn Kind, BackupError> {
    kinds::find(word)
        .ok_or_else(|| BackupError::Failed(format!("this pierhead does not know the kind {word}")))
}

/// Several backups may be begun in one second, and several Pierheads may share a target.
fn new_id(name: &Name) -> Result<String, BackupError> {
    let mut random = [0; 2];
    getrandom::fill(&mut random).map_err(|error| BackupError::Failed(error.to_string()))?;
    Ok(format!("{name}-{}-{}", jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ"), hex(&random)))
}

/// A panic while one of these was locked leaves nothing half-done in it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl From<StoreError> for BackupError {
    fn from(error: StoreError) -> Self {
        BackupError::Store(error)
    }
}
