//! The promise: while the engine is away the last good routes serve on and are known to be stale; when it is
//! back, all that happened meanwhile is seen. For ever, however it went away.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "docker/engine.rs"]
mod engine;
#[path = "docker/own_engine.rs"]
mod own_engine;

use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, SystemTime};

use engine::Watched;
use own_engine::{OwnEngine, kill};
use pierhead::docker::Link;

#[test]
fn routes_outlive_the_engine() {
    let own = OwnEngine::new("outage", "");
    let engine = &own.engine;
    let watched =
        Watched::with(engine, |watch| watch.list_every(Duration::from_secs(1), Duration::from_secs(2)));
    let error = wait_down(&watched);
    assert!(matches!(&error[..], text if text.contains("start dockerd")), "{error}");
    assert!(watched.table.stale_since().is_some(), "stale before the first list");

    own.start();
    wait_up(&watched);
    assert_eq!(watched.watch.routes_age(), Duration::ZERO);
    let [blog, shop, wiki] = ["blog", "shop", "wiki"].map(|name| engine.name(name));
    for (name, port) in [("blog", 6010), ("shop", 6011)] {
        engine.run(name, &format!("--network host -l pierhead.port={port}"));
    }
    watched.expect(&blog, "127.0.0.1:6010");
    watched.expect(&shop, "127.0.0.1:6011");
    let pid = engine.docker("inspect -f {{.State.Pid}} @shop");

    println!("stopped");
    own.stop();
    wait_down(&watched);
    let since = watched.table.stale_since().unwrap();
    assert!(since.elapsed().unwrap() < Duration::from_secs(10) && since <= SystemTime::now());
    // Nobody is there to tell of this.
    assert!(kill("KILL", &pid));
    let losses = watched.watch.counters().losses.load(Relaxed);
    watched.wait("three more tries", |w| w.watch.counters().losses.load(Relaxed) >= losses + 3);
    assert_eq!(
        (watched.state(&blog), watched.state(&shop)),
        ("127.0.0.1:6010".into(), "127.0.0.1:6011".into())
    );
    assert_eq!(watched.table.stale_since(), Some(since), "stale since the loss, not since the last try");
    assert!(watched.watch.routes_age() > Duration::from_millis(300));

    own.start();
    wait_up(&watched);
    assert_eq!((watched.state(&blog), watched.state(&shop)), ("127.0.0.1:6010".into(), "stopped".into()));
    engine.run("wiki", "--network host -l pierhead.port=6012");
    watched.expect(&wiki, "127.0.0.1:6012");

    println!("killed");
    own.signal("KILL");
    wait_down(&watched);
    assert_eq!(watched.state(&blog), "127.0.0.1:6010");
    own.start();
    wait_up(&watched);
    engine.docker("rm -f @wiki");
    watched.expect(&wiki, "none");

    println!("frozen");
    own.signal("STOP");
    let error = wait_down(&watched);
    assert!(error.contains("did not answer"), "{error}");
    assert_eq!(watched.state(&blog), "127.0.0.1:6010");
    own.signal("CONT");
    wait_up(&watched);
    engine.docker("rm -f @blog");
    watched.expect(&blog, "none");
}

fn wait_up(watched: &Watched) {
    watched.wait("the link to be up", |watched| matches!(*watched.watch.link().borrow(), Link::Up));
    assert_eq!(watched.table.stale_since(), None);
}

/// Waits until the engine is known to be away; returns why.
fn wait_down(watched: &Watched) -> String {
    let error = || match &*watched.watch.link().borrow() {
        Link::Down { error: Some(error), .. } => Some(error.to_string()),
        _ => None,
    };
    watched.wait("the link to be down", |_| error().is_some());
    error().unwrap()
}
