//! One seeded random conversation through the edge: what each side does, and whether the other side saw just that.

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use socket2::SockRef;

use crate::common::Addon;
use crate::common::bytes::{Random, Stream};

/// What one side does.
#[derive(Clone, Debug)]
pub struct Script {
    /// Of the bytes it writes.
    seed: u64,
    writes: Vec<usize>,
    pause_us: u64,
    ending: Ending,
    /// The other side reads nothing for so long, then everything.
    unread_ms: u64,
}

/// How a side ends its stream.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Ending {
    /// shutdown(SHUT_WR), then reads on.
    HalfClose,
    /// RST, while its last bytes are still on their way.
    Reset,
}

/// How a side saw the other one's stream end.
#[derive(Debug, PartialEq)]
enum Seen {
    End(u64),
    Reset(u64),
}

impl Script {
    fn random(random: &mut Random, may_reset: bool) -> Self {
        let writes = match random.below(4) {
            0 => (0..random.below(200)).map(|_| 1 + random.below(3) as usize).collect(),
            1 => (0..random.below(50)).map(|_| 1 + random.below(40_000) as usize).collect(),
            2 => (0..random.below(4)).map(|_| 1 + random.below(4 << 20) as usize).collect(),
            // In and out of the splice lane.
            _ => (0..random.below(60))
                .map(|i| 1 + if i % 7 == 0 { random.below(600_000) } else { random.below(99) } as usize)
                .collect(),
        };
        Script {
            seed: random.next(),
            writes,
            pause_us: if random.below(3) == 0 { random.below(2000) } else { 0 },
            ending: if may_reset && random.below(3) == 0 { Ending::Reset } else { Ending::HalfClose },
            unread_ms: if random.below(6) == 0 { random.below(300) } else { 0 },
        }
    }

    /// How many bytes a stream has: more than kernels buffer.
    pub const STREAM: u64 = 24 << 20;

    /// A stream that is not read for `unread`.
    pub fn stream(seed: u64, unread: Duration) -> Self {
        Script { unread_ms: unread.as_millis() as u64, ..Script::writes(seed, vec![1 << 20; 24]) }
    }

    /// Less of it.
    pub fn piece(seed: u64) -> Self {
        Script::writes(seed, vec![64 << 10; 16])
    }

    /// A few words.
    pub fn words(seed: u64) -> Self {
        Script::writes(seed, vec![100; 3])
    }

    fn writes(seed: u64, writes: Vec<usize>) -> Self {
        Script { seed, writes, pause_us: 0, ending: Ending::HalfClose, unread_ms: 0 }
    }
}

/// Nothing that is done here takes so long, stalls of ten seconds included.
const PATIENCE: Duration = Duration::from_secs(30);

/// Holds the conversation of this seed.
pub fn converse(addon: &Addon, seed: u64) -> Result<(), String> {
    let mut random = Random(seed);
    let by_client = Script::random(&mut random, true);
    let by_backend = Script::random(&mut random, by_client.ending == Ending::HalfClose);
    play_both(addon, by_client, by_backend)
}

/// Plays both sides, and checks that each saw what the other one did.
pub fn play_both(addon: &Addon, by_client: Script, by_backend: Script) -> Result<(), String> {
    let (client, backend) = addon.connect().map_err(|error| format!("connect: {error}"))?;
    let (tell, told) = mpsc::channel();
    {
        let (mine, theirs) = (by_backend.clone(), by_client.clone());
        thread::spawn(move || tell.send(play(backend, mine, &theirs)));
    }
    let client_saw = play(client, by_client.clone(), &by_backend)?;
    let backend_saw =
        told.recv_timeout(2 * PATIENCE).map_err(|_| "the backend's side hangs".to_owned())??;
    check("client", &client_saw, &by_backend, by_client.ending)?;
    check("backend", &backend_saw, &by_client, by_backend.ending)
}

/// Plays one side: writes by the script in a thread of its own, reads and checks the other side's stream.
fn play(socket: TcpStream, mine: Script, theirs: &Script) -> Result<Seen, String> {
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket.set_write_timeout(Some(PATIENCE)).unwrap();
    let writer = {
        let socket = socket.try_clone().unwrap();
        thread::spawn(move || write(&socket, &mine))
    };
    thread::sleep(Duration::from_millis(theirs.unread_ms));
    let (total, end) = Stream::new(theirs.seed).read_and_compare(&socket)?;
    if end.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock) {
        return Err(format!("nothing comes after {total} bytes for {PATIENCE:?}"));
    }
    let written = writer.join().map_err(|_| "the writer panicked".to_owned())?;
    // The kernel reports a reset once: the writer may have been told, and the reader then sees an end.
    Ok(if end.is_ok() && written { Seen::End(total) } else { Seen::Reset(total) })
}

/// Returns false when the connection was reset meanwhile.
fn write(mut socket: &TcpStream, script: &Script) -> bool {
    let mut stream = Stream::new(script.seed);
    for size in &script.writes {
        if socket.write_all(&stream.take(*size)).is_err() {
            return false;
        }
        if script.pause_us > 0 {
            thread::sleep(Duration::from_micros(script.pause_us));
        }
    }
    match script.ending {
        Ending::HalfClose => socket.shutdown(Shutdown::Write).is_ok(),
        Ending::Reset => {
            reset(socket);
            true
        }
    }
}

/// Resets a connection whose socket has clones, so that closing it would not do: connect(2) with AF_UNSPEC dissolves
/// the association, with RST if linger is 0.
pub fn reset(socket: &TcpStream) {
    let socket = SockRef::from(socket);
    socket.set_linger(Some(Duration::ZERO)).unwrap();
    let storage = socket2::SockAddrStorage::zeroed();
    let size = storage.size_of();
    // SAFETY: an all-zero sockaddr_storage is a valid address of the family AF_UNSPEC (0).
    #[allow(unsafe_code)]
    let unspecified = unsafe { socket2::SockAddr::new(storage, size) };
    let _ = socket.connect(&unspecified);
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
