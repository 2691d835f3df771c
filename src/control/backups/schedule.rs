//! Backups that nobody asks for, what an ended Pierhead was at, and backups that are found at a target.

use std::sync::Arc;
use std::time::Duration;

use super::{Asked, BackupError, Backups, kind, work};
use crate::addons::backups::{Backup, State, due_at, is_overdue};
use crate::addons::lifecycle;
use crate::addons::store::StoreError;
use crate::addons::{Addon, now_ms};
use crate::dialect::Name;

impl Backups {
    /// Says of what an earlier Pierhead was at that it has failed, and removes what it has left. The addons that were made for
    /// it are gone as soon as the reconciler comes by.
    pub fn resume_all(self: &Arc<Self>) -> Result<(), StoreError> {
        for name in self.store.provisional()? {
            tracing::warn!(addon = %name, "it was made for something that was cut off: it goes again");
            if let Err(error) = self.store.want_destroyed(&name, true) {
                tracing::error!(addon = %name, %error, "it stays");
            }
        }
        let mut left = vec![];
        for backup in self.store.backups(None)? {
            if backup.state.is_under_way() {
                let addon = self.store.addon(&backup.addon)?;
                self.fail(
                    &backup,
                    addon.as_ref(),
                    format!("pierhead ended while it was {}", backup.state.as_str()),
                )?;
                left.push(backup);
            } else if backup.state == State::Removing {
                left.push(backup);
            }
        }
        let backups = Arc::clone(self);
        tokio::spawn(async move {
            for backup in left {
                if let Err(error) = backups.clean(&backup).await {
                    tracing::warn!(backup = backup.id, %error, "what was written is left at the target");
                }
            }
        });
        Ok(())
    }

    async fn clean(&self, backup: &Backup) -> Result<(), BackupError> {
        let target = self.target(backup.target.as_str())?;
        match backup.state {
            State::Removing => self.remove(backup, &target).await,
            _ => work::remove_objects(backup, &target).await.map_err(|error| self.of(backup, error)),
        }
    }

