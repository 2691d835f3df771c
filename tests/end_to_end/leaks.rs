//! Connections that do nothing cost nothing, and connections that end leave nothing.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::thread;
use std::time::Duration;

use super::engine::{Engine, PASSWORD};
use super::redis_engine::Redis;
use super::stage::{HOST, Stage};
use crate::control::wait_for;

#[test]
fn idle_connections_use_no_processor_time() {
    let stage = Stage::alone("");
    let engine = Engine::shared();
    stage.wait_until_routed(engine);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let mut config = tokio_postgres::Config::new();
    config.host(HOST).port(stage.pierhead.port).user(&engine.name).password(PASSWORD).dbname(&engine.name);
    let clients: Vec<_> = (0..50)
        .map(|_| {
            let (client, connection) =
                runtime.block_on(config.connect(tokio_postgres::NoTls)).expect("a connection");
            runtime.spawn(connection);
            client
        })
        .collect();
    assert_eq!(stage.connections(), 50);
    // Counters are still brought up to date for half a second.
    thread::sleep(Duration::from_millis(1500));

    // Containers of others that come and go keep the control thread busy: then the time is taken again.
    let quiet = (0..5).any(|_| {
        let before = Activity::of(&stage);
        thread::sleep(Duration::from_secs(3));
        let after = Activity::of(&stage);
        assert_eq!(after.turns, before.turns, "the cores have turned while nothing happened");
        assert_eq!(after.sleeps, before.sleeps, "the cores were woken while nothing happened");
        assert_eq!(after.core_ticks - before.core_ticks, 0, "ticks of the cores in 3 s");
        let quiet = after.docker_events == before.docker_events;
        let ticks = after.ticks - before.ticks;
        // The control thread answers this test's own scrapes and sets its timers: 1 % of a CPU, in a debug build.
        assert!(!quiet || ticks <= 3, "{ticks} ticks of the whole process in 3 s");
        quiet
    });
    if !quiet {
        writeln!(std::io::stderr(), "Docker was never quiet: only the cores' time was checked").unwrap();
    }
    assert_eq!(stage.connections(), 50);
    drop(clients);
    drop(runtime);
    stage.settle(engine);
}

/// What a process has done so far.
struct Activity {
    docker_events: u64,
    turns: u64,
    /// How often a core's thread has waited in the kernel.
    sleeps: u64,
    /// Processor time of the cores, and of the whole process.
    core_ticks: u64,
    ticks: u64,
}

impl Activity {
    fn of(stage: &Stage) -> Self {
        let tasks = fs::read_dir(format!("/proc/{}/task", stage.pierhead.pid())).unwrap();
        let read = |task: &Path, file| fs::read_to_string(task.join(file)).unwrap();
        let (mut sleeps, mut core_ticks, mut all_ticks, mut cores) = (0, 0, 0, 0);
        for task in tasks.map(|task| task.unwrap().path()) {
            let (is_core, ticks) = ticks(&read(&task, "stat"));
            all_ticks += ticks;
            if is_core {
                cores += 1;
                core_ticks += ticks;
                sleeps += voluntary_switches(&read(&task, "status"));
            }
        }
        let turns = stage.samples("pierhead_turns_total", &[]);
        assert_eq!(cores, turns.len(), "a thread for each core");
        let docker_events = stage.metric("pierhead_docker_events_total", &[]);
        Activity { docker_events, turns: turns.iter().sum(), sleeps, core_ticks, ticks: all_ticks }
    }
}

/// From /proc/PID/task/TID/status.
fn voluntary_switches(status: &str) -> u64 {
    let number = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
    number.unwrap().trim().parse().unwrap()
}

/// From /proc/PID/task/TID/stat: whether it is a core of the edge, and utime + stime.
fn ticks(stat: &str) -> (bool, u64) {
    let (head, tail) = stat.rsplit_once(')').unwrap();
    let fields: Vec<&str> = tail.split_whitespace().collect();
    let number = |index: usize| fields[index].parse::<u64>().unwrap();
    (head.contains("(core-"), number(11) + number(12))
}

#[test]
fn three_thousand_connections_leave_nothing() {
    let stage = Stage::new("");
    let engine = Engine::shared();
    stage.wait_until_routed(engine);
    connect_query_close(&stage, engine, 300);
    let before = stage.holdings();
    connect_query_close(&stage, engine, 3000);
    stage.wait_until_it_holds(&format!("what it held before, {before:?}"), |now| {
        now.descriptors <= before.descriptors
    });
    let after = stage.holdings();
    let grown_kib = after.resident_kib.saturating_sub(before.resident_kib);
    assert!(grown_kib <= 4096, "{before:?} before, {after:?} after");
    assert_eq!(stage.sockets("close-wait"), 0);
}

/// More than a container has local ports, faster than they become free again (TIME_WAIT, a minute).
#[test]
fn more_connections_than_ports_do_not_fail_and_leave_nothing() {
    let stage = Stage::new("");
    let redis = Redis::shared();
    stage.wait_until_routed_redis(redis);
    let storm = |count: &str| {
        let benchmark = redis.benchmark(HOST, stage.pierhead.redis_port);
        let ended = benchmark.args(["-k", "0", "-c", "50", "-t", "get", "-n", count, "-q"]).run();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        stage.settle_addon(&redis.name);
    };
    storm("3000");
    let (before, opened) = (stage.holdings(), stage.metric("pierhead_relays_opened_total", &[]));
    storm("40000");
    assert!(stage.metric("pierhead_relays_opened_total", &[]) - opened >= 40_000);
    assert_eq!(stage.metric("pierhead_dial_failures_total", &[]), 0, "no port was to be had");
    stage.wait_until_it_holds(&format!("what it held before, {before:?}"), |now| {
        now.descriptors <= before.descriptors
    });
    let grown_kib = stage.holdings().resident_kib.saturating_sub(before.resident_kib);
    assert!(grown_kib <= 4096, "{grown_kib} KiB more than {before:?}");
    assert_eq!(stage.sockets("close-wait"), 0);
}

/// So many times, by four clients at once.
fn connect_query_close(stage: &Stage, engine: &Engine, cycles: u32) {
    let each = (cycles / 4).to_string();
    let opened = stage.metric("pierhead_relays_opened_total", &[]);
    let query = stage.pierhead.dir.path().join("query.sql");
    fs::write(&query, "select 1;\n").unwrap();
    let args = ["-n", "-C", "-c", "4", "-j", "2", "-t", &each, "-f", query.to_str().unwrap()];
    let ended = stage.pgbench(engine).args(args).run();
    assert_eq!(ended.code, Some(0), "{}{}", ended.stdout, ended.stderr);
    stage.settle(engine);
    assert!(stage.metric("pierhead_relays_opened_total", &[]) >= opened + u64::from(cycles));
    let patience = Duration::from_secs(5);
    wait_for("no socket to wait for its close", patience, || stage.sockets("close-wait") == 0);
}
