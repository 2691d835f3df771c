//! The kernel's side of the crate, and the only `unsafe` in it: the relay's ring with its buffers, splice and
//! pipes, socket options that socket2 lacks, CPU pinning, and the probe that says whether io_uring may be used.
//!
//! What leaves this room is safe to call: descriptors are borrowed, buffers are named by number and checked.

#![allow(unsafe_code)]

mod buffers;
mod memory;
mod namespace;
mod probe;
mod ring;
mod socket;
mod splice;
mod thread;

pub use buffers::BufferId;
pub use namespace::NetNamespace;
pub use probe::{ProbeError, probe};
pub use ring::{Completion, Ring, RingSettings};
pub use socket::{EventFd, peer_has_gone, reset_on_close};
pub use splice::Pipe;
pub use thread::{available_cpus, pin_to, raise_descriptor_limit, yield_to_wakers};
