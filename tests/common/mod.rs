//! What several tests share: an edge in this process, and a PostgreSQL start-up packet.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pierhead::config::Config;
use pierhead::dialect::{Name, Protocol};
use pierhead::edge::{Edge, ProtocolCounters};
use pierhead::routes::{Change, Route, RouteState, Table, Upstream};

/// An edge without Docker: its routes are what the test says.
pub struct TestEdge {
    pub edge: Edge,
    pub table: Arc<Table>,
    pub address: SocketAddr,
}

impl TestEdge {
    /// Starts an edge that speaks PostgreSQL on a free port; `config` is further text for its configuration.
    pub fn start(config: &str) -> Self {
        TestEdge::speaking("dialect = \"postgres\"", config)
    }

    /// Starts an edge on a free port whose table in the configuration has these lines.
    pub fn speaking(listener: &str, config: &str) -> Self {
        let address = free_address();
        let text = format!("{config}\n[[listener]]\n{listener}\nlisten = [\"{address}\"]\n");
        let config = Config::parse(&text, Path::new("test.toml")).unwrap_or_else(|error| panic!("{error}"));
        let table = Arc::new(Table::new());
        let edge = Edge::start(&config, &table).unwrap();
        TestEdge { edge, table, address }
    }

    /// What all cores have counted for a protocol.
    pub fn count(&self, protocol: Protocol, counter: impl Fn(&ProtocolCounters) -> u64) -> u64 {
        self.edge.view().cores().map(|(_, core)| counter(core.of(protocol))).sum()
    }

    /// Leads `name` to `upstream`.
    pub fn route(&self, name: &str, upstream: SocketAddr) {
        self.publish(name, RouteState::Ready(Upstream::Tcp(upstream)), 0);
    }

    /// Publishes a route in any state.
    pub fn publish(&self, name: &str, state: RouteState, connections_max: u32) {
        let name = Name::parse(name).unwrap();
        let route = Route::new(Protocol::Postgres, name, state, "container".into(), connections_max);
        self.table.publish([Change::Set(route)]);
    }

    /// Connections that the edge holds now, in lobbies and relays.
    pub fn connections(&self) -> u64 {
        self.edge.view().cores().map(|(_, core)| core.lobby.active() + core.relays.active()).sum()
    }

    /// Waits until the edge holds no connection.
    pub fn settle(&self) {
        wait_for("the edge to be empty", || self.connections() == 0);
        let view = self.edge.view();
        wait_for("all buffers and pipes to be back", || {
            view.cores().all(|(_, core)| core.buffers_in_use.get() == 0 && core.pipes_in_use.get() == 0)
        });
        assert_eq!((view.unidentified(), view.cancel_keys()), (0, 0));
    }
}

impl Drop for TestEdge {
    fn drop(&mut self) {
        self.edge.drain(Duration::ZERO, Duration::ZERO);
        let end = Instant::now() + Duration::from_secs(5);
        while !self.edge.is_over() && Instant::now() < end {
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}

/// An address on loopback that nobody listens on.
pub fn free_address() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

/// Waits up to ten seconds.
#[track_caller]
pub fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < end, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A StartupMessage of protocol 3.0 for `user`.
pub fn startup(user: &str) -> Vec<u8> {
    let body = format!("user\0{user}\0database\0app\0\0");
    let mut packet = (body.len() as u32 + 8).to_be_bytes().to_vec();
    packet.extend(196_608u32.to_be_bytes());
    packet.extend(body.as_bytes());
    packet
}

/// Descriptors that this process has open.
pub fn open_descriptors() -> usize {
    std::fs::read_dir("/proc/self/fd").unwrap().count()
}
