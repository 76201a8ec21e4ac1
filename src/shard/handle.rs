//! The running shards, as the server layer holds them.
//!
//! Owns the threads and the news of their ends.

use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::Receiver;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use super::stats::ShardStats;
use super::turn::Shared;
use crate::object::driver::ShardId;

/// How a shard ended.
///
/// ```no_run
/// # fn example(shards: dormouse::shard::Shards) {
/// if let Some(end) = shards.wait(std::time::Duration::from_secs(1)) {
///     eprintln!("shard {} has ended: {:?}", end.shard.0, end.result);
/// }
/// # }
/// ```
#[derive(Debug)]
pub struct ShardEnd {
    /// The shard.
    pub shard: ShardId,
    /// `Ok` if it was asked to end; otherwise what broke its rings, or that it panicked
    /// ([`io::ErrorKind::Other`], with the panic's message).
    pub result: io::Result<()>,
}

impl ShardEnd {
    pub(super) fn new(shard: ShardId, result: thread::Result<io::Result<()>>) -> Self {
        let result = result.unwrap_or_else(|panic| {
            let message = panic.downcast_ref::<String>().map(String::as_str);
            let message = message.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("no message");
            Err(io::Error::other(format!("shard {} panicked: {message}", shard.0)))
        });
        Self { shard, result }
    }
}

/// Shards that serve. Dropping it lets them serve on, unwatched.
///
/// ```no_run
/// # fn example(settings: Vec<dormouse::shard::ShardSettings>, world: fn() -> dormouse::object::World)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
///
/// let shards = dormouse::shard::start(settings, move |_shard| world())?;
/// println!("{} shards listen at {}", shards.stats().len(), shards.local_address());
/// let unasked = shards.wait(Duration::from_secs(3_600));
/// shards.shutdown(Duration::from_secs(10));
/// shards.join()?;
/// # Ok(())
/// # }
/// ```
pub struct Shards {
    local_address: SocketAddr,
    shared: Arc<Shared>,
    threads: Vec<thread::JoinHandle<()>>,
    ends: Mutex<Receiver<ShardEnd>>,
}

impl Shards {
    pub(super) fn new(
        local_address: SocketAddr,
        shared: Arc<Shared>,
        threads: Vec<thread::JoinHandle<()>>,
        ends: Receiver<ShardEnd>,
    ) -> Self {
        Self { local_address, shared, threads, ends: Mutex::new(ends) }
    }

    /// Where the shards listen; the port is the one that the kernel chose, if it did.
    pub fn local_address(&self) -> SocketAddr {
        self.local_address
    }

    /// Each shard's counters, in order.
    pub fn stats(&self) -> &[Arc<ShardStats>] {
        &self.shared.stats
    }

    /// Asks all shards to end: nobody else may connect, who waits to be accepted still is, their worlds close every
    /// socket, and they end when no shard has a socket left, or after `drain` whatever is left. Returns at once; [`Self::join`] waits. A second
    /// call can only shorten the time.
    pub fn shutdown(&self, drain: Duration) {
        let drain_ms = u64::try_from(drain.as_millis()).unwrap_or(u64::MAX);
        let now_ms = self.shared.clock.read().monotonic_ms;
        self.shared.drain.ask(now_ms.saturating_add(drain_ms));
        self.shared.ring_all();
    }

    /// Waits until a shard ends whose end was not reported yet; `None` after `timeout`, or if all were reported.
    /// Without a [`Self::shutdown`] before it, a shard's end means that the process should end: its connections are
    /// gone and nobody listens in its place.
    pub fn wait(&self, timeout: Duration) -> Option<ShardEnd> {
        let ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        ends.recv_timeout(timeout).ok()
    }

    /// Waits until all shards have ended.
    ///
    /// # Errors
    ///
    /// The first end that was not asked for, of those that [`Self::wait`] has not reported.
    pub fn join(self) -> io::Result<()> {
        for thread in self.threads {
            // Panics are caught within, and reported as ends.
            let _ = thread.join();
        }
        let ends = self.ends.into_inner().unwrap_or_else(PoisonError::into_inner);
        ends.iter().try_for_each(|end| end.result)
    }
}
