//! What an upgrade needs of Docker: one container of an addon brought up, stopped or removed, whichever generation it is;
//! what an image says of itself; programs and their answers.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bollard::container::LogOutput;
use bollard::models::{ContainerCreateBody, HostConfig};
use bollard::query_parameters as query;
use futures_util::StreamExt;

use super::{
    Failure, LABEL_INSTANCE, LABEL_MANAGED, Program, Provisioner, file_failure, images, kind, volume_name,
};
use crate::addons::kinds::{Archive, SUPERUSER};
use crate::addons::lifecycle::{self, Action, Container, Life, Phase, Presence, Seen};
use crate::addons::{Addon, UnixMs};

/// A container that lets logins in.
#[derive(Clone, Debug, PartialEq)]
pub struct Up {
    /// Full Docker id.
    pub id: String,
    /// Docker's `StartedAt`.
    pub start: String,
}

impl Provisioner {
    /// Makes, starts and tries the container of this generation of an addon, as the lifecycle would, but asks it for a
    /// login directly: no route leads to it yet. `has_data`: a missing volume is lost data, not something to create.
    /// [`Failure::NotYet`] while it starts.
    pub async fn bring_up(&self, addon: &Addon, has_data: bool) -> Result<Up, Failure> {
        let life = Life { provisioned: has_data, ..Life::new(UnixMs::default()) };
        for _ in 0..STEPS_MAX {
            let seen = self.observe(addon).await?;
            let action = lifecycle::next_action(&life, &seen, UnixMs::default()).action;
            match &action {
                Action::Wait(time) => tokio::time::sleep(*time).await,
                Action::CheckLogin | Action::Nothing => return self.log_in_directly(addon, &seen).await,
                action => drop(self.carry_out(addon, action, &seen, &|_| ()).await?),
            }
        }
        Err(Failure::Retry("its container does not stay as it is made".into()))
    }

    async fn log_in_directly(&self, addon: &Addon, seen: &Seen) -> Result<Up, Failure> {
        let Container::Ours { id, phase: Phase::Running, start, .. } = &seen.container else {
            return Err(match &seen.container {
                Container::Ours { id, .. } => self.ended(id).await,
                _ => Failure::NotYet("its container is gone".into()),
            });
        };
        let kind = kind(addon)?;
        let address = SocketAddr::new(self.address(id).await?, kind.port());
        let (login, password) = self.application(addon)?;
        let Err(reason) = kind.check_login(address, &addon.name, &login, &password).await else {
            return Ok(Up { id: id.clone(), start: start.clone() });
        };
        // A new engine knows nobody but Pierhead's own user, where it has one.
        let second = match self.superuser(addon, kind) {
            Some(_) => self.set_up(addon, id).await.err(),
            None => None,
        };
        let second = match second {
            Some(Failure::NotYet(second)) => format!("; {second}"),
            Some(failure) => return Err(failure),
            None => String::new(),
        };
        let last = self.last_log_line(id).await;
        Err(Failure::NotYet(format!(
            "a login at the container fails: {reason}{second}; its log ends with: {last}"
        )))
    }

    async fn address(&self, container: &str) -> Result<IpAddr, Failure> {
        let inspect =
            self.docker().await?.inspect_container(container, None::<query::InspectContainerOptions>).await;
        let settings = inspect.map_err(|error| self.engine.failure(error))?.network_settings;
        let networks = settings.and_then(|settings| settings.networks).unwrap_or_default();
        let mut addresses = networks.into_values().filter_map(|endpoint| endpoint.ip_address?.parse().ok());
        addresses.next().ok_or_else(|| Failure::NotYet("its container has no address yet".into()))
    }

    /// The container of this generation; `None` if there is none.
    pub async fn container_of(&self, addon: &Addon) -> Result<Option<String>, Failure> {
        Ok(match self.observe(addon).await?.container {
            Container::Ours { id, .. } => Some(id),
            _ => None,
        })
    }

