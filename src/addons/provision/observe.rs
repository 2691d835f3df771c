//! What is there of an addon. In comes its row; out goes what Docker and the secrets' directory hold.

use std::collections::HashMap;

use bollard::Docker;
use bollard::models::{ContainerInspectResponse, ContainerStateStatusEnum, ContainerSummary};
use bollard::query_parameters as query;

use super::engine::is_missing;
use super::{
    Failure, LABEL_GENERATION, LABEL_INSTANCE, LABEL_MANAGED, LABEL_NAME, Provisioner, file_failure, kind,
    spec, volume_name,
};
use crate::addons::Addon;
use crate::addons::lifecycle::{Container, Desired, Phase, Presence, Seen};
use crate::dialect::Name;

impl Provisioner {
    /// Looks at everything that belongs to an addon.
    pub async fn observe(&self, addon: &Addon) -> Result<Seen, Failure> {
        let docker = self.docker().await?;
        let container = self.container(&docker, addon).await?;
        // Only a container that is still to be made, or made anew, needs these.
        let needed = addon.life.desired != Desired::Destroyed
            && matches!(container, Container::Missing | Container::Ours { made_ok: false, .. });
        Ok(Seen {
            secret: self.secrets().exists(&addon.name).map_err(file_failure)?,
            image: needed && self.has_image(&docker, &addon.image).await?,
            network: needed && self.network(false).await?.is_some(),
            volume: self.volume_of(&docker, addon).await?,
            container,
        })
    }

    /// Whether a container or volume of somebody else's would be in the way of an addon of this name.
    pub async fn in_the_way(&self, name: &Name) -> Result<Option<String>, Failure> {
        let docker = self.docker().await?;
        for (key, value) in [("label", format!("{LABEL_NAME}={name}")), ("name", format!("^/{name}$"))] {
            if let Some(found) = self.list(&docker, key, vec![value]).await?.first() {
                return Ok(Some(describe(found)));
            }
        }
        let volume = volume_name(name, 1);
        if self.volume(&docker, &volume).await? != Presence::Missing {
            return Ok(Some(format!("the volume {volume}")));
        }
        // Later generations would take theirs for their own.
        Ok(self.volumes_made_for(&docker, name).await?.first().map(|volume| format!("the volume {volume}")))
    }

    async fn container(&self, docker: &Docker, addon: &Addon) -> Result<Container, Failure> {
        let labels = vec![
            format!("{LABEL_INSTANCE}={}", self.instance),
            format!("{LABEL_NAME}={}", addon.name),
            format!("{LABEL_MANAGED}=true"),
        ];
        let mut found = self.list(docker, "label", labels).await?;
        // An addon that is to be destroyed is all of its containers.
        found.retain(|container| is_destroyed(addon) || generation(container) == addon.generation);
        let Some(id) = pick(addon, found) else {
            let name = spec::container_name(addon).replace('.', "\\.");
            let by_name = self.list(docker, "name", vec![format!("^/{name}$")]).await?;
            return Ok(by_name
                .first()
                .map_or(Container::Missing, |found| Container::Foreign(describe(found))));
        };
        let inspect = docker.inspect_container(&id, None::<query::InspectContainerOptions>).await;
        match inspect {
            Err(error) if is_missing(&error) => Ok(Container::Missing),
            Err(error) => Err(self.engine.failure(error)),
            Ok(found) => self.ours(addon, id, found).await,
        }
    }

    async fn ours(
        &self,
        addon: &Addon,
        id: String,
        found: ContainerInspectResponse,
    ) -> Result<Container, Failure> {
        let networks = found.network_settings.and_then(|settings| settings.networks).unwrap_or_default();
        let ours = self.our_networks().await?;
        let attached = networks.iter().any(|(name, endpoint)| {
            // Before its first start a container knows its network by name only.
            let id = endpoint.network_id.as_deref().filter(|id| !id.is_empty());
            ours.iter().any(|network| match id {
                Some(id) => network.id.as_deref() == Some(id),
                None => network.name.as_deref() == Some(name) || network.id.as_deref() == Some(name),
            })
        });
        // An addon whose plan is not configured any more is left as it is, and can be destroyed.
        let wanted = match (kind(addon), self.further_args(addon), self.plan(addon)) {
            (Ok(kind), Ok(args), Ok(plan)) => Some((kind, args, plan)),
            _ => None,
        };
        let limits_ok = wanted.as_ref().zip(found.host_config.as_ref());
        let limits_ok = limits_ok.is_none_or(|((.., plan), found)| spec::has_limits(found, plan));
        let made_ok = wanted.zip(found.config.as_ref()).is_none_or(|((kind, args, plan), found)| {
            let superuser = self.superuser(addon, kind);
            spec::is_made_so(found, addon, kind, &args, plan, superuser.as_ref())
        });
        let state = found.state.unwrap_or_default();
        Ok(Container::Ours {
            id,
            phase: phase(state.status),
            name_ok: found.name.as_deref() == Some(&format!("/{}", spec::container_name(addon))),
            attached,
            limits_ok,
            made_ok,
            start: state.started_at.unwrap_or_default(),
        })
    }

    async fn list(
        &self,
        docker: &Docker,
        key: &str,
        values: Vec<String>,
    ) -> Result<Vec<ContainerSummary>, Failure> {
        let filters = HashMap::from([(key, values)]);
        let options = query::ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        docker.list_containers(Some(options)).await.map_err(|error| self.engine.failure(error))
    }

