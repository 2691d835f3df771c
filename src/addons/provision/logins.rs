//! The users of an addon's engine. In come accounts and what is to become of them; out go programs inside its container.

use std::time::Duration;

use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;

use super::{Failure, Program, Provisioner, file_failure, kind};
use crate::addons::Addon;
use crate::addons::kinds::{Accounts, Archive, Kind, SUPERUSER, Script, Superuser};
use crate::addons::logins::{Account, Login, Passwords, Role};
use crate::addons::secrets::Password;
use crate::addons::store::StoreError;
use crate::dialect::Name;

impl Provisioner {
    /// The password files of an addon, and the file that its engine reads instead, as its rows say.
    pub fn ensure_secret(&self, addon: &Addon) -> Result<(), Failure> {
        let kind = kind(addon)?;
        let uid = self.kind_config(addon)?.secret_uid.unwrap_or_else(|| kind.secret_uid());
        if let Some(superuser) = kind.accounts().and_then(Accounts::superuser) {
            let made = self.secrets.ensure_superuser(&addon.name, uid, superuser.at_any_start);
            made.map_err(file_failure)?;
        }
        let logins = self.store.logins(&addon.name).map_err(store_failure)?;
        let users_text = |password: &Password| -> std::io::Result<Option<String>> {
            let Some(accounts) = kind.accounts() else { return Ok(kind.secret_text(&addon.name, password)) };
            let superuser = self.secrets.superuser(&addon.name)?;
            let users = self.accounts_with(&logins, accounts, Some(password))?;
            Ok(accounts.users_text(&addon.name, &users, superuser.as_ref()))
        };
        self.secrets.ensure(&addon.name, uid, users_text).map_err(file_failure)
    }

    /// Brings the files that engines read their users from up to date with this version, for their next start, also one that
    /// Docker makes by itself.
    pub fn refresh_secrets(&self) {
        for addon in self.store.addons().unwrap_or_default() {
            if !self.secrets.exists(&addon.name).unwrap_or(false) {
                continue;
            }
            if let Err(failure) = self.ensure_secret(&addon) {
                tracing::warn!(addon = %addon.name, ?failure, "its file of users is as it was");
            }
        }
    }

    /// Who logs in for the application now, and with which password.
    pub fn application(&self, addon: &Addon) -> Result<(String, Password), Failure> {
        let logins = self.store.logins(&addon.name).map_err(store_failure)?;
        let application = logins.first().ok_or_else(|| Failure::Retry("no login".into()))?;
        self.current(kind(addon)?, application)
    }

    /// What a client says who uses this login now.
    pub fn current(&self, kind: &dyn Kind, login: &Login) -> Result<(String, Password), Failure> {
        let two = kind.accounts().is_none_or(Accounts::two_passwords);
        let passwords = self.secrets.passwords(login).map_err(file_failure)?;
        let none = || Failure::Retry("its password file is missing".into());
        let password = login.current_password(&passwords).ok_or_else(none)?;
        Ok((login.current_name(two), password))
    }

    /// Whether an addon's engine has no user of Pierhead's own and cannot be given one: it was made before there was one.
    pub fn is_without_superuser(&self, addon: &Addon) -> bool {
        let superuser = kind(addon).ok().and_then(|kind| kind.accounts()?.superuser());
        addon.order.is_docker()
            && superuser.is_some_and(|superuser| !superuser.at_any_start)
            && self.secrets.exists(&addon.name).unwrap_or(false)
            && !self.has_superuser(addon)
    }

    pub(super) fn has_superuser(&self, addon: &Addon) -> bool {
        self.secrets.superuser(&addon.name).is_ok_and(|password| password.is_some())
    }

    /// What differs from the image settings of the kind for an addon whose engine has a user of Pierhead's own.
    pub(super) fn superuser(&self, addon: &Addon, kind: &dyn Kind) -> Option<Superuser> {
        kind.accounts().and_then(Accounts::superuser).filter(|_| self.has_superuser(addon))
    }

