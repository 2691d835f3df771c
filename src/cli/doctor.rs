//! `pierhead doctor`: asks the running Pierhead, or looks at the host itself where none is running.

use std::process::ExitCode;

use super::verbs::typed;
use super::waiting::until_settled;
use super::{Failure, Globals, show};
use crate::config::Millis;
use crate::control::api::types::{CheckStatus, Doctor, FixRequest, FixView};
use crate::control::doctor;

/// Prints what was found. Exit code 1 if something does not work.
pub async fn doctor(globals: &Globals) -> Result<ExitCode, Failure> {
    let found = match globals.client()?.get::<Doctor>("/v1/doctor").await {
        Ok(found) => found,
        Err(failure) if globals.server.is_some() => return Err(failure),
        Err(failure) => {
            let config = globals.checked_config()?;
            eprintln!("{}; this is what can be said of the host:", failure.message());
            Doctor { checks: doctor::local(&config).await, orphans: vec![] }
        }
    };
    if globals.json {
        show::json(&found)?
    } else {
        show::checks(&found.checks)?
    }
    let broken = found.checks.iter().any(|check| check.status == CheckStatus::Fail);
    Ok(if broken { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Removes what belongs to no addon, after it has been shown and, unless `force` says otherwise, agreed to.
pub async fn fix(globals: &Globals, force: bool) -> Result<ExitCode, Failure> {
    let client = globals.client()?;
    let found: Doctor = client.get("/v1/doctor").await?;
    for orphan in found.orphans.iter().filter(|_| !globals.json) {
        let left = if orphan.can_be_fixed { "" } else { " (is left: remove it by hand)" };
        show::line(&format!("{} {}{left}", orphan.what, orphan.called))?;
    }
    let fixable = found.orphans.iter().filter(|orphan| orphan.can_be_fixed);
    let mut names: Vec<String> =
        fixable.clone().filter_map(|one| one.addon.as_ref()).map(|name| name.to_string()).collect();
    names.dedup();
    let count = fixable.count();
    if count > 0 && !force {
        let question =
            format!("This removes {count} things and what is in them, for good. Type yes to go on: ");
        let refused = typed("yes", "removing them removes their data", &question);
        refused.map_err(|failure| failure.unwrap_or(Failure::failed("everything is left as it was")))?;
    }
    let fixed: FixView = client.send("/v1/doctor/fix", &FixRequest { names }).await?;
    for name in &fixed.taken_on {
        match until_settled(&client, name, TIMEOUT).await {
            Err(failure) if !failure.is_not_found() => return Err(failure),
            _ => {}
        }
    }
    if globals.json {
        show::json(&fixed)?;
    } else {
        show::line(&format!("{count} things belonged to no addon and are gone"))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// For all that is left of one addon.
const TIMEOUT: Millis = Millis::from_secs(180);
