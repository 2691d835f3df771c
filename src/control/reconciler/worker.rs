//! One round of one addon: look, decide, write the new state, act, write what came of it.

use std::time::Duration;

use super::{Reconciler, Worker, locked};
use crate::addons::lifecycle::{self, Action, Container, Desired, Failure, LOOK_AGAIN, Seen, State};
use crate::addons::provision::Done;
use crate::addons::store::StoreError;
use crate::addons::{Addon, now_ms};
use crate::control::api::types::Progress;
use crate::dialect::Name;
use crate::docker::images;

/// What a worker does after a round.
pub(super) enum Next {
    /// Looks again at once.
    Again,
    /// Looks again after this time, or when it is kicked.
    After(Duration),
    /// Ends.
    Done,
}

impl Reconciler {
    /// One round. Whatever fails leads to another one.
    pub(super) async fn round(&self, name: &Name, worker: &Worker) -> Next {
        match self.try_round(name, worker).await {
            Ok(next) => next,
            Err(error) => {
                tracing::error!(addon = %name, %error, "the store failed");
                Next::After(STORE_PAUSE)
            }
        }
    }

    async fn try_round(&self, name: &Name, worker: &Worker) -> Result<Next, StoreError> {
        let Some(addon) = self.store.addon(name)? else {
            self.placeholders.remove(name);
            return Ok(Next::Done);
        };
        self.placeholders.set(&addon)?;
        // Its containers are the upgrade's for now, which kicks us when it has done with them.
        if self.store.upgrade(name)?.is_some_and(|upgrade| upgrade.owns()) {
            return Ok(Next::Done);
        }
        if let Some(time) = lifecycle::pause(&addon.life, now_ms()) {
            return Ok(Next::After(time));
        }
        // Closed never, so there always is one.
        let permit = self.permits.acquire().await.ok();
        let seen = match self.provisioner.observe(&addon).await {
            Ok(seen) => seen,
            // What serves goes on serving: that Docker does not answer is no change of the addon.
            Err(_) if addon.life.is_settled() => return Ok(Next::After(BLIND_PAUSE)),
            Err(failure) => return self.failed(&addon, failure),
        };
        let decision = lifecycle::next_action(&addon.life, &seen, now_ms());
        let Some(addon) = self.enter(&addon, &seen, decision.state)? else { return Ok(Next::Again) };
        match decision.action {
            Action::Nothing => Ok(Next::Done),
            Action::Wait(time) => Ok(Next::After(time)),
            action => {
                // These wait for others than dockerd, and long.
                let permit = permit.filter(|_| !can_be_left(&action));
                let next = self.act(&addon, &action, &seen, worker).await;
                drop(permit);
                next
            }
        }
    }

    /// Writes the state that is about to be acted on. `None` if something else is wanted by now.
    fn enter(&self, addon: &Addon, seen: &Seen, state: State) -> Result<Option<Addon>, StoreError> {
        let before = addon.life.state;
        let mut outdated = false;
        let written = self.store.change(&addon.name, |row| {
            outdated = row.life.desired != addon.life.desired || row.generation != addon.generation;
            if !outdated {
                lifecycle::enter(&mut row.life, state, now_ms());
                row.container_id = match &seen.container {
                    Container::Ours { id, .. } => Some(id.clone()),
                    _ => None,
                };
            }
        })?;
        let Some(written) = written.filter(|_| !outdated) else { return Ok(None) };
        if written.life.state != before {
            tracing::info!(addon = %written.name, from = %before, to = %written.life.state, "addon");
        }
        self.placeholders.set(&written)?;
        Ok(Some(written))
    }

