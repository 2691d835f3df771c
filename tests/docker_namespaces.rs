//! The promise: a container is reached inside its own network namespace where that may be entered, past the bridge;
//! and over the bridge where the namespace is not to be had.

#![allow(clippy::unwrap_used, reason = "a test")]

#[path = "docker/engine.rs"]
mod engine;

use std::io::{Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use engine::{Engine, IMAGE, Watched};
use pierhead::routes::{RouteState, Upstream};
use pierhead::sys::NetNamespace;
use socket2::Domain;

fn namespace(watched: &Watched, name: &str) -> Option<(SocketAddr, Arc<NetNamespace>)> {
    match &watched.route(name)?.state {
        RouteState::Ready(Upstream::Namespace(address, namespace)) => Some((*address, Arc::clone(namespace))),
        _ => None,
    }
}

fn wait_for_namespace(watched: &Watched, name: &str) -> (SocketAddr, Arc<NetNamespace>) {
    watched.wait("a route into the namespace", |watched| namespace(watched, name).is_some());
    namespace(watched, name).unwrap()
}

#[test]
fn routes_lead_into_the_namespace_and_follow_a_restart() {
    NetNamespace::may_enter().expect("scripts/test runs as root");
    let engine = Engine::of_this_machine();
    let name = engine.name("blog");
    engine.docker(&format!(
        "run -d --name @blog -l pierhead.protocol=postgres -l pierhead.port=6000 {IMAGE} httpd -f -p 6000"
    ));
    // It runs already: the first list finds it, and an inspection its namespace.
    let watched = Watched::with(&engine, |watch| watch.enter_namespaces(true));
    let (address, first) = wait_for_namespace(&watched, &name);

    let socket = first.tcp_socket(Domain::IPV4).unwrap();
    socket.set_nonblocking(false).unwrap();
    socket.connect_timeout(&address.into(), Duration::from_secs(5)).unwrap();
    let local = socket.local_addr().unwrap().as_socket().unwrap();
    assert_eq!(local.ip(), address.ip(), "who connects from inside has the container's own address");
    (&socket).write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut said = [0; 5];
    (&socket).read_exact(&mut said).unwrap();
    assert_eq!(&said, b"HTTP/");
    let outside = std::net::TcpStream::connect(address).unwrap();
    assert_ne!(outside.local_addr().unwrap().ip(), address.ip(), "this thread has come back");

    engine.docker("restart -t 0 @blog");
    watched
        .wait("another namespace", |watched| namespace(watched, &name).is_some_and(|(_, now)| now != first));
    engine.docker("stop -t 0 @blog");
    watched.expect(&name, "stopped");
}

#[test]
fn without_permission_or_on_the_hosts_network_the_bridge_is_taken() {
    let engine = Engine::of_this_machine();
    let watched = Watched::new(&engine);
    engine.run("plain", "");
    watched.expect_ready(&engine.name("plain"));
    let entering = Watched::with(&engine, |watch| watch.enter_namespaces(true));
    engine.run("host", "--network host");
    assert_eq!(entering.expect_ready(&engine.name("host")).ip().to_string(), "127.0.0.1");
}

#[test]
fn only_a_network_namespace_is_one() {
    assert!(NetNamespace::open("/proc/self/ns/net".as_ref()).is_ok());
    assert!(NetNamespace::open("/proc/self/ns/mnt".as_ref()).is_err());
    assert!(NetNamespace::open("/proc/self/status".as_ref()).is_err());
}
