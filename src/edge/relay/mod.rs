//! The relay: bytes between two sockets, as fast as the kernel lets them go. What comes in is an established
//! pair of sockets and the completions of the core's ring; what goes out is a log line when the pair has ended.

mod engine;
pub mod flow;
mod pair;
mod pipes;
mod splice;
mod token;

pub use engine::{Engine, EngineSettings};
pub use flow::RelayMode;
pub use pair::{EndReason, Established, Story};
pub use token::{Op, Token};
