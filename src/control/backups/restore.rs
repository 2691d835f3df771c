//! Restores and clones, and addons that are made for the sake of something.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{BackupError, Backups, Job, kind};
use crate::addons::archives::{Imported, Spool};
use crate::addons::backups::{Backup, State, Stored, decrypt};
use crate::addons::kinds::Kind;
use crate::addons::lifecycle::{self, Life};
use crate::addons::order::Order;
use crate::addons::{Addon, crash, hex, now_ms};
use crate::dialect::Name;

impl Backups {
    /// The backup that is called so, if it can be restored.
    pub fn good(&self, id: &str) -> Result<Backup, BackupError> {
        let backup = self.store.backup(id)?.ok_or_else(|| BackupError::NoBackup(id.to_owned()))?;
        match backup.state {
            State::Good => Ok(backup),
            state => Err(BackupError::NotGood(backup.id, state.as_str())),
        }
    }

    /// Replaces the data of an addon by those of a backup. They are as they were if that fails.
    pub async fn restore(&self, backup: &Backup, addon: &Addon) -> Result<Imported, BackupError> {
        if backup.kind != addon.kind {
            let (id, of) = (backup.id.clone(), backup.kind.clone());
            return Err(BackupError::OtherKind(id, of, addon.name.clone(), addon.kind.clone()));
        }
        let job = self.job(&addon.name, "restore")?;
        let result = async {
            let spool = self.fetch(backup, &job).await?;
            job.step("the engine reads it in", 0);
            let received = self.archives.received(addon, kind(addon.kind.as_str())?, spool)?;
            Ok(self.archives.import(received).await?)
        };
        let result = result.await;
        self.tell(addon, &format!("restore of {}", backup.id), &result);
        result
    }

    /// Makes a new addon with the data of a backup. There is none if that fails.
    pub async fn restore_as_new(&self, backup: &Backup, name: &Name) -> Result<Imported, BackupError> {
        let job = self.job(name, "restore")?;
        let (kind, what) = (kind(backup.kind.as_str())?, format!("restore of {}", backup.id));
        let spool = self.fetch(backup, &job).await?;
        let new = New { name, kind, plan: &backup.plan, image: &backup.image, like: None };
        self.fill_new(new, spool, &job, &what).await
    }

    /// Makes a new addon with the data of another. There is none if that fails.
    pub async fn clone_addon(&self, addon: &Addon, name: &Name) -> Result<Imported, BackupError> {
        let job = self.job(name, "clone")?;
        let (kind, what) = (kind(addon.kind.as_str())?, format!("clone of {}", addon.name));
        job.step("exporting", 0);
        let spool = Arc::new(self.archives.spooled(addon, kind, &|bytes| job.done(bytes)).await?);
        let new = New { name, kind, plan: &addon.plan, image: &addon.image, like: Some(&addon.name) };
        self.fill_new(new, spool, &job, &what).await
    }

    async fn fill_new(
        &self,
        new: New<'_>,
        spool: Arc<Spool>,
        job: &Job,
        what: &str,
    ) -> Result<Imported, BackupError> {
        let (name, kind) = (new.name, new.kind);
        let addon = self.fresh(&new)?;
        let result = async {
            job.step("making the addon", 0);
            let ready = self.ready(name).await?;
            job.step("the engine reads it in", 0);
            let received = self.archives.received(&ready, kind, spool)?;
            crash::point("before", "fill-new");
            Ok(self.archives.import(received).await?)
        };
        let result = result.await;
        self.tell(&addon, what, &result);
        match &result {
            Ok(_) => self.store.keep_provisional(name)?,
            Err(_) => self.remove_addon(name).await?,
        }
        result
    }

    fn tell(&self, addon: &Addon, what: &str, result: &Result<Imported, BackupError>) {
        let note = match result {
            Ok(imported) => format!("{what}: {} bytes, SHA-256 {}", imported.bytes, imported.sha256),
            Err(error) => format!("{what} failed: {error}"),
        };
        tracing::info!(addon = %addon.name, note);
        self.note(addon, note);
    }

    /// What is at the target, decrypted, and found to be what was backed up.
    async fn fetch(&self, backup: &Backup, job: &Job) -> Result<Arc<Spool>, BackupError> {
        let target = self.target(backup.target.as_str())?;
        let damaged = |stored: &Stored| {
            BackupError::Damaged(format!(
                "{} is not what was backed up: {} bytes, SHA-256 {}",
                backup.id, stored.bytes, stored.sha256
            ))
        };
        job.step("reading from the target", backup.stored_bytes);
        let mut spool = self.archives.empty()?;
        let failed = |error: std::io::Error| BackupError::Archive(error.into());
        let of = |error| self.of(backup, error);
        let mut reading = target.read(&backup.archive_path()).await.map_err(of)?;
        while let Some(chunk) = reading.next().await.map_err(of)? {
            spool.add(&chunk).await.map_err(failed)?;
            job.done(reading.bytes());
        }
        let stored = reading.so_far();
        if stored.bytes != backup.stored_bytes || stored.sha256 != backup.stored_sha256 {
            return Err(damaged(&stored));
        }
        spool.flush().await.map_err(failed)?;
        if backup.encrypted {
            job.step("decrypting", backup.bytes);
            spool = self.decrypted(backup, spool, job).await?;
        }
        let (bytes, sha256) = spool.summary();
        if bytes != backup.bytes || sha256 != backup.sha256 {
            return Err(damaged(&Stored { bytes, sha256 }));
        }
        Ok(Arc::new(spool))
    }

