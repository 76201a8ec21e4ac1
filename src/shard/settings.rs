//! How large a shard is.
//!
//! Owns the limits that the kernel and our encodings set; the reasons for the defaults are the configuration's.

use std::net::SocketAddr;
use std::time::Duration;

use super::buffers::RECEIVE_COUNT_MAX;
use super::error::StartError;
use super::user_data::SLOTS_MAX;
use crate::object::driver::BATCH_MAX;

/// One shard's settings.
///
/// ```
/// use std::time::Duration;
/// use dormouse::shard::ShardSettings;
///
/// let settings = ShardSettings {
///     listen: "127.0.0.1:0".parse().unwrap(),
///     core: Some(0),
///     receive_bytes: 512,
///     receive_count: 1_024,
///     send_batch: 1_024,
///     submission_entries: 2_048,
///     completion_entries: 4_096,
///     connections_per_ring: 16_384,
///     rings: 2,
///     pacing_wait: Duration::ZERO,
///     peer_addresses: false,
/// };
/// assert_eq!(settings.connections_max(), 32_768);
/// ```
#[derive(Clone, Debug)]
pub struct ShardSettings {
    /// Where to accept connections. All shards of a process listen at the same address; with port 0, the kernel
    /// chooses one for the first shard, and the others take the same.
    pub listen: SocketAddr,
    /// The processor core that the shard's thread is bound to; none if the kernel may move it.
    pub core: Option<usize>,
    /// Bytes of one receive buffer: 1 to 1 MiB.
    pub receive_bytes: usize,
    /// Receive buffers of each ring: a power of two up to 32,768.
    pub receive_count: u16,
    /// Most sends submitted at once: 1 to 1,024.
    pub send_batch: usize,
    /// Requests that one submission may hold: 1 to 32,768; the kernel rounds up to a power of two.
    pub submission_entries: u32,
    /// Completions that may wait before the kernel must store them elsewhere: 1 to 65,536, not fewer than
    /// `submission_entries`; the kernel rounds up to a power of two.
    pub completion_entries: u32,
    /// Sockets of one ring: 1 to 2^24, and not above the soft limit of open descriptors (`RLIMIT_NOFILE`).
    pub connections_per_ring: u32,
    /// Rings of the shard: at least 1, and `rings * connections_per_ring` below 2^32.
    pub rings: u32,
    /// How long the shard waits after a turn that found work before it looks again, so that more work gathers.
    /// Zero: not at all. The first message after a quiet time is never delayed.
    pub pacing_wait: Duration,
    /// Whether the world is told where each connection comes from; that needs Linux 6.8 and costs three calls for
    /// each connection.
    pub peer_addresses: bool,
}

const RECEIVE_BYTES_MAX: usize = 1 << 20;
const SUBMISSION_ENTRIES_MAX: u32 = 1 << 15;
const COMPLETION_ENTRIES_MAX: u32 = 1 << 16;

impl ShardSettings {
    /// Most connections of the shard.
    pub fn connections_max(&self) -> u64 {
        u64::from(self.rings) * u64::from(self.connections_per_ring)
    }

    /// Checks each value against what the type's documentation allows.
    pub(super) fn check(&self) -> Result<(), StartError> {
        let range = |key, value: u64, allowed: std::ops::RangeInclusive<u64>| {
            if allowed.contains(&value) { Ok(()) } else { Err(refused(key, value, allowed)) }
        };
        range("receive_bytes", self.receive_bytes as u64, 1..=RECEIVE_BYTES_MAX as u64)?;
        range("receive_count", u64::from(self.receive_count), 1..=u64::from(RECEIVE_COUNT_MAX))?;
        range("send_batch", self.send_batch as u64, 1..=BATCH_MAX as u64)?;
        range(
            "submission_entries",
            u64::from(self.submission_entries),
            1..=u64::from(SUBMISSION_ENTRIES_MAX),
        )?;
        let completions = u64::from(self.submission_entries)..=u64::from(COMPLETION_ENTRIES_MAX);
        range("completion_entries", u64::from(self.completion_entries), completions)?;
        range("connections_per_ring", u64::from(self.connections_per_ring), 1..=u64::from(SLOTS_MAX))?;
        range("rings", u64::from(self.rings), 1..=u64::from(u32::MAX / self.connections_per_ring))?;
        if !self.receive_count.is_power_of_two() {
            let allowed = "a power of two".to_owned();
            return Err(StartError::Setting {
                key: "receive_count",
                value: self.receive_count.into(),
                allowed,
            });
        }
        Ok(())
    }
}

fn refused(key: &'static str, value: u64, allowed: std::ops::RangeInclusive<u64>) -> StartError {
    StartError::Setting { key, value, allowed: format!("{} to {}", allowed.start(), allowed.end()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings() -> ShardSettings {
        ShardSettings {
            listen: "127.0.0.1:0".parse().unwrap(),
            core: None,
            receive_bytes: 512,
            receive_count: 1_024,
            send_batch: 1_024,
            submission_entries: 2_048,
            completion_entries: 4_096,
            connections_per_ring: 16_384,
            rings: 2,
            pacing_wait: Duration::ZERO,
            peer_addresses: false,
        }
    }

    #[track_caller]
    fn refuses(settings: ShardSettings, message: &str) {
        assert_eq!(settings.check().unwrap_err().to_string(), message);
    }

    #[test]
    fn a_refusal_names_key_value_and_what_is_allowed() {
        settings().check().unwrap();
        refuses(
            ShardSettings { send_batch: 1_025, ..settings() },
            "send_batch is 1025, which is not allowed: 1 to 1024",
        );
        refuses(
            ShardSettings { receive_count: 1_000, ..settings() },
            "receive_count is 1000, which is not allowed: a power of two",
        );
        refuses(
            ShardSettings { completion_entries: 128, ..settings() },
            "completion_entries is 128, which is not allowed: 2048 to 65536",
        );
        refuses(
            ShardSettings { rings: 300_000, ..settings() },
            "rings is 300000, which is not allowed: 1 to 262143",
        );
    }
}
