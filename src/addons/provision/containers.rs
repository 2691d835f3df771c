//! The container of an addon, and its volume: made, changed, stopped, removed.

use bollard::errors::Error as BollardError;
use bollard::models::ContainerUpdateBody;
use bollard::query_parameters as query;

use super::engine::is_missing;
use super::{Failure, Provisioner, file_failure, kind, spec, volume_name};
use crate::addons::Addon;

impl Provisioner {
    pub(super) async fn ensure_container(&self, addon: &Addon) -> Result<String, Failure> {
        let docker = self.docker().await?;
        let image = docker.inspect_image(&addon.image).await.map_err(|error| self.engine.failure(error))?;
        let declared = image.config.and_then(|config| config.volumes).unwrap_or_default();
        // Otherwise many that are made at once would all take the last place.
        let _one_at_a_time = self.networks.lock().await;
        let network = self.network_with_room(false).await?;
        let network = network.ok_or_else(|| Failure::Retry("no network has room".into()))?;
        let kind = kind(addon)?;
        let superuser = self.superuser(addon, kind);
        let superuser_secret = self.secrets.superuser_path(&addon.name);
        let parts = spec::Parts {
            addon,
            kind,
            superuser: superuser.as_ref().map(|superuser| (superuser, superuser_secret.as_path())),
            further_args: &self.further_args(addon)?,
            plan: self.plan(addon)?,
            instance: &self.instance,
            secret: &self.secrets.mounted(&addon.name).map_err(file_failure)?,
            network: &network,
            declared_volumes: &declared,
        };
        let name = spec::container_name(addon);
        let options = query::CreateContainerOptionsBuilder::default().name(&name).build();
        let made = docker
            .create_container(Some(options), spec::body(&parts))
            .await
            .map_err(|error| self.engine.failure(error))?;
        Ok(made.id)
    }

    pub(super) async fn rename(&self, container: &str, addon: &Addon) -> Result<(), Failure> {
        let name = spec::container_name(addon);
        let options = query::RenameContainerOptionsBuilder::default().name(&name).build();
        self.docker()
            .await?
            .rename_container(container, options)
            .await
            .map_err(|error| self.engine.failure(error))
    }

    /// Gives a container the limits of its addon's plan, while it runs.
    pub async fn set_limits(&self, addon: &Addon, container: &str) -> Result<(), Failure> {
        let limits = spec::limits(self.plan(addon)?);
        let update = ContainerUpdateBody {
            memory: limits.memory,
            memory_swap: limits.memory_swap,
            nano_cpus: limits.nano_cpus,
            pids_limit: limits.pids_limit,
            ..Default::default()
        };
        let updated = self.docker().await?.update_container(container, update).await;
        updated.map_err(|error| self.engine.failure(error))
    }

    /// An engine that was killed while it started a container says ever after that there is one already: the container has to
    /// be made anew. Its data are in the volume.
    pub(super) async fn start(&self, container: &str) -> Result<(), Failure> {
        match self.docker().await?.start_container(container, None).await {
            Err(BollardError::DockerResponseServerError { message, .. }) if says_is_there(&message) => {
                if let Some(pid) = process_of(container) {
                    // A second engine on the same data would ruin them: the next try goes on once this one has ended.
                    let ended =
                        tokio::process::Command::new("kill").args(["-KILL", &pid.to_string()]).status().await;
                    tracing::warn!(
                        container,
                        pid,
                        ?ended,
                        "a process of a container that Docker has lost track of is ended"
                    );
                    return Err(Failure::Retry(format!(
                        "Docker has lost track of its container, of which the process {pid} ran on: it is being ended"
                    )));
                }
                self.remove_container(container).await?;
                Err(Failure::Retry(format!(
                    "Docker had lost track of its container ({message}): it is made anew"
                )))
            }
            started => started.map_err(|error| self.engine.failure(error)),
        }
    }

    pub(super) async fn stop(&self, container: &str) -> Result<(), Failure> {
        let docker = self.docker().await?;
        // A frozen container cannot react to being asked to stop.
        let _ = docker.unpause_container(container).await;
        let options = query::StopContainerOptionsBuilder::default().t(spec::STOP_TIMEOUT_S).build();
        docker.stop_container(container, Some(options)).await.map_err(|error| self.engine.failure(error))
    }

    pub(super) async fn remove_container(&self, container: &str) -> Result<(), Failure> {
        // With its anonymous volumes; a named one stays.
        let options = query::RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        self.gone(self.docker().await?.remove_container(container, Some(options)).await)
    }

    /// Removes the volume that was seen: of an addon that is destroyed, one of all that it ever had.
    pub(super) async fn remove_volume(&self, addon: &Addon) -> Result<(), Failure> {
        let docker = self.docker().await?;
        let name = match self.volume_to_remove(&docker, addon).await? {
            Some(name) => name,
            None => volume_name(&addon.name, addon.volume),
        };
        self.gone(docker.remove_volume(&name, None::<query::RemoveVolumeOptions>).await)
    }

    /// A removal succeeds if there is nothing left to remove.
    fn gone(&self, result: Result<(), BollardError>) -> Result<(), Failure> {
        match result {
            Err(error) if is_missing(&error) => Ok(()),
            // Docker is at it already.
            Err(BollardError::DockerResponseServerError { status_code: 409, message })
                if message.contains("already in progress") =>
            {
                Ok(())
            }
            result => result.map_err(|error| self.engine.failure(error)),
        }
    }
}

/// Whether an engine says that what it is to start is there. In containerd's words (seen with Docker 20.10, killed 60 to 150 ms after
/// it was told to start a container).
fn says_is_there(message: &str) -> bool {
    (message.starts_with("task ") && message.contains("already exists"))
        || message.contains("id already in use")
}

/// A process of this host in the control group of a container, if one can be seen.
fn process_of(container: &str) -> Option<u32> {
    let processes = std::fs::read_dir("/proc").ok()?.flatten();
    processes.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).find(|pid: &u32| {
        std::fs::read_to_string(format!("/proc/{pid}/cgroup")).is_ok_and(|groups| groups.contains(container))
    })
}
