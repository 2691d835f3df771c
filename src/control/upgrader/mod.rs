//! Carries upgrades out. In come rows of upgrades; out go Docker calls, programs in containers, routes that are held and
//! let go. What comes next is decided by [`crate::addons::upgrade`], which knows no IO.
//!
//! An upgrade that is not over has one task, never two. The stage is in the store before it is acted on; a Pierhead that is
//! started finds it there and goes on.

mod actions;

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use self::actions::{Becomes, Did};
use super::placeholders::Placeholders;
use super::reconciler::Reconciler;
use crate::addons::archives::Archives;
use crate::addons::lifecycle::Failure;
use crate::addons::provision::Provisioner;
use crate::addons::store::{Store, StoreError};
use crate::addons::upgrade::{Action, Stage, Upgrade};
use crate::addons::{Addon, crash, now_ms};
use crate::dialect::Name;
use crate::routes::Table;

/// Carries upgrades out.
pub struct Upgrader {
    store: Arc<Store>,
    provisioner: Arc<Provisioner>,
    reconciler: Arc<Reconciler>,
    archives: Arc<Archives>,
    placeholders: Arc<Placeholders>,
    table: Arc<Table>,
    running: Mutex<HashMap<Name, Arc<Running>>>,
    /// How many logins an addon had had when it was switched; of those that this process has switched.
    logins_before: Mutex<HashMap<Name, u64>>,
}

/// The task of an upgrade.
#[derive(Default)]
struct Running {
    /// Wakes it: somebody has changed the row.
    changed: Notify,
    /// How much the present action has moved, in bytes, and how much there is; for eyes only.
    done_bytes: AtomicU64,
    total_bytes: AtomicU64,
}

impl Upgrader {
    /// One that does nothing until it is kicked.
    pub fn new(
        store: Arc<Store>,
        provisioner: Arc<Provisioner>,
        reconciler: Arc<Reconciler>,
        archives: Arc<Archives>,
        placeholders: Arc<Placeholders>,
        table: Arc<Table>,
    ) -> Self {
        let (running, logins_before) = Default::default();
        Upgrader { store, provisioner, reconciler, archives, placeholders, table, running, logins_before }
    }

    /// Goes on with what an earlier Pierhead has begun.
    pub fn resume_all(self: &Arc<Self>) -> Result<(), StoreError> {
        for upgrade in self.store.upgrades()?.iter().filter(|upgrade| !upgrade.stage.is_settled()) {
            self.store.change_upgrade(&upgrade.addon, |row, _| row.resumed(now_ms()))?;
            self.kick(&upgrade.addon);
        }
        let upgrader = Arc::clone(self);
        tokio::spawn(async move { upgrader.provisioner.remove_asked().await });
        Ok(())
    }

    /// The row of this addon's upgrade has been changed. Returns at once.
    pub fn kick(self: &Arc<Self>, name: &Name) {
        let mut running = locked(&self.running);
        if let Some(task) = running.get(name) {
            return task.changed.notify_one();
        }
        let task = Arc::new(Running::default());
        running.insert(name.clone(), Arc::clone(&task));
        tokio::spawn(Arc::clone(self).work(name.clone(), task));
    }

    /// How much the present action has moved, and how much there is, in bytes; 0 for not known.
    pub fn progress(&self, name: &Name) -> Option<(u64, u64)> {
        let running = locked(&self.running);
        running.get(name).map(|task| (task.done_bytes.load(Relaxed), task.total_bytes.load(Relaxed)))
    }

    /// Whether somebody may have written to the new engine since the switch. Only what this process has seen counts.
    pub fn may_have_been_written_to(&self, addon: &Addon) -> bool {
        let before = locked(&self.logins_before).get(&addon.name).copied();
        before.is_none_or(|before| self.logins(addon) > before)
    }

    fn logins(&self, addon: &Addon) -> u64 {
        self.table.lookup(addon.protocol, addon.name.as_str()).map_or(0, |route| route.usage.opened_total())
    }

    async fn work(self: Arc<Self>, name: Name, task: Arc<Running>) {
        // What exports or imports data must not be cut off, nor begin.
        let turn = loop {
            match self.archives.turn(&name) {
                Ok(turn) => break turn,
                Err(_) => tokio::time::sleep(TURN_PAUSE).await,
            }
        };
        loop {
            let pause = match self.round(&name, &task).await {
                Ok(Some(pause)) => pause,
                Ok(None) => {
                    // Under the lock: who kicks from here on starts another task.
                    let mut running = locked(&self.running);
                    if self.is_over(&name) {
                        running.remove(&name);
                        break;
                    }
                    Duration::ZERO
                }
                Err(error) => {
                    tracing::error!(addon = %name, %error, "the store failed");
                    STORE_PAUSE
                }
            };
            if !pause.is_zero() {
                let _ = tokio::time::timeout(pause, task.changed.notified()).await;
            }
        }
        drop(turn);
    }

