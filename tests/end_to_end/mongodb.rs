//! MongoDB through the edge: drivers of three languages and mongosh do the same as directly, and read why they may not
//! in. The server is a stand-in, as there is no other to be had here; the drivers are real.

use std::io::Write;
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use comfy_table::Table;
use serde_json::{Value, json};

use super::clients::{mongosh, script};
use super::engine::PASSWORD;
use super::mongodb_engine::{MongoStage, PORT, created, deaf, direct, hello, narrow, shared, stopped};
use super::stage::HOST;
use crate::control::docker;

/// Where a driver's cases are written down.
const DRIVERS: [(&str, &str); 5] = [
    ("pymongo", "mongodb_cases.py"),
    ("pymongo-async", "mongodb_cases.py"),
    ("motor", "mongodb_cases.py"),
    ("mongodb (Node)", "mongodb_cases.js"),
    ("PHP (libmongoc)", "mongodb_cases.php"),
];
/// What must be the same through the edge as directly. PHP has no pool.
const SAME: [&str; 5] = ["login", "work", "batches", "pool", "wrong"];
const UNKNOWN: &str = "nobody-here";

#[test]
fn every_driver_sees_what_it_sees_on_a_direct_connection() {
    let stage = MongoStage::new("[limits]\ndial_timeout = \"600ms\"\ndial_try_timeout = \"200ms\"\n");
    let addons = Addons::new(&stage);
    let MongoStage { stage, port } = &stage;
    let all: Vec<_> = thread::scope(|scope| {
        let addons = &addons;
        let start = |(driver, source)| scope.spawn(move || (driver, cases(driver, source, *port, addons)));
        let running: Vec<_> = DRIVERS.into_iter().map(start).collect();
        running.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    let mut table = Table::new();
    let refused = addons.refused();
    let columns = refused.iter().map(|(case, _)| *case);
    table.set_header(["client"].into_iter().chain(SAME).chain(["late"]).chain(columns));
    for (driver, [through, directly]) in all {
        let mut row = vec![driver.to_owned()];
        for case in SAME.into_iter().filter(|case| !directly[case].is_null()) {
            assert_eq!(through[case], directly[case], "{driver}, {case}");
            row.push("as direct".to_owned());
        }
        row.resize(1 + SAME.len(), "-".to_owned());
        let own = json!({"ok": [[shared(), shared()]]});
        assert_eq!(through["login"], own, "{driver}");
        assert!(through["work"]["ok"].as_str().is_some_and(|text| text.starts_with("300000 ")), "{driver}");
        assert_eq!(through["batches"]["ok"][0], 780, "{driver}");
        assert!(through["pool"].is_null() || through["pool"]["ok"].as_f64() == Some(50.0), "{driver}");
        assert!(
            text_of(&through["wrong"]).starts_with("Authentication failed."),
            "{driver}: {}",
            through["wrong"]
        );
        assert!(through["alone"].is_null() || through["alone"] == own, "{driver}: {}", through["alone"]);
        // It began while the addon was starting, and was patient. PHP never is.
        let waited = through["late"]["ok"].is_array();
        assert!(
            waited || through["late"].is_null() && driver.starts_with("PHP"),
            "{driver}: {}",
            through["late"]
        );
        row.push(if waited { "waited" } else { "-" }.to_owned());
        for (case, words) in &refused {
            let text = text_of(&through[case]);
            assert!(text.contains(words), "{driver}, {case}: {} does not say {words:?}", through[case]);
            row.push("reads why".to_owned());
        }
        table.add_row(row);
    }
    let addon = format!("addon=\"{}\"", shared());
    let opened = stage.metric("pierhead_connections_opened_total", &["protocol=\"mongodb\"", &addon]);
    assert!(opened >= 4 * 50, "{opened}");
    drop(addons);
    stage.settle_addon(shared());
    // Not print!: a test that succeeds is not heard.
    writeln!(std::io::stderr(), "{table}").unwrap();
}

/// Addons in every state.
struct Addons {
    starting: String,
    stopped: String,
    deaf: String,
    narrow: String,
    /// Takes the only place in `narrow`.
    _taken: TcpStream,
}

impl Addons {
    fn new(stage: &MongoStage) -> Self {
        let addons = [created("mongo-soon"), stopped("mongo-off"), deaf(), narrow()];
        let [starting, stopped, deaf, narrow] = addons;
        stage.wait_until_said(shared(), "isWritablePrimary");
        for (name, words) in [(&starting, "starting"), (&stopped, "stopped"), (&deaf, "not reachable")] {
            stage.wait_until_said(name, words);
        }
        let taken = stage.hold(&narrow);
        stage.wait_until_said(&narrow, "too many connections");
        Addons { starting, stopped, deaf, narrow, _taken: taken }
    }

    /// The cases in which a driver is refused, and what it shows.
    fn refused(&self) -> Vec<(&'static str, String)> {
        let Addons { starting, stopped, deaf, narrow, .. } = self;
        let hint = "log in as the addon's name and give it as appName too, \
                    mongodb://NAME:PASSWORD@HOST/NAME?directConnection=true&appName=NAME";
        vec![
            ("unknown", format!("no addon named \"{UNKNOWN}\": {hint}")),
            (
                "other",
                format!(
                    "the login says \"{UNKNOWN}\" and appName \"{}\": they must name the same addon",
                    shared()
                ),
            ),
            ("starting", format!("addon \"{starting}\" is starting, retry in a few seconds")),
            ("stopped", format!("addon \"{stopped}\" is stopped, \"pierhead start {stopped}\" starts it")),
            ("unreachable", format!("addon \"{deaf}\" is not reachable")),
            (
                "limited",
                format!("too many connections to addon \"{narrow}\", close some or lower maxPoolSize"),
            ),
        ]
    }
}

/// Through the edge, and directly.
fn cases(driver: &str, source: &str, port: u16, addons: &Addons) -> [Value; 2] {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    let waits = !source.ends_with(".php");
    let late = waits.then(|| created(&format!("mongo-late-{}", MADE.fetch_add(1, Ordering::Relaxed))));
    let others = [
        format!("unknown={UNKNOWN}"),
        format!("starting={}", addons.starting),
        format!("stopped={}", addons.stopped),
        format!("unreachable={}", addons.deaf),
        format!("limited={}", addons.narrow),
    ];
    let others: Vec<_> = late.iter().map(|late| format!("late={late}!")).chain(others).collect();
    let (edge_port, others) = (port.to_string(), others.iter().map(String::as_str));
    let through = script(source).args([driver, HOST, &edge_port, shared(), PASSWORD]).args(others).start();
    if let Some(late) = late {
        thread::sleep(Duration::from_millis(1500));
        docker(&["start", &late]);
    }
    let through = through.finish();
    assert_eq!(through.code, Some(0), "{}{}", through.stdout, through.stderr);
    let (host, port) = (direct(shared()).to_string(), PORT.to_string());
    let directly = script(source).args([driver, &host, &port, shared(), PASSWORD]).json();
    [serde_json::from_str(&through.stdout).unwrap(), directly]
}

fn text_of(seen: &Value) -> &str {
    seen["text"].as_str().unwrap_or_default()
}

/// The program that `pierhead connect` becomes.
#[test]
fn mongosh_logs_in_or_shows_why_not() {
    let stage = MongoStage::new("");
    stage.wait_until_said(shared(), "isWritablePrimary");
    let MongoStage { stage, port } = &stage;
    let url = |name: &str, password: &str, rest: &str| {
        let password = password.replace(' ', "%20");
        format!(
            "mongodb://{name}:{password}@{HOST}:{port}/{name}?directConnection=true&serverSelectionTimeoutMS=2000{rest}"
        )
    };
    let own = format!("&appName={}", shared());
    let whoami = "db.runCommand({connectionStatus: 1}).authInfo.authenticatedUsers[0].user";
    let ended = mongosh(&url(shared(), PASSWORD, &own), whoami).run();
    assert_eq!((ended.stdout.trim(), ended.code), (shared(), Some(0)), "{ended:?}");
    for (name, password, rest, words) in [
        (shared(), "wrong", own.as_str(), "MongoServerError: Authentication failed."),
        (UNKNOWN, PASSWORD, "&appName=nobody-here", "no addon named \"nobody-here\""),
        // It calls itself "mongosh VERSION" then.
        (shared(), PASSWORD, "", "can be no addon's"),
    ] {
        let ended = mongosh(&url(name, password, rest), whoami).run();
        let heard = ended.stdout + &ended.stderr;
        assert!(heard.contains(words) && ended.code != Some(0), "{name}: {heard:?} does not say {words:?}");
    }
    stage.settle_addon(shared());
}

/// Whoever is no driver, or a broken one, gets the protocol's own answer within the limits, and is counted.
#[test]
fn bad_input_is_answered_in_the_protocol_and_counted() {
    let stage = MongoStage::new("[limits]\nidentify_timeout = \"700ms\"\nrefusal_linger = \"300ms\"\n");
    let whole = hello("nobody-here");
    let mut no_bson = whole.clone();
    no_bson[21] = 0xff;
    let too_big = [&100_000i32.to_le_bytes()[..], &whole[4..16]].concat();
    for (bytes, reason, words) in [
        (&b"GET / HTTP/1.1\r\n\r\n"[..], "malformed", "trying to access MongoDB over HTTP"),
        (b"\x16\x03\x01\x02\0\x01", "malformed", "\x15\x03\x03\0\x02\x02\x28"),
        (&no_bson, "malformed", "invalid BSON"),
        (&too_big, "too_big", "a first message of 100000 bytes, at most 16384 are taken"),
        (&whole, "unknown_name", "no addon named \"nobody-here\""),
        (&whole[..whole.len() - 1], "too_slow", "timed out waiting for the rest of the first message"),
        (&whole[..15], "too_slow", ""),
    ] {
        let labels = ["protocol=\"mongodb\"", &format!("reason=\"{reason}\"")];
        let before = stage.stage.metric("pierhead_refused_total", &labels);
        let answer = String::from_utf8_lossy(&stage.ask(bytes)).into_owned();
        assert!(
            answer.contains(words) && answer.is_empty() == words.is_empty(),
            "{answer:?} instead of {words:?}"
        );
        assert_eq!(stage.stage.metric("pierhead_refused_total", &labels), before + 1, "{reason}");
    }
}