    /// The turn to make users of an addon's engine. Rows are read once it is had.
    pub async fn turn(&self, name: &Name) -> tokio::sync::MutexGuard<'_, ()> {
        let sum: usize = name.as_str().bytes().map(usize::from).sum();
        self.turns[sum % self.turns.len()].lock().await
    }

    /// Makes every user of the engine that is to be let in, or puts it right.
    pub(super) async fn set_up(&self, addon: &Addon, container: &str) -> Result<(), Failure> {
        let Some(accounts) = kind(addon)?.accounts() else { return Ok(()) };
        let _turn = self.turn(&addon.name).await;
        let logins = self.store.logins(&addon.name).map_err(store_failure)?;
        for account in self.accounts_with(&logins, accounts, None).map_err(file_failure)? {
            self.run(addon, container, accounts, accounts.set(&addon.name, &account)).await?;
        }
        Ok(())
    }

    /// Puts an engine right that knows its users as they were some time ago: who is to be let in by now is, and who was by
    /// the other name of a login is no more. One of a login that is gone altogether stays.
    pub async fn update_logins(&self, addon: &Addon, container: &str) -> Result<(), Failure> {
        let kind = kind(addon)?;
        let (Some(accounts), Some(_)) = (kind.accounts(), self.superuser(addon, kind)) else { return Ok(()) };
        self.set_up(addon, container).await?;
        let _turn = self.turn(&addon.name).await;
        let logins = self.store.logins(&addon.name).map_err(store_failure)?;
        let users = self.accounts_with(&logins, accounts, None).map_err(file_failure)?;
        let names = logins.iter().flat_map(|login| [login.name(false), login.name(true)]);
        for name in
            names.filter(|name| !accounts.two_passwords() && users.iter().all(|user| user.login != *name))
        {
            self.run(addon, container, accounts, accounts.retire(&addon.name, &name)).await?;
        }
        Ok(())
    }

    /// Makes the users of one login, or puts them right.
    pub async fn set_login(&self, addon: &Addon, container: &str, login: &Login) -> Result<(), Failure> {
        let Some(accounts) = kind(addon)?.accounts() else { return Ok(()) };
        for account in
            self.accounts_with(std::slice::from_ref(login), accounts, None).map_err(file_failure)?
        {
            self.run(addon, container, accounts, accounts.set(&addon.name, &account)).await?;
        }
        Ok(())
    }

    /// Puts the next password of a login in the place of the present one.
    pub fn replace_password(&self, addon: &Addon, login: &Login) -> Result<(), Failure> {
        let uid = self.kind_config(addon)?.secret_uid.unwrap_or(kind(addon)?.secret_uid());
        self.secrets.replace(login, uid).map_err(file_failure)
    }

    /// Who logs in for the programs of an archive, and their variables: the application, or Pierhead's own user in its name.
    pub fn archive_login(&self, addon: &Addon, archive: &Archive) -> Result<(String, Vec<String>), Failure> {
        let accounts = kind(addon)?.accounts();
        let superuser = self.secrets.superuser(&addon.name).map_err(file_failure)?;
        let acting = accounts.and_then(|accounts| accounts.acting_as(&addon.name));
        let (login, password, mut env) = match (acting, superuser) {
            (Some(env), Some(password)) => (SUPERUSER.to_owned(), password, env),
            _ => {
                let (login, password) = self.application(addon)?;
                (login, password, vec![])
            }
        };
        env.push(format!("{}={}", archive.password_variable, password.expose()));
        Ok((login, env))
    }

    /// Runs a script in an addon's container, as Pierhead's own user of the engine where it has one.
    pub async fn run(
        &self,
        addon: &Addon,
        container: &str,
        accounts: &dyn Accounts,
        script: Script,
    ) -> Result<(), Failure> {
        self.answer_of(addon, container, accounts, script).await.map(drop)
    }

    /// The same. Returns what the script has written.
    pub(super) async fn answer_of(
        &self,
        addon: &Addon,
        container: &str,
        accounts: &dyn Accounts,
        script: Script,
    ) -> Result<String, Failure> {
        let mut env = vec![];
        if let Some(superuser) = accounts.superuser() {
            let password = self.secrets.superuser(&addon.name).map_err(file_failure)?;
            let none = || Failure::Lasting("its engine has no user of Pierhead's own".into());
            let password = password.ok_or_else(none)?;
            env.push(format!("{}={}", superuser.password_variable, password.expose()));
        }
        let work = async {
            let program = self.exec(container, &script.command, env).await?;
            fed(program, &script).await
        };
        let late =
            || Failure::Retry(format!("a program in its container did not end within {SCRIPT_TIMEOUT:?}"));
        tokio::time::timeout(SCRIPT_TIMEOUT, work).await.map_err(|_| late())?
    }

    /// The users of these logins. `application` is the application's password where it may have no file yet.
    fn accounts_with(
        &self,
        logins: &[Login],
        accounts: &dyn Accounts,
        application: Option<&Password>,
    ) -> std::io::Result<Vec<Account>> {
        let mut users = vec![];
        for login in logins {
            let mut passwords: Passwords = self.secrets.passwords(login)?;
            if login.role == Role::Application && passwords.present.is_none() {
                passwords.present = application.cloned();
            }
            users.extend(login.accounts(&passwords, accounts.two_passwords()));
        }
        Ok(users)
    }
}

/// Feeds a program and waits until it has ended well.
async fn fed(program: Program, script: &Script) -> Result<String, Failure> {
    let Program { mut output, mut input, end } = program;
    let feed = async {
        // A program that ends early says why.
        let _ = input.write_all(script.input.as_bytes()).await;
        let _ = input.shutdown().await;
    };
    let listen = async {
        let (mut said, mut out) = (String::new(), String::new());
        while let Some(Ok(part)) = output.next().await {
            let is_out = matches!(part, bollard::container::LogOutput::StdOut { .. });
            let text = String::from_utf8_lossy(&part.into_bytes()).into_owned();
            let into = if is_out { &mut out } else { &mut said };
            into.extend(text.chars().take(SAID_LEN_MAX.saturating_sub(into.len())));
        }
        (said, out)
    };
    let ((), (said, out)) = tokio::join!(feed, listen);
    let is_good = end.exit_code().await == Some(0) && (script.check)(out.trim());
    if is_good {
        return Ok(out.trim().to_owned());
    }
    let text = format!("{said}\n{out}");
    let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
    let program = script.command.first().map_or("", String::as_str);
    Err(Failure::NotYet(format!("{program} in its container: {}", lines.join("; "))))
}

pub(super) fn store_failure(error: StoreError) -> Failure {
    Failure::Retry(error.to_string())
}

const SCRIPT_TIMEOUT: Duration = Duration::from_secs(60);
const SAID_LEN_MAX: usize = 600;
