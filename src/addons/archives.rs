//! Export and import: the data of an addon as a stream, by the engine's own programs inside its container.
//!
//! A file to be imported is written to the disk first and looked at, so that what is cut off, or another engine's, changes
//! nothing. An engine that cannot undo a failed import by itself has its data exported before, and imported again after.

mod program;
mod spool;

use std::collections::HashSet;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures_util::{Stream, StreamExt};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use self::program::{Said, ended, pump};
use self::spool::Spool;
use super::Addon;
use super::kinds::{Archive, Kind};
use super::lifecycle::{Failure, State};
use super::provision::{Program, Provisioner};
use crate::dialect::Name;

/// Exports and imports, one at a time for each addon.
pub struct Archives {
    provisioner: Arc<Provisioner>,
    busy: Arc<Mutex<HashSet<Name>>>,
    /// The largest file that is imported, in bytes.
    import_max: u64,
}

/// Why data were not exported or imported.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The kind has no programs for it.
    #[error("the data of the kind {0} cannot be exported or imported")]
    NotSupported(&'static str),
    /// Its engine is not running.
    #[error("{0} is {1}: its engine has to run for that")]
    NotReady(Name, String),
    /// Another export or import of it is going on.
    #[error("another export or import of {0} is going on")]
    Busy(Name),
    /// What was sent is no whole archive. Nothing was changed.
    #[error("{0}; nothing was changed")]
    Bad(String),
    /// What was sent is larger than `control.import_max`. Nothing was changed.
    #[error("the file has more than {0} bytes (control.import_max); nothing was changed")]
    TooLarge(u64),
    /// What was sent did not arrive whole. Nothing was changed.
    #[error("the file broke off: {0}; nothing was changed")]
    BrokeOff(String),
    /// The engine's program failed.
    #[error("{0}")]
    Failed(String),
    /// The disk under `data_dir` failed.
    #[error("the copy in data_dir failed: {0}; nothing was changed")]
    Spool(#[from] io::Error),
    /// Docker did not do what it was asked.
    #[error("Docker: {0}")]
    Docker(String),
}

impl From<Failure> for ArchiveError {
    fn from(failure: Failure) -> Self {
        let (Failure::NotYet(reason) | Failure::Retry(reason) | Failure::Lasting(reason)) = failure;
        ArchiveError::Docker(reason)
    }
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

impl Archives {
    /// With what is needed to run programs in containers. Removes what an earlier Pierhead has left.
    pub fn new(provisioner: Arc<Provisioner>, import_max: u64) -> Self {
        if let Err(error) = spool::clean(provisioner.data_dir()) {
            tracing::warn!(%error, "what earlier imports have left in data_dir stays");
        }
        Archives { provisioner, busy: Arc::default(), import_max }
    }

    /// Begins to write the data of an addon out.
    pub async fn export(&self, addon: &Addon, kind: &dyn Kind) -> Result<Export, ArchiveError> {
        let turn = self.turn(&addon.name)?;
        let (archive, container) = archive_and_container(addon, kind)?;
        let program = self.program(addon, &archive, &archive.export, container).await?;
        let (sender, chunks) = mpsc::channel(CHUNKS);
        tokio::spawn(async move {
            let result = pump(program, &sender).await;
            if let Err(error) = result {
                // Nobody is listening any more: then nobody needs to know.
                let _ = sender.send(Err(io::Error::other(error.to_string()))).await;
            }
            drop(turn);
        });
        Ok(Export { archive, chunks })
    }

    /// Reads a file in. The data are what they were before if it fails.
    pub async fn import<E: std::fmt::Display>(
        &self,
        addon: &Addon,
        kind: &dyn Kind,
        file: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<Imported, ArchiveError> {
        let _turn = self.turn(&addon.name)?;
        let (archive, container) = archive_and_container(addon, kind)?;
        let spool = self.received(file).await?;
        (archive.check)(spool.ends())
            .map_err(|why| ArchiveError::Bad(format!("this is no whole {}: {why}", archive.format)))?;
        let before =
            if archive.atomic { None } else { Some(self.safety_copy(addon, &archive, container).await?) };
        if let Err(error) = self.read_in(addon, &archive, container, &spool).await {
            let Some(before) = before else {
                return Err(ArchiveError::Failed(format!("{error}; its data are as they were")));
            };
            return Err(match self.read_in(addon, &archive, container, &before).await {
                Ok(()) => ArchiveError::Failed(format!("{error}; its data are as they were")),
                Err(second) => {
                    let path = before.keep();
                    ArchiveError::Failed(format!(
                        "{error}; and its data could not be put back ({second}): they are in {}",
                        path.display()
                    ))
                }
            });
        }
        let (bytes, sha256) = spool.summary();
        Ok(Imported { format: archive.format, bytes, sha256 })
    }

    async fn received<E: std::fmt::Display>(
        &self,
        mut file: impl Stream<Item = Result<Bytes, E>> + Unpin,
    ) -> Result<Spool, ArchiveError> {
        let mut spool = Spool::scratch(self.provisioner.data_dir()).await?;
        while let Some(chunk) = file.next().await {
            let chunk = chunk.map_err(|error| ArchiveError::BrokeOff(error.to_string()))?;
            if spool.len() + chunk.len() as u64 > self.import_max {
                return Err(ArchiveError::TooLarge(self.import_max));
            }
            spool.add(&chunk).await?;
        }
        spool.flush().await?;
        Ok(spool)
    }

    async fn safety_copy(
        &self,
        addon: &Addon,
        archive: &Archive,
        container: &str,
    ) -> Result<Spool, ArchiveError> {
        let program = self.program(addon, archive, &archive.export, container).await?;
        let (sender, mut chunks) = mpsc::channel(CHUNKS);
        let mut spool = Spool::rescue(self.provisioner.data_dir(), &addon.name, archive.extension).await?;
        let (pumped, spooled) = tokio::join!(
            async {
                let result = pump(program, &sender).await;
                drop(sender);
                result
            },
            async {
                while let Some(Ok(chunk)) = chunks.recv().await {
                    spool.add(&chunk).await?;
                }
                spool.flush().await
            }
        );
        spooled?;
        pumped?;
        Ok(spool)
    }

    /// Runs the importing program on a file.
    async fn read_in(
        &self,
        addon: &Addon,
        archive: &Archive,
        container: &str,
        spool: &Spool,
    ) -> Result<(), ArchiveError> {
        let program = self.program(addon, archive, &archive.import, container).await?;
        let (mut output, mut input, docker, id) = program.into_parts();
        let mut file = spool.open().await?;
        let feed = async {
            // A program that ends early says why.
            let _ = input.write_all(archive.import_prefix.as_bytes()).await;
            let mut buffer = vec![0; BUFFER_LEN];
            loop {
                let len = file.read(&mut buffer).await?;
                if len == 0 || input.write_all(&buffer[..len]).await.is_err() {
                    break;
                }
            }
            let _ = input.shutdown().await;
            Ok::<_, io::Error>(())
        };
        let listen = async {
            let mut said = Said::default();
            while let Some(Ok(part)) = output.next().await {
                said.add(&part.into_bytes());
            }
            said
        };
        let (fed, said) = tokio::join!(feed, listen);
        fed?;
        ended(Program::exit_code(&docker, &id).await, &said)
    }

    async fn program(
        &self,
        addon: &Addon,
        archive: &Archive,
        command: &[String],
        container: &str,
    ) -> Result<Program, ArchiveError> {
        let password = self.provisioner.secrets().read(&addon.name)?;
        let env = format!("{}={}", archive.password_variable, password.expose());
        Ok(self.provisioner.exec(container, command, env).await?)
    }

    fn turn(&self, name: &Name) -> Result<Turn, ArchiveError> {
        if !locked(&self.busy).insert(name.clone()) {
            return Err(ArchiveError::Busy(name.clone()));
        }
        Ok(Turn { busy: Arc::clone(&self.busy), name: name.clone() })
    }
}

fn archive_and_container<'a>(addon: &'a Addon, kind: &dyn Kind) -> Result<(Archive, &'a str), ArchiveError> {
    let archive = kind.archive(&addon.name).ok_or(ArchiveError::NotSupported(kind.name()))?;
    match &addon.container_id {
        Some(container) if addon.life.state == State::Ready => Ok((archive, container)),
        _ => Err(ArchiveError::NotReady(addon.name.clone(), addon.life.state.as_str().to_owned())),
    }
}

/// An addon's turn, which ends when this is dropped.
struct Turn {
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
const BUFFER_LEN: usize = 64 * 1024;
