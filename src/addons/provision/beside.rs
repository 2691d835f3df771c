//! A program beside an addon's engine: in a container of its own, of the same image and with the same volume.

use bollard::models::{ContainerCreateBody, HostConfig, Mount, MountType};
use bollard::query_parameters as query;
use futures_util::StreamExt;

use super::{Failure, LABEL_INSTANCE, LABEL_MANAGED, Provisioner, kind, volume_name};
use crate::addons::Addon;

impl Provisioner {
    /// Runs a program to its end, which has to be a good one, as root in the directory of the addon's volume, without a
    /// network. The container is gone afterwards; one of a Pierhead that was killed is removed by the next.
    pub async fn run_beside(&self, addon: &Addon, command: &[String]) -> Result<(), Failure> {
        let docker = self.docker().await?;
        let failed = |error| self.engine.failure(error);
        let paths = kind(addon)?.image_settings(&addon.name, self.plan(addon)?).volume_paths;
        let path = paths.first().ok_or_else(|| Failure::Lasting("it has no volume".into()))?;
        let [program, arguments @ ..] = command else { return Ok(()) };
        let labels = [(LABEL_INSTANCE, self.instance.as_str()), (LABEL_MANAGED, "true")];
        let body = ContainerCreateBody {
            image: Some(addon.image.clone()),
            entrypoint: Some(vec![program.clone()]),
            cmd: Some(arguments.to_vec()),
            working_dir: Some((*path).to_owned()),
            user: Some("0".into()),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            host_config: Some(HostConfig {
                network_mode: Some("none".into()),
                cap_drop: Some(vec!["ALL".into()]),
                cap_add: Some(["CHOWN", "DAC_OVERRIDE", "FOWNER"].map(str::to_owned).to_vec()),
                mounts: Some(vec![Mount {
                    typ: Some(MountType::VOLUME),
                    source: Some(volume_name(&addon.name, addon.volume)),
                    target: Some((*path).to_owned()),
                    ..Default::default()
                }]),
                ..Default::default()
            }),
            ..Default::default()
        };
        let options = query::CreateContainerOptionsBuilder::default().build();
        let id = docker.create_container(Some(options), body).await.map_err(failed)?.id;
        let ran = async {
            docker.start_container(&id, None).await.map_err(failed)?;
            match docker.wait_container(&id, None).next().await {
                Some(Ok(_)) | None => Ok(()),
                // So says bollard of an exit code that is not 0.
                Some(Err(error)) => {
                    let last = self.last_log_line(&id).await;
                    Err(Failure::Retry(format!("a program beside its engine failed: {last} ({error})")))
                }
            }
        };
        let result = ran.await;
        self.remove_container(&id).await?;
        result
    }
}
