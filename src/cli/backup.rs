//! `pierhead backup`, `backups`, `restore` and `clone`: exports with a manifest, which count only once they have been read in
//! again.
//!
//! A backup is two files in a directory: the engine's own archive, and `NAME-TIME.json`, which is written last. Nothing here
//! needs more than `export`, `import`, `create` and `destroy`.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::client::Client;
use super::data::{export_to, import_from};
use super::waiting::until_settled;
use super::{Failure, show};
use crate::addons::hex;
use crate::config::Millis;
use crate::control::api::types::{AddonView, CreateRequest};
use crate::dialect::Name;

/// What is known of a backup: the file beside it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Manifest {
    /// The addon.
    pub name: Name,
    /// Its kind.
    pub kind: Name,
    /// Its plan.
    pub plan: Name,
    /// The image that wrote it.
    pub image: String,
    /// The archive, in the same directory.
    pub file: String,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, as hexadecimal digits.
    pub sha256: String,
    /// RFC 3339, UTC.
    pub created_at: String,
    /// Whether it has been read into a scratch addon.
    pub verified: bool,
}

/// How to back up.
#[derive(Clone, Copy, Debug)]
pub struct How {
    /// Whether to read it into a scratch addon.
    pub verify: bool,
    /// How many backups of the addon stay; `None` for all.
    pub keep: Option<u32>,
    /// How long to wait for the scratch addon.
    pub timeout: Millis,
}

/// Backs an addon up into a directory.
pub async fn backup(client: &Client, name: &Name, dir: &Path, how: How, json: bool) -> Result<(), Failure> {
    let addon: AddonView = client.get(&format!("/v1/addons/{name}")).await?;
    let time = jiff::Timestamp::now();
    let stem = format!("{name}-{}", time.strftime("%Y%m%dT%H%M%SZ"));
    let file = format!("{stem}.{}", addon.archive.as_deref().unwrap_or("archive"));
    fs::create_dir_all(dir).map_err(|error| cannot("make", dir, &error))?;
    let (path, manifest_path) = (dir.join(&file), dir.join(format!("{stem}.json")));
    let exported = export_to(client, name, &path).await?;
    let checked =
        if how.verify { verify(client, &addon, &path, &exported.sha256, how.timeout).await } else { Ok(()) };
    if let Err(failure) = checked {
        // What cannot be read in is no backup.
        let _ = fs::remove_file(&path);
        return Err(failure);
    }
    let manifest = Manifest {
        name: name.clone(),
        kind: addon.kind,
        plan: addon.plan,
        image: addon.image,
        file,
        bytes: exported.bytes,
        sha256: exported.sha256,
        created_at: time.to_string(),
        verified: how.verify,
    };
    write(&manifest_path, &manifest).map_err(|error| cannot("write", &manifest_path, &error))?;
    if let Some(keep) = how.keep {
        retain(dir, name, keep)?;
    }
    if json {
        return show::json(&manifest);
    }
    let state = if how.verify { "read in again and good" } else { "not verified" };
    show::line(&format!("{}: {} bytes, {state}", path.display(), manifest.bytes))
}

/// Reads a backup into an addon of its own, which is gone afterwards, whatever comes of it.
async fn verify(
    client: &Client,
    addon: &AddonView,
    path: &Path,
    sha256: &str,
    timeout: Millis,
) -> Result<(), Failure> {
    let scratch = like(client, addon, None).await?;
    let result = async {
        until_settled(client, &scratch, timeout).await?;
        let imported = import_from(client, &scratch, path).await?;
        if imported.sha256 == sha256 {
            Ok(())
        } else {
            Err(Failure::failed("the file is not what was exported"))
        }
    };
    let result = result.await;
    let gone: Result<AddonView, Failure> = client.delete(&format!("/v1/addons/{scratch}")).await;
    if let Err(failure) = gone {
        eprintln!("the scratch addon {scratch} is left behind; destroy it");
        return result.and(Err(failure));
    }
    until_settled(client, &scratch, timeout)
        .await
        .or_else(|failure| if failure.is_not_found() { Ok(None) } else { Err(failure) })?;
    result
}

/// Asks for an addon of the same kind and plan.
async fn like(client: &Client, addon: &AddonView, name: Option<&Name>) -> Result<Name, Failure> {
    if addon.provider.as_str() != "docker" {
        let message = format!("{} has no container, so there can be no other like it", addon.name);
        return Err(Failure::failed(message).hint(format!("it is made by the provider {}", addon.provider)));
    }
    let request = CreateRequest {
        kind: addon.kind.to_string(),
        name: name.map(ToString::to_string),
        plan: Some(addon.plan.to_string()),
        app: None,
        ..CreateRequest::default()
    };
    let made: AddonView = client.send("/v1/addons", &request).await?;
    Ok(made.name)
}

