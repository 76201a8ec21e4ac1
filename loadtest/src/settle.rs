//! After a measured phase: a moment in which nothing is sent, and one delivery too many would be noticed.

use crate::script::Next;

/// Quiet time after the last delivery.
const QUIET_NS: u64 = 100_000_000;

/// Over after this even if deliveries keep coming.
const SETTLE_MAX_NS: u64 = 5_000_000_000;

/// The moment.
#[derive(Clone, Copy, Debug)]
pub struct Settle {
    start_ns: u64,
}

impl Settle {
    /// Begins at `start_ns`.
    pub fn new(start_ns: u64) -> Self {
        Self { start_ns }
    }

    /// What to do at `now_ns`, when the last delivery came at `last_arrival_ns`.
    pub fn poll(self, last_arrival_ns: u64, now_ns: u64) -> Next {
        let quiet_ns = last_arrival_ns.max(self.start_ns) + QUIET_NS;
        if now_ns >= quiet_ns || now_ns >= self.start_ns + SETTLE_MAX_NS {
            Next::Done
        } else {
            Next::WaitUntil(quiet_ns)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_arrival_prolongs_it_up_to_a_limit() {
        let settle = Settle::new(0);
        assert_eq!(settle.poll(0, 1), Next::WaitUntil(QUIET_NS));
        assert_eq!(settle.poll(QUIET_NS - 1, QUIET_NS), Next::WaitUntil(2 * QUIET_NS - 1));
        assert_eq!(settle.poll(0, QUIET_NS), Next::Done);
        assert_eq!(settle.poll(SETTLE_MAX_NS, SETTLE_MAX_NS), Next::Done);
    }
}
