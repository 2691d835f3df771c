//! Carries out what the rows of logins say: makes them, rotates their passwords, removes them. In come kicks; out go
//! programs in containers and rows that are a step further.
//!
//! Every addon has one worker at a time. A step that fails is tried again, with its reason in the row, for as long as the row
//! wants it; an addon that is not ready is waited for.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::Notify;

use crate::addons::kinds::{self, Accounts};
use crate::addons::lifecycle::{Failure, State};
use crate::addons::logins::{Login, Phase, Role};
use crate::addons::provision::Provisioner;
use crate::addons::store::{Store, StoreError, Written};
use crate::addons::{Addon, crash, now_ms};
use crate::dialect::Name;
use crate::routes::Table;

/// Carries out what the rows of logins say.
pub struct Credentials {
    store: Arc<Store>,
    provisioner: Arc<Provisioner>,
    table: Arc<Table>,
    working: Mutex<HashSet<Name>>,
    /// Something was asked for.
    kicked: Notify,
    /// A step of some addon has succeeded or failed.
    stepped: Notify,
}

/// What came of a step.
enum Stepped {
    /// The row is this far now.
    Row(Login),
    /// There is no such login any more.
    Gone,
}

impl Credentials {
    /// One that does nothing before it runs.
    pub fn new(store: Arc<Store>, provisioner: Arc<Provisioner>, table: Arc<Table>) -> Self {
        let (kicked, stepped) = (Notify::new(), Notify::new());
        Credentials { store, provisioner, table, working: Mutex::default(), kicked, stepped }
    }

    /// Looks for work, for ever: when it is kicked, when a grace ends, and once in a while.
    pub async fn run(self: Arc<Self>) {
        loop {
            let pause = match self.look() {
                Ok(pause) => pause,
                Err(error) => {
                    tracing::error!(%error, "the store failed");
                    PAUSE_MAX
                }
            };
            let _ = tokio::time::timeout(pause, self.kicked.notified()).await;
        }
    }

    /// Waits until the row of a login satisfies `is_done`, or a step of it has failed; not for ever. `None`: there is no such
    /// row any more.
    pub async fn until(
        &self,
        addon: &Name,
        role: &Role,
        is_done: impl Fn(&Login) -> bool,
    ) -> Result<Option<Login>, StoreError> {
        let deadline = tokio::time::Instant::now() + WAIT_MAX;
        self.kicked.notify_one();
        loop {
            let stepped = self.stepped.notified();
            let login = self.store.logins(addon)?.into_iter().find(|login| login.role == *role);
            let Some(login) = login else { return Ok(None) };
            if is_done(&login) || login.reason.is_some() || tokio::time::Instant::now() >= deadline {
                return Ok(Some(login));
            }
            let _ = tokio::time::timeout(Duration::from_millis(500), stepped).await;
        }
    }

    /// Starts a worker for each addon that has work to do, and says when to look again.
    fn look(self: &Arc<Self>) -> Result<Duration, StoreError> {
        let (mut pause, now) = (PAUSE_MAX, now_ms());
        let logins = self.store.all_logins()?;
        self.count(&logins);
        for login in logins {
            match login.due_in(now) {
                Some(Duration::ZERO) => self.work(login.addon),
                Some(time) => pause = pause.min(time),
                None => {}
            }
        }
        Ok(pause)
    }

    /// Tells the edge which roles to count connections of.
    fn count(&self, logins: &[Login]) {
        for of_one in logins.chunk_by(|one, other| one.addon == other.addon) {
            let Some(first) = of_one.first() else { continue };
            let Ok(Some(addon)) = self.store.addon(&first.addon) else { continue };
            if let Some(route) = self.table.lookup(addon.protocol, addon.name.as_str()) {
                let application = Login::application(&addon.name);
                let roles = of_one.iter().chain([&application]).flat_map(|login| login.role.spoken());
                route.usage.count_roles(roles);
            }
        }
    }

