//! The relay's ring: `SINGLE_ISSUER | DEFER_TASKRUN`, with a provided-buffer ring and an eventfd.
//!
//! Completions are made only while the owning thread is inside [`Ring::enter`] (DEFER_TASKRUN); the kernel
//! announces that there is work by the TASKRUN flag, which costs no system call to read, and by the eventfd,
//! on which another event loop can wait. See io_uring_setup(2) and io_uring_register(2).

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

use io_uring::types::{CancelBuilder, Fd, SubmitArgs, Timespec};
use io_uring::{IoUring, cqueue, opcode, squeue};

use super::buffers::{BUFFER_GROUP, BufferId, Buffers};
use super::socket::EventFd;

/// Sizes of a ring.
#[derive(Clone, Copy, Debug)]
pub struct RingSettings {
    /// Submission entries; completion entries are four times as many.
    pub entries: u32,
    /// Receive buffers; a power of two, at most 32,768.
    pub buffers: u16,
    /// Bytes in one buffer.
    pub buffer_size: u32,
}

/// What became of a request.
#[derive(Debug)]
pub struct Completion {
    /// The number that the request was submitted with.
    pub token: u64,
    /// As the system call would have returned it; errors are negative errno values.
    pub result: i32,
    /// The receive buffer that was used.
    pub buffer: Option<BufferId>,
    /// The descriptor that an accept has returned.
    pub accepted: Option<OwnedFd>,
    /// Whether the same request will complete again (multishot).
    pub more: bool,
}

/// The ring of one core.
pub struct Ring {
    uring: IoUring,
    buffers: Buffers,
    event: EventFd,
}

/// Marks the tokens of accepts: their results are descriptors.
const ACCEPT: u64 = 1 << 63;
/// IORING_ENTER_GETEVENTS: run deferred task work (io_uring_enter(2)).
const ENTER_GETEVENTS: u32 = 1;
/// IORING_RECVSEND_POLL_FIRST: do not try before the socket is readable (io_uring_prep_recv(3)).
const RECVSEND_POLL_FIRST: u16 = 1;

impl Ring {
    /// Sets up a ring that only the calling thread may use.
    pub fn new(settings: RingSettings) -> io::Result<Self> {
        let uring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_clamp()
            .setup_cqsize(settings.entries * 4)
            .build(settings.entries)?;
        let event = EventFd::new()?;
        uring.submitter().register_eventfd(event.as_raw_fd())?;
        let buffers = Buffers::register(&uring, settings)?;
        Ok(Ring { uring, buffers, event })
    }

    /// Becomes readable when completions wait for [`Ring::enter`]. Need not be read: wait edge-triggered.
    pub fn event(&self) -> &EventFd {
        &self.event
    }

    /// Receives whatever arrives until told to stop, each time into a buffer of the ring. Ends (`more` is
    /// false) with 0 at the end of the stream, with an error, or with ENOBUFS when no buffer is free.
    pub fn recv_multi(&mut self, socket: BorrowedFd, token: u64) {
        self.push(opcode::RecvMulti::new(Fd(socket.as_raw_fd()), BUFFER_GROUP).build(), token);
    }

    /// Receives once, into a buffer of the ring. With `poll_first` the socket is not tried before it is readable.
    pub fn recv(&mut self, socket: BorrowedFd, poll_first: bool, token: u64) {
        let size = self.buffers.size();
        let mut entry = opcode::Recv::new(Fd(socket.as_raw_fd()), std::ptr::null_mut(), size)
            .buf_group(BUFFER_GROUP)
            .build()
            .flags(squeue::Flags::BUFFER_SELECT);
        if poll_first {
            set_ioprio(&mut entry, RECVSEND_POLL_FIRST);
        }
        self.push(entry, token);
    }

    /// Sends part of a buffer. Never waits: a socket that is full completes with EAGAIN or a short count.
    ///
    /// # Panics
    /// When the range is not inside the buffer.
    pub fn send(&mut self, socket: BorrowedFd, buffer: &BufferId, offset: u32, len: u32, token: u64) {
        let address = self.buffers.range(buffer, offset, len);
        let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
        self.push(opcode::Send::new(Fd(socket.as_raw_fd()), address, len).flags(flags).build(), token);
    }

