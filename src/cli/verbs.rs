//! What the verbs do: a request or a few, and the answer shown.

use std::io::{IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;

use http_body_util::BodyExt;

use super::args::WaitArgs;
use super::client::Client;
use super::waiting::until_settled;
use super::{Failure, Globals, Verb, apps, bindings, connect, data, events, set, show, tokens, upgrade};
use crate::config::Millis;
use crate::control::api::types::{
    AddonList, AddonView, AuditList, CreateRequest, Explanation, OperationView, RouteList, Status, UrlView,
};
use crate::dialect::{Name, Protocol};

/// Runs a verb that is about a running Pierhead.
pub async fn run(client: &Client, verb: Verb, json: bool) -> Result<ExitCode, Failure> {
    match verb {
        Verb::Create { kind, name, plan, app, no_wait, timeout } => {
            let (name, app) = (name.map(|name| name.to_string()), app.map(|app| app.to_string()));
            create(client, &CreateRequest { kind, name, plan, app }, no_wait, timeout, json).await?;
        }
        Verb::List => list(client, json).await?,
        Verb::Info { name } => show_addon(&client.get(&path(&name, "")).await?, json)?,
        Verb::Url { name, host, role } => {
            show_url(&url(client, &name, role.as_deref(), host.as_deref()).await?, json)?;
        }
        Verb::Wait { name, timeout } => settle(client, &name, timeout, json).await?,
        Verb::Start(change) => want(client, &change.name, "/start", change.wait, json).await?,
        Verb::Stop(change) => want(client, &change.name, "/stop", change.wait, json).await?,
        Verb::Restart(change) => want(client, &change.name, "/restart", change.wait, json).await?,
        Verb::Set(what) => set::set(client, what, json).await?,
        Verb::Logs { name, follow, tail } => logs(client, &name, follow, tail).await?,
        Verb::Events { name, follow, tail } => {
            events::events(client, name.as_ref(), follow, tail, json).await?
        }
        Verb::Connect { name, role, arguments } => {
            return Err(connect::connect(client, &name, role.as_deref(), &arguments).await);
        }
        Verb::Enter { name, program } => return Err(connect::enter(client, &name, &program).await),
        Verb::Destroy { name, force, wait } => destroy(client, &name, force, wait, json).await?,
        Verb::Upgrade(verb) => upgrade::run(client, verb, json).await?,
        Verb::Data(verb) => data::run(client, verb, json).await?,
        Verb::Operation { id } => operation(client, &id, json).await?,
        Verb::Token(verb) => tokens::run(client, verb, json).await?,
        Verb::Audit { tail } => audit(client, tail, json).await?,
        Verb::App(verb) => apps::run(client, verb, json).await?,
        Verb::Binding(verb) => bindings::run(client, verb, json).await?,
        Verb::Routes => routes(client, json).await?,
        Verb::Explain { login, protocol } => return explain(client, &login, protocol, json).await,
        Verb::Serve | Verb::Doctor { .. } | Verb::Completion { .. } | Verb::CheckConfig { .. } => {}
    }
    Ok(ExitCode::SUCCESS)
}

async fn create(
    client: &Client,
    request: &CreateRequest,
    no_wait: bool,
    timeout: Millis,
    json: bool,
) -> Result<(), Failure> {
    let addon: AddonView = client.send("/v1/addons", request).await?;
    let name = &addon.name;
    if no_wait {
        if json {
            return show::json(&addon);
        }
        eprintln!("{name} is being provisioned; `pierhead wait {name}` waits until it is ready");
        return Ok(());
    }
    until_settled(client, name, timeout).await?;
    show_url(&url(client, name, None, None).await?, json)
}

async fn list(client: &Client, json: bool) -> Result<(), Failure> {
    let list: AddonList = client.get("/v1/addons").await?;
    if json {
        return show::json(&list);
    }
    show::addons(&list.addons)?;
    // Not everybody may ask that.
    if let Ok(status) = client.get::<Status>("/v1/status").await {
        warn_if_stale(status.stale_since.as_deref());
    }
    Ok(())
}

async fn routes(client: &Client, json: bool) -> Result<(), Failure> {
    let list: RouteList = client.get("/v1/routes").await?;
    if json {
        return show::json(&list);
    }
    show::routes(&list.routes)?;
    warn_if_stale(list.stale_since.as_deref());
    Ok(())
}

async fn audit(client: &Client, tail: u32, json: bool) -> Result<(), Failure> {
    let list: AuditList = client.get(&format!("/v1/audit?tail={tail}")).await?;
    if json { show::json(&list) } else { show::audit(&list.requests) }
}

async fn operation(client: &Client, id: &str, json: bool) -> Result<(), Failure> {
    let operation: OperationView = client.get(&format!("/v1/operations/{}", escaped(id))).await?;
    if json { show::json(&operation) } else { show::operation(&operation) }
}

fn warn_if_stale(since: Option<&str>) {
    if let Some(since) = since {
        eprintln!("Docker has not answered since {since}: routes and states are as they were then");
    }
}

pub(super) async fn url(
    client: &Client,
    name: &Name,
    role: Option<&str>,
    host: Option<&str>,
) -> Result<UrlView, Failure> {
    let query = host.map(|host| format!("?host={}", escaped(host))).unwrap_or_default();
    let of = role.map(|role| format!("/bindings/{}", escaped(role))).unwrap_or_default();
    client.get(&path(name, &format!("{of}/url{query}"))).await
}

fn show_url(url: &UrlView, json: bool) -> Result<(), Failure> {
    if json { show::json(url) } else { show::line(&url.url) }
}

fn show_addon(addon: &AddonView, json: bool) -> Result<(), Failure> {
    if json { show::json(addon) } else { show::addon(addon) }
}

async fn settle(client: &Client, name: &Name, timeout: Millis, json: bool) -> Result<(), Failure> {
    match until_settled(client, name, timeout).await? {
        Some(addon) if json => show::json(&addon),
        Some(addon) => show::line(&format!("{name} is {}", addon.state)),
        None if json => Ok(()),
        None => show::line(&format!("{name} is gone")),
    }
}

async fn want(client: &Client, name: &Name, verb: &str, wait: WaitArgs, json: bool) -> Result<(), Failure> {
    let addon: AddonView = client.post(&path(name, verb)).await?;
    if wait.no_wait {
        return if json { show::json(&addon) } else { Ok(()) };
    }
    settle(client, name, wait.timeout, json).await
}

async fn destroy(
    client: &Client,
    name: &Name,
    force: bool,
    wait: WaitArgs,
    json: bool,
) -> Result<(), Failure> {
    // Somebody who mistypes the name learns so before being asked to repeat it.
    let _: AddonView = client.get(&path(name, "")).await?;
    if !force {
        confirm(name)?;
    }
    let force = if force { "?force=true" } else { "" };
    let addon: AddonView = client.delete(&path(name, force)).await?;
    if wait.no_wait {
        return if json { show::json(&addon) } else { Ok(()) };
    }
    match settle(client, name, wait.timeout, json).await {
        // It was gone before we could look.
        Err(failure) if failure.is_not_found() && json => Ok(()),
        Err(failure) if failure.is_not_found() => show::line(&format!("{name} is gone")),
        result => result,
    }
}

fn confirm(name: &Name) -> Result<(), Failure> {
    let what = format!("destroying {name} removes its data");
    let question = format!("This removes {name} and all its data, for good. Type its name to go on: ");
    let left = format!("{name} is left as it was");
    typed(name.as_str(), &what, &question).map_err(|failure| failure.unwrap_or(Failure::failed(left)))
}

/// Fails unless somebody at a terminal types `word`. Where nobody is there to be asked, the failure says so.
pub fn typed(word: &str, what: &str, question: &str) -> Result<(), Option<Failure>> {
    if !std::io::stdin().is_terminal() {
        let message = format!("{what}; nobody is there to be asked");
        return Err(Some(Failure::usage(message).hint("say --force")));
    }
    eprint!("{question}");
    let _ = std::io::stderr().flush();
    let mut answer = String::new();
    let read = std::io::stdin().read_line(&mut answer);
    if read.is_ok() && answer.trim() == word { Ok(()) } else { Err(None) }
}

async fn logs(client: &Client, name: &Name, follow: bool, tail: Option<u32>) -> Result<(), Failure> {
    let tail = tail.map(|lines| format!("&tail={lines}")).unwrap_or_default();
    let mut body = client.stream(&path(name, &format!("/logs?follow={follow}{tail}"))).await?;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| Failure::failed(format!("the log broke off: {error}")))?;
        if let Some(bytes) = frame.data_ref() {
            show::bytes(bytes)?;
        }
    }
    Ok(())
}

