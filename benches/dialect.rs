//! What it costs to find out who is meant: the recorded first bytes of real clients, cut as they came. One
//! identification must stay far below the microseconds that its system calls take.

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{Criterion, criterion_group, criterion_main};
use pierhead::dialect::mongodb::FirstMessage;
use pierhead::dialect::postgres::{KeyWatch, Startup, Watched};
use pierhead::dialect::redis::FirstCommands;
use pierhead::dialect::tls::{self, StartTls};
use pierhead::dialect::{
    Dialect, HandshakeStep, Name, Opening, Protocols, Reason, Refusal, Speaks, Step, mysql, nats,
};

pub(crate) const PSQL: &[u8] = include_bytes!("../tests/corpus/postgres/psql-15.bin");
const ASYNCPG: &[u8] = include_bytes!("../tests/corpus/postgres/asyncpg-0.32.bin");
pub(crate) const NODE_PG: &[u8] = include_bytes!("../tests/corpus/postgres/node-pg-8.23.bin");
pub(crate) const CANCEL: &[u8] = include_bytes!("../tests/corpus/postgres/psql-15-cancel.bin");
const ANSWER_15: &[u8] = include_bytes!("../tests/corpus/postgres/server-15.answer.bin");
const ANSWER_18: &[u8] = include_bytes!("../tests/corpus/postgres/server-18-protocol-3.2.answer.bin");
pub(crate) const MARIADB: &[u8] = include_bytes!("../tests/corpus/mysql/mariadb-10.11.bin");
const MYSQL2: &[u8] = include_bytes!("../tests/corpus/mysql/node-mysql2-3.24.bin");
const MARIADB_GREETING: &[u8] = include_bytes!("../tests/corpus/mysql/server-mariadb-10.11.greeting.bin");
pub(crate) const NATS_PY: &[u8] = include_bytes!("../tests/corpus/nats/nats-py-2.16.bin");
const NATS_JS: &[u8] = include_bytes!("../tests/corpus/nats/nats-js-2.29.bin");
pub(crate) const PAHO_5: &[u8] = include_bytes!("../tests/corpus/mqtt/paho-2.2-v5.bin");
const PAHO_WILL: &[u8] = include_bytes!("../tests/corpus/mqtt/paho-2.2-v311-will.bin");
pub(crate) const PIKA: &[u8] = include_bytes!("../tests/corpus/amqp/pika-1.4.bin");
const PY_AMQP: &[u8] = include_bytes!("../tests/corpus/amqp/py-amqp-5.4-amqplain.bin");
pub(crate) const RHEA: &[u8] = include_bytes!("../tests/corpus/amqp/rhea-3.0.bin");
const RABBITMQ_START: &[u8] = include_bytes!("../tests/corpus/amqp/server-3.10.start.bin");
pub(crate) const BMEMCACHED: &[u8] = include_bytes!("../tests/corpus/memcached/bmemcached-0.33.bin");
pub(crate) const OPENSSL: &[u8] = include_bytes!("../tests/corpus/tls/openssl-3.0.bin");
const RUSTLS: &[u8] = include_bytes!("../tests/corpus/tls/rustls-0.23.bin");
pub(crate) const SSL_REQUEST_LEN: usize = 8;

pub(crate) const REDIS_CLI: &[u8] = include_bytes!("../tests/corpus/redis/redis-cli-7.0.bin");
const IOREDIS: &[u8] = include_bytes!("../tests/corpus/redis/ioredis-6.0.bin");
pub(crate) const NODE_REDIS: &[u8] = include_bytes!("../tests/corpus/redis/node-redis-6.3.bin");
const PASSWORD_ONLY: &[u8] = include_bytes!("../tests/corpus/redis/redis-py-8.1-password-only.bin");
pub(crate) const PYMONGO: &[u8] = include_bytes!("../tests/corpus/mongodb/pymongo-4.20-data.bin");
const PYMONGO_MONITOR: &[u8] = include_bytes!("../tests/corpus/mongodb/pymongo-4.20-monitor.bin");
const NODE_MONGODB: &[u8] = include_bytes!("../tests/corpus/mongodb/node-mongodb-7.9-data.bin");

