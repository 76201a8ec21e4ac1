//! What a session remembers while a message or a frame is incomplete.
//!
//! Owns the three things that can be incomplete and the rule which of them the next byte belongs to. It exists only
//! then, or while the connection has a context to inflate with: between messages a session is two words.

use super::assembly::Assembly;
use super::client_head::{ClientHead, HEAD_BYTES_MAX, Pending};
use super::control::UnfinishedControl;
use super::deflate::{Context, Inflater, Inflaters};
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
    /// What the message is inflated with, or the next will be.
    inflater: Option<Box<Inflater>>,
}

/// The first bytes of a frame head.
#[derive(Debug, Default)]
struct HeadBytes {
    bytes: [u8; HEAD_BYTES_MAX],
    length: u8,
}

impl Partial {
    pub(super) fn is_empty(&self) -> bool {
        self.is_between_messages() && self.inflater.is_none()
    }

    fn is_between_messages(&self) -> bool {
        self.message.is_none() && self.control.is_none() && self.head.is_none()
    }

    /// What the next frame has to fit to, if a message is open.
    pub(super) fn pending(&self) -> Option<Pending> {
        self.message.as_ref().map(Assembly::pending)
    }

    /// The bytes of memory that are held for what is incomplete.
    pub(super) fn held_bytes(&self, context: Option<Context>) -> usize {
        if self.is_between_messages() {
            return 0;
        }
        let message = self.message.as_ref().map_or(0, Assembly::held_bytes);
        let control = self.control.as_ref().map_or(0, UnfinishedControl::held_bytes);
        let is_own = self.inflater.is_some() && context == Some(Context::OfMessage);
        size_of::<Self>() + message + control + if is_own { Inflater::BYTES } else { 0 }
    }

    /// Whether there is a context that outlives messages.
    pub(super) fn has_context(&self, context: Option<Context>) -> bool {
        self.inflater.is_some() && context == Some(Context::OfConnection)
    }

    /// Whether the next byte is one of a payload, or the end of one has not been noticed.
    pub(super) fn is_within_payload(&self) -> bool {
        self.control.is_some() || self.message.as_ref().is_some_and(|message| !message.is_between_frames())
    }

    /// Begins the frame of `head`; its payload goes through [`take_payload`](Self::take_payload).
    pub(super) fn begin(&mut self, head: ClientHead, inflaters: &mut Inflaters) {
        if head.is_compressed {
            self.inflater.get_or_insert_with(|| inflaters.take());
        }
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
        context: Option<Context>,
        inflaters: &mut Inflaters,
    ) -> Result<Option<Event<'a>>, ProtocolError> {
        // RFC 6455 5.4: control frames in the middle of a fragmented message MUST be handled
        if let Some(control) = &mut self.control {
            control.take(input)?;
            let whole = self.control.take_if(|control| control.is_whole());
            return whole.map(UnfinishedControl::into_event).transpose();
        }
        if let Some(message) = &mut self.message {
            message.take(input, limits, self.inflater.as_deref_mut(), inflaters)?;
            let Some(mut whole) = self.message.take_if(|message| message.is_whole()) else { return Ok(None) };
            if whole.is_compressed() {
                self.finish(&mut whole, limits, context, inflaters)?;
            }
            return whole.into_event().map(Some);
        }
        Ok(None)
    }

    /// Ends a compressed message, and its context unless that is the connection's.
    fn finish(
        &mut self,
        message: &mut Assembly,
        limits: &SessionLimits,
        context: Option<Context>,
        inflaters: &mut Inflaters,
    ) -> Result<(), ProtocolError> {
        let context = context.unwrap_or(Context::OfMessage);
        let Some(mut inflater) = self.inflater.take() else { return Err(ProtocolError::CompressedData) };
        message.finish(limits, &mut inflater, context, inflaters)?;
        match context {
            Context::OfMessage => inflaters.give_back(inflater),
            Context::OfConnection => self.inflater = Some(inflater),
        }
        Ok(())
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
        pending: Pending,
        limits: &SessionLimits,
    ) -> Result<Option<ClientHead>, ProtocolError> {
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
