//! Export and import: the data of an addon as a stream, by the engine's own programs inside its container.
//!
//! A file to be imported is written to the disk first and looked at, so that what is cut off, or another engine's, changes
//! nothing. An engine that cannot undo a failed import by itself has its data exported before, and imported again after.

mod error;
mod import;
mod program;
mod spool;
mod swap;
mod transfer;

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::mpsc;

pub use self::error::ArchiveError;
pub use self::import::{Imported, Received};
use self::program::{pump, pump_edited};
pub use self::spool::Spool;
pub use self::transfer::transfer;
use super::Addon;
use super::kinds::{Archive, Kind};
use super::lifecycle::State;
use super::provision::{Program, Provisioner};
use super::store::Store;
use crate::dialect::Name;

/// Exports and imports, one at a time for each addon.
pub struct Archives {
    provisioner: Arc<Provisioner>,
    store: Arc<Store>,
    busy: Arc<Mutex<HashSet<Name>>>,
    /// The largest file that is imported, in bytes.
    import_max: u64,
}

/// An export that has begun.
pub struct Export {
    /// What it is.
    pub archive: Archive,
    /// The file. Its last item is an error if it is not whole.
    pub chunks: mpsc::Receiver<io::Result<Bytes>>,
}

impl Archives {
    /// With what is needed to run programs in containers. Removes what an earlier Pierhead has left.
    pub fn new(provisioner: Arc<Provisioner>, store: Arc<Store>, import_max: u64) -> Self {
        if let Err(error) = spool::clean(provisioner.data_dir()) {
            tracing::warn!(%error, "what earlier imports have left in data_dir stays");
        }
        Archives { provisioner, store, busy: Arc::default(), import_max }
    }

    /// Begins to write the data of an addon out.
    pub async fn export(&self, addon: &Addon, kind: &dyn Kind) -> Result<Export, ArchiveError> {
        let turn = self.turn(&addon.name)?;
        let (archive, container) = archive_and_container(addon, kind)?;
        let program = self.program(addon, &archive, &archive.export, container).await?;
        let (sender, chunks) = mpsc::channel(CHUNKS);
        let (name, for_pump) = (addon.name.clone(), archive.clone());
        tokio::spawn(async move {
            if let Err(error) = written_out(program, &for_pump, &name, &sender).await {
                tracing::warn!(addon = %name, %error, "an export broke off");
                // Nobody is listening any more: then nobody needs to know.
                let _ = sender.send(Err(io::Error::other(error.to_string()))).await;
            }
            drop(turn);
        });
        Ok(Export { archive, chunks })
    }

    /// What the addon holds, in a file that is gone when it is dropped. `written` hears how many bytes that are so far.
    pub async fn spooled(
        &self,
        addon: &Addon,
        kind: &dyn Kind,
        written: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Spool, ArchiveError> {
        let _turn = self.turn(&addon.name)?;
        let (archive, container) = archive_and_container(addon, kind)?;
        let spool = self.empty()?;
        let spool = self.write_out(addon, &archive, container, spool, written).await?;
        check(&archive, &spool)?;
        Ok(spool)
    }

    /// An empty file that is gone when it is dropped.
    pub fn empty(&self) -> Result<Spool, ArchiveError> {
        Ok(Spool::scratch(self.provisioner.data_dir())?)
    }

    async fn write_out(
        &self,
        addon: &Addon,
        archive: &Archive,
        container: &str,
        mut spool: Spool,
        written: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Spool, ArchiveError> {
        let program = self.program(addon, archive, &archive.export, container).await?;
        let (sender, mut chunks) = mpsc::channel(CHUNKS);
        let pumped = async move { written_out(program, archive, &addon.name, &sender).await };
        // If the disk is full this ends, and nobody listens to the program any more.
        let spooled = async move {
            while let Some(Ok(chunk)) = chunks.recv().await {
                spool.add(&chunk).await?;
                written(spool.size());
            }
            spool.flush().await.map(|()| spool)
        };
        let (pumped, spooled) = tokio::join!(pumped, spooled);
        let spool = spooled?;
        pumped?;
        Ok(spool)
    }

    async fn program(
        &self,
        addon: &Addon,
        archive: &Archive,
        command: &[String],
        container: &str,
    ) -> Result<Program, ArchiveError> {
        let (login, env) = self.provisioner.archive_login(addon, archive)?;
        let argument = |word: &String| if word == Archive::LOGIN { login.clone() } else { word.clone() };
        let command: Vec<String> = command.iter().map(argument).collect();
        Ok(self.provisioner.exec(container, &command, env).await?)
    }

    /// Keeps exports and imports away from an addon, until what is returned is dropped.
    pub fn turn(&self, name: &Name) -> Result<Turn, ArchiveError> {
        if !locked(&self.busy).insert(name.clone()) {
            return Err(ArchiveError::Busy(name.clone()));
        }
        Ok(Turn { busy: Arc::clone(&self.busy), name: name.clone() })
    }
}

/// Passes on what an engine's program writes, as the archive is to be.
async fn written_out(
    program: Program,
    archive: &Archive,
    name: &Name,
    to: &mpsc::Sender<io::Result<Bytes>>,
) -> Result<(), ArchiveError> {
    match archive.edit {
        Some(edit) => pump_edited(program, |bytes| (edit.out)(name, bytes), to).await,
        None => pump(program, to).await,
    }
}

fn check(archive: &Archive, spool: &Spool) -> Result<(), ArchiveError> {
    let bad = |why| ArchiveError::Bad(format!("this is no whole {}: {why}", archive.format));
    (archive.check)(spool.ends()).map_err(bad)
}

fn unchanged(why: &str) -> ArchiveError {
    ArchiveError::Failed(format!("{why}; its data are as they were"))
}

fn archive_and_container<'a>(addon: &'a Addon, kind: &dyn Kind) -> Result<(Archive, &'a str), ArchiveError> {
    let archive = kind.archive(&addon.name).ok_or(ArchiveError::NotSupported(kind.name()))?;
    match &addon.container_id {
        Some(container) if addon.life.state == State::Ready => Ok((archive, container)),
        _ => Err(ArchiveError::NotReady(addon.name.clone(), addon.life.state.as_str().to_owned())),
    }
}

/// An addon's turn, which ends when this is dropped.
pub struct Turn {
    busy: Arc<Mutex<HashSet<Name>>>,
    name: Name,
}

impl Drop for Turn {
    fn drop(&mut self) {
        locked(&self.busy).remove(&self.name);
    }
}

/// A set of names is whole after every step.
fn locked(busy: &Mutex<HashSet<Name>>) -> MutexGuard<'_, HashSet<Name>> {
    busy.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Chunks that wait for a slow reader.
const CHUNKS: usize = 4;
