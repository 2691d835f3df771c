//! What belongs to each stage of an upgrade.

use std::cmp::Ordering;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use super::{Running, Upgrader};
use crate::addons::Addon;
use crate::addons::archives::transfer;
use crate::addons::kinds;
use crate::addons::kinds::upgrade::{Moving, Version, version_in};
use crate::addons::lifecycle::Failure;
use crate::addons::provision::Up;
use crate::addons::upgrade::{Action, Method, Outcome, Place, Upgrade};

/// What an action has done.
pub(super) struct Did {
    pub(super) outcome: Outcome,
    /// Which container is the addon's from now on.
    pub(super) becomes: Option<Becomes>,
}

/// A container that becomes the addon's.
pub(super) struct Becomes {
    pub(super) place: Place,
    pub(super) image: String,
    pub(super) up: Up,
}

/// What an upgrade would do.
pub struct Plan {
    /// The version of the engine before.
    pub from: Version,
    /// The version of the engine after.
    pub to: Version,
    /// Which way the data take.
    pub method: Method,
}

impl Upgrader {
    pub(super) async fn carry_out(
        &self,
        upgrade: &Upgrade,
        addon: &Addon,
        action: Action,
        task: &Running,
    ) -> Result<Did, Failure> {
        let old = addon.at(upgrade.from, &upgrade.from_image);
        let new = addon.at(upgrade.to, &upgrade.to_image);
        let swap = upgrade.method == Method::Swap;
        let mut did = Did { outcome: Outcome::Plain, becomes: None };
        match action {
            Action::Nothing => {}
            Action::Check => did.outcome = self.check(&old, &upgrade.to_image, task).await?,
            Action::Prepare => drop(self.provisioner.bring_up(&new, swap).await?),
            Action::EndSessions if swap => self.lifecycle_rests(addon).await?,
            Action::EndSessions => {
                self.lifecycle_rests(addon).await?;
                self.end_sessions(&old).await?;
            }
            Action::StopOld => self.provisioner.stop_engine(&old).await?,
            Action::Move => did.outcome = Outcome::Moved(self.move_data(&old, &new, task).await?),
            Action::Verify => self.verify(&old, &new).await?,
            Action::Switch => {
                let up = self.seen(self.provisioner.bring_up(&new, true).await?).await?;
                did.becomes = Some(Becomes { place: upgrade.to, image: upgrade.to_image.clone(), up });
            }
            Action::Return => {
                self.lifecycle_rests(addon).await?;
                self.provisioner.stop_engine(&new).await?;
                let up = self.revive(&old).await?;
                if !swap {
                    // Passwords may have been changed since.
                    self.provisioner.update_logins(&old, &up.id).await?;
                }
                did.becomes = Some(Becomes { place: upgrade.from, image: upgrade.from_image.clone(), up });
            }
            Action::Revive => {
                if swap {
                    self.provisioner.stop_engine(&new).await?;
                } else if let Err(failure) = self.freeze(&old).await {
                    // A dump that nobody reads any more may still be at it, and have its locks. It need not run.
                    tracing::debug!(addon = %addon.name, ?failure, "sessions of the old engine were not ended");
                }
                self.revive(&old).await?;
            }
            Action::RemoveNew => self.provisioner.remove_generation(&new, !swap).await?,
            Action::RemoveOld => self.provisioner.remove_generation(&old, !swap).await?,
        }
        Ok(did)
    }

