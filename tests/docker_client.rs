//! The promise: the engine is found over a Unix socket, TCP or TLS, and if it is not, the error says why and
//! what to do.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "docker/engine.rs"]
mod engine;
#[path = "docker/own_engine.rs"]
mod own_engine;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixListener;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use own_engine::OwnEngine;
use pierhead::docker::{DockerError, Endpoint};

#[test]
fn the_engine_is_reached_and_its_version_spoken() {
    on_runtime(async {
        let docker = Endpoint::find(None).unwrap().connect().await.unwrap();
        let engine = docker.version().await.unwrap();
        assert_eq!(engine.api_version.unwrap(), docker.client_version().to_string());
    });
}

#[test]
fn what_is_no_engine_is_told_apart() {
    let path = std::env::temp_dir().join(format!("rt-{}.sock", std::process::id()));
    let setting = format!("unix://{}", path.display());
    assert!(matches!(connect(&setting), DockerError::NotRunning { .. }), "no socket");

    let listener = UnixListener::bind(&path).unwrap();
    let other_protocol = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let _ = stream.read(&mut [0; 4096]);
        let _ = stream.write_all(b"220 smtp.example ready\r\n");
    });
    assert!(matches!(connect(&setting), DockerError::Lost { .. }), "not HTTP");
    other_protocol.join().unwrap();
    let error = connect(&setting);
    assert!(matches!(error, DockerError::NotRunning { .. }), "a socket that nobody listens on: {error}");
    fs::remove_file(&path).unwrap();

    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = connect(&format!("tcp://{free}"));
    assert!(matches!(error, DockerError::NotRunning { .. }), "nobody on the port: {error}");
    assert!(error.to_string().contains("start dockerd"), "{error}");
}

/// The test runs itself again as a user who is not in the group.
#[test]
fn a_user_without_permission_is_told_about_the_group() {
    const SETTING: &str = "RT_SOCKET_OF_ANOTHER_USER";
    if let Ok(setting) = std::env::var(SETTING) {
        println!("{}", connect(&setting));
        return;
    }
    let directory = std::env::temp_dir().join(format!("rt-permission-{}", std::process::id()));
    fs::create_dir(&directory).unwrap();
    let program = directory.join("test");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    let socket = directory.join("docker.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    fs::set_permissions(&socket, fs::Permissions::from_mode(0o660)).unwrap();
    let output = Command::new(&program)
        .args(["a_user_without_permission", "--nocapture"])
        .env(SETTING, format!("unix://{}", socket.display()))
        .current_dir("/")
        .uid(65_534)
        .gid(65_534)
        .output();
    fs::remove_dir_all(&directory).unwrap();
    let said = String::from_utf8(output.unwrap().stdout).unwrap();
    assert!(said.contains("no permission") && said.contains("group docker"), "{said}");
}

#[test]
fn an_engine_behind_tls_is_reached_with_the_right_certificates_only() {
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let certificates = std::env::temp_dir().join(format!("rt-certificates-{}", std::process::id()));
    make_certificates(&certificates);
    let file = |name: &str| certificates.join(name).display().to_string();
    let own = OwnEngine::new(
        "tls",
        &format!(
            "--host tcp://127.0.0.1:{port} --tlsverify --tlscacert {} --tlscert {} --tlskey {}",
            file("ca.pem"),
            file("server.pem"),
            file("server-key.pem")
        ),
    );
    own.start();
    let with = |directory: &Path| {
        let directory = directory.display().to_string();
        let variable = |name: &str| match name {
            "DOCKER_HOST" => Some(format!("tcp://127.0.0.1:{port}")),
            "DOCKER_CERT_PATH" => Some(directory.clone()),
            _ => None,
        };
        let endpoint = Endpoint::parse(None, variable).unwrap();
        on_runtime(async {
            endpoint.connect().await?.info().await.map_err(|e| DockerError::of(&endpoint, e))
        })
    };
    with(&certificates).unwrap();

    let strangers = own.directory.join("strangers");
    make_certificates(&strangers);
    assert!(with(&strangers).unwrap_err().to_string().contains("certificate"), "another authority");
    let error = with(&own.directory.join("nowhere")).unwrap_err();
    assert!(matches!(error, DockerError::Tls { .. }), "{error}");
    let clear_text = connect(&format!("tcp://127.0.0.1:{port}"));
    assert!(clear_text.to_string().contains("HTTPS"), "{clear_text}");
    drop(own);
    fs::remove_dir_all(&certificates).unwrap();
}

/// An authority, a server on 127.0.0.1 and a client, by the names that Docker gives them.
fn make_certificates(directory: &Path) {
    fs::create_dir_all(directory).unwrap();
    let script = "
        key='-newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes'
        openssl req -x509 $key -days 2 -subj /CN=authority -keyout ca-key.pem -out ca.pem
        sign() {
            openssl req $key -subj /CN=$1 -keyout $2 -out request.pem
            printf \"$4\" >extensions
            openssl x509 -req -days 2 -in request.pem -CA ca.pem -CAkey ca-key.pem -CAcreateserial \
                -extfile extensions -out $3
        }
        sign server server-key.pem server.pem 'subjectAltName=IP:127.0.0.1\\nextendedKeyUsage=serverAuth\\n'
        sign client key.pem cert.pem 'extendedKeyUsage=clientAuth\\n'";
    let output = Command::new("bash").args(["-ec", script]).current_dir(directory).output().unwrap();
    assert!(output.status.success(), "openssl: {}", String::from_utf8_lossy(&output.stderr));
}

fn connect(setting: &str) -> DockerError {
    on_runtime(Endpoint::find(Some(setting)).unwrap().connect()).map(drop).unwrap_err()
}

fn on_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}
