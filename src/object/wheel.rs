//! Coarse deadlines of many connections. Owns when to look at which place again; what is due there is read from the
//! connection. A deadline that moves away costs nothing: the place is looked at too early and put back.
//!
//! ```text
//!  bucket       0      1      2   ...  1023        one bucket is 64 ms; a deadline beyond the horizon of 65 s
//!             [ 7 ]  [   ]  [ 3,9 ]     [ ]        goes into the last bucket and is put back from there
//!               ^ cursor
//! ```
//!
//! Places stand in blocks of one table, and a bucket is a chain of blocks: a list of its own for each bucket would leave
//! a thousand small pieces all over the heap, each from a time when much of it was in use, and none of it could go back.

use super::driver::Place;

const BUCKETS: u64 = 1024;
const BUCKET_MS: u64 = super::moment::UNIT_MS;

/// Places of a block, which with them fills a cache line.
const BLOCK: usize = 14;
/// No block.
const END: u32 = u32::MAX;
/// A table of more blocks is made anew when three quarters of it are vacant.
const BLOCKS_KEPT: usize = 64;

/// Invariant: `used` is not 0 in a chain, and `BLOCK` in every block but a chain's first.
#[derive(Clone, Copy, Debug)]
struct Block {
    places: [Place; BLOCK],
    used: u32,
    /// The next one of the bucket, or of those vacant.
    next: u32,
}

/// A ring of buckets of places.
#[derive(Debug)]
pub(crate) struct Wheel {
    /// The first block of each bucket.
    buckets: Box<[u32]>,
    blocks: Vec<Block>,
    /// The first block that is in no bucket, and how many are.
    vacant: u32,
    taken: usize,
    /// One bit a bucket that is not empty.
    occupied: [u64; BUCKETS as usize / 64],
    /// Number, since the clock's zero, of the first bucket that was not looked at.
    cursor: u64,
}

impl Default for Wheel {
    fn default() -> Self {
        Wheel {
            buckets: vec![END; BUCKETS as usize].into(),
            blocks: Vec::new(),
            vacant: END,
            taken: 0,
            occupied: [0; BUCKETS as usize / 64],
            cursor: 0,
        }
    }
}

impl Wheel {
    /// Has the place looked at no earlier than `deadline_ms` (unless that is beyond the horizon) and at most one
    /// bucket later. Returns when it will be.
    pub(crate) fn insert(&mut self, place: Place, deadline_ms: u64) -> u64 {
        let bucket = deadline_ms.div_ceil(BUCKET_MS).clamp(self.cursor, self.cursor + BUCKETS - 1);
        let slot = (bucket % BUCKETS) as usize;
        let first = self.buckets[slot];
        match self.blocks.get_mut(first as usize) {
            Some(block) if (block.used as usize) < BLOCK => {
                block.places[block.used as usize] = place;
                block.used += 1;
            }
            _ => self.buckets[slot] = self.take_block(Block { places: [place; BLOCK], used: 1, next: first }),
        }
        self.occupied[slot / 64] |= 1 << (slot % 64);
        bucket * BUCKET_MS
    }

    fn take_block(&mut self, block: Block) -> u32 {
        self.taken += 1;
        let at = self.vacant;
        match self.blocks.get_mut(at as usize) {
            Some(vacant) => {
                self.vacant = vacant.next;
                *vacant = block;
                at
            }
            None => {
                self.blocks.push(block);
                (self.blocks.len() - 1) as u32
            }
        }
    }

    /// Moves the places that are to be looked at now into `due`.
    pub(crate) fn advance(&mut self, now_ms: u64, due: &mut Vec<Place>) {
        let last = now_ms / BUCKET_MS;
        if last < self.cursor {
            return;
        }
        // After a whole turn every bucket has been seen.
        for bucket in self.cursor..=last.min(self.cursor + BUCKETS - 1) {
            let slot = (bucket % BUCKETS) as usize;
            if self.occupied[slot / 64] & (1 << (slot % 64)) != 0 {
                self.occupied[slot / 64] &= !(1 << (slot % 64));
                self.empty(slot, due);
            }
        }
        self.cursor = last + 1;
        if self.blocks.len() > BLOCKS_KEPT && self.taken < self.blocks.len() / 4 {
            self.make_anew();
        }
    }

    fn empty(&mut self, slot: usize, due: &mut Vec<Place>) {
        let mut at = std::mem::replace(&mut self.buckets[slot], END);
        while let Some(block) = self.blocks.get_mut(at as usize) {
            due.extend_from_slice(&block.places[..block.used as usize]);
            let next = std::mem::replace(&mut block.next, self.vacant);
            self.vacant = at;
            self.taken -= 1;
            at = next;
        }
    }

    /// Moves what is left into a table that is no larger than that.
    fn make_anew(&mut self) {
        let mut blocks: Vec<Block> = Vec::with_capacity(self.taken);
        for first in self.buckets.iter_mut().filter(|first| **first != END) {
            let mut at = std::mem::replace(first, blocks.len() as u32);
            while at != END {
                let mut block = self.blocks[at as usize];
                at = block.next;
                if at != END {
                    // Its successor is put right behind it.
                    block.next = blocks.len() as u32 + 1;
                }
                blocks.push(block);
            }
        }
        debug_assert_eq!(blocks.len(), self.taken);
        (self.blocks, self.vacant) = (blocks, END);
    }

