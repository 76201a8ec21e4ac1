//! Every connection of the process, by id. Owns the ids, with their generations, and the limit on how many there may
//! be; where a connection is now is written by the shard that has it.
//!
//! Entries lie in blocks, and the slab knows blocks: an entry is 4 bytes, while a slab's slot for each would be 24, in
//! pages that double.
//!
//! ```text
//!   id      | generation 23 | key of the block 35 | entry 6 |
//!   block   free: a bit for each entry    entries: | generation 22 | shard 10 | ...
//! ```

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use sharded_slab::{Config, Slab};

use super::driver::ShardId;

/// The number of a connection: unique in the process while it lives, and never that of an earlier one soon after.
///
/// ```no_run
/// # fn example(ws: dormouse::WebSocket) {
/// if let Some(connection) = ws.connection_id() {
///     println!("connection {connection} is slow"); // in hexadecimal
/// }
/// # }
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ConnectionId(pub(crate) u64);

impl std::fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:x}", self.0)
    }
}

const ENTRY_BITS: u32 = u64::BITS.trailing_zeros();
const KEY_BITS: u32 = 35;
const SHARD_BITS: u32 = 10;

/// Entries that wait to be used again, by shard; shards beyond it share.
const LISTS: usize = 64;

/// A slab of blocks whose keys leave room for the rest of an id.
#[derive(Clone, Copy, Debug)]
struct Blocks;

impl Config for Blocks {
    /// 64 x (2^12 - 1) blocks for each shard, of 64 connections.
    const INITIAL_PAGE_SIZE: usize = 64;
    const MAX_PAGES: usize = 12;
    const RESERVED_BITS: usize = (u64::BITS - KEY_BITS) as usize;
}

/// The entries of 64 connections.
#[derive(Debug)]
struct Block {
    /// Where it is listed while an entry is free.
    list: usize,
    /// A bit for each entry that is free.
    free: AtomicU64,
    entries: [AtomicU32; u64::BITS as usize],
}

impl Block {
    fn new(list: usize) -> Box<Block> {
        let entries = std::array::from_fn(|_| AtomicU32::new(0));
        Box::new(Block { list, free: AtomicU64::new(u64::MAX), entries })
    }
}

/// What an entry holds.
#[derive(Clone, Copy)]
struct Entry(u32);

impl Entry {
    fn generation(self) -> u32 {
        self.0 >> SHARD_BITS
    }

    fn shard(self) -> ShardId {
        ShardId((self.0 & ((1 << SHARD_BITS) - 1)) as u16)
    }

    fn at(self, shard: ShardId) -> Entry {
        debug_assert!(shard.0 < 1 << SHARD_BITS, "there are at most 1,024 shards");
        Entry(self.0 >> SHARD_BITS << SHARD_BITS | u32::from(shard.0))
    }

    /// Names nothing that the entry named before.
    fn next(self) -> Entry {
        Entry(self.0.wrapping_add(1 << SHARD_BITS))
    }
}

impl ConnectionId {
    fn of(key: usize, at: u32, entry: Entry) -> ConnectionId {
        let generation = u64::from(entry.generation()) << (KEY_BITS + ENTRY_BITS);
        ConnectionId(generation | (key as u64) << ENTRY_BITS | u64::from(at))
    }

    fn key(self) -> usize {
        (self.0 >> ENTRY_BITS) as usize & ((1 << KEY_BITS) - 1)
    }

    fn at(self) -> usize {
        self.0 as usize % u64::BITS as usize
    }

    fn names(self, entry: Entry) -> bool {
        self.0 >> (KEY_BITS + ENTRY_BITS) == u64::from(entry.generation())
    }
}

/// All connections of a process.
///
/// ```
/// let directory = dormouse::object::Directory::new(131_072);
/// assert_eq!(directory.open(), 0);
/// ```
#[derive(Debug)]
pub struct Directory {
    blocks: Slab<Box<Block>, Blocks>,
    /// Keys of the blocks with a free entry.
    spare: Box<[Mutex<Vec<usize>>]>,
    open: AtomicUsize,
    connections_max: usize,
}

impl Directory {
    /// An empty directory for at most `connections_max` connections.
    pub fn new(connections_max: usize) -> Directory {
        Directory {
            blocks: Slab::new_with_config(),
            spare: (0..LISTS).map(|_| Mutex::default()).collect(),
            open: AtomicUsize::new(0),
            connections_max,
        }
    }

    /// `None` when there are as many as there may be.
    pub(crate) fn insert(&self, shard: ShardId) -> Option<ConnectionId> {
        let id = (self.open.fetch_add(1, Ordering::Relaxed) < self.connections_max)
            .then(|| self.take_entry(shard))
            .flatten();
        if id.is_none() {
            self.open.fetch_sub(1, Ordering::Relaxed);
        }
        id
    }

