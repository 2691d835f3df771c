//! The upgrade of an addon to another version of its engine, sans-IO. In come the row of the upgrade and how its last
//! action has ended; out go the next action and the next stage.
//!
//! A stage is written before it is acted on, and every action can be repeated, so that a crash is followed by the same
//! stage again. There is one exception: data that were half moved are not moved once more, but left; the old engine has all
//! of them until the switch, and has not been written to since logins were held. So whatever happens, exactly one container
//! is the addon's, and it has every write that was acknowledged.

mod stages;

use std::time::Duration;

pub use stages::{Action, Method, Stage};

use super::UnixMs;
use super::lifecycle::Failure;
use crate::dialect::Name;

/// The row of an upgrade. There is at most one for each addon.
#[derive(Clone, Debug, PartialEq)]
pub struct Upgrade {
    /// Whose.
    pub addon: Name,
    /// The image before.
    pub from_image: String,
    /// The image after.
    pub to_image: String,
    /// What the engine before says its version is; empty until that is known.
    pub from_version: String,
    /// What the engine after says its version is; empty until that is known.
    pub to_version: String,
    /// Which way the data take; known once the versions are.
    pub method: Method,
    /// The generation and volume before.
    pub from: Place,
    /// The generation and volume after.
    pub to: Place,
    /// How far it is.
    pub stage: Stage,
    /// Why it has failed, why it goes back, or why an action is tried again.
    pub reason: Option<String>,
    /// How long logins may be held, in milliseconds, before everything goes back.
    pub hold_max_ms: i64,
    /// Since when logins are held.
    pub held_at: Option<UnixMs>,
    /// When `stage` was entered.
    pub since: UnixMs,
    /// When it was asked for.
    pub started_at: UnixMs,
    /// How many bytes were moved.
    pub moved_bytes: u64,
}

/// Where one version of an addon is: which of its containers, on which of its volumes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The number of the container: 1 is what the addon was created with.
    pub generation: u32,
    /// The generation that made the volume.
    pub volume: u32,
}

/// What an action brought to light.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Nothing beyond its effect.
    Plain,
    /// The versions, and the way that the data have to take.
    Planned {
        /// Of the engine before.
        from: String,
        /// Of the engine after.
        to: String,
        /// The way.
        method: Method,
    },
    /// So many bytes were moved.
    Moved(u64),
}

impl Upgrade {
    /// An upgrade that has just been asked for, of an addon that is at `from`. `to` is where nothing is yet.
    pub fn new(
        addon: Name,
        images: (String, String),
        from: Place,
        generation: u32,
        hold_max_ms: i64,
        now: UnixMs,
    ) -> Self {
        Upgrade {
            addon,
            from_image: images.0,
            to_image: images.1,
            from_version: String::new(),
            to_version: String::new(),
            method: Method::Move,
            from,
            to: Place { generation, volume: generation },
            stage: Stage::Check,
            reason: None,
            hold_max_ms,
            held_at: None,
            since: now,
            started_at: now,
            moved_bytes: 0,
        }
    }

    /// What belongs to the present stage.
    pub fn action(&self) -> Action {
        match self.stage {
            Stage::Check => Action::Check,
            Stage::Prepare => Action::Prepare,
            Stage::Hold => Action::EndSessions,
            Stage::Stop | Stage::Settle => Action::StopOld,
            Stage::Move => Action::Move,
            Stage::Verify => Action::Verify,
            Stage::Switch => Action::Switch,
            Stage::Finish => Action::RemoveOld,
            Stage::Return => Action::Return,
            Stage::Revive => Action::Revive,
            Stage::Remove => Action::RemoveNew,
            Stage::Kept | Stage::Undone | Stage::Failed => Action::Nothing,
        }
    }

    /// Whether logins wait. Until the sessions have ended, too, those that come.
    pub fn holds(&self) -> bool {
        match self.stage {
            Stage::Hold | Stage::Stop | Stage::Move | Stage::Verify | Stage::Switch => true,
            Stage::Return | Stage::Revive => true,
            Stage::Prepare => self.method == Method::Swap,
            // Both engines must never run on one volume: the lifecycle starts the new one only once the old one is down.
            Stage::Settle => self.method == Method::Swap,
            _ => false,
        }
    }

    /// Whether the addon's containers are this upgrade's business, and not that of the lifecycle.
    pub fn owns(&self) -> bool {
        self.holds()
    }

    /// How long the present action may take; `None`: as long as it takes. What logins wait for ends with `hold_max`.
    pub fn time_left(&self, now: UnixMs) -> Option<Duration> {
        let since = |at: UnixMs, allowed_ms: i64| {
            // A wall clock may be set back: no time is longer than what was allowed.
            Duration::from_millis((at + allowed_ms - now).clamp(0, allowed_ms) as u64)
        };
        let stage = deadline(self.stage).map(|allowed| since(self.since, allowed.as_millis() as i64));
        let held = match (self.stage, self.held_at) {
            (Stage::Stop | Stage::Prepare | Stage::Hold | Stage::Move | Stage::Verify, Some(at)) => {
                Some(since(at, self.hold_max_ms))
            }
            _ => None,
        };
        stage.into_iter().chain(held).min()
    }

