//! What a shard gives back when it has heard nothing for a while: memory that only work needs.
//!
//! Owns the decision when that is. A shard that was busy has touched all its receive buffers, since the kernel takes
//! them in turn, and its handshakes and messages have left the heap in pieces. Beside sockets that sleep that is more than the
//! sockets hold; to touch it again costs a page fault for each eight messages, once.

use super::stats::ShardStats;

/// How long nothing must have been received.
pub(super) const QUIET_MS: u64 = 1_000;

/// So much must have happened before: less has not touched much.
const WORK_MIN: u64 = 512;
/// What messages alone leave of the heap is less, and to look through it holds up every shard that shares it.
const HEAP_RECEIVES_MIN: u64 = 16 * WORK_MIN;

/// What had happened when.
#[derive(Debug, Default)]
pub(super) struct Rest {
    /// Receives so far, and when there was last a new one, as far as was looked.
    receives: u64,
    heard_ms: u64,
    /// When the shard last gave something back.
    receives_then: u64,
    /// Both when that was pieces of the heap.
    heap_receives_then: u64,
    connections_then: u64,
    deadline_ms: Option<u64>,
}

/// What is to be given back.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Worth {
    /// Receive buffers.
    pub(super) buffers: bool,
    /// Free pieces of the heap.
    pub(super) heap: bool,
}

impl Rest {
    /// What the shard, which is about to sleep, is to give back now.
    pub(super) fn look(&mut self, now_ms: u64, stats: &ShardStats) -> Worth {
        let (receives, connections) = (stats.receives.get(), connections(stats));
        if receives != self.receives {
            (self.receives, self.heard_ms) = (receives, now_ms);
        }
        let worth = Worth {
            buffers: receives - self.receives_then >= WORK_MIN,
            heap: connections - self.connections_then >= WORK_MIN
                || receives - self.heap_receives_then >= HEAP_RECEIVES_MIN,
        };
        let due_ms = self.heard_ms + QUIET_MS;
        let is_worth = worth != Worth::default();
        self.deadline_ms = (is_worth && due_ms > now_ms).then_some(due_ms);
        if !is_worth || due_ms > now_ms {
            return Worth::default();
        }
        self.receives_then = receives;
        if worth.heap {
            (self.heap_receives_then, self.connections_then) = (receives, connections);
        }
        worth
    }

    /// When to look again, whatever else happens.
    pub(super) fn deadline_ms(&self) -> Option<u64> {
        self.deadline_ms
    }
}

/// Connections that came, and that went.
fn connections(stats: &ShardStats) -> u64 {
    let counters = [&stats.accepts, &stats.hand_offs_received, &stats.closes, &stats.hand_offs_sent];
    counters.iter().map(|counter| counter.get()).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: Worth = Worth { buffers: false, heap: false };

    #[test]
    fn only_after_work_is_there_something_to_give_back() {
        let (mut rest, stats) = (Rest::default(), ShardStats::default());
        stats.receives.add(WORK_MIN - 1);
        assert_eq!((rest.look(5, &stats), rest.deadline_ms()), (NOTHING, None));
        stats.receives.add(1);
        assert_eq!((rest.look(10, &stats), rest.deadline_ms()), (NOTHING, Some(10 + QUIET_MS)));
        assert_eq!(rest.look(9 + QUIET_MS, &stats), NOTHING);
        assert_eq!(rest.look(10 + QUIET_MS, &stats), Worth { buffers: true, heap: false });
        assert_eq!((rest.look(11 + QUIET_MS, &stats), rest.deadline_ms()), (NOTHING, None), "once");
    }

    #[test]
    fn what_many_messages_left_of_the_heap_is_given_back_too() {
        let (mut rest, stats) = (Rest::default(), ShardStats::default());
        let mut now_ms = 0;
        let mut given = Vec::new();
        for _ in 0..2 * HEAP_RECEIVES_MIN / WORK_MIN {
            stats.receives.add(WORK_MIN);
            rest.look(now_ms, &stats);
            now_ms += QUIET_MS;
            given.push(rest.look(now_ms, &stats));
        }
        assert!(given.iter().all(|worth| worth.buffers), "{given:?}");
        let heap: Vec<usize> = (0..given.len()).filter(|&at| given[at].heap).collect();
        assert_eq!(heap, [15, 31]);
    }

    #[test]
    fn who_is_spoken_to_keeps_what_it_has() {
        let (mut rest, stats) = (Rest::default(), ShardStats::default());
        stats.accepts.add(WORK_MIN / 2);
        stats.closes.add(WORK_MIN / 2);
        for now_ms in (0..10 * QUIET_MS).step_by(QUIET_MS as usize - 1) {
            stats.receives.add(WORK_MIN);
            assert_eq!((rest.look(now_ms, &stats), rest.deadline_ms()), (NOTHING, Some(now_ms + QUIET_MS)));
        }
        assert_eq!(rest.look(20 * QUIET_MS, &stats), Worth { buffers: true, heap: true });
    }
}
