//! The promise: an image is used if it is there and pulled with progress if it is not; if that fails, the
//! error names the image and says what to do.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "docker/engine.rs"]
mod engine;
#[path = "docker/registry.rs"]
mod registry;

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::atomic::Ordering::Relaxed;

use engine::{Engine, IMAGE};
use pierhead::docker::images::{ImageError, Progress, ensure};
use registry::Registry;

#[test]
fn an_image_is_pulled_once_and_with_progress() {
    let fixture = Fixture::new();
    let registry = Registry::start(&fixture.directory);
    let image = format!("{}/rt/app:1", registry.address);
    *fixture.pulled.borrow_mut() = Some(image.clone());

    let (pulled, steps) = fixture.ensure(&image).unwrap();
    assert!(pulled);
    assert!(steps.len() >= 3, "a large layer is seen to grow: {steps:?}");
    assert!(
        steps.is_sorted_by_key(|step| step.done_bytes) && steps.is_sorted_by_key(|step| step.total_bytes)
    );
    assert!(steps.iter().all(|step| step.done_bytes <= step.total_bytes));
    let last = steps.last().unwrap();
    assert_eq!(last.done_bytes, last.total_bytes);
    assert!(last.total_bytes <= registry.layers_bytes && last.total_bytes >= 4 << 20, "{last:?}");

    let requests = registry.requests.load(Relaxed);
    assert_eq!(fixture.ensure(&image).unwrap(), (false, vec![]));
    assert_eq!(registry.requests.load(Relaxed), requests, "a registry is not asked for what is there");

    let missing = format!("{}/rt/missing:2", registry.address);
    let error = fixture.ensure(&missing).unwrap_err();
    assert!(matches!(error, ImageError::NotFound { .. }), "{error}");
    assert!(error.to_string().contains(&missing), "{error}");
}

#[test]
fn an_image_that_is_there_needs_no_registry() {
    assert_eq!(Fixture::new().ensure(IMAGE).unwrap(), (false, vec![]));
}

#[test]
fn without_a_registry_the_error_says_what_to_do() {
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let image = format!("{free}/rt/app");
    let error = Fixture::new().ensure(&image).unwrap_err();
    assert!(matches!(error, ImageError::Pull { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(&format!("{image}:latest")) && text.contains("scripts/images"), "{text}");
}

struct Fixture {
    engine: Engine,
    directory: PathBuf,
    pulled: std::cell::RefCell<Option<String>>,
}

impl Fixture {
    fn new() -> Self {
        let engine = Engine::of_this_machine();
        let directory = std::env::temp_dir().join(engine.name("registry"));
        fs::create_dir(&directory).unwrap();
        Fixture { engine, directory, pulled: None.into() }
    }

    fn ensure(&self, image: &str) -> Result<(bool, Vec<Progress>), ImageError> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let docker = self.engine.endpoint().connect().await.unwrap();
            let mut steps = Vec::new();
            let pulled = ensure(&docker, image, |step| steps.push(step)).await?;
            Ok((pulled, steps))
        })
    }
}

impl Drop for Fixture {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
        if let Some(image) = self.pulled.borrow().as_deref() {
            let _ = self.engine.try_docker(&format!("rmi {image}"));
        }
    }
}
