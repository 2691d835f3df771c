//! `pierhead upgrade` and `pierhead rollback`, with a progress bar.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressStyle};

use super::args::{UpgradeArgs, UpgradeVerb};
use super::client::Client;
use super::{Failure, show};
use crate::config::Millis;
use crate::control::api::types::{RollbackRequest, UpgradeRequest, UpgradeView};
use crate::dialect::Name;

/// Runs a verb that is about versions.
pub async fn run(client: &Client, verb: UpgradeVerb, json: bool) -> Result<(), Failure> {
    match verb {
        UpgradeVerb::Upgrade(args) if args.finish => finish(client, &args, json).await,
        UpgradeVerb::Upgrade(args) if args.cancel => {
            let _: UpgradeView = client.delete(&path(&args.name, "")).await?;
            conclude(client, &args.name, args.timeout, "undone", json).await
        }
        UpgradeVerb::Upgrade(args) => upgrade(client, args, json).await,
        UpgradeVerb::Rollback { name, force, timeout } => {
            let _: UpgradeView = client.send(&path(&name, "/rollback"), &RollbackRequest { force }).await?;
            conclude(client, &name, timeout, "undone", json).await
        }
    }
}

async fn upgrade(client: &Client, args: UpgradeArgs, json: bool) -> Result<(), Failure> {
    let UpgradeArgs { name, to, image, dry_run, hold_max, no_wait, timeout, .. } = args;
    let hold_max_s = u32::try_from(hold_max.get().as_secs()).unwrap_or(u32::MAX);
    let request = UpgradeRequest { to, image, hold_max_s: Some(hold_max_s), dry_run };
    let begun: UpgradeView = client.send(&path(&name, ""), &request).await?;
    if dry_run || no_wait {
        if json {
            return show::json(&begun);
        }
        return if dry_run { show_plan(&begun) } else { Ok(()) };
    }
    conclude(client, &name, timeout, "kept", json).await?;
    if !json {
        eprintln!(
            "the old container is kept: `pierhead rollback {name}` goes back to it, `pierhead upgrade {name} --finish` removes it"
        );
    }
    Ok(())
}

fn show_plan(plan: &UpgradeView) -> Result<(), Failure> {
    let UpgradeView { addon, from_image, to_image, from_version, to_version, .. } = plan;
    let how = match plan.method.as_str() {
        "swap" => "on the same volume; logins wait for a few seconds",
        "move" => {
            "into a volume of its own; logins wait while the data are written out, read in and compared"
        }
        _ => return show::line(&plan.reason.clone().unwrap_or_default()),
    };
    show::line(&format!(
        "{addon} would go from {from_image} ({from_version}) to {to_image} ({to_version}), {how}"
    ))
}

async fn finish(client: &Client, args: &UpgradeArgs, json: bool) -> Result<(), Failure> {
    let name = &args.name;
    let _: UpgradeView = client.post(&path(name, "/finish")).await?;
    if args.no_wait {
        return Ok(());
    }
    match until_settled(client, name, args.timeout).await? {
        Some(upgrade) => Err(failed(&upgrade)),
        None if json => Ok(()),
        None => show::line(&format!("the old container of {name} is gone")),
    }
}

/// Waits for the end, which has to be the expected one.
async fn conclude(
    client: &Client,
    name: &Name,
    timeout: Millis,
    expected: &str,
    json: bool,
) -> Result<(), Failure> {
    let upgrade = until_settled(client, name, timeout).await?;
    let upgrade = upgrade.ok_or_else(|| Failure::failed(format!("the upgrade of {name} is gone")))?;
    if upgrade.stage != expected {
        return Err(failed(&upgrade));
    }
    if json {
        return show::json(&upgrade);
    }
    let UpgradeView { from_image, from_version, to_image, to_version, .. } = &upgrade;
    match expected {
        "kept" => show::line(&format!(
            "{name} runs {to_image} ({to_version}) instead of {from_image} ({from_version})"
        )),
        _ => show::line(&format!("{name} runs {from_image} again")),
    }
}

fn failed(upgrade: &UpgradeView) -> Failure {
    let UpgradeView { addon, from_image, to_image, .. } = upgrade;
    let reason = upgrade.reason.as_deref().unwrap_or("no reason is known");
    let hint = match upgrade.stage.as_str() {
        "undone" => format!("{addon} runs {from_image}, as before, with all its data"),
        _ => format!("see `pierhead info {addon}` and `pierhead events {addon}`"),
    };
    Failure::failed(format!("{addon} was not upgraded to {to_image}: {reason}")).hint(hint)
}

/// Waits until nothing happens any more. `None`: there is no upgrade any more.
async fn until_settled(
    client: &Client,
    name: &Name,
    timeout: Millis,
) -> Result<Option<UpgradeView>, Failure> {
    let deadline = Instant::now() + timeout.get();
    let display = Display::new();
    let mut said = String::new();
    loop {
        let upgrade: UpgradeView = match client.get(&path(name, "")).await {
            Ok(upgrade) => upgrade,
            Err(failure) if failure.is_not_found() => return Ok(None),
            Err(failure) => return Err(failure),
        };
        if upgrade.settled {
            return Ok(Some(upgrade));
        }
        display.show(&upgrade, &mut said);
        if Instant::now() >= deadline {
            let message =
                format!("the upgrade of {name} is still at {} after {:?}", upgrade.stage, timeout.get());
            return Err(Failure::timed_out(message).hint(format!("it goes on: see `pierhead info {name}`")));
        }
        tokio::time::sleep(PERIOD).await;
    }
}

/// A bar on a terminal, plain lines elsewhere; on stderr.
struct Display(Option<ProgressBar>);

impl Display {
    fn new() -> Self {
        let bar = std::io::stderr().is_terminal().then(ProgressBar::new_spinner);
        if let Some(bar) = &bar {
            bar.enable_steady_tick(Duration::from_millis(100));
            if let Ok(style) = ProgressStyle::with_template("{spinner} {msg} {bytes} {elapsed}") {
                bar.set_style(style);
            }
        }
        Display(bar)
    }

    fn show(&self, upgrade: &UpgradeView, said: &mut String) {
        let detail = upgrade.progress.as_ref().map_or("", |progress| progress.detail.as_str());
        let reason = upgrade.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
        let text = format!("{}: {}: {detail}{reason}", upgrade.addon, upgrade.stage);
        match &self.0 {
            Some(bar) => {
                bar.set_position(upgrade.progress.as_ref().map_or(0, |progress| progress.current));
                bar.set_message(text);
            }
            None if *said != text => {
                eprintln!("{text}");
                *said = text;
            }
            None => {}
        }
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

fn path(name: &Name, rest: &str) -> String {
    format!("/v1/addons/{name}/upgrade{rest}")
}

const PERIOD: Duration = Duration::from_millis(150);
