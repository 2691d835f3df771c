//! Import: a file is received as a whole and looked at, then read in. The data are what they were before if that fails.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{Stream, StreamExt};

use super::program::{EDITED_LEN_MAX, feed};
use super::{ArchiveError, Archives, Spool, Turn, archive_and_container, check, unchanged};
use crate::addons::Addon;
use crate::addons::kinds::{Archive, Edit, Kind};
use crate::dialect::Name;

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