    fn work(self: &Arc<Self>, name: Name) {
        if !self.working().insert(name.clone()) {
            return;
        }
        let this = Arc::clone(self);
        tokio::spawn(async move {
            let failed = this.all_steps(&name).await.unwrap_or_else(|error| {
                tracing::error!(addon = %name, %error, "the store failed");
                true
            });
            if failed {
                tokio::time::sleep(RETRY).await;
            }
            this.working().remove(&name);
            // Something may have been asked for since it last looked; and a grace may be the next thing to wait for.
            this.kicked.notify_one();
        });
    }

    /// Does what is due for one addon. `true` if something is left that cannot be done now.
    async fn all_steps(&self, name: &Name) -> Result<bool, StoreError> {
        // Its rows go with it, so that there should be none.
        let Some(addon) = self.store.addon(name)? else { return Ok(true) };
        let (State::Ready, Some(container)) = (addon.life.state, addon.container_id.clone()) else {
            return Ok(true);
        };
        let mut failed = false;
        for login in self.store.logins(name)? {
            let mut login = login;
            while login.due_in(now_ms()) == Some(Duration::ZERO) {
                let phase = format!("login-{}", login.phase.as_str());
                crash::point("before", &phase);
                let turn = self.provisioner.turn(name).await;
                // Looked at in the turn: an upgrade that begins waits for one that is had, see `Upgrader`.
                if self.is_being_upgraded(name)? {
                    return Ok(true);
                }
                let stepped = self.step(&addon, &container, &login).await;
                drop(turn);
                match stepped {
                    Ok(Stepped::Row(next)) => login = next,
                    Ok(Stepped::Gone) => break,
                    Err(failure) => {
                        self.failed(&login, failure)?;
                        failed = true;
                        break;
                    }
                }
                self.stepped.notify_waiters();
            }
            self.stepped.notify_waiters();
        }
        Ok(failed)
    }

    /// Whether the engine is about to be another one: what is changed now might be lost.
    fn is_being_upgraded(&self, name: &Name) -> Result<bool, StoreError> {
        Ok(self.store.upgrade(name)?.is_some_and(|upgrade| !upgrade.stage.is_settled()))
    }

    /// One step of one login: what its phase announces, then the next phase.
    async fn step(&self, addon: &Addon, container: &str, login: &Login) -> Result<Stepped, Failure> {
        let kind = kinds::find(addon.kind.as_str());
        let Some(accounts) = kind.and_then(|kind| kind.accounts()) else {
            return Err(Failure::Lasting("its kind has no further logins".into()));
        };
        let secrets = self.provisioner.secrets();
        let file = |error: std::io::Error| Failure::Retry(format!("the password file: {error}"));
        match login.phase {
            Phase::Ready => Ok(Stepped::Row(login.clone())),
            Phase::Making => {
                secrets.make_first(login).map_err(file)?;
                self.let_in(addon, container, login).await?;
                self.enter(login, Phase::Ready, login.second)
            }
            Phase::Rotating(grace_ms) => {
                secrets.make_next(login).map_err(file)?;
                self.let_in(addon, container, login).await?;
                let grace = i64::try_from(grace_ms).unwrap_or(i64::MAX);
                self.enter(login, Phase::Grace(now_ms().saturating_add(grace)), login.second)
            }
            Phase::Grace(_) => self.enter(login, Phase::Ending, login.second),
            Phase::Ending => {
                self.shut_out(addon, container, accounts, login).await?;
                self.provisioner.replace_password(addon, login)?;
                self.enter(login, Phase::Ready, login.second == accounts.two_passwords())
            }
            Phase::Removing => {
                self.remove(addon, container, accounts, login).await?;
                secrets.remove_login(login).map_err(file)?;
                crash::point("after", "login-removing");
                let gone = |_: &[Login]| Ok((Written::Gone(login.role.clone()), ()));
                self.store.change_logins(&login.addon, gone).map_err(store_failure)?;
                self.note(login, "removed")?;
                Ok(Stepped::Gone)
            }
        }
    }

