//! Owns what the operator may decide: the [`Config`], its defaults, and the way it is read from `dormouse.toml`, the
//! environment and the flags. It opens no socket and no ring, and knows nothing of what this machine can do: whether
//! a core exists or a file table is allowed is asked at start ([`crate::shard::probe`]).
//!
//! The keys of `dormouse.toml` are the field names here: `limits.message_bytes` is [`Limits::message_bytes`]. One
//! table, in `table.rs`, holds for each key its range, what it is and why its default is what it is; the file, the
//! environment, the flags, `dormouse config default` and the error messages are all driven by it.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

mod cores;
mod error;
mod file;
mod kind;
mod literal;
mod load;
mod print;
mod suggest;
mod table;
#[cfg(test)]
mod tests;
mod text;

pub use cores::{Cores, CoresUnavailable};
pub use error::{ConfigError, ConfigErrors, Problem, Source};
pub(in crate::server) use literal::{size_text, time_text};
pub use load::{CONFIG_VARIABLE, Layers, Loaded, Setting, load};
pub use print::{default_toml, key_lines};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// Everything an operator can set. `Config::default()` is what `dormouse config default` prints.
///
/// ```
/// # use dormouse::server::config::Config;
/// let mut config = Config::default();
/// config.limits.message_bytes = 1 << 20;
/// assert_eq!(config.listen.port(), 8787);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Address on which every shard accepts clients. Port 0 lets the kernel choose.
    pub listen: SocketAddr,
    /// The CPUs that get a shard each.
    pub cores: Cores,
    /// What is logged, in the syntax of `tracing_subscriber::EnvFilter`.
    pub log: String,
    /// Buffers and queues of the rings.
    pub buffers: Buffers,
    /// The bound of every queue and buffer that a peer or an object can fill.
    pub limits: Limits,
    /// When an object without work leaves memory.
    pub hibernation: Hibernation,
    /// How long the engine waits for a peer or an object.
    pub timeouts: Timeouts,
    /// Who may connect.
    pub security: Security,
    /// How a busy shard gathers work.
    pub pacing: Pacing,
    /// When an object's sockets spread over the shards.
    pub crowd: Crowd,
    /// Compression of messages, for clients that offer it.
    pub deflate: Deflate,
    /// Where metrics and health are served.
    pub metrics: Metrics,
    /// Text handed to objects as environment variables, by name.
    pub vars: BTreeMap<String, String>,
}

/// `[buffers]`: buffers and queues of the rings. Memory is reserved per ring, so these multiply.
///
/// ```
/// use dormouse::server::config::{Config, Buffers};
///
/// let buffers = Buffers { receive_bytes: 2_048, ..Buffers::default() };
/// let config = Config { buffers, ..Config::default() };
/// assert_eq!(config.buffers.receive_count, 2_048); // 4 MiB a ring
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buffers {
    /// Size of one receive buffer, in bytes.
    pub receive_bytes: usize,
    /// Receive buffers of one ring; a power of two.
    pub receive_count: usize,
    /// Sends handed to the kernel in one submission.
    pub send_batch: usize,
    /// Entries of a ring's submission queue; a power of two.
    pub submission_entries: usize,
    /// Entries of a ring's completion queue; a power of two, not below `submission_entries`.
    pub completion_entries: usize,
}

