//! What one engine's program writes, read by another engine's program: no copy in between.

use bytes::Bytes;
use futures_util::StreamExt;
use std::io;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;

use super::program::{Said, ended, pump};
use super::{ArchiveError, CHUNKS};
use crate::addons::provision::Program;

/// Feeds a program what another one writes, until both have ended well. Returns how many bytes that were; `moved` hears of
/// it meanwhile.
pub async fn transfer(
    from: Program,
    to: Program,
    moved: &(dyn Fn(u64) + Send + Sync),
) -> Result<u64, ArchiveError> {
    let (sender, mut chunks) = mpsc::channel::<io::Result<Bytes>>(CHUNKS);
    // The sender goes with it, so that the end of the one is the end of the other.
    let pump = async move { pump(from, &sender).await };
    let Program { mut output, mut input, end } = to;
    let feed = async move {
        let mut bytes = 0;
        let mut whole = true;
        while let Some(Ok(chunk)) = chunks.recv().await {
            // A program that ends early says why.
            if input.write_all(&chunk).await.is_err() {
                whole = false;
                break;
            }
            bytes += chunk.len() as u64;
            moved(bytes);
        }
        // Whoever writes learns that nobody reads any more.
        drop(chunks);
        (input.shutdown().await.is_ok() && whole).then_some(bytes)
    };
    let listen = async {
        let mut said = Said::default();
        while let Some(Ok(part)) = output.next().await {
            said.add(&part.into_bytes());
        }
        said
    };
    let (pumped, fed, said) = tokio::join!(pump, feed, listen);
    let of = |which: &str| {
        let which = which.to_owned();
        move |error: ArchiveError| ArchiveError::Failed(format!("the {which} engine: {error}"))
    };
    ended(&end, &said).await.map_err(of("new"))?;
    pumped.map_err(of("old"))?;
    fed.ok_or_else(|| ArchiveError::Failed("the new engine has not read everything".into()))
}
