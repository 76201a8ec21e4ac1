//! What one thread still waits for: the open rounds of each room, and how many of the thread's own sockets
//! have not had them yet.

use std::collections::VecDeque;

/// A round some of whose messages are still awaited.
#[derive(Clone, Copy, Debug)]
struct Open {
    missing: u32,
    intended_ns: u64,
}

/// The open rounds of one room, oldest first.
#[derive(Clone, Debug, Default)]
struct Room {
    /// Deliveries a whole round means for this thread.
    share: u32,
    /// The number of the round at the front of `open`.
    first: u32,
    open: VecDeque<Open>,
}

/// The open rounds of all rooms on one thread.
#[derive(Debug)]
pub struct Rounds {
    rooms: Vec<Room>,
    round_length: u32,
}

/// One thread's part of a round is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Complete {
    /// The room.
    pub room: u32,
    /// The round.
    pub round: u32,
    /// The earliest intended time among its messages.
    pub intended_ns: u64,
}

impl Rounds {
    /// `members[r]` is how many sockets of room `r` this thread has; a round is `round_length` messages.
    pub fn new(members: &[u32], round_length: u32) -> Self {
        let rooms =
            members.iter().map(|members| Room { share: members * round_length, ..Room::default() }).collect();
        Self { rooms, round_length }
    }

    /// Enters one delivery of `message` of `room`, which was to be sent at `intended_ns`. Each must be
    /// entered once.
    pub fn arrive(&mut self, room: u32, message: u32, intended_ns: u64) -> Option<Complete> {
        let round = message / self.round_length;
        let state = &mut self.rooms[room as usize];
        let at = round.checked_sub(state.first)? as usize;
        while state.open.len() <= at {
            state.open.push_back(Open { missing: state.share, intended_ns: u64::MAX });
        }
        let open = &mut state.open[at];
        debug_assert!(open.missing > 0, "a delivery of round {round} too many");
        open.missing = open.missing.saturating_sub(1);
        open.intended_ns = open.intended_ns.min(intended_ns);
        let complete = (open.missing == 0).then_some(Complete { room, round, intended_ns: open.intended_ns });
        while state.open.front().is_some_and(|open| open.missing == 0) {
            state.open.pop_front();
            state.first += 1;
        }
        complete
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_round_is_complete_with_its_last_delivery() {
        // Two sockets, rounds of two messages.
        let mut rounds = Rounds::new(&[2], 2);
        assert_eq!(rounds.arrive(0, 0, 50), None);
        assert_eq!(rounds.arrive(0, 1, 40), None);
        assert_eq!(rounds.arrive(0, 0, 50), None);
        assert_eq!(rounds.arrive(0, 1, 40), Some(Complete { room: 0, round: 0, intended_ns: 40 }));
    }

    #[test]
    fn rounds_may_complete_out_of_order() {
        let mut rounds = Rounds::new(&[1, 2], 1);
        assert_eq!(rounds.arrive(1, 0, 1), None);
        assert_eq!(rounds.arrive(1, 1, 2), None);
        assert_eq!(rounds.arrive(1, 1, 2).map(|complete| complete.round), Some(1));
        assert_eq!(rounds.arrive(1, 0, 1).map(|complete| complete.round), Some(0));
        assert_eq!(rounds.rooms[1].first, 2);
        assert_eq!(rounds.arrive(0, 7, 9).map(|complete| complete.round), Some(7));
    }
}
