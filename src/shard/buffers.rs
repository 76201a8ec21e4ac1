//! The receive buffers that a ring's kernel side takes by itself, and gives to us with each completion.
//!
//! Owns the memory and the ring of free buffers. A buffer belongs to the kernel until a completion names it, then
//! to us until [`ReceiveBuffers::give_back`]; the kernel sees what was given back at the next
//! [`ReceiveBuffers::publish`].
//!
//! ```text
//!   mapping:  | entry 0 | entry 1 | ... | entry n-1 |  pad to a page  | buffer 0 | buffer 1 | ... | buffer n-1 |
//!               ^ its last two bytes are the tail, which only we write
//! ```

use std::io;
use std::ptr::{self, NonNull};
use std::slice;
use std::sync::atomic::{AtomicU16, Ordering};

use io_uring::IoUring;
use io_uring::types::BufRingEntry;

use super::request::RECEIVE_GROUP;

/// Most buffers of one ring: the kernel's limit.
pub(super) const RECEIVE_COUNT_MAX: u16 = 1 << 15;

/// The largest alignment of a page on the machines Linux runs on is not worth supporting; the kernel wants the
/// entries page-aligned, and mmap does that, so this only separates entries from buffers.
const PAGE_BYTES: usize = 4_096;

/// Buffers of one ring, registered as group [`RECEIVE_GROUP`].
pub(super) struct ReceiveBuffers {
    memory: NonNull<u8>,
    memory_bytes: usize,
    buffers_offset: usize,
    buffer_bytes: usize,
    mask: u16,
    tail: u16,
}

impl ReceiveBuffers {
    /// Maps `count` buffers (a power of two) of `bytes` each, and registers them.
    ///
    /// The buffers must outlive `ring`'s use of them: the owner drops the ring first, or [`Self::unregister`]s.
    pub(super) fn register(ring: &IoUring, count: u16, bytes: usize) -> io::Result<Self> {
        assert!(count.is_power_of_two() && count <= RECEIVE_COUNT_MAX && bytes > 0);
        let entries_bytes = usize::from(count) * size_of::<BufRingEntry>();
        let buffers_offset = entries_bytes.next_multiple_of(PAGE_BYTES);
        let memory_bytes = buffers_offset + usize::from(count) * bytes;
        let memory = map(memory_bytes)?;
        let mut buffers =
            Self { memory, memory_bytes, buffers_offset, buffer_bytes: bytes, mask: count - 1, tail: 0 };
        let address = memory.as_ptr() as u64;
        // SAFETY: the mapping is page-aligned, holds `count` entries, and stays until the owner has dropped the
        // ring or unregistered the group (`Drop` only unmaps).
        unsafe { ring.submitter().register_buf_ring_with_flags(address, count, RECEIVE_GROUP, 0) }?;
        for id in 0..count {
            buffers.give_back(id);
        }
        buffers.publish();
        Ok(buffers)
    }

    /// Takes the buffers away from the kernel. From here on the memory may be dropped.
    pub(super) fn unregister(ring: &IoUring) {
        // It fails only if the group is not registered.
        let _ = ring.submitter().unregister_buf_ring(RECEIVE_GROUP);
    }

    /// The first `length` bytes of a buffer that a completion named.
    pub(super) fn bytes(&mut self, id: u16, length: usize) -> &mut [u8] {
        assert!(id <= self.mask && length <= self.buffer_bytes);
        let offset = self.buffers_offset + usize::from(id) * self.buffer_bytes;
        // SAFETY: buffer `id` lies inside the mapping, because `id <= mask`.
        let start = unsafe { self.memory.as_ptr().add(offset) };
        // SAFETY: `length` bytes from `start` lie inside the buffer; the mapping was zeroed by the kernel, so they
        // are initialised; the kernel does not touch a buffer that it has named until it is given back, and
        // `&mut self` keeps us from giving it back while the slice lives.
        unsafe { slice::from_raw_parts_mut(start, length) }
    }

    /// Puts a buffer that a completion named at the end of the ring.
    pub(super) fn give_back(&mut self, id: u16) {
        assert!(id <= self.mask);
        let address =
            self.memory.as_ptr() as u64 + (self.buffers_offset + usize::from(id) * self.buffer_bytes) as u64;
        let index = usize::from(self.tail & self.mask);
        // SAFETY: the mapping begins with `mask + 1` entries and `index <= mask`.
        let entry = unsafe { self.memory.as_ptr().cast::<BufRingEntry>().add(index) };
        // SAFETY: the kernel reads entries only below the published tail, and this one is above; zeroed memory is
        // a valid entry. The setters leave the tail, which shares entry 0, alone.
        let entry = unsafe { &mut *entry };
        entry.set_addr(address);
        entry.set_len(self.buffer_bytes as u32);
        entry.set_bid(id);
        self.tail = self.tail.wrapping_add(1);
    }

    /// Gives the memory of the buffers back to the system until they are filled again. Whatever they hold is lost: no
    /// completion may have named one that was not given back.
    pub(super) fn rest(&mut self) {
        let bytes = self.memory_bytes - self.buffers_offset;
        // SAFETY: the offset lies inside the mapping.
        let start = unsafe { self.memory.as_ptr().add(self.buffers_offset) };
        // SAFETY: the range is that of the buffers, which are ours, and zeroed memory is a valid buffer. It fails where
        // pages are larger than ours; then the memory stays.
        unsafe { libc::madvise(start.cast(), bytes, libc::MADV_DONTNEED) };
    }

    /// Shows the kernel what was given back.
    pub(super) fn publish(&mut self) {
        let first = self.memory.as_ptr().cast::<BufRingEntry>();
        // SAFETY: `first` is the first entry of the ring.
        let tail = unsafe { BufRingEntry::tail(first) };
        // SAFETY: the tail is two aligned bytes inside the mapping, written by us alone and read atomically by the
        // kernel.
        let tail = unsafe { AtomicU16::from_ptr(tail.cast_mut()) };
        // Release: the entries are seen before the tail that covers them.
        tail.store(self.tail, Ordering::Release);
    }
}

impl Drop for ReceiveBuffers {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, whole, and by the rule of `register` the kernel no longer uses it.
        unsafe { libc::munmap(self.memory.as_ptr().cast(), self.memory_bytes) };
    }
}

/// Zeroed, page-aligned memory that costs nothing until it is touched.
fn map(bytes: usize) -> io::Result<NonNull<u8>> {
    let protection = libc::PROT_READ | libc::PROT_WRITE;
    let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
    // SAFETY: a new anonymous mapping at an address of the kernel's choice touches no memory of ours.
    let memory = unsafe { libc::mmap(ptr::null_mut(), bytes, protection, flags, -1, 0) };
    if memory == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    Ok(NonNull::new(memory.cast()).expect("mmap without MAP_FIXED never returns address 0"))
}
