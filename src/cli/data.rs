//! `pierhead export` and `pierhead import`: the data of an addon, with a progress bar.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::{Stream, StreamExt, stream};
use http_body_util::BodyExt;
use hyper::body::{Bytes, Frame, Incoming};
use indicatif::{ProgressBar, ProgressStyle};

use super::args::DataVerb;
use super::backup;
use super::client::Client;
use super::{Failure, show};
use crate::control::api::types::{BackupRequest, ImportView};
use crate::dialect::Name;

/// Runs a verb that is about data.
pub async fn run(client: &Client, verb: DataVerb, json: bool) -> Result<(), Failure> {
    match verb {
        DataVerb::Export { name, output } => export(client, &name, output.as_deref()).await,
        DataVerb::Import { name, file } => import(client, &name, &file, json).await,
        DataVerb::Backup { name, to, keep, no_wait, timeout } => {
            let request = BackupRequest { target: to.map(|to| to.to_string()), keep };
            backup::backup(client, &name, &request, (!no_wait).then_some(timeout), json).await
        }
        DataVerb::Backups(args) => backup::backups(client, args, json).await,
        DataVerb::Schedule { name, every } => backup::schedule(client, &name, every, json).await,
        DataVerb::Restore { name, from, new } => backup::restore(client, &name, from, new, json).await,
        DataVerb::Clone { name, new } => backup::clone(client, &name, &new, json).await,
    }
}

/// Writes the data of an addon to a file, or to stdout.
async fn export(client: &Client, name: &Name, output: Option<&Path>) -> Result<(), Failure> {
    if output.is_none() && io::stdout().is_terminal() {
        let hint = format!("say where to: pierhead export {name} --output {name}.dump, or > {name}.dump");
        return Err(Failure::usage("the data are not for a terminal").hint(hint));
    }
    if let Some(path) = output.filter(|path| path.exists()) {
        let message = format!("{} is there already; nothing was changed", path.display());
        return Err(Failure::failed(message).hint("say another file, or remove it"));
    }
    match output {
        None => {
            let body = client.stream(&format!("/v1/addons/{name}/export")).await?;
            copy(body, &mut io::stdout().lock(), &bar(0, format!("exporting {name}"))).await.map(drop)
        }
        Some(path) => {
            let bytes = export_to(client, name, path).await?;
            eprintln!("{bytes} bytes are in {}", path.display());
            Ok(())
        }
    }
}

/// Writes the data of an addon to a file, and tells how many bytes that are. It has its name only once it is whole.
async fn export_to(client: &Client, name: &Name, path: &Path) -> Result<u64, Failure> {
    let body = client.stream(&format!("/v1/addons/{name}/export")).await?;
    let part = PathBuf::from(format!("{}.part", path.display()));
    let failed = |error: io::Error| Failure::failed(format!("cannot write {}: {error}", part.display()));
    // It holds everything that the addon does.
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part).map_err(failed)?;
    let written = match copy(body, &mut file, &bar(0, format!("exporting {name}"))).await {
        Ok(written) => {
            file.sync_all().and_then(|()| fs::rename(&part, path)).map(|()| written).map_err(failed)
        }
        Err(failure) => Err(failure),
    };
    if written.is_err() {
        let _ = fs::remove_file(&part);
    }
    written
}

async fn copy(mut body: Incoming, to: &mut impl Write, bar: &ProgressBar) -> Result<u64, Failure> {
    let failed = |error: io::Error| Failure::failed(format!("cannot write the data: {error}"));
    let mut bytes = 0;
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Failure::failed(format!("the export broke off, it is not whole: {error}"))
                .hint("the log of `pierhead serve` says why")
        })?;
        if let Some(data) = frame.data_ref() {
            to.write_all(data).map_err(failed)?;
            bytes += data.len() as u64;
            bar.set_position(bytes);
        }
    }
    to.flush().map_err(failed)?;
    bar.finish_and_clear();
    Ok(bytes)
}

/// Reads a file, or stdin, into an addon.
async fn import(client: &Client, name: &Name, file: &Path, json: bool) -> Result<(), Failure> {
    let imported = import_from(client, name, file).await?;
    if json {
        return show::json(&imported);
    }
    let ImportView { format, bytes, sha256 } = imported;
    show::line(&format!("{name} has the data of the {format}: {bytes} bytes, SHA-256 {sha256}"))
}

/// Sends a file, or stdin, to be read in.
async fn import_from(client: &Client, name: &Name, file: &Path) -> Result<ImportView, Failure> {
    let failed = |error: io::Error| Failure::failed(format!("cannot read {}: {error}", file.display()));
    let (source, len): (Box<dyn Read + Send>, u64) = match file.as_os_str() == "-" {
        true => (Box::new(io::stdin()), 0),
        false => {
            let file = File::open(file).map_err(failed)?;
            let len = file.metadata().map_err(failed)?.len();
            (Box::new(file), len)
        }
    };
    let bar = bar(len, format!("importing into {name}"));
    let body = chunks(source, bar.clone()).boxed();
    let imported = client.upload(&format!("/v1/addons/{name}/import"), body).await;
    bar.finish_and_clear();
    imported
}

fn chunks(
    source: Box<dyn Read + Send>,
    bar: ProgressBar,
) -> impl Stream<Item = io::Result<Frame<Bytes>>> + Send {
    stream::unfold(source, move |mut source| {
        let bar = bar.clone();
        async move {
            let mut buffer = vec![0; CHUNK_LEN];
            match source.read(&mut buffer) {
                Ok(0) => {
                    bar.set_message("the engine reads it in");
                    None
                }
                Ok(len) => {
                    bar.inc(len as u64);
                    buffer.truncate(len);
                    Some((Ok(Frame::data(Bytes::from(buffer))), source))
                }
                Err(error) => Some((Err(error), source)),
            }
        }
    })
}

/// Hidden where stderr is no terminal.
pub fn bar(len: u64, message: String) -> ProgressBar {
    let bar = ProgressBar::new_spinner();
    set_length(&bar, len);
    bar.set_message(message);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

/// There are so many bytes to move; 0 if that is not known.
pub fn set_length(bar: &ProgressBar, len: u64) {
    if bar.length() == Some(len) {
        return;
    }
    let template = match len {
        0 => "{spinner} {msg} {bytes} {bytes_per_sec} {elapsed}",
        _ => "{spinner} {msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {elapsed}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_length(len);
    bar.reset_eta();
}

const CHUNK_LEN: usize = 64 * 1024;
