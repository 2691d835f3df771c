//! Bytes in equal bytes out: seeded random conversations through the edge, in every mode of the relay. A failure
//! prints its seed; `PIERHEAD_SEED=... PIERHEAD_ROUNDS=1` repeats it.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use common::{TestEdge, startup};
use socket2::SockRef;

/// SplitMix64: small, seeded, good enough.
#[derive(Clone)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }
}

/// The endless stream of bytes that belongs to a seed.
struct Stream {
    random: Random,
    word: [u8; 8],
    at: usize,
}

impl Stream {
    fn new(seed: u64) -> Self {
        Stream { random: Random(seed), word: [0; 8], at: 8 }
    }

    fn fill(&mut self, buffer: &mut [u8]) {
        for byte in buffer {
            if self.at == 8 {
                self.word = self.random.next().to_le_bytes();
                self.at = 0;
            }
            *byte = self.word[self.at];
            self.at += 1;
        }
    }
}

/// How a side ends its stream.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    /// shutdown(SHUT_WR), then reads on.
    HalfClose,
    /// RST in the middle of it.
    Reset,
}

/// What one side does.
#[derive(Clone, Debug)]
struct Script {
    seed: u64,
    writes: Vec<usize>,
    pause_us: u64,
    ending: Ending,
    /// Reads nothing for so long, then everything.
    stall_ms: u64,
}

fn script(random: &mut Random, may_reset: bool) -> Script {
    let kind = random.below(4);
    let writes =
        match kind {
            0 => (0..random.below(200)).map(|_| 1 + random.below(3) as usize).collect(),
            1 => (0..random.below(50)).map(|_| 1 + random.below(40_000) as usize).collect(),
            2 => (0..random.below(4)).map(|_| 1 + random.below(4 << 20) as usize).collect(),
            _ => (0..random.below(60))
                .map(|i| {
                    if i % 7 == 0 {
                        1 + random.below(600_000) as usize
                    } else {
                        1 + random.below(99) as usize
                    }
                })
                .collect(),
        };
    Script {
        seed: random.next(),
        writes,
        pause_us: if random.below(3) == 0 { random.below(2000) } else { 0 },
        ending: if may_reset && random.below(3) == 0 { Ending::Reset } else { Ending::HalfClose },
        stall_ms: if random.below(6) == 0 { random.below(300) } else { 0 },
    }
}

/// How a side saw the other one's stream end.
#[derive(Debug, PartialEq)]
enum Seen {
    End(u64),
    Reset(u64),
}

