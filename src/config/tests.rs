use std::path::Path;

use super::*;
use crate::dialect::Protocol;

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
    assert_error("[control]\nmode = \"999\"", "2:8", &["octal"]);
    assert_error("[plan.small]\ncpus = 0.0", "2:8", &["0.01"]);
    assert_error("[plan.Big]\ncpus = 1.0", "1:7", &["lower-case"]);
    assert_error("[kind.pg]\nimage = \"x\"\nplan = \"huge\"", "1:1", &["huge", "small"]);
    assert_error("data_dir = ", "1:12", &[]);
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
    assert_eq!(ports, [5432, 6379, 5672]);
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
