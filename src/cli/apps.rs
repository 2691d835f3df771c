//! Apps: `attach`, `detach`, `promote`, `apps` and `env`.

use super::args::{AppVerb, Attachment, EnvFormat};
use super::client::Client;
use super::verbs::escaped;
use super::{Failure, show};
use crate::control::api::types::{
    AddonEnvView, AppList, AppView, AttachRequest, AttachmentView, EnvView, PromoteRequest, Variable,
};
use crate::dialect::Name;

/// Runs a verb that is about apps.
pub async fn run(client: &Client, verb: AppVerb, json: bool) -> Result<(), Failure> {
    match verb {
        AppVerb::Attach(what) => attach(client, &what, json).await,
        AppVerb::Detach(what) => detach(client, &what, json).await,
        AppVerb::Promote { name, app } => promote(client, &name, &app, json).await,
        AppVerb::Apps => apps(client, json).await,
        AppVerb::Env { app: Some(app), format, host, .. } => {
            env(client, &app, format, host.as_deref(), json).await
        }
        AppVerb::Env { addon: Some(addon), format, host, .. } => {
            let query = host.map(|host| format!("?host={}", escaped(&host))).unwrap_or_default();
            let env: AddonEnvView = client.get(&format!("/v1/addons/{addon}/env{query}")).await?;
            show_addon_env(&env, format, json)
        }
        AppVerb::Env { .. } => Err(Failure::usage("say --app or --addon")),
    }
}

/// Attaches an addon and says in which variable.
async fn attach(client: &Client, what: &Attachment, json: bool) -> Result<(), Failure> {
    let prefix = what.prefix.as_ref().map(ToString::to_string);
    let request = AttachRequest { addon: what.name.to_string(), prefix };
    let path = format!("/v1/apps/{}/attachments", what.app);
    let attached: AttachmentView = client.send(&path, &request).await?;
    if json {
        return show::json(&attached);
    }
    show::line(&format!("{} has {} from {}", attached.app, attached.variable, attached.addon))
}

/// Detaches an addon; without a name it must be the only one of its attachments to that app.
async fn detach(client: &Client, what: &Attachment, json: bool) -> Result<(), Failure> {
    let app: AppView = client.get(&format!("/v1/apps/{}", what.app)).await?;
    let prefix = what.prefix.as_ref().map(ToString::to_string);
    let is_meant =
        |one: &&AttachmentView| one.addon == what.name && (prefix.is_none() || one.prefix == prefix);
    let meant: Vec<_> = app.attachments.iter().filter(is_meant).collect();
    let [gone] = meant[..] else {
        let variables: Vec<_> = meant.iter().map(|one| one.variable.as_str()).collect();
        let message = match variables.len() {
            0 => format!("{} is not attached to {} so", what.name, what.app),
            _ => format!("{} is attached to {} as {}", what.name, what.app, variables.join(" and ")),
        };
        return Err(Failure::failed(message).hint("say which with --as; `pierhead apps` shows what there is"));
    };
    client.delete_only(&format!("/v1/apps/{}/attachments/{}", what.app, gone.variable)).await?;
    if json {
        return show::json(gone);
    }
    show::line(&format!("{} has {} no more", what.app, gone.variable))
}

/// Promotes an addon and shows what the app has then.
async fn promote(client: &Client, name: &Name, app: &Name, json: bool) -> Result<(), Failure> {
    let request = PromoteRequest { addon: name.to_string() };
    let app: AppView = client.send(&format!("/v1/apps/{app}/promote"), &request).await?;
    if json { show::json(&app) } else { show::attachments(&app.attachments) }
}

/// Lists apps.
async fn apps(client: &Client, json: bool) -> Result<(), Failure> {
    let list: AppList = client.get("/v1/apps").await?;
    if json {
        return show::json(&list);
    }
    let all: Vec<_> = list.apps.into_iter().flat_map(|app| app.attachments).collect();
    show::attachments(&all)
}

/// Prints the variables of an app.
async fn env(
    client: &Client,
    app: &Name,
    format: EnvFormat,
    host: Option<&str>,
    json: bool,
) -> Result<(), Failure> {
    let query = host.map(|host| format!("?host={}", escaped(host))).unwrap_or_default();
    let env: EnvView = client.get(&format!("/v1/apps/{app}/env{query}")).await?;
    if json {
        return show::json(&env);
    }
    show::bytes(written(&env.variables, format).as_bytes())
}

/// Prints what an app is told of an addon.
pub fn show_addon_env(env: &AddonEnvView, format: EnvFormat, json: bool) -> Result<(), Failure> {
    if json { show::json(env) } else { show::bytes(written(&env.variables, format).as_bytes()) }
}

/// Variables as a program of that kind reads them. Values are URLs: whatever is odd in a password is escaped there, so
/// only what URLs may hold needs care.
fn written(variables: &[Variable], format: EnvFormat) -> String {
    let lines = variables.iter().map(|Variable { name, value, .. }| match format {
        EnvFormat::Shell => format!("export {name}='{}'\n", value.replace('\'', "'\\''")),
        EnvFormat::Dotenv => {
            format!("{name}=\"{}\"\n", value.replace('\\', "\\\\").replace('"', "\\\"").replace('$', "\\$"))
        }
        // Taken as it is, to the end of the line.
        EnvFormat::Docker => format!("{name}={value}\n"),
        EnvFormat::Json => String::new(),
    });
    if let EnvFormat::Json = format {
        let pair = |variable: &Variable| (variable.name.clone(), variable.value.clone().into());
        let object = serde_json::Value::Object(variables.iter().map(pair).collect());
        return format!("{object:#}\n");
    }
    lines.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_are_quoted_for_whoever_reads_them() {
        let addon = Name::parse("blog").unwrap();
        let variables = [Variable { name: "A_URL".into(), value: "x://a'b$c\"d".into(), addon }];
        let as_written = |format| written(&variables, format);
        assert_eq!(as_written(EnvFormat::Shell), "export A_URL='x://a'\\''b$c\"d'\n");
        assert_eq!(as_written(EnvFormat::Dotenv), "A_URL=\"x://a'b\\$c\\\"d\"\n");
        assert_eq!(as_written(EnvFormat::Docker), "A_URL=x://a'b$c\"d\n");
        let json: serde_json::Value = serde_json::from_str(&as_written(EnvFormat::Json)).unwrap();
        assert_eq!(json, serde_json::json!({"A_URL": "x://a'b$c\"d"}));
    }
}
