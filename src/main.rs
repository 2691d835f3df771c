//! The story in one screen: parse the command line; serve, or talk to the control socket.

mod serve;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    pierhead::cli::run(serve::serve)
}
