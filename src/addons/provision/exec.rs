//! Programs inside an addon's container. In come arguments; out come their output and how they ended.

use std::pin::Pin;
use std::time::Duration;

use bollard::Docker;
use bollard::container::LogOutput;
use bollard::errors::Error as BollardError;
use bollard::exec::StartExecResults;
use bollard::models::ExecConfig;
use futures_util::Stream;
use tokio::io::AsyncWrite;

use super::{Failure, Provisioner};

/// A program that runs inside a container.
pub struct Program {
    /// What it writes; ends when it does.
    pub output: Pin<Box<dyn Stream<Item = Result<LogOutput, BollardError>> + Send>>,
    /// Its stdin. Shutting it down ends it.
    pub input: Pin<Box<dyn AsyncWrite + Send>>,
    /// How it has ended.
    pub end: End,
}

/// How a program ends, for whoever asks once its output has ended.
pub struct End {
    docker: Docker,
    id: String,
}

impl Provisioner {
    /// Starts a program as root of the container. `env` can be read in there by root only, and by Docker's users not at
    /// all (`GET /exec/ID/json` does not tell it).
    pub async fn exec(
        &self,
        container: &str,
        command: &[String],
        env: Vec<String>,
    ) -> Result<Program, Failure> {
        let docker = self.docker().await?;
        let config = ExecConfig {
            attach_stdin: Some(true),
            attach_stdout: Some(true),
            attach_stderr: Some(true),
            env: Some(env),
            cmd: Some(command.to_vec()),
            ..Default::default()
        };
        let failed = |error| self.engine.failure(error);
        let id = match docker.create_exec(container, config).await {
            // It is not running, or not for long enough.
            Err(BollardError::DockerResponseServerError { status_code: 409, .. }) => {
                return Err(self.ended(container).await);
            }
            created => created.map_err(failed)?.id,
        };
        match docker.start_exec(&id, None).await.map_err(failed)? {
            StartExecResults::Attached { output, input } => {
                Ok(Program { output, input, end: End { docker, id } })
            }
            StartExecResults::Detached => {
                Err(Failure::Lasting("Docker did not attach to the program".into()))
            }
        }
    }
}

impl End {
    /// The exit code. `None`: Docker does not know yet, or no more.
    pub async fn exit_code(&self) -> Option<i64> {
        // The output may end a moment before Docker has noticed that the program has.
        for _ in 0..LOOKS {
            let seen = self.docker.inspect_exec(&self.id).await.ok()?;
            if seen.running == Some(false) {
                return seen.exit_code;
            }
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        None
    }
}

const LOOKS: u32 = 50;
const LOOK_AGAIN: Duration = Duration::from_millis(20);
