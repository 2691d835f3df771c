//! Where backups go: a directory, or a bucket that speaks S3.

use std::collections::BTreeMap;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{StreamExt, TryStreamExt};
use object_store::aws::{AmazonS3Builder, AmazonS3ConfigKey};
use object_store::local::LocalFileSystem;
use object_store::path::Path;
use object_store::prefix::PrefixStore;
use object_store::{ObjectStore, ObjectStoreExt, PutPayload, RetryConfig, WriteMultipart};
use sha2::{Digest, Sha256};
use tokio::sync::mpsc;

use super::Manifest;
use super::model::MANIFEST_END;
use crate::addons::hex;
use crate::config::Place;

/// Why a target did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// It cannot be reached as it is.
    #[error("{0}")]
    Unusable(String),
    /// It is there, but this failed.
    #[error("the target failed: {0}")]
    Store(#[from] object_store::Error),
    /// What is to be written cannot be read.
    #[error("{0}")]
    Source(std::io::Error),
}

/// What is at a target.
#[derive(Clone, Debug, PartialEq)]
pub struct Stored {
    /// Its length.
    pub bytes: u64,
    /// Its SHA-256, as hexadecimal digits.
    pub sha256: String,
}

/// An object that is being read.
pub struct Reading {
    chunks: BoxStream<'static, object_store::Result<Bytes>>,
    bytes: u64,
    hash: Sha256,
}

impl Reading {
    /// The next chunk; `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>, TargetError> {
        let Some(chunk) = self.chunks.next().await.transpose()? else { return Ok(None) };
        self.hash.update(&chunk);
        self.bytes += chunk.len() as u64;
        Ok(Some(chunk))
    }

    /// What has been read so far.
    pub fn so_far(&self) -> Stored {
        Stored { bytes: self.bytes, sha256: hex(&self.hash.clone().finalize()) }
    }

    /// How many bytes that are.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// A target that can be used.
pub struct Target {
    store: Arc<dyn ObjectStore>,
    directory: Option<PathBuf>,
}

impl Target {
    /// Makes ready to use a target. A bucket is not asked anything yet.
    pub fn open(place: &Place) -> Result<Self, TargetError> {
        match place {
            Place::Directory { path, make } => {
                if *make {
                    let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(path);
                    made.map_err(|error| unusable(path, &error.to_string()))?;
                }
                if !path.is_dir() {
                    return Err(unusable(path, "there is no such directory; is its disk mounted?"));
                }
                let store = LocalFileSystem::new_with_prefix(path)?.with_fsync(true);
                Ok(Target { store: Arc::new(store), directory: Some(path.clone()) })
            }
            Place::S3 { bucket, prefix, options, credentials } => {
                let store = bucket_store(bucket, options, credentials.as_ref())?;
                Ok(Target { store: Arc::new(PrefixStore::new(store, prefix.as_str())), directory: None })
            }
        }
    }