    /// Stops the container of this generation, if it runs.
    pub async fn stop_engine(&self, addon: &Addon) -> Result<(), Failure> {
        match self.observe(addon).await?.container {
            Container::Ours { id, phase: Phase::Running | Phase::Restarting | Phase::Paused, .. } => {
                self.stop(&id).await
            }
            _ => Ok(()),
        }
    }

    /// Removes the container of this generation, and with `volume` its volume too. What is somebody else's stays.
    pub async fn remove_generation(&self, addon: &Addon, volume: bool) -> Result<(), Failure> {
        let seen = self.observe(addon).await?;
        if let Container::Ours { id, .. } = &seen.container {
            self.remove_container(id).await?;
        }
        if volume && matches!(seen.volume, Presence::Ours | Presence::Replaced) {
            self.remove_volume(addon).await?;
        }
        Ok(())
    }

    /// Pulls an image, unless it is there.
    pub async fn pull(
        &self,
        image: &str,
        progress: &(dyn Fn(images::Progress) + Send + Sync),
    ) -> Result<(), Failure> {
        self.ensure_image(image, progress).await
    }

    /// Whether the engine has an image.
    pub async fn is_pulled(&self, image: &str) -> Result<bool, Failure> {
        let docker = self.docker().await?;
        self.has_image(&docker, image).await
    }

