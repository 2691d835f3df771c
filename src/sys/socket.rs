//! Descriptors that neither std nor socket2 has.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// An eventfd(2): a counter that another thread, or the kernel, can wake a poller with.
#[derive(Debug)]
pub struct EventFd(OwnedFd);

impl EventFd {
    /// A non-blocking, close-on-exec eventfd with the value 0.
    pub fn new() -> io::Result<Self> {
        // SAFETY: eventfd takes no pointer; a descriptor it returns belongs to nobody else.
        unsafe {
            let fd = libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC);
            if fd < 0 { Err(io::Error::last_os_error()) } else { Ok(EventFd(OwnedFd::from_raw_fd(fd))) }
        }
    }

    /// Makes the eventfd readable.
    pub fn notify(&self) {
        let one = 1u64.to_ne_bytes();
        // SAFETY: writes eight bytes from a live array. It fails only when the counter is full (EAGAIN), and
        // then the eventfd is readable already.
        unsafe { libc::write(self.0.as_raw_fd(), one.as_ptr().cast(), one.len()) };
    }

    /// Watches the eventfd from the calling thread's tokio runtime.
    pub fn watch(&self) -> io::Result<AsyncFd<OwnedFd>> {
        let copy = self.0.try_clone()?;
        // SAFETY: the AsyncFd owns the descriptor, an OwnedFd always names the same open file, and nobody takes
        // it out.
        unsafe { AsyncFd::register_with_interest(copy, Interest::READABLE) }.map_err(io::Error::from)
    }

    /// Makes the eventfd unreadable until the next [`EventFd::notify`].
    pub fn reset(&self) {
        let mut count = [0u8; 8];
        // SAFETY: reads eight bytes into a live array. EAGAIN means that it was unreadable already.
        unsafe { libc::read(self.0.as_raw_fd(), count.as_mut_ptr().cast(), count.len()) };
    }
}

impl AsFd for EventFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for EventFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Makes close(2) of this TCP socket send RST instead of FIN (SO_LINGER with 0, socket(7)).
pub fn reset_on_close(socket: BorrowedFd) {
    // An error leaves an ordinary close, which is all that can be done about it.
    let _ = socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO));
}

/// Whether the peer has closed both directions or reset the connection. Does not wait and takes no bytes.
pub fn peer_has_gone(socket: BorrowedFd) -> bool {
    let mut poll = libc::pollfd { fd: socket.as_raw_fd(), events: 0, revents: 0 };
    // SAFETY: one live pollfd, no waiting.
    let ready = unsafe { libc::poll(&raw mut poll, 1, 0) };
    ready > 0 && poll.revents & (libc::POLLHUP | libc::POLLERR) != 0
}
