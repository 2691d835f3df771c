//! The promise: what runs on the engine is routed to the right address and to nothing else, whatever happens
//! to the container.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "docker/engine.rs"]
mod engine;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use bollard::query_parameters::ListContainersOptionsBuilder;
use engine::{Engine, IMAGE, Watched};
use pierhead::docker::{Container, ContainerChange};
use tokio::sync::broadcast::error::TryRecvError;

#[test]
fn a_route_follows_the_life_of_its_container() {
    let engine = Engine::of_this_machine();
    let watched = Watched::new(&engine);
    let mut changes = watched.watch.subscribe();
    let blog = engine.name("blog");
    let id = engine.run("blog", "-l pierhead.max-connections=7 -l pierhead.port=6000");
    let address = watched.expect_ready(&blog);
    assert_eq!(address.to_string(), format!("{}:6000", engine.address(&blog, "bridge")));
    let route = watched.route(&blog).unwrap();
    assert_eq!((&*route.container, route.connections_max), (id.as_str(), 7));

    engine.docker("pause @blog");
    watched.expect(&blog, "stopped");
    engine.docker("unpause @blog");
    watched.expect(&blog, &address.to_string());
    assert!(watched.route(&blog).unwrap().generation > route.generation);

    engine.docker("kill @blog");
    watched.expect(&blog, "stopped");
    engine.docker("start @blog");
    watched.expect_ready(&blog);
    engine.docker("stop -t 0 @blog");
    watched.expect(&blog, "stopped");
    engine.docker("restart -t 0 @blog");
    watched.expect_ready(&blog);
    engine.docker("rename @blog @shop");
    watched.expect(&blog, "none");
    watched.expect_ready(&engine.name("shop"));
    engine.docker("rm -f @shop");
    watched.expect(&engine.name("shop"), "none");

    let mut seen = Vec::new();
    loop {
        match changes.try_recv() {
            Ok(ContainerChange { container, gone }) if *container.id == id => {
                seen.push((container.is_running(), container.exit_code, gone));
            }
            Ok(_) => {}
            Err(TryRecvError::Empty) => break,
            Err(error) => panic!("{error}"),
        }
    }
    assert!(seen.contains(&(false, Some(137), false)), "the kill, with its exit code: {seen:?}");
    assert!(seen.last().unwrap().2, "gone in the end: {seen:?}");
    assert!(watched.watch.counters().events.load(std::sync::atomic::Ordering::Relaxed) >= 10);
}

#[test]
fn a_route_follows_its_container_to_another_address() {
    let engine = Engine::of_this_machine();
    let watched = Watched::new(&engine);
    let blog = engine.name("blog");
    engine.docker("network create --subnet 10.213.7.0/24 @a");
    engine.docker("network create --subnet 10.213.8.0/24 @b");
    engine.run("blog", "--network @a --ip 10.213.7.10");
    watched.expect(&blog, "10.213.7.10:5432");
    engine.docker("network disconnect @a @blog");
    watched.expect(&blog, "starting");
    let report: Vec<_> = watched.watch.report().into_iter().filter(|r| r.container == blog).collect();
    assert!(report[0].reason.to_string().contains("docker network connect"), "{report:?}");
    engine.docker("network connect --ip 10.213.7.11 @a @blog");
    watched.expect(&blog, "10.213.7.11:5432");
    engine.docker("network disconnect @a @blog");
    engine.docker("network connect --ip 10.213.8.12 @b @blog");
    watched.expect(&blog, "10.213.8.12:5432");

    engine.run("pinned", "--network @a --ip 10.213.7.20 -l pierhead.network=@b");
    watched.expect(&engine.name("pinned"), "starting");
    engine.docker("network connect --ip 10.213.8.20 @b @pinned");
    watched.expect(&engine.name("pinned"), "10.213.8.20:5432");
}

#[test]
fn an_address_that_is_used_again_belongs_to_another_route() {
    let engine = Engine::of_this_machine();
    let watched = Watched::new(&engine);
    engine.docker("network create --subnet 10.213.9.0/29 @tiny");
    let first = engine.run("first", "--network @tiny");
    let address = watched.expect_ready(&engine.name("first"));
    let before = watched.route(&engine.name("first")).unwrap();
    engine.docker("stop -t 0 @first");
    let second = engine.run("second", "--network @tiny");
    assert_eq!(watched.expect_ready(&engine.name("second")), address, "the engine gave the address again");
    watched.expect(&engine.name("first"), "stopped");
    let (old, new) =
        (watched.route(&engine.name("first")).unwrap(), watched.route(&engine.name("second")).unwrap());
    assert_eq!((&*old.container, &*new.container), (first.as_str(), second.as_str()));
    assert!(new.generation > before.generation);
    engine.docker("start @first");
    assert_ne!(watched.expect_ready(&engine.name("first")), address);
}

