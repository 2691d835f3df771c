//! The promise of the relay: bytes in equal bytes out, whatever either side does and however scarce buffers and pipes
//! are.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;
mod relay {
    mod conversation;
    mod conversations;
}
