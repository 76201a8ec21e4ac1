//! The only place of a shard that reads a clock.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::object::driver::Now;

/// Reads the time as a world wants it. Copies of one clock agree, so all shards of a process share its base and a
/// time may travel in a mesh message.
#[derive(Clone, Copy, Debug)]
pub(super) struct Clock {
    base: Instant,
}

impl Clock {
    /// A clock whose monotonic time begins now.
    pub(super) fn start() -> Self {
        Self { base: Instant::now() }
    }

    /// The time. Milliseconds are rounded down, so a wait of `deadline_ms - monotonic_ms` that starts after this
    /// call never ends before the deadline.
    pub(super) fn read(&self) -> Now {
        let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Now {
            monotonic_ms: self.base.elapsed().as_millis() as u64,
            // A clock set before 1970 is shown as 1970.
            wall_ms: wall.as_millis() as u64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn monotonic_time_begins_near_zero_and_never_falls() {
        let clock = Clock::start();
        let mut last = clock.read();
        for _ in 0..1_000 {
            let now = clock.read();
            assert!(now.monotonic_ms >= last.monotonic_ms);
            last = now;
        }
        assert!(last.wall_ms > 1_600_000_000_000);
    }
}
