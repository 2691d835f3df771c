//! `pierhead connect`: becomes the engine's own client program, on this host or inside the addon's container.

use std::io::IsTerminal;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

use super::Failure;
use super::client::Client;
use crate::control::api::types::UrlView;
use crate::dialect::Name;

/// Replaces this process by the client; returns only if that fails.
pub async fn connect(client: &Client, name: &Name, arguments: &[String]) -> Failure {
    let url: UrlView = match client.get(&format!("/v1/addons/{name}/url")).await {
        Ok(url) => url,
        Err(failure) => return failure,
    };
    let program = &url.client.program;
    let mut command = match (in_path(program), &url.container) {
        (Some(program), _) => {
            let mut command = Command::new(program);
            command.args(&url.client.args);
            command
        }
        (None, Some(container)) if in_path("docker").is_some() => in_container(&url, container),
        (None, _) => {
            let hint = format!("install {program}, or use `pierhead url {name}` with another client");
            return Failure::failed(format!("there is neither {program} nor docker on this host")).hint(hint);
        }
    };
    // Only the client sees it: arguments can be read by everybody on the host.
    command.args(arguments).env(&url.client.password_variable, &url.password);
    let error = command.exec();
    Failure::failed(format!("cannot run {}: {error}", command.get_program().to_string_lossy()))
}

/// The client program in the addon's own container. Docker takes the password over from this process' environment.
fn in_container(url: &UrlView, container: &str) -> Command {
    let mut command = Command::new("docker");
    let terminal = std::io::stdin().is_terminal() && std::io::stdout().is_terminal();
    command.args(["exec", if terminal { "-it" } else { "-i" }, "--env", &url.client.password_variable]);
    command.arg(container).arg(&url.client.program).args(&url.client.args_in_container);
    command
}

fn in_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file())
}