    /// Whether nothing is left to do about an addon, or it is gone. What cannot be read is looked at after the next kick.
    fn is_over(&self, name: &Name) -> bool {
        match (self.store.upgrade(name), self.store.addon(name)) {
            (Ok(Some(upgrade)), Ok(Some(_))) => upgrade.stage.is_settled(),
            _ => true,
        }
    }

    /// One action. `None`: nothing is left to do; else when to go on.
    async fn round(self: &Arc<Self>, name: &Name, task: &Running) -> Result<Option<Duration>, StoreError> {
        let (Some(upgrade), Some(addon)) = (self.store.upgrade(name)?, self.store.addon(name)?) else {
            return Ok(None);
        };
        self.placeholders.set(&addon)?;
        if upgrade.stage.is_settled() {
            return Ok(None);
        }
        let action = upgrade.action();
        let point = format!("upgrade-{}", upgrade.stage.as_str());
        crash::point("before", &point);
        task.done_bytes.store(0, Relaxed);
        task.total_bytes.store(0, Relaxed);
        let Some(result) = self.act(&upgrade, &addon, action, task).await? else {
            return Ok(Some(Duration::ZERO));
        };
        crash::point("after", &point);
        if let Err(failure @ (Failure::Retry(_) | Failure::Lasting(_))) = &result {
            tracing::warn!(addon = %name, stage = upgrade.stage.as_str(), ?failure, "an upgrade's step failed");
        }
        self.write(&upgrade, &addon, action, result)
    }

    /// Carries an action out, in the time that it has. `None`: somebody has changed the row meanwhile.
    async fn act(
        &self,
        upgrade: &Upgrade,
        addon: &Addon,
        action: Action,
        task: &Running,
    ) -> Result<Option<Result<Did, Failure>>, StoreError> {
        let mut acting = std::pin::pin!(self.carry_out(upgrade, addon, action, task));
        let mut late = std::pin::pin!(time_out(upgrade));
        loop {
            tokio::select! {
                biased;
                result = &mut acting => return Ok(Some(result)),
                () = &mut late => return Ok(Some(Err(Failure::Retry(why_late(upgrade))))),
                () = task.changed.notified() => {
                    let row = self.store.upgrade(&upgrade.addon)?;
                    if row.is_none_or(|row| row.stage != upgrade.stage) {
                        return Ok(None);
                    }
                }
            }
        }
    }

    fn write(
        self: &Arc<Self>,
        upgrade: &Upgrade,
        addon: &Addon,
        action: Action,
        result: Result<Did, Failure>,
    ) -> Result<Option<Duration>, StoreError> {
        let name = &upgrade.addon;
        if action == Action::RemoveOld && result.is_ok() {
            self.store.forget_upgrade(name)?;
            self.store.note(addon, format!("upgrade to {}: finished", upgrade.to_image))?;
            return Ok(None);
        }
        if action == Action::Switch {
            locked(&self.logins_before).insert(name.clone(), self.logins(addon));
        }
        let mut pause = Duration::ZERO;
        self.store.change_upgrade(name, |row, addon| {
            // Somebody has changed it meanwhile: what was done was for something else.
            if row.stage != upgrade.stage {
                return;
            }
            match result {
                Ok(Did { outcome, becomes }) => {
                    if let Some(becomes) = becomes {
                        become_another(addon, becomes);
                    }
                    row.succeeded(outcome, now_ms());
                }
                Err(failure) => pause = row.failed(failure, now_ms()),
            }
            if row.stage != upgrade.stage {
                tracing::info!(addon = %row.addon, from = upgrade.stage.as_str(), to = row.stage.as_str(), reason = row.reason, "upgrade");
            }
        })?;
        if let Some(addon) = self.store.addon(name)? {
            self.placeholders.set(&addon)?;
        }
        self.reconciler.kick(name);
        Ok(Some(pause))
    }
}

fn become_another(addon: &mut Addon, Becomes { place, image, up }: Becomes) {
    (addon.generation, addon.volume, addon.image) = (place.generation, place.volume, image);
    addon.container_id = Some(up.id);
    (addon.life.checked, addon.life.provisioned) = (Some(up.start), true);
}

/// Waits until the present action has taken too long.
async fn time_out(upgrade: &Upgrade) {
    match upgrade.time_left(now_ms()) {
        Some(left) => tokio::time::sleep(left).await,
        None => std::future::pending().await,
    }
}

fn why_late(upgrade: &Upgrade) -> String {
    match upgrade.stage {
        Stage::Move | Stage::Verify => {
            format!("logins were held for {} s, as long as was allowed", upgrade.hold_max_ms / 1000)
        }
        stage => format!(
            "{} took too long{}",
            stage.as_str(),
            match &upgrade.reason {
                Some(reason) => format!(": {reason}"),
                None => String::new(),
            }
        ),
    }
}

/// A panic while one of these was locked leaves nothing half-done in it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const TURN_PAUSE: Duration = Duration::from_millis(500);
const STORE_PAUSE: Duration = Duration::from_secs(2);
