//! TLS, passed through: clients verify the certificate of the container that they have named, with PostgreSQL's own
//! way to begin TLS and from the first byte; and who cannot be served reads an alert.

use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::time::{Duration, Instant};

use comfy_table::Table;
use serde_json::json;

use super::certificate::{Certificate, MOUNTED, ZONE};
use super::clients::{Program, program, psql, script};
use super::drivers::{DRIVERS, SAME, anywhere};
use super::engine::{self, Engine, PASSWORD};
use super::stage::{HOST, Stage};
use crate::control::{docker, free_ports, image, wait_for};

/// A Pierhead with further ports.
pub struct TlsStage {
    pub stage: Stage,
    /// PostgreSQL that lets TLS begin.
    postgres: u16,
    /// TLS from the first byte.
    tls: u16,
    /// Both.
    shared: u16,
    /// Redis, with and without TLS.
    pub redis: u16,
}

impl TlsStage {
    pub fn new() -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        // Of its own: other tests look for theirs at the same time.
        let first = free_ports((std::process::id() as u16).wrapping_add(NEXT.fetch_add(20, Relaxed)), 4);
        let ports = [first, first + 1, first + 2, first + 3];
        let listener = |dialect: &str, tls: &str, port: u16| {
            format!(
                "[[listener]]\ndialect = {dialect}\n{tls}zone = \"{ZONE}\"\nlisten = [\"{HOST}:{port}\"]\n"
            )
        };
        let passthrough = "tls = \"passthrough\"\n";
        let lines = [
            listener("\"postgres\"", passthrough, ports[0]),
            listener("\"tls\"", "", ports[1]),
            listener("[\"postgres\", \"tls\"]", passthrough, ports[2]),
            listener("[\"redis\", \"tls\"]", "", ports[3]),
        ];
        let [postgres, tls, shared, redis] = ports;
        TlsStage { stage: Stage::new(&lines.concat()), postgres, tls, shared, redis }
    }

    /// How many a host name has led to an addon of this protocol, or from a port of it.
    pub fn routed(&self, protocol: &str) -> u64 {
        let labels = [&*format!("protocol=\"{protocol}\""), "method=\"sni\""];
        self.stage.metric("pierhead_routed_total", &labels)
    }
}

/// A PostgreSQL with a certificate, for all tests.
pub fn secured() -> &'static (Engine, Certificate) {
    static SECURED: OnceLock<(Engine, Certificate)> = OnceLock::new();
    SECURED.get_or_init(|| {
        let certificate = Certificate::new(&engine::name("tls"));
        let container = ["-v", &certificate.volume()];
        let engine = Engine::start_with("tls", engine::own_network(), &container, &SSL_ON);
        engine.wait_until_up();
        (engine, certificate)
    })
}

const SSL_ON: [&str; 6] =
    ["-c", "ssl=on", "-c", "ssl_cert_file=/tls/server.crt", "-c", "ssl_key_file=/tls/server.key"];

pub fn host(name: &str) -> String {
    format!("{name}.{ZONE}")
}

/// psql at the host `name` of the zone, which is where the edge listens.
fn psql_at(port: u16, name: &str, engine: &Engine, mode: &str) -> Program {
    let psql = psql(&host(name), port, &engine.name, PASSWORD);
    psql.env("PGHOSTADDR", HOST).env("PGSSLMODE", mode)
}

const WHO: &str = "select current_user || ' ' || coalesce((select version from pg_stat_ssl \
                   where pid = pg_backend_pid() and ssl), 'in the clear')";

