//! `pierhead connect`: becomes the engine's own client program, on this host or inside the addon's container.

use std::io::IsTerminal;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use super::client::Client;
use super::{Failure, verbs};
use crate::addons::kinds::ClientCommand;
use crate::control::api::types::{AddonView, UrlView};
use crate::dialect::Name;

/// Replaces this process by the client; returns only if that fails.
pub async fn connect(client: &Client, name: &Name, role: Option<&str>, arguments: &[String]) -> Failure {
    let url: UrlView = match verbs::url(client, name, role, None).await {
        Ok(url) => url,
        Err(failure) => return failure,
    };
    let Some(its_client) = &url.client else {
        let hint = url.client_elsewhere.unwrap_or_default();
        return Failure::failed(format!("there is no client program to become for {name}")).hint(hint);
    };
    let program = &its_client.program;
    let container = url.container.as_deref().filter(|_| url.client_elsewhere.is_none());
    let mut command = match (in_path(program), container) {
        (Some(path), _) => {
            let mut command = run(&path.to_string_lossy(), program, url.client_script.as_deref());
            command.args(&its_client.args);
            command
        }
        (None, Some(container)) if in_path("docker").is_some() => {
            in_container(its_client, url.client_script.as_deref(), container)
        }
        (None, _) => {
            let other = format!("install {program}, or use `pierhead url {name}` with another client");
            let hint =
                url.client_elsewhere.map_or(other.clone(), |elsewhere| format!("{other}; {elsewhere}"));
            let missing = if container.is_some() { "docker" } else { "one in the addon's container" };
            return Failure::failed(format!("there is no {program} on this host, nor {missing}")).hint(hint);
        }
    };
    // Only the client sees it: arguments can be read by everybody on the host.
    command.args(arguments).env(&its_client.password_variable, &url.password);
    let error = command.exec();
    Failure::failed(format!("cannot run {}: {error}", command.get_program().to_string_lossy()))
}

/// Becomes a shell in the addon's container, or another program there. Needs the Docker engine of that host.
pub async fn enter(client: &Client, name: &Name, program: &[String]) -> Failure {
    let addon: AddonView = match client.get(&format!("/v1/addons/{name}")).await {
        Ok(addon) => addon,
        Err(failure) => return failure,
    };
    let Some(container) = addon.container else {
        return Failure::failed(format!("{name} has no container"))
            .hint(format!("`pierhead info {name}` says what it has"));
    };
    let mut command = Command::new("docker");
    command.args(["exec", exec_option(), &container]);
    match program {
        // Not every image has bash.
        [] => command.args(["sh", "-c", "command -v bash >/dev/null && exec bash; exec sh"]),
        program => command.args(program),
    };
    let error = command.exec();
    Failure::failed(format!("cannot run docker: {error}"))
        .hint("install Docker's command line; on another host, enter its container there")
}

fn exec_option() -> &'static str {
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() { "-it" } else { "-i" }
}

/// The client program in the addon's own container. Docker takes the password over from this process' environment.
fn in_container(client: &ClientCommand, script: Option<&str>, container: &str) -> Command {
    let mut command = Command::new("docker");
    command.args(["exec", exec_option(), "--env", &client.password_variable]);
    command.arg(container);
    match script {
        Some(script) => command.args(["sh", "-c", script]),
        None => &mut command,
    };
    command.arg(&client.program).args(&client.args_in_container);
    command
}

/// The program itself, or a script that runs it by its name.
fn run(path: &str, program: &str, script: Option<&str>) -> Command {
    let Some(script) = script else { return Command::new(path) };
    let mut command = Command::new("sh");
    command.args(["-c", script, program]);
    command
}

fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}
