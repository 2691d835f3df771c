//! Makes the world match the store. In come kicks ("something about this addon may have changed"); out go calls of providers.
//!
//! Every addon that is not as it should be has one worker, never two, so that no two actions on the same addon
//! overlap. A worker looks, decides, writes the new state, acts, and looks again; it ends when nothing is left to
//! do. All addons are kicked at the start, after changes in Docker, and once in a while.

mod provided;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use super::backends::Backends;
use super::placeholders::Placeholders;
use crate::addons::lifecycle::{self, Deadlines, Desired, Failure};
use crate::addons::providers::{Board, Outcome, Provider, Providers, Steps};
use crate::addons::provision::LoginAddress;
use crate::addons::store::{Store, StoreError};
use crate::addons::{Addon, now_ms};
use crate::dialect::Name;

/// Makes the world match the store.
pub struct Reconciler {
    /// What is wanted.
    pub store: Arc<Store>,
    /// Who can be asked for it.
    pub providers: Arc<Providers>,
    /// What clients are told meanwhile.
    pub placeholders: Arc<Placeholders>,
    /// Where engines are that are in no container.
    pub backends: Arc<Backends>,
    /// Where this host's clients reach the edge.
    pub login_address: LoginAddress,
    /// What is being done, for eyes.
    pub board: Arc<Board>,
    /// How long an addon may be in a state.
    pub deadlines: Deadlines,
    /// How long a call of a provider may take.
    pub call_timeout: Duration,
    /// The running workers.
    pub workers: Workers,
}

/// The running workers, by addon.
#[derive(Default)]
pub struct Workers(Mutex<HashMap<Name, Arc<Worker>>>);

/// The running worker of an addon.
#[derive(Default)]
struct Worker {
    /// Wakes it up while it waits.
    wake: Notify,
    /// Kicked since it last began to look.
    kicked: Mutex<bool>,
}

/// What a worker does after a round.
enum Next {
    /// Looks again at once.
    Again,
    /// Looks again after this time, or when it is kicked.
    After(Duration),
    /// Ends.
    Done,
}

impl Reconciler {
    /// Something about this addon may have changed. Returns at once.
    pub fn kick(self: &Arc<Self>, name: &Name) {
        let mut workers = locked(&self.workers.0);
        if let Some(worker) = workers.get(name) {
            *locked(&worker.kicked) = true;
            worker.wake.notify_one();
            return;
        }
        let worker = Arc::new(Worker::default());
        workers.insert(name.clone(), Arc::clone(&worker));
        tokio::spawn(Arc::clone(self).work(name.clone(), worker));
    }

    /// Something about any addon may have changed.
    pub fn kick_all(self: &Arc<Self>) {
        match self.store.addons() {
            Ok(addons) => addons.iter().for_each(|addon| self.kick(&addon.name)),
            Err(error) => tracing::error!(%error, "the store cannot be read"),
        }
    }

    /// What has failed may succeed now: nothing waits for its next try.
    pub fn retry_all(self: &Arc<Self>) {
        let addons = self.store.addons().unwrap_or_default();
        for addon in addons.iter().filter(|addon| addon.life.retry_at > 0) {
            if let Err(error) = self.store.change(&addon.name, |row| row.life.retry_at = 0) {
                tracing::error!(addon = %addon.name, %error, "the store failed");
            }
        }
        self.kick_all();
    }

    /// Kicks every addon that nothing is done about once in a while, for ever: what no event has told is found then.
    pub async fn kick_periodically(self: Arc<Self>) {
        loop {
            match self.store.addons() {
                // A worker knows itself when it is to look again.
                Ok(addons) => {
                    let idle = addons.iter().filter(|addon| self.is_idle(&addon.name));
                    idle.for_each(|addon| self.kick(&addon.name));
                }
                Err(error) => tracing::error!(%error, "the store cannot be read"),
            }
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Whether nothing is being done about an addon.
    pub fn is_idle(&self, name: &Name) -> bool {
        !locked(&self.workers.0).contains_key(name)
    }

    async fn work(self: Arc<Self>, name: Name, worker: Arc<Worker>) {
        loop {
            *locked(&worker.kicked) = false;
            match self.round(&name).await {
                Next::Again => {}
                Next::After(time) => {
                    let _ = tokio::time::timeout(time, worker.wake.notified()).await;
                }
                Next::Done => {
                    let mut workers = locked(&self.workers.0);
                    if !*locked(&worker.kicked) {
                        workers.remove(&name);
                        break;
                    }
                }
            }
        }
        self.board.clear(&name);
    }

    /// One round. Whatever fails leads to another one.
    async fn round(&self, name: &Name) -> Next {
        match self.try_round(name).await {
            Ok(next) => next,
            Err(error) => {
                tracing::error!(addon = %name, %error, "the store failed");
                Next::After(STORE_PAUSE)
            }
        }
    }

    async fn try_round(&self, name: &Name) -> Result<Next, StoreError> {
        let Some(addon) = self.store.addon(name)? else {
            self.placeholders.remove(name);
            self.backends.forget(name);
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
        let Some(registered) = self.providers.find(addon.order.provider.as_str()) else {
            let provider = &addon.order.provider;
            let reason =
                format!("provider {provider} is not configured any more: put [provider.{provider}] back");
            return self.failed(&addon, Failure::Lasting(reason));
        };
        let provider = &*registered.provider;
        match provider.steps() {
            Steps::Own => self.own_round(&addon, provider).await,
            Steps::Pierheads => self.provided_round(&addon, provider).await,
        }
    }

    /// A round of a provider that writes its steps itself.
    async fn own_round(&self, addon: &Addon, provider: &dyn Provider) -> Result<Next, StoreError> {
        if addon.order.id.is_none() && addon.life.desired != Desired::Destroyed {
            return self.begin_own(addon, provider).await;
        }
        let outcome = match addon.life.desired {
            Desired::Destroyed => provider.deprovision(addon).await.map(|outcome| outcome.map(drop)),
            _ => provider.provision_complete(addon).await.map(|outcome| outcome.map(drop)),
        };
        Ok(match outcome {
            Ok(Outcome::Done(())) => Next::Done,
            Ok(Outcome::AskAgain { after: Duration::ZERO, .. }) => Next::Again,
            Ok(Outcome::AskAgain { after, .. }) => Next::After(after),
            Err(failure) => {
                tracing::error!(addon = %addon.name, ?failure, "the provider failed");
                Next::After(STORE_PAUSE)
            }
        })
    }

    async fn begin_own(&self, addon: &Addon, provider: &dyn Provider) -> Result<Next, StoreError> {
        match provider.begin_provision(addon).await {
            Ok(begun) => {
                self.store.change(&addon.name, |row| row.order.id = Some(begun.id))?;
                Ok(Next::Again)
            }
            Err(failure) => self.failed(addon, failure),
        }
    }

    fn failed(&self, addon: &Addon, failure: Failure) -> Result<Next, StoreError> {
        self.store.change(&addon.name, |row| {
            lifecycle::after_failure(&mut row.life, failure, &self.deadlines, now_ms());
        })?;
        Ok(Next::Again)
    }
}

/// A panic while one of these was locked leaves nothing half-done in it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const STORE_PAUSE: Duration = Duration::from_secs(2);
const PERIOD: Duration = Duration::from_secs(30);
