//! The engine's programs: what they are fed, what they write, and how they end.

use std::io;

use bollard::container::LogOutput;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::mpsc;

use super::ArchiveError;
use super::spool::Spool;
use crate::addons::provision::{End, Program};

/// Passes on what a program writes, until it has ended well, or nobody listens any more.
pub(super) async fn pump(program: Program, to: &mpsc::Sender<io::Result<Bytes>>) -> Result<(), ArchiveError> {
    let Program { mut output, input, end } = program;
    drop(input);
    let mut said = Said::default();
    while let Some(part) = output.next().await {
        match part.map_err(|error| ArchiveError::Docker(error.to_string()))? {
            LogOutput::StdErr { message } => said.add(&message),
            part => {
                if to.send(Ok(part.into_bytes())).await.is_err() {
                    return Ok(());
                }
            }
        }
    }
    ended(&end, &said).await
}

/// The same for a program whose output is edited on its way; it is held in memory until it is whole.
pub(super) async fn pump_edited(
    program: Program,
    edit: impl FnOnce(&[u8]) -> Result<Vec<u8>, String>,
    to: &mpsc::Sender<io::Result<Bytes>>,
) -> Result<(), ArchiveError> {
    let (sender, mut chunks) = mpsc::channel::<io::Result<Bytes>>(1);
    let pumped = async move { pump(program, &sender).await };
    let collected = async {
        let mut all = Vec::new();
        while let Some(Ok(chunk)) = chunks.recv().await {
            if all.len() + chunk.len() > EDITED_LEN_MAX {
                drop(chunks);
                return Err(ArchiveError::Failed(format!(
                    "the program wrote more than {EDITED_LEN_MAX} bytes"
                )));
            }
            all.extend_from_slice(&chunk);
        }
        Ok(all)
    };
    let (pumped, collected) = tokio::join!(pumped, collected);
    let collected = collected?;
    pumped?;
    let edited = edit(&collected).map_err(ArchiveError::Failed)?;
    // Nobody is listening any more: then nobody needs it.
    let _ = to.send(Ok(edited.into())).await;
    Ok(())
}

/// Feeds a program `prefix` and a file, until it has ended well.
pub(super) async fn feed(program: Program, prefix: &str, spool: &Spool) -> Result<(), ArchiveError> {
    let Program { mut output, mut input, end } = program;
    let feed = async {
        let mut file = spool.open().await?;
        // A program that ends early says why.
        let _ = input.write_all(prefix.as_bytes()).await;
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
    fed.map_err(|error| ArchiveError::Failed(format!("the copy in data_dir cannot be read: {error}")))?;
    ended(&end, &said).await
}

/// Waits until a program has ended well that neither reads nor tells anything.
pub(super) async fn drained(program: Program) -> Result<(), ArchiveError> {
    let Program { mut output, input, end } = program;
    drop(input);
    let mut said = Said::default();
    while let Some(Ok(part)) = output.next().await {
        said.add(&part.into_bytes());
    }
    ended(&end, &said).await
}

pub(super) async fn ended(end: &End, said: &Said) -> Result<(), ArchiveError> {
    match end.exit_code().await {
        Some(0) => Ok(()),
        Some(code) => Err(ArchiveError::Failed(format!("{} (exit code {code})", said.text()))),
        None => Err(ArchiveError::Docker(format!("nobody knows how the program ended; {}", said.text()))),
    }
}

/// The first things that a program says to people: the rest follows from it.
#[derive(Default)]
pub(super) struct Said(Vec<u8>);

impl Said {
    pub(super) fn add(&mut self, bytes: &[u8]) {
        let room = SAID_LEN_MAX - self.0.len();
        self.0.extend_from_slice(&bytes[..bytes.len().min(room)]);
    }

    fn text(&self) -> String {
        let text = String::from_utf8_lossy(&self.0);
        let lines: Vec<_> = text.lines().map(str::trim).filter(|line| !line.is_empty()).collect();
        lines.join("; ")
    }
}

/// What is held in memory to be edited.
pub(super) const EDITED_LEN_MAX: usize = 64 << 20;
const BUFFER_LEN: usize = 64 * 1024;
const SAID_LEN_MAX: usize = 2048;