    /// When [`Wheel::advance`] next finds something.
    pub(crate) fn next_ms(&self) -> Option<u64> {
        let words = self.occupied.len();
        let start = (self.cursor % BUCKETS) as usize;
        for step in 0..=words {
            let word = (start / 64 + step) % words;
            let mut bits = self.occupied[word];
            if step == 0 {
                bits &= u64::MAX << (start % 64);
            } else if step == words {
                bits &= !(u64::MAX << (start % 64));
            }
            if bits != 0 {
                let slot = (word * 64) as u64 + u64::from(bits.trailing_zeros());
                let ahead = (slot + BUCKETS - start as u64) % BUCKETS;
                return Some((self.cursor + ahead) * BUCKET_MS);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_comes_up_not_early_and_at_most_a_bucket_late() {
        for deadline in [0, 1, 63, 64, 65, 1_000, 25_000, 65_000] {
            for start in [0, 100, 64 * 1023, 1_000_000] {
                let mut wheel = Wheel::default();
                let mut due = Vec::new();
                wheel.advance(start, &mut due);
                wheel.insert(Place(7), start + deadline);
                let next = wheel.next_ms().unwrap();
                assert!(
                    next >= start + deadline && next <= start + deadline + 2 * BUCKET_MS,
                    "{start} {deadline}"
                );
                wheel.advance(next - 1, &mut due);
                assert!(due.is_empty());
                wheel.advance(next, &mut due);
                assert_eq!(due, [Place(7)]);
                assert_eq!(wheel.next_ms(), None);
            }
        }
    }

    #[test]
    fn a_deadline_beyond_the_horizon_is_looked_at_on_the_way() {
        let mut wheel = Wheel::default();
        let seen = wheel.insert(Place(1), 10_000_000);
        assert!(seen < 10_000_000);
        assert_eq!(wheel.next_ms(), Some(seen));
    }

    #[test]
    fn a_jump_over_many_turns_loses_nothing() {
        let mut wheel = Wheel::default();
        for n in 0..1_000 {
            wheel.insert(Place(n), u64::from(n) * 60);
        }
        let mut due = Vec::new();
        wheel.advance(1_000_000_000, &mut due);
        assert_eq!(due.len(), 1_000);
    }

    #[test]
    fn what_many_left_behind_is_given_back_and_what_is_left_stays_where_it_was() {
        let mut wheel = Wheel::default();
        let mut due = Vec::new();
        // A hundred stay: some share a bucket, some a chain of blocks, some are alone.
        for n in 0..10_000 {
            wheel.insert(Place(n), 1_000 + u64::from(n % 100) * 64);
        }
        for n in 0..100 {
            wheel.insert(Place(n), 30_000 + u64::from(n / 30) * 640);
        }
        let blocks = wheel.blocks.len();
        wheel.advance(20_000, &mut due);
        due.sort();
        assert_eq!(due, (0..10_000).map(Place).collect::<Vec<_>>());
        assert!(
            wheel.blocks.capacity() <= 100 && wheel.blocks.len() < blocks / 4,
            "{}",
            wheel.blocks.capacity()
        );
        due.clear();
        for (until_ms, expected) in [(30_050, 0..30), (30_690, 30..60), (31_400, 60..90), (40_000, 90..100)] {
            wheel.advance(until_ms, &mut due);
            due.sort();
            assert_eq!(due, expected.map(Place).collect::<Vec<_>>());
            due.clear();
        }
        assert_eq!((wheel.taken, wheel.next_ms()), (0, None));
        // And the vacant ones serve again.
        let kept = wheel.blocks.len();
        wheel.insert(Place(5), 50_000);
        assert_eq!((wheel.blocks.len(), wheel.taken), (kept, 1));
    }

    #[test]
    fn any_order_of_coming_and_looking_finds_each_place_once() {
        let mut wheel = Wheel::default();
        let (mut now, mut seed, mut due) = (0u64, 7u64, Vec::new());
        let mut expected: std::collections::BTreeMap<u32, u64> = Default::default();
        let mut random = move |below: u64| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % below
        };
        for n in 0..40_000 {
            // Crowds come and go, so that the table grows and is made anew.
            let horizon = if (n / 4_000) % 2 == 0 { 60_000 } else { 500 };
            let seen_ms = wheel.insert(Place(n), now + random(horizon));
            expected.insert(n, seen_ms);
            if random(8) == 0 {
                now += random(200);
                wheel.advance(now, &mut due);
                for place in due.drain(..) {
                    let seen_ms = expected.remove(&place.0).expect("once");
                    assert!(seen_ms <= now, "{place:?}");
                }
                assert!(expected.values().all(|&seen_ms| seen_ms > now));
                assert_eq!(wheel.next_ms(), expected.values().copied().min());
            }
        }
        assert!(wheel.blocks.len() > BLOCKS_KEPT);
    }
}
