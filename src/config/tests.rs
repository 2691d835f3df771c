use std::path::Path;

use super::*;
use crate::dialect::tls::StartTls;
use crate::dialect::{Protocol, Speaks};

fn parse(text: &str) -> Result<Config, String> {
    Config::parse(text, Path::new("p.toml")).map_err(|error| error.to_string())
}

#[track_caller]
fn assert_error(text: &str, at: &str, words: &[&str]) {
    let error = parse(text).expect_err("a wrong configuration is refused");
    assert!(error.starts_with(&format!("p.toml:{at}: ")), "{error}");
    for word in words {
        assert!(error.contains(word), "{error} should say {word}");
    }
}

#[test]
fn the_example_is_the_default() {
    let text = include_str!("../../pierhead.example.toml");
    let example = parse(text).unwrap();
    assert_eq!(format!("{:?}", example), format!("{:?}", parse("").unwrap()));
}

#[test]
fn providers_and_what_is_waited_for_are_checked() {
    assert_error("[provider.x]\nallow = []", "1:1", &["missing field `type`"]);
    assert_error("[provider.x]\ntype = 1", "1:1", &["type is 1, expected a text"]);
    assert_error(
        "[provider.x]\ntype = \"external\"\nplan = \"huge\"",
        "2:1",
        &["plan \"huge\"", "expected one of"],
    );
    assert_error("[backend]\ncheck_every = \"10ms\"", "2:15", &["expected 1s to 1h"]);
    assert_error("[backend]\ncheck_timeout = \"2m\"", "2:17", &["expected 100ms to 60s"]);
    assert_error("[backend]\naddresses_max = 0", "2:17", &["expected 1 to 64"]);
    assert_error("[deadlines]\nlogin = 3", "2:9", &["with its unit"]);
    assert_error("[deadlines]\nsleep = \"3m\"", "2:1", &["unknown field `sleep`"]);
    assert_eq!(parse("[deadlines]\ncheck = \"1s\"").unwrap().deadlines.of_states().check.as_secs(), 1);
}

#[test]
fn plans_and_networks_are_checked() {
    assert_error(
        "[plan.big]\nargs = { oracle = [\"-c\"] }",
        "1:1",
        &["plan big has args of the kind oracle", "expected one of", "postgres"],
    );
    assert_error("[plan.big]\ndisk = 10", "2:8", &["integer `10`"]);
    assert_error("[docker]\nnetwork_containers_max = 1023", "2:26", &["from 1 to 1022"]);
    assert_eq!(parse("[plan.large]").unwrap().plans.len(), 2);
    let plan = &parse("[plan.small]\ndisk = \"1GiB\"\nargs = { redis = [\"--hz\", \"50\"] }").unwrap().plans
        ["small"];
    assert_eq!((plan.disk.unwrap().bytes(), plan.args["redis"].len()), (1 << 30, 2));
}

