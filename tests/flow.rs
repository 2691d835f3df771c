//! The state of one direction against a model of the world: whatever source, sink, ring and pipes do, every byte
//! arrives once and in order, every buffer comes back once, and the end is passed on behind the last byte.

#![allow(clippy::unwrap_used, reason = "a test")]

use std::collections::{HashSet, VecDeque};

use pierhead::edge::relay::RelayMode;
use pierhead::edge::relay::flow::{Action, Flow, PumpStop};
use proptest::prelude::*;

const BUFFER: usize = 16;

/// What the world does next, if it can.
#[derive(Clone, Debug)]
enum Event {
    /// The source has this many more bytes.
    Arrive(usize),
    /// The ring completes a receive (with this many bytes at most; the request may end with it).
    Receive(usize, bool),
    /// The sink can take this many more bytes.
    Room(usize),
    /// The ring completes the send.
    Sent,
    /// The ring completes the poll for room.
    Writable,
    /// The ring completes the poll for bytes.
    Readable,
    /// The receive found no buffer.
    Starve,
    /// Pipes run out, or are there again.
    Pipes(bool),
    /// The engine no longer looks at the bytes.
    Unwatch,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        4 => (0..5 * BUFFER).prop_map(Event::Arrive),
        6 => (1..=BUFFER, any::<bool>()).prop_map(|(n, more)| Event::Receive(n, more)),
        4 => (0..6 * BUFFER).prop_map(Event::Room),
        6 => Just(Event::Sent),
        3 => Just(Event::Writable),
        3 => Just(Event::Readable),
        1 => Just(Event::Starve),
        1 => any::<bool>().prop_map(Event::Pipes),
        1 => Just(Event::Unwatch),
    ]
}

struct World {
    flow: Flow<usize>,
    source: VecDeque<u8>,
    ended: bool,
    next_byte: u8,
    arrived: usize,
    room: usize,
    delivered: Vec<u8>,
    buffers: Vec<Vec<u8>>,
    handed_out: HashSet<usize>,
    pipe: VecDeque<u8>,
    pipes: bool,
    receiving: bool,
    multi: bool,
    stopping: bool,
    sending: bool,
    awaiting_writable: bool,
    awaiting_readable: bool,
    starved: bool,
    finished: bool,
    pumps: usize,
}

impl World {
    fn new(mode: RelayMode, watched: bool) -> Self {
        World {
            flow: Flow::new(mode, watched),
            source: VecDeque::new(),
            ended: false,
            next_byte: 0,
            arrived: 0,
            room: 3 * BUFFER,
            delivered: vec![],
            buffers: vec![],
            handed_out: HashSet::new(),
            pipe: VecDeque::new(),
            pipes: true,
            receiving: false,
            multi: false,
            stopping: false,
            sending: false,
            awaiting_writable: false,
            awaiting_readable: false,
            starved: false,
            finished: false,
            pumps: 0,
        }
    }

    fn happens(&mut self, event: Event) {
        match event {
            Event::Arrive(count) if !self.ended => {
                for _ in 0..count {
                    self.source.push_back(self.next_byte);
                    self.next_byte = self.next_byte.wrapping_mul(31).wrapping_add(7);
                }
                self.arrived += count;
            }
            Event::Receive(max, more) if self.receiving => self.complete_receive(max, more),
            Event::Room(count) => self.room += count,
            Event::Sent if self.sending => self.complete_send(),
            Event::Writable if self.awaiting_writable && self.room > 0 => {
                self.awaiting_writable = false;
                self.flow.sink_writable();
            }
            Event::Readable if self.awaiting_readable && (self.ended || !self.source.is_empty()) => {
                self.awaiting_readable = false;
                self.flow.source_readable();
            }
            Event::Starve if self.receiving => {
                self.receiving = false;
                self.starved = true;
                self.flow.recv_starved();
            }
            Event::Pipes(there) => self.pipes = there,
            Event::Unwatch => self.flow.unwatch(),
            _ => return,
        }
        self.advance();
    }

    fn complete_receive(&mut self, max: usize, more: bool) {
        let count = max.min(self.source.len());
        if count == 0 && self.ended {
            self.receiving = false;
            self.flow.source_ended();
        } else if count == 0 && self.stopping {
            self.receiving = false;
            self.flow.recv_stopped();
        } else if count > 0 {
            let more = more && self.multi && !self.stopping;
            self.receiving = more;
            let id = self.buffers.len();
            self.buffers.push(self.source.drain(..count).collect());
            assert!(self.handed_out.insert(id));
            self.flow.received(id, count as u32, count == BUFFER, more);
        }
    }

    fn complete_send(&mut self) {
        self.sending = false;
        let held = self.flow.front().expect("a send has something to send");
        let (id, start, end) = (held.buffer, held.start as usize, held.end as usize);
        let count = self.room.min(end - start);
        if count == 0 {
            return self.flow.sink_full();
        }
        self.room -= count;
        let bytes = self.buffers[id][start..start + count].to_vec();
        self.delivered.extend(bytes);
        if let Some(id) = self.flow.sent(count as u32) {
            assert!(self.handed_out.remove(&id), "given back twice");
        }
    }

    /// What the engine does.
    fn advance(&mut self) {
        for _ in 0..10_000 {
            let Some(action) = self.flow.next_action() else { return };
            self.execute(action);
        }
        panic!("the flow never comes to rest: {:?}", self.flow);
    }

