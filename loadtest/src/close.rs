//! The end of a run: every socket says goodbye, and the server has a moment to answer.

use crate::script::{Ending, Next, Script};
use crate::worker::Worker;

/// Time for the closing handshakes of all sockets. Whether they succeed is churn's business, not this
/// phase's.
const GOODBYE_NS: u64 = 2_000_000_000;

/// RFC 6455 7.4.1: normal closure.
pub const NORMAL: u16 = 1000;

/// Closing handshakes begun before the answers are read.
const CLOSES_PER_POLL_MAX: u32 = 256;

/// Closes all sockets of a thread.
pub struct Close {
    next: u32,
    closing: u32,
    until_ns: u64,
}

impl Close {
    /// Begins at `now_ns`.
    pub fn new(now_ns: u64) -> Self {
        Self { next: 0, closing: 0, until_ns: now_ns + GOODBYE_NS }
    }
}

impl Script for Close {
    fn poll(&mut self, worker: &mut Worker, now_ns: u64) -> Next {
        let end = self.next.saturating_add(CLOSES_PER_POLL_MAX).min(worker.slots());
        for slot in self.next..end {
            if worker.is_open(slot) {
                worker.send_close(slot, NORMAL);
                self.closing += 1;
            }
        }
        self.next = end;
        let all_asked = end == worker.slots();
        if now_ns >= self.until_ns || (all_asked && self.closing == 0) {
            (0..worker.slots()).for_each(|slot| worker.close(slot));
            return Next::Done;
        }
        Next::WaitUntil(if all_asked { self.until_ns } else { now_ns })
    }

    fn handle_end(&mut self, _worker: &mut Worker, _slot: u32, _ending: Ending, _now_ns: u64) {
        self.closing = self.closing.saturating_sub(1);
    }
}
