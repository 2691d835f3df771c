//! Ctrl-C, and notifications: what does not come as the answer to a query.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use serde_json::json;

use super::clients::script;
use super::engine::{Engine, PASSWORD};
use super::stage::{HOST, Stage};

#[test]
fn ctrl_c_cancels_the_query() {
    let stage = Stage::new("");
    let engine = Engine::shared();
    stage.wait_until_routed(engine);
    let psql = stage.psql(engine).args(["-c", "select pg_sleep(30) as ctrl_c"]).start();
    engine.backend_of("as ctrl_c");
    let pressed = Instant::now();
    psql.interrupt();
    let ended = psql.finish_within(Duration::from_secs(2));
    assert!(ended.stderr.contains("canceling statement due to user request"), "{ended:?}");
    assert_eq!(stage.metric("pierhead_cancels_total", &[]), 1, "after {:?}", pressed.elapsed());

    // libpq's newer way, on connections that ask for 3.0 and for 3.2.
    for (nth, version) in ["3.0", "3.2"].into_iter().enumerate() {
        let port = stage.pierhead.port.to_string();
        let seen = script("postgres_cancel.py").args([HOST, &port, &engine.name, PASSWORD, version]).json();
        assert_eq!(seen["code"], "57014", "{version}: {seen}");
        assert!(seen["took_s"].as_f64().unwrap() < 2.0, "{version}: {seen}");
        assert_eq!(stage.metric("pierhead_cancels_total", &[]), 2 + nth as u64, "{version}");
    }
    stage.settle(engine);
}

#[test]
fn an_unknown_cancel_key_is_closed_without_a_word() {
    let stage = Stage::new("");
    for key in [&[1, 2, 3, 4][..], &[7; 32]] {
        let mut request = (12 + key.len() as u32).to_be_bytes().to_vec();
        request.extend(80_877_102u32.to_be_bytes());
        request.extend(4711u32.to_be_bytes());
        request.extend(key);
        let mut socket = TcpStream::connect((HOST, stage.pierhead.port)).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
        socket.write_all(&request).unwrap();
        let mut answer = vec![];
        socket.read_to_end(&mut answer).expect("a close within 2 s, and no reset");
        assert!(answer.is_empty(), "{answer:?}");
    }
    assert_eq!(stage.metric("pierhead_cancels_total", &[]), 0);
}

#[test]
fn notifications_arrive_on_connections_that_wait() {
    let stage = Stage::new("");
    let engine = Engine::shared();
    stage.wait_until_routed(engine);
    let port = stage.pierhead.port.to_string();
    let heard = script("postgres_notify.py").args([HOST, &port, &engine.name, PASSWORD]).json();
    assert_eq!(heard, json!({"asyncpg": "from psycopg", "psycopg": "from asyncpg"}));
    stage.settle(engine);
}
