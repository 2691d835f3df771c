//! The opening, with a server-first protocol made for these tests: real sockets, a real lobby, and a backend in a
//! thread that misbehaves as told.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use bytes::Bytes;

use super::*;
use crate::config::Millis;
use crate::dialect::{Greeting, HandshakeStep, Login, Name, Opening, Protocol};
use crate::edge::admission::Admission;
use crate::routes::{Change, Route, RouteState, Upstream};

/// The server says `hi`, the client `NAME`, the server anything; each on a line.
struct Lines {
    greeted: bool,
}

impl Dialect for Lines {
    fn protocol(&self) -> Protocol {
        Protocol::Postgres
    }

    fn step(&mut self, input: &mut BytesMut) -> Step {
        if !std::mem::replace(&mut self.greeted, true) {
            return Step::Reply(Bytes::from_static(b"hi\n"));
        }
        let Some(end) = input.iter().position(|byte| *byte == b'\n') else { return Step::NeedMore };
        let line = input.split_to(end + 1).freeze();
        let login = Login::parse(&line[..end]).unwrap();
        let greeting = Greeting::new(Bytes::from_static(b"edge\n"), greeting, line);
        Step::Identified(Identified::new(login, Opening::Handshake(Box::new(greeting))))
    }

    fn refuse(&self, refusal: &Refusal) -> Bytes {
        format!("{}: {}\n", refusal.reason.as_str(), refusal.detail).into()
    }
}

fn greeting(bytes: &[u8]) -> Result<Option<usize>, HandshakeStep> {
    match bytes {
        [b'~', ..] => Err(HandshakeStep::Retry("warming up".into())),
        [b'!', ..] => Err(HandshakeStep::Refuse(Reason::TooManyConnections, "full".into())),
        _ => Ok(bytes.iter().position(|byte| *byte == b'\n').map(|at| at + 1)),
    }
}

/// What became of a client that said `said`.
struct Ending {
    /// What it heard until the connection was ready or refused.
    heard: String,
    /// What each of the backend's connections heard.
    backend: Receiver<String>,
    /// The connection, if it was ready for the relay.
    story: Option<Story>,
    dial_failures: u64,
    took: Duration,
}

/// One client against a backend that does `serve` with each connection, given its number.
fn visit(said: &str, serve: impl Fn(usize, &mut TcpStream) + Send + 'static) -> Ending {
    let backend = TcpListener::bind("127.0.0.1:0").unwrap();
    let table = Arc::new(Table::new());
    let ready = RouteState::Ready(Upstream::Tcp(backend.local_addr().unwrap()));
    let name = Name::parse("blog").unwrap();
    table.publish([Change::Set(Route::new(Protocol::Postgres, name, ready, "container".into(), 0))]);
    let (report, reports) = channel();
    thread::spawn(move || {
        for (number, socket) in backend.incoming().map_while(Result::ok).enumerate() {
            let mut socket = socket;
            socket.set_nodelay(true).unwrap();
            serve(number, &mut socket);
            socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
            let mut heard = vec![];
            // The end is a close, or silence.
            let _ = socket.read_to_end(&mut heard);
            if report.send(String::from_utf8(heard).unwrap()).is_err() {
                return;
            }
        }
    });
    let limits = Limits {
        dial_timeout: Millis::from_millis(1500),
        dial_try_timeout: Millis::from_millis(200),
        refusal_linger: Millis::from_millis(100),
        ..Limits::default()
    };
    let counters = Arc::new(CoreCounters::default());
    let lobby =
        Lobby::new(limits, TcpConfig::default(), table, Arc::default(), Arc::clone(&counters), usize::MAX);
    let lobby = Rc::new(lobby);
    let (mut client, accepted) = connection();
    client.write_all(said.as_bytes()).unwrap();
    let start = std::time::Instant::now();
    let arrivals = tokio_uring::start(async {
        lobby.enter(accepted);
        while lobby.inside() > 0 {
            lobby.arrived().await;
        }
        lobby.take_arrivals()
    });
    let took = start.elapsed();
    let story = arrivals.first().map(|established| established.story.clone());
    let mut heard = vec![];
    client.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let _ = client.read_to_end(&mut heard);
    drop(arrivals);
    let heard = String::from_utf8(heard).unwrap();
    Ending { heard, backend: reports, story, dial_failures: counters.dial_failures.get(), took }
}

