//! The engine's programs: what they write, and how they end.

use std::io;

use bollard::container::LogOutput;
use bytes::Bytes;
use futures_util::StreamExt;
use tokio::sync::mpsc;

use super::ArchiveError;
use crate::addons::provision::Program;

/// Passes on what a program writes, until it has ended well, or nobody listens any more.
pub(super) async fn pump(program: Program, to: &mpsc::Sender<io::Result<Bytes>>) -> Result<(), ArchiveError> {
    let (mut output, input, docker, id) = program.into_parts();
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
    ended(Program::exit_code(&docker, &id).await, &said)
}

pub(super) fn ended(code: Option<i64>, said: &Said) -> Result<(), ArchiveError> {
    match code {
        Some(0) => Ok(()),
        Some(code) => Err(ArchiveError::Failed(format!("{} (exit code {code})", said.text()))),
        None => Err(ArchiveError::Failed(format!("nobody knows how it ended: {}", said.text()))),
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

const SAID_LEN_MAX: usize = 2048;
