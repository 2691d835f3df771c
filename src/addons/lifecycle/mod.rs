//! The life of an addon, sans-IO. In come what is wanted and what is there; out goes the one thing to do next.
//!
//! Nothing is remembered between two decisions but the row: after every action the world is looked at again.
//! So a crash at any moment, a failed action and somebody else's `docker rm` are all the same case.

pub mod provided;
mod states;

use std::time::Duration;

pub use states::{Action, Container, Desired, Phase, Presence, Seen, State, Step};

use super::UnixMs;

/// The part of an addon's row that its life is decided by.
#[derive(Clone, Debug, PartialEq)]
pub struct Life {
    /// What is wanted. Written before anything is done about it.
    pub desired: Desired,
    /// How far it has come. Written before the action that it announces.
    pub state: State,
    /// Why it is in [`State::Error`], or why the present step is being tried again.
    pub reason: Option<String>,
    /// Whether it was ready once. From then on a missing volume is lost data, not something to create.
    pub provisioned: bool,
    /// The start of the container (Docker's `StartedAt`) that last let a login in.
    pub checked: Option<String>,
    /// When `state` was entered.
    pub since: UnixMs,
    /// Failures in a row.
    pub attempts: u32,
    /// Not before this moment is anything tried again; 0 for at once.
    pub retry_at: UnixMs,
}

impl Life {
    /// An addon that has just been asked for.
    pub fn new(now: UnixMs) -> Self {
        Life {
            desired: Desired::Running,
            state: State::Waiting,
            reason: None,
            provisioned: false,
            checked: None,
            since: now,
            attempts: 0,
            retry_at: 0,
        }
    }

    /// Whether nothing is left to do, or nothing more will be done before somebody looks into it.
    pub fn is_settled(&self) -> bool {
        match self.state {
            State::Error => true,
            State::Ready => self.desired == Desired::Running,
            State::Stopped => self.desired == Desired::Stopped,
            _ => false,
        }
    }

    /// Somebody wants something else, or the same once more: earlier failures count no longer.
    pub fn want(&mut self, desired: Desired, now: UnixMs) {
        self.desired = desired;
        (self.attempts, self.retry_at, self.reason) = (0, 0, None);
        if self.state == State::Error {
            self.enter(State::Waiting, now);
        }
    }

    fn enter(&mut self, state: State, now: UnixMs) {
        if self.state != state {
            (self.state, self.since) = (state, now);
        }
    }
}

/// What to do next: the state to be written first, then the action.
#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    /// The addon's state from now on.
    pub state: State,
    /// What to do once that is written.
    pub action: Action,
}

/// How long nothing is to be tried after a failure; `None` if something may be tried now.
pub fn pause(life: &Life, now: UnixMs) -> Option<Duration> {
    // A wall clock may be set back: no pause is longer than the longest that was ever asked for.
    let wait_ms = (life.retry_at - now).min(RETRY_MAX.as_millis() as i64);
    (wait_ms > 0).then(|| Duration::from_millis(wait_ms as u64))
}

/// Decides what to do next about an addon. Pure: the same row, world and time give the same answer.
pub fn next_action(life: &Life, seen: &Seen, now: UnixMs) -> Decision {
    if let Some(time) = pause(life, now) {
        return Decision { state: life.state, action: Action::Wait(time) };
    }
    let (state, action) = match life.desired {
        Desired::Running => run(life, seen),
        Desired::Restart => restart(seen),
        Desired::Stopped => stop(seen),
        Desired::Destroyed => destroy(seen),
    };
    // An error stays visible until it is overcome: an addon that is tried once a minute is not "starting".
    let overcome = matches!(state, State::Ready | State::Stopped);
    let state = if life.state == State::Error && !overcome { State::Error } else { state };
    Decision { state, action }
}

fn run(life: &Life, seen: &Seen) -> (State, Action) {
    if let Some(reason) = conflict(seen).or_else(|| loss(life, seen)) {
        return (life.state, Action::Fail(reason));
    }
    let provisioning = |step, action| (State::Provisioning(step), action);
    // It never held anything: made again on purpose, it can be told from one that Docker has put there.
    if seen.volume == Presence::Replaced {
        let in_use = matches!(seen.container, Container::Ours { .. });
        let action = if in_use { Action::RemoveContainer } else { Action::RemoveVolume };
        return provisioning(Step::Volume, action);
    }
    let Container::Ours { phase, name_ok, attached, limits_ok, made_ok, start, .. } = &seen.container else {
        return match () {
            _ if !seen.secret => provisioning(Step::Secret, Action::EnsureSecret),
            _ if !seen.image => provisioning(Step::Image, Action::EnsureImage),
            _ if !seen.network => provisioning(Step::Network, Action::EnsureNetwork),
            _ if seen.volume == Presence::Missing => provisioning(Step::Volume, Action::EnsureVolume),
            _ => provisioning(Step::Container, Action::EnsureContainer),
        };
    };
    match phase {
        Phase::Removing => return provisioning(Step::Container, Action::Wait(LOOK_AGAIN)),
        Phase::Dead => return provisioning(Step::Container, Action::RemoveContainer),
        _ if !name_ok => return provisioning(Step::Container, Action::Rename),
        // While it runs it is left as it was made: only a restart that is wanted, or happens anyway, changes that.
        // Its image comes first: without it nothing could take the container's place.
        Phase::Down if !made_ok && !seen.image => return provisioning(Step::Image, Action::EnsureImage),
        Phase::Down if !made_ok => return provisioning(Step::Container, Action::RemoveContainer),
        _ if !attached => return provisioning(Step::Network, Action::Connect),
        _ if !limits_ok => return provisioning(Step::Container, Action::SetLimits),
        Phase::Paused => return provisioning(Step::Start, Action::Unpause),
        Phase::Down => return provisioning(Step::Start, Action::Start),
        // Docker is already starting it again; what it writes to its log says why it ended.
        Phase::Restarting => return provisioning(Step::Login, Action::CheckLogin),
        Phase::Running => {}
    }
    if life.checked.as_deref() == Some(start) && life.provisioned {
        return (State::Ready, Action::Nothing);
    }
    provisioning(Step::Login, Action::CheckLogin)
}

