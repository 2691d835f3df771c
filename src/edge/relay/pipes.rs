//! The core's pipes. A flow holds one only while bytes are in it.

use std::io;

use crate::sys::Pipe;

/// A bounded pool of pipes.
pub struct Pipes {
    free: Vec<Pipe>,
    in_use: u32,
    max: u32,
    size: usize,
}

impl Pipes {
    /// A pool of at most `max` pipes of `size` bytes each.
    pub fn new(max: u32, size: usize) -> Self {
        Pipes { free: Vec::new(), in_use: 0, max, size }
    }

    /// An empty pipe, if one is to be had.
    pub fn take(&mut self) -> io::Result<Pipe> {
        if self.in_use >= self.max {
            return Err(io::Error::from_raw_os_error(libc::ENFILE));
        }
        let pipe = match self.free.pop() {
            Some(pipe) => pipe,
            None => Pipe::new(self.size)?,
        };
        self.in_use += 1;
        Ok(pipe)
    }

    /// Takes a pipe back. One that still holds bytes is closed: they must not reach another connection.
    pub fn give_back(&mut self, pipe: Pipe) {
        self.in_use -= 1;
        if pipe.holds() == 0 {
            self.free.push(pipe);
        }
    }

    /// Pipes that are held by flows.
    pub fn in_use(&self) -> u32 {
        self.in_use
    }

    /// Closes pipes that are not needed now, keeping `keep`.
    pub fn shrink(&mut self, keep: usize) {
        self.free.truncate(keep);
    }
}