    /// What a program of an image prints, in a container of its own without network or volume, which is gone afterwards.
    /// It comes to its end, and removes that container, also if nobody waits for the answer any more.
    pub async fn ask_image(
        self: &Arc<Self>,
        image: &str,
        command: &'static [&'static str],
    ) -> Result<String, Failure> {
        let (provisioner, image) = (Arc::clone(self), image.to_owned());
        let asked = tokio::spawn(async move { provisioner.ask(&image, command).await });
        asked.await.unwrap_or_else(|error| Err(Failure::Retry(error.to_string())))
    }

    async fn ask(&self, image: &str, command: &[&str]) -> Result<String, Failure> {
        let docker = self.docker().await?;
        let failed = |error| self.engine.failure(error);
        let [program, arguments @ ..] = command else { return Ok(String::new()) };
        let labels = [(LABEL_INSTANCE, self.instance.as_str()), (LABEL_MANAGED, "true")];
        let body = ContainerCreateBody {
            image: Some(image.to_owned()),
            entrypoint: Some(vec![(*program).to_owned()]),
            cmd: Some(arguments.iter().map(|argument| (*argument).to_owned()).collect()),
            labels: Some(labels.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            host_config: Some(HostConfig {
                network_mode: Some("none".into()),
                cap_drop: Some(vec!["ALL".into()]),
                memory: Some(256 << 20),
                ..Default::default()
            }),
            ..Default::default()
        };
        let options = query::CreateContainerOptionsBuilder::default().build();
        let id = docker.create_container(Some(options), body).await.map_err(failed)?.id;
        let asked = async {
            docker.start_container(&id, None).await.map_err(|error| {
                Failure::Lasting(format!(
                    "{image} has no program {program}: is it an image of this kind? ({error})"
                ))
            })?;
            let mut ended = docker.wait_container(&id, None);
            // An exit code that is not 0 is an error here; the text tells.
            let _ = tokio::time::timeout(ASK_TIMEOUT, ended.next()).await;
            let options = query::LogsOptionsBuilder::default().stdout(true).stderr(true).build();
            let mut lines = docker.logs(&id, Some(options));
            let mut text = String::new();
            while let Some(Ok(line)) = lines.next().await {
                text.push_str(&line.to_string());
                if text.len() > ANSWER_LEN_MAX {
                    break;
                }
            }
            Ok(text)
        };
        let answer = asked.await;
        self.remove_container(&id).await?;
        answer
    }

    /// Removes what [`Provisioner::ask_image`] of a Pierhead that was killed has left.
    pub async fn remove_asked(&self) {
        let Ok(docker) = self.docker().await else { return };
        let labels = vec![format!("{LABEL_INSTANCE}={}", self.instance), format!("{LABEL_MANAGED}=true")];
        let filters = HashMap::from([("label", labels)]);
        let options = query::ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        for found in docker.list_containers(Some(options)).await.unwrap_or_default() {
            let is_an_addons =
                found.labels.as_ref().is_some_and(|labels| labels.contains_key(super::LABEL_NAME));
            if let Some(id) = found.id.filter(|_| !is_an_addons)
                && let Err(failure) = self.remove_container(&id).await
            {
                tracing::warn!(
                    container = id,
                    ?failure,
                    "a container that was asked for its version is left"
                );
            }
        }
    }

    /// Starts a program that logs in as the superuser, with the password in a variable: Pierhead's own, or that of an addon
    /// from before there was one. [`Archive::LOGIN`] stands for its name.
    pub async fn program(
        &self,
        addon: &Addon,
        container: &str,
        command: &[String],
        password_variable: &str,
    ) -> Result<Program, Failure> {
        let (login, password) = match self.secrets().superuser(&addon.name).map_err(file_failure)? {
            Some(password) => (SUPERUSER, password),
            None => (addon.name.as_str(), self.secrets().read(&addon.name).map_err(file_failure)?),
        };
        let argument = |word: &String| if word == Archive::LOGIN { login.to_owned() } else { word.clone() };
        let command: Vec<_> = command.iter().map(argument).collect();
        self.exec(container, &command, vec![format!("{password_variable}={}", password.expose())]).await
    }

    /// Runs such a program to its end, which has to be a good one, and returns what it has printed.
    pub async fn answer(
        &self,
        addon: &Addon,
        container: &str,
        command: &[String],
        password_variable: &str,
    ) -> Result<String, Failure> {
        let Program { mut output, input, end } =
            self.program(addon, container, command, password_variable).await?;
        drop(input);
        let (mut printed, mut said) = (Vec::new(), Vec::new());
        while let Some(part) = output.next().await {
            let (to, bytes) = match part.map_err(|error| self.engine.failure(error))? {
                LogOutput::StdErr { message } => (&mut said, message),
                part => (&mut printed, part.into_bytes()),
            };
            if to.len() + bytes.len() > ANSWER_LEN_MAX {
                return Err(Failure::Lasting(format!("a program printed more than {ANSWER_LEN_MAX} bytes")));
            }
            to.extend_from_slice(&bytes);
        }
        match end.exit_code().await {
            Some(0) => Ok(String::from_utf8_lossy(&printed).into_owned()),
            code => {
                let said: String = String::from_utf8_lossy(&said).trim().chars().take(SAID_LEN_MAX).collect();
                Err(Failure::Retry(format!("{said} (exit code {code:?})")))
            }
        }
    }

    /// How much the data of an addon take, and how much is free beside them, in KiB.
    pub async fn disk(&self, addon: &Addon, container: &str) -> Result<(u64, u64), Failure> {
        let inspect =
            self.docker().await?.inspect_container(container, None::<query::InspectContainerOptions>).await;
        let mounts = inspect.map_err(|error| self.engine.failure(error))?.mounts.unwrap_or_default();
        let volume = volume_name(&addon.name, addon.volume);
        let data = mounts.into_iter().find(|mount| mount.name.as_deref() == Some(&volume));
        let path = data.and_then(|mount| mount.destination).ok_or_else(|| {
            Failure::Lasting(format!("the volume {volume} is not mounted in its container"))
        })?;
        let script = "du -sk \"$1\" | cut -f1; df -Pk \"$1\" | tail -n 1 | awk '{print $4}'";
        let command = ["sh", "-c", script, "upgrade", &path].map(str::to_owned);
        let text = self.answer(addon, container, &command, "PIERHEAD_UNUSED").await?;
        let mut numbers = text.lines().map(str::trim).map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(used)), Some(Ok(free))) => Ok((used, free)),
            _ => Err(Failure::Retry(format!("du and df in its container say {text:?}"))),
        }
    }
}

/// More steps than any way to a running container has.
const STEPS_MAX: u32 = 40;
const ASK_TIMEOUT: Duration = Duration::from_secs(20);
/// An inventory has a line for each table.
const ANSWER_LEN_MAX: usize = 64 << 20;
const SAID_LEN_MAX: usize = 1000;
