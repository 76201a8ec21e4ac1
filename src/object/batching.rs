//! How a class batches: the format of its envelopes and when one leaves. Owns these limits and what is allowed of them.

use crate::wire::{BATCH_MESSAGES_MAX, BatchFormat};

/// What batches of a class are like, for [`DurableObject::BATCHING`](super::DurableObject::BATCHING). A batch leaves
/// when it is [`delay_ms`](Batching::delay_ms) old, has [`messages`](Batching::messages) messages, or has
/// [`bytes`](Batching::bytes) bytes, whichever comes first. `docs/batching.md` has the format.
///
/// ```
/// use dormouse::{Batching, BatchFormat};
///
/// const POSITIONS: Batching = Batching::message_pack().delay_ms(100).messages(100).bytes(32 << 10);
/// assert_eq!(POSITIONS.format(), BatchFormat::MessagePack);
/// assert_ne!(POSITIONS, Batching::json());
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Batching {
    format: BatchFormat,
    delay_ms: u16,
    messages: u16,
    bytes: u32,
}

impl Batching {
    const fn new(format: BatchFormat) -> Batching {
        // 50 ms: 20 batches a second, as many as a game has ticks. 64 messages of 20 to 30 bytes, or 16 KiB, fill a
        // few packets: what waits longer gains little.
        Batching { format, delay_ms: 50, messages: 64, bytes: 16 << 10 }
    }

    /// JSON in text messages; a batch leaves after 50 ms, at 64 messages, or at 16 KiB.
    pub const fn json() -> Batching {
        Batching::new(BatchFormat::Json)
    }

    /// MessagePack in binary messages; the same limits.
    pub const fn message_pack() -> Batching {
        Batching::new(BatchFormat::MessagePack)
    }

    /// How long a message waits for others at most: 1 to 1,000 ms.
    ///
    /// # Panics
    /// Outside of that; for a constant, when it is compiled.
    pub const fn delay_ms(mut self, delay_ms: u16) -> Batching {
        assert!(1 <= delay_ms && delay_ms <= 1_000, "a batch waits for 1 to 1,000 ms");
        self.delay_ms = delay_ms;
        self
    }

    /// With how many messages a batch leaves at once: 1 to 4,096.
    ///
    /// # Panics
    /// Outside of that; for a constant, when it is compiled.
    pub const fn messages(mut self, messages: u16) -> Batching {
        assert!(1 <= messages && messages as usize <= BATCH_MESSAGES_MAX, "a batch has 1 to 4,096 messages");
        self.messages = messages;
        self
    }

    /// With how many bytes a batch leaves at once: 1 to 1,048,576. A batch may be larger by its last message.
    ///
    /// # Panics
    /// Outside of that; for a constant, when it is compiled.
    pub const fn bytes(mut self, bytes: u32) -> Batching {
        assert!(1 <= bytes && bytes <= 1 << 20, "a batch leaves at 1 byte to 1 MiB");
        self.bytes = bytes;
        self
    }

    /// The format of the envelopes, in both directions.
    pub const fn format(&self) -> BatchFormat {
        self.format
    }

    pub(crate) fn due_ms(&self, now_ms: u64) -> u64 {
        now_ms.saturating_add(u64::from(self.delay_ms))
    }

    pub(crate) fn is_full(&self, messages: usize, bytes: usize) -> bool {
        messages >= usize::from(self.messages) || bytes >= self.bytes as usize
    }
}

#[cfg(test)]
mod tests {
    use std::panic::catch_unwind;

    use super::*;

    #[test]
    fn limits_are_kept_to() {
        let batching = Batching::json().delay_ms(1_000).messages(4_096).bytes(1 << 20);
        assert_eq!(batching.due_ms(5), 1_005);
        assert!(!batching.is_full(4_095, (1 << 20) - 1));
        assert!(batching.is_full(4_096, 0) && batching.is_full(1, 1 << 20));
        for wrong in [
            || Batching::json().delay_ms(0),
            || Batching::json().delay_ms(1_001),
            || Batching::json().messages(0),
            || Batching::json().messages(4_097),
            || Batching::json().bytes(0),
            || Batching::json().bytes((1 << 20) + 1),
        ] {
            assert!(catch_unwind(wrong).is_err());
        }
    }
}