/// `[limits]`: the bound of every queue and buffer that a peer or an object can fill.
///
/// ```
/// use dormouse::server::config::{Config, Limits};
///
/// let limits = Limits { message_bytes: 64 << 10, ..Limits::default() };
/// let config = Config { limits, ..Config::default() };
/// assert_eq!(config.limits.connections, 131_072);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Request line and header fields together, in bytes; above: 431.
    pub head_bytes: usize,
    /// Header fields of a request; above: 431.
    pub headers: usize,
    /// Request target, in bytes; above: 414.
    pub target_bytes: usize,
    /// Body of an ordinary HTTP request, in bytes; above: 413.
    pub body_bytes: usize,
    /// One received message, over all its fragments, in bytes; above: close 1009.
    pub message_bytes: usize,
    /// Frames of one received message, empty ones included; above: close 1008.
    pub frames_per_message: usize,
    /// Half-received messages of one shard together, in bytes.
    pub reassembly_bytes_per_shard: usize,
    /// Queued output of one socket, in bytes; above: the class's policy for slow readers.
    pub output_bytes_per_socket: usize,
    /// Messages that wait under keys for one socket at its bound, in as many bytes again; above: close 1013.
    pub kept_messages_per_socket: usize,
    /// Queued output of one shard, in bytes; above: the slowest sockets go first.
    pub output_bytes_per_shard: usize,
    /// Control frames that one socket may send in a second; above: its reading pauses.
    pub control_frames_per_second: usize,
    /// Events waiting for one object; above: its sockets' reading pauses.
    pub mailbox_events_per_object: usize,
    /// Bytes of the events waiting for one object; above: its sockets' reading pauses.
    pub mailbox_bytes_per_object: usize,
    /// A socket's serialized attachment, in bytes; above: the handler gets an error.
    pub attachment_bytes: usize,
    /// Connections of the whole process; above: new ones are closed.
    pub connections: usize,
    /// Connections of one client address (IPv6: network of 64 bits); above: new ones are closed. 0 is any number.
    pub connections_per_address: usize,
    /// Connections of one client address whose first request has not arrived whole; above: new ones are closed.
    /// 0 is any number.
    pub handshakes_per_address: usize,
    /// Sockets of one object; above: the handler gets an error.
    pub connections_per_object: usize,
    /// Slots in the file table of one ring; a shard opens as many rings as it needs.
    pub connections_per_ring: usize,
}

/// `[hibernation]`: when an object without work leaves memory.
///
/// ```
/// use std::time::Duration;
/// use dormouse::server::config::{Config, Hibernation};
///
/// let hibernation = Hibernation { idle: Some(Duration::ZERO), ..Hibernation::default() }; // at once
/// let config = Config { hibernation, ..Config::default() };
/// assert_eq!(config.hibernation.evict, Duration::from_secs(90));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hibernation {
    /// Quiet time after which an object hibernates while its sockets stay; zero is at once, `None` is never.
    pub idle: Option<Duration>,
    /// Quiet time after which an object that cannot hibernate is evicted.
    pub evict: Duration,
}

/// `[timeouts]`: how long the engine waits for a peer or an object.
///
/// ```
/// use std::time::Duration;
/// use dormouse::server::config::{Config, Timeouts};
///
/// let timeouts = Timeouts { ping: None, drain: Duration::from_secs(60), ..Timeouts::default() };
/// let config = Config { timeouts, ..Config::default() };
/// assert_eq!(config.timeouts.close, Duration::from_secs(5));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// From accept to the end of the request head.
    pub handshake: Duration,
    /// An HTTP connection without a request.
    pub keep_alive: Duration,
    /// A socket with queued output of which the kernel takes nothing.
    pub write_progress: Duration,
    /// Silence after which the engine pings; `None` sends no pings.
    pub ping: Option<Duration>,
    /// From the ping to any byte of the peer.
    pub pong: Duration,
    /// From the engine's Close to the peer's.
    pub close: Duration,
    /// From the request to stop to the end of the process.
    pub drain: Duration,
    /// An object's answer to an ordinary HTTP request or an upgrade; a constructor.
    pub fetch: Duration,
}

/// `[security]`: who may connect.
///
/// ```
/// use dormouse::server::config::{Config, Security};
///
/// let security = Security { origins: vec!["https://game.example".to_owned()] };
/// let config = Config { security, ..Config::default() };
/// assert_eq!(config.security.origins.len(), 1);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Security {
    /// Values of `Origin` that may upgrade, compared byte for byte; empty allows any, and none at all.
    pub origins: Vec<String>,
}

/// `[pacing]`: how a busy shard gathers work.
///
/// ```
/// use std::time::Duration;
/// use dormouse::server::config::{Config, Pacing};
///
/// let pacing = Pacing { wait: Duration::from_micros(250) };
/// let config = Config { pacing, ..Config::default() };
/// assert_eq!(config.pacing.wait.as_micros(), 250);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Pacing {
    /// How long a shard waits, after a turn that found work, before it looks again.
    pub wait: Duration,
}