#[test]
fn of_two_claimants_the_older_has_the_name() {
    let engine = Engine::of_this_machine();
    let watched = Watched::new(&engine);
    let name = engine.name("blog");
    let label = format!("-l pierhead.name={name}");
    let first = engine.run("older", &label);
    // Lists know the time of creation in seconds only.
    std::thread::sleep(Duration::from_millis(1_100));
    let second = engine.run("younger", &label);
    let owner = || watched.route(&name).map(|route| route.container.to_string());
    watched.wait("both to be known", |watched| watched.watch.book().container(&second).is_some());
    assert_eq!(owner(), Some(first));
    let report: Vec<_> = watched.watch.report().into_iter().filter(|r| *r.id == second).collect();
    assert!(report[0].reason.to_string().contains(&engine.name("older")), "{report:?}");
    engine.docker("stop -t 0 @older");
    watched.expect(&name, "stopped");
    engine.docker("rm @older");
    watched.wait("the younger to have it", |_| owner() == Some(second.clone()));
}

#[test]
fn containers_that_cannot_be_routed_are_reported() {
    let engine = Engine::of_this_machine();
    let watched = Watched::new(&engine);
    engine.run("Capital", "");
    engine.run("dotted.name", "");
    engine.run("badname", "-l pierhead.name=127.0.0.1");
    engine.run("badport", "-l pierhead.port=0");
    engine.run("nowhere", "--network none");
    engine.run("shared", &format!("--network container:{}", engine.name("nowhere")));
    engine.docker(&format!("run -d --name @stranger {IMAGE} sleep 1d"));
    engine.run("host", "--network host -l pierhead.port=6001");
    watched.expect(&engine.name("host"), "127.0.0.1:6001");
    let mine = |watched: &Watched| -> Vec<_> {
        let report = watched.watch.report().into_iter();
        report
            .filter_map(|r| {
                Some((r.container.strip_prefix(&engine.name(""))?.to_owned(), r.reason.to_string()))
            })
            .collect()
    };
    watched.wait("six reports", |watched| mine(watched).len() == 6);
    for ((container, reason), (expected, part)) in mine(&watched).iter().zip([
        ("Capital", "set the label pierhead.name"),
        ("badname", "pierhead.name=\"127.0.0.1\""),
        ("badport", "no port from 1 to 65535"),
        ("dotted.name", "set the label pierhead.name"),
        ("nowhere", "docker network connect"),
        ("shared", "shares the network"),
    ]) {
        assert!(container == expected && reason.contains(part), "{container}: {reason}");
    }
    let routes: Vec<_> = watched.table.snapshot().iter().map(|route| route.name.to_string()).collect();
    let routes: Vec<_> = routes.iter().filter(|name| name.starts_with(&engine.name(""))).collect();
    assert_eq!(routes, [&engine.name("host")]);
}

/// Whatever the state, a list and an inspection of the engine come to the same: else a change would be seen
/// where there is none.
#[test]
fn lists_and_inspections_agree() {
    let engine = Engine::of_this_machine();
    engine.docker("network create @net");
    engine.docker(&format!("create --name @created -l pierhead.protocol=postgres {IMAGE} true"));
    engine.run("running", "--network @net");
    engine.docker("network connect bridge @running");
    engine.run("paused", "");
    engine.docker("pause @paused");
    engine.run("killed", "--network none");
    engine.docker("kill @killed");
    let label = "-l pierhead.protocol=postgres -l pierhead.name=x";
    engine.docker(&format!("run -d --name @loop --restart always {label} {IMAGE} false"));
    let failed = engine.try_docker(&format!("run --name @failed --network host {label} {IMAGE} false"));
    assert!(failed.is_err());
    on_runtime(async {
        let docker = engine.endpoint().connect().await.unwrap();
        let filters = HashMap::from([("name", vec![engine.name("")])]);
        let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
        let list = docker.list_containers(Some(options)).await.unwrap();
        assert_eq!(list.len(), 6);
        for mut listed in list.into_iter().filter_map(Container::from_list) {
            let inspection = docker.inspect_container(&listed.id, None).await.unwrap();
            let mut inspected = Container::from_inspection(inspection).unwrap();
            if listed.name == engine.name("loop") {
                // It is another moment, perhaps with another state.
                listed.status = inspected.status;
                (listed.exit_code, inspected.exit_code) = (None, None);
                (listed.networks, inspected.networks) = Default::default();
            }
            assert_eq!(listed, inspected);
        }
    });
}

/// Containers that start while a watch is connecting are found at once, not by the list a minute later.
#[test]
fn nothing_is_missed_between_list_and_events() {
    let engine = Engine::of_this_machine();
    for n in 0..10 {
        let name = format!("c{n}");
        engine.docker(&format!("create --name @{name} -l pierhead.protocol=postgres {IMAGE} sleep 1d"));
        std::thread::scope(|scope| {
            scope.spawn(|| engine.docker(&format!("start @{name}")));
            std::thread::sleep(Duration::from_millis(n * 40));
            let start = Instant::now();
            let watched = Watched::begin(&engine);
            watched.expect_ready(&engine.name(&name));
            println!("known {:?} after the watch began", start.elapsed());
        });
        engine.docker(&format!("rm -f @{name}"));
    }
}

fn on_runtime<T>(work: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(work)
}
