//! One backup from its beginning to its end, and what becomes of those that go.

use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

use super::restore::New;
use super::{BackupError, Backups, Job, kind};
use crate::addons::archives::Spool;
use crate::addons::backups::{Backup, Manifest, State, Stored, Target, TargetError, encrypt, surplus};
use crate::addons::kinds::Kind;
use crate::addons::store::StoreError;
use crate::addons::{Addon, crash, now_ms};
use crate::dialect::Name;

impl Backups {
    pub(super) async fn work(
        self: Arc<Self>,
        backup: Backup,
        addon: Addon,
        target: Target,
        job: Job,
        keep: u32,
    ) {
        let ended = match self.make(&backup, &addon, &target, &job).await {
            Ok(()) => self.is_good(&backup, &addon).await,
            Err(error) => self.has_failed(&backup, &addon, &target, &error.to_string()).await,
        };
        if let Err(error) = ended {
            tracing::error!(addon = %addon.name, backup = backup.id, %error, "the store failed");
        }
        self.retire(&backup.addon, &backup.target, &target, keep).await;
        drop(job);
    }

    async fn make(
        &self,
        backup: &Backup,
        addon: &Addon,
        target: &Target,
        job: &Job,
    ) -> Result<(), BackupError> {
        let kind = kind(backup.kind.as_str())?;
        job.step("exporting", 0);
        let spool = Arc::new(self.archives.spooled(addon, kind, &|bytes| job.done(bytes)).await?);
        let (bytes, sha256) = spool.summary();
        self.change(backup, |row| {
            (row.state, row.bytes, row.sha256) = (State::Verifying, bytes, sha256.clone());
        })?;
        crash::point("before", "backup-verify");
        job.step("restoring it into a scratch addon", 0);
        self.verify(addon, kind, &spool).await?;
        self.change(backup, |row| row.state = State::Storing)?;
        let stored = self.bring(backup, target, &spool, job).await.map_err(|error| self.of(backup, error))?;
        crash::point("after", "backup-archive");
        let row = self.change(backup, |row| {
            (row.stored_bytes, row.stored_sha256) = (stored.bytes, stored.sha256.clone());
        })?;
        let manifest = serde_json::to_vec_pretty(&Manifest::of(&row));
        let manifest = manifest.map_err(|error| BackupError::Failed(error.to_string()))?;
        // It is written last: an archive alone is no backup.
        let put = target.put(&backup.manifest_path(), manifest).await;
        put.map_err(|error| self.of(backup, error))?;
        crash::point("after", "backup-manifest");
        Ok(())
    }

    /// Writes the archive to the target, encrypted if it is to be, and reads it back.
    async fn bring(
        &self,
        backup: &Backup,
        target: &Target,
        spool: &Spool,
        job: &Job,
    ) -> Result<Stored, TargetError> {
        let path = backup.archive_path();
        job.step("writing to the target", spool.size());
        let recipients: Vec<_> = self.config.backup.recipients.iter().map(|one| one.0.clone()).collect();
        let chunks = match backup.encrypted {
            true => encrypt(spool.path().to_owned(), recipients),
            false => spool.chunks(),
        };
        let written = target.write(&path, chunks, &|bytes| job.done(bytes)).await?;
        job.step("reading it back", written.bytes);
        let mut reading = target.read(&path).await?;
        while reading.next().await?.is_some() {
            job.done(reading.bytes());
        }
        let back = reading.so_far();
        if back != written {
            let Stored { bytes, sha256 } = back;
            return Err(TargetError::Unusable(format!(
                "what can be read there is not what was written: {bytes} bytes, SHA-256 {sha256}"
            )));
        }
        Ok(written)
    }

    /// Reads an archive into an addon of its own, which is gone afterwards, whatever comes of it.
    async fn verify(&self, addon: &Addon, kind: &dyn Kind, spool: &Arc<Spool>) -> Result<(), BackupError> {
        let name = self.scratch_name()?;
        let (plan, image) = (&addon.plan, addon.image.as_str());
        let scratch = self.fresh(&New { name: &name, kind, plan, image, like: Some(&addon.name) })?;
        let read_in = async {
            let ready = self.ready(&scratch.name).await?;
            let received = self.archives.received(&ready, kind, Arc::clone(spool))?;
            crash::point("before", "backup-import");
            self.archives.import(received).await?;
            Ok::<_, BackupError>(())
        };
        let read_in = read_in.await;
        self.remove_addon(&scratch.name).await?;
        read_in.map_err(|error| {
            BackupError::Failed(format!("it could not be restored into the scratch addon: {error}"))
        })
    }

