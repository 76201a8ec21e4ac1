//! Every connection of the process, by id. Owns the ids, with their generations, and the limit on how many there may
//! be; where a connection is now is written by the shard that has it.

use std::sync::atomic::{AtomicU16, AtomicUsize, Ordering};

use sharded_slab::Slab;

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

/// All connections of a process.
///
/// ```
/// let directory = dormouse::object::Directory::new(131_072);
/// assert_eq!(directory.open(), 0);
/// ```
#[derive(Debug)]
pub struct Directory {
    entries: Slab<AtomicU16>,
    open: AtomicUsize,
    connections_max: usize,
}

impl Directory {
    /// An empty directory for at most `connections_max` connections.
    pub fn new(connections_max: usize) -> Directory {
        Directory { entries: Slab::new(), open: AtomicUsize::new(0), connections_max }
    }

    /// `None` when there are as many as there may be.
    pub(crate) fn insert(&self, shard: ShardId) -> Option<ConnectionId> {
        if self.open.fetch_add(1, Ordering::Relaxed) >= self.connections_max {
            self.open.fetch_sub(1, Ordering::Relaxed);
            return None;
        }
        let key = self.entries.insert(AtomicU16::new(shard.0))?;
        Some(ConnectionId(key as u64))
    }

    pub(crate) fn moved(&self, connection: ConnectionId, to: ShardId) {
        if let Some(entry) = self.entries.get(connection.0 as usize) {
            entry.store(to.0, Ordering::Relaxed);
        }
    }

    pub(crate) fn remove(&self, connection: ConnectionId) {
        if self.entries.remove(connection.0 as usize) {
            self.open.fetch_sub(1, Ordering::Relaxed);
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
        self.entries.get(connection.0 as usize).map(|entry| ShardId(entry.load(Ordering::Relaxed)))
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
    fn one_connection_too_many_is_refused_alone() {
        let directory = Directory::new(2);
        let ids = [(); 2].map(|()| directory.insert(ShardId(0)).unwrap());
        assert_eq!(directory.insert(ShardId(0)), None);
        assert_eq!(directory.open(), 2);
        directory.remove(ids[0]);
        assert!(directory.insert(ShardId(0)).is_some());
    }
}