    /// Completes once when one of the `events` (`POLLIN`, `POLLOUT`, ...) is there, or `POLLRDHUP`, `POLLHUP` or
    /// `POLLERR`, which io_uring always tells (IO_POLL_UNMASK, io_uring/poll.c).
    pub fn poll(&mut self, file: BorrowedFd, events: i16, token: u64) {
        self.push(opcode::PollAdd::new(Fd(file.as_raw_fd()), events as u32).build(), token);
    }

    /// Completes each time one of the `events` newly is there, until told to stop.
    pub fn poll_multi(&mut self, file: BorrowedFd, events: i16, token: u64) {
        let poll = opcode::PollAdd::new(Fd(file.as_raw_fd()), events as u32).multi(true).build();
        self.push(poll, token);
    }

    /// Accepts connections until told to stop; each completes with a non-blocking, close-on-exec descriptor.
    pub fn accept_multi(&mut self, listener: BorrowedFd, token: u64) {
        let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
        self.push(opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).flags(flags).build(), token | ACCEPT);
    }

    /// Cancels an accept.
    pub fn cancel_accept(&mut self, target: u64, token: u64) {
        self.cancel(target | ACCEPT, token);
    }

    /// Cancels the request that was submitted with `target`; that completes with ECANCELED.
    pub fn cancel(&mut self, target: u64, token: u64) {
        self.push(opcode::AsyncCancel2::new(CancelBuilder::user_data(target)).build(), token);
    }

    /// Submits what was asked for and collects what is complete. Returns at once when `wait` is none; else
    /// waits for the first completion, at most that long.
    pub fn enter(&mut self, wait: Option<Duration>) -> io::Result<()> {
        let submitter = self.uring.submitter();
        let result = match wait {
            None => {
                let pending = {
                    let mut queue = self.uring.submission();
                    queue.sync();
                    queue.len() as u32
                };
                // SAFETY: no argument is passed, and the pending entries point only to memory of this ring.
                unsafe { self.uring.submitter().enter::<libc::sigset_t>(pending, 0, ENTER_GETEVENTS, None) }
            }
            Some(Duration::MAX) => submitter.submit_and_wait(1),
            Some(limit) => {
                let limit = Timespec::new().sec(limit.as_secs()).nsec(limit.subsec_nanos());
                submitter.submit_with_args(1, &SubmitArgs::new().timespec(&limit))
            }
        };
        match result {
            Ok(_) => Ok(()),
            // ETIME: the wait is over. EINTR: a signal. EAGAIN, EBUSY: the kernel wants completions taken first.
            Err(error) => match error.raw_os_error() {
                Some(libc::ETIME | libc::EINTR | libc::EAGAIN | libc::EBUSY) => Ok(()),
                _ => Err(error),
            },
        }
    }

    /// Whether [`Ring::enter`] would find completions or requests to submit. Reads shared memory only.
    pub fn has_work(&mut self) -> bool {
        let queue = self.uring.submission();
        let asked = queue.taskrun() || queue.cq_overflow() || !queue.is_empty();
        drop(queue);
        asked || !self.uring.completion().is_empty()
    }

    /// Whether the kernel holds completions back until the next [`Ring::enter`]. Cheap enough to spin on.
    pub fn has_completions(&mut self) -> bool {
        self.uring.submission().taskrun() || !self.uring.completion().is_empty()
    }

    /// Moves all completions into `into`, so that handling them may submit and complete more.
    pub fn take_completions(&mut self, into: &mut Vec<Completion>) {
        let buffers = &mut self.buffers;
        into.extend(self.uring.completion().map(|entry| {
            let (token, result) = (entry.user_data(), entry.result());
            let accepted = (token & ACCEPT != 0 && result >= 0).then(|| {
                // SAFETY: the kernel has just installed this descriptor for this completion, and a completion
                // is taken from the ring once.
                unsafe { OwnedFd::from_raw_fd(result) }
            });
            let buffer = cqueue::buffer_select(entry.flags()).map(|id| buffers.handed_out(id));
            Completion { token: token & !ACCEPT, result, buffer, accepted, more: cqueue::more(entry.flags()) }
        }));
    }

    /// The first `len` bytes of a buffer.
    pub fn bytes(&self, buffer: &BufferId, offset: u32, len: u32) -> &[u8] {
        let address = self.buffers.range(buffer, offset, len);
        // SAFETY: the range is inside the mapping, initialised (zeroed by mmap), and the kernel does not write
        // to a buffer between handing it out and getting it back, which a BufferId stands for.
        unsafe { std::slice::from_raw_parts(address, len as usize) }
    }

    /// Hands a buffer back to the kernel.
    pub fn give_back(&mut self, buffer: BufferId) {
        self.buffers.give_back(buffer);
    }

    /// Lets the kernel have more of the buffers, if there are any that it has not had; whether there were. To be
    /// called when a receive has found none.
    pub fn widen(&mut self) -> bool {
        self.buffers.widen()
    }

    /// Takes some of the buffers out of use again. To be called now and then while [`Ring::widen`] is not.
    pub fn narrow(&mut self) {
        self.buffers.narrow();
    }

    /// How many buffers are handed out.
    pub fn buffers_in_use(&self) -> u32 {
        self.buffers.in_use()
    }

    /// Bytes in one buffer.
    pub fn buffer_size(&self) -> u32 {
        self.buffers.size()
    }

    fn push(&mut self, entry: squeue::Entry, token: u64) {
        let entry = entry.user_data(token);
        loop {
            // SAFETY: every entry points to buffers of this ring, which live as long as the process; descriptors
            // may be closed early, which the kernel answers with an error.
            if unsafe { self.uring.submission().push(&entry) }.is_ok() {
                return;
            }
            // The queue is full: submitting it is what makes room. An error is met again, and reported, by the
            // next `enter`.
            let _ = self.uring.submit();
        }
    }
}

