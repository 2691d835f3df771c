//! Pipes and splice(2): bytes from socket to socket that never enter user space.
//!
//! Both sockets must be non-blocking: SPLICE_F_NONBLOCK alone does not keep the thread from waiting (RELAY §0.4).
//! A pipe holds a number of *slots*, not of bytes: how much fits depends on how the bytes arrived.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

/// A pipe for splicing, and how many bytes are in it.
#[derive(Debug)]
pub struct Pipe {
    read: OwnedFd,
    write: OwnedFd,
    holds: usize,
}

impl Pipe {
    /// A non-blocking, close-on-exec pipe of `size` bytes. Smaller when the user's quota is used up
    /// (fs.pipe-user-pages-soft, pipe(7)).
    pub fn new(size: usize) -> io::Result<Self> {
        let mut ends = [0; 2];
        // SAFETY: pipe2 writes two descriptors into a live array, which belong to nobody else.
        let (read, write) = unsafe {
            if libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK | libc::O_CLOEXEC) < 0 {
                return Err(io::Error::last_os_error());
            }
            (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1]))
        };
        // SAFETY: fcntl with an integer argument. A refusal leaves the default size, which works as well.
        unsafe { libc::fcntl(write.as_raw_fd(), libc::F_SETPIPE_SZ, size) };
        Ok(Pipe { read, write, holds: 0 })
    }

    /// Bytes in the pipe.
    pub fn holds(&self) -> usize {
        self.holds
    }

    /// Moves up to `max` bytes from the socket into the pipe; 0 at the end of the stream. `WouldBlock` means that
    /// the socket is empty or that the pipe is full: the kernel does not say which.
    pub fn fill(&mut self, socket: BorrowedFd, max: usize) -> io::Result<usize> {
        let count = splice(socket.as_raw_fd(), self.write.as_raw_fd(), max)?;
        self.holds += count;
        Ok(count)
    }

    /// Moves what is in the pipe to the socket, as far as that takes it.
    pub fn drain(&mut self, socket: BorrowedFd) -> io::Result<usize> {
        let count = splice(self.read.as_raw_fd(), socket.as_raw_fd(), self.holds)?;
        self.holds -= count;
        Ok(count)
    }
}

/// splice(2), never waiting, without SPLICE_F_MORE: that holds small segments back for 200 ms.
fn splice(from: i32, to: i32, max: usize) -> io::Result<usize> {
    let flags = libc::SPLICE_F_MOVE | libc::SPLICE_F_NONBLOCK;
    // SAFETY: no offsets are passed, so no memory of ours is touched; both descriptors are borrowed and live.
    let count = unsafe { libc::splice(from, std::ptr::null_mut(), to, std::ptr::null_mut(), max, flags) };
    if count < 0 { Err(io::Error::last_os_error()) } else { Ok(count as usize) }
}