    /// Backs addons up whenever that is due, one after the other, for ever.
    pub async fn run(self: Arc<Self>) {
        loop {
            let pause = match self.round().await {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::error!(%error, "the store cannot be read");
                    PAUSE_MAX
                }
            };
            tokio::time::sleep(pause).await;
        }
    }

    /// Backs up what is due, and says when to look again.
    async fn round(self: &Arc<Self>) -> Result<Duration, StoreError> {
        let mut pause = PAUSE_MAX;
        for (addon, every_ms) in self.scheduled()? {
            pause = pause.min(Duration::from_millis(every_ms.unsigned_abs() / 4)).max(PAUSE_MIN);
            let rows = self.store.backups(Some(&addon.name))?;
            let is_due = due_at(&rows, addon.created_at, every_ms) <= now_ms();
            // Those before it may have taken long.
            let addon =
                self.store.addon(&addon.name)?.filter(|addon| addon.life.state == lifecycle::State::Ready);
            if let Some(addon) = addon.filter(|_| is_due) {
                self.back_up_as_scheduled(&addon).await;
            }
        }
        Ok(pause)
    }

    async fn back_up_as_scheduled(self: &Arc<Self>, addon: &Addon) {
        let asked = Asked { scheduled: true, ..Asked::default() };
        match self.begin(addon, &asked) {
            Ok(_) => {
                while self.progress(&addon.name).is_some() {
                    tokio::time::sleep(LOOK_AGAIN).await;
                }
            }
            // Somebody is at it.
            Err(BackupError::Busy(..)) => {}
            Err(error) => {
                if let Err(second) = self.refuse(addon, &asked, &error.to_string()) {
                    tracing::error!(addon = %addon.name, %error, %second, "a backup cannot be begun");
                }
            }
        }
    }

    /// Nobody waits for an answer: that it could not be begun is told as if it had been.
    fn refuse(&self, addon: &Addon, asked: &Asked, why: &str) -> Result<(), BackupError> {
        let backup = self.row(addon, asked)?;
        self.store.add_backup(&backup)?;
        Ok(self.fail(&backup, Some(addon), why.to_owned())?)
    }

    /// The addons that are backed up, and how often: those that can be, and are there for their own sake.
    fn scheduled(&self) -> Result<Vec<(Addon, i64)>, StoreError> {
        let provisional = self.store.provisional()?;
        let mut scheduled = vec![];
        for addon in self.store.addons()? {
            let can_be = addon.order.is_docker()
                && kind(addon.kind.as_str()).is_ok_and(|kind| kind.archive(&addon.name).is_some());
            let every_ms =
                self.every_ms(&addon.name)?.filter(|_| can_be && !provisional.contains(&addon.name));
            scheduled.extend(every_ms.map(|every_ms| (addon, every_ms)));
        }
        Ok(scheduled)
    }

    /// Whether anything is backed up without anybody asking.
    pub fn is_scheduled(&self) -> bool {
        self.config.backup.every.is_some() || self.scheduled().is_ok_and(|scheduled| !scheduled.is_empty())
    }

    /// How often an addon is backed up; `None`: when somebody asks.
    pub fn every_ms(&self, name: &Name) -> Result<Option<i64>, StoreError> {
        let configured = || {
            self.config.backup.every.map(|every| i64::try_from(every.get().as_millis()).unwrap_or(i64::MAX))
        };
        let every_ms = self.store.schedule(name)?.or_else(configured);
        Ok(every_ms.filter(|every_ms| *every_ms > 0))
    }

    /// What somebody should know: backups that are overdue, and those whose latest try has failed. An addon a line.
    pub fn troubles(&self) -> Result<Vec<String>, StoreError> {
        let mut troubles = vec![];
        let scheduled = self.scheduled()?;
        for addon in self.store.addons()? {
            let rows = self.store.backups(Some(&addon.name))?;
            let latest = rows.iter().rev().find(|row| row.started_at >= addon.created_at);
            if let Some(Backup { state: State::Failed, reason, .. }) = latest {
                let reason = reason.as_deref().unwrap_or("no reason is known");
                troubles.push(format!("{}: the latest backup failed: {reason}", addon.name));
            } else if let Some((_, every_ms)) = scheduled.iter().find(|(other, _)| other.name == addon.name)
                && is_overdue(&rows, addon.created_at, *every_ms, now_ms())
            {
                troubles.push(format!("{}: its scheduled backup is overdue", addon.name));
            }
        }
        Ok(troubles)
    }

    /// Takes on the good backups at a target that no row knows, as after the loss of `data_dir`.
    pub async fn adopt(&self, word: &str) -> Result<Vec<Backup>, BackupError> {
        let target = self.target(word)?;
        let name = Name::parse(word).map_err(|error| BackupError::Failed(error.to_string()))?;
        let found = target.manifests().await.map_err(|error| BackupError::Target(word.to_owned(), error))?;
        let mut taken = vec![];
        for manifest in found {
            if self.store.backup(&manifest.id)?.is_none() {
                let backup = manifest.into_backup(&name);
                self.store.add_backup(&backup)?;
                taken.push(backup);
            }
        }
        Ok(taken)
    }

    /// Removes a backup that somebody does not want any more.
    pub async fn forget(&self, id: &str) -> Result<(), BackupError> {
        let backup = self.store.backup(id)?.ok_or_else(|| BackupError::NoBackup(id.to_owned()))?;
        if backup.state.is_under_way() {
            return Err(BackupError::Busy(backup.addon, "backup"));
        }
        let target = self.target(backup.target.as_str())?;
        self.store.change_backup(id, |row| row.state = State::Removing)?;
        self.remove(&backup, &target).await
    }
}

/// So long at most until something that has become due is begun.
const PAUSE_MAX: Duration = Duration::from_secs(30);
const PAUSE_MIN: Duration = Duration::from_secs(1);
const LOOK_AGAIN: Duration = Duration::from_millis(200);
