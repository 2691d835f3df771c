//! Export and import: the data of an addon as a stream, by the engine's own programs inside its container.
//!
//! A file to be imported is written to the disk first and looked at, so that what is cut off, or another engine's, changes
//! nothing. An engine that cannot undo a failed import by itself has its data exported before, and imported again after.

mod error;
mod program;
mod spool;
mod swap;
mod transfer;

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;

pub use self::error::ArchiveError;
use self::program::{EDITED_LEN_MAX, feed, pump, pump_edited};
pub use self::spool::Spool;
pub use self::transfer::transfer;
use super::Addon;
use super::kinds::{Archive, Edit, Kind};
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

/// What was imported.
#[derive(Clone, Debug, PartialEq)]
pub struct Imported {
    /// What the file was.
    pub format: &'static str,
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, as hexadecimal digits.
    pub sha256: String,
}

/// A file that is whole, and waits to be read in. The addon is nobody else's until then.
pub struct Received {
    addon: Addon,
    archive: Archive,
    container: String,
    spool: Arc<Spool>,
    _turn: Turn,
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

    /// Takes a file in and looks at it. Nothing is changed yet.
    pub async fn receive<E: std::fmt::Display>(
        &self,
        addon: &Addon,
        kind: &dyn Kind,
        mut file: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<Received, ArchiveError> {
        let turn = self.turn(&addon.name)?;
        let (archive, container) = archive_and_container(addon, kind)?;
        let container = container.to_owned();
        let mut spool = Spool::scratch(self.provisioner.data_dir())?;
        while let Some(chunk) = file.next().await {
            let chunk = chunk.map_err(|error| ArchiveError::BrokeOff(error.to_string()))?;
            if spool.size() + chunk.len() as u64 > self.import_max {
                return Err(ArchiveError::TooLarge(self.import_max));
            }
            spool.add(&chunk).await?;
        }
        spool.flush().await?;
        check(&archive, &spool)?;
        Ok(Received { addon: addon.clone(), archive, container, spool: Arc::new(spool), _turn: turn })
    }

    /// The same with a file that is here already.
    pub fn received(
        &self,
        addon: &Addon,
        kind: &dyn Kind,
        spool: Arc<Spool>,
    ) -> Result<Received, ArchiveError> {
        let turn = self.turn(&addon.name)?;
        let (archive, container) = archive_and_container(addon, kind)?;
        check(&archive, &spool)?;
        let container = container.to_owned();
        Ok(Received { addon: addon.clone(), archive, container, spool, _turn: turn })
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

    /// Reads a file in. The data are what they were before if it fails. Must not be dropped before it has ended: the data
    /// before it would have to be put back by hand.
    pub async fn import(&self, received: Received) -> Result<Imported, ArchiveError> {
        let Received { addon, archive, container, spool, _turn } = received;
        if let Some(swap) = &archive.swap {
            let program = self.program(&addon, &archive, &archive.import, &container).await?;
            feed(program, &archive.import_prefix, &spool).await.map_err(before_swap)?;
            self.swap_in(&addon, &archive, swap, &container).await?;
            return Ok(imported(&archive, &spool));
        }
        let done = imported(&archive, &spool);
        let spool = match &archive.edit {
            Some(edit) => Arc::new(self.edited(edit, &addon.name, &spool).await?),
            None => spool,
        };
        let read_in = async |spool: &Spool| {
            let program = self.program(&addon, &archive, &archive.import, &container).await?;
            feed(program, &archive.import_prefix, spool).await
        };
        let before = match archive.atomic {
            true => None,
            false => Some(self.safety_copy(&addon, &archive, &container).await?),
        };
        match (read_in(&spool).await, before) {
            (Ok(()), before) => {
                before.map(Spool::remove).transpose()?;
                Ok(done)
            }
            (Err(ArchiveError::Failed(why)), None) => Err(unchanged(&why)),
            // It may be at it still: nobody knows.
            (Err(unknown), None) => Err(unknown),
            (Err(why), Some(before)) => Err(match read_in(&before).await {
                Ok(()) => {
                    before.remove()?;
                    unchanged(&why.to_string())
                }
                Err(second) => ArchiveError::Failed(format!(
                    "{why}; and its data could not be put back ({second}): they are in {}",
                    before.path().display()
                )),
            }),
        }
    }

    /// A file as an engine's program reads it.
    async fn edited(&self, edit: &Edit, name: &Name, spool: &Spool) -> Result<Spool, ArchiveError> {
        if spool.size() > EDITED_LEN_MAX as u64 {
            return Err(ArchiveError::TooLarge(EDITED_LEN_MAX as u64));
        }
        let archive = tokio::fs::read(spool.path()).await?;
        let bytes = (edit.back)(name, &archive).map_err(ArchiveError::Bad)?;
        let mut edited = self.empty()?;
        edited.add(&bytes).await?;
        edited.flush().await?;
        Ok(edited)
    }

    /// What the addon holds now, in a file that stays whatever happens, until it is removed.
    async fn safety_copy(
        &self,
        addon: &Addon,
        archive: &Archive,
        container: &str,
    ) -> Result<Spool, ArchiveError> {
        let spool = Spool::rescue(self.provisioner.data_dir(), &addon.name, archive.extension)?;
        Ok(self.write_out(addon, archive, container, spool, &|_| ()).await?.stay()?)
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

fn imported(archive: &Archive, spool: &Spool) -> Imported {
    let (bytes, sha256) = spool.summary();
    Imported { format: archive.format, bytes, sha256 }
}

/// Laying out touches nothing.
fn before_swap(error: ArchiveError) -> ArchiveError {
    match error {
        ArchiveError::Failed(why) => ArchiveError::Bad(why),
        error => error,
    }
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
