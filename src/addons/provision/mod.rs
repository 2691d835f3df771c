//! The Docker objects that an addon is made of. In come actions of the lifecycle; out go Docker calls.
//!
//! Every action can be repeated: what is there already and ours is left as it is. What is there and somebody
//! else's is never touched.

mod beside;
mod containers;
mod engine;
mod exec;
mod logins;
mod networks;
mod observe;
mod orphans;
mod settings;
mod spec;
mod upgrade;
mod volumes;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::query_parameters as query;
use futures_util::StreamExt;

use super::kinds::{self, Kind};
use super::lifecycle::{Action, Container, Failure, Phase, Seen};
use super::secrets::Secrets;
use super::store::Store;
use super::{Addon, crash};
use crate::config::{Config, KindConfig, Plan};
use crate::docker::images::{self, ImageError};
pub use engine::Engine;
pub use exec::{End, Program};
pub use orphans::Object;
pub use spec::{LABEL_GENERATION, LABEL_INSTANCE, LABEL_MANAGED, LABEL_NAME, volume_name};
pub use upgrade::Up;

/// Where clients of this host reach the edge for a kind; `None` if it does not listen for its protocol.
pub type LoginAddress = Arc<dyn Fn(&dyn Kind) -> Option<SocketAddr> + Send + Sync>;

/// Carries out what the lifecycle decides.
pub struct Provisioner {
    engine: Arc<Engine>,
    config: Arc<Config>,
    secrets: Secrets,
    store: Arc<Store>,
    instance: String,
    login_address: LoginAddress,
    /// Held while a network is looked for or made: two of the same name can exist, and confuse everybody.
    networks: tokio::sync::Mutex<()>,
    /// Held, by name, while users of an engine are made as rows say: a row that was read before must not be carried out after
    /// a later one.
    turns: [tokio::sync::Mutex<()>; TURNS],
    quotas: volumes::Quotas,
}

/// Addons wait for each other only where their names fall together.
const TURNS: usize = 16;

/// What an action brought to light.
#[derive(Clone, Debug, PartialEq)]
pub enum Done {
    /// Nothing beyond its effect.
    Plain,
    /// The container with this id was made.
    Created(String),
    /// A login succeeded since this start of the container.
    LoggedIn(String),
}

impl Provisioner {
    /// What is labelled with another instance than the store's is somebody else's. Its rows say which logins there are.
    pub fn new(
        engine: Arc<Engine>,
        config: Arc<Config>,
        store: Arc<Store>,
        login_address: LoginAddress,
    ) -> Self {
        let secrets = Secrets::new(&config.data_dir);
        let networks = tokio::sync::Mutex::new(());
        let instance = store.instance().to_owned();
        Provisioner {
            engine,
            config,
            secrets,
            store,
            instance,
            login_address,
            networks,
            turns: Default::default(),
            quotas: volumes::Quotas::default(),
        }
    }

    /// Where this installation keeps its files.
    pub fn data_dir(&self) -> &std::path::Path {
        &self.config.data_dir
    }

    /// The passwords.
    pub fn secrets(&self) -> &Secrets {
        &self.secrets
    }

    /// Carries out one action on what was seen. `progress` hears how a pull goes on.
    pub async fn act(
        &self,
        addon: &Addon,
        action: &Action,
        seen: &Seen,
        progress: &(dyn Fn(images::Progress) + Send + Sync),
    ) -> Result<Done, Failure> {
        crash::point("before", action.as_str());
        let done = self.carry_out(addon, action, seen, progress).await?;
        crash::point("after", action.as_str());
        Ok(done)
    }

    async fn carry_out(
        &self,
        addon: &Addon,
        action: &Action,
        seen: &Seen,
        progress: &(dyn Fn(images::Progress) + Send + Sync),
    ) -> Result<Done, Failure> {
        let container = match &seen.container {
            Container::Ours { id, .. } => id.as_str(),
            _ => "",
        };
        match action {
            // These concern the row, which is the reconciler's.
            Action::Nothing | Action::Wait(_) | Action::WantRunning | Action::Forget => {}
            Action::Fail(reason) => return Err(Failure::Lasting(reason.clone())),
            Action::EnsureSecret => self.ensure_secret(addon)?,
            Action::EnsureImage => self.ensure_image(&addon.image, progress).await?,
            Action::EnsureNetwork => drop(self.network(true).await?),
            Action::EnsureVolume => self.ensure_volume(addon).await?,
            Action::EnsureContainer => return self.ensure_container(addon).await.map(Done::Created),
            Action::Rename => self.rename(container, addon).await?,
            Action::Connect => self.connect(container).await?,
            Action::SetLimits => self.set_limits(addon, container).await?,
            Action::Start => {
                // The password may have been changed, and the engine is about to read it.
                self.ensure_secret(addon)?;
                self.start(container).await?;
            }
            Action::Unpause => self
                .docker()
                .await?
                .unpause_container(container)
                .await
                .map_err(|error| self.engine.failure(error))?,
            Action::CheckLogin => return self.check_login(addon, &seen.container).await,
            Action::Stop => self.stop(container).await?,
            Action::RemoveContainer => self.remove_container(container).await?,
            Action::RemoveVolume => self.remove_volume(addon).await?,
            Action::RemoveSecret => self.secrets.remove(&addon.name).map_err(file_failure)?,
        }
        Ok(Done::Plain)
    }

