//! The rules of the game: where a player may be, how far a step goes, when a crumb is eaten. Owns no socket and no
//! clock; a spot that is to be random comes as an argument.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

/// Width and height of the field.
pub(super) const SIZE: (u16, u16) = (1_600, 900);
/// A player keeps this distance from the edge.
const MARGIN: u16 = 30;
/// The page moves 7 a message; twice as much is a slow clock's doing, more is somebody else's page.
const STEP_MAX: f32 = 14.0;
/// A crumb this near is eaten.
const REACH: f32 = 34.0;
const CRUMBS: usize = 6;

/// A place on the field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Spot {
    pub(super) x: u16,
    pub(super) y: u16,
}

impl Spot {
    /// The nearest place that a player may be at.
    pub(super) fn on_field(x: u16, y: u16) -> Spot {
        Spot { x: x.clamp(MARGIN, SIZE.0 - MARGIN), y: y.clamp(MARGIN, SIZE.1 - MARGIN) }
    }

    /// A random place, out of the first two words of a random UUID.
    pub(super) fn of_uuid(uuid: &str) -> Spot {
        let word = |digits| uuid.get(digits).and_then(|digits| u16::from_str_radix(digits, 16).ok());
        let within = |word: Option<u16>, size: u16| {
            let room = u32::from(size - 4 * MARGIN);
            2 * MARGIN + ((u32::from(word.unwrap_or(0)) * room) >> 16) as u16
        };
        Spot { x: within(word(0..4), SIZE.0), y: within(word(4..8), SIZE.1) }
    }

    fn distance_to(self, other: Spot) -> f32 {
        let (x, y) = (f32::from(self.x) - f32::from(other.x), f32::from(self.y) - f32::from(other.y));
        x.hypot(y)
    }

    /// The place that `step` of the way to `other` leads to.
    fn towards(self, other: Spot, step: f32) -> Spot {
        let part = |from: u16, to: u16| {
            let (from, to) = (f32::from(from), f32::from(to));
            (from + (to - from) * step).round() as u16
        };
        Spot { x: part(self.x, other.x), y: part(self.y, other.y) }
    }
}

/// What a socket carries through hibernation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Player {
    pub(super) id: u16,
    pub(super) name: String,
    #[serde(flatten)]
    pub(super) spot: Spot,
    pub(super) score: u32,
    /// Since the last tick.
    #[serde(skip)]
    pub(super) has_moved: bool,
}

impl Player {
    pub(super) fn new(id: u16, name: String, spot: Spot) -> Player {
        Player { id, name, spot, score: 0, has_moved: false }
    }

    /// Goes there, or as far as one step leads.
    pub(super) fn go(&mut self, to: Spot) {
        let distance = self.spot.distance_to(to);
        let before = self.spot;
        self.spot = if distance <= STEP_MAX { to } else { before.towards(to, STEP_MAX / distance) };
        // One that was sent too far hears where it really is.
        self.has_moved |= self.spot != before || self.spot != to;
    }
}

/// The smallest id that nobody has.
pub(super) fn free_id<K>(players: &HashMap<K, Player>) -> u16 {
    let is_free = |id: &u16| players.values().all(|player| player.id != *id);
    (1..=u16::MAX).find(is_free).expect("there are fewer players than ids")
}

/// What there is to eat.
#[derive(Debug, Serialize)]
pub(super) struct Crumbs([Spot; CRUMBS]);

impl Crumbs {
    pub(super) fn scattered(mut spot: impl FnMut() -> Spot) -> Crumbs {
        Crumbs(std::array::from_fn(|_| spot()))
    }

    pub(super) fn within_reach_of(&self, spot: Spot) -> Option<usize> {
        self.0.iter().position(|crumb| crumb.distance_to(spot) <= REACH)
    }

    pub(super) fn put(&mut self, index: usize, spot: Spot) {
        self.0[index] = spot;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn player_at(x: u16, y: u16) -> Player {
        Player::new(1, "Moss".to_owned(), Spot { x, y })
    }

    #[test]
    fn nobody_leaves_the_field() {
        assert_eq!(Spot::on_field(0, 65_535), Spot { x: 30, y: 870 });
        assert_eq!(Spot::of_uuid("ffffffff-"), Spot { x: 1_539, y: 839 });
        assert_eq!(Spot::of_uuid("80008000-"), Spot { x: 800, y: 450 });
        assert_eq!(Spot::of_uuid(""), Spot { x: 60, y: 60 });
    }

    #[test]
    fn a_leap_is_cut_to_a_step_and_answered() {
        let mut player = player_at(100, 100);
        player.go(Spot { x: 500, y: 100 });
        assert_eq!((player.spot, player.has_moved), (Spot { x: 114, y: 100 }, true));
    }

    #[test]
    fn who_stays_has_not_moved() {
        let mut player = player_at(100, 100);
        player.go(Spot { x: 100, y: 100 });
        assert!(!player.has_moved);
        player.go(Spot { x: 107, y: 100 });
        assert_eq!((player.spot, player.has_moved), (Spot { x: 107, y: 100 }, true));
    }

    #[test]
    fn a_crumb_near_by_is_eaten() {
        let mut x = 100;
        let mut crumbs = Crumbs::scattered(|| {
            x += 100;
            Spot { x, y: 300 }
        });
        assert_eq!(crumbs.within_reach_of(Spot { x: 301, y: 310 }), Some(1));
        crumbs.put(1, Spot { x: 900, y: 700 });
        assert_eq!(crumbs.within_reach_of(Spot { x: 301, y: 310 }), None);
    }

    #[test]
    fn ids_of_those_who_left_are_given_again() {
        let mut players: HashMap<u8, Player> = HashMap::new();
        for key in 0..3 {
            let id = free_id(&players);
            players.insert(key, Player::new(id, String::new(), Spot { x: 0, y: 0 }));
        }
        players.remove(&1);
        assert_eq!(free_id(&players), 2);
    }
}
