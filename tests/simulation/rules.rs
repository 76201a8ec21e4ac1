//! What a server may do to a client that does nothing wrong, as the settings and habits of a run have it. Owns the
//! reasons for which the engine closes or drops a connection; anything else is a broken rule.

use std::cell::Cell;

use dormouse::{BatchFormat, SlowReader};

use super::plan::Plan;
use super::witness;

#[derive(Clone, Debug)]
pub struct Rules {
    /// Silence after which a connection may be dropped.
    pub silence_ms: Option<u64>,
    pub close_ms: u64,
    pub write_progress_ms: u64,
    pub handshake_ms: u64,
    pub fetch_ms: u64,
    /// Objects fail, and sockets are closed for it.
    pub objects_fail: bool,
    /// Output bounds are small.
    pub output_is_tight: bool,
    /// What becomes of what does not fit them.
    pub slow_reader: SlowReader,
    /// Objects speak in envelopes of this format.
    pub batching: Option<BatchFormat>,
    pub shard_output_is_tight: bool,
    /// The kernel blocks clients that read, and says late that it takes bytes again.
    pub blocks_readers: bool,
    pub sends_are_short: bool,
    /// A connection may be lost on its way to another shard, or refused at the door.
    pub arrival_may_fail: bool,
    /// Messages of clients may be larger than the limit.
    pub message_bytes_max: usize,
    pub frames_max: u32,
    /// So little may wait for an object, and be unfinished besides, that clients can fill it.
    pub waiting_is_tight: bool,
    /// Upgrades may be refused with 503 or 504, and with 500.
    pub is_crowded: bool,
    pub fetch_fails: bool,
    /// The server shuts down.
    pub is_draining: Cell<bool>,
}

impl Rules {
    pub fn of(plan: &Plan) -> Rules {
        let settings = &plan.settings;
        let fails = plan.failing_constructor > 0;
        Rules {
            silence_ms: settings.ping_ms.map(|ping_ms| ping_ms + settings.pong_ms),
            close_ms: settings.close_ms,
            write_progress_ms: settings.write_progress_ms,
            handshake_ms: settings.handshake_ms,
            fetch_ms: settings.fetch_ms,
            objects_fail: fails
                || plan.wishes.panic + plan.wishes.fail > 0
                || plan.event_timeout_ms.is_some() && plan.wishes.sleep + plan.wishes.call > 0
                // A call that waits for its caller is ended after this time.
                || plan.failing_upgrade > 0,
            output_is_tight: settings.output_socket_bytes_max < 1 << 20,
            slow_reader: plan.slow_reader,
            batching: plan.batching,
            shard_output_is_tight: settings.output_shard_bytes_max < 1 << 20,
            sends_are_short: plan.faults.short > 0,
            blocks_readers: plan.faults.short > 0 && plan.faults.deferred > 0,
            arrival_may_fail: plan.faults.hand_off_fails > 0 || plan.connections_max < 100,
            message_bytes_max: settings.session.message_bytes_max,
            frames_max: settings.session.frames_per_message_max,
            waiting_is_tight: settings.mailbox_bytes_max + settings.reassembly_bytes_max < 1 << 20,
            is_crowded: settings.sockets_per_object_max < 100 || settings.mailbox_events_max < 100,
            is_draining: Cell::new(false),
            fetch_fails: fails || plan.failing_upgrade > 0 || plan.wishes.panic + plan.wishes.fail > 0,
        }
    }

    /// Whether instances may end by a failure.
    pub fn objects_may_fail(&self) -> bool {
        self.objects_fail || constructors_were_cancelled()
    }

    /// Whether the engine may send this code to a client that keeps the protocol.
    pub fn may_close(&self, code: u16) -> bool {
        match code {
            1_011 => self.objects_may_fail(),
            1_009 => self.waiting_is_tight,
            1_013 => self.output_is_tight && self.slow_reader != SlowReader::DropNewest,
            1_001 => self.is_draining.get(),
            _ => false,
        }
    }

    /// Whether a client may miss some of what was said to it, if that is counted.
    pub fn may_drop(&self) -> bool {
        self.output_is_tight && self.slow_reader == SlowReader::DropNewest
    }

    /// Whether a newer message may take the place of an older one with the same key.
    pub fn may_replace(&self) -> bool {
        self.output_is_tight && self.slow_reader == SlowReader::KeepLatest
    }

    /// Whether an upgrade may be answered so after this time.
    pub fn may_refuse(&self, status: u16, waited_ms: u64) -> bool {
        match status {
            503 => self.is_crowded || self.is_draining.get(),
            500 => self.fetch_fails || constructors_were_cancelled(),
            504 => waited_ms >= self.fetch_ms,
            _ => false,
        }
    }
}

/// The time of a constructor was over, as it may be when the clock jumps.
fn constructors_were_cancelled() -> bool {
    witness::with(|witness| witness.cancelled_constructors > 0)
}
