//! A message that arrives in pieces.
//!
//! Owns its bytes, how they grow, and the proof as they come that text is UTF-8. The pieces may be fragments, or parts
//! of a frame, or both; they may be compressed.

use super::client_head::{ClientHead, Pending};
use super::deflate::{Context, Inflater, Inflaters};
use super::event::{Event, Input, MessageKind, Payload};
use super::mask::unmask;
use super::protocol_error::ProtocolError;
use super::session::SessionLimits;
use super::utf8::Utf8;

/// A message of which some has arrived.
///
/// ```text
///   |<----- content.len() --->|
///   | frame 1 | frame 2 | fra                     capacity <= twice that, and nothing for what is announced
///                           |<--->| missing.payload_len, to be unmasked with missing.key
/// ```
///
/// What is compressed is inflated as it arrives, so that `content` is always what the message will be.
#[derive(Debug)]
pub(super) struct Assembly {
    content: Content,
    /// Frames begun, empty ones included.
    frames: u32,
    /// Payload so far, as it was sent.
    payload_bytes: usize,
    /// The last frame that was begun, as if it began with what has not arrived of it.
    missing: ClientHead,
    is_compressed: bool,
}

/// The bytes of a message so far, unmasked and inflated, and the proof as far as they go that text is UTF-8.
#[derive(Debug)]
pub(super) struct Content {
    kind: MessageKind,
    utf8: Utf8,
    bytes: Vec<u8>,
}

impl Content {
    fn new(kind: MessageKind) -> Self {
        Self { kind, utf8: Utf8::new(), bytes: Vec::new() }
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// Takes the next piece of a message that has at most `bytes_max` bytes.
    pub(super) fn push(&mut self, piece: &[u8], bytes_max: usize) -> Result<(), ProtocolError> {
        let (piece, excess) = piece.split_at(piece.len().min(bytes_max - self.bytes.len()));
        // RFC 6455 8.1: fail the connection, and not later than with the offending byte
        if self.kind == MessageKind::Text {
            self.utf8.push(piece).map_err(|_| ProtocolError::TextNotUtf8)?;
        }
        if !excess.is_empty() {
            return Err(ProtocolError::MessageTooLarge);
        }
        self.make_room(piece.len(), bytes_max);
        // RFC 6455 5.4: the fragments in the order in which they were sent
        self.bytes.extend_from_slice(piece);
        Ok(())
    }

    /// Room for `more` bytes: twice what there was, so that each byte is moved about once, but no more than the message
    /// can still have.
    fn make_room(&mut self, more: usize, bytes_max: usize) {
        let needed = self.bytes.len() + more;
        if needed > self.bytes.capacity() {
            let target = (2 * self.bytes.capacity()).min(bytes_max).max(needed);
            self.bytes.reserve_exact(target - self.bytes.len());
        }
    }

    fn into_event<'a>(self) -> Result<Event<'a>, ProtocolError> {
        // RFC 6455 5.6: the whole message MUST be valid UTF-8
        if self.kind == MessageKind::Text && !self.utf8.is_complete() {
            return Err(ProtocolError::TextNotUtf8);
        }
        Ok(Event::Message { kind: self.kind, payload: Payload::Assembled(self.bytes) })
    }
}

impl Assembly {
    /// A message that begins with the frame of `head`.
    pub(super) fn new(kind: MessageKind, head: ClientHead) -> Self {
        let is_compressed = head.is_compressed;
        Self { content: Content::new(kind), frames: 1, payload_bytes: 0, missing: head, is_compressed }
    }

    pub(super) fn pending(&self) -> Pending {
        let (frames, payload_bytes) = (self.frames, self.payload_bytes);
        Pending::Message { frames, payload_bytes, is_compressed: self.is_compressed }
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.content.bytes.capacity()
    }

    pub(super) fn is_compressed(&self) -> bool {
        self.is_compressed
    }

    /// The next frame, after the last has ended.
    pub(super) fn begin_frame(&mut self, head: ClientHead) {
        debug_assert!(self.is_between_frames());
        self.frames += 1;
        self.missing = head;
    }

    /// Whether a frame has ended and another is to follow.
    pub(super) fn is_between_frames(&self) -> bool {
        self.missing.payload_len == 0 && !self.missing.fin
    }

    pub(super) fn is_whole(&self) -> bool {
        self.missing.payload_len == 0 && self.missing.fin
    }

    /// Takes what has arrived of the frame's payload. A compressed message needs the context that it began with.
    pub(super) fn take(
        &mut self,
        input: &mut Input<'_>,
        limits: &SessionLimits,
        inflater: Option<&mut Inflater>,
        inflaters: &mut Inflaters,
    ) -> Result<(), ProtocolError> {
        let bytes_max = limits.message_bytes_max;
        let ends_at = self.content.bytes.len() + self.missing.payload_len;
        let piece = input.take(self.missing.payload_len);
        unmask(piece, self.missing.key, 0);
        self.missing.key.rotate_left(piece.len() % 4);
        self.missing.payload_len -= piece.len();
        self.payload_bytes += piece.len();
        match inflater.filter(|_| self.is_compressed) {
            Some(inflater) => inflater.inflate(piece, &mut self.content, bytes_max, inflaters)?,
            None => self.content.push(piece, if self.missing.fin { ends_at } else { bytes_max })?,
        }
        debug_assert!(self.content.bytes.len() <= bytes_max);
        Ok(())
    }

    /// Ends a compressed message: the rest of it comes out.
    pub(super) fn finish(
        &mut self,
        limits: &SessionLimits,
        inflater: &mut Inflater,
        context: Context,
        inflaters: &mut Inflaters,
    ) -> Result<(), ProtocolError> {
        debug_assert!(self.is_whole() && self.is_compressed);
        inflater.finish(&mut self.content, context, limits.message_bytes_max, inflaters)
    }

    /// The message, once it is whole.
    pub(super) fn into_event<'a>(self) -> Result<Event<'a>, ProtocolError> {
        debug_assert!(self.is_whole());
        self.content.into_event()
    }
}
