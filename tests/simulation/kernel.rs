//! The sending side of the kernel: takes all, some or nothing of what it is given. Owns the contract of `transmit`.

use dormouse::object::driver::{BATCH_MAX, Outgoing, PARTS_MAX, Shortfall, Transmit};

use super::shard::{Held, State};
use super::trace;
use crate::support::random::Random;

pub struct Kernel<'a> {
    pub shard: usize,
    pub places: &'a [Option<Held>],
    /// Percent of sends that take only some of the bytes though there is room.
    pub short: u32,
    pub now_ms: u64,
    pub random: &'a mut Random,
}

impl Kernel<'_> {
    fn send(&mut self, outgoing: &Outgoing<'_>) -> Option<Shortfall> {
        let held = self.places[outgoing.place.0 as usize].as_ref().expect("bytes for a place in use");
        assert_eq!(held.state, State::Open, "nothing is sent behind a Close");
        assert!(!outgoing.parts.is_empty() && outgoing.parts.len() <= PARTS_MAX);
        let mut pipe = held.pipe.borrow_mut();
        assert!(!pipe.server_fin, "nothing is sent behind FIN");
        if pipe.client_reset {
            return Some(Shortfall::Lost);
        }
        let total: usize = outgoing.parts.iter().map(|part| part.len()).sum();
        let mut taken = pipe.room.map_or(total, |room| room.min(total));
        if self.random.percent(self.short) {
            taken = self.random.below(taken + 1);
        }
        if let Some(room) = &mut pipe.room {
            *room -= taken;
        }
        let begin = pipe.down.len();
        let mut left = taken;
        for part in outgoing.parts {
            assert!(!part.is_empty(), "a part has bytes");
            let length = part.len().min(left);
            pipe.down.extend_from_slice(&part[..length]);
            left -= length;
        }
        if taken > 0 {
            pipe.last_down_ms = self.now_ms;
        }
        let (shard, place, number) = (self.shard, outgoing.place.0, pipe.number);
        trace::bytes(
            format_args!("{shard} sends {taken} of {total} to client {number} at {place}"),
            &pipe.down[begin..],
        );
        (taken < total).then_some(Shortfall::Full(taken))
    }
}

impl Transmit for Kernel<'_> {
    fn transmit(&mut self, batch: &[Outgoing<'_>], shortfalls: &mut Vec<(usize, Shortfall)>) {
        assert!(!batch.is_empty() && batch.len() <= BATCH_MAX);
        for (at, outgoing) in batch.iter().enumerate() {
            assert!(batch[..at].iter().all(|other| other.place != outgoing.place), "one send a socket");
            if let Some(shortfall) = self.send(outgoing) {
                shortfalls.push((at, shortfall));
            }
        }
    }
}
