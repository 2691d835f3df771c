//! The promise of the route table: a published route is used by the next connection, routes flip without a
//! reader ever missing one, and counters stay with a name.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime};

use pierhead::dialect::{Name, Protocol};
use pierhead::routes::{Ambiguous, Change, Route, RouteState, Table, Upstream};
use proptest::prelude::*;

const PG: Protocol = Protocol::Postgres;

#[test]
fn a_route_is_found_by_its_whole_name_only() {
    let table = Table::new();
    assert_eq!(table.publish([set("blog", 1), set("blog-2", 2)]), 2);
    assert_eq!(port(&table, "blog"), Some(1));
    assert_eq!(port(&table, "blog-2"), Some(2));
    for unknown in ["", "b", "blo", "blog-", "Blog", "blog\0", "127.0.0.1", "postgres", &"x".repeat(70_000)] {
        assert_eq!(port(&table, unknown), None, "{unknown:.20?}");
    }
    assert_eq!(table.len(), 2);
    assert_eq!(table.publish([Change::Remove(PG, name("blog"))]), 1);
    assert_eq!((port(&table, "blog"), table.len()), (None, 1));
}

#[test]
fn a_name_among_several_protocols_is_found_if_it_means_one_addon() {
    let table = Table::new();
    let of = |protocol| Change::Set(Route::new(protocol, name("blog"), RouteState::Stopped, "".into(), 0));
    let found = |among: &[Protocol]| {
        let among = among.iter().copied().collect();
        table.lookup_among(among, "blog").map(|route| route.map(|route| route.protocol))
    };
    let all = Protocol::ALL;
    assert_eq!(found(all), Ok(None));
    table.publish([of(PG)]);
    assert_eq!((found(all), found(&[Protocol::None]), found(&[])), (Ok(Some(PG)), Ok(None), Ok(None)));
    table.publish([of(Protocol::None)]);
    assert_eq!(found(all), Err(Ambiguous(PG, Protocol::None)));
    assert_eq!(found(&[PG]), Ok(Some(PG)));
    table.publish([of(Protocol::Tls)]);
    assert_eq!(found(all), Ok(Some(Protocol::Tls)), "it is there for those who say no more");
    assert!(found(&[PG, Protocol::None]).is_err());
}

#[test]
fn what_changes_nothing_is_not_published() {
    let table = Table::new();
    table.publish([set("blog", 1)]);
    let before = table.lookup(PG, "blog").unwrap();
    assert_eq!(table.publish([set("blog", 1), Change::Remove(PG, name("shop"))]), 0);
    assert!(Arc::ptr_eq(&before, &table.lookup(PG, "blog").unwrap()));
    assert_eq!(table.publish([set("blog", 2), set("blog", 1)]), 2, "there and back is two changes");
    let after = table.lookup(PG, "blog").unwrap();
    assert!(after.generation > before.generation);
}

#[test]
fn counters_outlive_changes_and_a_removal_while_connected() {
    let table = Table::new();
    table.publish([set("blog", 1)]);
    let connection = table.lookup(PG, "blog").unwrap().usage.try_open(0).unwrap();
    table.publish([set("blog", 2)]);
    assert_eq!(table.lookup(PG, "blog").unwrap().usage.active(), 1);

    table.publish([Change::Remove(PG, name("blog"))]);
    // Many others come and go meanwhile.
    for n in 0..1_000 {
        table.publish([set(&format!("n{n}"), 1)]);
        let short = table.lookup(PG, &format!("n{n}")).unwrap().usage.try_open(0);
        table.publish([Change::Remove(PG, name(&format!("n{n}")))]);
        drop(short);
    }
    table.publish([set("blog", 3)]);
    let back = table.lookup(PG, "blog").unwrap();
    assert_eq!(back.usage.active(), 1, "the old connection still counts against the limit");
    assert!(back.usage.try_open(1).is_none());
    drop(connection);
    assert_eq!(back.usage.active(), 0);

    table.publish([Change::Remove(PG, name("blog"))]);
    table.publish([set("blog", 4)]);
    assert_eq!(table.lookup(PG, "blog").unwrap().usage.opened_total(), 0, "nobody was connected");
}

#[test]
fn stale_since_survives_and_ends() {
    let table = Table::new();
    assert_eq!(table.stale_since(), None);
    let since = SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_123);
    table.mark_stale(since);
    assert_eq!(table.stale_since(), Some(since));
    table.mark_fresh();
    assert_eq!(table.stale_since(), None);
}

