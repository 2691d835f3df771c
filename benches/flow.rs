//! What the decisions of the relay cost, without a socket: one direction is told what has happened and says what is to
//! be done. A request and its answer must stay far below the microseconds that their system calls take.

use std::hint::black_box;

use criterion::{Criterion, criterion_group, criterion_main};
use pierhead::edge::relay::RelayMode;
use pierhead::edge::relay::flow::{Action, Flow, PumpStop};

/// Bytes in a buffer of the ring, as configured by default.
const BUFFER: u32 = 16 * 1024;
/// Bytes of a small message.
const MESSAGE: u32 = 100;

criterion_group!(benches, flow);
criterion_main!(benches);

fn flow(c: &mut Criterion) {
    let mut group = c.benchmark_group("flow");
    let mut connection = [copying(RelayMode::Auto), copying(RelayMode::Auto)];
    group.bench_function("request_and_answer", |b| b.iter(|| request_and_answer(&mut connection)));
    group.bench_function("promotion", |b| b.iter(promotion));
    let mut stream = promotion();
    group.bench_function("spliced_chunk", |b| b.iter(|| spliced_chunk(&mut stream)));
    let mut flow = copying(RelayMode::Copy);
    group.bench_function("stall", |b| b.iter(|| stall(&mut flow)));
    group.finish();
}

/// A message in each direction, in the copy lane.
pub(crate) fn request_and_answer(connection: &mut [Flow<u16>; 2]) {
    connection.iter_mut().for_each(|flow| copy(flow, MESSAGE));
}

/// From a fresh flow to the first pump, over the three full reads that make it a stream.
pub(crate) fn promotion() -> Flow<u16> {
    let mut flow = copying(RelayMode::Auto);
    for _ in 0..2 {
        copy(&mut flow, BUFFER);
    }
    flow.received(black_box(7), BUFFER, true, true);
    expect(&mut flow, Action::Send);
    expect(&mut flow, Action::StopRecv);
    assert_eq!(flow.sent(BUFFER), Some(7));
    flow.recv_stopped();
    expect(&mut flow, Action::Pump);
    flow
}

/// The pump that was asked for has moved bytes until there were no more, and more have come.
pub(crate) fn spliced_chunk(stream: &mut Flow<u16>) {
    assert_eq!(stream.pumped(black_box(false), PumpStop::SourceEmpty), Some(Action::AwaitReadable));
    assert_eq!(stream.next_action(), None);
    stream.source_readable();
    expect(stream, Action::Pump);
}

/// The sink is full: the message moves to memory of the flow's own, is delivered from there, and the flow goes on.
pub(crate) fn stall(flow: &mut Flow<u16>) {
    flow.received(black_box(7), MESSAGE, false, true);
    expect(flow, Action::Send);
    flow.sink_full();
    expect(flow, Action::Spill(7, 0..MESSAGE));
    flow.spill_mut().extend_from_slice(black_box(&[0; MESSAGE as usize]));
    expect(flow, Action::AwaitWritable);
    expect(flow, Action::StopRecv);
    flow.recv_stopped();
    assert_eq!(flow.next_action(), None);
    flow.sink_writable();
    expect(flow, Action::SendSpill);
    flow.spill_sent(MESSAGE as usize);
    expect(flow, Action::Recv { multi: true });
}

/// A flow that receives.
pub(crate) fn copying(mode: RelayMode) -> Flow<u16> {
    let mut flow = Flow::new(mode, false);
    expect(&mut flow, Action::Recv { multi: true });
    flow
}

/// Bytes come in and are sent at once.
fn copy(flow: &mut Flow<u16>, len: u32) {
    flow.received(black_box(7), black_box(len), len == BUFFER, true);
    expect(flow, Action::Send);
    assert_eq!(flow.sent(len), Some(7));
    assert_eq!(flow.next_action(), None);
}

#[track_caller]
fn expect(flow: &mut Flow<u16>, action: Action<u16>) {
    assert_eq!(flow.next_action(), Some(action));
}