/// One connection: a fresh dialect and buffer, as in the edge. The last turn must decide.
pub(crate) fn identify(mut dialect: impl Dialect, turns: &[&[u8]]) -> Step {
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

/// With the greeting, which the edge makes for each connection; its randomness comes from elsewhere.
pub(crate) fn identify_mysql(settings: &mysql::Settings, response: &[u8]) -> Step {
    let mut dialect = mysql::ConnectionPhase::new(black_box(settings));
    let mut input = BytesMut::with_capacity(1024);
    assert!(matches!(dialect.step(&mut input), Step::Reply(_)));
    input.extend_from_slice(black_box(response));
    dialect.step(&mut input)
}

fn mysql(c: &mut Criterion) {
    let settings = mysql::Settings::new(None, None, mysql::Random(|_| Ok(())));
    let mut group = c.benchmark_group("mysql");
    group.bench_function("identify/mariadb", |b| b.iter(|| identify_mysql(&settings, MARIADB)));
    group.bench_function("identify/mysql2", |b| b.iter(|| identify_mysql(&settings, MYSQL2)));
    let Step::Identified(found) = identify_mysql(&settings, MARIADB) else {
        panic!("a client that names an addon")
    };
    let Opening::Handshake(mut handshake) = found.opening else { panic!("a server that speaks first") };
    group.bench_function("backend_greeting", |b| {
        b.iter(|| {
            assert!(handshake.begin().is_empty());
            let step = handshake.step(&mut BytesMut::from(black_box(MARIADB_GREETING)));
            assert!(matches!(step, HandshakeStep::Send(_)));
            step
        });
    });
    group.finish();
}

fn redis(c: &mut Criterion) {
    let mut group = c.benchmark_group("redis/identify");
    group.bench_function("auth", |b| b.iter(|| identify(FirstCommands::new(), &[REDIS_CLI])));
    group.bench_function("auth_line", |b| {
        b.iter(|| identify(FirstCommands::new(), &[b"AUTH blog 'p w'\r\n"]))
    });
    group.bench_function("hello_pipelined", |b| b.iter(|| identify(FirstCommands::new(), &[IOREDIS])));
    group.bench_function("hello_setname_pipelined", |b| {
        b.iter(|| identify(FirstCommands::new(), &[NODE_REDIS]))
    });
    group.bench_function("password_only", |b| b.iter(|| identify(FirstCommands::new(), &[PASSWORD_ONLY])));
    let (first, second) = IOREDIS.split_at(20);
    group.bench_function("hello_in_two_segments", |b| {
        b.iter(|| identify(FirstCommands::new(), &[first, second]))
    });
    group.finish();
    let (dialect, blog) = (FirstCommands::new(), Name::parse("blog").expect("a name"));
    let refusal = Refusal::of(&blog, Reason::Starting, "");
    c.bench_function("redis/refuse/starting", |b| b.iter(|| dialect.refuse(black_box(&refusal))));
}

/// What each says first, up to the name and with the answers that it waits for; for NATS and RabbitMQ also the greeting of
/// its server.
fn brokers(c: &mut Criterion) {
    let nats = Speaks::Nats(nats::Settings::default());
    let mut group = c.benchmark_group("brokers/identify");
    for (name, speaks, said) in [
        ("nats_py", &nats, NATS_PY),
        ("nats_js", &nats, NATS_JS),
        ("mqtt_paho_5", &Speaks::Mqtt, PAHO_5),
        ("mqtt_paho_will", &Speaks::Mqtt, PAHO_WILL),
        ("amqp_pika", &Speaks::Amqp, PIKA),
        ("amqp_py_amqp_amqplain", &Speaks::Amqp, PY_AMQP),
        ("amqp_1_0_rhea", &Speaks::Amqp, RHEA),
        ("memcached_bmemcached", &Speaks::Memcached, BMEMCACHED),
    ] {
        group.bench_function(name, |b| b.iter(|| first_words(speaks, said)));
    }
    let Step::Reply(info) = nats.dialect().step(&mut BytesMut::new()) else { panic!("it greets") };
    for (name, speaks, said, greeting) in [
        ("nats_backend_greeting", &nats, NATS_PY, &info[..]),
        ("amqp_backend_greeting", &Speaks::Amqp, PIKA, RABBITMQ_START),
    ] {
        let Step::Identified(found) = first_words(speaks, said) else {
            panic!("a client that names an addon")
        };
        let Opening::Handshake(mut handshake) = found.opening else { panic!("a server that speaks first") };
        group.bench_function(name, |b| {
            b.iter(|| {
                handshake.begin();
                let step = handshake.step(&mut BytesMut::from(black_box(greeting)));
                assert!(matches!(step, HandshakeStep::Send(_)));
                step
            });
        });
    }
    group.finish();
}

pub(crate) fn first_words(speaks: &Speaks, said: &[u8]) -> Step {
    let mut dialect = black_box(speaks).dialect();
    let mut input = BytesMut::with_capacity(1024);
    if speaks.protocol().recognise().is_none() {
        assert!(matches!(dialect.step(&mut input), Step::Reply(_)));
    }
    input.extend_from_slice(black_box(said));
    loop {
        match dialect.step(&mut input) {
            Step::Reply(_) => {}
            step => {
                assert!(matches!(step, Step::Identified(_)));
                return step;
            }
        }
    }
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

/// A ClientHello at a listener of TLS, and inside PostgreSQL behind its request.
fn client_hello(c: &mut Criterion) {
    let named = any_host();
    let mut group = c.benchmark_group("tls/identify");
    group.bench_function("openssl", |b| b.iter(|| first_words(&named, OPENSSL)));
    group.bench_function("rustls_post_quantum", |b| b.iter(|| first_words(&named, RUSTLS)));
    let (request, _) = PSQL.split_at(SSL_REQUEST_LEN);
    group.bench_function("postgres_ssl_request", |b| {
        b.iter(|| identify(Startup::offering(&StartTls::Passthrough(None)), &[request, OPENSSL]));
    });
    group.finish();
}

/// A `tls` listener that takes any zone.
pub(crate) fn any_host() -> Speaks {
    Speaks::Tls(tls::Settings { zone: None, among: Protocols::named() })
}

criterion_group!(benches, startup, refusal, key_watch, mysql, redis, brokers, mongodb, client_hello);
criterion_main!(benches);
