//! A file that has to be whole before it is used: below `data_dir`, readable by Pierhead only, gone when it is dropped.

use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use tokio::fs::File;
use tokio::io::AsyncWriteExt;

use crate::addons::kinds::Ends;
use crate::dialect::Name;

/// The file, and what is known of it.
pub struct Spool {
    path: PathBuf,
    file: File,
    len: u64,
    hash: Sha256,
    head: Vec<u8>,
    tail: Vec<u8>,
    kept: bool,
}

impl Spool {
    /// An empty one that nobody misses if Pierhead is killed.
    pub async fn scratch(data_dir: &Path) -> io::Result<Self> {
        let mut random = [0; 8];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        Self::new(data_dir.join("spool"), &format!("{:016x}", u64::from_ne_bytes(random)))
    }

    /// An empty one for what an addon holds before it is changed. If Pierhead is killed it stays.
    pub async fn rescue(data_dir: &Path, name: &Name, extension: &str) -> io::Result<Self> {
        let time = jiff::Timestamp::now().strftime("%Y%m%dT%H%M%SZ");
        Self::new(data_dir.join("rescued"), &format!("{name}-{time}.{extension}"))
    }

    fn new(dir: PathBuf, file_name: &str) -> io::Result<Self> {
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&dir)?;
        let path = dir.join(file_name);
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let file = File::from_std(file);
        Ok(Spool { path, file, len: 0, hash: Sha256::new(), head: vec![], tail: vec![], kept: false })
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
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Its first and last bytes.
    pub fn ends(&self) -> Ends<'_> {
        Ends { head: &self.head, tail: &self.tail }
    }

    /// Its length, and its SHA-256 as hexadecimal digits.
    pub fn summary(&self) -> (u64, String) {
        let digest = self.hash.clone().finalize();
        (self.len, digest.iter().map(|byte| format!("{byte:02x}")).collect())
    }

    /// The file from its beginning.
    pub async fn open(&self) -> io::Result<File> {
        File::open(&self.path).await
    }

    /// Leaves the file where it is, for somebody to save what is in it.
    pub fn keep(mut self) -> PathBuf {
        self.kept = true;
        self.path.clone()
    }
}

impl Drop for Spool {
    fn drop(&mut self) {
        if !self.kept
            && let Err(error) = std::fs::remove_file(&self.path)
        {
            tracing::warn!(path = %self.path.display(), %error, "a copy is left behind");
        }
    }
}

/// Removes what a Pierhead that was killed has left and nobody misses, and tells of what somebody may.
pub fn clean(data_dir: &Path) -> io::Result<()> {
    match std::fs::remove_dir_all(data_dir.join("spool")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        result => result?,
    }
    for file in std::fs::read_dir(data_dir.join("rescued")).into_iter().flatten() {
        let path = file?.path();
        tracing::warn!(
            path = %path.display(),
            "an import was cut off: the data before it are in this file; `pierhead import` puts them back, then remove it"
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_spool_knows_its_ends_and_its_hash_and_leaves_nothing() {
        let dir = tempfile::TempDir::new().unwrap();
        let mut spool = Spool::scratch(dir.path()).await.unwrap();
        for n in 0..30u8 {
            spool.add(&[n; 100]).await.unwrap();
        }
        spool.flush().await.unwrap();
        let whole: Vec<u8> = (0..30u8).flat_map(|n| [n; 100]).collect();
        let Ends { head, tail } = spool.ends();
        assert_eq!((head, tail), (&whole[..Ends::LEN], &whole[3000 - Ends::LEN..]));
        let digest: String = Sha256::digest(&whole).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(spool.summary(), (3000, digest));
        let spooled = || std::fs::read_dir(dir.path().join("spool")).unwrap().count();
        assert_eq!(spooled(), 1);
        drop(spool);
        assert_eq!(spooled(), 0);
        let _killed = std::mem::ManuallyDrop::new(Spool::scratch(dir.path()).await.unwrap());
        let kept = Spool::rescue(dir.path(), &Name::parse("blog").unwrap(), "sql").await.unwrap().keep();
        clean(dir.path()).unwrap();
        assert!(kept.exists() && !dir.path().join("spool").exists());
        clean(dir.path()).unwrap();
    }
}
