//! A registry with one image of two layers, `rt/app:1`, so that a pull can be tested where no registry can be
//! reached. It speaks as much of the registry protocol as a pull needs, and slowly enough to see progress.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::HashMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

pub struct Registry {
    pub address: SocketAddr,
    pub requests: Arc<AtomicU32>,
    /// The size of the layers together.
    pub layers_bytes: u64,
}

/// Content type and bytes by path.
type Contents = HashMap<String, (&'static str, Vec<u8>)>;

impl Registry {
    /// Serves until the test process ends; `directory` is used while it is set up.
    pub fn start(directory: &Path) -> Self {
        let layers = [layer(directory, "large", 4 << 20), layer(directory, "small", 10_000)];
        let layers_bytes = layers.iter().map(|layer| layer.len() as u64).sum();
        let contents = Arc::new(image(directory, &layers));
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let requests = Arc::new(AtomicU32::new(0));
        std::thread::spawn({
            let requests = Arc::clone(&requests);
            move || {
                for stream in listener.incoming() {
                    let (contents, requests) = (Arc::clone(&contents), Arc::clone(&requests));
                    // The engine may hang up at any time, and tries TLS first.
                    std::thread::spawn(move || serve(stream.unwrap(), &contents, &requests));
                }
            }
        });
        Registry { address, requests, layers_bytes }
    }
}

/// An archive with one file of bytes that cannot be compressed.
fn layer(directory: &Path, name: &str, bytes: usize) -> Vec<u8> {
    let mut random = 1_u64;
    let mut byte = || {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (random >> 56) as u8
    };
    fs::write(directory.join(name), (0..bytes).map(|_| byte()).collect::<Vec<_>>()).unwrap();
    let tar = Command::new("tar").args(["-c", name]).current_dir(directory).output().unwrap();
    assert!(tar.status.success());
    tar.stdout
}

fn image(directory: &Path, layers: &[Vec<u8>]) -> Contents {
    let digests: Vec<_> = layers.iter().map(|layer| digest(directory, layer)).collect();
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": digests },
    });
    let config = config.to_string().into_bytes();
    let descriptor = |kind: &str, digest: &str, size: usize| {
        let media_type = format!("application/vnd.docker.{kind}");
        serde_json::json!({ "mediaType": media_type, "digest": digest, "size": size })
    };
    let config_digest = digest(directory, &config);
    let layer =
        |(digest, layer): (&String, &Vec<u8>)| descriptor("image.rootfs.diff.tar.gzip", digest, layer.len());
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": descriptor("container.image.v1+json", &config_digest, config.len()),
        "layers": digests.iter().zip(layers).map(layer).collect::<Vec<_>>(),
    });
    let manifest = manifest.to_string().into_bytes();
    let blob = |digest: &str| format!("/v2/rt/app/blobs/{digest}");
    let mut contents = Contents::from([
        ("/v2/".to_owned(), (JSON, b"{}".to_vec())),
        ("/v2/rt/app/manifests/1".to_owned(), (MANIFEST, manifest.clone())),
        (format!("/v2/rt/app/manifests/{}", digest(directory, &manifest)), (MANIFEST, manifest)),
        (blob(&config_digest), (JSON, config)),
    ]);
    for (digest, layer) in digests.iter().zip(layers) {
        contents.insert(blob(digest), ("application/octet-stream", layer.clone()));
    }
    contents
}

fn digest(directory: &Path, bytes: &[u8]) -> String {
    fs::write(directory.join("blob"), bytes).unwrap();
    let sum = Command::new("sha256sum").arg(directory.join("blob")).output().unwrap();
    format!("sha256:{}", String::from_utf8(sum.stdout).unwrap().split_once(' ').unwrap().0)
}

/// One request, then the connection is closed. `None` if the engine hung up.
fn serve(stream: TcpStream, contents: &Contents, requests: &AtomicU32) -> Option<()> {
    let mut lines = BufReader::new(stream.try_clone().ok()?).lines();
    let request = lines.next()?.ok()?;
    let mut words = request.split(' ');
    let (method, path) = (words.next()?, words.next()?);
    while !lines.next()?.ok()?.is_empty() {}
    requests.fetch_add(1, Relaxed);
    let missing = br#"{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown"}]}"#.to_vec();
    let found = contents.get(path);
    let (status, (kind, body)) =
        (if found.is_some() { 200 } else { 404 }, found.cloned().unwrap_or((JSON, missing)));
    let mut stream = stream;
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status} -\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\
         Docker-Distribution-Api-Version: registry/2.0\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).ok()?;
    if method == "GET" {
        for part in body.chunks(512 * 1024) {
            stream.write_all(part).ok()?;
            std::thread::sleep(Duration::from_millis(if part.len() == body.len() { 0 } else { 150 }));
        }
    }
    Some(())
}

const JSON: &str = "application/json";
const MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
