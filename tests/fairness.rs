//! The promise: an addon at full stream does not raise another addon's p99 round trip by more than 2x, on the same core
//! of the edge. One run, in short windows with and without the stream in turn, so that what else the machine does
//! falls on both.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;

use std::fs::File;
use std::io::{Read, Seek, Write};
use std::net::TcpStream;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use common::{Addon, TestEdge};
use pierhead::sys::{available_cpus, pin_to};
use socket2::SockRef;

const WINDOWS: usize = 24;
const WINDOW: Duration = Duration::from_millis(120);

#[test]
#[ignore = "a measurement, for a quiet machine: `cargo test --test fairness -- --ignored`"]
fn a_stream_does_not_raise_the_p99_of_others_by_more_than_two() {
    let cpus = available_cpus().unwrap();
    let &[core, .., others] = cpus.as_slice() else { panic!("one CPU for the edge, one for everybody else") };
    for relay in ["auto", "copy"] {
        let edge = TestEdge::start(&format!("[core]\ncpus = [{core}]\nrelay = \"{relay}\""));
        let measured = measure(&edge, others);
        edge.settle();
        let Measured { alone_us, beside_us, streamed } = measured;
        let ratio = beside_us / alone_us;
        let gib_s = streamed as f64 / (WINDOWS as f64 * WINDOW.as_secs_f64()) / f64::from(1 << 30);
        let text = format!(
            "{relay}: p99 {alone_us:.0} us alone, {beside_us:.0} us beside {gib_s:.2} GiB/s: {ratio:.2}"
        );
        writeln!(std::io::stderr(), "{text}").unwrap();
        assert!(gib_s > 0.2, "that was no stream; {text}");
        assert!(ratio <= 2.0, "{text}");
    }
}

struct Measured {
    alone_us: f64,
    beside_us: f64,
    streamed: u64,
}

/// Medians over the windows of each window's p99.
fn measure(edge: &TestEdge, cpu: usize) -> Measured {
    let (asking, streaming) = (edge.addon("asking"), edge.addon("streaming"));
    let stream = Stream::default();
    let (mut alone_us, mut beside_us) = (vec![], vec![]);
    thread::scope(|scope| {
        let (source, sink) = {
            let (client, backend) = streaming.connect_past_login();
            (backend, client)
        };
        scope.spawn(|| stream.write(source, cpu));
        scope.spawn(|| stream.read(sink, cpu));
        let client = echoed(scope, &asking, cpu);
        let (alone_us, beside_us, stream) = (&mut alone_us, &mut beside_us, &stream);
        scope.spawn(move || {
            run_on(cpu, Priority::First);
            for _ in 0..WINDOWS {
                alone_us.push(p99_us(&client));
                stream.on.store(true, Relaxed);
                p99_us(&client);
                let before = stream.read.load(Relaxed);
                beside_us.push(p99_us(&client));
                stream.counted.fetch_add(stream.read.load(Relaxed) - before, Relaxed);
                stream.on.store(false, Relaxed);
                // What is under way arrives.
                thread::sleep(Duration::from_millis(20));
            }
            stream.over.store(true, Relaxed);
        });
    });
    Measured {
        alone_us: median(alone_us),
        beside_us: median(beside_us),
        streamed: stream.counted.into_inner(),
    }
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Asks again and again for the time of a window.
fn p99_us(mut client: &TcpStream) -> f64 {
    let (begin, mut times_us) = (Instant::now(), vec![]);
    while begin.elapsed() < WINDOW {
        let start = Instant::now();
        client.write_all(&[7; 64]).unwrap();
        client.read_exact(&mut [0; 64]).unwrap();
        times_us.push(start.elapsed().as_secs_f64() * 1e6);
    }
    times_us.sort_by(f64::total_cmp);
    times_us[times_us.len() * 99 / 100]
}

/// A connection whose backend answers.
fn echoed<'scope>(scope: &'scope thread::Scope<'scope, '_>, addon: &Addon, cpu: usize) -> TcpStream {
    let (client, mut backend) = addon.connect_past_login();
    client.set_nodelay(true).unwrap();
    backend.set_nodelay(true).unwrap();
    scope.spawn(move || {
        run_on(cpu, Priority::First);
        let mut bytes = [0; 64];
        while backend.read_exact(&mut bytes).is_ok() {
            backend.write_all(&bytes).unwrap();
        }
    });
    client
}

/// A stream that costs its ends next to nothing: sent from the page cache, and dropped unread.
#[derive(Default)]
struct Stream {
    on: AtomicBool,
    over: AtomicBool,
    read: AtomicU64,
    counted: AtomicU64,
}

impl Stream {
    fn write(&self, mut socket: TcpStream, cpu: usize) {
        run_on(cpu, Priority::Last);
        let mut file: File = tempfile::tempfile().unwrap();
        file.write_all(&vec![7; 4 << 20]).unwrap();
        while !self.over.load(Relaxed) {
            if self.on.load(Relaxed) {
                file.rewind().unwrap();
                // sendfile(2).
                std::io::copy(&mut file, &mut socket).unwrap();
            } else {
                thread::sleep(Duration::from_millis(1));
            }
        }
    }

    fn read(&self, socket: TcpStream, cpu: usize) {
        run_on(cpu, Priority::Last);
        let mut room = Vec::with_capacity(4 << 20);
        loop {
            // MSG_TRUNC: received, not copied (tcp(7)).
            let count =
                SockRef::from(&socket).recv_with_flags(room.spare_capacity_mut(), libc::MSG_TRUNC).unwrap();
            if count == 0 {
                return;
            }
            self.read.fetch_add(count as u64, Relaxed);
        }
    }
}

/// Who is served first where threads share a CPU.
enum Priority {
    First,
    Last,
}

fn run_on(cpu: usize, priority: Priority) {
    pin_to(cpu).unwrap();
    let thread = rustix::thread::gettid().as_raw_nonzero().to_string();
    let args = match priority {
        Priority::First => ["chrt", "--fifo", "--pid", "1", &thread],
        Priority::Last => ["renice", "--priority", "19", "--pid", &thread],
    };
    let status = Command::new(args[0]).args(&args[1..]).stdout(std::process::Stdio::null()).status().unwrap();
    assert!(status.success(), "{args:?} (needs root)");
}
