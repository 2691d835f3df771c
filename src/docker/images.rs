//! Making sure that an image is there.
//!
//! What comes in: an image reference. What goes out: progress while it is pulled, or an error that says which
//! image it is about and what to do.

use std::collections::HashMap;
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error as Bollard;
use bollard::models::CreateImageInfo;
use bollard::query_parameters::CreateImageOptionsBuilder;
use futures_util::StreamExt;
use tokio::time::timeout;

/// How far a pull is. The total grows while the engine finds out about more layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes downloaded, of all layers.
    pub done_bytes: u64,
    /// Bytes to download, of the layers known so far.
    pub total_bytes: u64,
}

/// Why an image is not there; each text names it and says what to do next.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ImageError {
    /// The registry has no such image, or does not give it to everybody.
    #[error("no image {image}: {cause}. Check its name; `docker login` if it is private; {OFFLINE}")]
    NotFound {
        /// The image.
        image: String,
        /// What the engine said.
        cause: String,
    },
    /// The pull failed.
    #[error("cannot pull image {image}: {cause}. Try `docker pull {image}`; {OFFLINE}")]
    Pull {
        /// The image.
        image: String,
        /// What the engine said.
        cause: String,
    },
    /// Nothing moved for a while.
    #[error("the pull of image {image} has not moved for {} s. Try `docker pull {image}`; {OFFLINE}", STALL_MAX.as_secs())]
    Stalled {
        /// The image.
        image: String,
    },
    /// The engine could not be asked.
    #[error("cannot look for image {image}: {cause}")]
    Engine {
        /// The image.
        image: String,
        /// What was seen of the engine.
        cause: String,
    },
}

/// Pulls `image` unless the engine has it, and tells `progress` how far it is. Without a tag `latest` is meant.
/// An image that is there is used as it is, without asking a registry. Returns whether it was pulled.
pub async fn ensure(
    docker: &Docker,
    image: &str,
    mut progress: impl FnMut(Progress),
) -> Result<bool, ImageError> {
    let image = with_tag(image);
    match docker.inspect_image(&image).await {
        Ok(_) => return Ok(false),
        Err(Bollard::DockerResponseServerError { status_code: 404, .. }) => {}
        Err(error) => return Err(ImageError::Engine { image, cause: error.to_string() }),
    }
    let options = CreateImageOptionsBuilder::default().from_image(&image).build();
    let mut messages = docker.create_image(Some(options), None, None);
    let mut pull = Pull::default();
    loop {
        match timeout(STALL_MAX, messages.next()).await {
            Err(_) => return Err(ImageError::Stalled { image }),
            Ok(None) => break,
            Ok(Some(Err(error))) => return Err(pull_error(image, &error)),
            Ok(Some(Ok(message))) => {
                if let Some(now) = pull.take(&message) {
                    progress(now);
                }
            }
        }
    }
    // The stream's end is no proof: an engine that is stopped ends it too.
    match docker.inspect_image(&image).await {
        Ok(_) => Ok(true),
        Err(error) => Err(pull_error(image, &error)),
    }
}

/// Folds the engine's messages about single layers into one [`Progress`].
#[derive(Debug, Default)]
struct Pull {
    layers: HashMap<String, Progress>,
    reported: Progress,
}

impl Pull {
    /// The progress after this message, if it is another than before.
    fn take(&mut self, message: &CreateImageInfo) -> Option<Progress> {
        let id = message.id.as_deref()?;
        match message.status.as_deref()? {
            "Downloading" => {
                let detail = message.progress_detail.as_ref()?;
                let bytes = |value: Option<i64>| value.and_then(|value| u64::try_from(value).ok());
                let layer = self.layers.entry(id.to_owned()).or_default();
                layer.done_bytes = bytes(detail.current)?;
                // Registries need not say how long a layer is.
                layer.total_bytes = bytes(detail.total).unwrap_or_default().max(layer.done_bytes);
            }
            "Verifying Checksum" | "Download complete" | "Extracting" | "Pull complete" => {
                // A small layer may be complete before any message about its size.
                let layer = self.layers.get_mut(id)?;
                layer.done_bytes = layer.total_bytes;
            }
            _ => return None,
        }
        let sum = |of: fn(&Progress) -> u64| self.layers.values().map(of).sum();
        let now = Progress {
            done_bytes: sum(|layer| layer.done_bytes),
            total_bytes: sum(|layer| layer.total_bytes),
        };
        let changed = now != self.reported;
        self.reported = now;
        changed.then_some(now)
    }
}

fn pull_error(image: String, error: &Bollard) -> ImageError {
    let cause = match error {
        Bollard::DockerResponseServerError { message, .. } => message.clone(),
        Bollard::DockerStreamError { error } => error.clone(),
        error => error.to_string(),
    };
    // Once the answer has begun the engine has no status left to say it with.
    let not_found = matches!(error, Bollard::DockerResponseServerError { status_code: 404, .. })
        || ["manifest unknown", "not found", "pull access denied"].iter().any(|words| cause.contains(words));
    if not_found { ImageError::NotFound { image, cause } } else { ImageError::Pull { image, cause } }
}

/// The engine would pull every tag of a repository if none is given.
fn with_tag(image: &str) -> String {
    let last = image.rsplit('/').next().unwrap_or(image);
    if last.contains([':', '@']) { image.to_owned() } else { format!("{image}:latest") }
}

const OFFLINE: &str = "where no registry answers, scripts/images builds the images on this host";

/// How long a pull may say nothing. Unpacking a large layer on a slow disk is silent for a while.
const STALL_MAX: Duration = Duration::from_secs(300);

#[cfg(test)]
mod tests {
    use bollard::models::ProgressDetail;

    use super::*;

    #[test]
    fn layers_are_folded_into_one_progress() {
        let message = |id: &str, status: &str, bytes: Option<(i64, i64)>| CreateImageInfo {
            id: Some(id.to_owned()),
            status: Some(status.to_owned()),
            progress_detail: bytes
                .map(|(current, total)| ProgressDetail { current: Some(current), total: Some(total) }),
            error_detail: None,
        };
        let mut pull = Pull::default();
        let mut take =
            |id, status, bytes| pull.take(&message(id, status, bytes)).map(|p| (p.done_bytes, p.total_bytes));
        assert_eq!(take("15", "Pulling from library/postgres", None), None);
        assert_eq!(take("a", "Downloading", Some((10, 100))), Some((10, 100)));
        assert_eq!(take("b", "Downloading", Some((5, 50))), Some((15, 150)));
        assert_eq!(take("b", "Downloading", Some((5, 50))), None, "nothing new");
        assert_eq!(take("c", "Downloading", Some((7, -1))), Some((22, 157)), "no length given");
        assert_eq!(take("a", "Download complete", None), Some((112, 157)));
        assert_eq!(take("a", "Extracting", Some((1, 300))), None);
        assert_eq!(take("d", "Pull complete", None), None);
    }

    #[test]
    fn no_tag_means_latest() {
        for (image, full) in [
            ("postgres", "postgres:latest"),
            ("postgres:17", "postgres:17"),
            ("host:5000/a/b", "host:5000/a/b:latest"),
            ("a@sha256:00", "a@sha256:00"),
        ] {
            assert_eq!(with_tag(image), full);
        }
    }
}
