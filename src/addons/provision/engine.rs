//! The connection to the Docker engine that provisioning uses. In comes an endpoint; out goes a client, or the reason
//! why there is none.

use std::sync::{Mutex, MutexGuard, PoisonError};

use bollard::Docker;
use bollard::errors::Error as BollardError;

use super::Failure;
use crate::docker::{DockerError, Endpoint};

/// A client of one engine, made when it is first needed and made anew when the engine was lost.
pub struct Engine {
    endpoint: Endpoint,
    /// What was agreed on with the engine: asking for its version again before each call would double their number.
    client: Mutex<Option<Docker>>,
}

impl Engine {
    /// The engine at this endpoint. It need not be running yet.
    pub fn new(endpoint: Endpoint) -> Self {
        Engine { endpoint, client: Mutex::new(None) }
    }

    /// A client. Fails while no engine answers.
    pub async fn connected(&self) -> Result<Docker, DockerError> {
        if let Some(client) = self.client().clone() {
            return Ok(client);
        }
        let client = self.endpoint.connect().await?;
        *self.client() = Some(client.clone());
        Ok(client)
    }

    /// What an error of a call means for the addon.
    pub(super) fn failure(&self, error: BollardError) -> Failure {
        match DockerError::of(&self.endpoint, error) {
            // Two networks of one name: one of them is about to go, see `make_network`.
            DockerError::Refused { message, .. } if message.contains("is ambiguous") => {
                Failure::Retry(message)
            }
            DockerError::Refused { status: 400, message } => Failure::Lasting(message),
            DockerError::Refused { message, .. } => Failure::Retry(message),
            lost => {
                // The next engine at this endpoint may be of another version.
                *self.client() = None;
                Failure::Retry(lost.to_string())
            }
        }
    }

    fn client(&self) -> MutexGuard<'_, Option<Docker>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the engine said that there is no such thing.
pub(super) fn is_missing(error: &BollardError) -> bool {
    matches!(error, BollardError::DockerResponseServerError { status_code: 404, .. })
}
