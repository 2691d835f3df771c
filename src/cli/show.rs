//! Answers for eyes: tables and lines on stdout. A reader who closes the pipe early is no error.

use std::collections::BTreeMap;
use std::io::{self, Write};

use comfy_table::{ContentArrangement, Table, presets};
use serde::Serialize;

use super::Failure;
use crate::control::api::types::{
    AddonView, AttachmentView, AuditView, BackupView, BindingView, Check, CheckStatus, Connections,
    EventView, OperationView, RouteView, TokenView, UpgradeView,
};
use crate::dialect::Protocol;

/// Prints a line, or several.
pub fn line(text: &str) -> Result<(), Failure> {
    bytes(format!("{text}\n").as_bytes())
}

/// Prints bytes as they are.
pub fn bytes(bytes: &[u8]) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        // As programs do that are ended by SIGPIPE, but without a signal.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => std::process::exit(0),
        result => result.map_err(|error| Failure::failed(format!("cannot write to stdout: {error}"))),
    }
}

/// Prints an answer for programs.
pub fn json(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string_pretty(value).map_err(|error| Failure::failed(error.to_string()))?;
    line(&text)
}

/// The same on one line, for what has no end.
pub fn json_line(value: &impl Serialize) -> Result<(), Failure> {
    let text = serde_json::to_string(value).map_err(|error| Failure::failed(error.to_string()))?;
    line(&text)
}

/// Addons, one a line.
pub fn addons(addons: &[AddonView]) -> Result<(), Failure> {
    let mut table = table(&["NAME", "KIND", "STATE", "PLAN", "CONNECTIONS", "CREATED", "REASON"]);
    for addon in addons {
        let engine = |text: String| if addon.protocol == Protocol::None { String::new() } else { text };
        table.add_row([
            addon.name.to_string(),
            kind(addon),
            state(addon),
            engine(addon.plan.to_string()),
            engine(connections(addon.connections)),
            to_the_second(&addon.created_at),
            addon.reason.clone().unwrap_or_default(),
        ]);
    }
    print(table)
}

/// Everything about one addon.
pub fn addon(addon: &AddonView) -> Result<(), Failure> {
    let mut rows = vec![
        ("name", addon.name.to_string()),
        ("kind", kind(addon)),
        ("state", state(addon)),
        ("wanted", addon.desired.clone()),
    ];
    rows.extend(addon.reason.clone().map(|reason| ("reason", reason)));
    rows.extend(addon.warning.clone().map(|warning| ("warning", warning)));
    if let Some(backend) = &addon.backend {
        rows.push(("at", backend.at.clone()));
        let others = backend.others.join(", ");
        let others = if others.is_empty() { others } else { format!(" (also {others})") };
        rows.extend(backend.address.as_ref().map(|address| ("address", format!("{address}{others}"))));
    }
    if addon.protocol != Protocol::None {
        rows.extend([("plan", addon.plan.to_string()), ("connections", connections(addon.connections))]);
    }
    if !addon.image.is_empty() {
        rows.push(("image", addon.image.clone()));
    }
    rows.extend(addon.upgrade.as_ref().map(|upgrade| ("upgrade", upgrade_line(upgrade))));
    rows.extend(addon.container.clone().map(|container| ("container", container)));
    rows.extend([
        ("created", to_the_second(&addon.created_at)),
        ("updated", to_the_second(&addon.updated_at)),
    ]);
    let mut table = table(&[]);
    for (key, value) in rows {
        table.add_row([key.to_owned(), value]);
    }
    print(table)
}

fn upgrade_line(upgrade: &UpgradeView) -> String {
    let reason = upgrade.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    let next = match upgrade.stage.as_str() {
        "kept" => "; rollback or upgrade --finish",
        _ => "",
    };
    format!("from {} to {}, {}{reason}{next}", upgrade.from_image, upgrade.to_image, upgrade.stage)
}

/// What apps use, one attachment a line.
pub fn attachments(attachments: &[AttachmentView]) -> Result<(), Failure> {
    let mut table = table(&["APP", "VARIABLE", "ADDON"]);
    for attachment in attachments {
        table.add_row([
            attachment.app.to_string(),
            attachment.variable.clone(),
            attachment.addon.to_string(),
        ]);
    }
    print(table)
}

/// Settings, one a line.
pub fn settings(settings: &BTreeMap<String, String>) -> Result<(), Failure> {
    let mut table = table(&[]);
    for (name, value) in settings {
        table.add_row([name, value]);
    }
    if settings.is_empty() { Ok(()) } else { print(table) }
}

/// Logins, one a line.
pub fn bindings(bindings: &[BindingView]) -> Result<(), Failure> {
    let mut table = table(&["LOGIN", "ACCESS", "STATE", "ACTIVE", "TOTAL", "LAST USED", "NOTE"]);
    for binding in bindings {
        let until = binding
            .old_until
            .as_ref()
            .map(|until| format!("the old password is let in until {}", to_the_second(until)));
        table.add_row([
            binding.login.clone(),
            binding.access.to_string(),
            binding.state.clone(),
            binding.connections.active.to_string(),
            binding.connections.total.to_string(),
            binding.connections.last_used.as_deref().map(to_the_second).unwrap_or_default(),
            binding.reason.clone().or(until).unwrap_or_default(),
        ]);
    }
    print(table)
}