    /// The present action has succeeded.
    pub fn succeeded(&mut self, outcome: Outcome, now: UnixMs) {
        match outcome {
            Outcome::Plain => {}
            Outcome::Planned { from, to, method } => {
                (self.from_version, self.to_version, self.method) = (from, to, method);
                if method == Method::Swap {
                    self.to.volume = self.from.volume;
                }
            }
            Outcome::Moved(bytes) => self.moved_bytes = bytes,
        }
        let next = match (self.stage, self.method) {
            (Stage::Check, Method::Move) => Stage::Prepare,
            (Stage::Check, Method::Swap) | (Stage::Prepare, Method::Move) => Stage::Hold,
            (Stage::Hold, Method::Move) => Stage::Move,
            (Stage::Hold, Method::Swap) => Stage::Stop,
            (Stage::Stop, _) => Stage::Prepare,
            (Stage::Move, _) => Stage::Verify,
            (Stage::Verify, _) | (Stage::Prepare, Method::Swap) => Stage::Switch,
            (Stage::Switch, _) => Stage::Settle,
            (Stage::Settle, _) => Stage::Kept,
            (Stage::Return | Stage::Revive, _) => Stage::Remove,
            (Stage::Remove, _) => Stage::Undone,
            (Stage::Kept | Stage::Finish | Stage::Undone | Stage::Failed, _) => self.stage,
        };
        // From the failure on, the reason says why it goes back.
        if !matches!(self.stage, Stage::Return | Stage::Revive | Stage::Remove) {
            self.reason = None;
        }
        self.enter(next, now);
    }

    /// The present action has failed, or its time is over. Says how long to wait before it is tried again, if it is.
    pub fn failed(&mut self, failure: Failure, now: UnixMs) -> Duration {
        let (lasting, reason) = match failure {
            Failure::NotYet(reason) | Failure::Retry(reason) => (false, reason),
            Failure::Lasting(reason) => (true, reason),
        };
        let over = lasting || self.time_left(now).is_some_and(|left| left.is_zero());
        match self.stage {
            Stage::Check | Stage::Prepare | Stage::Hold | Stage::Stop if over => self.go_back(reason, now),
            // Half of the data may be there already; and who does not hold the same, will not later.
            Stage::Move | Stage::Verify => self.go_back(reason, now),
            // Whoever wants to go back keeps what works, rather than nothing.
            Stage::Return if over => {
                self.reason = Some(format!("the rollback failed: {reason}"));
                self.enter(Stage::Settle, now);
            }
            // The lifecycle goes on trying, and shows what is wrong. Nothing is removed. On a volume that both use, though, it
            // could start the old engine beside the new one: that has to be stopped before.
            Stage::Revive if over && self.method == Method::Move => {
                let why = self.reason.take().unwrap_or_default();
                self.reason = Some(format!("{why}; and then: {reason}"));
                self.enter(Stage::Failed, now);
            }
            _ => {
                if self.stage != Stage::Revive && self.stage != Stage::Remove {
                    self.reason = Some(reason);
                }
                let waited_for = (self.holds() && !over) || self.stage == Stage::Prepare;
                return if waited_for { TRY_AGAIN } else { TRY_AGAIN_LATER };
            }
        }
        Duration::ZERO
    }

    /// This process has found the row as another one has left it.
    pub fn resumed(&mut self, now: UnixMs) {
        if self.stage == Stage::Move {
            self.go_back("Pierhead was stopped while the data were moved".into(), now);
        }
    }

    /// Somebody wants it to end before it has. `false`: it is too late for that.
    pub fn cancel(&mut self, now: UnixMs) -> bool {
        let early =
            matches!(self.stage, Stage::Check | Stage::Prepare | Stage::Hold | Stage::Move | Stage::Verify)
                && !(self.stage == Stage::Prepare && self.method == Method::Swap);
        if early {
            self.go_back("it was cancelled".into(), now);
        }
        early
    }

    /// Somebody wants the old container to be removed. `false`: it is not the time.
    pub fn finish(&mut self, now: UnixMs) -> bool {
        let kept = self.stage == Stage::Kept;
        if kept {
            self.enter(Stage::Finish, now);
        }
        kept
    }

    /// Somebody wants the old container back. `false`: it is not the time.
    pub fn roll_back(&mut self, now: UnixMs) -> bool {
        let kept = self.stage == Stage::Kept;
        if kept {
            self.reason = Some("rolled back".into());
            self.enter(Stage::Return, now);
        }
        kept
    }

    fn go_back(&mut self, reason: String, now: UnixMs) {
        self.reason = Some(reason);
        // Before logins are held, the old engine is not touched.
        self.enter(if self.held_at.is_some() { Stage::Revive } else { Stage::Remove }, now);
    }

    fn enter(&mut self, stage: Stage, now: UnixMs) {
        if stage != self.stage {
            (self.stage, self.since) = (stage, now);
        }
        if !self.holds() {
            self.held_at = None;
        } else if self.held_at.is_none() {
            self.held_at = Some(now);
        }
    }
}

/// How long the action of a stage may fail or take.
fn deadline(stage: Stage) -> Option<Duration> {
    let seconds = match stage {
        Stage::Check => 900,
        Stage::Prepare | Stage::Return | Stage::Revive => 180,
        Stage::Hold | Stage::Stop => 60,
        // These are bounded by how long logins may be held, or by nothing: the last word is spoken already.
        _ => return None,
    };
    Some(Duration::from_secs(seconds))
}

const TRY_AGAIN: Duration = Duration::from_millis(300);
/// Where nobody waits.
const TRY_AGAIN_LATER: Duration = Duration::from_secs(2);

#[cfg(test)]
mod model;
