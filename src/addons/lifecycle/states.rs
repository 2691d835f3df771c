//! The words of the lifecycle: what is wanted, how far it is, what is there, what to do.

use std::fmt;
use std::time::Duration;

/// What somebody wants of an addon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Desired {
    /// It accepts logins.
    Running,
    /// As [`Desired::Running`], but its engine is to be stopped once before.
    Restart,
    /// Its engine is stopped, its data kept.
    Stopped,
    /// Nothing is left of it.
    Destroyed,
}

/// How far an addon has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Asked for, not begun.
    Waiting,
    /// On its way to [`State::Ready`].
    Provisioning(Step),
    /// Its provider has made it; it is not known yet, or not now, whether it can be reached.
    Provisioned,
    /// A login with its password has succeeded through the edge since its engine last started.
    Ready,
    /// Its engine is being stopped.
    Stopping,
    /// Its engine is stopped, its data are kept.
    Stopped,
    /// It is being removed. Afterwards there is no row.
    Deprovisioning,
    /// Something went wrong that takes long or needs somebody; the reason is beside it.
    Error,
}

/// The steps of provisioning, in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// Its provider is asked to begin. A container begins with what follows.
    Begin,
    /// Its provider makes it.
    Complete,
    /// The password is made.
    Secret,
    /// The image is pulled.
    Image,
    /// A network with room is found or made.
    Network,
    /// The volume is made.
    Volume,
    /// The container is made.
    Container,
    /// The container is started.
    Start,
    /// The engine starts until it lets a login in through the edge.
    Login,
}

/// What is there of an addon.
#[derive(Clone, Debug, PartialEq)]
pub struct Seen {
    /// Whether the password file is there.
    pub secret: bool,
    /// Whether the engine has the image. Matters only while a container is to be made.
    pub image: bool,
    /// Whether there is a network with room. Matters only while there is no container.
    pub network: bool,
    /// The volume.
    pub volume: Presence,
    /// The container.
    pub container: Container,
}

/// Whether something with the addon's name is there, and whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Presence {
    /// It is not there.
    Missing,
    /// It is there, with this Pierhead's label.
    Ours,
    /// It is there, but empty: Docker has made it for a container, in the place of one that was gone by then.
    Replaced,
    /// It is there, and somebody else made it.
    Foreign,
}

/// The container of an addon.
#[derive(Clone, Debug, PartialEq)]
pub enum Container {
    /// There is none.
    Missing,
    /// One that somebody else made has its name; the text says which.
    Foreign(String),
    /// There is one with this Pierhead's labels, whatever it is called by now.
    Ours {
        /// Full Docker id.
        id: String,
        /// What it does.
        phase: Phase,
        /// Whether it has the addon's name.
        name_ok: bool,
        /// Whether it hangs on one of Pierhead's networks.
        attached: bool,
        /// Whether it has the limits of the addon's plan.
        limits_ok: bool,
        /// Whether what can only be said when it is made - arguments, variables, connections at once - is what would be
        /// said now.
        made_ok: bool,
        /// Docker's `StartedAt`: tells one start from the next.
        start: String,
    },
}

/// What a container does, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Created or exited.
    Down,
    /// Running.
    Running,
    /// Exited by itself, and Docker is about to start it again.
    Restarting,
    /// Frozen by somebody.
    Paused,
    /// Being removed.
    Removing,
    /// Docker failed to remove it.
    Dead,
}

/// The one thing to do next. Each can be repeated, and is, if a crash hides whether it was done.
#[derive(Clone, Debug, PartialEq)]
pub enum Action {
    /// All is as it should be.
    Nothing,
    /// Look again after this time.
    Wait(Duration),
    /// Nothing can be done about it by Pierhead: the reason becomes the addon's error.
    Fail(String),
    /// Make the password file.
    EnsureSecret,
    /// Pull the image.
    EnsureImage,
    /// Find or make a network with room.
    EnsureNetwork,
    /// Make the volume.
    EnsureVolume,
    /// Make the container.
    EnsureContainer,
    /// Give the container its name back.
    Rename,
    /// Put the container back on a network.
    Connect,
    /// Give the container the limits of the plan.
    SetLimits,
    /// Start the container.
    Start,
    /// Thaw the container.
    Unpause,
    /// Log in through the edge.
    CheckLogin,
    /// Stop the container.
    Stop,
    /// The container is down, as a restart wants: from now on the addon is wanted running.
    WantRunning,
    /// Remove the container.
    RemoveContainer,
    /// Remove the volume, and the data with it.
    RemoveVolume,
    /// Remove the password file.
    RemoveSecret,
    /// Remove the row.
    Forget,
}

