//! The command line: verbs, tables for eyes, `--json` for programs, progress bars on stderr.
//!
//! In come arguments; out go requests to the control socket and an exit code that scripts can rely on: 0 done,
//! 1 failed, 2 wrong usage, 3 not found, 4 conflict, 5 timed out. Nothing here knows more than the API tells,
//! but `connect` (runs a client), `check-config`, and `doctor` where no Pierhead is running.

mod apps;
mod args;
mod backup;
mod bindings;
mod client;
mod connect;
mod create;
mod data;
mod doctor;
mod events;
mod failure;
mod set;
mod show;
mod tokens;
mod upgrade;
mod verbs;
mod waiting;
mod way;

use std::process::ExitCode;

use clap::{CommandFactory, Parser};

pub use args::{Cli, Globals, Verb};
use failure::Failure;
use way::Way;

use crate::config::Config;

/// Runs the command line of this process. `serve` is what `pierhead serve` does with a checked configuration.
pub fn run(serve: impl FnOnce(Config) -> ExitCode) -> ExitCode {
    let cli = Cli::parse();
    let json = cli.globals.json;
    match dispatch(cli, serve) {
        Ok(code) => code,
        Err(failure) => failure.report(json),
    }
}

fn dispatch(cli: Cli, serve: impl FnOnce(Config) -> ExitCode) -> Result<ExitCode, Failure> {
    let Cli { globals, verb } = cli;
    match verb {
        Verb::Serve => Ok(serve(globals.checked_config()?)),
        Verb::Completion { shell } => {
            clap_complete::generate(shell, &mut Cli::command(), "pierhead", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }
        Verb::CheckConfig { file } => verbs::check_config(globals, file),
        Verb::Doctor { fix: false, .. } => block_on(doctor::doctor(&globals)),
        Verb::Doctor { fix: true, force } => block_on(doctor::fix(&globals, force)),
        verb => {
            let client = globals.client()?;
            block_on(verbs::run(&client, verb, globals.json))
        }
    }
}

fn block_on<T>(work: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|error| Failure::failed(format!("cannot start: {error}")))?.block_on(work)
}
