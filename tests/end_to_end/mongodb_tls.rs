//! MongoDB in TLS, passed through by host name: connections that never log in, by which drivers watch the server, are led by the
//! same SNI as those that do, whatever `appName` says; clients verify the container's certificate; and the port serves those
//! without TLS too. The server is the stand-in.

use std::io::Write;
use std::net::TcpStream;
use std::time::Duration;

use comfy_table::Table;
use serde_json::{Value, json};

use super::certificate::{Certificate, ZONE};
use super::clients::script;
use super::engine::{PASSWORD, address, name};
use super::mongodb_engine::{MongoStage, PORT, secured_server, shared, stopped};
use super::stage::HOST;
use crate::control::wait_for;

const DRIVERS: [(&str, &str); 4] = [
    ("pymongo", "mongodb_cases.py"),
    ("pymongo-async", "mongodb_cases.py"),
    ("motor", "mongodb_cases.py"),
    ("mongodb (Node)", "mongodb_cases.js"),
];
/// What must be the same through the edge as directly.
const SAME: [&str; 5] = ["login", "work", "batches", "pool", "wrong"];

#[test]
fn every_driver_verifies_the_containers_certificate() {
    let stage = MongoStage::speaking(&format!("[\"mongodb\", \"tls\"]\nzone = \"{ZONE}\""), "");
    let addon = name("mongo-tls");
    let certificate = Certificate::new(&addon);
    secured_server(&addon, &certificate);
    let up = || address(&addon).is_some_and(|host| TcpStream::connect((host, PORT)).is_ok());
    wait_for("the stand-in to be up", Duration::from_secs(60), up);
    // In the clear at the same port, which also tells that the routes are there.
    stage.wait_until_said(shared(), "isWritablePrimary");
    let off = stopped("mongo-tls-off");
    let cases = |driver: &str, source: &str, host: &str, port: u16| -> Value {
        let others = ["unknown=nobody-here".to_owned(), format!("stopped={off}")];
        let whom = [driver, host, &port.to_string(), &addon, PASSWORD, &others[0], &others[1]];
        let secured = script(source).args(whom).env("PIERHEAD_TEST_ZONE", ZONE);
        secured.env("PIERHEAD_TEST_CA", &certificate.authority()).json()
    };
    let direct = address(&addon).unwrap().to_string();
    let mut table = Table::new();
    table.set_header([&["client, in TLS"], &SAME[..], &["unknown", "stopped"]].concat());
    for (driver, source) in DRIVERS {
        let (through, directly) =
            (cases(driver, source, HOST, stage.port), cases(driver, source, &direct, PORT));
        let mut row = vec![driver.to_owned()];
        for case in SAME {
            assert_eq!(through[case], directly[case], "{driver}, {case}");
            row.push("as direct".to_owned());
        }
        assert_eq!(through["login"], json!({"ok": [[addon, addon]]}), "{driver}");
        assert!(through["work"]["ok"].as_str().is_some_and(|text| text.starts_with("300000 ")), "{driver}");
        assert_eq!(through["pool"]["ok"].as_f64(), Some(50.0), "{driver}");
        for (case, alert) in [("unknown", "unrecognized name"), ("stopped", "internal error")] {
            let text = through[case]["text"].as_str().unwrap_or_default().to_lowercase().replace('_', " ");
            assert!(text.contains(alert), "{driver}, {case}: {}", through[case]);
            row.push(alert.to_owned());
        }
        table.add_row(row);
    }
    let routed = stage.stage.metric("pierhead_routed_total", &["protocol=\"tls\"", "method=\"sni\""]);
    assert!(routed >= 52 * DRIVERS.len() as u64, "{routed}");
    stage.stage.settle_addon(&addon);
    writeln!(std::io::stderr(), "{table}").unwrap();
}
