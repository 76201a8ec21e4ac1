//! What a completion belongs to, packed into the 64 bits that a ring carries for us.
//!
//! Owns the encoding and nothing else. The kind is in the top byte, so that a completion of one kind can never
//! be taken for another whatever its numbers are.
//!
//! ```text
//!   63      56 55        48 47            32 31                             0
//!  +----------+------------+----------------+--------------------------------+
//!  |   kind   |              slot (24 bits) |             token              |
//!  |   kind   |            |   from shard   |             token              |
//!  |   kind   |            |                |         slot or index          |
//!  +----------+------------+----------------+--------------------------------+
//! ```

use crate::object::driver::ShardId;

/// Most slots of one ring's table: what the encoding of a hand-off leaves room for.
pub(super) const SLOTS_MAX: u32 = 1 << 24;

/// One operation in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Operation {
    /// Somebody rang the shard's bell.
    Bell,
    /// A connection taken from the listener into an automatic slot.
    Accept,
    /// Bytes received into a buffer of the ring.
    Receive {
        /// Whose bytes.
        slot: u32,
    },
    /// The socket takes bytes again.
    Writable {
        /// Which socket.
        slot: u32,
    },
    /// A cancellation that found nothing to cancel; whatever it was meant for has its own completion.
    Cancel,
    /// FIN was sent.
    Shutdown {
        /// Which socket.
        slot: u32,
    },
    /// The slot was closed.
    Close {
        /// Which slot.
        slot: u32,
    },
    /// A send that was not wholly taken.
    Send {
        /// Index in the batch under way.
        index: u32,
    },
    /// A descriptor left for another shard, or could not.
    HandOffSent {
        /// Where the descriptor was.
        slot: u32,
        /// The world's name of the hand-off.
        token: u32,
    },
    /// The slot of a descriptor that another shard has was closed.
    HandOffClosed {
        /// Which slot.
        slot: u32,
        /// The world's name of the hand-off.
        token: u32,
    },
    /// A descriptor of another shard arrived in our table.
    HandOffArrived {
        /// Who sent it.
        from: ShardId,
        /// The sender's name of the hand-off.
        token: u32,
    },
    /// A slot's socket has an ordinary descriptor too, so that it can be asked for its peer.
    Installed {
        /// Which slot.
        slot: u32,
    },
    /// The deadline the shard sleeps for has come.
    Timer,
    /// An answer about moving the timer; the timer has its own completion.
    TimerMoved,
}

const ACCEPT: u64 = 1;
const RECEIVE: u64 = 2;
const WRITABLE: u64 = 3;
const CANCEL: u64 = 4;
const SHUTDOWN: u64 = 5;
const CLOSE: u64 = 6;
const SEND: u64 = 7;
const HAND_OFF_SENT: u64 = 8;
const HAND_OFF_ARRIVED: u64 = 9;
const HAND_OFF_CLOSED: u64 = 10;
const TIMER: u64 = 11;
const TIMER_MOVED: u64 = 12;
const INSTALLED: u64 = 13;
const BELL: u64 = 14;

const KIND_SHIFT: u32 = 56;
const UPPER_SHIFT: u32 = 32;

impl Operation {
    /// The bits to submit.
    pub(super) fn encode(self) -> u64 {
        match self {
            Operation::Bell => pack(BELL, 0, 0),
            Operation::Accept => pack(ACCEPT, 0, 0),
            Operation::Receive { slot } => pack(RECEIVE, 0, slot),
            Operation::Writable { slot } => pack(WRITABLE, 0, slot),
            Operation::Cancel => pack(CANCEL, 0, 0),
            Operation::Shutdown { slot } => pack(SHUTDOWN, 0, slot),
            Operation::Close { slot } => pack(CLOSE, 0, slot),
            Operation::Send { index } => pack(SEND, 0, index),
            Operation::HandOffSent { slot, token } => pack(HAND_OFF_SENT, slot, token),
            Operation::HandOffClosed { slot, token } => pack(HAND_OFF_CLOSED, slot, token),
            Operation::HandOffArrived { from, token } => pack(HAND_OFF_ARRIVED, u32::from(from.0), token),
            Operation::Installed { slot } => pack(INSTALLED, 0, slot),
            Operation::Timer => pack(TIMER, 0, 0),
            Operation::TimerMoved => pack(TIMER_MOVED, 0, 0),
        }
    }

    /// The operation of `bits`; `None` if no operation encodes to them.
    pub(super) fn decode(bits: u64) -> Option<Self> {
        let upper = (bits >> UPPER_SHIFT) as u32 & (SLOTS_MAX - 1);
        let lower = bits as u32;
        Some(match bits >> KIND_SHIFT {
            BELL => Operation::Bell,
            ACCEPT => Operation::Accept,
            RECEIVE => Operation::Receive { slot: lower },
            WRITABLE => Operation::Writable { slot: lower },
            CANCEL => Operation::Cancel,
            SHUTDOWN => Operation::Shutdown { slot: lower },
            CLOSE => Operation::Close { slot: lower },
            SEND => Operation::Send { index: lower },
            HAND_OFF_SENT => Operation::HandOffSent { slot: upper, token: lower },
            HAND_OFF_CLOSED => Operation::HandOffClosed { slot: upper, token: lower },
            HAND_OFF_ARRIVED => {
                Operation::HandOffArrived { from: ShardId(u16::try_from(upper).ok()?), token: lower }
            }
            INSTALLED => Operation::Installed { slot: lower },
            TIMER => Operation::Timer,
            TIMER_MOVED => Operation::TimerMoved,
            _ => return None,
        })
    }
}

fn pack(kind: u64, upper: u32, lower: u32) -> u64 {
    debug_assert!(upper < SLOTS_MAX);
    kind << KIND_SHIFT | u64::from(upper) << UPPER_SHIFT | u64::from(lower)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operation_survives_the_ring() {
        let last = SLOTS_MAX - 1;
        for operation in [
            Operation::Bell,
            Operation::Accept,
            Operation::Receive { slot: 0 },
            Operation::Receive { slot: last },
            Operation::Writable { slot: last },
            Operation::Cancel,
            Operation::Shutdown { slot: last },
            Operation::Close { slot: last },
            Operation::Send { index: 127 },
            Operation::HandOffSent { slot: last, token: u32::MAX },
            Operation::HandOffClosed { slot: last, token: u32::MAX },
            Operation::HandOffArrived { from: ShardId(u16::MAX), token: u32::MAX },
            Operation::Installed { slot: last },
            Operation::Timer,
            Operation::TimerMoved,
        ] {
            assert_eq!(Operation::decode(operation.encode()), Some(operation));
        }
    }

    #[test]
    fn foreign_bits_are_no_operation() {
        assert_eq!(Operation::decode(0), None);
        assert_eq!(Operation::decode(u64::MAX), None);
        assert_eq!(Operation::decode(HAND_OFF_ARRIVED << KIND_SHIFT | 0x01_0000 << UPPER_SHIFT), None);
    }
}
