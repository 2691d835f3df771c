//! Providers: who makes an addon. In comes its row; out comes what the provider has done about it. `docs/providers.md` shows how
//! to write one.
//!
//! A provider is four calls: begin, ask whether it is done, ask for the variables, take it away. Pierhead writes what it is about to
//! ask before it asks, asks again after a crash, a failure or a time-out, and does the rest: states, deadlines, the route, health.

pub mod allow;
mod board;
mod docker;
mod external;
mod registry;
mod secret;

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

pub use self::board::{Board, Shown};
pub use self::docker::Docker;
pub use self::registry::{Entries, EntryError, House, Providers, Registered, TYPES, Type};
use super::Addon;
use super::kinds::Kind;
use super::lifecycle::Failure;
pub use super::order::{Arguments, Backend};
use super::secrets::Password;

/// Who makes addons. Every call returns soon: what takes long goes on elsewhere, and the next call finds out how far it is. A call
/// that does not return is broken off (`[deadlines] call`), so nothing may depend on its being polled to the end.
///
/// Every call can come twice, after a crash or a lost answer, and then has to come to the same: look first, by the addon's name.
pub trait Provider: Send + Sync {
    /// Looks at what somebody asks for, before anything is written. The error says what to say instead.
    fn accept(&self, arguments: &Arguments) -> Result<Accepted, String>;

    /// Begins to make it. The answer is kept: `addon.order.id` from then on.
    fn begin_provision<'a>(&'a self, addon: &'a Addon) -> Answer<'a, Begun>;

    /// Whether it is made, and where its engine is reached if it has one; or when to ask again.
    fn provision_complete<'a>(&'a self, addon: &'a Addon) -> Answer<'a, Outcome<Option<Backend>>>;

    /// What an application has to be told, the variable that it is attached by first.
    fn config<'a>(&'a self, addon: &'a Addon, custom: &'a Customisation) -> Answer<'a, Vec<Variable>>;

    /// Takes it away, whether or not it was ever made, and says what has become of it. `addon.order.id` is none where the answer of
    /// [`Provider::begin_provision`] was lost.
    fn deprovision<'a>(&'a self, addon: &'a Addon) -> Answer<'a, Outcome<String>>;

    /// The variable that applications expect it in, such as `DATABASE_URL`.
    fn variable(&self, addon: &Addon) -> String;

    /// Whether what it has made is still there. Asked now and then of an addon that is ready.
    fn check<'a>(&'a self, _addon: &'a Addon) -> Answer<'a, ()> {
        Box::pin(async { Ok(()) })
    }

    /// Whether the edge may lead to this address of the addon's host. Asked each time that the name is resolved.
    fn admits(&self, _addon: &Addon, _address: IpAddr) -> Result<(), String> {
        Ok(())
    }

    /// Puts another secret in the place of the present one. `None`: it has none that it could change.
    fn rotate<'a>(&'a self, _addon: &'a Addon) -> Option<Answer<'a, ()>> {
        None
    }

    /// Whether somebody who owns but an app may ask for one, unless the configuration says otherwise (`owners`).
    fn is_for_owners(&self) -> bool {
        true
    }

    /// Who writes how far it is.
    fn steps(&self) -> Steps {
        Steps::Pierheads
    }
}

/// What a call returns.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Failure>> + Send + 'a>>;

/// What somebody may have.
pub struct Accepted {
    /// The kind of engine that it will be; none for something that is no engine.
    pub kind: Option<&'static dyn Kind>,
    /// The arguments, complete: what was left out is filled in.
    pub arguments: Arguments,
    /// Whether it can have a password that somebody else has made up.
    pub takes_password: bool,
}

/// It has begun.
#[derive(Clone, Debug, PartialEq)]
pub struct Begun {
    /// What the provider calls it.
    pub id: String,
    /// For people: what is being done.
    pub message: String,
}

/// How far a call has come.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome<T> {
    /// It is done.
    Done(T),
    /// It goes on.
    AskAgain {
        /// When to ask again.
        after: Duration,
        /// For people: what is being done.
        message: String,
    },
}

impl<T> Outcome<T> {
    /// The same with something else to show for it.
    pub fn map<U>(self, change: impl FnOnce(T) -> U) -> Outcome<U> {
        match self {
            Outcome::Done(done) => Outcome::Done(change(done)),
            Outcome::AskAgain { after, message } => Outcome::AskAgain { after, message },
        }
    }
}

/// How an application wants to be told.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Customisation {
    /// What stands before the names of variables, such as `BLUE` in `BLUE_DATABASE_URL`.
    pub prefix: Option<String>,
}

impl Customisation {
    /// A variable's name as the application wants it.
    pub fn name(&self, variable: &str) -> String {
        self.prefix.as_ref().map_or(variable.to_owned(), |prefix| format!("{prefix}_{variable}"))
    }
}

/// An environment variable.
#[derive(Clone, Debug, PartialEq)]
pub struct Variable {
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: VariableValue,
}

/// The value of an environment variable.
#[derive(Clone, Debug, PartialEq)]
pub enum VariableValue {
    /// This text.
    Text(Password),
    /// The URL by which its engine is reached through the edge: that is Pierhead's to make.
    EdgeUrl,
}

/// Who writes how far an addon is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steps {
    /// Pierhead: begun, done, checked, taken away.
    Pierheads,
    /// The provider, in finer steps of its own, each written before it is acted on; it looks at the world in every call, and stops and
    /// starts what it has made. This is Docker's.
    Own,
}
