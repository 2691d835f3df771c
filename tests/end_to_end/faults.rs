//! What dies, stops or moves: clients hear of it, and nothing stays behind.

use std::time::Duration;

use super::engine::{self, Engine};
use super::stage::{Holdings, Stage};
use crate::control::{docker, wait_for};

#[test]
fn a_container_that_comes_back_elsewhere_is_found_there() {
    let stage = Stage::new("");
    let network = engine::network("moves");
    let engine = Engine::start("mover", &network);
    engine.wait_until_up();
    stage.wait_until_routed(&engine);
    let first = engine.address().unwrap();
    assert_eq!(where_it_is(&stage, &engine), first.to_string());

    // Stopped: who comes now reads it.
    docker(&["stop", "-t", "5", &engine.name]);
    let mut said = String::new();
    wait_for("the route to be stopped", Duration::from_secs(30), || {
        said = stage.try_sql(&engine, "select 1").err().unwrap_or_default();
        said.contains("is stopped")
    });
    assert!(said.contains(&format!("HINT:  \"pierhead start {}\" starts it.", engine.name)), "{said}");

    // Somebody else takes its address before it comes back.
    let squatter = engine::sleeper("squatter", &network);
    assert_eq!(engine::address(&squatter), Some(first));
    docker(&["start", &engine.name]);
    stage.wait_until_routed(&engine);
    let second = engine.address().unwrap();
    assert_ne!(second, first);
    assert_eq!(where_it_is(&stage, &engine), second.to_string());

    // Taken off its network while it runs, and put back on it with a third address.
    docker(&["network", "disconnect", &network, &engine.name]);
    let squatter = engine::sleeper("squatter-2", &network);
    assert_eq!(engine::address(&squatter), Some(second));
    docker(&["network", "connect", &network, &engine.name]);
    stage.wait_until_routed(&engine);
    let third = engine.address().unwrap();
    assert_eq!(where_it_is(&stage, &engine), third.to_string());
    stage.settle(&engine);
}

/// The address of the server that the edge has led to.
fn where_it_is(stage: &Stage, engine: &Engine) -> String {
    stage.sql(engine, "select host(inet_server_addr())")
}

#[test]
fn clients_of_a_killed_backend_see_an_error_and_do_not_hang() {
    let stage = Stage::new("");
    let engine = Engine::start("victim", engine::own_network());
    engine.wait_until_up();
    stage.wait_until_routed(&engine);
    let patience = Duration::from_secs(5);

    // The process that serves one client.
    let psql = stage.psql(&engine).args(["-c", "select pg_sleep(30) as backend"]).start();
    let pid = engine.backend_of("as backend");
    docker(&["exec", &engine.name, "bash", "-c", &format!("kill -9 {pid}")]);
    let ended = psql.finish_within(patience);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("server closed the connection unexpectedly"), "{ended:?}");
    stage.settle(&engine);

    // The whole container.
    engine.wait_until_up();
    let psql = stage.psql(&engine).args(["-c", "select pg_sleep(30) as container"]).start();
    engine.backend_of("as container");
    docker(&["kill", &engine.name]);
    let ended = psql.finish_within(patience);
    assert_eq!(ended.code, Some(2), "{ended:?}");
    assert!(ended.stderr.contains("server closed the connection unexpectedly"), "{ended:?}");
    stage.settle(&engine);
}

#[test]
fn a_client_killed_in_the_midst_of_a_copy_leaves_nothing() {
    let stage = Stage::new("");
    let engine = Engine::shared();
    stage.wait_until_routed(engine);
    let before = stage.holdings();
    for _ in 0..4 {
        killed_while_copying_out(&stage, engine);
        killed_while_copying_in(&stage, engine);
    }
    // Each core keeps up to eight pipes for the next one. The control thread may be talking to Docker just now.
    let pooled = 2 * 8 * stage.samples("pierhead_pipes_in_use", &[]).len();
    let others = |held: &Holdings| held.descriptors - held.pipe_ends;
    stage.wait_until_it_holds("no more than before, but for pipes", |now| {
        others(now) <= others(&before) && now.pipe_ends <= before.pipe_ends + pooled
    });
    assert_eq!(engine.sql("select count(*) from pg_stat_activity where query ilike '%copy_out%'"), "1");
}

/// The client does not read, so the edge is full of bytes when it dies.
fn killed_while_copying_out(stage: &Stage, engine: &Engine) {
    let rows = "select repeat('copy_out', 250), generate_series(1, 10000000)";
    let psql = stage.psql(engine).args(["-c", &format!("copy ({rows}) to stdout")]).start_stuck();
    wait_for("the edge to be full", Duration::from_secs(30), || {
        stage.metric("pierhead_flows_blocked", &[]) == 1
    });
    drop(psql);
    stage.settle(engine);
}

/// The server waits for more when the client dies.
fn killed_while_copying_in(stage: &Stage, engine: &Engine) {
    let script = "create temporary table copied (line text); copy copied from stdin";
    let mut psql = stage.psql(engine).args(["-c", script]).start_stuck();
    engine.backend_of("copy copied");
    psql.feed("a line that goes in, again and again\n");
    let delivered = || {
        let addon = format!("addon=\"{}\"", engine.name);
        stage.metric("pierhead_bytes_total", &[&addon, "direction=\"client_to_backend\""])
    };
    let before = delivered();
    wait_for("bytes to flow", Duration::from_secs(30), || delivered() > before + (1 << 20));
    drop(psql);
    stage.settle(engine);
}