    /// Nobody else starts or stops the addon's container from here on.
    async fn lifecycle_rests(&self, addon: &Addon) -> Result<(), Failure> {
        for _ in 0..REST_LOOKS {
            if self.reconciler.is_idle(&addon.name) {
                // Nor changes its logins: whoever is at it is waited for, and whoever comes later sees the upgrade's row.
                drop(self.provisioner.turn(&addon.name).await);
                return Ok(());
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Err(Failure::Retry("something else is being done about the addon".into()))
    }

    /// What an upgrade of an addon to this image would do. Pulls nothing.
    pub async fn plan(&self, addon: &Addon, image: &str) -> Result<Plan, Failure> {
        let how = how(addon)?;
        let version = async |image: &str| {
            let text = self.provisioner.ask_image(image, how.version).await?;
            version_in(&text).ok_or_else(|| {
                let text: String = text.trim().chars().take(200).collect();
                Failure::Lasting(format!("{image} does not say its version: {text}"))
            })
        };
        let (from, to) = (version(&addon.image).await?, version(image).await?);
        if to.compare(&from) == Ordering::Less {
            return Err(Failure::Lasting(format!(
                "{image} is version {to}, older than the {from} that runs"
            )));
        }
        let method = match (from.agrees(&to, how.same_files), how.moving) {
            (true, _) => Method::Swap,
            (false, Some(_)) => Method::Move,
            (false, None) => {
                return Err(Failure::Lasting(format!("{to} cannot read the files of {from}")));
            }
        };
        Ok(Plan { from, to, method })
    }

    async fn check(&self, old: &Addon, image: &str, task: &Running) -> Result<Outcome, Failure> {
        let show = |progress: crate::docker::images::Progress| {
            task.done_bytes.store(progress.done_bytes, Relaxed);
            task.total_bytes.store(progress.total_bytes, Relaxed);
        };
        self.provisioner.pull(image, &show).await?;
        let Plan { from, to, method } = self.plan(old, image).await?;
        if method == Method::Move {
            let container = self.running(old).await?;
            let moving = moving(old)?;
            let obstacles =
                self.provisioner.answer(old, &container, &moving.obstacles, moving.password_variable).await?;
            if let Some(obstacle) = obstacles.lines().find(|line| !line.trim().is_empty()) {
                return Err(Failure::Lasting(obstacle.trim().to_owned()));
            }
            let (used, free) = self.provisioner.disk(old, &container).await?;
            // What was deleted and not yet given back is not moved; what is built while reading in takes more for a while.
            if free < used + used / 5 {
                let (used, free) = (used / 1024, free / 1024);
                return Err(Failure::Lasting(format!(
                    "its data take {used} MiB, and only {free} MiB are free for a second copy"
                )));
            }
        }
        Ok(Outcome::Planned { from: from.to_string(), to: to.to_string(), method })
    }

    /// New logins wait already. Those that are in are shown out, until the edge has none and neither has the engine.
    async fn end_sessions(&self, addon: &Addon) -> Result<(), Failure> {
        loop {
            self.freeze(addon).await?;
            let route = self.table.lookup(addon.protocol, addon.name.as_str());
            if route.is_none_or(|route| route.usage.active() == 0) {
                break;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        // A session that had come in since the engine was last told is gone from the edge, but maybe not from the engine.
        self.freeze(addon).await
    }

    async fn freeze(&self, addon: &Addon) -> Result<(), Failure> {
        let (container, moving) = (self.running(addon).await?, moving(addon)?);
        self.provisioner.answer(addon, &container, &moving.freeze, moving.password_variable).await.map(drop)
    }

    async fn move_data(&self, old: &Addon, new: &Addon, task: &Running) -> Result<u64, Failure> {
        let moving = moving(old)?;
        let (from, to) = (self.running(old).await?, self.running(new).await?);
        let dump = self.provisioner.program(old, &from, &moving.dump, moving.password_variable).await?;
        let load = self.provisioner.program(new, &to, &moving.load, moving.password_variable).await?;
        let moved = |bytes| task.done_bytes.store(bytes, Relaxed);
        transfer(dump, load, &moved).await.map_err(|error| Failure::Lasting(error.to_string()))
    }

    async fn verify(&self, old: &Addon, new: &Addon) -> Result<(), Failure> {
        let moving = moving(old)?;
        let (from, to) = (self.running(old).await?, self.running(new).await?);
        let variable = moving.password_variable;
        let before = self.provisioner.answer(old, &from, &moving.inventory, variable).await?;
        let after = self.provisioner.answer(new, &to, &moving.inventory, variable).await?;
        if before == after && !before.is_empty() {
            return Ok(());
        }
        let difference = before.lines().zip(after.lines()).find(|(before, after)| before != after);
        let (before, after) = difference.unwrap_or(("", "fewer or more things"));
        Err(Failure::Lasting(format!(
            "the new engine does not hold the same: {after:?} instead of {before:?}"
        )))
    }

    /// The old engine serves, as it did before.
    async fn revive(&self, old: &Addon) -> Result<Up, Failure> {
        let up = self.provisioner.bring_up(old, true).await?;
        if let Ok(moving) = moving(old) {
            self.provisioner.answer(old, &up.id, &moving.thaw, moving.password_variable).await?;
        }
        self.seen(up).await
    }

    /// Logins are let go next: the route must know the container by then. A Pierhead that has just been started may not
    /// have seen it yet.
    async fn seen(&self, up: Up) -> Result<Up, Failure> {
        for _ in 0..REST_LOOKS {
            if self.placeholders.has_seen(&up.id) {
                return Ok(up);
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        Err(Failure::Retry("its container runs, but Docker's events do not tell of it".into()))
    }

    async fn running(&self, addon: &Addon) -> Result<String, Failure> {
        let container = self.provisioner.container_of(addon).await?;
        container.ok_or_else(|| Failure::Retry(format!("the container with {} is gone", addon.image)))
    }
}

fn how(addon: &Addon) -> Result<kinds::upgrade::Upgrade, Failure> {
    let how = kinds::find(addon.kind.as_str()).and_then(|kind| kind.upgrade());
    how.ok_or_else(|| Failure::Lasting(format!("addons of the kind {} cannot be upgraded", addon.kind)))
}

fn moving(addon: &Addon) -> Result<Moving, Failure> {
    how(addon)?.moving.ok_or_else(|| Failure::Lasting("its data cannot be moved".into()))
}

const LOOK_AGAIN: Duration = Duration::from_millis(100);
const REST_LOOKS: u32 = 300;
