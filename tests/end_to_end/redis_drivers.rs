//! Redis drivers of three languages: each does the same through the edge as directly, and sees the same; and what a
//! person reads who is not let in.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use comfy_table::Table;
use redis::ProtocolVersion;
use serde_json::{Value, json};

use super::clients::{Program, script};
use super::engine::{PASSWORD, own_network};
use super::redis::{labelled, stopped};
use super::redis_clients::{redis_cli_cases, redis_rs_cases};
use super::redis_engine::{PORT, Redis, command};
use super::stage::{HOST, Stage};
use crate::control::{docker, wait_for};

/// The clients of five families; "-2" speaks RESP 2 where its default is RESP 3.
const DRIVERS: [&str; 7] =
    ["redis-cli", "redis-py", "redis-py-2", "ioredis", "node-redis", "redis-rs", "redis-rs-2"];
/// What must be the same through the edge as directly. `null` where a driver has no such case.
const SAME: [&str; 6] = ["login", "value", "pipeline", "published", "many", "wrong"];
const UNKNOWN: &str = "nobody-here";
const WRONG: &str = "invalid username-password pair or user is disabled.";

/// The other reasons not to let somebody in, and what is said of each.
struct Refused {
    cases: Vec<(&'static str, String, String)>,
    /// Takes the only connection that one of them may have.
    held: TcpStream,
}

impl Refused {
    /// Makes a container for each, and waits until `stage` knows them.
    fn make(stage: &Stage) -> Self {
        // Without an address it is on its way to one.
        let starting = labelled("redis-starts", &["-d"], "sleep 1d");
        docker(&["network", "disconnect", own_network(), &starting]);
        let deaf = labelled("redis-deaf", &["-d"], "sleep 1d");
        // Says nothing, and ends with its client.
        let silent = "nc -ll -p 6379 -e sh -c 'cat >/dev/null'";
        let full = labelled("redis-full", &["-d", "-l", "pierhead.max-connections=1"], silent);
        let off = stopped();
        let cases = vec![
            ("unknown", UNKNOWN.to_owned(), WRONG.to_owned()),
            ("stopped", off.clone(), format!("addon {off} is stopped, \"pierhead start {off}\" starts it")),
            ("nameless", "default".to_owned(), "log in with the addon's name: AUTH NAME PASSWORD".to_owned()),
            ("starting", starting.clone(), format!("addon {starting} is starting, retry in a few seconds")),
            (
                "unreachable",
                deaf.clone(),
                format!("addon {deaf} is not reachable (connection refused), retry in a few"),
            ),
            ("full", full.clone(), "max number of clients reached".to_owned()),
        ];
        let edge = SocketAddr::new(HOST.parse().unwrap(), stage.pierhead.redis_port);
        let mut held = TcpStream::connect(edge).unwrap();
        wait_for("the last container to be routed", Duration::from_secs(30), || {
            held = TcpStream::connect(edge).unwrap();
            held.write_all(&command(&["AUTH", &full, "pw"])).unwrap();
            held.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
            // Refused, or the container that says nothing.
            held.read(&mut [0; 100]).is_err()
        });
        Refused { cases, held }
    }
}

#[test]
fn every_driver_sees_what_it_sees_on_a_direct_connection() {
    let stage = Stage::new("[limits]\ndial_timeout = \"500ms\"\n");
    let redis = Redis::shared();
    stage.wait_until_routed_redis(redis);
    let refused = Refused::make(&stage);
    let direct = redis.address().unwrap().to_string();
    let mut table = Table::new();
    let names = refused.cases.iter().map(|(case, ..)| *case);
    table.set_header(["client"].into_iter().chain(SAME).chain(["alone"]).chain(names));
    let others: Vec<_> = refused.cases.iter().map(|(case, name, _)| (*case, name.as_str())).collect();
    for driver in DRIVERS {
        let through = cases(driver, HOST, stage.pierhead.redis_port, &redis.name, &others);
        let directly = cases(driver, &direct, PORT, &redis.name, &[]);
        let mut row = vec![driver.to_owned()];
        for case in SAME {
            assert_eq!(through[case], directly[case], "{driver}, {case}");
            row.push(if through[case].is_null() { "-" } else { "as direct" }.to_owned());
        }
        assert_eq!(through["login"], json!({"ok": redis.name}), "{driver}");
        assert_eq!(through["pipeline"], json!({"ok": (0..5_000u32).sum::<u32>()}), "{driver}");
        assert_eq!(through["many"], json!({"ok": 50}), "{driver}");
        let value = through["value"]["ok"].as_str().unwrap_or_default().to_lowercase();
        assert!(value.starts_with("300000 ") && value.ends_with(" true"), "{driver}: {through}");
        assert_eq!(through["alone"], json!({"ok": redis.name}), "{driver}");
        row.push("logs in".to_owned());
        // With RESP 2 the crate has words of its own for whatever a login is answered.
        let own_words = (driver == "redis-rs-2").then_some("Password authentication failed");
        assert!(text_of(&through["wrong"]).contains(own_words.unwrap_or(WRONG)), "{driver}: {through}");
        for (case, _, words) in &refused.cases {
            let seen = text_of(&through[case]);
            let words = own_words.unwrap_or(words);
            // That is the first thing that a person reads, not some trouble with the connection.
            assert!(seen.lines().next().unwrap_or_default().contains(words), "{driver}, {case}: {through}");
            row.push(own_words.map_or("reads why", |_| "its own words").to_owned());
        }
        table.add_row(row);
    }
    drop(refused.held);
    stage.settle_addon(&redis.name);
    // Not print!: a test that succeeds is not heard.
    writeln!(std::io::stderr(), "{table}").unwrap();
}

fn text_of(seen: &Value) -> &str {
    seen["text"].as_str().unwrap_or_default()
}

/// What a driver of [`DRIVERS`] sees in the cases of redis_cases.py, with the login of each of `others` besides.
fn cases(driver: &str, host: &str, port: u16, name: &str, others: &[(&str, &str)]) -> Value {
    match driver {
        "redis-cli" => redis_cli_cases(host, port, name, |_| vec![], others),
        "redis-rs" => redis_rs_cases(host, port, ProtocolVersion::RESP3, name, others),
        "redis-rs-2" => redis_rs_cases(host, port, ProtocolVersion::RESP2, name, others),
        driver => scripted(driver, host, port, name, others).json(),
    }
}

/// The same for a driver of a script.
pub fn scripted(driver: &str, host: &str, port: u16, name: &str, others: &[(&str, &str)]) -> Program {
    let source = if driver.starts_with("redis-py") { "redis_cases.py" } else { "redis_cases.js" };
    let others: Vec<_> = others.iter().map(|(case, other)| format!("{case}={other}")).collect();
    let args = [driver, host, &port.to_string(), name, PASSWORD];
    script(source).args(args).args(others.iter().map(String::as_str))
}
