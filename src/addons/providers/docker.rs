//! The provider of everything that runs in a container, whatever its kind.
//!
//! Each call is one step: look, decide, write the new state, act, write what came of it. The steps are finer than the four calls:
//! they are in the row ([`crate::addons::lifecycle`]), so that a crash in the middle of a call is a step done twice.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Semaphore;

use super::{
    Accepted, Answer, Arguments, Backend, Begun, Board, Customisation, Outcome, Provider, Shown, Steps,
    Variable, VariableValue,
};
use crate::addons::lifecycle::{
    self, Action, Container, Deadlines, Desired, Failure, LOOK_AGAIN, Seen, State,
};
use crate::addons::provision::{Done, Provisioner};
use crate::addons::store::{Store, StoreError};
use crate::addons::{Addon, kinds, now_ms};
use crate::docker::images;

/// Makes addons of containers, volumes and networks.
pub struct Docker {
    store: Arc<Store>,
    provisioner: Arc<Provisioner>,
    board: Arc<Board>,
    deadlines: Deadlines,
    /// So many addons keep dockerd busy at once; it does not get faster with more.
    permits: Semaphore,
}

impl Provider for Docker {
    /// What the kinds can be told is in the configuration: there is nothing to say here.
    fn accept(&self, arguments: &Arguments) -> Result<Accepted, String> {
        match arguments.keys().next() {
            Some(key) => Err(format!("an addon in a container takes no {key}")),
            None => Ok(Accepted { kind: None, arguments: Arguments::new(), takes_password: false }),
        }
    }

    fn begin_provision<'a>(&'a self, addon: &'a Addon) -> Answer<'a, Begun> {
        let message = format!("a container of {}", addon.image);
        Box::pin(async move { Ok(Begun { id: addon.name.to_string(), message }) })
    }

    fn provision_complete<'a>(&'a self, addon: &'a Addon) -> Answer<'a, Outcome<Option<Backend>>> {
        Box::pin(async move {
            // A container's route comes from its labels.
            Ok(self.step(addon).await.map_err(store_failure)?.map(|()| None))
        })
    }

    fn config<'a>(&'a self, addon: &'a Addon, custom: &'a Customisation) -> Answer<'a, Vec<Variable>> {
        let name = custom.name(&self.variable(addon));
        Box::pin(async move { Ok(vec![Variable { name, value: VariableValue::EdgeUrl }]) })
    }

    fn deprovision<'a>(&'a self, addon: &'a Addon) -> Answer<'a, Outcome<String>> {
        Box::pin(async move {
            let gone = |()| "its container and its volume are removed".to_owned();
            Ok(self.step(addon).await.map_err(store_failure)?.map(gone))
        })
    }

    fn variable(&self, addon: &Addon) -> String {
        kinds::find(addon.kind.as_str()).map_or("", |kind| kind.variable()).to_owned()
    }

    fn steps(&self) -> Steps {
        Steps::Own
    }
}

impl Docker {
    /// One that shows what it is about on this board.
    pub fn new(
        store: Arc<Store>,
        provisioner: Arc<Provisioner>,
        board: Arc<Board>,
        deadlines: Deadlines,
    ) -> Self {
        Docker { store, provisioner, board, deadlines, permits: Semaphore::new(PARALLEL_MAX) }
    }

    async fn step(&self, addon: &Addon) -> Result<Outcome<()>, StoreError> {
        // Closed never, so there always is one.
        let permit = self.permits.acquire().await.ok();
        let seen = match self.provisioner.observe(addon).await {
            Ok(seen) => seen,
            // What serves goes on serving: that Docker does not answer is no change of the addon.
            Err(_) if addon.life.is_settled() => return Ok(after(BLIND_PAUSE)),
            Err(failure) => return self.failed(addon, failure),
        };
        let decision = lifecycle::next_action(&addon.life, &seen, now_ms());
        let Some(addon) = self.enter(addon, &seen, decision.state)? else { return Ok(AGAIN) };
        match decision.action {
            Action::Nothing => Ok(Outcome::Done(())),
            Action::Wait(time) => Ok(after(time)),
            action => {
                // These wait for others than dockerd, and long.
                let permit = permit.filter(|_| !can_be_left(&action));
                let next = self.act(&addon, &action, &seen).await;
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
        Ok(Some(written))
    }

    async fn act(&self, addon: &Addon, action: &Action, seen: &Seen) -> Result<Outcome<()>, StoreError> {
        let detail = describe(addon, action);
        let progress = |bytes| self.show(addon, &detail, bytes);
        progress(images::Progress::default());
        let mut commits = self.store.commits();
        let mut acting = std::pin::pin!(self.provisioner.act(addon, action, seen, &progress));
        let result = loop {
            tokio::select! {
                biased;
                result = &mut acting => break result,
                written = commits.changed(), if can_be_left(action) => {
                    // The store is there for as long as this one has it.
                    let _ = written;
                    let row = self.store.addon(&addon.name)?;
                    if row.is_none_or(|row| row.life.desired != addon.life.desired) {
                        return Ok(AGAIN);
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
                Ok(AGAIN)
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

    fn failed(&self, addon: &Addon, failure: Failure) -> Result<Outcome<()>, StoreError> {
        let mut life = addon.life.clone();
        if !lifecycle::after_failure(&mut life, failure.clone(), &self.deadlines, now_ms()) {
            return Ok(after(LOOK_AGAIN));
        }
        if life.state == State::Error && addon.life.state != State::Error {
            self.board.deadline_passed(addon.life.state);
        }
        tracing::warn!(addon = %addon.name, state = %life.state, ?failure, "addon: a step failed");
        self.store.change(&addon.name, |row| {
            // A failure of what was wanted before says nothing about what is wanted now.
            if row.life.desired == addon.life.desired {
                lifecycle::after_failure(&mut row.life, failure, &self.deadlines, now_ms());
            }
        })?;
        Ok(AGAIN)
    }

    fn show(&self, addon: &Addon, detail: &str, bytes: images::Progress) {
        let shown = Shown {
            step: addon.life.state.step().map_or("", |step| step.as_str()).to_owned(),
            detail: detail.to_owned(),
            current: bytes.done_bytes,
            total: bytes.total_bytes,
        };
        self.board.show(&addon.name, shown);
    }
}

const AGAIN: Outcome<()> = Outcome::AskAgain { after: Duration::ZERO, message: String::new() };

fn after(time: Duration) -> Outcome<()> {
    Outcome::AskAgain { after: time, message: String::new() }
}

fn store_failure(error: StoreError) -> Failure {
    Failure::Retry(error.to_string())
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

const BLIND_PAUSE: Duration = Duration::from_secs(5);
const PARALLEL_MAX: usize = 8;
