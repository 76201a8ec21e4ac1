//! What a session remembers while a message or a frame is incomplete.
//!
//! Owns the three things that can be incomplete and the rule which of them the next byte belongs to. It exists only
//! then: between messages a session is two words.

use super::assembly::Assembly;
use super::client_head::{ClientHead, HEAD_BYTES_MAX, Pending};
use super::control::UnfinishedControl;
use super::event::{Event, Input, MessageKind};
use super::frame::OpCode;
use super::protocol_error::ProtocolError;
use super::session::SessionLimits;

/// An incomplete message, and what is incomplete between two of its frames.
///
/// Invariant: a begun head or control frame stands between two frames of the message, never within one; and not both
/// are begun.
#[derive(Debug, Default)]
pub(super) struct Partial {
    message: Option<Assembly>,
    control: Option<UnfinishedControl>,
    head: Option<HeadBytes>,
}

/// The first bytes of a frame head.
#[derive(Debug, Default)]
struct HeadBytes {
    bytes: [u8; HEAD_BYTES_MAX],
    length: u8,
}

impl Partial {
    pub(super) fn is_empty(&self) -> bool {
        self.message.is_none() && self.control.is_none() && self.head.is_none()
    }

    /// What the next frame has to fit to.
    pub(super) fn pending(&self) -> Pending {
        self.message.as_ref().map_or(Pending::Nothing, Assembly::pending)
    }

    /// The bytes of memory that are held.
    pub(super) fn held_bytes(&self) -> usize {
        let message = self.message.as_ref().map_or(0, Assembly::held_bytes);
        let control = self.control.as_ref().map_or(0, UnfinishedControl::held_bytes);
        size_of::<Self>() + message + control
    }

    /// Whether the next byte is one of a payload, or the end of one has not been noticed.
    pub(super) fn is_within_payload(&self) -> bool {
        self.control.is_some() || self.message.as_ref().is_some_and(|message| !message.is_between_frames())
    }

    /// Begins the frame of `head`; its payload goes through [`take_payload`](Self::take_payload).
    pub(super) fn begin(&mut self, head: ClientHead) {
        match (head.opcode, &mut self.message) {
            (OpCode::Text, _) => self.message = Some(Assembly::new(MessageKind::Text, head)),
            (OpCode::Binary, _) => self.message = Some(Assembly::new(MessageKind::Binary, head)),
            (OpCode::Continuation, Some(message)) => message.begin_frame(head),
            // `head` has been read against `pending`, which refuses it.
            (OpCode::Continuation, None) => debug_assert!(false, "a continuation of nothing"),
            (OpCode::Close | OpCode::Ping | OpCode::Pong, _) => {
                self.control = Some(UnfinishedControl::new(head));
            }
        }
        debug_assert!(self.head.is_none());
        debug_assert!(self.is_within_payload() || !head.fin);
    }

    /// Goes on with the payload of the frame that was begun. `None` when it is still incomplete, or when more frames of
    /// the message are to follow.
    pub(super) fn take_payload<'a>(
        &mut self,
        input: &mut Input<'a>,
        limits: &SessionLimits,
    ) -> Result<Option<Event<'a>>, ProtocolError> {
        // RFC 6455 5.4: control frames in the middle of a fragmented message MUST be handled
        if let Some(control) = &mut self.control {
            control.take(input)?;
            let whole = self.control.take_if(|control| control.is_whole());
            return whole.map(UnfinishedControl::into_event).transpose();
        }
        if let Some(message) = &mut self.message {
            message.take(input, limits)?;
            let whole = self.message.take_if(|message| message.is_whole());
            return whole.map(Assembly::into_event).transpose();
        }
        Ok(None)
    }

    /// Keeps the first bytes of a head.
    pub(super) fn keep_head(&mut self, first: &[u8]) {
        debug_assert!(self.head.is_none() && first.len() < HEAD_BYTES_MAX);
        let mut head = HeadBytes::default();
        first.iter().for_each(|&byte| head.push(byte));
        self.head = Some(head);
    }

    /// Goes on with the head of which the first bytes were kept, if there is one, byte by byte, so that it is refused at
    /// the first that is wrong.
    pub(super) fn complete_head(
        &mut self,
        input: &mut Input<'_>,
        limits: &SessionLimits,
    ) -> Result<Option<ClientHead>, ProtocolError> {
        let pending = self.pending();
        let Some(begun) = &mut self.head else { return Ok(None) };
        while let [byte] = input.take(1) {
            begun.push(*byte);
            let read = ClientHead::read(begun.as_slice(), pending, limits)?;
            if let Some((head, length)) = read {
                debug_assert_eq!(length, begun.as_slice().len());
                self.head = None;
                return Ok(Some(head));
            }
        }
        Ok(None)
    }

    pub(super) fn has_head(&self) -> bool {
        self.head.is_some()
    }
}

impl HeadBytes {
    /// A head is complete with `HEAD_BYTES_MAX` bytes at the latest, so that there is always a place for one more.
    fn push(&mut self, byte: u8) {
        self.bytes[usize::from(self.length)] = byte;
        self.length += 1;
    }

    fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}
