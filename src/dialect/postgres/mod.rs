//! PostgreSQL. In: what a client sends first ([`Startup`]) and what its backend answers ([`KeyWatch`]).
//! Out: the addon that is meant, the packet to replay, the words of a refusal, and the keys that tell
//! whose query a later cancel request is about.
//!
//! Where a choice is left open the server's own behaviour decides (`backend_startup.c`): a client must not
//! be able to tell the edge from a PostgreSQL server - one that has no TLS, where none is offered.

mod cancel;
mod fault;
mod refusal;
mod startup;
mod tls;
mod watch;

pub use cancel::{CancelKey, CancelRequest};
pub use startup::{Startup, recognise};
pub use tls::open_tls;
pub use watch::{KeyWatch, Watched};

/// The four bytes at `at`, in network order. The caller has checked the length.
fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let word = bytes.get(at..at.checked_add(4)?)?;
    Some(u32::from_be_bytes(word.try_into().ok()?))
}
