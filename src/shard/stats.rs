//! What a shard counts, for metrics and tests.
//!
//! Owns the counters. Only the shard itself adds, so an addition is a plain load and store; anyone may read, and
//! sees each counter exact but the counters not of one moment.

use crate::object::Counter;

/// One shard's counters; each begins at 0 and only rises.
///
/// ```
/// let stats = dormouse::shard::ShardStats::default();
/// assert_eq!(stats.accepts.get(), 0);
/// ```
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct ShardStats {
    /// Turns of the shard's loop.
    pub turns: Counter,
    /// Turns that found something to do.
    pub turns_busy: Counter,
    /// Times the shard woke from sleep.
    pub wakes: Counter,
    /// `io_uring_enter` calls on the data rings.
    pub enters: Counter,
    /// Connections taken from the listener.
    pub accepts: Counter,
    /// Failed accepts; those that mean exhaustion made the shard back off.
    pub accept_errors: Counter,
    /// Completed receives that brought bytes.
    pub receives: Counter,
    /// Bytes received.
    pub receive_bytes: Counter,
    /// Receives that found no buffer and were armed again.
    pub receives_starved: Counter,
    /// Sends: sockets that bytes were sent to, once a turn each.
    pub sends: Counter,
    /// Bytes handed to the kernel, whether or not it took them at once.
    pub send_bytes: Counter,
    /// Batches that these sends were submitted in.
    pub send_batches: Counter,
    /// Sends that were not wholly taken.
    pub send_shortfalls: Counter,
    /// Sockets closed here, those handed to other shards not counted.
    pub closes: Counter,
    /// Sockets handed to other shards.
    pub hand_offs_sent: Counter,
    /// Sockets that could not be handed over and stayed.
    pub hand_offs_failed: Counter,
    /// Sockets taken over from other shards.
    pub hand_offs_received: Counter,
    /// Messages put in other shards' inboxes.
    pub mesh_sent: Counter,
    /// Messages taken from this shard's inbox.
    pub mesh_received: Counter,
    /// Times another shard's inbox was full and the rest had to wait.
    pub mesh_full: Counter,
    /// Messages dropped because their shard had ended.
    pub mesh_dropped: Counter,
    /// Times a completion queue was found overflown; nothing is lost by it.
    pub completion_overflows: Counter,
}
