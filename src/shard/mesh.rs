//! What this shard has for others: messages, and the hand-offs that must not overtake them.
//!
//! Owns the outgoing queues. A turn's messages for one shard are put in its inbox under one lock, and its bell is
//! rung once. What an inbox has no room for waits here, in order; so does every hand-off to that shard, because a
//! descriptor that arrives before the message that explains it would be a stranger.

use std::collections::VecDeque;

use super::ports::Port;
use super::stats::ShardStats;
use crate::object::driver::{Place, ShardId};
use crate::object::mesh::MeshMessage;

/// Messages that may wait here for one shard before this shard stops taking in what would make it produce more.
pub(super) const OUTGOING_MESSAGES_MAX: usize = 65_536;

/// A hand-off that the world asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct HandOff {
    pub(super) place: Place,
    pub(super) target: ShardId,
    pub(super) token: u32,
}

/// The outgoing side of one shard.
pub(super) struct Mesh {
    shard: ShardId,
    lanes: Vec<Lane>,
}

#[derive(Default)]
struct Lane {
    messages: VecDeque<MeshMessage>,
    hand_offs: VecDeque<HandOff>,
}

impl Mesh {
    /// Nothing outgoing from `shard`, one of `count`.
    pub(super) fn new(shard: ShardId, count: usize) -> Self {
        Self { shard, lanes: (0..count).map(|_| Lane::default()).collect() }
    }

    /// Queues a message behind all earlier ones for that shard.
    pub(super) fn send(&mut self, target: ShardId, message: MeshMessage) {
        self.lanes[usize::from(target.0)].messages.push_back(message);
    }

    /// Queues a hand-off behind all earlier messages for that shard.
    pub(super) fn hand_off(&mut self, hand_off: HandOff) {
        self.lanes[usize::from(hand_off.target.0)].hand_offs.push_back(hand_off);
    }

    /// Delivers what there is room for.
    pub(super) fn deliver(&mut self, ports: &[Port], stats: &ShardStats) {
        for (lane, port) in self.lanes.iter_mut().zip(ports) {
            if lane.messages.is_empty() {
                continue;
            }
            if port.has_ended() {
                stats.mesh_dropped.add(lane.messages.len() as u64);
                lane.messages.clear();
                continue;
            }
            let count = port.inbox.put(self.shard, &mut lane.messages);
            stats.mesh_sent.add(count as u64);
            stats.mesh_full.add(u64::from(!lane.messages.is_empty()));
            if count > 0 {
                port.bell.ring();
            }
        }
    }

    /// The next hand-off whose messages have all been delivered.
    pub(super) fn next_hand_off(&mut self) -> Option<HandOff> {
        self.lanes
            .iter_mut()
            .filter(|lane| lane.messages.is_empty())
            .find_map(|lane| lane.hand_offs.pop_front())
    }

    /// Whether some shard is so far behind that this one should produce nothing more for it.
    pub(super) fn is_congested(&self) -> bool {
        self.lanes.iter().any(|lane| lane.messages.len() > OUTGOING_MESSAGES_MAX)
    }

    /// Whether nothing waits.
    pub(super) fn is_empty(&self) -> bool {
        self.lanes.iter().all(|lane| lane.messages.is_empty() && lane.hand_offs.is_empty())
    }
}
