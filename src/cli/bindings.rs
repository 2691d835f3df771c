//! Logins: `bind`, `unbind`, `bindings` and `rotate`.

use super::apps::show_addon_env;
use super::args::{BindingVerb, EnvFormat};
use super::client::Client;
use super::verbs::escaped;
use super::{Failure, show};
use crate::control::api::types::{
    AddonEnvView, AddonView, BindRequest, BindingList, BoundView, RotateRequest,
};
use crate::dialect::{Name, Protocol};

/// Runs a verb that is about logins.
pub async fn run(client: &Client, verb: BindingVerb, json: bool) -> Result<(), Failure> {
    match verb {
        BindingVerb::Bind { name, role, access } => {
            let request = BindRequest { role, access };
            let bound: BoundView =
                client.send_and_wait(&format!("/v1/addons/{name}/bindings"), &request).await?;
            if json { show::json(&bound) } else { show::line(&bound.url.url) }
        }
        BindingVerb::Unbind { name, role } => unbind(client, &name, &role, json).await,
        BindingVerb::Bindings { name } => {
            let path = name.map_or("/v1/bindings".to_owned(), |name| format!("/v1/addons/{name}/bindings"));
            let list: BindingList = client.get(&path).await?;
            if json { show::json(&list) } else { show::bindings(&list.bindings) }
        }
        BindingVerb::Rotate { name, role, grace, now } => {
            let grace_ms = (!now).then(|| grace.get().as_millis() as u64);
            let request = RotateRequest { role, grace_ms, now };
            rotate(client, &name, &request, json).await
        }
    }
}

async fn unbind(client: &Client, name: &Name, role: &str, json: bool) -> Result<(), Failure> {
    client.delete_only(&format!("/v1/addons/{name}/bindings/{}", escaped(role))).await?;
    if json {
        return Ok(());
    }
    show::line(&format!("{name}.{role} is gone"))
}

/// The URL is for programs, so it is alone on stdout.
async fn rotate(client: &Client, name: &Name, request: &RotateRequest, json: bool) -> Result<(), Failure> {
    let addon: AddonView = client.get(&format!("/v1/addons/{name}")).await?;
    if addon.protocol == Protocol::None {
        let env: AddonEnvView = client.post(&format!("/v1/addons/{name}/new-secret")).await?;
        eprintln!("the old one is gone; apps are told the new one from now on");
        return show_addon_env(&env, EnvFormat::Shell, json);
    }
    let bound: BoundView = client.send_and_wait(&format!("/v1/addons/{name}/rotate"), request).await?;
    if json {
        return show::json(&bound);
    }
    match &bound.binding.old_until {
        Some(until) => {
            eprintln!("the old password is let in until {until}; apps are told the new one from now on")
        }
        None => eprintln!("the old password is let in no more"),
    }
    show::line(&bound.url.url)
}