    async fn is_good(&self, backup: &Backup, addon: &Addon) -> Result<(), BackupError> {
        let row = self.change(backup, |row| {
            (row.state, row.finished_at) = (State::Good, Some(now_ms()));
        })?;
        self.good.fetch_add(1, Relaxed);
        tracing::info!(addon = %addon.name, backup = row.id, bytes = row.bytes, "a backup is good");
        self.note(addon, format!("backup {} is good: {} bytes, SHA-256 {}", row.id, row.bytes, row.sha256));
        Ok(())
    }

    /// What was written goes; where that cannot be done it is tried again when the row goes.
    pub(super) async fn has_failed(
        &self,
        backup: &Backup,
        addon: &Addon,
        target: &Target,
        why: &str,
    ) -> Result<(), BackupError> {
        let mut reason = why.to_owned();
        if let Err(error) = remove_objects(backup, target).await {
            reason.push_str(&format!("; what was written may be left there: {error}"));
        }
        self.fail(backup, Some(addon), reason)?;
        Ok(())
    }

    /// Says everywhere that a backup has failed.
    pub(super) fn fail(
        &self,
        backup: &Backup,
        addon: Option<&Addon>,
        reason: String,
    ) -> Result<(), StoreError> {
        self.failed.fetch_add(1, Relaxed);
        tracing::error!(addon = %backup.addon, backup = backup.id, reason, "a backup failed");
        if let Some(addon) = addon {
            self.note(addon, format!("backup {} failed: {reason}", backup.id));
        }
        self.store.change_backup(&backup.id, |row| {
            (row.state, row.reason, row.finished_at) = (State::Failed, Some(reason), Some(now_ms()));
        })?;
        Ok(())
    }

    /// Removes what is more than is to be kept, and what could not be removed before.
    async fn retire(&self, addon: &Name, name: &Name, target: &Target, keep: u32) {
        let keep_for = self.config.backup.keep_for.map(|time| time.get().as_millis() as i64);
        let retired = async {
            let mut rows = self.store.backups(Some(addon))?;
            rows.retain(|row| row.target == *name);
            for row in surplus(&rows, keep as usize, keep_for, now_ms()) {
                self.store.change_backup(&row.id, |row| row.state = State::Removing)?;
            }
            crash::point("before", "backup-remove");
            let rows = self.store.backups(Some(addon))?;
            for row in rows.iter().filter(|row| row.target == *name && row.state == State::Removing) {
                self.remove(row, target).await?;
            }
            Ok::<_, BackupError>(())
        };
        if let Err(error) = retired.await {
            tracing::warn!(%addon, %error, "old backups are not removed yet");
        }
    }

    /// Removes a backup whose row says that it is to go.
    pub(super) async fn remove(&self, backup: &Backup, target: &Target) -> Result<(), BackupError> {
        remove_objects(backup, target).await.map_err(|error| self.of(backup, error))?;
        self.store.forget_backup(&backup.id)?;
        tracing::info!(addon = %backup.addon, backup = backup.id, "an old backup is gone");
        Ok(())
    }

    fn change(&self, backup: &Backup, change: impl FnOnce(&mut Backup)) -> Result<Backup, BackupError> {
        let row = self.store.change_backup(&backup.id, change)?;
        row.ok_or_else(|| BackupError::NoBackup(backup.id.clone()))
    }

    pub(super) fn of(&self, backup: &Backup, error: TargetError) -> BackupError {
        BackupError::Target(backup.target.to_string(), error)
    }
}

/// The manifest goes first: an archive alone is no backup.
pub(super) async fn remove_objects(backup: &Backup, target: &Target) -> Result<(), TargetError> {
    target.remove(&backup.manifest_path()).await?;
    target.remove(&backup.archive_path()).await
}