#[test]
fn every_driver_verifies_the_containers_certificate() {
    let stage = TlsStage::new();
    let (engine, certificate) = secured();
    stage.stage.wait_until_routed(engine);
    let off = engine::stopped();
    let cases = |driver: &str, source: &str, host: &str, port: u16| {
        let port = port.to_string();
        let others = ["unknown=nobody-here", &format!("stopped={off}")];
        let secured = script(source).env("PIERHEAD_TEST_ZONE", ZONE);
        let secured = secured.env("PIERHEAD_TEST_CA", &certificate.authority());
        secured.args([driver, host, &port, &engine.name, PASSWORD]).args(others).json()
    };
    let direct = engine.address().unwrap().to_string();
    let mut table = Table::new();
    table.set_header([&["client"], &SAME[..], &["unknown", "stopped"]].concat());
    // tokio-postgres is built without TLS.
    for (driver, source) in DRIVERS.into_iter().filter(|(_, source)| *source != "here") {
        let through = cases(driver, source, HOST, stage.postgres);
        let directly = cases(driver, source, &direct, 5432);
        let mut row = vec![driver.to_owned()];
        for case in SAME {
            let place = (format!("{HOST}:{}", stage.postgres), format!("{direct}:5432"));
            let (seen, expected) = (anywhere(&through[case], &place.0), anywhere(&directly[case], &place.1));
            assert_eq!(seen, expected, "{driver}, {case}");
            row.push("as direct".into());
        }
        assert_eq!(through["login"], json!({"ok": engine.name}), "{driver}");
        for (case, alert) in [("unknown", "unrecognized name"), ("stopped", "internal error")] {
            let text = through[case]["text"].as_str().unwrap_or_default();
            assert!(
                text.to_lowercase().replace('_', " ").contains(alert),
                "{driver}, {case}: {}",
                through[case]
            );
            row.push(alert.into());
        }
        table.add_row(row);
    }
    assert!(stage.routed("postgres") >= 6 * 5, "{}", stage.routed("postgres"));
    stage.stage.settle(engine);
    writeln!(std::io::stderr(), "{table}").unwrap();
}

#[test]
fn psql_and_libpq_18_in_every_mode() {
    let stage = TlsStage::new();
    let (engine, certificate) = secured();
    stage.stage.wait_until_routed(engine);
    let who = |psql: Program| psql.args(["-c", WHO]).run();
    let in_tls = format!("{} TLSv1.3", engine.name);
    let clear = format!("{} in the clear", engine.name);
    for port in [stage.postgres, stage.shared] {
        let verified = psql_at(port, &engine.name, engine, "verify-full");
        // Bound to the container's own certificate, so nobody has ended TLS in between.
        let bound =
            verified.env("PGSSLROOTCERT", &certificate.authority()).env("PGCHANNELBINDING", "require");
        let ended = who(bound);
        assert_eq!((ended.code, ended.stdout.trim()), (Some(0), &*in_tls), "{ended:?}");
    }

    let unknown = who(psql_at(stage.postgres, "nobody-here", engine, "require"));
    assert!(unknown.stderr.contains("SSL error: tlsv1 unrecognized name"), "{unknown:?}");
    let off = who(psql_at(stage.postgres, engine::stopped(), engine, "require"));
    assert!(off.stderr.contains("SSL error: tlsv1 alert internal error"), "{off:?}");
    let plain = Engine::shared();
    let without = who(psql_at(stage.postgres, &plain.name, plain, "require"));
    assert!(without.stderr.contains("SSL error: tlsv1 alert internal error"), "{without:?}");
    let log = stage.stage.pierhead.log_text();
    assert!(log.contains("its server has no TLS (ssl = off)"), "{log}");
    let by_address =
        |mode: &str| who(psql(HOST, stage.postgres, &engine.name, PASSWORD).env("PGSSLMODE", mode));
    let nameless = by_address("require");
    assert!(nameless.stderr.contains("SSL error: tlsv13 alert missing extension"), "{nameless:?}");

    // Who only prefers TLS goes on in the clear, as with any server: by address, or at a server that has none.
    let ended = by_address("prefer");
    assert_eq!((ended.code, ended.stdout.trim()), (Some(0), &*clear), "{ended:?}");
    let ended = who(psql_at(stage.postgres, &plain.name, plain, "prefer"));
    assert_eq!(ended.stdout.trim(), format!("{} in the clear", plain.name), "{ended:?}");
    assert_eq!(stage.stage.sql(engine, WHO), clear, "TLS is not offered where the configuration does not");

    stage.stage.settle(engine);
}

