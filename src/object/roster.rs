//! The sockets of one object and their tags, in the order of acceptance. Owns that order; the sockets themselves lie
//! in the shard's slab.
//!
//! A list keeps its order by leaving a gap where a socket left, and closes its gaps when they are the larger part, so
//! that both insertion and removal cost a constant time on average. It holds positions in the slab, half of a key: a
//! socket is taken from its lists before it leaves the slab, so that a position names it alone.

use std::collections::HashMap;

use super::slab::{Key, Slab};
use super::socket::{Socket, TagMembership};

/// No position: a slab holds fewer records.
const GAP: u32 = u32::MAX;

/// Gaps are closed from this length on; below it is not worth the while.
const COMPACT_FROM: usize = 32;

/// Positions in order of insertion, with gaps.
#[derive(Debug, Default)]
struct Ordered {
    positions: Vec<u32>,
    live: u32,
}

impl Ordered {
    fn push(&mut self, position: u32) -> u32 {
        debug_assert_ne!(position, GAP);
        self.positions.push(position);
        self.live += 1;
        (self.positions.len() - 1) as u32
    }

    /// Leaves a gap. `true` when it is time to compact.
    fn remove(&mut self, at: u32) -> bool {
        debug_assert_ne!(self.positions[at as usize], GAP);
        self.positions[at as usize] = GAP;
        self.live -= 1;
        while self.positions.last() == Some(&GAP) {
            self.positions.pop();
        }
        let live = self.live as usize;
        debug_assert!(live <= self.positions.len());
        self.positions.len() > COMPACT_FROM && live * 2 < self.positions.len()
    }

    fn compact(&mut self, mut moved: impl FnMut(u32, u32)) {
        self.positions.retain(|position| *position != GAP);
        self.positions.shrink_to(2 * self.live as usize);
        for (at, position) in self.positions.iter().enumerate() {
            moved(*position, at as u32);
        }
    }

    fn iter(&self) -> impl DoubleEndedIterator<Item = u32> {
        self.positions.iter().copied().filter(|position| *position != GAP)
    }
}

#[derive(Debug)]
struct Tag {
    name: Box<str>,
    members: Ordered,
}

/// The sockets of one object.
#[derive(Debug, Default)]
pub(crate) struct Roster {
    sockets: Ordered,
    tags: Vec<Option<Tag>>,
    vacant_tags: Vec<u32>,
    numbers: HashMap<Box<str>, u32>,
}

impl Roster {
    pub(crate) fn len(&self) -> usize {
        self.sockets.live as usize
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.sockets.live == 0
    }

    pub(crate) fn insert(&mut self, key: Key, sockets: &mut Slab<Socket>) {
        let at = self.sockets.push(key.index);
        if let Some(socket) = sockets.get_mut(key) {
            socket.roster_at = at;
        }
    }

    /// Takes a socket out of the roster and of all its tags.
    pub(crate) fn remove(&mut self, key: Key, sockets: &mut Slab<Socket>) {
        let Some(socket) = sockets.get_mut(key) else { return };
        let (at, memberships) = (socket.roster_at, std::mem::take(&mut socket.tags));
        for membership in memberships.as_slice() {
            self.leave(*membership, sockets);
        }
        if self.sockets.remove(at) {
            self.sockets.compact(|position, at| {
                if let Some(socket) = sockets.at_mut(position) {
                    socket.roster_at = at;
                }
            });
        }
    }

    /// `false` when the socket has the tag already.
    pub(crate) fn add_tag(&mut self, key: Key, name: &str, sockets: &mut Slab<Socket>) -> bool {
        let Some(socket) = sockets.get_mut(key) else { return false };
        let number = match self.numbers.get(name) {
            Some(&number) => number,
            None => self.new_tag(name),
        };
        if socket.tags.as_slice().iter().any(|membership| membership.tag == number) {
            return false;
        }
        let Some(tag) = &mut self.tags[number as usize] else { unreachable!("numbers name tags") };
        socket.tags.push(TagMembership { tag: number, at: tag.members.push(key.index) });
        true
    }

    pub(crate) fn remove_tag(&mut self, key: Key, name: &str, sockets: &mut Slab<Socket>) -> bool {
        let (Some(&number), Some(socket)) = (self.numbers.get(name), sockets.get_mut(key)) else {
            return false;
        };
        match socket.tags.remove(number) {
            Some(membership) => {
                self.leave(membership, sockets);
                true
            }
            None => false,
        }
    }

    fn new_tag(&mut self, name: &str) -> u32 {
        let tag = Some(Tag { name: name.into(), members: Ordered::default() });
        let number = match self.vacant_tags.pop() {
            Some(number) => {
                self.tags[number as usize] = tag;
                number
            }
            None => {
                self.tags.push(tag);
                (self.tags.len() - 1) as u32
            }
        };
        self.numbers.insert(name.into(), number);
        number
    }