    async fn ensure_image(
        &self,
        image: &str,
        progress: &(dyn Fn(images::Progress) + Send + Sync),
    ) -> Result<(), Failure> {
        let ensured = images::ensure(&self.docker().await?, image, progress).await;
        ensured.map(drop).map_err(|error| match error {
            ImageError::NotFound { .. } => Failure::Lasting(error.to_string()),
            ImageError::Pull { .. } | ImageError::Stalled { .. } | ImageError::Engine { .. } => {
                Failure::Retry(error.to_string())
            }
        })
    }

    async fn check_login(&self, addon: &Addon, container: &Container) -> Result<Done, Failure> {
        let Container::Ours { id, phase, start, .. } = container else {
            return Err(Failure::Retry("its container is gone".into()));
        };
        if *phase == Phase::Restarting {
            return Err(self.ended(id).await);
        }
        let kind = kind(addon)?;
        let address = (self.login_address)(kind).ok_or_else(|| {
            Failure::Lasting(format!("the edge does not listen for {}: add a [[listener]]", addon.protocol))
        })?;
        let (login, password) = self.application(addon)?;
        let reason = match kind.check_login(address, &addon.name, &login, &password).await {
            Ok(()) => return Ok(Done::LoggedIn(start.clone())),
            Err(reason) => format!("a login through {address} fails: {reason}"),
        };
        if self.superuser(addon, kind).is_none() {
            return Err(Failure::NotYet(reason));
        }
        // The engine may be up, and not know the application yet, or by another password.
        match self.set_up(addon, id).await {
            Ok(()) => Err(Failure::NotYet(reason)),
            Err(Failure::NotYet(second)) => Err(Failure::NotYet(format!("{reason}; {second}"))),
            Err(failure) => Err(failure),
        }
    }

    /// That an engine does not stay up, and why.
    pub(super) async fn ended(&self, container: &str) -> Failure {
        let last = self.last_log_line(container).await;
        let hint = match self.ran_out_of_memory(container).await {
            true => "it ran out of memory, so give it a larger plan (`pierhead set`); its log ends with: ",
            false => "",
        };
        Failure::NotYet(format!("the engine ends as soon as it has started: {hint}{last}"))
    }

    async fn ran_out_of_memory(&self, container: &str) -> bool {
        let Ok(docker) = self.docker().await else { return false };
        let inspect = docker.inspect_container(container, None::<query::InspectContainerOptions>).await;
        inspect.ok().and_then(|found| found.state?.oom_killed).unwrap_or(false)
    }

    /// What the engine said last. Empty if that cannot be found out: it is only there to explain something else.
    pub(in crate::addons) async fn last_log_line(&self, container: &str) -> String {
        let Ok(docker) = self.docker().await else { return String::new() };
        let options = query::LogsOptionsBuilder::default().stdout(true).stderr(true).tail("1").build();
        let mut lines = std::pin::pin!(docker.logs(container, Some(options)));
        match tokio::time::timeout(Duration::from_secs(2), lines.next()).await {
            Ok(Some(Ok(line))) => line.to_string().trim().chars().take(300).collect(),
            _ => String::new(),
        }
    }

    pub(super) async fn docker(&self) -> Result<Docker, Failure> {
        self.engine.connected().await.map_err(|error| Failure::Retry(error.to_string()))
    }

    fn kind_config(&self, addon: &Addon) -> Result<&KindConfig, Failure> {
        let missing = || format!("kind {0} is not configured any more: put [kind.{0}] back", addon.kind);
        self.config.kinds.get(&addon.kind).ok_or_else(|| Failure::Lasting(missing()))
    }

    fn plan(&self, addon: &Addon) -> Result<&Plan, Failure> {
        let missing = || format!("plan {0} is not configured any more: put [plan.{0}] back", addon.plan);
        self.config.plans.get(&addon.plan).ok_or_else(|| Failure::Lasting(missing()))
    }
}

fn kind(addon: &Addon) -> Result<&'static dyn Kind, Failure> {
    let unknown = || Failure::Lasting(format!("this pierhead does not know the kind {}", addon.kind));
    kinds::find(addon.kind.as_str()).ok_or_else(unknown)
}

fn file_failure(error: std::io::Error) -> Failure {
    Failure::Retry(format!("the password file: {error}"))
}
