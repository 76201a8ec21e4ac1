//! Places: the world's numbers for sockets, against our ring and slot.
//!
//! ```text
//!     place = ring * connections_per_ring + slot
//! ```

use crate::object::driver::Place;

/// The layout of a shard's places.
#[derive(Clone, Copy, Debug)]
pub(super) struct Places {
    connections_per_ring: u32,
}

impl Places {
    /// The layout for rings with tables of this size.
    pub(super) fn new(connections_per_ring: u32) -> Self {
        assert!(connections_per_ring > 0);
        Self { connections_per_ring }
    }

    /// Ring and slot of a place.
    pub(super) fn split(self, place: Place) -> (usize, u32) {
        ((place.0 / self.connections_per_ring) as usize, place.0 % self.connections_per_ring)
    }

    /// The place of a slot.
    pub(super) fn join(self, ring: usize, slot: u32) -> Place {
        debug_assert!(slot < self.connections_per_ring);
        Place(ring as u32 * self.connections_per_ring + slot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_slot_has_a_place_and_back() {
        let places = Places::new(3);
        for (expected, ring, slot) in [(0, 0, 0), (2, 0, 2), (3, 1, 0), (5, 1, 2), (6, 2, 0)] {
            assert_eq!(places.join(ring, slot), Place(expected));
            assert_eq!(places.split(Place(expected)), (ring, slot));
        }
    }
}
