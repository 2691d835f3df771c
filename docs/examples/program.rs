//! The provider `program`: databases that a program of the admin's makes, in a cloud or anywhere else.
//!
//! `PROGRAM begin NAME` prints an id. `PROGRAM status ID` prints `pending SECONDS`, or `ready HOST PORT`. `PROGRAM remove NAME` sees to
//! it that there is no such database. Each of them may be run twice.

use std::sync::Arc;
use std::time::Duration;

use pierhead::addons::Addon;
use pierhead::addons::kinds;
use pierhead::addons::lifecycle::Failure;
use pierhead::addons::providers::{
    Accepted, Answer, Arguments, Backend, Begun, Customisation, Entries, EntryError, House, Outcome,
    Provider, Type, Variable, VariableValue,
};
use serde::Deserialize;
use tokio::process::Command;

/// What `type = "program"` means.
pub const PROGRAM: Type = Type { word: "program", build };

/// The entries of a `[provider.NAME]` of this type.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Program {
    /// The program, with its path.
    program: String,
    /// What its databases speak: a kind, such as `postgres`.
    speaks: String,
}

fn build(entries: &Entries, _house: &House) -> Result<Arc<dyn Provider>, EntryError> {
    let program: Program = entries.parse()?;
    if kinds::find(&program.speaks).is_none() {
        let message = format!("speaks is {:?}, expected a kind such as \"postgres\"", program.speaks);
        return Err(EntryError { key: Some("speaks".into()), message });
    }
    Ok(Arc::new(program))
}

impl Provider for Program {
    fn accept(&self, arguments: &Arguments) -> Result<Accepted, String> {
        if let Some(key) = arguments.keys().next() {
            return Err(format!("there is no argument {key}"));
        }
        Ok(Accepted { kind: kinds::find(&self.speaks), arguments: Arguments::new(), takes_password: true })
    }

    fn begin_provision<'a>(&'a self, addon: &'a Addon) -> Answer<'a, Begun> {
        Box::pin(async move {
            let id = self.run(&["begin", addon.name.as_str()]).await?;
            Ok(Begun { message: format!("the database {id} is being made"), id })
        })
    }

    fn provision_complete<'a>(&'a self, addon: &'a Addon) -> Answer<'a, Outcome<Option<Backend>>> {
        Box::pin(async move {
            let id = addon.order.id.as_deref().unwrap_or_default();
            let said = self.run(&["status", id]).await?;
            let words: Vec<&str> = said.split_whitespace().collect();
            let unclear = || Failure::Lasting(format!("{} status says {said:?}", self.program));
            match words[..] {
                ["pending", seconds] => {
                    let after = Duration::from_secs(seconds.parse().map_err(|_| unclear())?);
                    Ok(Outcome::AskAgain { after, message: format!("waiting for {id}") })
                }
                ["ready", host, port] => {
                    let port = port.parse().map_err(|_| unclear())?;
                    Ok(Outcome::Done(Some(Backend { host: host.to_owned(), port })))
                }
                _ => Err(unclear()),
            }
        })
    }

    fn config<'a>(&'a self, addon: &'a Addon, custom: &'a Customisation) -> Answer<'a, Vec<Variable>> {
        let name = custom.name(&self.variable(addon));
        Box::pin(async move { Ok(vec![Variable { name, value: VariableValue::EdgeUrl }]) })
    }

    fn deprovision<'a>(&'a self, addon: &'a Addon) -> Answer<'a, Outcome<String>> {
        Box::pin(async move {
            self.run(&["remove", addon.name.as_str()]).await?;
            Ok(Outcome::Done(format!("the database {} is removed", addon.name)))
        })
    }

    fn variable(&self, _addon: &Addon) -> String {
        kinds::find(&self.speaks).map_or("", |kind| kind.variable()).to_owned()
    }
}

impl Program {
    /// What the program prints. A failure is tried again until the deadline of the state.
    async fn run(&self, arguments: &[&str]) -> Result<String, Failure> {
        let failed = |why: String| Failure::Retry(format!("{} {}: {why}", self.program, arguments.join(" ")));
        // A call that takes too long is dropped, and the program must not go on behind our back.
        let output = Command::new(&self.program).args(arguments).kill_on_drop(true).output().await;
        let output = output.map_err(|error| failed(error.to_string()))?;
        match output.status.success() {
            true => Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned()),
            false => Err(failed(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
        }
    }
}
