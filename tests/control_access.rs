//! The promise: who may do what is decided before anything is done, on the socket and over TCP alike; a request that is
//! sent twice with a key is done once; what has become of a request can be asked.

#![allow(clippy::unwrap_used, reason = "a test")]

mod control;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use control::{Ended, Pierhead, further_port, wait_for};
use serde_json::{Value, json};
use tempfile::TempDir;

/// What curl was told.
#[derive(Debug)]
struct Answer {
    status: u16,
    headers: String,
    body: Value,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    fn code(&self) -> &str {
        self.body["error"]["code"].as_str().unwrap_or("")
    }
}

/// A request on the control socket.
fn on_socket(pierhead: &Pierhead, method: &str, path: &str, headers: &[&str], body: &Value) -> Answer {
    let socket = pierhead.socket();
    let url = format!("http://pierhead{path}");
    curl(&["--unix-socket", socket.to_str().unwrap(), &url], method, headers, body)
}

fn curl(to: &[&str], method: &str, headers: &[&str], body: &Value) -> Answer {
    let mut command = Command::new("curl");
    command.args(["-sS", "-i", "--max-time", "20", "-X", method]).args(to);
    for header in headers {
        command.args(["-H", header]);
    }
    if !body.is_null() {
        command.args(["-H", "content-type: application/json", "-d", &body.to_string()]);
    }
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let (headers, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = headers.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
    Answer { status, headers: headers.to_owned(), body: serde_json::from_str(body).unwrap_or(Value::Null) }
}

#[test]
fn the_openapi_document_is_valid_and_whole() {
    let pierhead = Pierhead::start();
    let document = on_socket(&pierhead, "GET", "/v1/openapi.json", &[], &Value::Null).body;
    for (path, method) in [
        ("/v1/addons", "post"),
        ("/v1/addons/{name}", "patch"),
        ("/v1/addons/{name}/import", "post"),
        ("/v1/apps/{app}/attachments/{variable}", "delete"),
        ("/v1/addons/{name}/schedule", "put"),
        ("/v1/tokens", "post"),
        ("/v1/operations/{id}", "get"),
    ] {
        let operation = &document["paths"][path][method];
        assert!(!operation["summary"].as_str().unwrap_or("").is_empty(), "{method} {path}: {operation}");
        let error = &operation["responses"]["default"]["content"]["application/json"]["schema"]["$ref"];
        assert_eq!(error, "#/components/schemas/ErrorBody", "{method} {path}");
    }
    assert_eq!(document["components"]["schemas"]["AddonView"]["type"], "object");
    let file = pierhead.dir.path().join("openapi.json");
    fs::write(&file, document.to_string()).unwrap();
    let python = std::env::var("PIERHEAD_TEST_PYTHON").expect("scripts/test sets PIERHEAD_TEST_PYTHON");
    let judged = Command::new(python).args(["-m", "openapi_spec_validator"]).arg(&file).output().unwrap();
    let said = String::from_utf8_lossy(&judged.stdout);
    assert!(judged.status.success() && said.contains("OK"), "{said} {judged:?}");
}

#[test]
fn what_is_sent_twice_with_a_key_is_done_once() {
    let mut pierhead = Pierhead::start();
    let name = pierhead.name("once");
    let (request, key) = (json!({"kind": "redis", "name": name}), "Idempotency-Key: 7f3a");
    let create = |pierhead: &Pierhead, key: &str, request: &Value| {
        on_socket(pierhead, "POST", "/v1/addons", &[key], request)
    };
    let first = create(&pierhead, key, &request);
    assert_eq!(first.status, 201, "{first:?}");
    let operation = first.header("pierhead-operation").unwrap().to_owned();
    let again = create(&pierhead, key, &request);
    assert_eq!((again.status, &again.body), (201, &first.body));
    assert_eq!(again.header("idempotent-replayed"), Some("true"));
    assert_eq!(again.header("pierhead-operation"), Some(operation.as_str()));

    let other = create(&pierhead, key, &json!({"kind": "redis", "name": pierhead.name("other")}));
    assert_eq!((other.status, other.code()), (422, "key_reused"));
    assert_eq!(create(&pierhead, "Idempotency-Key: 8", &request).code(), "name_taken");
    assert_eq!(create(&pierhead, &format!("Idempotency-Key: {}", "x".repeat(300)), &request).status, 400);
    // A refusal is an answer too.
    let bad = json!({"kind": "redis", "name": "Bad"});
    let refused = create(&pierhead, "Idempotency-Key: 9", &bad);
    let again = create(&pierhead, "Idempotency-Key: 9", &bad);
    assert_eq!((again.status, &again.body), (422, &refused.body));

    pierhead.kill();
    pierhead.serve(None);
    let after = create(&pierhead, key, &request);
    assert_eq!((after.status, &after.body), (201, &first.body));
    assert_eq!(pierhead.json(&["list"])["addons"].as_array().unwrap().len(), 1);

    pierhead.ok(&["wait", &name]);
    let state = |id: &str| pierhead.json(&["operation", id])["state"].as_str().unwrap().to_owned();
    assert_eq!(state(&operation), "done");
    let stop = on_socket(&pierhead, "POST", &format!("/v1/addons/{name}/stop"), &[], &Value::Null);
    let stop = stop.header("pierhead-operation").unwrap();
    pierhead.ok(&["wait", &name]);
    assert_eq!(state(stop), "done");
    let shown = pierhead.ok(&["operation", stop]);
    assert!(shown.contains("is done (POST") && shown.contains("wanted stopped"), "{shown}");
    assert_eq!(pierhead.run(&["operation", "op-0"]).code, Some(3));
    pierhead.ok(&["destroy", &name, "--force"]);
}

/// A Pierhead that can be asked over TCP.
struct Remote {
    pierhead: Pierhead,
    address: String,
    authority: String,
    _dir: TempDir,
}

impl Remote {
    fn start() -> Self {
        let dir = TempDir::new().unwrap();
        let path = |file: &str| dir.path().join(file).to_str().unwrap().to_owned();
        let (key, certificate) = (path("key.pem"), path("certificate.pem"));
        let mut command = Command::new("openssl");
        command.args("req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2".split(' '));
        command.args(["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost"]);
        command.args(["-addext", "basicConstraints=critical,CA:FALSE"]);
        let made = command.args(["-keyout", &key, "-out", &certificate]).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let port = further_port();
        let pierhead = Pierhead::start_with(&format!(
            "[control.tcp]\nlisten = \"127.0.0.1:{port}\"\ncertificate = \"{certificate}\"\nkey = \"{key}\"\n"
        ));
        Remote { pierhead, address: format!("localhost:{port}"), authority: certificate, _dir: dir }
    }

    /// The command line as somebody elsewhere would use it.
    fn run(&self, token: &str, args: &[&str]) -> Ended {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pierhead"));
        command.args(["--server", &self.address, "--ca", &self.authority]).args(args);
        let output = command.env("PIERHEAD_TOKEN", token).output().unwrap();
        Ended {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    fn token(&self, args: &[&str]) -> String {
        self.pierhead.ok(&[&["token", "create"], args].concat()).trim().to_owned()
    }
}

#[test]
fn a_token_allows_what_its_role_says_and_no_more() {
    let remote = Remote::start();
    let pierhead = &remote.pierhead;
    let (blog, other) = (pierhead.name("blog"), pierhead.name("other"));
    let admin = remote.token(&["boss", "--role", "admin"]);
    let reader = remote.token(&["eyes", "--role", "read-only"]);
    let owner = remote.token(&["ci", "--role", "owner", "--app", "shop", "--expires", "90d"]);
    let stranger = remote.run("pierhead_nonsense", &["list"]);
    assert!(stranger.code == Some(1) && stranger.stderr.contains("unknown"), "{stranger:?}");
    assert!(remote.run("", &["list"]).stderr.contains("no token"));

    // Whoever owns an app makes addons for it, and for no other.
    let made = remote.run(&owner, &["create", "redis", &blog]);
    assert!(made.stderr.contains("\"app\": \"shop\""), "{made:?}");
    let made = remote.run(&owner, &["create", "redis", &blog, "--app", "shop"]);
    assert!(made.code == Some(0) && made.stdout.starts_with("redis://"), "{made:?}");
    assert_eq!(remote.run(&admin, &["create", "redis", &other, "--app", "crm"]).code, Some(0));

    let listed = remote.run(&owner, &["list"]).stdout;
    assert!(listed.contains(&blog) && !listed.contains(&other), "{listed}");
    assert!(remote.run(&owner, &["apps"]).stdout.contains("shop"));
    assert!(!remote.run(&owner, &["apps"]).stdout.contains("crm"));
    assert!(remote.run(&owner, &["env", "--app", "shop"]).stdout.contains("REDIS_URL='redis://"));
    assert_eq!(remote.run(&owner, &["restart", &blog]).code, Some(0));
    for refused in [
        &["info", &other][..],
        &["url", &other],
        &["destroy", &other, "--force"],
        &["attach", &other, "--app", "shop"],
        &["env", "--app", "crm"],
        &["events"],
        &["events", &other],
        &["audit"],
        &["token", "list"],
        &["token", "create", "more", "--role", "admin"],
    ] {
        let ended = remote.run(&owner, refused);
        assert!(
            ended.code == Some(1) && ended.stderr.contains("the app shop")
                || ended.stderr.contains("one app"),
            "{refused:?}: {ended:?}"
        );
    }
    // Shared with another app, it can be used and not changed.
    pierhead.ok(&["attach", &blog, "--app", "crm", "--as", "BLUE"]);
    assert_eq!(remote.run(&owner, &["url", &blog]).code, Some(0));
    assert_eq!(remote.run(&owner, &["stop", &blog]).code, Some(1));

    assert!(remote.run(&reader, &["list"]).stdout.contains(&other));
    assert_eq!(remote.run(&reader, &["events"]).code, Some(0));
    for refused in [&["url", &blog][..], &["logs", &blog], &["stop", &blog], &["env", "--app", "shop"]] {
        let ended = remote.run(&reader, refused);
        assert!(ended.stderr.contains("read-only"), "{refused:?}: {ended:?}");
    }
    let audit = pierhead.ok(&["audit", "--tail", "500"]);
    assert!(
        audit.contains("token ci") && audit.contains("token eyes") && audit.contains("from 127.0.0.1"),
        "{audit}"
    );
    assert_eq!(remote.run(&admin, &["token", "revoke", "ci"]).code, Some(0));
    assert!(remote.run(&owner, &["list"]).stderr.contains("unknown"));
    // The same roles on the socket, where nobody needs a token.
    let reads = format!("Authorization: Bearer {reader}");
    let stop = format!("/v1/addons/{blog}/stop");
    assert_eq!(on_socket(pierhead, "POST", &stop, &[&reads], &Value::Null).code(), "forbidden");
    assert_eq!(
        on_socket(pierhead, "GET", "/v1/status", &["Authorization: Basic eDp5"], &Value::Null).status,
        401
    );
}

#[test]
fn a_token_ends_and_its_file_does_not_tell_it() {
    let remote = Remote::start();
    let token = remote.token(&["short", "--role", "admin", "--expires", "1s"]);
    wait_for("the token to end", Duration::from_secs(30), || {
        remote.run(&token, &["list"]).stderr.contains("expired")
    });
    let store = fs::read(remote.pierhead.dir.path().join("data/pierhead.db")).unwrap();
    let wal = fs::read(remote.pierhead.dir.path().join("data/pierhead.db-wal")).unwrap_or_default();
    let holds = |bytes: &[u8]| bytes.windows(token.len()).any(|window| window == token.as_bytes());
    assert!(!holds(&store) && !holds(&wal));
    let again = remote.pierhead.run(&["token", "create", "short", "--role", "admin"]);
    assert!(again.code == Some(4) && again.stderr.contains("token revoke short"), "{again:?}");
    let list = remote.pierhead.json(&["token", "list"]);
    assert!(
        list["tokens"][0]["expires_at"].is_string() && list["tokens"][0].get("token").is_none(),
        "{list}"
    );
    let owner = json!({"name": "a", "role": "owner"});
    assert_eq!(on_socket(&remote.pierhead, "POST", "/v1/tokens", &[], &owner).code(), "bad_role");
    assert_eq!(remote.pierhead.run(&["token", "create", "a", "--role", "owner"]).code, Some(2));
}

#[test]
fn what_is_no_tls_hurts_nobody_and_a_new_certificate_is_taken() {
    let remote = Remote::start();
    let port: u16 = remote.address.rsplit_once(':').unwrap().1.parse().unwrap();
    let silent: Vec<_> = (0..20).map(|_| TcpStream::connect(("127.0.0.1", port)).unwrap()).collect();
    let mut plain = TcpStream::connect(("127.0.0.1", port)).unwrap();
    plain.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    plain.write_all(b"GET /v1/addons HTTP/1.1\r\nhost: x\r\n\r\n").unwrap();
    let mut said = Vec::new();
    let _ = plain.read_to_end(&mut said);
    assert!(!said.starts_with(b"HTTP"), "{said:?}");
    let token = remote.token(&["boss", "--role", "admin"]);
    assert_eq!(remote.run(&token, &["list"]).code, Some(0));
    drop(silent);

    // Without the authority nothing is sent.
    let mut command = Command::new(env!("CARGO_BIN_EXE_pierhead"));
    let ended =
        command.args(["--server", &remote.address, "list"]).env("PIERHEAD_TOKEN", &token).output().unwrap();
    assert!(String::from_utf8_lossy(&ended.stderr).contains("--ca"), "{ended:?}");

    // Somebody writes half a certificate, and then a whole one.
    let whole = fs::read(&remote.authority).unwrap();
    fs::write(&remote.authority, "-----BEGIN").unwrap();
    let hidden = remote._dir.path().join("authority.pem");
    fs::write(&hidden, &whole).unwrap();
    let ask = || {
        let mut command = Command::new(env!("CARGO_BIN_EXE_pierhead"));
        command.args(["--server", &remote.address, "--ca", hidden.to_str().unwrap(), "list"]);
        command.env("PIERHEAD_TOKEN", &token).output().unwrap().status.code()
    };
    assert_eq!(ask(), Some(0));
    assert!(remote.pierhead.log_text().contains("the old one stays"));
    fs::write(&remote.authority, &whole).unwrap();
    assert_eq!(ask(), Some(0));
}