    /// Writes an object, whose name appears once it is whole. `written` hears how many bytes have been taken.
    pub async fn write(
        &self,
        path: &str,
        mut chunks: mpsc::Receiver<std::io::Result<Bytes>>,
        written: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<Stored, TargetError> {
        let path = self.prepared(path)?;
        let mut upload =
            WriteMultipart::new_with_chunk_size(self.store.put_multipart(&path).await?, PART_LEN);
        let (mut bytes, mut hash) = (0, Sha256::new());
        let sent = async {
            while let Some(chunk) = chunks.recv().await {
                let chunk = chunk.map_err(TargetError::Source)?;
                hash.update(&chunk);
                bytes += chunk.len() as u64;
                upload.wait_for_capacity(PARTS_AT_ONCE).await?;
                upload.put(chunk);
                written(bytes);
            }
            self.is_there()
        };
        if let Err(error) = sent.await {
            // What cannot be taken back is found by whoever looks after the target; the first reason counts.
            let _ = upload.abort().await;
            return Err(error);
        }
        upload.finish().await?;
        Ok(Stored { bytes, sha256: hex(&hash.finalize()) })
    }

    /// Writes a small object at once.
    pub async fn put(&self, path: &str, bytes: Vec<u8>) -> Result<(), TargetError> {
        let path = self.prepared(path)?;
        self.store.put(&path, PutPayload::from(bytes)).await?;
        Ok(())
    }

    /// Begins to read an object.
    pub async fn read(&self, path: &str) -> Result<Reading, TargetError> {
        self.is_there()?;
        let chunks = self.store.get(&Path::from(path)).await?.into_stream();
        Ok(Reading { chunks, bytes: 0, hash: Sha256::new() })
    }

    /// Removes an object, and what writing it has left if it was cut off. None may be there.
    pub async fn remove(&self, path: &str) -> Result<(), TargetError> {
        self.is_there()?;
        match self.store.delete(&Path::from(path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
        self.remove_unfinished(path).map_err(TargetError::Source)
    }

    /// Every manifest that is there.
    pub async fn manifests(&self) -> Result<Vec<Manifest>, TargetError> {
        self.is_there()?;
        let found: Vec<_> = self.store.list(None).map_ok(|meta| meta.location).try_collect().await?;
        let mut manifests = vec![];
        for path in found.iter().filter(|path| path.as_ref().ends_with(MANIFEST_END)) {
            let bytes = self.store.get(path).await?.bytes().await?;
            match Manifest::parse(&bytes) {
                Ok(manifest) => manifests.push(manifest),
                Err(why) => tracing::warn!(%path, why, "this is no manifest of a backup"),
            }
        }
        Ok(manifests)
    }

    /// The object store makes directories that are missing, also where a disk was mounted a moment ago.
    fn is_there(&self) -> Result<(), TargetError> {
        match &self.directory {
            Some(path) if !path.is_dir() => {
                Err(unusable(path, "the directory is gone; is its disk mounted?"))
            }
            _ => Ok(()),
        }
    }

    /// Archives hold all that an addon does: nobody else looks into the directory.
    fn prepared(&self, path: &str) -> Result<Path, TargetError> {
        self.is_there()?;
        if let Some(directory) = &self.directory {
            let parent = directory.join(path).parent().map_or(directory.clone(), PathBuf::from);
            let made = std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&parent);
            made.map_err(|error| unusable(&parent, &error.to_string()))?;
        }
        Ok(Path::from(path))
    }

    /// In a directory an object is written under its name and a number.
    fn remove_unfinished(&self, path: &str) -> std::io::Result<()> {
        let Some(directory) = &self.directory else { return Ok(()) };
        let whole = directory.join(path);
        let (Some(parent), Some(name)) = (whole.parent(), whole.file_name()) else { return Ok(()) };
        let begin = format!("{}#", name.to_string_lossy());
        for entry in std::fs::read_dir(parent).into_iter().flatten() {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&begin) {
                std::fs::remove_file(entry.path())?;
            }
        }
        Ok(())
    }
}

fn bucket_store(
    bucket: &str,
    options: &BTreeMap<String, String>,
    credentials: Option<&PathBuf>,
) -> Result<object_store::aws::AmazonS3, TargetError> {
    let mut options = options.clone();
    if let Some(path) = credentials {
        let text = std::fs::read_to_string(path).map_err(|error| unusable(path, &error.to_string()))?;
        let secret: BTreeMap<String, String> =
            toml::from_str(&text).map_err(|error| unusable(path, error.message()))?;
        options.extend(secret);
    }
    for (key, value) in TIMEOUTS {
        options.entry(key.to_owned()).or_insert_with(|| value.to_owned());
    }
    let plain = options.get("endpoint").is_some_and(|endpoint| endpoint.starts_with("http://"));
    let mut builder = AmazonS3Builder::new().with_bucket_name(bucket).with_allow_http(plain);
    for (key, value) in options {
        let known: AmazonS3ConfigKey = key.parse().map_err(|_| {
            TargetError::Unusable(format!(
                "{key:?} is no setting of a bucket; there are endpoint, region, access_key_id, secret_access_key, …"
            ))
        })?;
        builder = builder.with_config(known, value);
    }
    // The HTTP client takes the process' own; only the first one that is set counts.
    let _ = tokio_rustls::rustls::crypto::ring::default_provider().install_default();
    let retry = RetryConfig { max_retries: RETRIES_MAX, retry_timeout: RETRY_TIMEOUT, ..Default::default() };
    Ok(builder.with_retry(retry).build()?)
}

fn unusable(path: &std::path::Path, why: &str) -> TargetError {
    TargetError::Unusable(format!("{}: {why}", path.display()))
}

/// A slow line takes long for a part, and longer for a whole archive: what counts is that something moves.
const TIMEOUTS: [(&str, &str); 3] =
    [("connect_timeout", "10 seconds"), ("read_timeout", "60 seconds"), ("timeout", "1 day")];
/// A part of an upload; S3 takes 10,000 of them, no smaller than 5 MiB.
const PART_LEN: usize = 16 << 20;
const PARTS_AT_ONCE: usize = 2;
const RETRIES_MAX: usize = 4;
const RETRY_TIMEOUT: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_a_target_says_why() {
        let s3 = |key: &str, credentials: Option<&str>| Place::S3 {
            bucket: "b".into(),
            prefix: String::new(),
            options: [(key.to_owned(), "x".to_owned())].into(),
            credentials: credentials.map(PathBuf::from),
        };
        assert!(Target::open(&s3("region", None)).is_ok());
        for (place, expected) in [
            (s3("regoin", None), "\"regoin\" is no setting"),
            (s3("region", Some("/nowhere/secret")), "/nowhere/secret: No such file"),
            (Place::Directory { path: "/nowhere".into(), make: false }, "is its disk mounted?"),
        ] {
            let error = Target::open(&place).err().unwrap().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