fn stop(seen: &Seen) -> (State, Action) {
    match &seen.container {
        Container::Ours { phase: Phase::Running | Phase::Restarting | Phase::Paused, .. } => {
            (State::Stopping, Action::Stop)
        }
        _ => (State::Stopped, Action::Nothing),
    }
}

fn restart(seen: &Seen) -> (State, Action) {
    match stop(seen) {
        (State::Stopped, _) => (State::Waiting, Action::WantRunning),
        still_running => still_running,
    }
}

/// In this order, so that what is left over after a crash is still known to belong to the addon.
fn destroy(seen: &Seen) -> (State, Action) {
    let action = match () {
        _ if matches!(seen.container, Container::Ours { phase: Phase::Removing, .. }) => {
            Action::Wait(LOOK_AGAIN)
        }
        _ if matches!(seen.container, Container::Ours { .. }) => Action::RemoveContainer,
        _ if matches!(seen.volume, Presence::Ours | Presence::Replaced) => Action::RemoveVolume,
        _ if seen.secret => Action::RemoveSecret,
        _ => Action::Forget,
    };
    (State::Deprovisioning, action)
}

/// What belongs to somebody else is never touched.
fn conflict(seen: &Seen) -> Option<String> {
    if let Container::Foreign(what) = &seen.container {
        return Some(format!("{what} is not Pierhead's: remove or rename it, or destroy this addon"));
    }
    (seen.volume == Presence::Foreign)
        .then(|| "the volume of this name is not Pierhead's: remove it, or destroy this addon".to_owned())
}

/// What was there and cannot be made again without losing the data for good.
fn loss(life: &Life, seen: &Seen) -> Option<String> {
    let container = matches!(seen.container, Container::Ours { .. });
    if life.provisioned && matches!(seen.volume, Presence::Missing | Presence::Replaced) {
        return Some("its volume is gone and the data with it: destroy the addon and create it again".into());
    }
    if !seen.secret && (container || seen.volume == Presence::Ours) {
        return Some(
            "its password file is gone: put it back, or destroy the addon and create it again".into(),
        );
    }
    None
}

/// Why an action did not succeed.
#[derive(Clone, Debug, PartialEq)]
pub enum Failure {
    /// It takes its time: ask again soon. Becomes an error when the step's deadline passes.
    NotYet(String),
    /// It may well succeed later. Becomes an error when the step's deadline passes.
    Retry(String),
    /// It will not succeed before somebody has changed something.
    Lasting(String),
}

/// What follows from a failure: the row is changed accordingly. `false` if there is nothing new to write.
pub fn after_failure(life: &mut Life, failure: Failure, deadlines: &Deadlines, now: UnixMs) -> bool {
    let late = now - life.since >= deadlines.of(life.state).as_millis() as i64;
    let (reason, delay, error) = match failure {
        Failure::NotYet(_) if !late && life.state != State::Error => return false,
        Failure::NotYet(reason) | Failure::Retry(reason) => (reason, backoff(life.attempts), late),
        Failure::Lasting(reason) => (reason, RETRY_MAX, true),
    };
    life.attempts = life.attempts.saturating_add(1);
    life.retry_at = now + delay.as_millis() as i64;
    life.reason = Some(reason);
    if error {
        life.enter(State::Error, now);
    }
    true
}

/// What follows from a decision: the row takes the state that is about to be acted on. `false` if nothing changed.
pub fn enter(life: &mut Life, state: State, now: UnixMs) -> bool {
    let settled = matches!(state, State::Ready | State::Stopped);
    let (changed, failures) = (life.state != state, life.attempts > 0 || life.reason.is_some());
    life.enter(state, now);
    if settled || (changed && state != State::Error) {
        (life.attempts, life.retry_at, life.reason) = (0, 0, None);
        return changed || failures;
    }
    changed
}

/// How long a state may fail before the addon is in error. It is tried again even then, but rarely.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Deadlines {
    /// The image is pulled.
    pub image: Duration,
    /// The engine starts until it lets a login in.
    pub login: Duration,
    /// The provider works.
    pub provider: Duration,
    /// An engine in no container cannot be reached.
    pub check: Duration,
    /// Each other step, and being stopped or destroyed.
    pub step: Duration,
}

impl Default for Deadlines {
    fn default() -> Self {
        let [image, login, provider, check, step] = [900, 180, 1800, 30, 90].map(Duration::from_secs);
        Deadlines { image, login, provider, check, step }
    }
}

impl Deadlines {
    /// That of a state.
    pub fn of(&self, state: State) -> Duration {
        match state {
            State::Provisioning(Step::Image) => self.image,
            State::Provisioning(Step::Login) => self.login,
            State::Provisioning(Step::Complete) => self.provider,
            State::Provisioned | State::Ready => self.check,
            _ => self.step,
        }
    }
}

fn backoff(attempts: u32) -> Duration {
    (RETRY_MIN * 2u32.saturating_pow(attempts.min(16))).min(RETRY_MAX)
}

/// How soon to look again at something that goes on by itself.
pub const LOOK_AGAIN: Duration = Duration::from_millis(250);
const RETRY_MIN: Duration = Duration::from_millis(500);
const RETRY_MAX: Duration = Duration::from_secs(60);

#[cfg(test)]
mod model;
#[cfg(test)]
mod tests;
