//! TLS inside MySQL's protocol, passed through: clients verify the certificate of the container that they have named,
//! and log in with their password although the nonce in the edge's greeting was not the server's.

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::OnceLock;

use comfy_table::Table;
use serde_json::{Value, json};
use tempfile::NamedTempFile;

use super::certificate::{Certificate, ZONE};
use super::clients::{mariadb, program, script};
use super::engine::{self, PASSWORD};
use super::mysql_drivers::{SAME, UNKNOWN};
use super::mysql_engine::{
    BASE, Mariadb, MysqlStage, OTHER_PASSWORD, PORT, framed, from_anywhere, greeted, head, stopped,
};
use super::stage::HOST;

/// Those that send a host name and begin with the plugin that the greeting names. node mysql 2.18 sends no name, and
/// mysql_async has no TLS here.
const DRIVERS: [(&str, &str); 4] = [
    ("pymysql", "mysql_cases.py"),
    ("connector", "mysql_cases.py"),
    ("asyncmy", "mysql_cases.py"),
    ("mysql2", "mysql_cases.js"),
];

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
        let name = &engine.name;
        engine.as_root(&format!(
            "install soname 'auth_ed25519'; \
             create user '{name}.ed'@'%' identified via ed25519 using password('{PASSWORD}') require ssl; \
             grant all on `{name}`.* to '{name}.ed'@'%'"
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
    let (engine, _) = secured();
    edge.wait_until_routed(engine);
    edge.wait_until_routed(Mariadb::shared());
    let direct = engine.address().unwrap().to_string();
    let mut table = Table::new();
    table.set_header([&["client"], &SAME[..], &["unknown", "stopped", "without"]].concat());
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
        for (case, alert) in
            [("unknown", "unrecognized name"), ("stopped", "internal error"), ("without", "internal error")]
        {
            let text = through[case]["text"].as_str().unwrap_or_default().to_lowercase().replace('_', " ");
            assert!(text.contains(alert), "{driver}, {case}: {}", through[case]);
            row.push(alert.into());
        }
        table.add_row(row);
    }
    let log = edge.stage.pierhead.log_text();
    assert!(log.contains("its server has no TLS (ssl_cert is not set)"), "{log}");
    let by_host = edge.stage.metric("pierhead_routed_total", &["protocol=\"mysql\"", "method=\"sni\""]);
    // Each case, and a crowd.
    assert!(by_host >= DRIVERS.len() as u64 * (6 + 50), "{by_host}");
    edge.stage.settle_addon(&engine.name);
    writeln!(std::io::stderr(), "{table}").unwrap();
}

/// Known difference: it begins with `mysql_native_password` whatever the greeting names, and with the edge's nonce. An
/// account of another plugin makes the server ask again.
#[test]
fn node_mariadb_needs_an_account_of_another_plugin() {
    let edge = stage();
    let (engine, _) = secured();
    edge.wait_until_routed(engine);
    let seen = cases("mariadb", "mysql_cases.js", HOST, edge.port);
    assert_eq!(seen["login"]["code"], 1045, "{seen}");
    assert_eq!(seen["role"], json!({"ok": format!("{}.ed@%", engine.name)}), "{seen}");
    edge.stage.settle_addon(&engine.name);
}

/// What a driver sees in TLS in each case, at a place where all names of the zone are.
fn cases(driver: &str, source: &str, address: &str, port: u16) -> Value {
    let ((engine, certificate), plain, off) = (secured(), Mariadb::shared(), stopped());
    let role = format!("{}.ed", engine.name);
    let hosts = hosts(address, &[&engine.name, UNKNOWN, &off, &plain.name]);
    let (port, other) = (port.to_string(), format!("{}.other", engine.name));
    let others = [("unknown", UNKNOWN), ("stopped", &off), ("without", &plain.name), ("role", &role)];
    let others = others.map(|(case, name)| format!("{case}={name}"));
    let secured = script(source).env("PIERHEAD_TEST_ZONE", ZONE);
    let secured = secured.env("PIERHEAD_TEST_CA", &certificate.authority());
    let whom = [driver, "-", &port, &engine.name, PASSWORD, &other, OTHER_PASSWORD];
    secured.args(whom).args(others.iter().map(String::as_str)).with_hosts(hosts.path()).json()
}

/// Known difference: it begins TLS unasked where it is offered, and names no host then.
#[test]
fn the_mariadb_program_of_10_11_has_to_be_told_to_do_without() {
    let edge = stage();
    let (engine, certificate) = secured();
    edge.wait_until_routed(engine);
    let name = &engine.name;
    let hosts = hosts(HOST, &[name]);
    let who = |user: &str, password: &str, options: &[&str]| {
        let program = mariadb(&host(name), edge.port, user, password).args(options.iter().copied());
        program.args(["-N", "-e", "select current_user()"]).with_hosts(hosts.path()).run()
    };
    let authority = format!("--ssl-ca={}", certificate.authority());
    for options in [&[][..], &["--ssl-verify-server-cert", &*authority]] {
        let ended = who(name, PASSWORD, options);
        let text = "ERROR 2026 (HY000): TLS/SSL error: tlsv13 alert missing extension\n";
        assert_eq!((ended.code, &*ended.stderr), (Some(1), text));
    }
    let plain = Mariadb::shared();
    edge.wait_until_routed(plain);
    for name in [name, &plain.name] {
        let ended = who(name, PASSWORD, &["--skip-ssl"]);
        assert_eq!(ended.stdout, format!("{name}@%\n"), "the user leads, not the host: {ended:?}");
    }
    let ended = who(&format!("{name}.ed"), PASSWORD, &["--skip-ssl"]);
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
    for first in [&head(BASE | tls)[..], &head(BASE & !1 | tls), &head(u32::MAX), &response] {
        for at in [edge.address(), server] {
            let (mut socket, _) = greeted(at);
            socket.write_all(&[&framed(1, first), &hello[..]].concat()).unwrap();
            let mut record = [0; 3];
            socket.read_exact(&mut record).unwrap();
            assert_eq!(record, [22, 3, 3], "{first:?} at {at}");
        }
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