    /// In the file for the engine's next start, and in the engine that runs.
    async fn let_in(&self, addon: &Addon, container: &str, login: &Login) -> Result<(), Failure> {
        self.provisioner.ensure_secret(addon)?;
        self.provisioner.set_login(addon, container, login).await
    }

    /// The old password is let in no more; the new one is, all the while.
    async fn shut_out(
        &self,
        addon: &Addon,
        container: &str,
        accounts: &dyn Accounts,
        login: &Login,
    ) -> Result<(), Failure> {
        let old = login.name(login.second);
        let run = |script| self.provisioner.run(addon, container, accounts, script);
        if accounts.two_passwords() {
            self.let_in(addon, container, login).await?;
        } else {
            self.provisioner.ensure_secret(addon)?;
            run(accounts.retire(&addon.name, &old)).await?;
        }
        if login.end_sessions {
            run(accounts.end_sessions(&old)).await?;
        }
        Ok(())
    }

    async fn remove(
        &self,
        addon: &Addon,
        container: &str,
        accounts: &dyn Accounts,
        login: &Login,
    ) -> Result<(), Failure> {
        self.provisioner.ensure_secret(addon)?;
        let names = [false, true].map(|second| login.name(second));
        let names = if accounts.two_passwords() { &names[..1] } else { &names[..] };
        for name in names {
            for script in accounts.remove(&addon.name, name) {
                self.provisioner.run(addon, container, accounts, script).await?;
            }
        }
        Ok(())
    }

    /// The row is written as it was read, but in its next phase; unless somebody wants something else by now.
    fn enter(&self, login: &Login, phase: Phase, second: bool) -> Result<Stepped, Failure> {
        crash::point("after", &format!("login-{}", login.phase.as_str()));
        let end_sessions = login.end_sessions && phase != Phase::Ready;
        let next = Login { phase, second, end_sessions, reason: None, ..login.clone() };
        let entered = self.store.change_logins(&login.addon, |rows: &[Login]| {
            let row = rows.iter().find(|row| row.role == login.role);
            Ok::<_, StoreError>(match row {
                Some(row) if row.phase == login.phase => (Written::Row(next.clone()), Stepped::Row(next)),
                Some(row) => (Written::Nothing, Stepped::Row(row.clone())),
                None => (Written::Nothing, Stepped::Gone),
            })
        });
        let entered = entered.map_err(store_failure)?;
        self.note(login, phase.as_str())?;
        Ok(entered)
    }

    fn failed(&self, login: &Login, failure: Failure) -> Result<(), StoreError> {
        let (Failure::NotYet(reason) | Failure::Retry(reason) | Failure::Lasting(reason)) = failure;
        let (addon, role) = (&login.addon, login.role.as_str());
        tracing::warn!(%addon, role, phase = login.phase.as_str(), reason, "a step of a login failed");
        self.store.change_logins(addon, |rows: &[Login]| {
            let row = rows.iter().find(|row| row.role == login.role && row.phase == login.phase);
            let written = row.map(|row| Written::Row(Login { reason: Some(reason), ..row.clone() }));
            Ok((written.unwrap_or(Written::Nothing), ()))
        })
    }

    /// For `events`: which login, and what has become of it. Never a password.
    fn note(&self, login: &Login, what: &str) -> Result<(), Failure> {
        let Some(addon) = self.store.addon(&login.addon).map_err(store_failure)? else { return Ok(()) };
        let note = format!("login {}: {what}", login.name(login.second));
        self.store.note(&addon, note).map_err(store_failure)
    }

    fn working(&self) -> std::sync::MutexGuard<'_, HashSet<Name>> {
        // A set of names is whole after every step.
        self.working.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn store_failure(error: StoreError) -> Failure {
    Failure::Retry(error.to_string())
}

/// How long a request waits for a login; the CLI waits a little longer for the answer.
const WAIT_MAX: Duration = Duration::from_secs(150);
/// How long nothing is tried for an addon after a failure.
const RETRY: Duration = Duration::from_secs(2);
/// How long nothing is looked for at the most.
const PAUSE_MAX: Duration = Duration::from_secs(15);
