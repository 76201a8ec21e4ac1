//! The end of a process's shards: when it was asked for, when a shard has nothing left, and when none has.
//!
//! A shard that has drained stays until all have, because a socket may still be on its way to it.

use std::sync::atomic::{AtomicU64, Ordering};

use super::driven::Driven;
use super::turn::Driver;

/// The request to drain.
#[derive(Debug)]
pub(super) struct Drain {
    /// Monotonic milliseconds; `u64::MAX` as long as nobody asked.
    deadline_ms: AtomicU64,
}

impl Drain {
    /// Nobody asked.
    pub(super) fn new() -> Self {
        Self { deadline_ms: AtomicU64::new(u64::MAX) }
    }

    /// Asks all shards to end at `deadline_ms` at the latest; an earlier request stands.
    pub(super) fn ask(&self, deadline_ms: u64) {
        self.deadline_ms.fetch_min(deadline_ms.min(u64::MAX - 1), Ordering::Release);
    }

    /// When the shards are to end, if they are.
    pub(super) fn deadline_ms(&self) -> Option<u64> {
        Some(self.deadline_ms.load(Ordering::Acquire)).filter(|&deadline_ms| deadline_ms != u64::MAX)
    }
}

impl<W: Driven> Driver<W> {
    /// Lets nobody else come and has the world close its sockets, once, when that was asked for. Whether all shards,
    /// this one included, had drained before this turn.
    pub(super) fn begin_drain_if_asked(&mut self) -> bool {
        if self.shared.drain.deadline_ms().is_none() {
            return false;
        }
        if !self.draining {
            self.draining = true;
            self.listener.begin_to_close(self.now.monotonic_ms);
            self.world.begin_drain();
        }
        self.listener.close_if_empty(self.now.monotonic_ms);
        self.shared.ports.iter().all(|port| port.is_drained())
    }

    /// Tells the others whether anything is left here. Whether this turn was the last.
    pub(super) fn is_over(&mut self, all_drained: bool) -> bool {
        let Some(deadline_ms) = self.shared.drain.deadline_ms().filter(|_| self.draining) else {
            return false;
        };
        let drained = self.has_drained();
        if self.port().set_drained(drained) {
            self.shared.ring_all();
            // This shard is awake, so its own bell does nothing.
            self.again = true;
        }
        (all_drained && drained) || self.now.monotonic_ms >= deadline_ms
    }

    fn has_drained(&self) -> bool {
        let sockets: u32 = self.port().rings().iter().map(|ring| ring.used()).sum();
        let has_closed = self.listener.socket().is_none();
        sockets == 0
            && has_closed
            && self.world.is_drained()
            && self.mesh.is_empty()
            && self.port().inbox.is_empty()
    }
}
