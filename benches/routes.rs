//! The route table: look-ups in a table of 100,000 routes, alone and while a thread publishes 1,000 updates a
//! second, and what a publish costs. DESIGN §4.5 promises a look-up under 50 ns.

mod common;

use std::hint::black_box;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

use common::cpu_time;
use criterion::{Criterion, criterion_group, criterion_main};
use pierhead::dialect::{Name, Protocol};
use pierhead::routes::{Change, Route, RouteState, Table, Upstream};

pub(crate) const ROUTES: usize = 100_000;
const UPDATES_PER_S: u32 = 1_000;

/// As in the server: where routes lie in memory decides how many cache misses a look-up has.
#[global_allocator]
static GLOBAL: mimalloc::MiMalloc = mimalloc::MiMalloc;

criterion_group!(benches, lookups, publishes);
criterion_main!(benches);

fn lookups(criterion: &mut Criterion) {
    let table = table();
    let all = shuffled(0..ROUTES);
    let unknown = shuffled(ROUTES..2 * ROUTES);
    let cases = [("hit, any of 100k", &all[..]), ("hit, busiest 1k", &all[..1_000]), ("miss", &unknown[..])];
    for writing in [false, true] {
        let mut group = criterion.benchmark_group(if writing { "lookup while writing" } else { "lookup" });
        while_writing(&table, writing, || {
            for (case, names) in cases {
                let mut names = names.iter().cycle();
                group.bench_function(case, |bench| {
                    bench.iter_custom(|times| {
                        cpu_time(|| {
                            for name in names.by_ref().take(times as usize) {
                                black_box(table.lookup(Protocol::Postgres, black_box(name)));
                            }
                        })
                    });
                });
            }
        });
        group.finish();
    }
}

fn publishes(criterion: &mut Criterion) {
    let table = table();
    let mut updates = updates();
    let mut group = criterion.benchmark_group("publish");
    for changes in [1, 100] {
        group.bench_function(format!("{changes} of 100k"), |bench| {
            bench.iter_custom(|times| {
                let publish = |changes| cpu_time(|| assert!(table.publish(changes) > 0));
                (0..times).map(|_| publish(updates.by_ref().take(changes).collect::<Vec<_>>())).sum()
            });
        });
    }
    group.finish();
}

pub(crate) fn table() -> Table {
    let table = Table::new();
    table.publish((0..ROUTES).map(|n| Change::Set(route(n, 5432))));
    assert_eq!(table.len(), ROUTES);
    table
}

/// Runs `work` while another thread publishes updates, one a time, if it is `writing`.
fn while_writing(table: &Table, writing: bool, work: impl FnOnce()) {
    let done = AtomicBool::new(!writing);
    std::thread::scope(|scope| {
        let writer = scope.spawn(|| {
            let start = Instant::now();
            for (n, update) in (1..).zip(updates()) {
                if done.load(Relaxed) {
                    break;
                }
                assert_eq!(table.publish([update]), 1);
                std::thread::sleep((start + n * Duration::from_secs(1) / UPDATES_PER_S) - Instant::now());
            }
        });
        work();
        done.store(true, Relaxed);
        writer.join().expect("the writer does not panic");
    });
}

/// Updates that each change one route, all over the table.
fn updates() -> impl Iterator<Item = Change> {
    // 7,919 is a prime, so the whole table is visited before a route comes again, with another port.
    (0..).map(|n| Change::Set(route(n * 7_919 % ROUTES, 10_000 + (n / ROUTES % 2) as u16)))
}

fn route(n: usize, port: u16) -> Route {
    let address = SocketAddr::from(([172, 17, (n >> 8) as u8, n as u8], port));
    let name = Name::parse(&name(n)).expect("a good name");
    let container = format!("{n:064x}").into();
    Route::new(Protocol::Postgres, name, RouteState::Ready(Upstream::Tcp(address)), container, 100)
}

/// As the names that provisioning makes up: 14 to 18 characters.
fn name(n: usize) -> String {
    format!("fun-monkey-{n:x}d3ab")
}

/// An order in which neither the cache nor the prefetcher can guess which route comes next. The names
/// themselves lie in a row, as a name that comes from the wire is in the cache already.
pub(crate) fn shuffled(names: Range<usize>) -> Vec<&'static str> {
    let mut order: Vec<_> = names.collect();
    let mut random = 1_u64;
    for last in (1..order.len()).rev() {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        order.swap(last, (random >> 33) as usize % (last + 1));
    }
    let row: String = order.iter().map(|&n| name(n) + " ").collect();
    row.leak().split_ascii_whitespace().collect()
}
