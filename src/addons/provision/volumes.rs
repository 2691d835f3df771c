//! The volume of an addon. A plan may limit what it holds; whether that can be had is the file system's to say.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use bollard::errors::Error as BollardError;
use bollard::models::VolumeCreateRequest;
use bollard::query_parameters as query;

use super::{Failure, Provisioner, spec, volume_name};
use crate::addons::Addon;
use crate::config::Size;

/// Whether Docker has said that the file system below its volumes cannot limit one. That it can is not to be told from a volume that
/// was there already.
#[derive(Debug, Default)]
pub(super) struct Quotas(AtomicBool);

impl Provisioner {
    /// If one of this name has been made since we looked, Docker returns that one: we look again anyway.
    pub(super) async fn ensure_volume(&self, addon: &Addon) -> Result<(), Failure> {
        let name = volume_name(&addon.name, addon.volume);
        let labels = spec::ownership(&self.instance, &addon.name);
        self.make_volume(name, labels, self.plan(addon)?.disk).await
    }

    /// Finds out whether limits can be had, if a plan has one: by a volume of its own, which is gone when this returns.
    pub async fn try_quotas(&self) -> Result<(), Failure> {
        let Some(disk) = self.config.plans.values().find_map(|plan| plan.disk) else { return Ok(()) };
        let docker = self.docker().await?;
        let name = format!("pierhead-quota-{}", self.instance);
        let request = VolumeCreateRequest {
            name: Some(name.clone()),
            driver_opts: Some(limit(disk)),
            ..Default::default()
        };
        match docker.create_volume(request).await {
            Err(error) if says_no_quota(&error) => self.quotas.0.store(true, Relaxed),
            // One that a Pierhead was killed at is removed with it.
            made => {
                made.map_err(|error| self.engine.failure(error))?;
                let removed = docker.remove_volume(&name, None::<query::RemoveVolumeOptions>).await;
                removed.map_err(|error| self.engine.failure(error))?;
            }
        }
        Ok(())
    }

    /// What somebody should know whose plan has a limit that does not hold.
    pub fn disk_warning(&self, addon: &Addon) -> Option<String> {
        let disk = self.config.plans.get(&addon.plan)?.disk?;
        self.quotas.0.load(Relaxed).then(|| {
            format!(
                "the limit of its plan for its disk ({} MiB) does not hold: the file system below Docker's volumes has no project quotas \
                 (xfs mounted with prjquota has)",
                disk.bytes() >> 20
            )
        })
    }

    async fn make_volume(
        &self,
        name: String,
        labels: HashMap<String, String>,
        disk: Option<Size>,
    ) -> Result<(), Failure> {
        let docker = self.docker().await?;
        let request = |driver_opts| VolumeCreateRequest {
            name: Some(name.clone()),
            labels: Some(labels.clone()),
            driver_opts,
            ..Default::default()
        };
        let failed = |error| self.engine.failure(error);
        match docker.create_volume(request(disk.map(limit))).await {
            Ok(_) => {}
            Err(error) if says_no_quota(&error) => {
                self.quotas.0.store(true, Relaxed);
                docker.create_volume(request(None)).await.map_err(failed)?;
            }
            Err(error) => return Err(failed(error)),
        }
        Ok(())
    }
}

/// The volume driver's options.
fn limit(disk: Size) -> HashMap<String, String> {
    HashMap::from([("size".to_owned(), disk.bytes().to_string())])
}

/// In the words of moby's driver `local`.
fn says_no_quota(error: &BollardError) -> bool {
    matches!(error, BollardError::DockerResponseServerError { message, .. } if message.contains("no quota support"))
}
