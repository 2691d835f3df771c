//! The promise: whatever is sent to the control socket, the answer says what was wrong and what to send, and nothing
//! is changed; and the command line's exit codes tell scripts what happened.

#![allow(clippy::unwrap_used, reason = "a test")]

mod control;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::Duration;

use control::{Pierhead, mode_and_uid};
use serde_json::Value;

#[test]
fn wrong_requests_are_told_what_to_send() {
    let pierhead = Pierhead::start();
    let large = format!(r#"{{"kind": "postgres", "name": "{}"}}"#, "x".repeat(100_000));
    let long_name = format!(r#"{{"kind": "postgres", "name": "{}"}}"#, "x".repeat(33));
    let post = "/v1/addons";
    let table: &[(&str, &str, &str, u16, &str)] = &[
        ("POST", post, "", 400, "malformed"),
        ("POST", post, "{", 400, "malformed"),
        ("POST", post, "[]", 400, "malformed"),
        ("POST", post, r#"{"kind": 1, "name": "a"}"#, 400, "malformed"),
        ("POST", post, r#"{"kind": "postgres"}"#, 400, "malformed"),
        ("POST", post, r#"{"kind": "postgres", "name": "a", "size": 1}"#, 400, "malformed"),
        ("POST", post, "\u{fe}\0\u{ff}", 400, "malformed"),
        ("POST", post, &large, 413, "too_large"),
        ("POST", post, &long_name, 422, "bad_name"),
        ("POST", post, r#"{"kind": "postgres", "name": ""}"#, 422, "bad_name"),
        ("POST", post, r#"{"kind": "postgres", "name": "Blog"}"#, 422, "bad_name"),
        ("POST", post, r#"{"kind": "postgres", "name": "127.0.0.1"}"#, 422, "bad_name"),
        ("POST", post, r#"{"kind": "postgres", "name": "a\u0000"}"#, 422, "bad_name"),
        ("POST", post, r#"{"kind": "postgres", "name": "../etc"}"#, 422, "bad_name"),
        ("POST", post, r#"{"kind": "mysql", "name": "a"}"#, 422, "unknown_kind"),
        ("POST", post, r#"{"kind": "postgres", "name": "a", "plan": "huge"}"#, 422, "unknown_plan"),
        ("GET", "/v1/addons/nobody", "", 404, "not_found"),
        ("DELETE", "/v1/addons/nobody", "", 404, "not_found"),
        ("POST", "/v1/addons/nobody/start", "", 404, "not_found"),
        ("POST", "/v1/addons/nobody/stop", "", 404, "not_found"),
        ("POST", "/v1/addons/nobody/restart", "", 404, "not_found"),
        ("GET", "/v1/addons/nobody/url", "", 404, "not_found"),
        ("GET", "/v1/addons/nobody/logs", "", 404, "not_found"),
        ("GET", "/v1/addons/nobody/logs?tail=many", "", 400, "malformed"),
        ("GET", "/v1/addons/No%00body", "", 422, "bad_name"),
        ("GET", "/v1/addons/..%2f..%2fetc", "", 422, "bad_name"),
        ("GET", "/v1/explain", "", 400, "malformed"),
        ("GET", "/v1/explain?login=a&protocol=smtp", "", 422, "unknown_protocol"),
        ("GET", "/v2", "", 404, "no_such_path"),
        ("PUT", "/v1/addons", "", 405, "method_not_allowed"),
    ];
    for (method, path, body, status, code) in table {
        let (got, answer) = pierhead.http(method, path, body.as_bytes());
        let shown = &body[..body.len().min(80)];
        assert_eq!(got, *status, "{method} {path} {shown}: {answer}");
        let answer: Value = serde_json::from_str(&answer).unwrap_or_else(|_| panic!("{path}: {answer}"));
        assert_eq!(answer["error"]["code"], *code, "{method} {path} {shown}");
        assert!(!answer["error"]["message"].as_str().unwrap().is_empty());
        let hint = answer["error"]["hint"].as_str().unwrap_or("");
        assert!(!hint.is_empty() || *status == 405, "{method} {path}: no hint");
    }
    assert_eq!(pierhead.json(&["list"])["addons"], Value::Array(vec![]));
    assert_eq!(pierhead.left_on_docker(), [""; 0]);
}

#[test]
fn what_is_no_http_hurts_nobody() {
    let pierhead = Pierhead::start();
    let silent: Vec<UnixStream> = (0..50).map(|_| UnixStream::connect(pierhead.socket()).unwrap()).collect();
    for garbage in [&b"\0\0\0\x08\x04\xd2\x16\x2f"[..], b"GET\r\n\r\n", &[b'x'; 100_000], b"\r\n\r\n"] {
        let mut stream = UnixStream::connect(pierhead.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let _ = stream.write_all(garbage);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
    }
    assert_eq!(pierhead.http("GET", "/v1/status", b"").0, 200);
    drop(silent);
}

#[test]
fn exit_codes_and_messages() {
    let pierhead = Pierhead::start();
    let table: &[(&[&str], i32, &str)] = &[
        (&["list"], 0, ""),
        (&["info", "nobody"], 3, "pierhead list"),
        (&["destroy", "nobody", "--force"], 3, "no addon called nobody"),
        (&["connect", "nobody"], 3, "no addon called nobody"),
        (&["create", "mysql", "a"], 2, "send one of: postgres"),
        (&["create", "postgres", "Blog"], 2, "lower-case"),
        (&["create", "postgres", "a", "--plan", "huge"], 2, "send one of: odd, small"),
        (&["wait", "a", "--timeout", "5"], 2, "10s"),
        (&["frobnicate"], 2, "unrecognized subcommand"),
        (&["explain", "nobody"], 1, ""),
        (&["explain", "127.0.0.1"], 1, ""),
        (&["doctor"], 0, ""),
        (&["check-config"], 0, ""),
        (&["serve"], 1, "already"),
    ];
    for (args, code, words) in table {
        let ended = pierhead.run(args);
        assert_eq!(ended.code, Some(*code), "{args:?}: {ended:?}");
        assert!(ended.stderr.contains(words), "{args:?}: {ended:?}");
    }
    let explained = pierhead.run(&["explain", "nobody"]).stdout;
    assert!(explained.contains("pierhead create postgres nobody"), "{explained}");
    // There is no kind of this protocol.
    let explained = pierhead.run(&["explain", "--protocol", "tls", "nobody"]).stdout;
    let hint = "-> label a container pierhead.protocol=tls";
    assert!(explained.contains(hint) && !explained.contains("pierhead create tls"), "{explained}");
    let error: Value = serde_json::from_str(&pierhead.run(&["info", "nobody", "--json"]).stderr).unwrap();
    assert_eq!(error["error"]["code"], "not_found");
}

#[test]
fn without_docker_reads_work_and_create_changes_nothing() {
    let pierhead = Pierhead::without_docker();
    let created = pierhead.run(&["create", "postgres", "a"]);
    assert_eq!(created.code, Some(1), "{created:?}");
    assert!(created.stderr.contains("start Docker"), "{created:?}");
    let listed = pierhead.run(&["list"]);
    assert_eq!(listed.code, Some(0));
    assert!(listed.stderr.contains("Docker has not answered since"), "{listed:?}");
    assert_eq!(pierhead.json(&["list"])["addons"], Value::Array(vec![]));
    let doctor = pierhead.run(&["doctor"]);
    assert_eq!(doctor.code, Some(1));
    assert!(doctor.stdout.contains("FAIL  docker"), "{doctor:?}");
}

#[test]
fn one_pierhead_at_a_time_and_a_dead_ones_socket_is_replaced() {
    let mut pierhead = Pierhead::start();
    assert_eq!(mode_and_uid(&pierhead.socket()).0, 0o600);
    assert_eq!(mode_and_uid(&pierhead.dir.path().join("data")).0, 0o700);
    pierhead.kill();
    assert!(pierhead.socket().exists(), "SIGKILL leaves the socket's file");
    let list = pierhead.run(&["list"]);
    assert_eq!(list.code, Some(1));
    assert!(
        list.stderr.contains("no pierhead answers at") && list.stderr.contains("pierhead serve"),
        "{list:?}"
    );
    // What can be said without a running one.
    let doctor = pierhead.run(&["doctor"]);
    assert!(doctor.stdout.contains("postgres could be served at"), "{doctor:?}");
    pierhead.serve(None);
    assert_eq!(pierhead.run(&["list"]).code, Some(0));
}

#[test]
fn a_wrong_configuration_is_refused_with_its_place() {
    let pierhead = Pierhead::stopped();
    for (text, words) in [
        ("data_dir = 5", "pierhead.toml:1:12"),
        ("[kind.oracle]\nimage = \"x\"", "expected one of: postgres"),
        ("nonsense = 1", "unknown field"),
    ] {
        std::fs::write(pierhead.config(), text).unwrap();
        for verb in ["check-config", "serve"] {
            let ended = pierhead.run(&[verb]);
            assert!(matches!(ended.code, Some(1 | 2)), "{verb}: {ended:?}");
            assert!(ended.stderr.contains(words), "{verb}: {ended:?}");
        }
    }
}

/// Stdout is a pipe that nobody reads any more: no panic, no noise.
#[test]
fn a_closed_pipe_is_no_error() {
    let pierhead = Pierhead::start();
    let script = format!(
        "{} list --json --config {} | true",
        env!("CARGO_BIN_EXE_pierhead"),
        pierhead.config().display()
    );
    let output = std::process::Command::new("bash")
        .args(["-c", &format!("set -o pipefail; for i in 1 2 3 4 5; do {script} || exit 1; done")])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
}
