//! What it costs to find out who is meant: the recorded first bytes of real clients, cut as they came. One
//! identification must stay far below the microseconds that its system calls take.

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, criterion_group, criterion_main};
use pierhead::dialect::mongodb::FirstMessage;
use pierhead::dialect::postgres::{KeyWatch, Startup, Watched};
use pierhead::dialect::{Dialect, Name, Reason, Refusal, Step};

const PSQL: &[u8] = include_bytes!("../tests/corpus/postgres/psql-15.bin");
const ASYNCPG: &[u8] = include_bytes!("../tests/corpus/postgres/asyncpg-0.32.bin");
const NODE_PG: &[u8] = include_bytes!("../tests/corpus/postgres/node-pg-8.23.bin");
const CANCEL: &[u8] = include_bytes!("../tests/corpus/postgres/psql-15-cancel.bin");
const ANSWER_15: &[u8] = include_bytes!("../tests/corpus/postgres/server-15.answer.bin");
const ANSWER_18: &[u8] = include_bytes!("../tests/corpus/postgres/server-18-protocol-3.2.answer.bin");
const SSL_REQUEST_LEN: usize = 8;

const PYMONGO: &[u8] = include_bytes!("../tests/corpus/mongodb/pymongo-4.20-data.bin");
const PYMONGO_MONITOR: &[u8] = include_bytes!("../tests/corpus/mongodb/pymongo-4.20-monitor.bin");
const NODE_MONGODB: &[u8] = include_bytes!("../tests/corpus/mongodb/node-mongodb-7.9-data.bin");

/// One connection: a fresh dialect and buffer, as in the edge. The last turn must decide.
fn identify(mut dialect: impl Dialect, turns: &[&[u8]]) -> Step {
    let mut input = BytesMut::with_capacity(1024);
    let mut step = dialect.step(&mut input);
    for turn in turns {
        input.extend_from_slice(black_box(turn));
        step = dialect.step(&mut input);
    }
    assert!(matches!(step, Step::Identified(_) | Step::Cancel(_)));
    step
}

fn startup(c: &mut Criterion) {
    let mut group = c.benchmark_group("postgres/identify");
    let (request, after) = PSQL.split_at(SSL_REQUEST_LEN);
    group.bench_function("ssl_request_and_startup", |b| {
        b.iter(|| identify(Startup::new(), &[request, after]))
    });
    group.bench_function("startup", |b| b.iter(|| identify(Startup::new(), &[NODE_PG])));
    let (request, after) = ASYNCPG.split_at(SSL_REQUEST_LEN);
    group.bench_function("asyncpg_order", |b| b.iter(|| identify(Startup::new(), &[request, after])));
    group.bench_function("cancel_request", |b| b.iter(|| identify(Startup::new(), &[CANCEL])));
    group.finish();
}

fn refusal(c: &mut Criterion) {
    let mut dialect = Startup::new();
    assert!(matches!(dialect.step(&mut BytesMut::from(NODE_PG)), Step::Identified(_)));
    let blog = Name::parse("blog").expect("a name");
    let refusal = Refusal::of(&blog, Reason::Starting, "");
    c.bench_function("postgres/refuse/starting", |b| b.iter(|| dialect.refuse(black_box(&refusal))));
}

/// A SCRAM log-in: the server answers in three chunks.
fn key_watch(c: &mut Criterion) {
    let mut group = c.benchmark_group("postgres/key_watch");
    for (name, answer) in [("server_15", ANSWER_15), ("server_18", ANSWER_18)] {
        let chunks: Vec<&[u8]> = scram_chunks(answer);
        group.bench_function(name, |b| {
            b.iter(|| {
                let mut watch = KeyWatch::new();
                let last = chunks.iter().map(|chunk| watch.observe(black_box(chunk))).last();
                assert!(matches!(last, Some(Watched::Key(_))));
                last
            });
        });
    }
    group.finish();
}

/// Cuts where the server waits for the client: behind each of the first two of the four `R` messages.
fn scram_chunks(answer: &[u8]) -> Vec<&[u8]> {
    let mut chunks = Vec::new();
    let mut rest = answer;
    for _ in 0..2 {
        let len = u32::from_be_bytes([rest[1], rest[2], rest[3], rest[4]]) as usize + 1;
        let (chunk, behind) = rest.split_at(len);
        chunks.push(chunk);
        rest = behind;
    }
    chunks.push(rest);
    chunks
}

fn mongodb(c: &mut Criterion) {
    let mut group = c.benchmark_group("mongodb/identify");
    group.bench_function("op_msg_login", |b| b.iter(|| identify(FirstMessage::new(), &[PYMONGO])));
    group.bench_function("op_query_login", |b| b.iter(|| identify(FirstMessage::new(), &[NODE_MONGODB])));
    group.bench_function("app_name", |b| b.iter(|| identify(FirstMessage::new(), &[PYMONGO_MONITOR])));
    let (header, body) = PYMONGO.split_at(16);
    group.bench_function("header_and_body", |b| b.iter(|| identify(FirstMessage::new(), &[header, body])));
    group.finish();
    let mut dialect = FirstMessage::new();
    assert!(matches!(dialect.step(&mut BytesMut::from(PYMONGO)), Step::Identified(_)));
    let blog = Name::parse("blog").expect("a name");
    let refusal = Refusal::of(&blog, Reason::Starting, "");
    c.bench_function("mongodb/refuse/starting", |b| b.iter(|| dialect.refuse(black_box(&refusal))));
}

criterion_group!(benches, startup, refusal, key_watch, mongodb);
criterion_main!(benches);