/// Requests, one a line.
pub fn audit(requests: &[AuditView]) -> Result<(), Failure> {
    let mut table = table(&["TIME", "WHO", "STATUS", "REQUEST", "OPERATION"]);
    for request in requests {
        table.add_row([
            to_the_second(&request.at),
            who(request),
            request.status.to_string(),
            format!("{} {}", request.method, request.path),
            request.operation.clone().unwrap_or_default(),
        ]);
    }
    print(table)
}

/// By what a request's sender is known: a token, a user and its process, an address.
fn who(request: &AuditView) -> String {
    let token = request.token.as_ref().map(|token| format!("token {token}"));
    let user = request.uid.map(|uid| format!("uid {uid}"));
    let process = request.pid.map(|pid| format!("pid {pid}"));
    let address = request.address.as_ref().map(|address| format!("from {address}"));
    [token, user, process, address].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// What has become of an operation.
pub fn operation(operation: &OperationView) -> Result<(), Failure> {
    let asked = operation
        .request
        .as_ref()
        .map(|request| format!(" ({} {} by {})", request.method, request.path, who(request)));
    line(&format!("{} is {}{}", operation.id, operation.state, asked.unwrap_or_default()))?;
    if operation.events.is_empty() { Ok(()) } else { events(&operation.events) }
}

/// Tokens, one a line.
pub fn tokens(tokens: &[TokenView]) -> Result<(), Failure> {
    let mut table = table(&["NAME", "ROLE", "APP", "CREATED", "EXPIRES"]);
    for token in tokens {
        table.add_row([
            token.name.to_string(),
            token.role.clone(),
            token.app.as_ref().map(ToString::to_string).unwrap_or_default(),
            to_the_second(&token.created_at),
            token.expires_at.as_deref().map_or("never".into(), to_the_second),
        ]);
    }
    print(table)
}

/// Backups, one a line.
pub fn backups(backups: &[BackupView]) -> Result<(), Failure> {
    let mut table = table(&["ID", "STARTED", "KIND", "TARGET", "BYTES", "ENCRYPTED", "STATE", "REASON"]);
    for backup in backups {
        table.add_row([
            backup.id.clone(),
            to_the_second(&backup.started_at),
            backup.kind.to_string(),
            backup.target.to_string(),
            backup.bytes.to_string(),
            if backup.encrypted { "yes" } else { "no" }.to_owned(),
            backup.state.clone(),
            backup.reason.clone().unwrap_or_default(),
        ]);
    }
    print(table)
}

/// What has happened, the latest last.
pub fn events(events: &[EventView]) -> Result<(), Failure> {
    let mut table = table(&["TIME", "ADDON", "FROM", "TO", "NOTE"]);
    for event in events {
        table.add_row([
            to_the_second(&event.at),
            event.addon.to_string(),
            event.from.clone(),
            event.to.clone(),
            event.note.clone(),
        ]);
    }
    print(table)
}

/// One event, on a line of its own.
pub fn event(event: &EventView) -> Result<(), Failure> {
    let change = match event.from.as_str() {
        "" => event.to.clone(),
        from if from == event.to => event.to.clone(),
        from => format!("{from} -> {}", event.to),
    };
    let note = if event.note.is_empty() { String::new() } else { format!(": {}", event.note) };
    line(&format!("{}  {}  {change}{note}", to_the_second(&event.at), event.addon))
}

/// Routes, one a line.
pub fn routes(routes: &[RouteView]) -> Result<(), Failure> {
    let mut table = table(&["PROTOCOL", "NAME", "STATE", "ADDRESS", "CONTAINER", "CONNECTIONS"]);
    for route in routes {
        table.add_row([
            route.protocol.to_string(),
            route.name.to_string(),
            route.state.clone(),
            route.address.clone().unwrap_or_default(),
            route.container.chars().take(12).collect(),
            connections(route.connections),
        ]);
    }
    print(table)
}

/// What was looked at, with what to do below what is not as it should be.
pub fn checks(checks: &[Check]) -> Result<(), Failure> {
    let width = checks.iter().map(|check| check.name.len()).max().unwrap_or(0);
    for Check { name, status, detail, hint } in checks {
        let word = match status {
            CheckStatus::Ok => "ok  ",
            CheckStatus::Warn => "warn",
            CheckStatus::Fail => "FAIL",
        };
        line(&format!("{word}  {name:width$}  {detail}"))?;
        if !hint.is_empty() {
            line(&format!("      {:width$}  -> {hint}", ""))?;
        }
    }
    Ok(())
}

/// What it is, and who makes it if that is not in a container.
fn kind(addon: &AddonView) -> String {
    match addon.provider == addon.kind || addon.provider.as_str() == "docker" {
        true => addon.kind.to_string(),
        false => format!("{} ({})", addon.kind, addon.provider),
    }
}

fn state(addon: &AddonView) -> String {
    match &addon.step {
        Some(step) => format!("{} ({step})", addon.state),
        None => addon.state.clone(),
    }
}

/// RFC 3339 without the fraction: people do not read further.
fn to_the_second(time: &str) -> String {
    time.split_once('.').map_or(time.to_owned(), |(seconds, _)| format!("{seconds}Z"))
}

fn connections(of: Connections) -> String {
    match of.max {
        0 => of.active.to_string(),
        max => format!("{}/{max}", of.active),
    }
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
    if !header.is_empty() {
        table.set_header(header.to_vec());
    }
    table
}

fn print(mut table: Table) -> Result<(), Failure> {
    table.column_iter_mut().for_each(|column| {
        column.set_padding((0, 2));
    });
    line(&table.trim_fmt())
}