#[test]
fn errors_say_where_and_what_was_expected() {
    assert_error("data_dir = \"/x\"\nfoo = 1\n", "2:1", &["unknown field `foo`", "expected one of"]);
    assert_error("[limits]\ndial_timeout = \"5 parsecs\"", "2:16", &["5 parsecs", "\"10s\""]);
    assert_error("[limits]\ndial_timeout = 5", "2:16", &["integer `5`", "with its unit"]);
    assert_error("[core]\nbuffers = 1000", "2:11", &["1000", "power of two"]);
    assert_error("[core]\nbuffer_size = \"5GiB\"", "2:15", &["expected 1KiB to 1MiB"]);
    assert_error("[[core.on]]\ncpu = 1\nspin_us = 5000", "3:11", &["0 to 1000"]);
    assert_error("[[listener]]\ndialect = \"postgers\"", "2:11", &["unknown variant `postgers`"]);
    assert_error("[[listener]]\ndialect = \"none\"", "1:1", &["needs `to`"]);
    assert_error("[[listener]]\ndialect = \"none\"\nto = \"x\"", "1:1", &["`listen` is missing"]);
    assert_error("[[listener]]\ndialect = \"postgres\"\nto = \"x\"", "1:1", &["say the name themselves"]);
    let mysql = |line: &str| format!("[[listener]]\ndialect = \"mysql\"\n{line}");
    assert_error(
        &mysql("flavour = \"oracle\""),
        "3:11",
        &["unknown variant `oracle`", "`mariadb` or `mysql`"],
    );
    assert_error(&mysql("version = \"8\""), "3:11", &["\"8\" is no version", "\"10.11.6\""]);
    assert_error(
        "[[listener]]\ndialect = \"postgres\"\nversion = \"17.0.0\"",
        "1:1",
        &["belong to dialect = \"mysql\""],
    );
    assert_error("[[listener]]\ndialect = \"redis\"\nnats = {}", "1:1", &["`nats` belongs to"]);
    let nats = "[[listener]]\ndialect = \"nats\"\nnats = ";
    assert_error(&format!("{nats}{{ version = \"2.x\" }}"), "3:8", &["2.x", "\"2.10.0\""]);
    assert_error(&format!("{nats}{{ max_payload = \"1GiB\" }}"), "3:8", &["1KiB to 64MiB"]);
    assert_error(&format!("{nats}{{ payload = 1 }}"), "3:10", &["unknown field `payload`"]);
    assert_error("[[listener]]\ndialect = \"tls\"", "1:1", &["`listen` is missing"]);
    let tls = "[[listener]]\ndialect = \"tls\"\nlisten = [\"0.0.0.0:5433\"]\nzone = \"DB.example.com\"";
    assert_error(tls, "4:8", &["DB.example.com", "expected lower-case labels"]);
    let zone = "[[listener]]\ndialect = \"postgres\"\nzone = \"db.example.com\"";
    assert_error(zone, "1:1", &["`zone` belongs to TLS"]);
    let tls = |dialect: &str, mode: &str| {
        format!("[[listener]]\ndialect = \"{dialect}\"\nlisten = [\"0.0.0.0:1\"]\ntls = \"{mode}\"")
    };
    assert_error(&tls("postgres", "on"), "4:7", &["unknown variant `on`", "`passthrough`"]);
    assert_error(
        &tls("tls", "passthrough"),
        "1:1",
        &["`tls` belongs to dialects in which it can be asked for"],
    );
    let several = |list: &str| format!("[[listener]]\ndialect = {list}\nlisten = [\"0.0.0.0:1\"]");
    assert_error(&several("[\"postgres\", \"nosuch\"]"), "2:24", &["unknown variant `nosuch`"]);
    assert_error(&several("[\"postgres\", \"none\"]"), "2:11", &["none cannot share a port", "[[listener]]"]);
    assert_error(&several("[\"tls\", \"mysql\"]"), "2:11", &["mysql cannot share a port"]);
    assert_error(&several("[\"tls\", \"tls\"]"), "2:11", &["tls is listed twice"]);
    assert_error(&several("[]"), "2:11", &["an empty list"]);
    assert_error(&several("5"), "2:11", &["integer `5`", "or a list of dialects"]);
    assert_error("[control]\nmode = \"999\"", "2:8", &["octal"]);
    assert_error("[plan.small]\ncpus = 0.0", "2:8", &["0.01"]);
    assert_error("[plan.Big]\ncpus = 1.0", "1:7", &["lower-case"]);
    assert_error("[kind.pg]\nimage = \"x\"\nplan = \"huge\"", "1:1", &["huge", "small"]);
    assert_error("data_dir = ", "1:12", &[]);
}