async fn explain(
    client: &Client,
    login: &str,
    protocol: Option<Protocol>,
    json: bool,
) -> Result<ExitCode, Failure> {
    let protocol = protocol.map_or(String::new(), |protocol| format!("&protocol={protocol}"));
    let path = format!("/v1/explain?login={}{protocol}", escaped(login));
    let explanation: Explanation = client.get(&path).await?;
    if json {
        show::json(&explanation)?;
    } else {
        show::checks(&explanation.steps)?;
        show::line(&explanation.result)?;
    }
    Ok(if explanation.ok { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Checks a configuration as `serve` would.
pub fn check_config(mut globals: Globals, file: Option<PathBuf>) -> Result<ExitCode, Failure> {
    globals.config = file.or(globals.config);
    let config = globals.checked_config()?;
    if globals.json {
        show::line("{\"ok\": true}")?;
    } else {
        let ports: usize = config.listeners.iter().map(|listener| listener.listen.len()).sum();
        let (kinds, plans) = (config.kinds.len(), config.plans.len());
        show::line(&format!("the configuration is good: {ports} ports, {kinds} kinds, {plans} plans"))?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) fn path(name: &Name, rest: &str) -> String {
    format!("/v1/addons/{name}{rest}")
}

/// For the value of a query: everything but letters and digits as `%XX`.
pub fn escaped(text: &str) -> String {
    text.bytes().fold(String::new(), |mut out, byte| {
        if byte.is_ascii_alphanumeric() {
            out.push(byte.into());
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
        out
    })
}
