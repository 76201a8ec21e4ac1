//! Exact deadlines of objects and of their handlers. Owns the order in time; whether a deadline still matters is
//! asked when it is due, so nothing is ever taken out early.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use super::planted::{Bug, is_planted};
use super::slab::Key;

/// What is to be done when a deadline has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Timer {
    /// See whether the object has been idle long enough.
    Idle(Key),
    /// See whether the event that runs is over its time.
    Event(Key, u64),
    /// See whether the constructor of the instance with this number is over its time.
    Construction(Key, u64),
    /// Construct again after a failure.
    Retry(Key),
    /// The object's tick, of the interval with this number.
    Tick(Key, u64),
    /// See which of the object's batches are old enough to leave.
    Batches(Key),
    /// Wake a sleeping handler.
    Sleep(Key),
    /// Give up waiting for the answer to a call.
    Call(Key),
}

/// Deadlines in order; equal ones in the order of their making, so that a seed replays.
#[derive(Debug, Default)]
pub(crate) struct Timers {
    heap: BinaryHeap<Reverse<(u64, u64, Timer)>>,
    made: u64,
}

impl Timers {
    pub(crate) fn insert(&mut self, deadline_ms: u64, timer: Timer) {
        self.made += 1;
        self.heap.push(Reverse((deadline_ms, self.made, timer)));
    }

    pub(crate) fn pop_due(&mut self, now_ms: u64) -> Option<Timer> {
        let Reverse((deadline_ms, _, timer)) = self.heap.peek()?;
        // Only what is not looked at again when it comes too early, and put back for ever.
        let early_ms = u64::from(is_planted(Bug::TimerEarly) && matches!(timer, Timer::Sleep(_)));
        if *deadline_ms > now_ms + early_ms {
            return None;
        }
        self.heap.pop().map(|Reverse((_, _, timer))| timer)
    }

    pub(crate) fn next_ms(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((deadline_ms, _, _))| *deadline_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_due_early_and_equal_deadlines_keep_their_order() {
        let mut timers = Timers::default();
        let [first, second, third] = [1, 2, 3].map(|index| Timer::Sleep(Key { index, generation: 0 }));
        timers.insert(20, first);
        timers.insert(10, second);
        timers.insert(10, third);
        assert_eq!(timers.pop_due(9), None);
        assert_eq!(timers.next_ms(), Some(10));
        let due: Vec<Timer> = std::iter::from_fn(|| timers.pop_due(20)).collect();
        assert_eq!(due, [second, third, first]);
    }
}
