//! Who sends which message of a room. Arithmetic only: every thread can compute it without asking another.
//!
//! The messages of a room are numbered. A *round* is what is sent together: one message for a broadcast,
//! `--burst` of them for a burst. A round is divided into *turns*, one per sender, and the turns go around
//! the members of the room, so every socket sends before one sends again:
//!
//! ```text
//!   3 members, rounds of 4 messages by 2 senders     message   0 1   2 3   4 5   6 7   8 9  ...
//!                                                    round     0         1         2
//!                                                    sender    A     B     C     A     B
//!                                                    sequence  0 1   0 1   0 1   2 3   2 3
//! ```

/// Where a socket belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    room: u32,
    member: u32,
}

/// The rooms with their members, and the shape of a round.
#[derive(Clone, Debug)]
pub struct Schedule {
    rooms: Vec<Vec<u32>>,
    places: Vec<Option<Place>>,
    round: u32,
    turn: u32,
}

impl Schedule {
    /// `room_of_socket` names the room of each socket, `None` for those that are not connected. Rooms nobody
    /// is in vanish. A round is `round` messages by `senders` senders; `senders` must divide `round`.
    pub fn new(room_of_socket: &[Option<u32>], round: u32, senders: u32) -> Self {
        debug_assert!(senders > 0 && round.is_multiple_of(senders));
        let named = room_of_socket.iter().flatten().max().map_or(0, |last| *last as usize + 1);
        let mut members = vec![Vec::new(); named];
        for (socket, room) in room_of_socket.iter().enumerate() {
            if let Some(room) = room {
                members[*room as usize].push(socket as u32);
            }
        }
        members.retain(|room| !room.is_empty());
        let mut places = vec![None; room_of_socket.len()];
        for (room, sockets) in members.iter().enumerate() {
            for (member, socket) in sockets.iter().enumerate() {
                places[*socket as usize] = Some(Place { room: room as u32, member: member as u32 });
            }
        }
        Self { rooms: members, places, round, turn: round / senders }
    }

    /// How many rooms have members.
    pub fn rooms(&self) -> u32 {
        self.rooms.len() as u32
    }

    /// The sockets of a room.
    pub fn members(&self, room: u32) -> &[u32] {
        &self.rooms[room as usize]
    }

    /// The room of a socket.
    pub fn room(&self, socket: u32) -> Option<u32> {
        self.places.get(socket as usize).copied().flatten().map(|place| place.room)
    }

    /// Messages in a round.
    pub fn round_length(&self) -> u32 {
        self.round
    }

    /// The turns of a round: who sends, the first message number, the first sequence number of that sender.
    /// Each turn is [`Self::turn_length`] messages.
    pub fn turns(&self, room: u32, round: u32) -> impl Iterator<Item = Turn> {
        let members = self.members(room);
        let turns_per_round = self.round / self.turn;
        (round * turns_per_round..(round + 1) * turns_per_round).map(move |turn| Turn {
            sender: members[turn as usize % members.len()],
            message: turn * self.turn,
            sequence: turn / members.len() as u32 * self.turn,
        })
    }

    /// Messages one sender sends back to back.
    pub fn turn_length(&self) -> u32 {
        self.turn
    }

    /// The number in `room` of the message that `sender` counts as `sequence`; `None` when that sender is not
    /// there.
    pub fn message(&self, room: u32, sender: u32, sequence: u32) -> Option<u32> {
        let place = self.places.get(sender as usize).copied().flatten().filter(|place| place.room == room)?;
        let size = self.members(room).len() as u32;
        let turn = (sequence / self.turn).checked_mul(size)?.checked_add(place.member)?;
        turn.checked_mul(self.turn)?.checked_add(sequence % self.turn)
    }

    /// The numbers of the messages that the sender of one sends after it.
    pub fn later(&self, room: u32, sender: u32, sequence: u32) -> impl Iterator<Item = u32> {
        (sequence.saturating_add(1)..).map_while(move |sequence| self.message(room, sender, sequence))
    }
}

/// One sender's part of a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// Number of the socket that sends.
    pub sender: u32,
    /// Number of its first message in the room.
    pub message: u32,
    /// Number of its first message among its own.
    pub sequence: u32,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_drawing() {
        let schedule = Schedule::new(&[Some(0), Some(0), Some(0)], 4, 2);
        let sent: Vec<_> = (0..3).flat_map(|round| schedule.turns(0, round)).collect();
        let senders: Vec<_> = sent.iter().map(|turn| turn.sender).collect();
        assert_eq!(senders, [0, 1, 2, 0, 1, 2]);
        assert_eq!(sent[3], Turn { sender: 0, message: 6, sequence: 2 });
        assert_eq!(schedule.later(0, 0, 0).take(3).collect::<Vec<_>>(), [1, 6, 7]);
    }

    #[test]
    fn a_message_is_found_by_its_sender_and_sequence() {
        for (size, round, senders) in [(1, 1, 1), (3, 1, 1), (5, 16, 1), (5, 16, 16), (2, 16, 4), (7, 6, 2)] {
            let schedule = Schedule::new(&vec![Some(0); size], round, senders);
            let mut expected = 0;
            for turn in (0..40).flat_map(|round| schedule.turns(0, round)) {
                for offset in 0..schedule.turn_length() {
                    assert_eq!(turn.message + offset, expected);
                    assert_eq!(schedule.message(0, turn.sender, turn.sequence + offset), Some(expected));
                    expected += 1;
                }
            }
            assert_eq!(expected, 40 * round);
        }
    }

    #[test]
    fn sockets_that_are_not_connected_and_empty_rooms_vanish() {
        let schedule = Schedule::new(&[Some(0), None, Some(2), Some(0)], 1, 1);
        assert_eq!(schedule.rooms(), 2);
        assert_eq!(schedule.members(0), [0, 3]);
        assert_eq!((schedule.room(2), schedule.room(1), schedule.room(99)), (Some(1), None, None));
        assert_eq!(schedule.message(0, 2, 0), None, "a sender of another room");
        assert_eq!(schedule.message(0, 0, u32::MAX), None, "an impossible sequence");
    }
}
