//! The deadline that a shard sleeps for, as an operation of its first ring.
//!
//! Owns the decision when to arm or move it. A timer that fires too early costs one turn; a deadline that only
//! ever moves away (a ping put off by each message) must not cost a request a turn. So the timer is moved to
//! earlier deadlines only.

use std::time::Duration;

use io_uring::types::Timespec;

use super::request::Request;

/// The shard's only timer.
pub(super) struct Timer {
    armed_ms: Option<u64>,
    /// Read by the kernel when it consumes the request, so it must not move.
    wait: Box<Timespec>,
}

impl Timer {
    /// Not armed.
    pub(super) fn new() -> Self {
        Self { armed_ms: None, wait: Box::new(Timespec::new()) }
    }

    /// What to submit so that the shard wakes at `deadline_ms` at the latest. The request must be submitted before
    /// the next call, and before `self` is dropped.
    pub(super) fn aim(&mut self, deadline_ms: u64, now_ms: u64) -> Option<Request> {
        let armed_ms = self.armed_ms;
        if armed_ms.is_some_and(|armed_ms| armed_ms <= deadline_ms) {
            return None;
        }
        self.armed_ms = Some(deadline_ms);
        *self.wait = Timespec::from(Duration::from_millis(deadline_ms.saturating_sub(now_ms)));
        let wait = &raw const *self.wait;
        Some(match armed_ms {
            // SAFETY: `wait` is boxed, and by the contract above it is not touched before the kernel read it.
            None => unsafe { Request::timer(wait) },
            // SAFETY: as above.
            Some(_) => unsafe { Request::move_timer(wait) },
        })
    }

    /// The timer has fired.
    pub(super) fn fired(&mut self) {
        self.armed_ms = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_earlier_deadline_costs_a_request() {
        let mut timer = Timer::new();
        assert!(timer.aim(100, 0).is_some());
        assert!(timer.aim(100, 1).is_none());
        assert!(timer.aim(200, 2).is_none());
        assert!(timer.aim(50, 3).is_some());
        assert!(timer.aim(100, 4).is_none());
        timer.fired();
        assert!(timer.aim(100, 50).is_some());
    }
}
