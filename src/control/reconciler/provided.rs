//! One round of an addon whose provider has no steps of its own: decide which call comes next, write the state, make the call, write
//! what came of it.

use std::time::Duration;

use super::{Next, Reconciler, STORE_PAUSE};
use crate::addons::lifecycle::provided::{Call, next_call};
use crate::addons::lifecycle::{self, Desired, Failure, State};
use crate::addons::order::Backend;
use crate::addons::providers::{Answer, Outcome, Provider, Shown};
use crate::addons::store::StoreError;
use crate::addons::{Addon, crash, kinds, now_ms};

/// What a call brought to light.
enum Came {
    /// Nothing that is kept.
    Nothing,
    /// It has begun.
    Begun { id: String, message: String },
    /// It is made.
    Made(Option<Backend>),
    /// It can be reached; at this address, if it is an engine.
    Reached(Option<String>),
    /// It is gone.
    Gone(String),
    /// It goes on.
    Later { after: Duration, message: String },
}

/// Why a call did not succeed.
enum Trouble {
    /// Its engine cannot be reached: that is looked at again soon, as clients wait for it.
    Away(Failure),
    /// Anything else; a login that is refused, say: who tries that too often may be locked out.
    Other(Failure),
}

impl From<Failure> for Trouble {
    fn from(failure: Failure) -> Self {
        Trouble::Other(failure)
    }
}

impl Reconciler {
    pub(super) async fn provided_round(
        &self,
        addon: &Addon,
        provider: &dyn Provider,
    ) -> Result<Next, StoreError> {
        let (state, call) = next_call(&addon.life, addon.order.id.is_some());
        let Some(addon) = self.enter_state(addon, state)? else { return Ok(Next::Again) };
        if call == Call::Nothing {
            return Ok(Next::Done);
        }
        crash::point("before", call.as_str());
        let came = self.make(&addon, provider, call).await;
        crash::point("after", call.as_str());
        match came {
            Ok(came) => self.write(&addon, call, came),
            Err(trouble) => self.call_failed(&addon, trouble),
        }
    }

    /// Writes the state that is about to be acted on. `None` if something else is wanted by now.
    fn enter_state(&self, addon: &Addon, state: State) -> Result<Option<Addon>, StoreError> {
        let mut outdated = false;
        let written = self.store.change(&addon.name, |row| {
            outdated = row.life.desired != addon.life.desired;
            // A look at what is ready is no news; its failures are cleared when it has succeeded.
            if !outdated && row.life.state != state {
                lifecycle::enter(&mut row.life, state, now_ms());
                if state == State::Stopped {
                    row.life.checked = None;
                }
            }
        })?;
        let Some(written) = written.filter(|_| !outdated) else { return Ok(None) };
        if written.life.state != addon.life.state {
            tracing::info!(addon = %written.name, from = %addon.life.state, to = %state, "addon");
        }
        self.placeholders.set(&written)?;
        Ok(Some(written))
    }

    async fn make(&self, addon: &Addon, provider: &dyn Provider, call: Call) -> Result<Came, Trouble> {
        match call {
            Call::Nothing | Call::WantRunning => Ok(Came::Nothing),
            Call::Begin => {
                let begun = self.in_time(provider.begin_provision(addon)).await?;
                Ok(Came::Begun { id: begun.id, message: begun.message })
            }
            Call::Complete => Ok(match self.in_time(provider.provision_complete(addon)).await? {
                Outcome::Done(backend) => Came::Made(backend),
                Outcome::AskAgain { after, message } => Came::Later { after, message },
            }),
            Call::Check => self.check(addon, provider).await,
            Call::Deprovision => Ok(match self.in_time(provider.deprovision(addon)).await? {
                Outcome::Done(message) => Came::Gone(message),
                Outcome::AskAgain { after, message } => Came::Later { after, message },
            }),
        }
    }

    /// Whether it is there, answers, and - at an address that is new, and where its password is known - lets a login in through the edge.
    async fn check(&self, addon: &Addon, provider: &dyn Provider) -> Result<Came, Trouble> {
        self.in_time(provider.check(addon)).await?;
        let Some(backend) = &addon.order.backend else { return Ok(Came::Reached(None)) };
        let located = self.backends.look(addon, backend, provider).await;
        let located = located.map_err(|failure| match failure {
            Failure::Lasting(_) => Trouble::Other(failure),
            failure => Trouble::Away(failure),
        })?;
        // The route leads there from here on, also where it led nowhere because of an error.
        let mut overcome = addon.clone();
        if overcome.life.state == State::Error {
            overcome.life.state = State::Provisioned;
        }
        self.placeholders.set(&overcome).map_err(|error| Failure::Retry(error.to_string()))?;
        let address = located.address.to_string();
        // Once for each address: what has let one in may be full by now.
        if addon.life.checked.as_ref() != Some(&address) && self.backends.has_room(addon) {
            self.check_login(addon).await?;
        }
        Ok(Came::Reached(Some(address)))
    }