    fn take_entry(&self, shard: ShardId) -> Option<ConnectionId> {
        let list = usize::from(shard.0) % LISTS;
        let mut spare = self.spare(list);
        if spare.is_empty() {
            spare.push(self.blocks.insert(Block::new(list))?);
        }
        let key = *spare.last()?;
        let block = self.blocks.get(key)?;
        // Only who holds the list takes bits away, and a block without any is not on it.
        let at = block.free.load(Ordering::Acquire).trailing_zeros();
        let left = block.free.fetch_and(!(1 << at), Ordering::Relaxed) & !(1 << at);
        if left == 0 {
            spare.pop();
        }
        let entry = &block.entries[at as usize];
        let now = Entry(entry.load(Ordering::Relaxed)).at(shard);
        entry.store(now.0, Ordering::Relaxed);
        Some(ConnectionId::of(key, at, now))
    }

    fn spare(&self, list: usize) -> MutexGuard<'_, Vec<usize>> {
        self.spare[list].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the entry of a connection that is there. Whether it is.
    fn change(&self, connection: ConnectionId, to: impl Fn(Entry) -> Entry) -> bool {
        let Some(block) = self.blocks.get(connection.key()) else { return false };
        let change = |entry| connection.names(Entry(entry)).then(|| to(Entry(entry)).0);
        let entry = &block.entries[connection.at()];
        entry.fetch_update(Ordering::Relaxed, Ordering::Relaxed, change).is_ok()
    }

    pub(crate) fn moved(&self, connection: ConnectionId, to: ShardId) {
        self.change(connection, |entry| entry.at(to));
    }

    pub(crate) fn remove(&self, connection: ConnectionId) {
        if !self.change(connection, Entry::next) {
            return;
        }
        self.open.fetch_sub(1, Ordering::Relaxed);
        let Some(block) = self.blocks.get(connection.key()) else { return };
        // Whoever takes the entry next sees its new generation.
        if block.free.fetch_or(1 << connection.at(), Ordering::Release) == 0 {
            self.spare(block.list).push(connection.key());
        }
    }

    /// The shard that has the connection; `None` when it is gone.
    ///
    /// ```no_run
    /// # fn example(plan: dormouse::object::WorldPlan, ws: dormouse::WebSocket) {
    /// let shard = ws.connection_id().and_then(|connection| plan.directory().shard_of(connection));
    /// # }
    /// ```
    pub fn shard_of(&self, connection: ConnectionId) -> Option<ShardId> {
        let block = self.blocks.get(connection.key())?;
        let entry = Entry(block.entries[connection.at()].load(Ordering::Relaxed));
        connection.names(entry).then(|| entry.shard())
    }

    pub(crate) fn connections_max(&self) -> usize {
        self.connections_max
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_names_nothing_once_its_connection_is_gone() {
        let directory = Directory::new(2);
        let first = directory.insert(ShardId(0)).unwrap();
        directory.moved(first, ShardId(1));
        assert_eq!(directory.shard_of(first), Some(ShardId(1)));
        directory.remove(first);
        directory.remove(first);
        let second = directory.insert(ShardId(0)).unwrap();
        assert_ne!(first, second);
        assert_eq!(directory.shard_of(first), None);
    }

    #[test]
    fn entries_are_used_again_under_new_names_and_hold_little() {
        let directory = Directory::new(100_000);
        let mut seen = std::collections::HashSet::new();
        for round in 0..5 {
            let ids: Vec<_> = (0..1_000).map(|_| directory.insert(ShardId(round)).unwrap()).collect();
            assert!(ids.iter().all(|id| seen.insert(*id)), "an id names one connection");
            assert!(ids.iter().all(|id| directory.shard_of(*id) == Some(ShardId(round))));
            ids.iter().rev().for_each(|id| directory.remove(*id));
        }
        assert_eq!(directory.open(), 0);
        let mut blocks = directory.blocks;
        assert_eq!(blocks.unique_iter().count(), 1_000_usize.div_ceil(64) * 5, "one list for each shard");
        assert!(size_of::<Block>() <= 64 * 4 + 16);
    }

    #[test]
    fn threads_take_and_give_back_at_once() {
        let directory = Directory::new(100_000);
        let (give, take) = std::sync::mpsc::channel::<ConnectionId>();
        std::thread::scope(|scope| {
            let remover = scope.spawn(|| take.into_iter().for_each(|id| directory.remove(id)));
            for shard in 0..2 {
                let (give, directory) = (give.clone(), &directory);
                scope.spawn(move || {
                    for _ in 0..20_000 {
                        let id = directory.insert(ShardId(shard)).unwrap();
                        directory.moved(id, ShardId(7));
                        assert_eq!(directory.shard_of(id), Some(ShardId(7)));
                        give.send(id).unwrap();
                    }
                });
            }
            drop(give);
            remover.join().unwrap();
        });
        assert_eq!(directory.open(), 0);
        assert!((0..LISTS).all(|list| {
            let spare = directory.spare(list);
            spare
                .iter()
                .all(|key| directory.blocks.get(*key).unwrap().free.load(Ordering::Relaxed) == u64::MAX)
        }));
    }

    #[test]
    fn one_connection_too_many_is_refused_alone() {
        let directory = Directory::new(2);
        let ids = [(); 2].map(|()| directory.insert(ShardId(0)).unwrap());
        assert_eq!(directory.insert(ShardId(0)), None);
        assert_eq!(directory.open(), 2);
        directory.remove(ids[0]);
        assert!(directory.insert(ShardId(0)).is_some());
    }
}
