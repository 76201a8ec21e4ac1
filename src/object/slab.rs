//! A table of records that are named by index and generation, so that a key of a record that is gone names
//! nothing. Owns the records; knows nothing of what they are.

use super::planted::{Bug, is_planted};

/// Names a record of a [`Slab`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Position in the table.
    pub index: u32,
    /// Which tenant of that position.
    pub generation: u32,
}

impl Key {
    fn names(self, generation: u32) -> bool {
        self.generation == generation || is_planted(Bug::GenerationNotChecked)
    }
}

#[derive(Debug)]
enum Entry<T> {
    Occupied { generation: u32, record: T },
    Vacant { generation: u32, next: u32 },
}

const END: u32 = u32::MAX;

/// A table that held more is forgotten with its last record.
const ENTRIES_KEPT: usize = 64;

/// A growing table with stable keys. At most `u32::MAX - 1` records.
///
/// Invariant: no entry that is forgotten had a tenant of `first_generation` or a later one.
#[derive(Debug)]
pub(crate) struct Slab<T> {
    entries: Vec<Entry<T>>,
    vacant: u32,
    occupied: usize,
    /// What entries begin with.
    first_generation: u32,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Slab { entries: Vec::new(), vacant: END, occupied: 0, first_generation: 0 }
    }
}

impl<T> Slab<T> {
    /// Memory of each record.
    #[cfg(test)]
    pub(crate) const ENTRY_BYTES: usize = size_of::<Entry<T>>();

    pub(crate) fn insert(&mut self, record: T) -> Key {
        self.occupied += 1;
        if self.vacant == END {
            let index = u32::try_from(self.entries.len()).expect("a slab holds fewer than 2^32 records");
            let generation = self.first_generation;
            self.entries.push(Entry::Occupied { generation, record });
            return Key { index, generation };
        }
        let index = self.vacant;
        let entry = &mut self.entries[index as usize];
        let Entry::Vacant { generation, next } = *entry else {
            unreachable!("the vacant list names vacant entries")
        };
        self.vacant = next;
        *entry = Entry::Occupied { generation, record };
        Key { index, generation }
    }

    pub(crate) fn remove(&mut self, key: Key) -> Option<T> {
        self.get(key)?;
        let vacant = Entry::Vacant { generation: key.generation.wrapping_add(1), next: self.vacant };
        let entry = std::mem::replace(&mut self.entries[key.index as usize], vacant);
        self.vacant = key.index;
        self.occupied -= 1;
        if self.occupied == 0 && self.entries.len() > ENTRIES_KEPT {
            self.forget();
        }
        match entry {
            Entry::Occupied { record, .. } => Some(record),
            Entry::Vacant { .. } => unreachable!("the key named a record"),
        }
    }

    /// Gives back the memory of a crowd that has left. Keys of what was there still name nothing.
    fn forget(&mut self) {
        let generations = self.entries.iter().map(|entry| match entry {
            Entry::Occupied { generation, .. } | Entry::Vacant { generation, .. } => *generation,
        });
        self.first_generation = generations.max().unwrap_or(self.first_generation);
        (self.entries, self.vacant) = (Vec::new(), END);
    }

    pub(crate) fn get(&self, key: Key) -> Option<&T> {
        match self.entries.get(key.index as usize) {
            Some(Entry::Occupied { generation, record }) if key.names(*generation) => Some(record),
            _ => None,
        }
    }

    pub(crate) fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        match self.entries.get_mut(key.index as usize) {
            Some(Entry::Occupied { generation, record }) if key.names(*generation) => Some(record),
            _ => None,
        }
    }

    /// The key of the record that is at this position now.
    pub(crate) fn key_at(&self, index: u32) -> Option<Key> {
        match self.entries.get(index as usize) {
            Some(Entry::Occupied { generation, .. }) => Some(Key { index, generation: *generation }),
            _ => None,
        }
    }

    /// The record that is at this position now.
    pub(crate) fn at(&self, index: u32) -> Option<&T> {
        match self.entries.get(index as usize) {
            Some(Entry::Occupied { record, .. }) => Some(record),
            _ => None,
        }
    }

    pub(crate) fn at_mut(&mut self, index: u32) -> Option<&mut T> {
        match self.entries.get_mut(index as usize) {
            Some(Entry::Occupied { record, .. }) => Some(record),
            _ => None,
        }
    }

    pub(crate) fn keys(&self) -> impl Iterator<Item = Key> {
        self.entries.iter().enumerate().filter_map(|(index, entry)| match entry {
            Entry::Occupied { generation, .. } => Some(Key { index: index as u32, generation: *generation }),
            Entry::Vacant { .. } => None,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_of_a_removed_record_names_nothing_even_when_its_place_is_taken_again() {
        let mut slab = Slab::default();
        let first = slab.insert("first");
        assert_eq!(slab.remove(first), Some("first"));
        let second = slab.insert("second");
        assert_eq!(second.index, first.index);
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.get_mut(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get(second), Some(&"second"));
        assert_eq!(slab.key_at(second.index), Some(second));
        slab.remove(second);
        assert_eq!(slab.key_at(second.index), None);
        assert_eq!(slab.key_at(second.index + 1), None);
    }

    #[test]
    fn keys_lists_what_is_there() {
        let mut slab = Slab::default();
        let keys: Vec<Key> = (0..4).map(|n| slab.insert(n)).collect();
        slab.remove(keys[1]);
        assert_eq!(slab.keys().collect::<Vec<_>>(), [keys[0], keys[2], keys[3]]);
    }

    #[test]
    fn what_a_crowd_left_behind_is_given_back_and_its_keys_name_nothing_ever_after() {
        let mut slab = Slab::default();
        let mut gone = Vec::new();
        for crowd in [ENTRIES_KEPT + 1, 1_000, 3, ENTRIES_KEPT * 2] {
            for tenants in 1..=crowd % 3 + 1 {
                let keys: Vec<Key> = (0..crowd).map(|n| slab.insert((crowd, tenants, n))).collect();
                assert!(gone.iter().all(|&key| slab.get(key).is_none()));
                // In any order: the one at the front goes last, or first.
                let turned = keys.iter().rev().chain(&keys).copied().skip(tenants % 2 * crowd).take(crowd);
                for (left, key) in turned.enumerate() {
                    assert!(slab.remove(key).is_some());
                    assert_eq!(slab.occupied, crowd - left - 1);
                }
                gone.extend(keys);
            }
            assert!(slab.entries.capacity() <= ENTRIES_KEPT, "{crowd}");
        }
        let again = slab.insert((0, 0, 0));
        assert!(!gone.contains(&again));
        let mut each = gone.clone();
        each.sort();
        each.dedup();
        assert_eq!(each.len(), gone.len(), "no key was given twice");
    }
}
