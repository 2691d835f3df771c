//! What the relay adds to a message: the real engine and ring between two loopback connections, all in one thread, in
//! processor time, the kernel's share included. `direct` is the same without the relay, so the difference is its price.

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::time::{Duration, Instant};

use common::cpu_time;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pierhead::dialect::{Name, Protocol};
use pierhead::edge::relay::{Engine, EngineSettings, Established, Op, RelayMode, Story, Token};
use pierhead::routes::{Route, RouteState, Upstream};
use pierhead::sys::{Completion, Ring, RingSettings};
use socket2::Socket;

/// Bytes of a small request, and of its answer.
const MESSAGE: usize = 100;
/// Bytes of a piece of a stream that comes in one wake-up: where the splice lane begins to pay is what the relay's
/// thresholds should say. PostgreSQL writes a COPY in pieces of 8 KiB.
const CHUNKS_KIB: [usize; 6] = [2, 4, 8, 16, 32, 64];

criterion_group!(benches, messages, chunks);
criterion_main!(benches);

fn messages(c: &mut Criterion) {
    let mut group = c.benchmark_group("relay/request_and_answer");
    for (name, mut path) in paths() {
        let mut message = [7; MESSAGE];
        group.bench_function(name, |b| {
            b.iter_custom(|times| {
                cpu_time(|| {
                    for _ in 0..times {
                        path.pass(&mut message, Way::Up);
                        path.pass(&mut message, Way::Down);
                    }
                })
            });
        });
    }
    group.finish();
}

fn chunks(c: &mut Criterion) {
    for kib in CHUNKS_KIB {
        let mut group = c.benchmark_group(format!("relay/chunk_{kib}k"));
        let mut chunk = vec![7; kib * 1024];
        group.throughput(Throughput::Bytes(chunk.len() as u64));
        for (name, mut path) in paths() {
            group.bench_function(name, |b| {
                b.iter_custom(|times| cpu_time(|| (0..times).for_each(|_| path.pass(&mut chunk, Way::Up))));
            });
        }
        group.finish();
    }
}

fn paths() -> [(&'static str, Path); 3] {
    [
        ("direct", Path::direct()),
        ("copy", Path::relayed(RelayMode::Copy)),
        ("splice", Path::relayed(RelayMode::Splice)),
    ]
}

#[derive(Clone, Copy)]
enum Way {
    Up,
    Down,
}

/// A client and a backend, and what is between them.
struct Path {
    client: TcpStream,
    backend: TcpStream,
    relay: Option<Relay>,
}

impl Path {
    fn direct() -> Self {
        let (client, backend) = connection();
        Path { client, backend, relay: None }
    }

    fn relayed(mode: RelayMode) -> Self {
        let ((client, from_client), (to_backend, backend)) = (connection(), connection());
        Path { client, backend, relay: Some(Relay::new(mode, from_client, to_backend)) }
    }

    /// Writes the bytes at one end, and gives the relay turns until they have come out at the other one.
    fn pass(&mut self, bytes: &mut [u8], way: Way) {
        let (mut from, mut to) = match way {
            Way::Up => (&self.client, &self.backend),
            Way::Down => (&self.backend, &self.client),
        };
        let (mut written, mut read) = (0, 0);
        while read < bytes.len() {
            written += tried(|| from.write(&bytes[written..]), written == bytes.len());
            self.relay.iter_mut().for_each(Relay::turn);
            read += tried(|| to.read(&mut bytes[read..]), false);
        }
    }
}

/// How many bytes could be moved now.
fn tried(io: impl FnOnce() -> std::io::Result<usize>, done: bool) -> usize {
    if done {
        return 0;
    }
    match io() {
        Ok(0) => panic!("the connection has ended"),
        Ok(count) => count,
        Err(error) if error.kind() == ErrorKind::WouldBlock => 0,
        Err(error) => panic!("{error}"),
    }
}

/// A core without its lobby.
struct Relay {
    ring: Ring,
    engine: Engine,
    completions: Vec<Completion>,
}

impl Relay {
    /// With the default settings, but for the lane.
    fn new(mode: RelayMode, client: TcpStream, backend: TcpStream) -> Self {
        let rings = RingSettings { entries: 1024, buffers: 1024, buffer_size: 16 * 1024 };
        let mut ring = Ring::new(rings).expect("io_uring is allowed");
        let settings = EngineSettings { mode, pipes_max: 1024, pipe_size: 256 * 1024, budget: 512 * 1024 };
        let mut engine = Engine::new(settings, Arc::default(), Arc::default());
        engine.add(&mut ring, established(client, backend));
        Relay { ring, engine, completions: Vec::new() }
    }

    /// As `Core::turn`, without waiting.
    fn turn(&mut self) {
        if self.engine.has_unfinished() {
            self.engine.end_turn(&mut self.ring);
        }
        if !self.ring.has_work() {
            return;
        }
        self.ring.enter(None).expect("the ring works");
        self.ring.take_completions(&mut self.completions);
        self.engine.begin_turn(self.completions.len());
        for completion in self.completions.drain(..) {
            let token = Token::decode(completion.token);
            if token.op != Op::Ignored {
                self.engine.complete(&mut self.ring, token, completion);
            }
        }
        self.engine.end_turn(&mut self.ring);
    }
}

fn established(client: TcpStream, backend: TcpStream) -> Established {
    let source = client.peer_addr().expect("a connection");
    let address = backend.peer_addr().expect("a connection");
    let name = Name::parse("blog").expect("a good name");
    let state = RouteState::Ready(Upstream::Tcp(address));
    let route = Arc::new(Route::new(Protocol::Postgres, name, state, "container".into(), 0));
    let open = route.usage.try_open(0).expect("no limit");
    let story = Story {
        held: Duration::ZERO,
        source,
        accepted: Instant::now(),
        identify: Duration::ZERO,
        dial: Duration::ZERO,
        replayed: 0,
        early: 0,
    };
    Established {
        client: Socket::from(client),
        backend: Socket::from(backend),
        watch: None,
        route,
        open,
        story,
    }
}

/// Both ends of a connection over loopback, set as the edge sets its own.
fn connection() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind(SocketAddr::from(([127, 0, 0, 1], 0))).expect("a free port");
    let near = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    let (far, _) = listener.accept().expect("it has connected");
    for end in [&near, &far] {
        end.set_nonblocking(true).and_then(|()| end.set_nodelay(true)).expect("a socket");
    }
    (near, far)
}
