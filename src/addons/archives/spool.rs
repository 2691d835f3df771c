//! A file that has to be whole before it is used: below `data_dir`, and readable by Pierhead only.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bytes::{Bytes, BytesMut};
use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use crate::addons::hex;
use crate::addons::kinds::Ends;
use crate::dialect::Name;

/// The file, and what is known of it. It is gone when this is dropped, unless it has been made to stay.
pub struct Spool {
    path: PathBuf,
    file: File,
    len: u64,
    hash: Sha256,
    head: Vec<u8>,
    tail: Vec<u8>,
    stays: bool,
}

impl Spool {
    /// An empty one that nobody misses.
    pub fn scratch(data_dir: &Path) -> io::Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        Self::new(data_dir.join("spool"), &hex(&random))
    }

    /// An empty one for what an addon holds, which is to stay once it is whole.
    pub fn rescue(data_dir: &Path, name: &Name, extension: &str) -> io::Result<Self> {
        let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
        Self::new(data_dir.join("rescued"), &format!("{name}-{time}.{extension}.{UNFINISHED}"))
    }

    fn new(dir: PathBuf, file_name: &str) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let path = dir.join(file_name);
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let file = File::from_std(file);
        Ok(Spool { path, file, len: 0, hash: Sha256::new(), head: vec![], tail: vec![], stays: false })
    }

    /// It is whole: from here on it stays, also if this is dropped or Pierhead is killed.
    pub fn stay(mut self) -> io::Result<Self> {
        let whole = self.path.with_extension("");
        fs::rename(&self.path, &whole)?;
        (self.path, self.stays) = (whole, true);
        self.path.parent().map_or(Ok(()), |dir| fs::File::open(dir)?.sync_all())?;
        Ok(self)
    }

    /// Removes one that has stayed long enough.
    pub fn remove(mut self) -> io::Result<()> {
        self.stays = true;
        fs::remove_file(&self.path)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends to it.
    pub async fn add(&mut self, chunk: &[u8]) -> io::Result<()> {
        self.file.write_all(chunk).await?;
        self.len += chunk.len() as u64;
        self.hash.update(chunk);
        let room = Ends::LEN - self.head.len();
        self.head.extend_from_slice(&chunk[..chunk.len().min(room)]);
        self.tail.extend_from_slice(&chunk[chunk.len().saturating_sub(Ends::LEN)..]);
        self.tail.drain(..self.tail.len().saturating_sub(Ends::LEN));
        Ok(())
    }

    /// All of it is on the disk when this returns.
    pub async fn flush(&mut self) -> io::Result<()> {
        self.file.flush().await?;
        self.file.sync_all().await
    }

    /// Its length in bytes.
    pub fn size(&self) -> u64 {
        self.len
    }

    /// Its first and last bytes.
    pub fn ends(&self) -> Ends<'_> {
        Ends { head: &self.head, tail: &self.tail }
    }

    /// Its length, and its SHA-256 as hexadecimal digits.
    pub fn summary(&self) -> (u64, String) {
        (self.len, hex(&self.hash.clone().finalize()))
    }

    /// The file from its beginning, chunk by chunk.
    pub fn chunks(&self) -> mpsc::Receiver<io::Result<Bytes>> {
        let (sender, receiver) = mpsc::channel(CHUNKS);
        let path = self.path.clone();
        tokio::spawn(async move {
            let read = async {
                let mut file = File::open(&path).await?;
                loop {
                    let mut chunk = BytesMut::with_capacity(CHUNK_LEN);
                    if file.read_buf(&mut chunk).await? == 0 || sender.send(Ok(chunk.freeze())).await.is_err()
                    {
                        return Ok(());
                    }
                }
            };
            if let Err(error) = read.await {
                // Nobody is listening any more: then nobody needs to know.
                let _ = sender.send(Err(error)).await;
            }
        });
        receiver
    }

    /// The file from its beginning.
    pub async fn open(&self) -> io::Result<File> {
        File::open(&self.path).await
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if !self.stays
            && let Err(error) = fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "a copy is left behind");
        }
    }
}

/// Removes what a Pierhead that was killed has left and nobody misses, and tells of what somebody may.
pub fn clean(data_dir: &Path) -> io::Result<()> {
    match fs::remove_dir_all(data_dir.join("spool")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => result?,
    }
    for file in fs::read_dir(data_dir.join("rescued")).into_iter().flatten() {
        let path = file?.path();
        if path.extension().is_some_and(|extension| extension == UNFINISHED) {
            // Nothing had been changed yet.
            fs::remove_file(&path)?;
            continue;
        }
        tracing::warn!(
            path = %path.display(),
            "an import was cut off: the data before it are in this file; `pierhead import` puts them back, then remove it"
        );
    }
    Ok(())
}

const CHUNKS: usize = 4;
const CHUNK_LEN: usize = 64 * 1024;
const UNFINISHED: &str = "part";

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_spool_knows_its_ends_and_its_hash_and_leaves_nothing() {
        let dir = tempfile::TempDir::new().unwrap();
        let mut spool = Spool::scratch(dir.path()).unwrap();
        for n in 0..30u8 {
            spool.add(&[n; 100]).await.unwrap();
        }
        spool.flush().await.unwrap();
        let whole: Vec<u8> = (0..30u8).flat_map(|n| [n; 100]).collect();
        let Ends { head, tail } = spool.ends();
        assert_eq!((head, tail), (&whole[..Ends::LEN], &whole[3000 - Ends::LEN..]));
        assert_eq!(spool.summary(), (3000, hex(&Sha256::digest(&whole))));
        let spooled = || fs::read_dir(dir.path().join("spool")).unwrap().count();
        assert_eq!(spooled(), 1);
        drop(spool);
        assert_eq!(spooled(), 0);
    }

    #[test]
    fn what_is_whole_stays_until_it_is_removed_and_what_is_not_is_nobodys() {
        let dir = tempfile::TempDir::new().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        let _in_runtime = runtime.enter();
        let rescue = || Spool::rescue(dir.path(), &Name::parse("blog").unwrap(), "sql").unwrap();
        let rescued = || fs::read_dir(dir.path().join("rescued")).unwrap().count();
        drop(rescue());
        assert_eq!(rescued(), 0);
        // Killed in the middle of writing it.
        std::mem::forget(rescue());
        std::mem::forget(Spool::scratch(dir.path()).unwrap());
        clean(dir.path()).unwrap();
        assert!(rescued() == 0 && !dir.path().join("spool").exists());

        let whole = rescue().stay().unwrap();
        assert!(whole.path().extension().is_some_and(|extension| extension == "sql"));
        drop(whole);
        clean(dir.path()).unwrap();
        assert_eq!(rescued(), 1, "a killed import's data stay");
    }
}