#[test]
fn dialects_that_share_a_port() {
    let text = "[[listener]]\ndialect = [\"tls\", \"postgres\"]\nzone = \"db.example.com\"";
    let mut config = parse(text).unwrap();
    let protocols = [Protocol::Tls, Protocol::Postgres];
    assert_eq!(config.listeners[0].speaks.protocols(), protocols);
    config.apply_variables(|name| (name == "PIERHEAD_PORT_TLS").then(|| "6000".into())).unwrap();
    for protocol in protocols {
        assert_eq!(config.local_address(protocol).unwrap().to_string(), "127.0.0.1:6000");
    }
    let Speaks::AnyOf(choices) = &config.listeners[0].speaks else { panic!() };
    let Speaks::Tls(tls) = &choices[0] else { panic!() };
    assert_eq!(tls.among, protocols.into_iter().collect(), "a shared port is for those who share it");
    assert!(tls.zone.is_some());
    let zone = "[[listener]]\ndialect = \"postgres\"\ntls = \"passthrough\"\nzone = \"db.example.com\"";
    let Speaks::Postgres(StartTls::Passthrough(zone)) = &parse(zone).unwrap().listeners[0].speaks else {
        panic!()
    };
    assert!(zone.is_some());
    let alone = parse("[[listener]]\ndialect = [\"postgres\"]").unwrap();
    assert_eq!(alone.listeners[..], Config::default().listeners[..1]);
}

#[test]
fn core_overrides_by_cpu_in_both_forms() {
    let table = "[core]\nspin_us = 20\n[[core.on]]\ncpu = 1\nspin_us = 0\nbuffers = 64\n";
    let array = "[[core]]\nspin_us = 20\n[[core]]\ncpu = 1\nspin_us = 0\nbuffers = 64\n";
    for text in [table, array] {
        let cores = parse(text).unwrap().cores.resolve(&[0, 1]).unwrap();
        assert_eq!((cores[0].0, cores[0].1.spin_us, cores[0].1.buffers), (0, 20, 1024));
        assert_eq!((cores[1].0, cores[1].1.spin_us, cores[1].1.buffers), (1, 0, 64));
    }
    assert!(parse(table).unwrap().cores.resolve(&[0]).unwrap_err().contains("CPU 1"));
}

#[test]
fn every_protocol_is_listened_for_at_its_own_port_unless_the_file_says_which() {
    let addresses = |config: Config| config.listeners.into_iter().flat_map(|listener| listener.listen);
    let ports: Vec<u16> = addresses(parse("").unwrap()).map(|address| address.port()).collect();
    assert_eq!(ports, [5432, 3306, 6379, 5672, 27017, 4222, 1883, 11211]);
    let one = addresses(parse("[[listener]]\ndialect = \"redis\"").unwrap());
    assert_eq!(one.map(|address| address.to_string()).collect::<Vec<_>>(), ["0.0.0.0:6379"]);
}

#[test]
fn variables_come_before_the_file() {
    let mut config = parse("data_dir = \"/file\"").unwrap();
    config
        .apply_variables(|name| match name {
            "PIERHEAD_DATA_DIR" => Some("/env".into()),
            "PIERHEAD_PORT_POSTGRES" => Some("6000".into()),
            "PIERHEAD_PORT_REDIS" => Some("6001".into()),
            "PIERHEAD_IMAGE_POSTGRES" => Some("pierhead/postgres:15".into()),
            _ => None,
        })
        .unwrap();
    assert_eq!(config.data_dir, Path::new("/env"));
    assert_eq!(config.listeners[0].listen[0].port(), 6000);
    assert_eq!(config.local_address(Protocol::Postgres).unwrap().to_string(), "127.0.0.1:6000");
    assert_eq!(config.local_address(Protocol::Redis).unwrap().to_string(), "127.0.0.1:6001");
    assert_eq!(config.kinds["postgres"].image, "pierhead/postgres:15");

    let error = config.apply_variables(|name| (name == "PIERHEAD_PORT_POSTGRES").then(|| "x".into()));
    assert!(error.unwrap_err().to_string().contains("expected a port"));
}