    async fn check_login(&self, addon: &Addon) -> Result<(), Failure> {
        let Some(kind) = kinds::find(addon.kind.as_str()) else { return Ok(()) };
        let none = || format!("the edge does not listen for {}: add a [[listener]]", addon.protocol);
        let address = (self.login_address)(kind).ok_or_else(|| Failure::Lasting(none()))?;
        let Some(password) = self.backends.password(addon) else { return Ok(()) };
        let login = kind.check_login(address, &addon.name, addon.name.as_str(), &password).await;
        login.map_err(|reason| {
            Failure::Retry(format!("a login as {} through {address} fails: {reason}", addon.name))
        })
    }

    fn write(&self, addon: &Addon, call: Call, came: Came) -> Result<Next, StoreError> {
        let name = &addon.name;
        match came {
            Came::Nothing => {
                self.store.change(name, |row| {
                    // Somebody may want something else by now.
                    if call == Call::WantRunning && row.life.desired == Desired::Restart {
                        row.life.desired = Desired::Running;
                        row.life.checked = None;
                    }
                })?;
                Ok(Next::Again)
            }
            Came::Begun { id, message } => {
                self.store.change(name, |row| row.order.id = Some(id))?;
                self.store.note(addon, message)?;
                Ok(Next::Again)
            }
            Came::Made(backend) => {
                self.store.change(name, |row| {
                    (row.life.provisioned, row.order.backend) = (true, backend);
                })?;
                Ok(Next::Again)
            }
            Came::Reached(address) => self.reached(addon, address),
            Came::Gone(message) => {
                self.store.note(addon, message)?;
                crash::point("before", "forget");
                self.store.forget(name)?;
                crash::point("after", "forget");
                tracing::info!(addon = %name, "addon destroyed");
                Ok(Next::Again)
            }
            Came::Later { after, message } => {
                let step = addon.life.state.step().map_or("", |step| step.as_str()).to_owned();
                self.board.show(name, Shown { step, detail: message.clone(), ..Shown::default() });
                let late =
                    now_ms() - addon.life.since >= self.deadlines.of(addon.life.state).as_millis() as i64;
                match late {
                    true => {
                        let failure = Failure::Retry(format!("it takes too long: {message}"));
                        self.call_failed(addon, failure.into())
                    }
                    false => Ok(Next::After(after.clamp(ASK_AGAIN_MIN, ASK_AGAIN_MAX))),
                }
            }
        }
    }

    fn reached(&self, addon: &Addon, address: Option<String>) -> Result<Next, StoreError> {
        let has_backend = address.is_some();
        let row = self.store.change(&addon.name, |row| {
            if row.life.desired == addon.life.desired {
                lifecycle::enter(&mut row.life, State::Ready, now_ms());
                row.life.checked = address;
            }
        })?;
        if let Some(row) = &row {
            if row.life.state != addon.life.state {
                tracing::info!(addon = %row.name, from = %addon.life.state, to = %row.life.state, "addon");
            }
            self.placeholders.set(row)?;
        }
        Ok(if has_backend { Next::After(self.backends.check_every()) } else { Next::Done })
    }

    /// What was ready is so no more; the route leads where it led until the deadline of that has passed.
    fn call_failed(&self, addon: &Addon, trouble: Trouble) -> Result<Next, StoreError> {
        let (failure, is_away) = match trouble {
            Trouble::Away(failure) => (failure, true),
            Trouble::Other(failure) => (failure, false),
        };
        tracing::warn!(addon = %addon.name, state = %addon.life.state, ?failure, "addon: a call failed");
        let every_ms = self.backends.check_every().as_millis() as i64;
        let mut passed = None;
        self.store.change(&addon.name, |row| {
            // A failure of what was wanted before says nothing about what is wanted now.
            if row.life.desired != addon.life.desired {
                return;
            }
            if row.life.state == State::Ready {
                lifecycle::enter(&mut row.life, State::Provisioned, now_ms());
            }
            let before = row.life.state;
            lifecycle::after_failure(&mut row.life, failure, &self.deadlines, now_ms());
            passed = Some(before).filter(|before| *before != State::Error && row.life.state == State::Error);
            if is_away {
                row.life.retry_at = row.life.retry_at.min(now_ms() + every_ms);
            }
        })?;
        if let Some(state) = passed {
            self.board.deadline_passed(state);
        }
        Ok(Next::Again)
    }

    async fn in_time<T>(&self, call: Answer<'_, T>) -> Result<T, Failure> {
        let late = || Failure::Retry(format!("its provider did not answer within {:?}", self.call_timeout));
        tokio::time::timeout(self.call_timeout, call).await.map_err(|_| late())?
    }
}

/// A provider that says "at once" again and again must not keep a CPU busy; one that says "next year" is asked all the same.
const ASK_AGAIN_MIN: Duration = Duration::from_millis(50);
const ASK_AGAIN_MAX: Duration = STORE_PAUSE.saturating_mul(150);
