//! A message that arrives in pieces.
//!
//! Owns its bytes, how they grow, and the proof as they come that text is UTF-8. The pieces may be fragments, or parts
//! of a frame, or both.

use super::client_head::{ClientHead, Pending};
use super::event::{Event, Input, MessageKind, Payload};
use super::mask::unmask;
use super::protocol_error::ProtocolError;
use super::session::SessionLimits;
use super::utf8::Utf8;

/// A message of which some has arrived.
///
/// ```text
///   |<----- bytes.len() ----->|
///   | frame 1 | frame 2 | fra                     bytes.capacity() <= twice that, and nothing for what is announced
///                       |<->| received
///                       |<------->| frame.payload_len
/// ```
///
/// Invariant: `received <= frame.payload_len`.
#[derive(Debug)]
pub(super) struct Assembly {
    kind: MessageKind,
    utf8: Utf8,
    /// Frames begun, empty ones included.
    frames: u32,
    /// The payload so far, unmasked, and valid as far as it goes.
    bytes: Vec<u8>,
    /// The last frame that was begun, and how much of its payload has arrived.
    frame: ClientHead,
    received: usize,
}

impl Assembly {
    /// A message that begins with the frame of `head`.
    pub(super) fn new(kind: MessageKind, head: ClientHead) -> Self {
        Self { kind, utf8: Utf8::new(), frames: 1, bytes: Vec::new(), frame: head, received: 0 }
    }

    pub(super) fn pending(&self) -> Pending {
        Pending::Message { frames: self.frames, bytes: self.bytes.len() }
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.capacity()
    }

    /// The next frame, after the last has ended.
    pub(super) fn begin_frame(&mut self, head: ClientHead) {
        debug_assert!(self.is_between_frames());
        self.frames += 1;
        self.frame = head;
        self.received = 0;
    }

    fn missing(&self) -> usize {
        self.frame.payload_len - self.received
    }

    /// Whether a frame has ended and another is to follow.
    pub(super) fn is_between_frames(&self) -> bool {
        self.missing() == 0 && !self.frame.fin
    }

    pub(super) fn is_whole(&self) -> bool {
        self.missing() == 0 && self.frame.fin
    }

    /// Takes what has arrived of the frame's payload.
    pub(super) fn take(
        &mut self,
        input: &mut Input<'_>,
        limits: &SessionLimits,
    ) -> Result<(), ProtocolError> {
        let piece = input.take(self.missing());
        unmask(piece, self.frame.key, self.received);
        // RFC 6455 8.1: fail the connection, and not later than with the offending byte
        if self.kind == MessageKind::Text {
            self.utf8.push(piece).map_err(|_| ProtocolError::TextNotUtf8)?;
        }
        self.make_room(piece.len(), limits);
        // RFC 6455 5.4: the fragments in the order in which they were sent
        self.bytes.extend_from_slice(piece);
        self.received += piece.len();
        debug_assert!(self.received <= self.frame.payload_len);
        debug_assert!(self.bytes.len() <= limits.message_bytes_max);
        Ok(())
    }

    /// Room for `more` bytes: twice what there was, so that each byte is moved about once, but no more than the message
    /// can still have.
    fn make_room(&mut self, more: usize, limits: &SessionLimits) {
        let needed = self.bytes.len() + more;
        if needed <= self.bytes.capacity() {
            return;
        }
        let largest =
            if self.frame.fin { self.bytes.len() + self.missing() } else { limits.message_bytes_max };
        let target = (2 * self.bytes.capacity()).min(largest).max(needed);
        self.bytes.reserve_exact(target - self.bytes.len());
    }

    /// The message, once it is whole.
    pub(super) fn into_event<'a>(self) -> Result<Event<'a>, ProtocolError> {
        debug_assert!(self.is_whole());
        // RFC 6455 5.6: the whole message MUST be valid UTF-8
        if self.kind == MessageKind::Text && !self.utf8.is_complete() {
            return Err(ProtocolError::TextNotUtf8);
        }
        Ok(Event::Message { kind: self.kind, payload: Payload::Assembled(self.bytes) })
    }
}
