//! `pierhead export` and `pierhead import`: the data of an addon, with a progress bar.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IsTerminal, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use futures_util::{StreamExt, stream};
use http_body_util::BodyExt;
use hyper::body::{Bytes, Frame, Incoming};
use indicatif::{ProgressBar, ProgressStyle};

use super::client::Client;
use super::{Failure, show};
use crate::control::api::types::ImportView;
use crate::dialect::Name;

/// Writes the data of an addon to a file, or to stdout.
pub async fn export(client: &Client, name: &Name, output: Option<&Path>) -> Result<(), Failure> {
    if output.is_none() && io::stdout().is_terminal() {
        let hint = format!("say where to: pierhead export {name} --output {name}.dump, or > {name}.dump");
        return Err(Failure::usage("the data are not for a terminal").hint(hint));
    }
    if let Some(path) = output.filter(|path| path.exists()) {
        let message = format!("{} is there already; nothing was changed", path.display());
        return Err(Failure::failed(message).hint("say another file, or remove it"));
    }
    let body = client.stream(&format!("/v1/addons/{name}/export")).await?;
    let bar = bar(0, format!("exporting {name}"));
    match output {
        None => copy(body, &mut io::stdout().lock(), &bar).await,
        Some(path) => to_file(body, path, &bar).await,
    }
}

/// The file has its name only once it is whole.
async fn to_file(body: Incoming, path: &Path, bar: &ProgressBar) -> Result<(), Failure> {
    let part = PathBuf::from(format!("{}.part", path.display()));
    let failed = |error: io::Error| Failure::failed(format!("cannot write {}: {error}", part.display()));
    // It holds everything that the addon does.
    let mut file =
        OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part).map_err(failed)?;
    if let Err(failure) = copy(body, &mut file, bar).await {
        let _ = fs::remove_file(&part);
        return Err(failure);
    }
    file.sync_all().and_then(|()| fs::rename(&part, path)).map_err(failed)?;
    bar.finish_and_clear();
    eprintln!("{} bytes are in {}", bar.position(), path.display());
    Ok(())
}

async fn copy(mut body: Incoming, to: &mut impl Write, bar: &ProgressBar) -> Result<(), Failure> {
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Failure::failed(format!("the export broke off, it is not whole: {error}"))
                .hint("the log of `pierhead serve` says why")
        })?;
        if let Some(bytes) = frame.data_ref() {
            to.write_all(bytes)
                .map_err(|error| Failure::failed(format!("cannot write the data: {error}")))?;
            bar.inc(bytes.len() as u64);
        }
    }
    to.flush().map_err(|error| Failure::failed(format!("cannot write the data: {error}")))
}

/// Reads a file, or stdin, into an addon.
pub async fn import(client: &Client, name: &Name, file: &Path, json: bool) -> Result<(), Failure> {
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
    let sending = bar.clone();
    let body = stream::unfold(source, move |mut source| {
        let bar = sending.clone();
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
    });
    let imported: ImportView = client.upload(&format!("/v1/addons/{name}/import"), body.boxed()).await?;
    bar.finish_and_clear();
    if json {
        return show::json(&imported);
    }
    show::line(&format!(
        "{name} has the data of the {}: {} bytes, SHA-256 {}",
        imported.format, imported.bytes, imported.sha256
    ))
}

/// Hidden where stderr is no terminal.
fn bar(len: u64, message: String) -> ProgressBar {
    let bar = if len > 0 { ProgressBar::new(len) } else { ProgressBar::new_spinner() };
    let template = match len {
        0 => "{spinner} {msg} {bytes} {bytes_per_sec} {elapsed}",
        _ => "{spinner} {msg} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {elapsed}",
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar.set_message(message);
    bar.enable_steady_tick(Duration::from_millis(100));
    bar
}

const CHUNK_LEN: usize = 64 * 1024;
