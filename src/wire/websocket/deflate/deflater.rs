//! From plain to compressed (RFC 7692 7.2.1).
//!
//! Owns one context. Whether it lives for one message or for all of a connection is up to who holds it.

use std::fmt;

use flate2::{Compress, Compression, FlushCompress};

use super::{TAIL, WINDOW_BITS_MAX};

/// Compresses messages, each with what it remembers of those before it.
///
/// ```
/// use dormouse::wire::Deflater;
///
/// let (mut deflater, mut room) = (Deflater::new(15, 6), Vec::new());
/// let first = deflater.deflate(b"Hello", &mut room).to_vec();
/// assert_eq!(first, [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]); // RFC 7692 7.2.3.1
/// let second = deflater.deflate(b"Hello", &mut room).to_vec();
/// assert_eq!(second, [0xf2, 0x00, 0x11, 0x00, 0x00]); // RFC 7692 7.2.3.2
/// deflater.forget();
/// assert_eq!(deflater.deflate(b"Hello", &mut room), first);
/// ```
pub struct Deflater {
    stream: Compress,
}

impl Deflater {
    /// A context with a window of so many bits, from 9 to 15, and a level from 1, the fastest, to 9. It takes
    /// [`bytes`](Self::bytes) of memory at once.
    pub fn new(window_bits: u8, level: u8) -> Self {
        debug_assert!((1..=9).contains(&level));
        let level = Compression::new(u32::from(level.min(9)));
        let window_bits = window_bits.clamp(9, WINDOW_BITS_MAX);
        Self { stream: Compress::new_with_window_bits(level, false, window_bits) }
    }

    /// The memory of a context, in bytes: most of it does not depend on the window.
    ///
    /// ```
    /// use dormouse::wire::Deflater;
    ///
    /// assert_eq!((Deflater::bytes(9) >> 10, Deflater::bytes(15) >> 10), (250, 376));
    /// ```
    pub const fn bytes(window_bits: u8) -> usize {
        // zlib-rs 0.6 for each position of the window: two bytes of text and a link. Beside it: the heads of the
        // chains (128 KiB), room for output and for symbols (64 and 48), and the state.
        (4 << window_bits) + (248 << 10)
    }

    /// Forgets all messages before: the next one stands alone, and so it may also follow messages that were compressed
    /// by others.
    pub fn forget(&mut self) {
        self.stream.reset();
    }

    /// Compresses a message: the payload of a frame with RSV1. It lies in `room`, which grows to the longest so far and
    /// is best used again.
    pub fn deflate<'r>(&mut self, message: &[u8], room: &'r mut Vec<u8>) -> &'r [u8] {
        // RFC 7692 7.2.3.6: an empty message. The library writes nothing when nothing new has come.
        if message.is_empty() {
            return &[0x00];
        }
        let mut rest = message;
        let mut written = 0;
        loop {
            if room.len() < written + Self::ROOM_MIN {
                // What is not compressible grows by an eighth at most. Never smaller, so that nothing is filled twice.
                let needed = written + rest.len() + rest.len() / 8 + Self::ROOM_MIN;
                room.resize(needed.max(room.len()), 0);
            }
            let (taken, given) = (self.stream.total_in(), self.stream.total_out());
            let status = self.stream.compress(rest, &mut room[written..], FlushCompress::Sync);
            debug_assert!(status.is_ok(), "a context that was made can be used");
            rest = &rest[(self.stream.total_in() - taken) as usize..];
            written += (self.stream.total_out() - given) as usize;
            // What is not full has been flushed.
            if written < room.len() {
                break;
            }
        }
        debug_assert!(rest.is_empty());
        // RFC 7692 7.2.1: remove the 4 bytes of the empty block that the flush ends with
        let deflated = &room[..written];
        deflated.strip_suffix(&TAIL).unwrap_or(deflated)
    }

    /// The least room that is offered: zlib asks for more than 6 bytes, so as not to flush twice.
    const ROOM_MIN: usize = 64;
}

impl fmt::Debug for Deflater {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Deflater").finish_non_exhaustive()
    }
}
