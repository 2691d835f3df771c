//! The receive buffers of a ring, shared with the kernel (provided buffers, io_uring_setup_buf_ring(3)).

use std::io;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

use super::memory::Mapping;
use super::ring::RingSettings;

/// A receive buffer that the kernel has handed out. It has to be given back by [`Ring::give_back`](super::Ring), once.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct BufferId(u16);

/// The only group of buffers that a ring has.
pub(super) const BUFFER_GROUP: u16 = 0;

/// The provided-buffer ring: an array of entries shared with the kernel, and the buffers they name.
///
/// The kernel uses its buffers in turn, so it would walk through all of the memory, and every message would find
/// its buffer out of the cache. It is therefore given few of them, the *stock*, as long as few will do.
pub(super) struct Buffers {
    entries: Mapping,
    memory: Mapping,
    count: u16,
    size: usize,
    tail: u16,
    in_use: u32,
    /// How many the kernel has.
    stocked: u16,
    /// How many it should have.
    stock: u16,
    /// Those that nobody has.
    spare: Vec<u16>,
}

/// As few buffers as the kernel is ever given.
const STOCK_MIN: u16 = 64;
/// Between two buffers. Without it all of them would begin in the same few sets of the cache.
const GAP: usize = 64;

impl Buffers {
    /// Shares entries and memory for the buffers with the kernel.
    pub(super) fn register(uring: &IoUring, settings: RingSettings) -> io::Result<Self> {
        let (count, size) = (settings.buffers, settings.buffer_size as usize);
        assert!(count.is_power_of_two() && count <= 32768, "checked by the configuration");
        let entries = Mapping::new(usize::from(count) * size_of::<BufRingEntry>())?;
        let memory = Mapping::new(usize::from(count) * (size + GAP))?;
        // SAFETY: the mapping is page-aligned, large enough for `count` entries, and never unmapped.
        unsafe { uring.submitter().register_buf_ring(entries.at(0) as u64, count, BUFFER_GROUP)? };
        let (stock, spare) = (STOCK_MIN.min(count), (0..count).rev().collect());
        let mut buffers =
            Buffers { entries, memory, count, size, tail: 0, in_use: 0, stocked: 0, stock, spare };
        buffers.fill_up();
        Ok(buffers)
    }

    /// The kernel has put bytes into this buffer.
    pub(super) fn handed_out(&mut self, id: u16) -> BufferId {
        self.in_use += 1;
        self.stocked -= 1;
        BufferId(id)
    }

    /// The kernel may have it again.
    pub(super) fn give_back(&mut self, BufferId(id): BufferId) {
        self.in_use -= 1;
        self.spare.push(id);
        self.fill_up();
    }

    /// As [`super::Ring::widen`].
    pub(super) fn widen(&mut self) -> bool {
        let before = self.stock;
        self.stock = before.saturating_mul(2).min(self.count);
        self.fill_up();
        self.stock > before
    }

    /// As [`super::Ring::narrow`].
    pub(super) fn narrow(&mut self) {
        self.stock = (self.stock - self.stock / 4).max(STOCK_MIN.min(self.count));
    }

    /// How many are handed out.
    pub(super) fn in_use(&self) -> u32 {
        self.in_use
    }

    /// Bytes in one buffer.
    pub(super) fn size(&self) -> u32 {
        self.size as u32
    }

    /// The buffer that was used last is the first to be used again.
    fn fill_up(&mut self) {
        while self.stocked < self.stock
            && let Some(id) = self.spare.pop()
        {
            self.provide(id);
        }
    }

    fn provide(&mut self, id: u16) {
        self.stocked += 1;
        let slot = usize::from(self.tail & (self.count - 1));
        let entry: *mut BufRingEntry = self.entries.at(slot * size_of::<BufRingEntry>()).cast();
        let address = self.memory.at(usize::from(id) * (self.size + GAP)) as u64;
        // SAFETY: `slot` is inside the array; the kernel reads an entry only below the tail, which is moved
        // afterwards with release order, and only this thread writes (SINGLE_ISSUER).
        unsafe {
            (*entry).set_addr(address);
            (*entry).set_len(self.size as u32);
            (*entry).set_bid(id);
        }
        self.tail = self.tail.wrapping_add(1);
        // SAFETY: the tail lies in the first entry's reserved field, is aligned, and lives as long as the process.
        unsafe {
            let tail = BufRingEntry::tail(self.entries.at(0).cast());
            AtomicU16::from_ptr(tail.cast_mut()).store(self.tail, Ordering::Release);
        }
    }

    /// Where a part of a buffer lies.
    ///
    /// # Panics
    /// When the range is not inside the buffer.
    pub(super) fn range(&self, BufferId(id): &BufferId, offset: u32, len: u32) -> *const u8 {
        let end = offset as usize + len as usize;
        assert!(*id < self.count && end <= self.size, "bytes {offset}+{len} of buffer {id}");
        self.memory.at(usize::from(*id) * (self.size + GAP) + offset as usize)
    }
}
