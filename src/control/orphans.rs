//! Orphans: what of ours is on this host and belongs to no addon, because a store was put back from a copy, or because
//! somebody has removed a row.
//!
//! They are removed by giving each its row back, as that of an addon that is to be destroyed. From then on the name is
//! taken, so nobody can make an addon of it in between, and what removes addons removes them too, also after a crash.

use super::api::Api;
use super::api::types::OrphanView;
use crate::addons::lifecycle::{Desired, Failure, Life};
use crate::addons::store::StoreError;
use crate::addons::{Addon, now_ms};
use crate::dialect::{Name, Protocol};

/// Why nothing can be said of orphans.
#[derive(Debug, thiserror::Error)]
pub enum OrphanError {
    /// Docker or the file system does not tell.
    #[error("{}", words(.0))]
    Look(Failure),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn words(failure: &Failure) -> &str {
    let (Failure::NotYet(reason) | Failure::Retry(reason) | Failure::Lasting(reason)) = failure;
    reason
}

impl Api {
    /// Everything of ours that belongs to no addon.
    pub(super) async fn orphans(&self) -> Result<Vec<OrphanView>, OrphanError> {
        let objects = self.provisioner.objects().await.map_err(OrphanError::Look)?;
        let unused = self.provisioner.unused_networks().await.map_err(OrphanError::Look)?;
        // Read last: a row is written before anything is made for it.
        let addons = self.store.addons()?;
        let is_known = |name: &Name| addons.iter().any(|addon| addon.name == *name);
        let view = |name: &Name, object: &crate::addons::provision::Object| OrphanView {
            what: object.what.to_owned(),
            called: object.called.clone(),
            addon: Some(name.clone()),
            can_be_fixed: object.goes_with_addon,
        };
        let mut orphans: Vec<_> = objects
            .iter()
            .filter(|(name, _)| !is_known(name))
            .flat_map(|(name, objects)| objects.iter().map(|object| view(name, object)))
            .collect();
        // One that was made for an addon that is on its way has no container yet.
        if addons.iter().all(|addon| addon.life.is_settled()) {
            orphans.extend(unused.into_iter().map(|called| OrphanView {
                what: "network".into(),
                called,
                addon: None,
                can_be_fixed: true,
            }));
        }
        Ok(orphans)
    }

    /// Takes on what is left of an addon, to be destroyed. `false`: there is an addon of this name, or nothing is left.
    pub(super) async fn destroy_orphans(&self, name: &Name) -> Result<bool, OrphanError> {
        let left = self.provisioner.objects().await.map_err(OrphanError::Look)?;
        if !left.get(name).is_some_and(|objects| objects.iter().any(|object| object.goes_with_addon)) {
            return Ok(false);
        }
        match self.store.create(&nobodys(name)?) {
            Err(StoreError::Exists(_)) => return Ok(false),
            result => result?,
        }
        tracing::warn!(addon = %name, "left-overs without an addon are removed");
        // What a crash has left half-made there counts for none, so nobody else would remove it.
        let removed = self.provisioner.secrets().remove(name);
        if let Err(error) = removed {
            tracing::error!(addon = %name, %error, "the secret is left");
        }
        self.reconciler.kick(name);
        Ok(true)
    }
}

/// The row of an addon of which nothing is known but its name, and that is to go.
fn nobodys(name: &Name) -> Result<Addon, StoreError> {
    let word = |text: &str| {
        Name::parse(text).map_err(|_| StoreError::Row {
            name: name.to_string(),
            column: "kind",
            value: text.into(),
        })
    };
    let now = now_ms();
    let mut life = Life::new(now);
    life.want(Desired::Destroyed, now);
    Ok(Addon {
        name: name.clone(),
        kind: word("left-over")?,
        protocol: Protocol::None,
        plan: word("none")?,
        order: crate::addons::Order::docker(),
        image: String::new(),
        life,
        container_id: None,
        created_at: now,
        updated_at: now,
        generation: 1,
        volume: 1,
    })
}
