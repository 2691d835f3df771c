//! An engine of the test's own, that can be stopped, killed and frozen. `scripts/docker-engine` keeps it apart
//! from the machine's: never give it `--bridge none`, with which an engine deletes `docker0`.

#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::engine::{Engine, IMAGE};

pub struct OwnEngine {
    pub directory: PathBuf,
    options: String,
    pub engine: Engine,
}

impl OwnEngine {
    /// Not started yet.
    pub fn new(name: &str, options: &str) -> Self {
        let directory = PathBuf::from(format!("/tmp/rt-{name}-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let engine = Engine::at(Some(format!("unix://{}/docker.sock", directory.display())));
        OwnEngine { directory, options: options.to_owned(), engine }
    }

    /// Starts it, with the image, and waits until it answers.
    pub fn start(&self) {
        self.script(&format!("start -- --live-restore {}", self.options));
        if self.engine.try_docker(&format!("image inspect {IMAGE}")).is_err() {
            let image = self.directory.join("image.tar");
            let image = image.display();
            Engine::of_this_machine().docker(&format!("save -o {image} {IMAGE}"));
            self.engine.docker(&format!("load -i {image}"));
        }
    }

    /// Stops it; containers run on.
    pub fn stop(&self) {
        self.script("stop");
    }

    /// Sends it a signal: `KILL`, `STOP`, `CONT`.
    pub fn signal(&self, signal: &str) {
        let pid = fs::read_to_string(self.directory.join("docker.pid")).unwrap();
        assert!(kill(signal, pid.trim()));
    }

    fn script(&self, arguments: &str) {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/docker-engine");
        let output = Command::new(script)
            .args(arguments.split_ascii_whitespace())
            .env("PIERHEAD_DOCKERD_DIR", &self.directory)
            .env("DOCKER_HOST", format!("unix://{}/docker.sock", self.directory.display()))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "scripts/docker-engine {arguments}: {said}");
    }
}

impl Drop for OwnEngine {
    fn drop(&mut self) {
        // It may have been left frozen or killed; containers that it cannot remove would stay for ever.
        if let Ok(pid) = fs::read_to_string(self.directory.join("docker.pid")) {
            kill("CONT", pid.trim());
        }
        if self.engine.try_docker("ps -q").is_err() && !std::thread::panicking() {
            self.start();
        }
        self.engine.remove_all();
        let stopped = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.stop()));
        // An engine that is killed while it starts a container forgets that one's supervisor.
        let forgotten = format!("containerd-shim.*-address {}/", self.directory.display());
        let pids = Command::new("pgrep").args(["-f", &forgotten]).output().unwrap().stdout;
        for pid in String::from_utf8_lossy(&pids).lines() {
            kill("KILL", pid);
        }
        // What one that is killed has mounted on itself stays.
        let _ = Command::new("umount").arg("--lazy").arg(self.directory.join("data")).output();
        if stopped.is_ok() {
            let _ = fs::remove_dir_all(&self.directory);
            let _ = fs::remove_file(self.directory.with_extension("lock"));
        }
    }
}

/// Sends a signal to a process that this test started, by its id.
pub fn kill(signal: &str, pid: &str) -> bool {
    Command::new("kill").args([&format!("-{signal}"), pid]).status().is_ok_and(|status| status.success())
}