    async fn decrypted(&self, backup: &Backup, spool: Spool, job: &Job) -> Result<Spool, BackupError> {
        let identity = self.config.backup.identity.clone().ok_or_else(|| {
            BackupError::Damaged(format!(
                "{} is encrypted: set identity in [backup] of the configuration",
                backup.id
            ))
        })?;
        let mut plain = self.archives.empty()?;
        let mut chunks = decrypt(spool.path().to_owned(), identity);
        while let Some(chunk) = chunks.recv().await {
            let chunk = chunk.map_err(|error| {
                BackupError::Damaged(format!("{} cannot be decrypted: {error}", backup.id))
            })?;
            plain.add(&chunk).await.map_err(|error| BackupError::Archive(error.into()))?;
            job.done(plain.size());
        }
        plain.flush().await.map_err(|error| BackupError::Archive(error.into()))?;
        Ok(plain)
    }

    /// Asks for an addon that goes again unless it is kept.
    pub(super) fn fresh(&self, new: &New<'_>) -> Result<Addon, BackupError> {
        let New { name, kind, plan, image, like } = *new;
        let config = self.config.kinds.get(kind.name());
        let config = config.ok_or_else(|| {
            BackupError::Failed(format!("kind {0} is not configured: add [kind.{0}]", kind.name()))
        })?;
        let plan = if self.config.plans.contains_key(plan) { plan } else { &config.plan };
        let now = now_ms();
        let addon = Addon {
            name: name.clone(),
            kind: Name::parse(kind.name()).map_err(|error| BackupError::Failed(error.to_string()))?,
            protocol: kind.protocol(),
            plan: plan.clone(),
            image: image.to_owned(),
            life: Life::new(now),
            container_id: None,
            created_at: now,
            updated_at: now,
            generation: 1,
            volume: 1,
            order: Order::docker(),
        };
        self.store.create_provisional(&addon)?;
        for (setting, value) in like.map(|like| self.store.settings(like)).transpose()?.unwrap_or_default() {
            self.store.keep_setting(&addon.name, &setting, Some(&value))?;
        }
        self.reconciler.kick(&addon.name);
        Ok(addon)
    }

    pub(super) fn scratch_name(&self) -> Result<Name, BackupError> {
        let mut random = [0; 4];
        getrandom::fill(&mut random).map_err(|error| BackupError::Failed(error.to_string()))?;
        Name::parse(&format!("verify-{}", hex(&random)))
            .map_err(|error| BackupError::Failed(error.to_string()))
    }

    /// Waits until an addon is ready.
    pub(super) async fn ready(&self, name: &Name) -> Result<Addon, BackupError> {
        let timeout = self.config.backup.ready_timeout.get();
        let deadline = Instant::now() + timeout;
        loop {
            let addon = self.store.addon(name)?;
            let addon = addon.ok_or_else(|| BackupError::Failed(format!("{name} is gone")))?;
            let reason = || addon.life.reason.clone().unwrap_or_default();
            match addon.life.state {
                lifecycle::State::Ready => return Ok(addon),
                lifecycle::State::Error => {
                    return Err(BackupError::Failed(format!("{name} is in error: {}", reason())));
                }
                _ if Instant::now() > deadline => {
                    let message = format!("{name} is not ready after {timeout:?}: {}", reason());
                    return Err(BackupError::Failed(message));
                }
                _ => tokio::time::sleep(LOOK_AGAIN).await,
            }
        }
    }

    /// Removes an addon of ours, and waits until it is gone.
    pub(super) async fn remove_addon(&self, name: &Name) -> Result<(), BackupError> {
        self.store.want_destroyed(name, true).map_err(|error| BackupError::Failed(error.to_string()))?;
        self.reconciler.kick(name);
        let deadline = Instant::now() + GONE_MAX;
        while self.store.addon(name)?.is_some() {
            if Instant::now() > deadline {
                tracing::warn!(addon = %name, "it is still being removed");
                break;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Ok(())
    }
}

/// An addon that is to be made.
pub(super) struct New<'a> {
    pub(super) name: &'a Name,
    pub(super) kind: &'a dyn Kind,
    pub(super) plan: &'a Name,
    pub(super) image: &'a str,
    /// Whose settings it has.
    pub(super) like: Option<&'a Name>,
}

const LOOK_AGAIN: Duration = Duration::from_millis(100);
const GONE_MAX: Duration = Duration::from_secs(300);