/// A writer publishes 1,000 times a second, each time all routes, whose fields belong together. No reader may
/// see a missing route, fields of two versions, or an older version after a newer one; and what `publish` has
/// returned from is seen by the look-ups that start then.
#[test]
fn readers_never_miss_a_route_while_it_flips() {
    const NAMES: usize = 8;
    const FLIPS: u16 = 3_000;
    let table = Table::new();
    let names: Vec<_> = (0..NAMES).map(|n| format!("flip-{n}")).collect();
    table.publish(names.iter().map(|name| set(name, 0)));
    let done = AtomicBool::new(false);
    let published = AtomicU64::new(0);
    let looked_up = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                let mut newest = [0; NAMES];
                while !done.load(Ordering::Relaxed) {
                    for (n, name) in names.iter().enumerate() {
                        let floor = published.load(Ordering::Acquire);
                        let route = table.lookup(PG, name).expect("the route is there all the time");
                        let version = check(&route);
                        assert!(u64::from(version) >= floor, "saw {version} after {floor} was published");
                        assert!(route.generation >= newest[n], "went back to an older version");
                        newest[n] = route.generation;
                    }
                    looked_up.fetch_add(NAMES as u64, Ordering::Relaxed);
                }
            });
        }
        let start = Instant::now();
        for flip in 1..=FLIPS {
            table.publish(names.iter().map(|name| set(name, flip)));
            published.store(u64::from(flip), Ordering::Release);
            let next = start + Duration::from_millis(1) * u32::from(flip);
            std::thread::sleep(next.saturating_duration_since(Instant::now()));
        }
        done.store(true, Ordering::Relaxed);
    });
    assert!(looked_up.load(Ordering::Relaxed) > 10_000, "the readers did read");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any sequence of batches leaves the table as it leaves a plain map, seen by look-ups and snapshots on
    /// other threads too.
    #[test]
    fn the_table_is_a_map(batches in prop::collection::vec(prop::collection::vec(any_change(), 0..20), 1..20)) {
        let table = Table::new();
        let mut model = BTreeMap::new();
        for batch in batches {
            let mut changed = 0;
            for (name, port) in &batch {
                let before = match port {
                    Some(port) => model.insert(name.clone(), *port),
                    None => model.remove(name),
                };
                changed += usize::from(before != *port);
            }
            prop_assert_eq!(table.publish(batch.iter().map(|(name, port)| change(name, *port))), changed);
            let seen = std::thread::scope(|scope| scope.spawn(|| view(&table)).join().unwrap());
            prop_assert_eq!(&seen, &model);
            prop_assert_eq!(table.len(), model.len());
            for n in 0..60 {
                let name = format!("n{n}");
                prop_assert_eq!(port(&table, &name), model.get(&name).copied());
            }
        }
    }
}

fn any_change() -> impl Strategy<Value = (String, Option<u16>)> {
    ((0..60u32).prop_map(|n| format!("n{n}")), prop::option::weighted(0.7, 0..3u16))
}

fn change(name: &str, port: Option<u16>) -> Change {
    match port {
        Some(port) => set(name, port),
        None => Change::Remove(PG, self::name(name)),
    }
}

fn view(table: &Table) -> BTreeMap<String, u16> {
    let snapshot = table.snapshot();
    assert!(snapshot.is_sorted_by(|a, b| a.name < b.name));
    snapshot.iter().map(|route| (route.name.to_string(), check(route))).collect()
}

fn port(table: &Table, name: &str) -> Option<u16> {
    table.lookup(PG, name).map(|route| check(&route))
}

/// A route in which every field says the same version.
fn set(name: &str, version: u16) -> Change {
    let address = SocketAddr::from(([10, 0, (version >> 8) as u8, version as u8], version));
    let state = RouteState::Ready(Upstream::Tcp(address));
    let container = format!("{version:064x}").into();
    Change::Set(Route::new(PG, self::name(name), state, container, u32::from(version)))
}

fn check(route: &Route) -> u16 {
    let version = u16::try_from(route.connections_max).unwrap();
    let Change::Set(whole) = set(route.name.as_str(), version) else { unreachable!() };
    assert!(route.same_as(&whole), "torn: {route:?}");
    version
}

fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}