#[test]
fn direct_tls_and_a_cancel_in_tls() {
    let stage = TlsStage::new();
    let certificate = Certificate::new(&engine::name("tls18"));
    let container = ["-v", &certificate.volume()];
    let engine = Engine::start_18("tls18", engine::own_network(), &container, &SSL_ON);
    engine.wait_until_up();
    stage.stage.wait_until_routed(&engine);
    let authority = format!("sslrootcert={}", certificate.authority());
    let cancel = |port: u16, negotiation: &str| {
        let port = port.to_string();
        let arguments = [&*host(&engine.name), &port, &engine.name, PASSWORD, "3.2"];
        let further = [&*format!("hostaddr={HOST}"), "sslmode=verify-full", &authority, negotiation];
        let seen = script("postgres_cancel.py").args(arguments).args(further).json();
        // libpq 18 cancels in TLS too, so the host name leads there.
        assert_eq!(seen["code"], "57014", "{seen}");
        assert!(seen["took_s"].as_f64().unwrap() < 2.0, "{seen}");
    };
    for port in [stage.postgres, stage.tls, stage.shared] {
        cancel(port, "sslnegotiation=direct");
    }
    cancel(stage.postgres, "sslnegotiation=postgres");
    assert_eq!(stage.stage.metric("pierhead_cancels_total", &[]), 0, "no key is seen");
    // Two connections each, as a cancel request comes on its own. On the shared port it is the TLS dialect that
    // recognises direct TLS.
    assert_eq!((stage.routed("postgres"), stage.routed("tls")), (4, 4));
    stage.stage.settle(&engine);
}

/// Known difference: psql 15 sends its cancel request in the clear, with a key that only the client and the server
/// have seen.
#[test]
fn a_cancel_in_the_clear_does_not_reach_a_session_in_tls() {
    let stage = TlsStage::new();
    let (engine, _) = secured();
    stage.stage.wait_until_routed(engine);
    let started = Instant::now();
    let psql = psql_at(stage.postgres, &engine.name, engine, "require");
    let psql = psql.args(["-c", "select pg_sleep(3) as not_cancelled"]).start();
    engine.backend_of("as not_cancelled");
    psql.interrupt();
    let ended = psql.finish_within(Duration::from_secs(10));
    assert!(started.elapsed() >= Duration::from_secs(3), "{:?}: {ended:?}", started.elapsed());
    assert_eq!(stage.stage.metric("pierhead_cancels_total", &[]), 0);
    stage.stage.settle(engine);
}

/// A container that is nothing but a TLS server: openssl(1), with a file to be fetched.
struct HttpsServer {
    name: String,
    certificate: Certificate,
    body: Vec<u8>,
}

impl HttpsServer {
    fn start(suffix: &str, label: &[&str]) -> Self {
        let name = engine::name(suffix);
        let certificate = Certificate::new(&name);
        let body: Vec<u8> = (0..8u32 << 20).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        std::fs::write(certificate.path("file"), &body).unwrap();
        let server = "s_server -accept 8443 -cert /tls/server.crt -key /tls/server.key -WWW -quiet";
        let run = ["-d", "--name", &name, "--network", engine::own_network(), "-w", MOUNTED];
        let volume = ["-v", &certificate.volume(), "--entrypoint", "openssl", &image()];
        engine::run(&[&run[..], label, &volume, &server.split(' ').collect::<Vec<_>>()].concat());
        HttpsServer { name, certificate, body }
    }
}

impl Drop for HttpsServer {
    fn drop(&mut self) {
        docker(&["rm", "-fv", &self.name]);
    }
}

