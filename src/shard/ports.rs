//! What shards know of each other.
//!
//! Owns the part of each shard that other threads touch: bell, inbox, descriptors of its rings, and how far it is
//! with ending. Everything else of a shard is its own thread's.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};

use super::bell::Bell;
use super::inbox::Inbox;
use super::ring::Ring;
use crate::object::mesh::MeshMessage;

/// A shard as the others see it.
pub(super) struct Port {
    /// Wakes it.
    pub(super) bell: Arc<Bell>,
    /// Messages for it.
    pub(super) inbox: Inbox<MeshMessage>,
    rings: OnceLock<Box<[RingPort]>>,
    drained: AtomicBool,
    ended: AtomicBool,
}

impl Port {
    /// The port of a shard that has no rings yet.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            bell: Arc::new(Bell::new()?),
            inbox: Inbox::new(),
            rings: OnceLock::new(),
            drained: AtomicBool::new(false),
            ended: AtomicBool::new(false),
        })
    }

    /// Shows the shard's rings to the others; once.
    pub(super) fn open(&self, rings: Box<[RingPort]>) {
        assert!(self.rings.set(rings).is_ok(), "a shard opens its port once");
    }

    /// The rings; none before the shard has started.
    pub(super) fn rings(&self) -> &[RingPort] {
        self.rings.get().map_or(&[], |rings| rings)
    }

    /// Whether the shard, which is draining, has no socket left.
    pub(super) fn is_drained(&self) -> bool {
        self.drained.load(Ordering::Acquire) || self.has_ended()
    }

    /// Says so. Whether that is news.
    pub(super) fn set_drained(&self, drained: bool) -> bool {
        // Only the owner writes.
        self.drained.load(Ordering::Relaxed) != drained && {
            self.drained.store(drained, Ordering::Release);
            true
        }
    }

    /// Whether the shard takes nothing any more.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Says so: it has served to the end, failed or panicked.
    pub(super) fn end(&self) {
        self.ended.store(true, Ordering::Release);
    }
}

/// A ring as other shards see it.
pub(super) struct RingPort {
    /// A descriptor of its own, so that a hand-off to a shard that has just died reaches a dead ring, and never
    /// whatever the number names next.
    descriptor: OwnedFd,
    slots: u32,
    /// Slots in use, and those that a descriptor on the way will use.
    used: AtomicU32,
}

impl RingPort {
    /// The port of `ring`, whose table of `slots` is empty.
    pub(super) fn new(ring: &Ring, slots: u32) -> io::Result<Self> {
        Ok(Self { descriptor: ring.duplicate()?, slots, used: AtomicU32::new(0) })
    }

    /// Slots nobody has or is about to have.
    pub(super) fn free(&self) -> u32 {
        // A table that was filled by accepts while hand-offs were on the way counts both.
        self.slots.saturating_sub(self.used.load(Ordering::Relaxed))
    }

    /// Slots in use or about to be.
    pub(super) fn used(&self) -> u32 {
        self.used.load(Ordering::Relaxed)
    }

    /// Counts one slot as used.
    pub(super) fn take(&self) {
        self.used.fetch_add(1, Ordering::Relaxed);
    }

    /// Counts one slot as free again.
    pub(super) fn give_back(&self) {
        let before = self.used.fetch_sub(1, Ordering::Relaxed);
        debug_assert!(before > 0, "a slot was given back that nobody had");
    }
}

impl AsFd for RingPort {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor.as_fd()
    }
}

/// The index of the ring with the most free slots; `None` if there is no free slot.
pub(super) fn roomiest(rings: &[RingPort]) -> Option<usize> {
    let (index, ring) = rings.iter().enumerate().max_by_key(|(_, ring)| ring.free())?;
    (ring.free() > 0).then_some(index)
}