fn set_ioprio(entry: &mut squeue::Entry, value: u16) {
    // SAFETY: an Entry is a transparent `struct io_uring_sqe`, whose `ioprio` is the u16 at byte 2; io-uring 0.6
    // has no setter for it.
    unsafe { std::ptr::from_mut(entry).cast::<u16>().add(1).write(value) };
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    use super::*;

    fn ring() -> Ring {
        Ring::new(RingSettings { entries: 8, buffers: 16, buffer_size: 4096 }).unwrap()
    }

    fn wait(ring: &mut Ring) -> Vec<Completion> {
        let mut completions = vec![];
        ring.enter(Some(Duration::from_secs(5))).unwrap();
        ring.take_completions(&mut completions);
        completions
    }

    #[test]
    fn receives_sends_and_gives_buffers_back() {
        let (mut near, far) = UnixStream::pair().unwrap();
        far.set_nonblocking(true).unwrap();
        for poll_first in [false, true] {
            let mut ring = ring();
            for round in 0..100u64 {
                ring.recv(far.as_fd(), poll_first, round);
                near.write_all(b"ping").unwrap();
                let mut done = wait(&mut ring);
                let done = done.pop().unwrap();
                assert_eq!((done.token, done.result, done.more), (round, 4, false));
                let buffer = done.buffer.unwrap();
                assert_eq!((ring.bytes(&buffer, 0, 4), ring.buffers_in_use()), (&b"ping"[..], 1));
                ring.send(far.as_fd(), &buffer, 1, 3, 7);
                assert_eq!(wait(&mut ring).pop().unwrap().result, 3);
                ring.give_back(buffer);
                let mut answer = [0; 3];
                near.read_exact(&mut answer).unwrap();
                assert_eq!(&answer, b"ing");
            }
            assert_eq!(ring.buffers_in_use(), 0);
        }
    }

    #[test]
    fn multishot_ends_with_nobufs_when_nothing_is_given_back() {
        let (mut near, far) = UnixStream::pair().unwrap();
        let mut ring = ring();
        ring.recv_multi(far.as_fd(), 1);
        near.write_all(&[7; 17 * 4096]).unwrap();
        let mut all = vec![];
        while all.last().is_none_or(|last: &Completion| last.more) {
            all.append(&mut wait(&mut ring));
        }
        assert_eq!(all.pop().unwrap().result, -libc::ENOBUFS);
        assert_eq!((all.len(), ring.buffers_in_use()), (16, 16));
    }

    #[test]
    fn a_wait_ends_in_time() {
        let mut ring = ring();
        let start = std::time::Instant::now();
        ring.enter(Some(Duration::from_millis(20))).unwrap();
        assert!(start.elapsed() >= Duration::from_millis(15));
        assert!(!ring.has_work());
    }
}