    fn leave(&mut self, membership: TagMembership, sockets: &mut Slab<Socket>) {
        let number = membership.tag;
        let Some(tag) = &mut self.tags[number as usize] else { unreachable!("memberships name tags") };
        let compact = tag.members.remove(membership.at);
        if tag.members.live == 0 {
            self.numbers.remove(&tag.name);
            self.tags[number as usize] = None;
            self.vacant_tags.push(number);
        } else if compact {
            tag.members.compact(|position, at| {
                let Some(socket) = sockets.at_mut(position) else { return };
                for membership in socket.tags.as_mut_slice() {
                    if membership.tag == number {
                        membership.at = at;
                    }
                }
            });
        }
    }

    /// The positions of all sockets, oldest first.
    pub(crate) fn oldest_first(&self) -> impl DoubleEndedIterator<Item = u32> {
        self.sockets.iter()
    }

    /// Those of the sockets with a tag, oldest first.
    pub(crate) fn tagged(&self, name: &str) -> impl Iterator<Item = u32> {
        let number = self.numbers.get(name);
        let tag = number.and_then(|&number| self.tags[number as usize].as_ref());
        tag.into_iter().flat_map(|tag| tag.members.iter())
    }

    pub(crate) fn tag_names<'a>(&'a self, socket: &'a Socket) -> impl Iterator<Item = &'a str> {
        socket
            .tags
            .as_slice()
            .iter()
            .filter_map(|membership| self.tags[membership.tag as usize].as_ref().map(|tag| &*tag.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OBJECT: Key = Key { index: 0, generation: 0 };

    fn accept(roster: &mut Roster, sockets: &mut Slab<Socket>, tags: &[&str]) -> Key {
        let key = sockets.insert(Socket::new(0, OBJECT));
        roster.insert(key, sockets);
        for tag in tags {
            roster.add_tag(key, tag, sockets);
        }
        key
    }

    fn keys(sockets: &Slab<Socket>, positions: impl Iterator<Item = u32>) -> Vec<Key> {
        positions.map(|position| sockets.key_at(position).unwrap()).collect()
    }

    fn leave(roster: &mut Roster, sockets: &mut Slab<Socket>, key: Key) {
        roster.remove(key, sockets);
        sockets.remove(key);
    }

    /// SEMANTICS 2: order survives any departures.
    #[test]
    fn order_is_that_of_acceptance_whoever_leaves() {
        let (mut roster, mut sockets) = (Roster::default(), Slab::default());
        let mut expected: Vec<(u32, Key)> = Vec::new();
        for n in 0u32..2_000 {
            let parity = if n % 2 == 0 { "even" } else { "odd" };
            expected.push((n, accept(&mut roster, &mut sockets, &[parity, &format!("own{n}")])));
            if n % 3 == 0 {
                let (_, key) = expected.remove((n as usize * 7) % expected.len());
                leave(&mut roster, &mut sockets, key);
            }
        }
        let all: Vec<Key> = expected.iter().map(|(_, key)| *key).collect();
        assert_eq!(keys(&sockets, roster.oldest_first()), all);
        let even: Vec<Key> = expected.iter().filter(|(n, _)| n % 2 == 0).map(|(_, key)| *key).collect();
        assert_eq!(keys(&sockets, roster.tagged("even")), even);
        for key in all {
            leave(&mut roster, &mut sockets, key);
        }
        assert!(roster.is_empty() && roster.numbers.is_empty());
        assert_eq!(roster.tagged("even").count(), 0);
    }

    /// SEMANTICS 3: tags may come and go later.
    #[test]
    fn tags_are_listed_in_the_order_given_and_can_be_taken_away() {
        let (mut roster, mut sockets) = (Roster::default(), Slab::default());
        let key = accept(&mut roster, &mut sockets, &["b", "", "a"]);
        let names = |roster: &Roster, sockets: &Slab<Socket>| -> Vec<String> {
            roster.tag_names(sockets.get(key).unwrap()).map(String::from).collect()
        };
        assert_eq!(names(&roster, &sockets), ["b", "", "a"]);
        assert!(!roster.add_tag(key, "a", &mut sockets));
        assert!(roster.remove_tag(key, "b", &mut sockets));
        assert!(!roster.remove_tag(key, "b", &mut sockets));
        assert_eq!(names(&roster, &sockets), ["", "a"]);
        assert!(roster.add_tag(key, "b", &mut sockets));
        assert_eq!(names(&roster, &sockets), ["", "a", "b"]);
        assert_eq!(keys(&sockets, roster.tagged("")), [key]);
    }
}
