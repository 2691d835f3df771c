//! TLS inside MySQL's protocol, passed through: clients verify the certificate of the container that they have named,
//! and log in with their password although the nonce in the edge's greeting was not the server's.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::OnceLock;

use comfy_table::Table;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::certificate::{Certificate, ZONE};
use super::clients::{Program, mariadb, program, script};
use super::engine::{self, PASSWORD};
use super::mysql_engine::{
    BASE, Mariadb, MysqlStage, OTHER_PASSWORD, PORT, framed, from_anywhere, greeted, head, stopped,
};
use super::stage::HOST;
use crate::control::Ended;

/// Those that send a host name. node mysql 2.18 does not, and mysql_async has no TLS here.
const DRIVERS: [(&str, &str); 5] = [
    ("pymysql", "mysql_cases.py"),
    ("connector", "mysql_cases.py"),
    ("asyncmy", "mysql_cases.py"),
    ("mysql2", "mysql_cases.js"),
    ("mariadb", "mysql_cases.js"),
];
/// What must be the same through the edge as directly.
const SAME: [&str; 8] = ["login", "parameter", "result", "rows", "prepared", "crowd", "change_user", "wrong"];
const UNKNOWN: &str = "nobody-here";

fn stage() -> MysqlStage {
    MysqlStage::new(&format!("tls = \"passthrough\"\nzone = \"{ZONE}\"\n"))
}

/// A MariaDB with a certificate, for all tests. `NAME.ed` logs in by another plugin, and only in TLS.
fn secured() -> &'static (Mariadb, Certificate) {
    static SECURED: OnceLock<(Mariadb, Certificate)> = OnceLock::new();
    SECURED.get_or_init(|| {
        let certificate = Certificate::new(&engine::name("mysql-tls"));
        let files = ["--ssl-cert=/tls/server.crt", "--ssl-key=/tls/server.key", "--max-connections=300"];
        let engine = Mariadb::start("mysql-tls", &["-v", &certificate.volume()], &files);
        engine.as_root(&format!(
            "install soname 'auth_ed25519'; create user '{}.ed'@'%' identified via ed25519 using password('{OTHER_PASSWORD}') require ssl",
            engine.name
        ));
        (engine, certificate)
    })
}

fn host(name: &str) -> String {
    format!("{name}.{ZONE}")
}

/// What /etc/hosts is for clients: each name of the zone is at this address.
fn hosts(address: &str, names: &[&str]) -> NamedTempFile {
    let mut file = NamedTempFile::new().unwrap();
    names.iter().for_each(|name| writeln!(file, "{address} {}", host(name)).unwrap());
    file
}

#[test]
fn every_driver_verifies_the_containers_certificate() {
    let edge = stage();
    let (engine, certificate) = secured();
    edge.wait_until_routed(engine);
    let off = stopped();
    let cases = |driver: &str, source: &str, address: &str, port: u16| {
        let hosts = hosts(address, &[&engine.name, UNKNOWN, &off]);
        let (port, other) = (port.to_string(), format!("{}.other", engine.name));
        let others = [&*format!("unknown={UNKNOWN}"), &format!("stopped={off}")];
        let secured = script(source).env("PIERHEAD_TEST_ZONE", ZONE);
        let secured = secured.env("PIERHEAD_TEST_CA", &certificate.authority());
        let whom = [driver, "-", &port, &engine.name, PASSWORD, &other, OTHER_PASSWORD];
        secured.args(whom).args(others).with_hosts(hosts.path()).json()
    };
    let direct = engine.address().unwrap().to_string();
    let mut table = Table::new();
    table.set_header([&["client"], &SAME[..], &["unknown", "stopped"]].concat());
    for (driver, source) in DRIVERS {
        let through = cases(driver, source, HOST, edge.port);
        let directly = cases(driver, source, &direct, PORT);
        let mut row = vec![driver.to_owned()];
        for case in SAME {
            let place = |seen: &Value| from_anywhere(&seen.to_string());
            assert_eq!(place(&through[case]), place(&directly[case]), "{driver}, {case}");
            row.push(if through[case].is_null() { "-" } else { "as direct" }.to_owned());
        }
        assert_eq!(through["login"], json!({"ok": format!("{}@%", engine.name)}), "{driver}");
        assert_eq!(through["crowd"], json!({"ok": 50}), "{driver}");
        assert_eq!(through["wrong"]["code"], 1045, "{driver}");
        for (case, alert) in [("unknown", "unrecognized name"), ("stopped", "internal error")] {
            let text = through[case]["text"].as_str().unwrap_or_default().to_lowercase().replace('_', " ");
            assert!(text.contains(alert), "{driver}, {case}: {}", through[case]);
            row.push(alert.into());
        }
        table.add_row(row);
    }
    let by_host = edge.stage.metric("pierhead_routed_total", &["protocol=\"mysql\"", "method=\"sni\""]);
    // Each case, and a crowd.
    assert!(by_host >= DRIVERS.len() as u64 * (6 + 50), "{by_host}");
    edge.stage.settle_addon(&engine.name);
    writeln!(std::io::stderr(), "{table}").unwrap();
}

