//! What Docker's changes mean for the addons. In come changes of containers and losses of the engine; out go kicks.

use std::sync::Arc;

use tokio::sync::broadcast::error::RecvError;

use super::reconciler::Reconciler;
use crate::addons::provision::LABEL_NAME;
use crate::dialect::Name;
use crate::docker::{Link, Watch};

/// Kicks the addon of every container that changes, for ever.
pub async fn follow_containers(watch: Arc<Watch>, reconciler: Arc<Reconciler>) {
    let mut changes = watch.subscribe();
    loop {
        match changes.recv().await {
            Ok(change) => {
                // A copy of our label on somebody else's container costs one look too many, no more.
                let name = change.container.labels.get(LABEL_NAME).and_then(|name| Name::parse(name).ok());
                name.iter().for_each(|name| reconciler.kick(name));
            }
            Err(RecvError::Lagged(_)) => reconciler.kick_all(),
            Err(RecvError::Closed) => return,
        }
    }
}

/// When the engine is back, what it had refused or left unanswered is tried again at once.
pub async fn follow_engine(watch: Arc<Watch>, reconciler: Arc<Reconciler>) {
    let mut link = watch.link();
    let mut was_lost = false;
    loop {
        let is_up = matches!(*link.borrow_and_update(), Link::Up);
        if is_up && was_lost {
            reconciler.retry_all();
        }
        was_lost = !is_up;
        if link.changed().await.is_err() {
            return;
        }
    }
}
