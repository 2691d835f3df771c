//! `pierhead doctor`: asks the running Pierhead, or looks at the host itself where none is running.

use std::process::ExitCode;

use super::{Failure, Globals, show};
use crate::control::api::types::{CheckStatus, Doctor};
use crate::control::doctor;

/// Prints what was found. Exit code 1 if something does not work.
pub async fn doctor(globals: &Globals) -> Result<ExitCode, Failure> {
    let found = match globals.client()?.get::<Doctor>("/v1/doctor").await {
        Ok(found) => found,
        Err(failure) if globals.server.is_some() => return Err(failure),
        Err(failure) => {
            let config = globals.checked_config()?;
            eprintln!("{}; this is what can be said of the host:", failure.message());
            Doctor { checks: doctor::local(&config).await }
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