/// Both ends of a client's connection.
fn connection() -> (TcpStream, Accepted) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (socket, source) = listener.accept().unwrap();
    socket.set_nonblocking(true).unwrap();
    let admission = Arc::new(Admission::new(1, 1, 1));
    let ticket = Admission::admit(&admission, source.ip()).unwrap();
    let (socket, dialect) = (socket.into(), Box::new(Lines { greeted: false }));
    (client, Accepted { socket, source, dialect, at: std::time::Instant::now(), ticket })
}

fn write(socket: &mut TcpStream, pieces: &[&str]) {
    for piece in pieces {
        socket.write_all(piece.as_bytes()).unwrap();
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_greeting_is_swallowed_and_what_comes_behind_it_lines_up() {
    for pieces in [&["welcome\nand more"][..], &["wel", "come\nand", " more"], &["welcome", "\n", "and more"]]
    {
        let last = pieces.concat();
        let ending = visit("blog\nSELECT", move |_, socket| write(socket, pieces));
        let story = ending.story.expect("ready for the relay");
        let early = &last["welcome\n".len()..];
        // What came too late for the handshake is still in the socket, for the relay.
        assert_eq!(ending.heard, format!("hi\n{}", &early[..story.early as usize]));
        assert_eq!(ending.backend.recv().unwrap(), "edge\nblog\nSELECT");
        assert_eq!((story.replayed, ending.dial_failures), (16, 0));
        if pieces.len() == 1 {
            assert_eq!(story.early, 8, "sent in one piece, so it came along");
        }
    }
}

#[test]
fn a_backend_that_is_not_ready_is_tried_again_from_the_beginning() {
    let ending = visit("blog\n", |number, socket| match number {
        0 => socket.shutdown(std::net::Shutdown::Both).unwrap(),
        1 => write(socket, &["wel"]),
        2 => write(socket, &["~"]),
        _ => write(socket, &["welcome\n"]),
    });
    assert_eq!((ending.heard.as_str(), ending.dial_failures), ("hi\n", 3));
    let heard: Vec<_> = ending.backend.iter().take(4).collect();
    assert_eq!(heard[1..], ["edge\n", "edge\n", "edge\nblog\n"], "half a greeting is not remembered");
}

#[test]
fn a_slow_greeting_is_waited_for_on_one_connection() {
    let ending = visit("blog\n", |number, socket| {
        assert_eq!(number, 0, "a second connection");
        thread::sleep(Duration::from_millis(500));
        write(socket, &["welcome\n"]);
    });
    assert!(ending.story.is_some(), "{}", ending.heard);
    assert!(ending.took > Duration::from_millis(490), "{:?}, more than one try may take", ending.took);
    assert_eq!((ending.backend.recv().unwrap().as_str(), ending.dial_failures), ("edge\nblog\n", 0));
}

#[test]
fn a_backend_that_cannot_serve_is_a_refusal_in_the_protocols_words() {
    let cases = [
        ("!", "too_many_connections: full"),
        ("~", "unreachable: warming up"),
        ("", "unreachable: its server closed the connection"),
        (&"x".repeat(65536), "unreachable: its server does not end its greeting within 65536 bytes"),
    ];
    for (says, words) in cases {
        let says = says.to_owned();
        let ending = visit("blog\n", move |_, socket| {
            // The edge may have enough before it has read all of it.
            let _ = socket.write_all(says.as_bytes());
            let _ = socket.shutdown(std::net::Shutdown::Write);
        });
        assert_eq!(ending.heard, format!("hi\n{words}\n"));
        assert!(ending.story.is_none() && ending.dial_failures > 0);
        assert!(ending.took < Duration::from_secs(3), "{:?}", ending.took);
    }
}

#[test]
fn a_backend_that_says_nothing_costs_the_dial_deadline() {
    let ending = visit("blog\n", |_, _| thread::sleep(Duration::from_secs(3)));
    assert_eq!(ending.heard, "hi\nunreachable: no answer\n");
    assert!(ending.took < Duration::from_millis(2500), "{:?}", ending.took);
}