    pub(super) async fn has_image(&self, docker: &Docker, image: &str) -> Result<bool, Failure> {
        match docker.inspect_image(image).await {
            Ok(_) => Ok(true),
            Err(error) if is_missing(&error) => Ok(false),
            Err(error) => Err(self.engine.failure(error)),
        }
    }

    async fn volume_of(&self, docker: &Docker, addon: &Addon) -> Result<Presence, Failure> {
        match self.volume_to_remove(docker, addon).await? {
            Some(name) => self.volume(docker, &name).await,
            None => self.volume(docker, &volume_name(&addon.name, addon.volume)).await,
        }
    }

    /// Of an addon that is to be destroyed: one of the volumes that were made for it, by whichever generation.
    pub(super) async fn volume_to_remove(
        &self,
        docker: &Docker,
        addon: &Addon,
    ) -> Result<Option<String>, Failure> {
        if !is_destroyed(addon) {
            return Ok(None);
        }
        Ok(self.volumes_made_for(docker, &addon.name).await?.into_iter().next())
    }

    /// Names of the volumes that generations of an addon of this name have made.
    async fn volumes_made_for(&self, docker: &Docker, name: &Name) -> Result<Vec<String>, Failure> {
        let labels = [format!("{LABEL_INSTANCE}={}", self.instance), format!("{LABEL_NAME}={name}")];
        let filters = HashMap::from([("label", labels.to_vec())]);
        let options = query::ListVolumesOptionsBuilder::default().filters(&filters).build();
        let found = docker.list_volumes(Some(options)).await.map_err(|error| self.engine.failure(error))?;
        let mut names: Vec<_> =
            found.volumes.unwrap_or_default().into_iter().map(|volume| volume.name).collect();
        // What somebody has given the same labels is called otherwise, and stays.
        names.retain(|called| spec::is_volume_name(called, name));
        names.sort();
        Ok(names)
    }

    async fn volume(&self, docker: &Docker, name: &str) -> Result<Presence, Failure> {
        match docker.inspect_volume(name).await {
            Ok(volume) if volume.labels.get(LABEL_INSTANCE) != Some(&self.instance) => Ok(Presence::Foreign),
            Ok(volume) if volume.labels.contains_key(LABEL_MANAGED) => Ok(Presence::Ours),
            Ok(_) => Ok(Presence::Replaced),
            Err(error) if is_missing(&error) => Ok(Presence::Missing),
            Err(error) => Err(self.engine.failure(error)),
        }
    }
}

/// Somebody may have copied our labels to a second container: the one that we made is meant, then the one with the
/// addon's name, then the oldest.
fn pick(addon: &Addon, mut found: Vec<ContainerSummary>) -> Option<String> {
    found.sort_by_key(|container| {
        let made_by_us = addon.container_id.is_some() && container.id == addon.container_id;
        (!made_by_us, name_of(container) != spec::container_name(addon), container.created)
    });
    found.into_iter().next()?.id
}

fn is_destroyed(addon: &Addon) -> bool {
    addon.life.desired == Desired::Destroyed
}

/// Which of its addon's containers it is.
fn generation(container: &ContainerSummary) -> u32 {
    let label = container.labels.as_ref().and_then(|labels| labels.get(LABEL_GENERATION));
    label.and_then(|text| text.parse().ok()).unwrap_or(1)
}

fn name_of(container: &ContainerSummary) -> &str {
    let names = container.names.as_deref().unwrap_or_default();
    names.first().map_or("", |name| name.trim_start_matches('/'))
}

fn describe(container: &ContainerSummary) -> String {
    let id: String = container.id.as_deref().unwrap_or("").chars().take(12).collect();
    format!(
        "the container {} ({id}, image {})",
        name_of(container),
        container.image.as_deref().unwrap_or("?")
    )
}

fn phase(status: Option<ContainerStateStatusEnum>) -> Phase {
    match status {
        Some(ContainerStateStatusEnum::RUNNING) => Phase::Running,
        Some(ContainerStateStatusEnum::RESTARTING) => Phase::Restarting,
        Some(ContainerStateStatusEnum::PAUSED) => Phase::Paused,
        Some(ContainerStateStatusEnum::REMOVING) => Phase::Removing,
        Some(ContainerStateStatusEnum::DEAD) => Phase::Dead,
        _ => Phase::Down,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::addons::lifecycle::Life;
    use crate::dialect::Protocol;

    #[test]
    fn a_copy_of_our_labels_does_not_become_the_addon() {
        let mut addon = Addon {
            name: Name::parse("blog").unwrap(),
            kind: Name::parse("postgres").unwrap(),
            protocol: Protocol::Postgres,
            plan: Name::parse("small").unwrap(),
            image: "i".into(),
            life: Life::new(0),
            container_id: Some("made".into()),
            created_at: 0,
            updated_at: 0,
            generation: 1,
            volume: 1,
        };
        let container = |id: &str, name: &str, created| ContainerSummary {
            id: Some(id.into()),
            names: Some(vec![format!("/{name}")]),
            created: Some(created),
            ..Default::default()
        };
        let found =
            vec![container("copy", "copy", 1), container("named", "blog", 3), container("made", "old", 2)];
        assert_eq!(pick(&addon, found.clone()).as_deref(), Some("made"));
        addon.container_id = None;
        assert_eq!(pick(&addon, found.clone()).as_deref(), Some("named"));
        addon.name = Name::parse("other").unwrap();
        assert_eq!(pick(&addon, found).as_deref(), Some("copy"));
        assert_eq!(pick(&addon, vec![]), None);
    }
}
