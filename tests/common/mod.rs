//! What several tests share: an edge in this process, and a PostgreSQL start-up packet.
#![allow(dead_code, reason = "each test file uses a part of it")]
#![allow(clippy::unwrap_used, reason = "a test")]

pub mod bytes;

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use pierhead::config::Config;
use pierhead::dialect::{Name, Protocol};
use pierhead::edge::{CoreCounters, Edge, ProtocolCounters};
use pierhead::routes::{Change, Direction, Lane, Route, RouteState, Table, Upstream};
use socket2::SockRef;

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

    /// Leads `name` to a listener of the test's own.
    pub fn addon(&self, name: &str) -> Addon {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        // accept(2) waits no longer than this.
        SockRef::from(&listener).set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        self.route(name, listener.local_addr().unwrap());
        Addon { name: name.to_owned(), edge: self.address, listener }
    }

    /// A counter or gauge, over all cores.
    pub fn sum(&self, of: impl Fn(&CoreCounters) -> u64) -> u64 {
        self.edge.view().cores().map(|(_, core)| of(core)).sum()
    }

    /// Connections that the edge holds now, in lobbies and relays.
    pub fn connections(&self) -> u64 {
        self.sum(|core| core.lobby.active() + core.relays.active())
    }

    /// Bytes that were copied and bytes that were spliced, over all addons. Open connections count up to half a
    /// second late.
    pub fn carried(&self) -> (u64, u64) {
        let routes = self.table.snapshot();
        let both_ways = |route: &Route, lane| -> u64 {
            Direction::ALL.iter().map(|direction| route.usage.bytes(*direction, lane)).sum()
        };
        let sum = |lane| routes.iter().map(|route| both_ways(route, lane)).sum();
        (sum(Lane::Copy), sum(Lane::Splice))
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

/// An addon whose backend is the test itself.
pub struct Addon {
    name: String,
    edge: SocketAddr,
    listener: TcpListener,
}

impl Addon {
    /// Logs in at the edge. Returns the client's end and the backend's end of the connection, the start-up packet
    /// read.
    pub fn connect(&self) -> io::Result<(TcpStream, TcpStream)> {
        let mut client = TcpStream::connect(self.edge)?;
        let packet = startup(&self.name);
        client.write_all(&packet)?;
        let (mut backend, _) = self.listener.accept()?;
        let mut replay = vec![0; packet.len()];
        backend.read_exact(&mut replay)?;
        assert_eq!(replay, packet, "the replay differs");
        Ok((client, backend))
    }

    /// The same, and the edge has given up waiting for the end of the login: it need not see the bytes any more.
    #[track_caller]
    pub fn connect_past_login(&self) -> (TcpStream, TcpStream) {
        let (mut client, mut backend) = self.connect().unwrap();
        let no_message = [0; 5];
        backend.write_all(&no_message).unwrap();
        client.read_exact(&mut [1; 5]).unwrap();
        (client, backend)
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

/// A client that waits 8 s for an answer.
pub fn connect(edge: &TestEdge) -> TcpStream {
    let socket = TcpStream::connect(edge.address).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(8))).unwrap();
    socket
}

/// A backend that answers every connection's bytes in kind.
pub fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for socket in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || std::io::copy(&mut &socket, &mut &socket));
        }
    });
    address
}

/// The edge still serves: a login reaches the backend, and its bytes come back.
#[track_caller]
pub fn assert_serves(edge: &TestEdge, name: &str) {
    let mut socket = connect(edge);
    let packet = startup(name);
    socket.write_all(&packet).unwrap();
    let mut echoed = vec![0; packet.len()];
    socket.read_exact(&mut echoed).unwrap();
    assert_eq!(echoed, packet);
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
