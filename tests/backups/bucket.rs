//! A bucket that speaks S3: moto's server.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use super::control::{free_ports, further_port, wait_for};
use super::stage::{REDIS, Stage};

struct Bucket {
    port: u16,
    server: Child,
}

impl Bucket {
    fn start() -> Self {
        let port = free_ports(further_port(), 1);
        let bucket = Bucket { port, server: serve(port) };
        bucket.wait();
        bucket.request("PUT", "/backups");
        bucket
    }

    fn wait(&self) {
        wait_for("the S3 server", Duration::from_secs(60), || {
            TcpStream::connect(("127.0.0.1", self.port)).is_ok()
        });
    }

    fn request(&self, method: &str, path: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let head = "HTTP/1.0\r\nhost: s3.amazonaws.com\r\ncontent-length: 0\r\n\r\n";
        write!(stream, "{method} {path} {head}").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.contains(" 200 "), "{answer}");
        answer
    }

    /// The names of all objects.
    fn names(&self) -> Vec<String> {
        let list = self.request("GET", "/backups?list-type=2");
        list.split("<Key>").skip(1).map(|rest| rest.split('<').next().unwrap().to_owned()).collect()
    }

    fn stop(&mut self) {
        self.server.kill().unwrap();
        self.server.wait().unwrap();
    }
}

impl Drop for Bucket {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

fn serve(port: u16) -> Child {
    let python = std::env::var("PIERHEAD_TEST_PYTHON").expect("scripts/test sets PIERHEAD_TEST_PYTHON");
    Command::new(python)
        .args(["-m", "moto.server", "-p", &port.to_string()])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn a_bucket_there_and_back_and_gone() {
    let mut bucket = Bucket::start();
    let stage = Stage::stopped(&REDIS);
    let secret = stage.file("s3.toml");
    std::fs::write(&secret, "access_key_id = \"me\"\nsecret_access_key = \"sesame-s3\"\n").unwrap();
    let stage = stage.serve(&format!(
        "[backup]\nto = \"offsite\"\nkeep = 2\n[backup.target.offsite]\nurl = \"s3://backups/edge/one\"\n\
         credentials = \"{}\"\noptions = {{ endpoint = \"http://127.0.0.1:{}\", region = \"us-east-1\" }}\n",
        secret.display(),
        bucket.port
    ));
    let one = stage.name("one");
    stage.create(&one);
    stage.fill(&one);
    // More than one part of an upload.
    let noise = "local s = {} for i = 1, 40 do for j = 1, 30000 do s[j] = redis.sha1hex(i * 100000 + j) end redis.call('set', 'k:n' .. i, table.concat(s)) end";
    stage.pierhead.ok(&["connect", &one, "--", "EVAL", noise, "0"]);
    let sum = stage.sum(&one);
    let backup = stage.pierhead.json(&["backup", &one]);
    assert!(backup["bytes"].as_u64().unwrap() > 2 * (16 << 20), "{backup}");
    let id = backup["id"].as_str().unwrap();
    let at = |id: &str, extension: &str| format!("edge/one/{one}/{id}.{extension}");
    assert_eq!(bucket.names(), [at(id, "manifest.json"), at(id, "rdb")]);
    stage.change(&one);
    stage.pierhead.ok(&["restore", &one, "--from", id]);
    assert_eq!(stage.sum(&one), sum);

    // The server ends while the backup is being tried: nothing has been written, and everybody is told.
    let failing = stage.pierhead.command(&["backup", &one]).stderr(Stdio::piped()).spawn().unwrap();
    wait_for("the scratch addon", Duration::from_secs(60), || stage.addons().len() == 2);
    bucket.stop();
    let ended = failing.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert!(ended.status.code() == Some(1) && said.contains("target offsite"), "{said}");
    assert!(stage.pierhead.ok(&["events", &one]).contains("failed: target offsite"));
    assert!(stage.metrics().contains("pierhead_backups_failed_total 1\n"));
    let refused = stage.pierhead.run(&["restore", &one, "--from", id]);
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert_eq!(stage.sum(&one), sum);
    let log = stage.pierhead.log_text();
    assert!(!log.contains("sesame-s3") && !said.contains("sesame-s3"));

    // Another one, which is empty: the bucket is missing until somebody makes it.
    bucket.server = serve(bucket.port);
    bucket.wait();
    let failed = stage.pierhead.run(&["backup", &one]);
    assert!(failed.code == Some(1) && failed.stderr.contains("target offsite"), "{failed:?}");
    bucket.request("PUT", "/backups");
    let next = stage.backup(&one);
    assert_eq!(bucket.names(), [at(&next, "manifest.json"), at(&next, "rdb")]);
    for _ in 0..2 {
        stage.backup(&one);
    }
    assert_eq!(bucket.names().len(), 4, "the older ones are gone");
    stage.leaves_nothing(&[&one]);
}