/// Plays one side: writes by the script in a thread of its own, reads and checks the other side's stream.
fn play(socket: TcpStream, mine: Script, theirs: &Script) -> Result<Seen, String> {
    let writer = {
        let socket = socket.try_clone().unwrap();
        thread::spawn(move || write(socket, &mine))
    };
    thread::sleep(Duration::from_millis(theirs.stall_ms));
    let mut expected = Stream::new(theirs.seed);
    let (mut got, mut want) = (vec![0; 64 * 1024], vec![0; 64 * 1024]);
    let mut total = 0u64;
    let seen = loop {
        match (&socket).read(&mut got) {
            Ok(0) => break Seen::End(total),
            Ok(count) => {
                expected.fill(&mut want[..count]);
                if got[..count] != want[..count] {
                    return Err(format!("wrong bytes between {total} and {}", total + count as u64));
                }
                total += count as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => break Seen::Reset(total),
        }
    };
    let written = writer.join().map_err(|_| "the writer panicked".to_owned())?;
    // The kernel reports a reset once: the writer may have been told, and the reader then sees an end.
    Ok(match seen {
        Seen::End(total) if !written => Seen::Reset(total),
        seen => seen,
    })
}

/// Returns false when the connection was reset meanwhile.
fn write(mut socket: TcpStream, script: &Script) -> bool {
    let mut stream = Stream::new(script.seed);
    for size in &script.writes {
        let mut bytes = vec![0; *size];
        stream.fill(&mut bytes);
        if socket.write_all(&bytes).is_err() {
            return false;
        }
        if script.pause_us > 0 {
            thread::sleep(Duration::from_micros(script.pause_us));
        }
    }
    match script.ending {
        Ending::HalfClose => return socket.shutdown(Shutdown::Write).is_ok(),
        Ending::Reset => {
            // The reader holds a clone of the socket, so closing would not do.
            SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
            disconnect(&socket);
        }
    }
    true
}

/// Dissolves the association: connect(2) with AF_UNSPEC resets a TCP connection that has linger 0.
fn disconnect(socket: &TcpStream) {
    let storage = socket2::SockAddrStorage::zeroed();
    let size = storage.size_of();
    // SAFETY: an all-zero sockaddr_storage is a valid address of the family AF_UNSPEC (0).
    #[allow(unsafe_code)]
    let unspecified = unsafe { socket2::SockAddr::new(storage, size) };
    let _ = SockRef::from(socket).connect(&unspecified);
}

fn converse(address: SocketAddr, backend: &TcpListener, seed: u64) -> Result<(), String> {
    converse_as("test", address, backend, seed)
}

fn converse_as(name: &str, address: SocketAddr, backend: &TcpListener, seed: u64) -> Result<(), String> {
    let mut random = Random(seed);
    let client_script = script(&mut random, true);
    let backend_script = script(&mut random, client_script.ending == Ending::HalfClose);
    let mut client = TcpStream::connect(address).map_err(|error| error.to_string())?;
    let packet = startup(name);
    client.write_all(&packet).map_err(|error| error.to_string())?;
    let mut server = accept(backend)?;
    let mut replay = vec![0; packet.len()];
    server.read_exact(&mut replay).map_err(|error| format!("replay: {error}"))?;
    if replay != packet {
        return Err("the replay differs".into());
    }
    let (tell, told) = mpsc::channel();
    {
        let (mine, theirs) = (backend_script.clone(), client_script.clone());
        thread::spawn(move || tell.send(play(server, mine, &theirs)));
    }
    let by_client = play(client, client_script.clone(), &backend_script)?;
    let limit = Duration::from_secs(20);
    let by_backend = told.recv_timeout(limit).map_err(|_| "the backend's side hangs".to_owned())??;
    check("client", &by_client, &backend_script, client_script.ending)?;
    check("backend", &by_backend, &client_script, backend_script.ending)
}

/// Waits for the edge's connection, but not for ever.
fn accept(backend: &TcpListener) -> Result<TcpStream, String> {
    backend.set_nonblocking(true).map_err(|error| error.to_string())?;
    for _ in 0..1000 {
        match backend.accept() {
            Ok((socket, _)) => {
                socket.set_nonblocking(false).map_err(|error| error.to_string())?;
                return Ok(socket);
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                thread::sleep(Duration::from_millis(10))
            }
            Err(error) => return Err(error.to_string()),
        }
    }
    Err("no connection has reached the backend within ten seconds".to_owned())
}

/// Whether what a side saw is what the other one did.
fn check(who: &str, seen: &Seen, script: &Script, my_ending: Ending) -> Result<(), String> {
    let all = script.writes.iter().sum::<usize>() as u64;
    let good = match (my_ending, script.ending, seen) {
        // Who resets sees nothing more.
        (Ending::Reset, _, _) => true,
        (_, Ending::HalfClose, Seen::End(total)) => *total == all,
        (_, Ending::Reset, Seen::Reset(total)) => *total <= all,
        _ => false,
    };
    if good {
        Ok(())
    } else {
        Err(format!("the {who} saw {seen:?} of {all} bytes that end with {:?}", script.ending))
    }
}

fn rounds() -> u64 {
    std::env::var("PIERHEAD_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(150)
}

fn run(mode: &str, more: &str) -> TestEdge {
    let edge = TestEdge::start(&format!("[core]\nrelay = \"{mode}\"\n{more}"));
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    edge.route("test", backend.local_addr().unwrap());
    let fixed = std::env::var("PIERHEAD_SEED").ok().and_then(|text| text.parse().ok());
    let first: u64 = fixed.unwrap_or_else(|| std::process::id().into());
    for seed in first..first + rounds() {
        if let Err(error) = converse(edge.address, &backend, seed) {
            panic!("relay = {mode}, PIERHEAD_SEED={seed}: {error}");
        }
    }
    edge.settle();
    edge
}

fn lanes(edge: &TestEdge) -> (u64, u64) {
    use pierhead::routes::{Direction, Lane};
    let route = edge.table.snapshot().remove(0);
    let sum = |lane| Direction::ALL.iter().map(|direction| route.usage.bytes(*direction, lane)).sum();
    (sum(Lane::Copy), sum(Lane::Splice))
}

#[test]
fn conversations_in_auto_use_both_lanes() {
    let (copied, spliced) = lanes(&run("auto", ""));
    assert!(copied > 0 && spliced > 0, "{copied} bytes copied, {spliced} spliced");
}

#[test]
fn conversations_copied() {
    let (copied, spliced) = lanes(&run("copy", ""));
    assert!(copied > 0 && spliced == 0, "{copied} bytes copied, {spliced} spliced");
}

#[test]
fn conversations_spliced() {
    let (_, spliced) = lanes(&run("splice", ""));
    assert!(spliced > 0);
}

#[test]
fn conversations_with_hardly_any_buffers_and_pipes() {
    run(
        "auto",
        "buffers = 16\nbuffer_size = \"1KiB\"\npipes_max = 1\nring_entries = 64\nturn_budget = \"16KiB\"",
    );
}

/// A client that is gone when the relay takes over is found out by the first thing the relay does. No core may
/// stumble over that: afterwards all of them still serve.
#[test]
fn clients_that_reset_while_they_are_handed_over() {
    for mode in ["auto", "copy", "splice"] {
        let edge = TestEdge::start(&format!("[core]\nrelay = \"{mode}\""));
        let backend = TcpListener::bind("127.0.0.1:0").unwrap();
        edge.route("test", backend.local_addr().unwrap());
        for round in 0..600 {
            let mut client = TcpStream::connect(edge.address).unwrap();
            client.write_all(&startup("test")).unwrap();
            std::thread::sleep(Duration::from_micros(round));
            SockRef::from(&client).set_linger(Some(Duration::ZERO)).unwrap();
            drop(client);
        }
        edge.settle();
        // What reached the backend before its client was gone.
        backend.set_nonblocking(true).unwrap();
        while backend.accept().is_ok() {}
        for seed in 0..8 {
            converse(edge.address, &backend, seed).unwrap_or_else(|error| panic!("relay = {mode}: {error}"));
        }
        edge.settle();
    }
}

/// Many conversations at once share the buffers of a core.
#[test]
fn conversations_at_once() {
    let edge = TestEdge::start("[core]\nbuffers = 64\nbuffer_size = \"4KiB\"\npipes_max = 4");
    let first: u64 = std::process::id().into();
    thread::scope(|scope| {
        for worker in 0..16u64 {
            let edge = &edge;
            scope.spawn(move || {
                let name = format!("test{worker}");
                let backend = TcpListener::bind("127.0.0.1:0").unwrap();
                edge.route(&name, backend.local_addr().unwrap());
                for seed in 0..rounds() / 10 {
                    let seed = first + worker * 1_000_003 + seed;
                    if let Err(error) = converse_as(&name, edge.address, &backend, seed) {
                        panic!("PIERHEAD_SEED={seed}: {error}");
                    }
                }
            });
        }
    });
    edge.settle();
}
