//! SIGTERM: nobody new comes in, who is inside may finish, and the process ends with 0.

use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::clients::Running;
use super::engine::Engine;
use super::stage::{HOST, Stage};
use crate::control::wait_for;

#[test]
fn transactions_that_end_in_time_are_not_disturbed() {
    let mut stage = Stage::new("[limits]\ndrain_timeout = \"20s\"\n");
    let engine = Engine::shared();
    let pgbench = under_load(&stage, engine, "drained", "3");
    stage.signal("TERM");
    nobody_new(&stage);
    let ended = pgbench.finish();
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    assert!(ended.stdout.contains("number of failed transactions: 0 (0.000%)"), "{}", ended.stdout);
    // There is nothing left to wait for.
    let status = stage.pierhead.wait(Duration::from_secs(2));
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(stage.pierhead.log_text().contains("drained"));
}

#[test]
fn what_has_not_ended_by_then_is_closed() {
    let mut stage = Stage::new("[limits]\ndrain_timeout = \"1500ms\"\ndrain_spread = \"500ms\"\n");
    let engine = Engine::shared();
    let pgbench = under_load(&stage, engine, "cut", "60");
    let asked = Instant::now();
    stage.signal("TERM");
    nobody_new(&stage);
    let status = stage.pierhead.wait(Duration::from_secs(6));
    let took = asked.elapsed();
    assert_eq!(status.code(), Some(0), "{status}");
    assert!(took >= Duration::from_millis(1400), "ended after {took:?}, before the time was over");
    let ended = pgbench.finish_within(Duration::from_secs(5));
    assert_eq!(ended.stderr.matches("aborted in command").count(), 8, "{}", ended.stderr);
    // Half a transaction is none.
    let balance =
        "select coalesce(sum(abalance), 0) = (select coalesce(sum(delta), 0) from cut_history) from cut";
    wait_for("the server to have noticed", Duration::from_secs(30), || {
        engine.sql("select count(*) from pg_stat_activity where query ilike '%cut_history%'") == "1"
    });
    assert_eq!(engine.sql(balance), "t");
}

#[test]
fn a_second_sigterm_ends_at_once() {
    let mut stage = Stage::new("[limits]\ndrain_timeout = \"60s\"\n");
    let engine = Engine::shared();
    stage.wait_until_routed(engine);
    let psql = stage.psql(engine).args(["-c", "select pg_sleep(30) as second"]).start();
    engine.backend_of("as second");
    stage.signal("TERM");
    nobody_new(&stage);
    let asked = Instant::now();
    stage.signal("TERM");
    stage.pierhead.wait(Duration::from_secs(1));
    let ended = psql.finish_within(Duration::from_secs(2));
    assert_eq!(ended.code, Some(2), "{ended:?} after {:?}", asked.elapsed());
}

/// pgbench with eight clients, in the midst of its transactions.
fn under_load(stage: &Stage, engine: &Engine, table: &str, seconds: &str) -> Running {
    stage.wait_until_routed(engine);
    engine.sql(&format!(
        "drop table if exists {table}, {table}_history;
         create table {table} as select n as aid, 0 as abalance from generate_series(1, 1000) n;
         create table {table}_history (delta int)",
    ));
    let script = stage.pierhead.dir.path().join("script.sql");
    let transaction = format!(
        "\\set aid random(1, 1000)\n\\set delta random(-50, 50)\nbegin;\n\
         update {table} set abalance = abalance + :delta where aid = :aid;\n\
         insert into {table}_history values (:delta);\ncommit;\n"
    );
    std::fs::write(&script, transaction).unwrap();
    let script = script.to_str().unwrap();
    let pgbench =
        stage.pgbench(engine).args(["-n", "-c", "8", "-j", "2", "-T", seconds, "-f", script]).start();
    wait_for("transactions to run", Duration::from_secs(30), || {
        engine.sql(&format!("select count(*) > 100 from {table}_history")) == "t"
    });
    pgbench
}

/// Waits until the port is closed.
#[track_caller]
fn nobody_new(stage: &Stage) {
    wait_for("the port to be closed", Duration::from_secs(30), || {
        TcpStream::connect((HOST, stage.pierhead.port)).is_err()
    });
}
