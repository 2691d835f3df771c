//! Operations for scripts/instructions, which counts their instructions under valgrind: counts are the same on every
//! machine and in every run, where times are not. `instructions` lists them, `instructions NAME TIMES` repeats one.

#[path = "dialect.rs"]
#[allow(dead_code, reason = "only some of it is counted")]
mod dialect;
#[path = "flow.rs"]
#[allow(dead_code, reason = "only some of it is counted")]
mod flow;
#[path = "routes.rs"]
#[allow(dead_code, reason = "only some of it is counted")]
mod routes;

use std::hint::black_box;

use pierhead::dialect::mongodb::FirstMessage;
use pierhead::dialect::postgres::Startup;
use pierhead::dialect::redis::FirstCommands;
use pierhead::dialect::{Protocol, Speaks, mysql, nats};
use pierhead::edge::relay::RelayMode;

fn main() {
    let mut arguments = std::env::args().skip(1).filter(|argument| argument != "--bench");
    let Some(name) = arguments.next() else {
        return operations().iter().for_each(|(name, _)| println!("{name}"));
    };
    let times = arguments.next().and_then(|times| times.parse().ok()).expect("a number of times");
    let (_, make) = operations().into_iter().find(|(known, _)| *known == name).expect("a name of the list");
    let mut operation = make();
    repeat_and_count(&mut operation, times);
}

/// Only what happens in here is counted: scripts/instructions knows the function by its name.
#[inline(never)]
fn repeat_and_count(operation: &mut Operation, times: u32) {
    (0..times).for_each(|_| operation());
}

/// What is prepared before it is repeated, and then counted.
type Operation = Box<dyn FnMut()>;

/// An operation by its name, and what prepares it.
type Entry = (&'static str, fn() -> Operation);

fn operations() -> Vec<Entry> {
    vec![
        ("postgres: SSLRequest and start-up packet", || {
            let (request, after) = dialect::PSQL.split_at(dialect::SSL_REQUEST_LEN);
            Box::new(move || drop(dialect::identify(Startup::new(), &[request, after])))
        }),
        ("postgres: start-up packet", || {
            Box::new(|| drop(dialect::identify(Startup::new(), &[dialect::NODE_PG])))
        }),
        ("postgres: cancel request", || {
            Box::new(|| drop(dialect::identify(Startup::new(), &[dialect::CANCEL])))
        }),
        ("mysql: greeting and response", || {
            let settings = mysql::Settings::new(None, None, mysql::Random(|_| Ok(())));
            Box::new(move || drop(dialect::identify_mysql(&settings, dialect::MARIADB)))
        }),
        ("redis: AUTH", || Box::new(|| drop(dialect::identify(FirstCommands::new(), &[dialect::REDIS_CLI])))),
        ("redis: HELLO and what is pipelined behind it", || {
            Box::new(|| drop(dialect::identify(FirstCommands::new(), &[dialect::NODE_REDIS])))
        }),
        ("mongodb: OP_MSG of a login", || {
            Box::new(|| drop(dialect::identify(FirstMessage::new(), &[dialect::PYMONGO])))
        }),
        ("nats: greeting and CONNECT", || {
            let nats = Speaks::Nats(nats::Settings::default());
            Box::new(move || drop(dialect::first_words(&nats, dialect::NATS_PY)))
        }),
        ("amqp: greeting and Start-Ok", || {
            Box::new(|| drop(dialect::first_words(&Speaks::Amqp, dialect::PIKA)))
        }),
        ("amqp 1.0: header and SASL PLAIN", || {
            Box::new(|| drop(dialect::first_words(&Speaks::Amqp, dialect::RHEA)))
        }),
        ("mqtt: CONNECT", || Box::new(|| drop(dialect::first_words(&Speaks::Mqtt, dialect::PAHO_5)))),
        ("memcached: SASL PLAIN", || {
            Box::new(|| drop(dialect::first_words(&Speaks::Memcached, dialect::BMEMCACHED)))
        }),
        ("tls: ClientHello", || {
            let named = dialect::any_host();
            Box::new(move || drop(dialect::first_words(&named, dialect::OPENSSL)))
        }),
        ("route look-up, hit", || lookup(0..routes::ROUTES)),
        ("route look-up, miss", || lookup(routes::ROUTES..2 * routes::ROUTES)),
        ("flow: request and answer, copied", || {
            let mut connection = [RelayMode::Auto; 2].map(flow::copying);
            Box::new(move || flow::request_and_answer(&mut connection))
        }),
        ("flow: promotion", || Box::new(|| drop(flow::promotion()))),
        ("flow: spliced chunk", || {
            let mut stream = flow::promotion();
            Box::new(move || flow::spliced_chunk(&mut stream))
        }),
        ("flow: stall", || {
            let mut flow = flow::copying(RelayMode::Copy);
            Box::new(move || flow::stall(&mut flow))
        }),
    ]
}

fn lookup(names: std::ops::Range<usize>) -> Operation {
    let table = routes::table();
    let mut names = routes::shuffled(names).into_iter().cycle();
    Box::new(move || drop(black_box(table.lookup(Protocol::Postgres, names.next().expect("endless")))))
}
