//! The promise: a container is routed within 100 ms of its start event, and soon after it among many.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "docker/engine.rs"]
mod engine;

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::query_parameters::EventsOptionsBuilder;
use engine::{Engine, IMAGE, Watched};
use futures_util::StreamExt;

/// One test, as two at once would measure each other.
#[test]
fn a_started_container_is_routed_within_100_ms_of_its_event() {
    let engine = Engine::of_this_machine();
    let watched = Watched::new(&engine);
    let singles: Vec<_> = (0..20).flat_map(|n| start(&engine, &watched, n..n + 1)).collect();
    report("one at a time", &singles);
    let burst = start(&engine, &watched, 20..40);
    report("20 at once", &burst);
    // Where others take all processors, any one step may be held up; nine of ten may not, and none for long.
    let soon = singles.iter().filter(|ms| **ms < 100.0).count();
    assert!(soon >= 18, "{singles:?}");
    assert!(singles.iter().chain(&burst).all(|ms| *ms < 1_000.0), "{singles:?} {burst:?}");
}

/// Starts containers with these numbers, all at once; returns how long after the start event each was routed,
/// in milliseconds.
fn start(engine: &Engine, watched: &Watched, numbers: std::ops::Range<u32>) -> Vec<f64> {
    let names: Vec<_> = numbers.map(|n| engine.name(&format!("n{n}"))).collect();
    for name in &names {
        engine.docker(&format!("create --name {name} -l pierhead.protocol=postgres {IMAGE} sleep 1d"));
        watched.expect(name, "starting");
    }
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let routed = Mutex::new(HashMap::new());
    std::thread::scope(|scope| {
        scope.spawn(|| {
            watched.wait("all to be ready", |watched| {
                let mut routed = routed.lock().unwrap();
                for name in &names {
                    if !routed.contains_key(name) && watched.state(name).ends_with(":5432") {
                        routed.insert(name.clone(), SystemTime::now());
                    }
                }
                routed.len() == names.len()
            });
        });
        for name in &names {
            scope.spawn(move || engine.docker(&format!("start {name}")));
        }
    });
    let started = start_events(engine, since, &names);
    for name in &names {
        let address = engine.address(name, "bridge");
        assert_eq!(watched.state(name), format!("{address}:5432"));
        engine.docker(&format!("rm -f {name}"));
        watched.expect(name, "none");
    }
    let routed = routed.into_inner().unwrap();
    let ms = |name| routed[name].duration_since(started[name]).unwrap_or_default().as_secs_f64() * 1e3;
    names.iter().map(ms).collect()
}

/// When the engine says that each of these containers started.
fn start_events(engine: &Engine, since: u64, names: &[String]) -> HashMap<String, SystemTime> {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
        let docker = engine.endpoint().connect().await.unwrap();
        let filters = HashMap::from([("event", vec!["start"])]);
        let options = EventsOptionsBuilder::default().since(&since.to_string()).filters(&filters).build();
        let mut events = docker.events(Some(options));
        let mut started = HashMap::new();
        while started.len() < names.len() {
            let event = events.next().await.unwrap().unwrap();
            let name = event.actor.unwrap().attributes.unwrap().remove("name").unwrap();
            if names.contains(&name) {
                let at = UNIX_EPOCH + Duration::from_nanos(event.time_nano.unwrap() as u64);
                started.insert(name, at);
            }
        }
        started
    })
}

fn report(what: &str, ms: &[f64]) {
    let max = ms.iter().copied().fold(0.0, f64::max);
    let mean = ms.iter().sum::<f64>() / ms.len() as f64;
    println!(
        "{what}: routed {mean:.1} ms after the start event, at most {max:.1} ms, {} containers",
        ms.len()
    );
}
