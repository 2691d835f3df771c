//! Which lane carries what in `auto`, as the counters tell: a stream that comes in pieces stays in the splice lane, words
//! behind it go back to the copy lane.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::ends::stream;
use super::scarcity::counted;
use crate::common::TestEdge;

const PIECES: usize = 100;
/// Of a COPY, as PostgreSQL writes it (PQ_SEND_BUFFER_SIZE, src/backend/libpq/pqcomm.c).
const COPY_PIECE: usize = 8 * 1024;
const WORD: usize = 100;
/// The end of a burst may come in scraps, and then the flow copies again before the pieces come.
const TRIES: usize = 5;

#[test]
fn a_stream_in_pieces_stays_spliced_and_words_are_copied() {
    let edge = TestEdge::start("[core]\nrelay = \"auto\"");
    let addon = edge.addon("test");
    let (client, backend) = addon.connect_past_login();
    let spliced_all = |_| {
        stream(&backend, &client, 8 << 20);
        let (copied, spliced) = carried_by(&edge, &backend, &client, COPY_PIECE);
        (copied, spliced) == (0, (PIECES * COPY_PIECE) as u64)
    };
    assert!((0..TRIES).any(spliced_all), "pieces of {COPY_PIECE} bytes behind a burst were copied");

    let (copied, spliced) = carried_by(&edge, &backend, &client, WORD);
    assert!(copied > spliced * 10, "of {PIECES} words {copied} bytes were copied, {spliced} spliced");
}

/// Passes pieces on, each when the one before has arrived. Returns how many bytes were copied and spliced.
fn carried_by(edge: &TestEdge, mut from: &TcpStream, mut to: &TcpStream, piece: usize) -> (u64, u64) {
    let (_, copied, spliced) = counted(edge);
    for _ in 0..PIECES {
        from.write_all(&vec![7; piece]).unwrap();
        to.read_exact(&mut vec![0; piece]).unwrap();
    }
    let (_, copied_then, spliced_then) = counted(edge);
    (copied_then - copied, spliced_then - spliced)
}
