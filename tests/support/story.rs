//! One story, told with the connections of a room near, handed over, and far.

use super::client::Client;
use super::fake::Fake;
use dormouse::object::Settings;

use super::room::{log, room_like, rooms};

/// Where the connections of a room are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Placement {
    /// Accepted on the room's own shard.
    Near,
    /// Accepted elsewhere and handed over.
    HandedOver,
    /// Accepted elsewhere, where they stay.
    Far,
}

pub const PLACEMENTS: [Placement; 3] = [Placement::Near, Placement::HandedOver, Placement::Far];

pub struct Story {
    pub fake: Fake,
    pub room: String,
    /// The shard that clients connect to.
    pub accepting: usize,
}

impl Story {
    pub fn new(placement: Placement, idle_ms: u64) -> Story {
        Story::of("/room", placement, |settings| settings.hibernation_idle_ms = Some(idle_ms))
    }

    /// The story of a room whose path begins so, and of settings that `change` has.
    pub fn of(path: &str, placement: Placement, change: impl FnOnce(&mut Settings)) -> Story {
        let builder = rooms(|settings| {
            change(settings);
            settings.crowd_sockets = if placement == Placement::Far { 0 } else { 1 << 20 };
        });
        let mut fake = Fake::new(builder, 2);
        let room = room_like(&mut fake, path, 1);
        log();
        Story { fake, room, accepting: usize::from(placement == Placement::Near) }
    }

    pub fn open(&mut self, name: &str) -> Client {
        let target = format!("{}?name={name}&tag={name}", self.room);
        self.fake.open_at(self.accepting, &target)
    }

    pub fn sockets(&self) -> u64 {
        self.fake.shards[1].counters.namespaces[0].sockets.get()
    }

    pub fn held(&self) -> [usize; 2] {
        [0, 1].map(|shard| self.fake.shards[shard].held_places())
    }
}

/// Tells one story for each placement.
pub fn everywhere(idle_ms: u64, tell: impl Fn(&mut Story, Placement)) {
    for placement in PLACEMENTS {
        let mut story = Story::new(placement, idle_ms);
        tell(&mut story, placement);
    }
}