impl Desired {
    const ALL: [Desired; 4] = [Desired::Running, Desired::Restart, Desired::Stopped, Desired::Destroyed];

    /// The word in the store and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Desired::Running => "running",
            Desired::Restart => "restart",
            Desired::Stopped => "stopped",
            Desired::Destroyed => "destroyed",
        }
    }

    /// The other way round; `None` for any other word.
    pub fn parse(word: &str) -> Option<Self> {
        Desired::ALL.into_iter().find(|desired| desired.as_str() == word)
    }
}

impl State {
    /// Every state without steps.
    pub const PLAIN: [State; 7] = [
        State::Waiting,
        State::Provisioned,
        State::Ready,
        State::Stopping,
        State::Stopped,
        State::Deprovisioning,
        State::Error,
    ];

    /// The word in the API and in metrics. `sleeping` is kept for addons that start when somebody logs in.
    pub const fn as_str(self) -> &'static str {
        match self {
            State::Waiting => "waiting",
            // What can be made is made.
            State::Provisioning(Step::Login) | State::Provisioned => "provisioned",
            State::Provisioning(_) => "provisioning",
            State::Ready => "ready",
            State::Stopping => "stopping",
            State::Stopped => "stopped",
            State::Deprovisioning => "deprovisioning",
            State::Error => "error",
        }
    }

    /// The step, while provisioning.
    pub fn step(self) -> Option<Step> {
        match self {
            State::Provisioning(step) => Some(step),
            _ => None,
        }
    }

    /// From the form of [`fmt::Display`]; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let steps = Step::ALL.into_iter().map(State::Provisioning);
        State::PLAIN.into_iter().chain(steps).find(|state| state.to_string() == text)
    }
}

/// As in the store: `ready`, `provisioning:image`, `provisioned:login`.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())?;
        self.step().map_or(Ok(()), |step| write!(f, ":{}", step.as_str()))
    }
}

impl Step {
    /// Every step, in order.
    pub const ALL: [Step; 9] = [
        Step::Begin,
        Step::Complete,
        Step::Secret,
        Step::Image,
        Step::Network,
        Step::Volume,
        Step::Container,
        Step::Start,
        Step::Login,
    ];

    /// The word in the store and in the API.
    pub fn as_str(self) -> &'static str {
        match self {
            Step::Begin => "begin",
            Step::Complete => "provider",
            Step::Secret => "secret",
            Step::Image => "image",
            Step::Network => "network",
            Step::Volume => "volume",
            Step::Container => "container",
            Step::Start => "start",
            Step::Login => "login",
        }
    }
}

impl Action {
    /// The word in logs and in the names of crash points.
    pub fn as_str(&self) -> &'static str {
        match self {
            Action::Nothing => "nothing",
            Action::Wait(_) => "wait",
            Action::Fail(_) => "fail",
            Action::EnsureSecret => "ensure-secret",
            Action::EnsureImage => "ensure-image",
            Action::EnsureNetwork => "ensure-network",
            Action::EnsureVolume => "ensure-volume",
            Action::EnsureContainer => "ensure-container",
            Action::Rename => "rename",
            Action::Connect => "connect",
            Action::SetLimits => "set-limits",
            Action::Start => "start",
            Action::Unpause => "unpause",
            Action::CheckLogin => "check-login",
            Action::Stop => "stop",
            Action::WantRunning => "want-running",
            Action::RemoveContainer => "remove-container",
            Action::RemoveVolume => "remove-volume",
            Action::RemoveSecret => "remove-secret",
            Action::Forget => "forget",
        }
    }
}
