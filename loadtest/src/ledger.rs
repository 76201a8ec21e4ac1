//! Which messages each receiver has had: finds what is doubled or out of order, as it arrives.
//!
//! Messages of a room are numbered (see [`crate::schedule`]), so one number per receiver is enough as long as
//! they come in that order:
//!
//! ```text
//!   numbers   0 1 2 3 4 5 6 7 8
//!   had       x x x . x x
//!                   ^     ^
//!                   hole  next   a hole that is filled came late, anything else below `next` is doubled
//! ```
//!
//! Two senders may overtake each other on the way to the server, so coming late is no fault by itself: only
//! messages of *one* sender must keep their order. Lost is what has not arrived at the end; the ledger does
//! not decide when that is.

use std::collections::HashSet;

/// Open holes of all receivers of one thread together; beyond it, further holes are not remembered, and a
/// message that fills one of them would count as doubled. A run with a million holes has failed anyway.
const HOLES_MAX: usize = 1 << 20;

/// A number this far ahead of the next expected one is not believed.
const LEAP_MAX: u32 = 1 << 24;

/// What has been counted about deliveries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Whole messages that arrived for the first time.
    pub deliveries: u64,
    /// Messages that had arrived before.
    pub doubled: u64,
    /// Deliveries that a later message of the same sender has overtaken.
    pub reordered: u64,
    /// Messages that are not what was sent.
    pub corrupt: u64,
    /// Corrupt messages that stand for one that was expected; it is not lost as well.
    pub stand_ins: u64,
}

impl Tally {
    /// Adds another thread's counts.
    pub fn add(&mut self, other: &Self) {
        self.deliveries += other.deliveries;
        self.doubled += other.doubled;
        self.reordered += other.reordered;
        self.corrupt += other.corrupt;
        self.stand_ins += other.stand_ins;
    }

    /// How many of `expected` deliveries never came.
    pub fn lost(&self, expected: u64) -> u64 {
        expected.saturating_sub(self.deliveries + self.stand_ins)
    }
}

/// The receivers of one thread.
#[derive(Debug)]
pub struct Ledger {
    next: Vec<u32>,
    holes: HashSet<(u32, u32)>,
    tally: Tally,
}

impl Ledger {
    /// `receivers` of whom none has had anything.
    pub fn new(receivers: usize) -> Self {
        Self { next: vec![0; receivers], holes: HashSet::new(), tally: Tally::default() }
    }

    /// The counts so far.
    pub fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Enters the arrival of `message` at `receiver`; `later` yields the numbers of the same sender's later
    /// messages. Says whether it was the first arrival of this message.
    pub fn accept(&mut self, receiver: u32, message: u32, later: impl Iterator<Item = u32>) -> bool {
        let next = self.next[receiver as usize];
        if message == next {
            self.next[receiver as usize] = next + 1;
        } else if message > next {
            if message - next > LEAP_MAX {
                self.tally.corrupt += 1;
                return false;
            }
            let room = HOLES_MAX.saturating_sub(self.holes.len());
            self.holes.extend((next..message).take(room).map(|hole| (receiver, hole)));
            self.next[receiver as usize] = message + 1;
        } else if self.holes.remove(&(receiver, message)) {
            let mut later = later.take_while(|later| *later < next);
            if later.any(|later| !self.holes.contains(&(receiver, later))) {
                self.tally.reordered += 1;
            }
        } else {
            self.tally.doubled += 1;
            return false;
        }
        self.tally.deliveries += 1;
        true
    }

    /// Enters an arrival that was never meant for its receiver. It stands for nothing: what is expected still
    /// comes.
    pub fn accept_foreign(&mut self) {
        self.tally.corrupt += 1;
    }

    /// Enters a corrupt arrival at `receiver`. `sent` is how many messages the receiver is due so far: TCP
    /// keeps the order, so a corrupt message is taken for the next expected one, whose number is returned;
    /// when nothing is expected it stands for nothing.
    pub fn accept_corrupt(&mut self, receiver: u32, sent: u32) -> Option<u32> {
        self.tally.corrupt += 1;
        let next = &mut self.next[receiver as usize];
        if *next >= sent {
            return None;
        }
        *next += 1;
        self.tally.stand_ins += 1;
        Some(*next - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One sender: all numbers above are its later messages.
    fn accept(ledger: &mut Ledger, message: u32) -> bool {
        ledger.accept(0, message, message.saturating_add(1)..)
    }

    #[test]
    fn in_order_is_no_trouble() {
        let mut ledger = Ledger::new(2);
        for message in 0..100 {
            assert!(accept(&mut ledger, message));
            assert!(ledger.accept(1, message, message + 1..));
        }
        assert_eq!(*ledger.tally(), Tally { deliveries: 200, ..Tally::default() });
        assert_eq!(ledger.tally().lost(200), 0);
        assert_eq!(ledger.tally().lost(203), 3);
    }

    #[test]
    fn a_second_arrival_is_doubled() {
        let mut ledger = Ledger::new(1);
        for message in [0, 1, 1, 0] {
            accept(&mut ledger, message);
        }
        assert_eq!(*ledger.tally(), Tally { deliveries: 2, doubled: 2, ..Tally::default() });
    }

    #[test]
    fn a_late_message_is_reordered_once_and_then_doubled() {
        let mut ledger = Ledger::new(1);
        for message in [0, 2, 1, 1] {
            accept(&mut ledger, message);
        }
        assert_eq!(*ledger.tally(), Tally { deliveries: 3, doubled: 1, reordered: 1, ..Tally::default() });
    }

    #[test]
    fn late_behind_another_sender_is_no_fault() {
        // Even numbers come from one sender, odd ones from another.
        let mut ledger = Ledger::new(1);
        for message in [1u32, 3, 0, 2] {
            ledger.accept(0, message, (message + 2..).step_by(2));
        }
        assert_eq!(*ledger.tally(), Tally { deliveries: 4, ..Tally::default() });
    }

    #[test]
    fn a_corrupt_message_stands_for_the_next_expected_one() {
        let mut ledger = Ledger::new(1);
        accept(&mut ledger, 0);
        assert_eq!(ledger.accept_corrupt(0, 2), Some(1));
        assert_eq!(ledger.accept_corrupt(0, 2), None, "nothing is outstanding");
        assert_eq!(*ledger.tally(), Tally { deliveries: 1, corrupt: 2, stand_ins: 1, ..Tally::default() });
        assert_eq!(ledger.tally().lost(2), 0);
    }

    #[test]
    fn an_unbelievable_number_is_corrupt() {
        let mut ledger = Ledger::new(1);
        assert!(!accept(&mut ledger, u32::MAX));
        assert_eq!(ledger.tally().corrupt, 1);
    }
}
