//! Descriptors that run out: who came in vain is let in as soon as there are some, and nothing has piled up meanwhile.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::stage::HOST;
use crate::control::{Pierhead, wait_for};

/// An accept that fails is tried again soon, and at its own listener only: at any other one, where an accept still waits,
/// a second one would stay for ever.
#[test]
fn accepting_goes_on_as_before_when_descriptors_were_short() {
    let mut pierhead = Pierhead::stopped();
    pierhead.serve_with_descriptors(80);
    let failures = || pierhead.log_text().matches("accept failed").count();
    let connect = |port| TcpStream::connect((HOST, port)).unwrap();
    let before = requests_under_way(pierhead.pid());
    // More than there is room for. They say nothing, which is borne for ten seconds.
    let silent: Vec<_> = (0..80).map(|_| connect(pierhead.port)).collect();
    wait_for("ten tries a second", Duration::from_secs(30), || failures() >= 20);
    drop(silent);
    answers(connect(pierhead.port), b"\0\0\0\x08\x04\xd2\x16\x2f", b"N");
    answers(connect(pierhead.redis_port), b"PING\r\n", b"-NOAUTH");
    wait_for("as many requests as before", Duration::from_secs(30), || {
        requests_under_way(pierhead.pid()) == before
    });
}

/// Requests that wait in the process's rings, as the kernel lists them.
fn requests_under_way(pid: u32) -> usize {
    let descriptors = fs::read_dir(format!("/proc/{pid}/fdinfo")).unwrap();
    let shown = descriptors.filter_map(|entry| fs::read_to_string(entry.ok()?.path()).ok());
    let of_rings = shown.filter(|text| text.contains("PollList:"));
    of_rings.map(|text| text.lines().filter(|line| line.trim_start().starts_with("op=")).count()).sum()
}

fn answers(mut client: TcpStream, question: &[u8], answer: &[u8]) {
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    client.write_all(question).unwrap();
    let mut said = vec![0; answer.len()];
    client.read_exact(&mut said).unwrap();
    assert_eq!(said, answer);
}
