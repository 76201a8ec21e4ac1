//! What happened, counted. Owns numbers that any thread may read; each is written by one shard only.

use std::sync::atomic::{AtomicU64, Ordering};

/// A number that only grows, or that one thread sets. Reading it is one load; what two of them say is not of
/// one moment.
///
/// ```
/// let counters = dormouse::object::ShardCounters::new(0);
/// assert_eq!(counters.messages_received.get(), 0);
/// ```
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

impl Counter {
    /// The number now.
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    // One shard writes, so a load and a store do, without a locked instruction.
    pub(crate) fn add(&self, count: u64) {
        self.0.store(self.0.load(Ordering::Relaxed).wrapping_add(count), Ordering::Relaxed);
    }

    pub(crate) fn set(&self, count: u64) {
        self.0.store(count, Ordering::Relaxed);
    }
}

/// Numbers of one namespace on one shard.
///
/// ```no_run
/// # fn example(engine: &dormouse::server::Running) {
/// for (binding, counters) in engine.bindings().zip(&engine.counters()[0].namespaces) {
///     println!("{binding}: {} awake on the first shard", counters.awake.get());
/// }
/// # }
/// ```
#[derive(Debug, Default)]
pub struct NamespaceCounters {
    /// Instances constructed.
    pub constructions: Counter,
    /// Instances dropped because nothing happened.
    pub hibernations: Counter,
    /// Instances dropped because a handler or the constructor failed.
    pub failures: Counter,
    /// Messages delivered to handlers.
    pub messages: Counter,
    /// Instances in memory now.
    pub awake: Counter,
    /// Sockets accepted now.
    pub sockets: Counter,
}

/// Numbers of one shard.
///
/// ```no_run
/// # fn example(engine: &dormouse::server::Running) {
/// let connections: u64 = engine.counters().iter().map(|shard| shard.connections.get()).sum();
/// # }
/// ```
#[derive(Debug, Default)]
pub struct ShardCounters {
    /// Connections open now, in whichever protocol.
    pub connections: Counter,
    /// Connections accepted.
    pub accepted: Counter,
    /// Connections closed at once because their address had as many as it may.
    pub addresses_refused: Counter,
    /// Requests refused before they reached a worker.
    pub requests_refused: Counter,
    /// Requests that reached a worker.
    pub requests: Counter,
    /// Messages received, whole.
    pub messages_received: Counter,
    /// Bytes of payload received in them.
    pub bytes_received: Counter,
    /// Frames queued, one for each recipient.
    pub frames_queued: Counter,
    /// Frames encoded: a broadcast counts once.
    pub frames_encoded: Counter,
    /// Bytes copied to encode them.
    pub bytes_encoded: Counter,
    /// Messages compressed: a broadcast counts once for each size of window that its recipients have.
    pub compressions: Counter,
    /// Bytes of these before.
    pub compressed_from_bytes: Counter,
    /// And after.
    pub compressed_to_bytes: Counter,
    /// Bytes of compressed payload received.
    pub inflated_from_bytes: Counter,
    /// What came out of them.
    pub inflated_to_bytes: Counter,
    /// Contexts now held to compress for one connection each.
    pub deflate_contexts: Counter,
    /// Connections that have, or were promised, a context to inflate what they send.
    pub inflate_contexts: Counter,
    /// The memory of both.
    pub deflate_context_bytes: Counter,
    /// Contexts taken back from idle connections because others needed the memory.
    pub deflate_contexts_given_back: Counter,
    /// Batches received, each a message received.
    pub batches_received: Counter,
    /// Messages in them.
    pub batched_messages_received: Counter,
    /// Batches that left: one for everybody counts once.
    pub batches_sent: Counter,
    /// Messages in them.
    pub batched_messages_sent: Counter,
    /// Messages answered by an auto-response pair.
    pub auto_responses: Counter,
    /// Sockets closed with 1013 because they did not read.
    pub slow_readers_closed: Counter,
    /// Messages dropped because a socket did not read, where its class asks for that.
    pub messages_dropped: Counter,
    /// Messages replaced by newer ones under their keys because a socket did not read, where its class asks for that.
    pub messages_replaced: Counter,
    /// Connections lost because they took no byte for the write-progress time.
    pub write_timeouts: Counter,
    /// Connections lost because they did not answer a ping.
    pub ping_timeouts: Counter,
    /// Connections dropped because the peer did not answer a Close.
    pub close_timeouts: Counter,
    /// Connections closed because a request did not arrive in time.
    pub request_timeouts: Counter,
    /// Violations of RFC 6455 by peers, and broken batches.
    pub protocol_errors: Counter,
    /// Times a socket's reading was paused because of too many control frames.
    pub control_pauses: Counter,
    /// Times a socket's reading was paused because its object had too much waiting.
    pub mailbox_pauses: Counter,
    /// Handlers that panicked.
    pub panics: Counter,
    /// Events and constructors cancelled because they took too long.
    pub event_timeouts: Counter,
    /// By namespace, in the order in which they were bound.
    pub namespaces: Vec<NamespaceCounters>,
}

impl ShardCounters {
    /// All zero.
    ///
    /// ```
    /// let counters = dormouse::object::ShardCounters::new(2);
    /// assert_eq!(counters.namespaces.len(), 2);
    /// ```
    pub fn new(namespaces: usize) -> ShardCounters {
        ShardCounters {
            namespaces: (0..namespaces).map(|_| NamespaceCounters::default()).collect(),
            ..ShardCounters::default()
        }
    }
}