/// Makes a new addon with the data of another.
pub async fn clone(
    client: &Client,
    name: &Name,
    new: &Name,
    timeout: Millis,
    json: bool,
) -> Result<(), Failure> {
    let addon: AddonView = client.get(&format!("/v1/addons/{name}")).await?;
    let dir = Scratch::new()?;
    let path = dir.0.join("archive");
    let exported = export_to(client, name, &path).await?;
    like(client, &addon, Some(new)).await?;
    until_settled(client, new, timeout).await?;
    let hint = format!("{new} is there without the data: `pierhead destroy {new}` removes it");
    import_from(client, new, &path).await.map_err(|failure| failure.hint(hint))?;
    let made: AddonView = client.get(&format!("/v1/addons/{new}")).await?;
    if json {
        return show::json(&made);
    }
    show::line(&format!("{new} has the data of {name}: {} bytes", exported.bytes))
}

/// Reads a backup into an addon, after a look at its manifest.
pub async fn restore(client: &Client, name: &Name, file: &Path, json: bool) -> Result<(), Failure> {
    let addon: AddonView = client.get(&format!("/v1/addons/{name}")).await?;
    let manifest_path = file.with_extension("json");
    let hint = "`pierhead import` reads in a file without a manifest";
    let manifest = read(&manifest_path)
        .map_err(|error| cannot("read the manifest", &manifest_path, &error).hint(hint))?;
    if manifest.kind != addon.kind {
        let message = format!("{} is of a {}, {name} is a {}", file.display(), manifest.kind, addon.kind);
        return Err(Failure::usage(format!("{message}; nothing was changed")));
    }
    let sha256 = digest(file).map_err(|error| cannot("read", file, &error))?;
    if sha256 != manifest.sha256 {
        let message = format!("{} is not what was backed up: its SHA-256 is {sha256}", file.display());
        return Err(Failure::failed(format!("{message}; nothing was changed")).hint("take another backup"));
    }
    super::data::import(client, name, file, json).await
}

/// Lists the backups in a directory, of one addon or of all, the latest last.
pub fn backups(dir: &Path, name: Option<&Name>, json: bool) -> Result<(), Failure> {
    let found: Vec<Manifest> = manifests(dir, name)?.into_iter().map(|(_, manifest)| manifest).collect();
    if json { show::json(&found) } else { show::backups(&found) }
}

/// Removes all but the latest `keep` backups of an addon. Archives without a manifest are somebody else's.
fn retain(dir: &Path, name: &Name, keep: u32) -> Result<(), Failure> {
    let found = manifests(dir, Some(name))?;
    let surplus = found.len().saturating_sub(keep as usize);
    for (path, manifest) in &found[..surplus] {
        let archive = dir.join(&manifest.file);
        // The manifest goes first: an archive alone is no backup.
        for path in [path, &archive] {
            fs::remove_file(path).map_err(|error| cannot("remove", path, &error))?;
        }
    }
    Ok(())
}

fn manifests(dir: &Path, name: Option<&Name>) -> Result<Vec<(PathBuf, Manifest)>, Failure> {
    let failed = |error: io::Error| cannot("read", dir, &error);
    let mut found = vec![];
    for entry in fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|extension| extension == "json")
            && let Ok(manifest) = read(&path)
            && name.is_none_or(|name| *name == manifest.name)
        {
            found.push((path, manifest));
        }
    }
    found.sort_by(|(_, one), (_, other)| one.created_at.cmp(&other.created_at));
    Ok(found)
}

fn read(path: &Path) -> io::Result<Manifest> {
    let manifest: Manifest = serde_json::from_slice(&fs::read(path)?).map_err(io::Error::other)?;
    // The archive is beside it: whoever may write a manifest may not have any other file removed.
    if Path::new(&manifest.file).file_name() != Some(OsStr::new(&manifest.file)) {
        return Err(io::Error::other(format!("it names {:?} as its archive", manifest.file)));
    }
    Ok(manifest)
}

/// The manifest is there as a whole, or not at all.
fn write(path: &Path, manifest: &Manifest) -> io::Result<()> {
    let part = path.with_extension("json.part");
    let mut file = File::create(&part)?;
    file.write_all(&serde_json::to_vec_pretty(manifest).map_err(io::Error::other)?)?;
    file.sync_all()?;
    fs::rename(&part, path)?;
    path.parent().map_or(Ok(()), |dir| File::open(dir)?.sync_all())
}

fn digest(file: &Path) -> io::Result<String> {
    let (mut file, mut hash, mut buffer) = (File::open(file)?, Sha256::new(), vec![0; 64 * 1024]);
    loop {
        match file.read(&mut buffer)? {
            0 => return Ok(hex(&hash.finalize())),
            len => hash.update(&buffer[..len]),
        }
    }
}

fn cannot(what: &str, path: &Path, error: &io::Error) -> Failure {
    Failure::failed(format!("cannot {what} {}: {error}", path.display()))
}

/// A directory of this process' own, readable by its user only, which is gone when it is dropped.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, Failure> {
        use std::os::unix::fs::DirBuilderExt;
        let path = std::env::temp_dir().join(format!("pierhead-clone-{}", std::process::id()));
        let made = fs::DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| cannot("make", &path, &error))?;
        Ok(Scratch(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}
