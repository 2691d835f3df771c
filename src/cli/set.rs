//! `set`: another plan for an addon, or other settings for its engine.

use super::args::{SetArgs, WaitArgs};
use super::client::Client;
use super::verbs::path;
use super::waiting::until_settled;
use super::{Failure, show};
use crate::control::api::types::{SetRequest, SetView, SettingsRequest, SettingsView};
use crate::dialect::Name;

/// Changes what is to be changed; shows the settings if that is nothing.
pub async fn set(client: &Client, what: SetArgs, json: bool) -> Result<(), Failure> {
    let SetArgs { name, settings, unset, plan, wait } = what;
    if let Some(plan) = plan {
        return set_plan(client, &name, plan, wait, json).await;
    }
    let path = path(&name, "/settings");
    let is_question = settings.is_empty() && unset.is_empty();
    let view: SettingsView = match is_question {
        true => client.get(&path).await?,
        false => {
            let request = SettingsRequest { set: settings.into_iter().collect(), unset };
            client.patch(&path, &request).await?
        }
    };
    if json {
        return show::json(&view);
    }
    show::settings(&view.settings)?;
    if is_question && view.settings.is_empty() {
        eprintln!("{name} has no settings of its own; there are: {}", view.names.join(", "));
    }
    if !view.restart_needed.is_empty() {
        eprintln!("with its next start: {} -> pierhead restart {name}", view.restart_needed.join(", "));
    }
    Ok(())
}

async fn set_plan(
    client: &Client,
    name: &Name,
    plan: String,
    wait: WaitArgs,
    json: bool,
) -> Result<(), Failure> {
    let set: SetView = client.patch(&path(name, ""), &SetRequest { plan }).await?;
    if !wait.no_wait {
        until_settled(client, name, wait.timeout).await?;
    }
    if json {
        return show::json(&set);
    }
    show::line(&format!("{name} has the plan {}", set.addon.plan))?;
    if set.restart_needed {
        let rest =
            "what the engine is told when it starts, and the connections at once, change with its next start";
        eprintln!("{rest}: pierhead restart {name}");
    }
    Ok(())
}
