//! `pierhead backup`, `backups`, `restore` and `clone`: asked of the server, with a progress bar meanwhile.

use std::time::{Duration, Instant};

use indicatif::ProgressBar;

use super::args::BackupsArgs;
use super::client::Client;
use super::data::bar;
use super::{Failure, show};
use crate::config::Millis;
use crate::control::api::types::{
    AddonView, AdoptRequest, BackupList, BackupRequest, BackupView, CloneRequest, ImportView, Progress,
    RestoreRequest, ScheduleRequest, ScheduleView,
};
use crate::dialect::Name;

/// Backs an addon up, and waits until the backup is good.
pub async fn backup(
    client: &Client,
    name: &Name,
    request: &BackupRequest,
    timeout: Option<Millis>,
    json: bool,
) -> Result<(), Failure> {
    let begun: BackupView = client.send(&format!("/v1/addons/{name}/backups"), request).await?;
    let backup = match timeout {
        Some(timeout) => until_settled(client, begun, timeout).await?,
        None => begun,
    };
    if backup.state == "failed" {
        let reason = backup.reason.as_deref().unwrap_or("no reason is known");
        let hint = "what was written is gone; `pierhead backups` shows those that are good";
        return Err(Failure::failed(format!("the backup {} failed: {reason}", backup.id)).hint(hint));
    }
    if json {
        return show::json(&backup);
    }
    let BackupView { id, target, bytes, .. } = &backup;
    match timeout {
        Some(_) => {
            show::line(&format!("{id} at {target}: {bytes} bytes, restored into a scratch addon and good"))
        }
        None => show::line(&format!("{id} is under way; `pierhead backups {name}` shows how far it is")),
    }
}

async fn until_settled(
    client: &Client,
    mut backup: BackupView,
    timeout: Millis,
) -> Result<BackupView, Failure> {
    let path = format!("/v1/addons/{}/backups/{}", backup.addon, backup.id);
    let deadline = Instant::now() + timeout.get();
    let bar = bar(0, format!("backup of {}", backup.addon));
    while !backup.settled {
        if Instant::now() > deadline {
            let message =
                format!("the backup {} is still {} after {:?}", backup.id, backup.state, timeout.get());
            return Err(
                Failure::timed_out(message).hint("it goes on; `pierhead backups` shows how far it is")
            );
        }
        tokio::time::sleep(PERIOD).await;
        backup = client.get(&path).await?;
        draw(&bar, &backup.addon, backup.progress.as_ref());
    }
    bar.finish_and_clear();
    Ok(backup)
}

/// Lists backups, takes on those of a target, or removes one.
pub async fn backups(client: &Client, args: BackupsArgs, json: bool) -> Result<(), Failure> {
    let BackupsArgs { name, adopt, remove } = args;
    if let (Some(name), Some(id)) = (&name, remove) {
        let gone: BackupView = client.delete(&format!("/v1/addons/{name}/backups/{id}")).await?;
        return if json { show::json(&gone) } else { show::line(&format!("{id} is gone")) };
    }
    let list: BackupList = match (adopt, name) {
        (Some(target), _) => client.send_and_wait("/v1/backups/adopt", &AdoptRequest { target }).await?,
        (None, Some(name)) => client.get(&format!("/v1/addons/{name}/backups")).await?,
        (None, None) => client.get("/v1/backups").await?,
    };
    if json { show::json(&list) } else { show::backups(&list.backups) }
}

/// Says or shows how often an addon is backed up.
pub async fn schedule(
    client: &Client,
    name: &Name,
    every: Option<String>,
    json: bool,
) -> Result<(), Failure> {
    let path = format!("/v1/addons/{name}/schedule");
    let schedule: ScheduleView = match every {
        Some(every) => client.put(&path, &ScheduleRequest { every }).await?,
        None => client.get(&path).await?,
    };
    if json {
        return show::json(&schedule);
    }
    let who = if schedule.own { "as was said for it" } else { "as the configuration says" };
    match schedule.every_s {
        Some(every_s) => show::line(&format!("{name} is backed up every {every_s} s, {who}")),
        None => show::line(&format!("{name} is backed up when somebody asks, {who}")),
    }
}

/// Reads a backup into an addon, or makes a new one of it.
pub async fn restore(
    client: &Client,
    name: &Name,
    from: String,
    new: Option<Name>,
    json: bool,
) -> Result<(), Failure> {
    let create = new.is_some();
    let into = new.unwrap_or_else(|| name.clone());
    let request = RestoreRequest { backup: from.clone(), create };
    let restored =
        followed(client, &format!("/v1/addons/{into}/restore"), &request, &into, "restore").await?;
    if json {
        return show::json(&restored);
    }
    show::line(&format!(
        "{into} has the data of {from}: {} bytes, SHA-256 {}",
        restored.bytes, restored.sha256
    ))
}

/// Makes a new addon with the data of another.
pub async fn clone(client: &Client, name: &Name, new: &Name, json: bool) -> Result<(), Failure> {
    let request = CloneRequest { name: new.to_string() };
    let cloned = followed(client, &format!("/v1/addons/{name}/clone"), &request, new, "clone").await?;
    if json {
        let made: AddonView = client.get(&format!("/v1/addons/{new}")).await?;
        return show::json(&made);
    }
    show::line(&format!("{new} has the data of {name}: {} bytes", cloned.bytes))
}

/// A request that is answered when it is done, and how far it is meanwhile.
async fn followed(
    client: &Client,
    path: &str,
    request: &impl serde::Serialize,
    name: &Name,
    what: &str,
) -> Result<ImportView, Failure> {
    let bar = bar(0, format!("{what}: {name}"));
    let body = serde_json::to_vec(request).map_err(|error| Failure::failed(error.to_string()))?;
    let asked = client.upload(path, super::client::whole(body));
    let watch = async {
        loop {
            tokio::time::sleep(PERIOD).await;
            if let Ok(addon) = client.get::<AddonView>(&format!("/v1/addons/{name}")).await {
                draw(&bar, name, addon.progress.as_ref());
            }
        }
    };
    let answer = tokio::select! {
        answer = asked => answer,
        never = watch => never,
    };
    bar.finish_and_clear();
    answer
}

fn draw(bar: &ProgressBar, name: &Name, progress: Option<&Progress>) {
    let Some(progress) = progress else { return };
    bar.set_message(format!("{name}: {}", progress.detail));
    super::data::set_length(bar, progress.total);
    bar.set_position(progress.current);
}

const PERIOD: Duration = Duration::from_millis(200);
