//! Many connections at once, over all cores.

use std::time::Duration;

use super::engine::Engine;
use super::stage::Stage;
use crate::control::{Ended, wait_for};

const CONNECTIONS: u64 = 200;

#[test]
fn pgbench_runs_without_an_error_on_200_connections_over_all_cores() {
    let stage = Stage::new("");
    let engine = Engine::shared();
    stage.wait_until_routed(engine);
    clean(&stage.pgbench(engine).args(["-i", "-q", "-s", "10", "-I", "dtgvp"]).run());

    let before = stage.samples("pierhead_relays_opened_total", &[]);
    let connections = CONNECTIONS.to_string();
    // pgbench begins when all of its clients are connected.
    let pgbench =
        stage.pgbench(engine).args(["-n", "-S", "-t", "200", "-j", "2", "-c", &connections]).start();
    let addon = format!("addon=\"{}\"", engine.name);
    wait_for("200 connections at once", Duration::from_secs(60), || {
        stage.metric("pierhead_connections_active", &[&addon]) == CONNECTIONS
    });
    no_failures(&pgbench.finish());

    // Every core has had its share.
    let after = stage.samples("pierhead_relays_opened_total", &[]);
    let opened: Vec<u64> = after.iter().zip(&before).map(|(after, before)| after - before).collect();
    assert!(opened.iter().sum::<u64>() >= CONNECTIONS, "{opened:?}");
    let share = CONNECTIONS / opened.len() as u64;
    assert!(opened.iter().all(|count| *count >= share / 2), "connections by core: {opened:?}");

    // TPC-B, and the books balance.
    no_failures(&stage.pgbench(engine).args(["-n", "-T", "4", "-j", "2", "-c", "10"]).run());
    let balance =
        "select (select sum(bbalance) from pgbench_branches) = (select sum(delta) from pgbench_history)";
    assert_eq!(stage.sql(engine, balance), "t");
    stage.settle(engine);
}

#[track_caller]
fn clean(ended: &Ended) {
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
}

#[track_caller]
fn no_failures(ended: &Ended) {
    clean(ended);
    assert!(ended.stdout.contains("number of failed transactions: 0 (0.000%)"), "{}", ended.stdout);
    assert!(!ended.stderr.contains("error"), "{}", ended.stderr);
}