    async fn act(
        &self,
        addon: &Addon,
        action: &Action,
        seen: &Seen,
        worker: &Worker,
    ) -> Result<Next, StoreError> {
        let detail = describe(addon, action);
        let progress = |bytes| self.show(addon, &detail, bytes);
        progress(images::Progress::default());
        let mut acting = std::pin::pin!(self.provisioner.act(addon, action, seen, &progress));
        let result = loop {
            tokio::select! {
                biased;
                result = &mut acting => break result,
                () = worker.wake.notified(), if can_be_left(action) => {
                    // Kicked because of an event, or because something else is wanted: only then it is left.
                    let row = self.store.addon(&addon.name)?;
                    if row.is_none_or(|row| row.life.desired != addon.life.desired) {
                        return Ok(Next::Again);
                    }
                }
            }
        };
        match result {
            Ok(done) => {
                self.succeeded(addon, action, done)?;
                if *action == Action::Forget {
                    self.provisioner.remove_unused_networks().await;
                }
                Ok(Next::Again)
            }
            Err(failure) => self.failed(addon, failure),
        }
    }

    fn succeeded(&self, addon: &Addon, action: &Action, done: Done) -> Result<(), StoreError> {
        match (action, done) {
            (Action::Forget, _) => {
                self.store.forget(&addon.name)?;
                tracing::info!(addon = %addon.name, "addon destroyed");
            }
            (Action::WantRunning, _) => {
                self.store.change(&addon.name, |row| {
                    // Somebody may want something else by now.
                    if row.life.desired == Desired::Restart {
                        row.life.desired = Desired::Running;
                    }
                })?;
            }
            (_, Done::LoggedIn(start)) => {
                self.store.change(&addon.name, |row| {
                    // Another container may be the addon's by now.
                    if row.generation == addon.generation {
                        (row.life.checked, row.life.provisioned) = (Some(start), true);
                    }
                })?;
            }
            (_, Done::Created(id)) => {
                self.store.change(&addon.name, |row| {
                    if row.generation == addon.generation {
                        row.container_id = Some(id);
                    }
                })?;
            }
            (_, Done::Plain) => {}
        }
        Ok(())
    }

    fn failed(&self, addon: &Addon, failure: Failure) -> Result<Next, StoreError> {
        let mut life = addon.life.clone();
        if !lifecycle::after_failure(&mut life, failure.clone(), now_ms()) {
            return Ok(Next::After(LOOK_AGAIN));
        }
        tracing::warn!(addon = %addon.name, state = %life.state, ?failure, "addon: a step failed");
        self.store.change(&addon.name, |row| {
            // A failure of what was wanted before says nothing about what is wanted now.
            if row.life.desired == addon.life.desired {
                lifecycle::after_failure(&mut row.life, failure, now_ms());
            }
        })?;
        Ok(Next::Again)
    }

    fn show(&self, addon: &Addon, detail: &str, bytes: images::Progress) {
        let progress = Progress {
            step: addon.life.state.step().map_or("", |step| step.as_str()).to_owned(),
            detail: detail.to_owned(),
            current: bytes.done_bytes,
            total: bytes.total_bytes,
        };
        locked(&self.progress).insert(addon.name.clone(), progress);
    }
}

/// What takes long and leaves nothing half-done when it is broken off.
fn can_be_left(action: &Action) -> bool {
    matches!(action, Action::EnsureImage | Action::CheckLogin)
}

fn describe(addon: &Addon, action: &Action) -> String {
    match action {
        Action::EnsureSecret => "making a password".to_owned(),
        Action::EnsureImage => format!("pulling {}", addon.image),
        Action::SetLimits => "changing its limits".to_owned(),
        Action::EnsureNetwork | Action::Connect => "finding a network".to_owned(),
        Action::EnsureVolume => "making the volume".to_owned(),
        Action::EnsureContainer | Action::Rename => "making the container".to_owned(),
        Action::Start | Action::Unpause => "starting the container".to_owned(),
        Action::CheckLogin => "waiting until a login succeeds".to_owned(),
        Action::Stop => "stopping the container".to_owned(),
        Action::RemoveContainer => "removing the container".to_owned(),
        Action::RemoveVolume => "removing the volume".to_owned(),
        Action::RemoveSecret => "removing the password".to_owned(),
        Action::Nothing | Action::Wait(_) | Action::Fail(_) | Action::WantRunning | Action::Forget => {
            String::new()
        }
    }
}

const STORE_PAUSE: Duration = Duration::from_secs(2);
const BLIND_PAUSE: Duration = Duration::from_secs(5);
