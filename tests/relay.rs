//! The promise of the relay: bytes in equal bytes out, whatever either side does and however scarce buffers and pipes
//! are; an end is passed on as what it is, behind the last byte; who does not read holds up nobody else; and who does
//! nothing costs nothing.

#![allow(clippy::unwrap_used, reason = "a test")]

mod common;
mod relay {
    mod conversation;
    mod conversations;
    mod ends;
    mod idle;
    mod lanes;
    mod scarcity;
    mod stalls;
}
