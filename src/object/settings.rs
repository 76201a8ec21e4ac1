//! What the operator decided, as the object layer needs it. Owns no defaults of its own beyond those documented
//! here; reads no file.

use crate::wire::{DeflateTerms, HeadLimits, SessionLimits};

/// Limits and timeouts of one shard's world. Times are milliseconds, sizes are bytes.
///
/// ```
/// use dormouse::object::Settings;
///
/// // What a game wants: small messages, and silence noticed early.
/// let mut settings = Settings { ping_ms: Some(5_000), ..Settings::default() };
/// settings.session.message_bytes_max = 4 << 10;
/// assert_eq!(settings.hibernation_idle_ms, Some(10_000));
/// ```
#[derive(Clone, Debug)]
pub struct Settings {
    /// Caps on a request head.
    pub head: HeadLimits,
    /// Largest body of an ordinary HTTP request.
    pub body_bytes_max: usize,
    /// Caps on one WebSocket message.
    pub session: SessionLimits,
    /// Memory that unfinished messages of one shard may hold together.
    pub reassembly_bytes_max: usize,
    /// Bytes queued for one socket before its class's policy for slow readers applies.
    pub output_socket_bytes_max: usize,
    /// Messages that may wait under keys for one socket that has that much queued; and as many bytes again.
    pub kept_messages_max: usize,
    /// Bytes queued for all sockets of one shard before the slowest is closed.
    pub output_shard_bytes_max: usize,
    /// Pings and pongs a client may send a second before its socket is read no further until the next second.
    pub control_frames_per_second_max: u32,
    /// Events that may wait for one object before its sockets are read no further.
    pub mailbox_events_max: usize,
    /// Bytes of messages that may wait for one object before its sockets are read no further.
    pub mailbox_bytes_max: usize,
    /// Largest serialized attachment; the published limit is 2,048.
    pub attachment_bytes_max: usize,
    /// Sockets one object may hold.
    pub sockets_per_object_max: usize,
    /// Connections of one client address, or IPv6 network of 64 bits, in the whole process; 0 is any number.
    pub connections_per_address_max: usize,
    /// Of these, those whose first request has not arrived whole; 0 is any number.
    pub handshakes_per_address_max: usize,
    /// Sockets from which on an object counts as crowded: further ones stay on the shards that accepted them.
    pub crowd_sockets: usize,
    /// Time without events after which an object hibernates; 0 is at once, `None` never.
    pub hibernation_idle_ms: Option<u64>,
    /// Time without events after which an object that does not hibernate and holds no socket is evicted.
    pub evict_idle_ms: u64,
    /// Time for a request head and body to arrive.
    pub handshake_ms: u64,
    /// Time an HTTP connection may stay open between requests.
    pub keep_alive_ms: u64,
    /// Time a socket with queued output may take no byte of it.
    pub write_progress_ms: u64,
    /// Silence after which a socket is pinged; `None` never.
    pub ping_ms: Option<u64>,
    /// Further silence after which a pinged socket counts as lost.
    pub pong_ms: u64,
    /// Time for the peer to answer a Close frame.
    pub close_ms: u64,
    /// Time for `fetch`, of a worker or an object, to answer; and for a constructor to return.
    pub fetch_ms: u64,
    /// Compression of messages.
    pub deflate: DeflateSettings,
    /// Allowed values of the Origin header on an upgrade; empty allows all.
    pub origins: Vec<String>,
}

/// Room that a shard keeps beyond its part of the connections to come, when there may be `connections_max` in all: for
/// those on their way to it, and because they come to the shards at random. Six standard deviations of a million.
///
/// ```
/// use dormouse::object::spare_connections;
///
/// // What each of two shards needs for 131,072 connections of objects that live on both alike.
/// assert_eq!(131_072 / 2 + spare_connections(131_072), 69_632);
/// assert_eq!(spare_connections(100), 100);
/// ```
pub fn spare_connections(connections_max: usize) -> usize {
    connections_max.min(4_096)
}

/// Connections that one of `shards` shards must have room for when it holds `held` of the `open` ones: these, its part of all
/// that are still to come, and some. A shard alone gets all of them, and nothing comes at random.
pub(crate) fn room_needed(held: usize, open: usize, connections_max: usize, shards: usize) -> usize {
    let to_come = connections_max.saturating_sub(open).div_ceil(shards);
    let spare = if shards > 1 { spare_connections(connections_max) } else { 0 };
    held.saturating_add(to_come).saturating_add(spare)
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            head: HeadLimits::default(),
            body_bytes_max: 1 << 20,
            session: SessionLimits { message_bytes_max: 32 << 20, frames_per_message_max: 131_072 },
            reassembly_bytes_max: 256 << 20,
            output_socket_bytes_max: 1 << 20,
            kept_messages_max: 1_024,
            output_shard_bytes_max: 256 << 20,
            control_frames_per_second_max: 100,
            mailbox_events_max: 65_536,
            mailbox_bytes_max: 64 << 20,
            attachment_bytes_max: 2_048,
            sockets_per_object_max: 32_768,
            connections_per_address_max: 0,
            handshakes_per_address_max: 0,
            crowd_sockets: 1_024,
            hibernation_idle_ms: Some(10_000),
            evict_idle_ms: 90_000,
            handshake_ms: 10_000,
            keep_alive_ms: 75_000,
            write_progress_ms: 10_000,
            ping_ms: Some(25_000),
            pong_ms: 10_000,
            close_ms: 5_000,
            fetch_ms: 30_000,
            deflate: DeflateSettings::default(),
            origins: Vec::new(),
        }
    }
}

/// Compression of messages (RFC 7692).
///
/// ```
/// use dormouse::object::{DeflateSettings, Settings};
///
/// let deflate = DeflateSettings { message_bytes_min: 1_024, ..DeflateSettings::default() };
/// let settings = Settings { deflate, ..Settings::default() };
/// assert!(settings.deflate.is_enabled && settings.deflate.level == 1);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct DeflateSettings {
    /// Whether a client's offer is accepted.
    pub is_enabled: bool,
    /// What is agreed with clients that offer it.
    pub terms: DeflateTerms,
    /// 1, the fastest, to 9.
    pub level: u8,
    /// Shorter messages are sent as they are.
    pub message_bytes_min: usize,
    /// Memory that the contexts of one shard's connections may hold together.
    pub context_bytes_max: usize,
}

impl Default for DeflateSettings {
    fn default() -> DeflateSettings {
        DeflateSettings {
            is_enabled: true,
            terms: DeflateTerms::default(),
            level: 1,
            message_bytes_min: 256,
            context_bytes_max: 64 << 20,
        }
    }
}
