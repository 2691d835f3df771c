//! Zero copy: bytes from socket to socket through a pipe.

use super::flow::PumpStop;
use super::pair::{Pair, opposite};
use super::pipes::Pipes;
use crate::routes::Direction;
use crate::sys::peer_has_gone;

/// A pump that moves less than this was not worth it: copying costs as much (docs/tuning.md). A stream that comes in
/// pieces of 8 KiB, as PostgreSQL writes a COPY, is worth it.
pub(super) const LITTLE: usize = 8 * 1024;
/// So few bytes were all that the source had.
const ALL_THERE_WAS: usize = 16 * 1024;

/// Moves bytes source -> pipe -> sink until one of them has enough, counting what reached the sink.
pub(super) fn splice(
    pair: &mut Pair,
    direction: Direction,
    pipes: &mut Pipes,
    budget: usize,
    moved: &mut usize,
) -> PumpStop {
    use std::io::ErrorKind::{Interrupted, WouldBlock};

    let Some(mut pipe) = pair.pipes[direction as usize].take().or_else(|| pipes.take().ok()) else {
        return PumpStop::NoPipe;
    };
    let mut last = usize::MAX;
    let stop = loop {
        while pipe.holds() > 0 {
            match pipe.drain(pair.sink_fd(direction)) {
                Ok(count) => *moved += count,
                Err(error) if error.kind() == Interrupted => {}
                Err(error) if error.kind() == WouldBlock => {
                    pair.pipes[direction as usize] = Some(pipe);
                    return PumpStop::SinkFull;
                }
                Err(_) => {
                    pipes.give_back(pipe);
                    return PumpStop::SinkGone;
                }
            }
        }
        if last < ALL_THERE_WAS {
            // Asking once more would most likely be in vain, and the poll that follows finds what has come since.
            break PumpStop::SourceEmpty;
        }
        if *moved >= budget {
            break PumpStop::Budget;
        }
        match pipe.fill(pair.source_fd(direction), budget) {
            Ok(0) => break PumpStop::Eof,
            Ok(count) => last = count,
            Err(error) if error.kind() == Interrupted => {}
            // The pipe is empty, so it is the source that has nothing.
            Err(error) if error.kind() == WouldBlock => break PumpStop::SourceEmpty,
            Err(_) => break PumpStop::Reset,
        }
    };
    pipes.give_back(pipe);
    stop
}

/// Whether what looks like the end of a stream is a reset: the kernel tells of it once, and has told a send of the
/// other direction whose completion is not here yet. Such a socket has hung up in both directions although its
/// outgoing stream was not ended.
pub(super) fn lost_unnoticed(pair: &Pair, direction: Direction) -> bool {
    !pair.flows[opposite(direction) as usize].is_done() && peer_has_gone(pair.source_fd(direction))
}
