//! Waking a sleeping shard: an eventfd, and whether anyone needs to write to it.
//!
//! Owns the promise that no wake-up is lost. Whoever has something for a shard first puts it where the shard looks,
//! then calls [`Bell::ring`]. The shard first says that it is [going to sleep](Bell::doze), then looks once more.
//! Each side has a full barrier between its two steps, so at least one of them sees the other's first step.

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicBool, Ordering, fence};
use std::time::Duration;

use super::sys;

/// One shard's bell.
#[derive(Debug)]
pub(super) struct Bell {
    eventfd: OwnedFd,
    dozing: AtomicBool,
}

impl Bell {
    /// A bell of a shard that is awake.
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self { eventfd: sys::eventfd()?, dozing: AtomicBool::new(false) })
    }

    /// Wakes the shard if it sleeps or is about to. From any thread; costs no system call if it is awake.
    pub(super) fn ring(&self) {
        fence(Ordering::SeqCst);
        if self.dozing.load(Ordering::Relaxed) && self.dozing.swap(false, Ordering::Relaxed) {
            sys::eventfd_signal(self.eventfd.as_fd());
        }
    }

    /// The shard is about to sleep; it must look for work once more after this.
    pub(super) fn doze(&self) {
        self.dozing.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    /// The shard was woken, or found work after all and did not sleep.
    pub(super) fn awake(&self) {
        self.dozing.store(false, Ordering::Relaxed);
    }

    /// Waits until it rings, but no longer than `wait`. Whether it did.
    pub(super) fn nap(&self, wait: Duration) -> io::Result<bool> {
        sys::await_readable(self.eventfd.as_fd(), wait)
    }

    /// The shard has heard it. Whether it rang.
    pub(super) fn silence(&self) -> bool {
        sys::eventfd_reset(self.eventfd.as_fd())
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.eventfd.as_fd()
    }
}

impl AsRawFd for Bell {
    fn as_raw_fd(&self) -> RawFd {
        self.eventfd.as_raw_fd()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_dozing_shard_is_signalled_and_only_once() {
        let bell = Bell::new().unwrap();
        bell.ring();
        assert!(!bell.silence());
        bell.doze();
        bell.ring();
        bell.ring();
        assert!(bell.silence());
        bell.ring();
        assert!(!bell.silence());
        bell.doze();
        bell.awake();
        bell.ring();
        assert!(!bell.silence());
    }
}
