//! Makes Docker match the store. In come kicks ("something about this addon may have changed"); out go actions.
//!
//! Every addon that is not as it should be has one worker, never two, so that no two actions on the same addon
//! overlap. A worker looks, decides, writes the new state, acts, and looks again; it ends when nothing is left to
//! do. All addons are kicked at the start, after changes in Docker, and once in a while.

mod worker;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, Semaphore};

use super::api::types::Progress;
use super::placeholders::Placeholders;
use crate::addons::provision::Provisioner;
use crate::addons::store::Store;
use crate::dialect::Name;

/// Makes Docker match the store.
pub struct Reconciler {
    store: Arc<Store>,
    provisioner: Arc<Provisioner>,
    placeholders: Arc<Placeholders>,
    workers: Mutex<HashMap<Name, Arc<Worker>>>,
    /// So many addons keep dockerd busy at once; it does not get faster with more.
    permits: Semaphore,
    /// How far the present steps are; for eyes only, so it is not in the store.
    progress: Mutex<HashMap<Name, Progress>>,
}

/// The running worker of an addon.
#[derive(Default)]
struct Worker {
    /// Wakes it up while it waits.
    wake: Notify,
    /// Kicked since it last began to look.
    kicked: Mutex<bool>,
}

impl Reconciler {
    /// A reconciler that does nothing until it is kicked.
    pub fn new(store: Arc<Store>, provisioner: Arc<Provisioner>, placeholders: Arc<Placeholders>) -> Self {
        Reconciler {
            store,
            provisioner,
            placeholders,
            workers: Mutex::default(),
            permits: Semaphore::new(PARALLEL_MAX),
            progress: Mutex::default(),
        }
    }

    /// Something about this addon may have changed. Returns at once.
    pub fn kick(self: &Arc<Self>, name: &Name) {
        let mut workers = locked(&self.workers);
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

    /// Kicks every addon once in a while, for ever: what no event has told is found then.
    pub async fn kick_periodically(self: Arc<Self>) {
        loop {
            self.kick_all();
            tokio::time::sleep(PERIOD).await;
        }
    }

    /// Whether nothing is being done about an addon.
    pub fn is_idle(&self, name: &Name) -> bool {
        !locked(&self.workers).contains_key(name)
    }

    /// How far the present step of an addon is, if it is being worked on.
    pub fn progress(&self, name: &Name) -> Option<Progress> {
        locked(&self.progress).get(name).cloned()
    }

    async fn work(self: Arc<Self>, name: Name, worker: Arc<Worker>) {
        loop {
            *locked(&worker.kicked) = false;
            match self.round(&name, &worker).await {
                worker::Next::Again => {}
                worker::Next::After(time) => {
                    let _ = tokio::time::timeout(time, worker.wake.notified()).await;
                }
                worker::Next::Done => {
                    let mut workers = locked(&self.workers);
                    if !*locked(&worker.kicked) {
                        workers.remove(&name);
                        break;
                    }
                }
            }
        }
        locked(&self.progress).remove(&name);
    }
}

/// A panic while one of these was locked leaves nothing half-done in it.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const PARALLEL_MAX: usize = 8;
const PERIOD: Duration = Duration::from_secs(30);