    fn execute(&mut self, action: Action<usize>) {
        assert!(!self.finished, "{action:?} after the end");
        match action {
            Action::Recv { multi } => {
                assert!(!self.receiving && !self.starved && self.pipe.is_empty());
                (self.receiving, self.multi, self.stopping) = (true, multi, false);
            }
            Action::StopRecv => self.stopping = true,
            Action::Send => {
                assert!(!self.sending);
                self.sending = true;
            }
            Action::Spill(id, range) => {
                let bytes = self.buffers[id][range.start as usize..range.end as usize].to_vec();
                self.flow.spill_mut().extend(bytes);
                assert!(self.handed_out.remove(&id), "given back twice");
            }
            Action::SendSpill => {
                let count = self.room.min(self.flow.spill().len());
                if count == 0 {
                    return self.flow.sink_full();
                }
                self.room -= count;
                self.delivered.extend(self.flow.spill()[..count].to_vec());
                self.flow.spill_sent(count);
            }
            Action::Release(id) => assert!(self.handed_out.remove(&id), "given back twice"),
            Action::AwaitReadable => self.awaiting_readable = true,
            Action::AwaitWritable => {
                assert!(!self.awaiting_writable);
                self.awaiting_writable = true;
            }
            Action::Pump => self.pump(),
            Action::Finish => {
                assert!(self.ended && self.source.is_empty() && self.pipe.is_empty());
                self.finished = true;
            }
            Action::Abort => panic!("nobody was reset"),
        }
    }

    fn pump(&mut self) {
        assert!(!self.receiving, "spliced and received at once");
        self.pumps += 1;
        if !self.pipes && self.pipe.is_empty() {
            assert_eq!(self.flow.pumped(true, PumpStop::NoPipe), None);
            return;
        }
        let mut moved = 0;
        let stop = loop {
            let count = self.room.min(self.pipe.len());
            self.room -= count;
            moved += count;
            self.delivered.extend(self.pipe.drain(..count));
            if !self.pipe.is_empty() {
                break PumpStop::SinkFull;
            }
            let count = self.source.len().min(2 * BUFFER);
            match count {
                0 if self.ended => break PumpStop::Eof,
                0 => break PumpStop::SourceEmpty,
                _ => self.pipe.extend(self.source.drain(..count)),
            }
        };
        if let Some(action) = self.flow.pumped(moved < BUFFER, stop) {
            self.execute(action);
        }
    }

    /// The source ends, and everything that can complete does.
    fn settle(&mut self) {
        self.ended = true;
        self.pipes = true;
        for _ in 0..10_000 {
            if self.finished {
                return;
            }
            self.room += BUFFER;
            if std::mem::take(&mut self.starved) {
                self.flow.buffers_are_free();
                self.advance();
            }
            for event in [Event::Sent, Event::Writable, Event::Readable, Event::Receive(BUFFER, false)] {
                self.happens(event);
            }
        }
        panic!("the flow hangs: {:?}", self.flow);
    }
}

fn expected(count: usize) -> Vec<u8> {
    std::iter::successors(Some(0u8), |byte| Some(byte.wrapping_mul(31).wrapping_add(7))).take(count).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn every_byte_arrives_once_and_in_order(
        mode in prop_oneof![Just(RelayMode::Auto), Just(RelayMode::Copy), Just(RelayMode::Splice)],
        watched: bool,
        events in prop::collection::vec(event(), 0..300),
    ) {
        let mut world = World::new(mode, watched);
        world.advance();
        for event in events {
            world.happens(event);
            if world.starved {
                world.starved = false;
                world.flow.buffers_are_free();
                world.advance();
            }
        }
        world.settle();
        prop_assert_eq!(&world.delivered, &expected(world.arrived));
        prop_assert!(world.handed_out.is_empty(), "buffers kept: {:?}", world.handed_out);
        prop_assert!(world.flow.is_done());
        if mode == RelayMode::Copy {
            prop_assert_eq!(world.pumps, 0);
        }
    }
}

/// Streams `reads` full buffers through a flow, each delivered at once.
fn stream(world: &mut World, reads: usize) {
    for _ in 0..reads {
        world.room = usize::MAX / 2;
        for event in [Event::Arrive(BUFFER), Event::Receive(BUFFER, true), Event::Sent, Event::Readable] {
            world.happens(event);
        }
    }
}

#[test]
fn a_stream_is_promoted_and_small_messages_are_demoted() {
    let mut world = World::new(RelayMode::Auto, false);
    world.advance();
    stream(&mut world, 2);
    assert_eq!(world.pumps, 0, "two full reads are no stream");
    stream(&mut world, 3);
    world.happens(Event::Receive(BUFFER, false));
    assert!(world.pumps > 0, "promoted after three full reads");

    for _ in 0..5 {
        world.happens(Event::Arrive(1));
        world.happens(Event::Readable);
    }
    let pumps = world.pumps;
    assert!(world.receiving, "demoted after three small pumps");
    world.happens(Event::Arrive(1));
    world.happens(Event::Receive(1, true));
    world.happens(Event::Sent);
    assert_eq!(world.pumps, pumps);
}

#[test]
fn a_blocked_flow_holds_no_buffer_of_the_ring() {
    let mut world = World::new(RelayMode::Copy, false);
    world.advance();
    world.room = 5;
    for _ in 0..20 {
        for event in [Event::Arrive(BUFFER), Event::Receive(BUFFER, true), Event::Sent] {
            world.happens(event);
        }
    }
    assert!(world.handed_out.is_empty() && world.flow.is_blocked());
    assert!(world.flow.spill().len() <= 5 * BUFFER, "receiving has stopped");
    world.settle();
    assert_eq!(world.delivered, expected(world.arrived));
}
