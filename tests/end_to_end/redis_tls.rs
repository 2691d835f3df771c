//! Redis in TLS, passed through by host name: clients verify the certificate of the container that they have named, on the
//! port that also serves clients without TLS.

use std::io::Write;

use comfy_table::Table;
use serde_json::{Value, json};

use super::certificate::{Certificate, ZONE};
use super::engine;
use super::redis::stopped;
use super::redis_clients::redis_cli_cases;
use super::redis_drivers::scripted;
use super::redis_engine::Redis;
use super::stage::HOST;
use super::tls::{TlsStage, host, secured};

const DRIVERS: [&str; 5] = ["redis-cli", "redis-py", "redis-py-2", "ioredis", "node-redis"];
/// What must be the same through the edge as directly; `null` where a driver has no such case.
const SAME: [&str; 6] = ["login", "value", "pipeline", "published", "many", "wrong"];
const TLS_PORT: u16 = 6380;

/// A Redis with a certificate for its name.
fn secured_redis(suffix: &str) -> (Redis, Certificate) {
    let certificate = Certificate::new(&engine::name(suffix));
    let port = TLS_PORT.to_string();
    let label = format!("pierhead.tls-port={port}");
    let settings = ["--tls-port", &port, "--tls-auth-clients", "no"];
    let files = ["--tls-cert-file", "/tls/server.crt", "--tls-key-file", "/tls/server.key"];
    let container = ["-v", &certificate.volume(), "-l", &label];
    let redis =
        Redis::start_with(suffix, engine::own_network(), &container, &[&settings[..], &files].concat());
    (redis, certificate)
}

/// The arguments with which redis-cli speaks TLS.
fn in_tls(name: &str, certificate: &Certificate) -> Vec<String> {
    ["--tls", "--sni", &host(name), "--cacert", &certificate.authority()].map(str::to_owned).to_vec()
}

#[test]
fn every_driver_verifies_the_containers_certificate() {
    let stage = TlsStage::new();
    let (redis, certificate) = secured_redis("redis-tls");
    stage.stage.wait_until_routed_redis(&redis);
    let direct = redis.address().unwrap().to_string();
    let off = stopped();
    let others = [("unknown", "nobody-here"), ("stopped", &*off)];
    let cases = |driver: &str, host: &str, port: u16, others: &[(&str, &str)]| {
        if driver == "redis-cli" {
            let options = |user: &str| in_tls(user, &certificate);
            return redis_cli_cases(host, port, &redis.name, options, others);
        }
        let driver = scripted(driver, host, port, &redis.name, others).env("PIERHEAD_TEST_ZONE", ZONE);
        driver.env("PIERHEAD_TEST_CA", &certificate.authority()).json()
    };
    let mut table = Table::new();
    table.set_header([&["client"], &SAME[..], &["unknown", "stopped"]].concat());
    for driver in DRIVERS {
        let through = cases(driver, HOST, stage.redis, &others);
        let directly = cases(driver, &direct, TLS_PORT, &[]);
        let mut row = vec![driver.to_owned()];
        for case in SAME {
            assert_eq!(through[case], directly[case], "{driver}, {case}");
            row.push(if through[case].is_null() { "-" } else { "as direct" }.to_owned());
        }
        assert_eq!(through["login"], json!({"ok": redis.name}), "{driver}");
        assert_eq!(through["many"], json!({"ok": 50}), "{driver}");
        assert!(text_of(&through["wrong"]).contains("invalid username-password pair"), "{driver}: {through}");
        for (case, alert) in [("unknown", "unrecognized name"), ("stopped", "internal error")] {
            let text = text_of(&through[case]).to_lowercase().replace('_', " ");
            assert!(text.contains(alert), "{driver}, {case}: {through}");
            row.push(alert.to_owned());
        }
        table.add_row(row);
    }
    // One connection for each of login, value and wrong, and fifty.
    assert!(stage.routed("tls") >= 53 * DRIVERS.len() as u64, "{}", stage.routed("tls"));
    stage.stage.settle_addon(&redis.name);
    writeln!(std::io::stderr(), "{table}").unwrap();
}

fn text_of(seen: &Value) -> &str {
    seen["text"].as_str().unwrap_or_default()
}

#[test]
fn with_and_without_tls_on_one_port() {
    let stage = TlsStage::new();
    let (redis, certificate) = secured_redis("redis-both");
    stage.stage.wait_until_routed_redis(&redis);
    let plain = || redis.cli(HOST, stage.redis);
    let tls = |name: &str| {
        let options = in_tls(name, &certificate);
        redis.cli(HOST, stage.redis).args(options.iter().map(String::as_str))
    };
    assert_eq!(plain().args(["SETRANGE", "large", "300000", "x"]).run().stdout, "300001\n");
    let [large, through] = [plain(), tls(&redis.name)].map(|cli| cli.args(["GET", "large"]).run().stdout);
    assert!(large.len() > 300_000 && through == large);
    assert_eq!(tls(&redis.name).args(["ACL", "WHOAMI"]).run().stdout, format!("{}\n", redis.name));
    let login = ["protocol=\"redis\"", "method=\"login\""];
    assert_eq!((stage.stage.metric("pierhead_routed_total", &login), stage.routed("tls")), (3, 2));
    // A PostgreSQL addon has no business at this port.
    for stranger in [secured().0.name.as_str(), "nobody-here"] {
        let ended = tls(stranger).args(["PING"]).run();
        assert!(ended.stderr.contains("tlsv1 unrecognized name"), "{ended:?}");
    }
    stage.stage.settle_addon(&redis.name);
}
