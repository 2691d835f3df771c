//! `pierhead create`: asks for an addon, waits until it is ready, and shows how it is used.

use std::io::Read;
use std::path::Path;

use super::args::{CreateArgs, EnvFormat};
use super::client::Client;
use super::verbs::{show_url, url};
use super::waiting::until_settled;
use super::{Failure, apps, show};
use crate::control::api::types::{AddonEnvView, AddonView, CreateRequest};
use crate::dialect::Protocol;

/// Makes an addon.
pub async fn create(client: &Client, args: CreateArgs, json: bool) -> Result<(), Failure> {
    let request = CreateRequest {
        kind: args.kind,
        name: args.name.map(|name| name.to_string()),
        plan: args.plan,
        app: args.app.map(|app| app.to_string()),
        arguments: args.provider.arguments(),
        password: args.provider.password_file.as_deref().map(password).transpose()?,
    };
    let addon: AddonView = client.send("/v1/addons", &request).await?;
    let name = &addon.name;
    if args.no_wait {
        if json {
            return show::json(&addon);
        }
        eprintln!("{name} is being provisioned; `pierhead wait {name}` waits until it is ready");
        return Ok(());
    }
    until_settled(client, name, args.timeout).await?;
    if addon.protocol == Protocol::None {
        let env: AddonEnvView = client.get(&format!("/v1/addons/{name}/env")).await?;
        return apps::show_addon_env(&env, EnvFormat::Shell, json);
    }
    match url(client, name, None, None).await {
        // It is there all the same: who made its password knows it.
        Err(failure) if request.password.is_none() && addon.provider.as_str() != "docker" => {
            eprintln!("{name} is ready. {}", failure.message_and_hint());
            if json {
                show::json(&client.get::<AddonView>(&format!("/v1/addons/{name}")).await?)
            } else {
                Ok(())
            }
        }
        url => show_url(&url?, json),
    }
}

/// The first line of a file, or of stdin. An argument could be read by everybody on the host.
fn password(file: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = match file.to_str() {
        Some("-") => std::io::stdin().take(PASSWORD_FILE_MAX).read_to_string(&mut text),
        _ => {
            std::fs::File::open(file).and_then(|file| file.take(PASSWORD_FILE_MAX).read_to_string(&mut text))
        }
    };
    read.map_err(|error| {
        Failure::usage(format!("the password cannot be read from {}: {error}", file.display()))
    })?;
    match text.lines().next() {
        Some(line) if !line.is_empty() => Ok(line.to_owned()),
        _ => Err(Failure::usage(format!("there is no password in {}", file.display()))),
    }
}

/// In bytes.
const PASSWORD_FILE_MAX: u64 = 4096;