/// `[crowd]`: when an object's sockets spread over the shards.
///
/// ```
/// use dormouse::server::config::{Config, Crowd};
///
/// let crowd = Crowd { sockets: 1_000 };
/// let config = Config { crowd, ..Config::default() };
/// assert_eq!(config.crowd.sockets, 1_000);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Crowd {
    /// Sockets of one object beyond which further ones stay on the shards that accepted them.
    pub sockets: usize,
}

impl Default for Crowd {
    fn default() -> Self {
        Self { sockets: 1_024 }
    }
}

/// `[deflate]`: compression of messages, permessage-deflate (RFC 7692), for clients that offer it.
///
/// ```
/// use dormouse::server::config::{Config, Deflate};
///
/// let deflate = Deflate { enabled: false, ..Deflate::default() };
/// let config = Config { deflate, ..Config::default() };
/// assert!(!config.deflate.enabled);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Deflate {
    /// Whether offers are accepted.
    pub enabled: bool,
    /// Whether a message may refer to those before it, which needs contexts for each connection.
    pub context_takeover: bool,
    /// Largest window in either direction, as a power of two: 9 to 15.
    pub window_bits: usize,
    /// How hard compression tries, from 1 (fast) to 9 (small).
    pub level: usize,
    /// Shorter messages are sent as they are, in bytes.
    pub min_bytes: usize,
    /// Contexts of one shard's connections together, in bytes.
    pub context_bytes_per_shard: usize,
}

impl Default for Deflate {
    fn default() -> Self {
        Self {
            enabled: true,
            context_takeover: false,
            window_bits: 15,
            level: 1,
            min_bytes: 256,
            context_bytes_per_shard: 64 * MIB,
        }
    }
}

/// `[metrics]`: where metrics and health are served.
///
/// ```
/// use dormouse::server::config::{Config, Metrics};
///
/// let metrics = Metrics { listen: "127.0.0.1:9100".parse().ok() };
/// let config = Config { metrics, ..Config::default() };
/// assert_eq!(config.metrics.listen.unwrap().port(), 9100);
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metrics {
    /// Address of the listener for metrics and health; `None` opens none.
    pub listen: Option<SocketAddr>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8787)),
            cores: Cores::All,
            log: "info".to_owned(),
            buffers: Buffers::default(),
            limits: Limits::default(),
            hibernation: Hibernation::default(),
            timeouts: Timeouts::default(),
            security: Security::default(),
            pacing: Pacing::default(),
            crowd: Crowd::default(),
            deflate: Deflate::default(),
            metrics: Metrics::default(),
            vars: BTreeMap::new(),
        }
    }
}

impl Default for Buffers {
    fn default() -> Self {
        Self {
            receive_bytes: 512,
            receive_count: 2_048,
            send_batch: 1_024,
            submission_entries: 2_048,
            completion_entries: 16_384,
        }
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            head_bytes: 16 * KIB,
            headers: 100,
            target_bytes: 8 * KIB,
            body_bytes: MIB,
            message_bytes: 32 * MIB,
            frames_per_message: 131_072,
            reassembly_bytes_per_shard: 256 * MIB,
            output_bytes_per_socket: MIB,
            kept_messages_per_socket: 1_024,
            output_bytes_per_shard: 256 * MIB,
            control_frames_per_second: 100,
            mailbox_events_per_object: 65_536,
            mailbox_bytes_per_object: 64 * MIB,
            attachment_bytes: 2 * KIB,
            connections: 131_072,
            connections_per_address: 0,
            handshakes_per_address: 0,
            connections_per_object: 32_768,
            connections_per_ring: 16_384,
        }
    }
}

impl Default for Hibernation {
    fn default() -> Self {
        Self { idle: Some(Duration::from_secs(10)), evict: Duration::from_secs(90) }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            keep_alive: Duration::from_secs(75),
            write_progress: Duration::from_secs(10),
            ping: Some(Duration::from_secs(25)),
            pong: Duration::from_secs(10),
            close: Duration::from_secs(5),
            drain: Duration::from_secs(10),
            fetch: Duration::from_secs(30),
        }
    }
}