#[test]
fn the_mariadb_program_in_tls_and_without() {
    let edge = stage();
    let (engine, certificate) = secured();
    edge.wait_until_routed(engine);
    let (plain, off) = (Mariadb::shared(), stopped());
    edge.wait_until_routed(plain);
    let hosts = hosts(HOST, &[&engine.name, &plain.name, UNKNOWN, &off]);
    let authority = format!("--ssl-ca={}", certificate.authority());
    let verified = ["--ssl-verify-server-cert", &*authority];
    let at = |name: &str, user: &str, password: &str| mariadb(&host(name), edge.port, user, password);
    let who = |program: Program, options: &[&str]| {
        let sql = "select current_user(); show status like 'Ssl_version'";
        program.args(options.iter().copied()).args(["-N", "-e", sql]).with_hosts(hosts.path()).run()
    };
    let name = &engine.name;

    let ended = who(at(name, name, PASSWORD), &verified);
    assert_eq!(ended.stdout, format!("{name}@%\nSsl_version\tTLSv1.3\n"), "{ended:?}");
    // It begins TLS unasked.
    let ended = who(at(name, name, PASSWORD), &["--compress"]);
    assert_eq!(ended.stdout, format!("{name}@%\nSsl_version\tTLSv1.3\n"), "{ended:?}");
    let role = format!("{name}.ed");
    let ended = who(at(name, &role, OTHER_PASSWORD), &verified);
    assert_eq!(ended.stdout, format!("{role}@%\nSsl_version\tTLSv1.3\n"), "{ended:?}");

    let refused = |ended: Ended, alert: &str| {
        let text = format!("ERROR 2026 (HY000): TLS/SSL error: {alert}");
        assert!(ended.code == Some(1) && ended.stderr.starts_with(&text), "{ended:?}");
    };
    refused(who(at(UNKNOWN, name, PASSWORD), &["--ssl"]), "tlsv1 unrecognized name");
    refused(who(at(&off, name, PASSWORD), &["--ssl"]), "tlsv1 alert internal error");
    refused(who(at(&plain.name, name, PASSWORD), &["--ssl"]), "tlsv1 alert internal error");
    let log = edge.stage.pierhead.log_text();
    assert!(log.contains("its server has no TLS (ssl_cert is not set)"), "{log}");
    refused(who(mariadb(HOST, edge.port, name, PASSWORD), &["--ssl"]), "tlsv13 alert missing extension");

    // The same port without TLS, where the user leads.
    for engine in [engine, plain] {
        let ended = who(engine.cli(HOST, edge.port), &["--skip-ssl"]);
        assert_eq!(ended.stdout, format!("{}@%\nSsl_version\t\n", engine.name), "{ended:?}");
    }
    let ended = who(mariadb(HOST, edge.port, &role, OTHER_PASSWORD), &["--skip-ssl"]);
    assert!(ended.stderr.starts_with("ERROR 1045 (28000): Access denied for user"), "{ended:?}");
    edge.stage.settle_addon(name);
    edge.stage.settle_addon(&plain.name);
}

/// A server with TLS begins it whatever stands behind the flag in the client's first packet.
#[test]
fn the_edge_begins_tls_where_the_server_does() {
    let edge = stage();
    let (engine, _) = secured();
    edge.wait_until_routed(engine);
    let server = SocketAddr::new(engine.address().unwrap(), PORT);
    let hello = client_hello(&host(&engine.name));
    let tls = 1 << 11;
    let response = [&head(BASE | tls)[..], engine.name.as_bytes(), b"\0\0some_plugin\0"].concat();
    for (first, second) in [
        (framed(1, &head(BASE | tls)), &hello[..]),
        (framed(1, &head(BASE & !1 | tls)), &hello),
        (framed(1, &head(u32::MAX)), &hello),
        (framed(1, &response), &hello),
        (framed(1, &head(BASE | tls)), b"GET / HTTP/1.1\r\n\r\n"),
    ] {
        let [through, directly] = [edge.address(), server].map(|at| {
            let (mut socket, _) = greeted(at);
            socket.write_all(&[&first[..], second].concat()).unwrap();
            let mut kind = [0];
            socket.read_exact(&mut kind).map(|()| kind[0]).ok()
        });
        assert_eq!(through, directly, "{first:?}");
        assert_eq!(through, Some(if second == hello { 22 } else { 21 }), "{first:?}");
    }
    edge.stage.settle_addon(&engine.name);
}

/// OpenSSL's, by way of Python.
fn client_hello(host: &str) -> Vec<u8> {
    let source = "import ssl, sys\n\
                  out = ssl.MemoryBIO()\n\
                  tls = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), out, server_hostname=sys.argv[1])\n\
                  try: tls.do_handshake()\n\
                  except ssl.SSLWantReadError: print(list(out.read()))";
    serde_json::from_value(program("python3").args(["-c", source, host]).json()).unwrap()
}
