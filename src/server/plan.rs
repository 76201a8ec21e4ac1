//! From the operator's config to the settings of worlds and shards. Owns the arithmetic of rings; reads no file.

use std::time::Duration;

use super::config::{Config, Deflate};
use crate::object::{DeflateSettings, Settings, room_needed};
use crate::shard::ShardSettings;
use crate::wire::{DeflateTerms, HeadLimits, SessionLimits};

/// What each world may do.
pub(super) fn world_settings(config: &Config) -> Settings {
    let ms = |duration: Duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let (limits, timeouts) = (&config.limits, &config.timeouts);
    Settings {
        head: HeadLimits {
            head_bytes_max: limits.head_bytes,
            headers_max: limits.headers,
            target_bytes_max: limits.target_bytes,
        },
        body_bytes_max: limits.body_bytes,
        session: SessionLimits {
            message_bytes_max: limits.message_bytes,
            frames_per_message_max: count(limits.frames_per_message),
        },
        reassembly_bytes_max: limits.reassembly_bytes_per_shard,
        output_socket_bytes_max: limits.output_bytes_per_socket,
        kept_messages_max: limits.kept_messages_per_socket,
        output_shard_bytes_max: limits.output_bytes_per_shard,
        control_frames_per_second_max: count(limits.control_frames_per_second),
        mailbox_events_max: limits.mailbox_events_per_object,
        mailbox_bytes_max: limits.mailbox_bytes_per_object,
        attachment_bytes_max: limits.attachment_bytes,
        sockets_per_object_max: limits.connections_per_object,
        connections_per_address_max: limits.connections_per_address,
        handshakes_per_address_max: limits.handshakes_per_address,
        crowd_sockets: config.crowd.sockets,
        hibernation_idle_ms: config.hibernation.idle.map(ms),
        evict_idle_ms: ms(config.hibernation.evict),
        handshake_ms: ms(timeouts.handshake),
        keep_alive_ms: ms(timeouts.keep_alive),
        write_progress_ms: ms(timeouts.write_progress),
        ping_ms: timeouts.ping.map(ms),
        pong_ms: ms(timeouts.pong),
        close_ms: ms(timeouts.close),
        fetch_ms: ms(timeouts.fetch),
        deflate: deflate_settings(&config.deflate),
        origins: config.security.origins.clone(),
    }
}

fn deflate_settings(deflate: &Deflate) -> DeflateSettings {
    let byte = |number: usize| u8::try_from(number).unwrap_or(u8::MAX);
    DeflateSettings {
        is_enabled: deflate.enabled,
        terms: DeflateTerms {
            context_takeover: deflate.context_takeover,
            window_bits: byte(deflate.window_bits),
        },
        level: byte(deflate.level),
        message_bytes_min: deflate.min_bytes,
        context_bytes_max: deflate.context_bytes_per_shard,
    }
}

/// Rings that each of `shards` shards needs: for the largest object whole, since an object's sockets may all live on its
/// home shard, and then its part of all connections that are still to come.
pub(super) fn rings_per_shard(config: &Config, shards: usize, slots_per_ring: usize) -> usize {
    let (limits, shards) = (&config.limits, shards.max(1));
    let largest_object = limits.connections.min(limits.connections_per_object);
    let slots = room_needed(largest_object, largest_object, limits.connections, shards);
    slots.div_ceil(slots_per_ring.max(1)).max(1)
}

/// The settings of a shard on each of `cores`.
pub(super) fn shard_settings(config: &Config, cores: &[usize], slots_per_ring: usize) -> Vec<ShardSettings> {
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
    let rings = rings_per_shard(config, cores.len(), slots_per_ring);
    let settings = |core: &usize| ShardSettings {
        listen: config.listen,
        core: Some(*core),
        receive_bytes: config.buffers.receive_bytes,
        receive_count: u16::try_from(config.buffers.receive_count).unwrap_or(1 << 15),
        send_batch: config.buffers.send_batch,
        submission_entries: count(config.buffers.submission_entries),
        completion_entries: count(config.buffers.completion_entries),
        connections_per_ring: count(slots_per_ring),
        rings: count(rings),
        pacing_wait: config.pacing.wait,
        peer_addresses: config.limits.connections_per_address > 0 || config.limits.handshakes_per_address > 0,
    };
    cores.iter().map(settings).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shard_can_hold_the_largest_object_and_its_part_of_the_rest() {
        let config = Config::default();
        for (shards, slots, rings) in [(1, 16_384, 8), (2, 16_384, 6), (16, 16_384, 3), (2, 1_024, 84)] {
            assert_eq!(rings_per_shard(&config, shards, slots), rings, "{shards} shards of {slots} slots");
        }
        let mut few = Config::default();
        few.limits.connections = 100;
        assert_eq!([1, 2].map(|shards| rings_per_shard(&few, shards, 64)), [2, 4]);
    }

    #[test]
    fn the_defaults_of_config_and_world_are_the_same() {
        let (from_config, own) = (world_settings(&Config::default()), Settings::default());
        assert_eq!(format!("{from_config:?}"), format!("{own:?}"));
    }
}
