//! The one clock of a run: monotonic nanoseconds since the program started, comparable across its threads.

use std::time::{Duration, Instant};

/// Nanoseconds per second.
pub const SECOND_NS: u64 = 1_000_000_000;

/// Copies of one clock agree with each other.
#[derive(Clone, Copy, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock that shows zero now.
    pub fn start() -> Self {
        Self { origin: Instant::now() }
    }

    /// Nanoseconds since the start.
    pub fn now_ns(&self) -> u64 {
        nanoseconds(self.origin.elapsed())
    }
}

/// A duration in nanoseconds; what does not fit (584 years) is the maximum.
pub fn nanoseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}
