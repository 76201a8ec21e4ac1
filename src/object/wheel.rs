//! Coarse deadlines of many connections. Owns when to look at which place again; what is due there is read from the
//! connection. A deadline that moves away costs nothing: the place is looked at too early and put back.
//!
//! ```text
//!  bucket       0      1      2   ...  1023        one bucket is 64 ms; a deadline beyond the horizon of 65 s
//!             [ 7 ]  [   ]  [ 3,9 ]     [ ]        goes into the last bucket and is put back from there
//!               ^ cursor
//! ```

use super::driver::Place;

const BUCKETS: u64 = 1024;
const BUCKET_MS: u64 = super::moment::UNIT_MS;

/// A ring of buckets of places.
#[derive(Debug)]
pub(crate) struct Wheel {
    buckets: Vec<Vec<Place>>,
    /// One bit a bucket that is not empty.
    occupied: [u64; BUCKETS as usize / 64],
    /// Number, since the clock's zero, of the first bucket that was not looked at.
    cursor: u64,
}

impl Default for Wheel {
    fn default() -> Self {
        Wheel {
            buckets: (0..BUCKETS).map(|_| Vec::new()).collect(),
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
        self.buckets[slot].push(place);
        self.occupied[slot / 64] |= 1 << (slot % 64);
        bucket * BUCKET_MS
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
                due.append(&mut self.buckets[slot]);
                self.buckets[slot].shrink_to(64);
            }
        }
        self.cursor = last + 1;
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
}