fn curl(port: u16, name: &str, authority: &str) -> Program {
    let url = format!("https://{}:{port}/file", host(name));
    let resolve = format!("{}:{port}:{HOST}", host(name));
    program("curl").args([
        "-sS",
        "--http1.0",
        "--max-time",
        "60",
        "--resolve",
        &resolve,
        "--cacert",
        authority,
        &url,
    ])
}

#[test]
fn any_tls_client_reaches_the_container_that_it_names() {
    let stage = TlsStage::new();
    let by_port = HttpsServer::start("tls-a", &["-l", "pierhead.protocol=tls", "-l", "pierhead.port=8443"]);
    // Of another protocol, with a port for TLS.
    let labels = ["-l", "pierhead.protocol=postgres", "-l", "pierhead.tls-port=8443"];
    let by_tls_port = HttpsServer::start("tls-b", &labels);
    for server in [&by_port, &by_tls_port] {
        let (name, authority) = (host(&server.name), server.certificate.authority());
        wait_for("the server to be up", Duration::from_secs(20), || {
            curl(stage.tls, &server.name, &authority).args(["-o", "/dev/null"]).run().code == Some(0)
        });
        let sum = program("sha256sum").args([server.certificate.path("file").to_str().unwrap()]).run().stdout;
        let expected = json!([server.body.len(), sum.split(' ').next().unwrap()]);
        let port = stage.tls.to_string();
        let place = [HOST, &port, &name, &authority, "/file"];
        assert_eq!(script("tls_get.py").args(place).json(), expected, "Python");
        assert_eq!(script("tls_get.js").args(place).json(), expected, "Node");
        for size in ["20", "100", "300"] {
            let cut = script("tls_get.py").args(place).args([size]);
            assert_eq!(cut.json(), expected, "a ClientHello in records of {size} bytes");
        }
        let connect = format!("{HOST}:{port}");
        let s_client = ["s_client", "-connect", &connect, "-servername", &name, "-verify_hostname", &name];
        let s_client =
            program("openssl").args(s_client).args(["-verify_return_error", "-CAfile", &authority]);
        let ended = s_client.run();
        assert!(ended.stdout.contains("Verify return code: 0 (ok)"), "{ended:?}");
    }
    let spliced =
        ["lane=\"splice\"", "direction=\"backend_to_client\"", &*format!("addon=\"{}\"", by_port.name)];
    let bytes = || stage.stage.metric("pierhead_bytes_total", &spliced);
    wait_for("the bytes to be counted", Duration::from_secs(30), || bytes() > by_port.body.len() as u64);

    let alert = |port: u16, name: &str, text: &str| {
        let ended = curl(port, name, &by_port.certificate.authority()).run();
        assert!(ended.stderr.contains(text), "{name}: {ended:?}");
    };
    alert(stage.tls, "nobody-here", "tlsv1 unrecognized name");
    alert(stage.tls, engine::stopped(), "tlsv1 alert internal error");
    // The certificate is verified by the client: that of another container does not do.
    alert(stage.tls, &by_tls_port.name, "self-signed certificate");
    docker(&["stop", "-t", "0", &by_port.name]);
    wait_for("the route to say so", Duration::from_secs(30), || {
        let ended = curl(stage.tls, &by_port.name, &by_port.certificate.authority()).run();
        ended.stderr.contains("tlsv1 alert internal error")
    });
}

#[test]
fn fifty_tls_sessions_at_once() {
    let stage = TlsStage::new();
    let (engine, _) = secured();
    stage.stage.wait_until_routed(engine);
    let sql = format!("{WHO}; select length(repeat('x', 300000)), repeat('y', 300000)");
    let clients: Vec<_> = (0..50)
        .map(|_| psql_at(stage.postgres, &engine.name, engine, "require").args(["-c", &sql]).start())
        .collect();
    for client in clients {
        let ended = client.finish();
        assert_eq!(ended.code, Some(0), "{}", ended.stderr);
        assert!(ended.stdout.contains("TLSv1.3") && ended.stdout.len() > 300_000);
    }
    assert_eq!(stage.routed("postgres"), 50);
    stage.stage.settle(engine);
}
