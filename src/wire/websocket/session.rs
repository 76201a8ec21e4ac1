//! A client's half of a WebSocket connection, from bytes to events.
//!
//! Owns the order of things: payload before head, whole frames in place, everything else through `partial`. The rules
//! of a head are in `client_head`, those of messages in `assembly`, of control frames in `control`.

use std::borrow::Cow;

use super::client_head::{ClientHead, Pending};
use super::control::parse_close;
use super::deflate::{Context, DeflateAgreement, Inflater, Inflaters};
use super::event::{Event, Input, MessageKind, Payload};
use super::frame::OpCode;
use super::mask::unmask;
use super::partial::Partial;
use super::protocol_error::ProtocolError;

/// What a peer may send.
///
/// ```
/// let limits = dormouse::wire::SessionLimits::default();
/// assert_eq!((limits.message_bytes_max, limits.frames_per_message_max), (32 << 20, 131_072));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SessionLimits {
    /// A message, its fragments joined, in bytes: 32 MiB, as the reference has it. Above: 1009, at the head of the
    /// frame that would exceed it.
    pub message_bytes_max: usize,
    /// Frames in one message, empty ones included: 131,072, so that 32 MiB in fragments of 256 bytes pass. Above: 1008.
    pub frames_per_message_max: u32,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self { message_bytes_max: 32 << 20, frames_per_message_max: 128 << 10 }
    }
}

/// The receiving state of one connection. 16 bytes while no message is incomplete.
///
/// ```text
///                 data frame, final, whole: Message in place
///                 +-----+
///                 v     |   data frame, not final, or not all here          the rest of it: Message assembled
///   new() -----> Idle --+------------------------------------> Partial -----------------------------> Idle
///                 |     ^   less than a head                    |   ^
///                 |     |                                       +---+ more of it; control frames in between
///                 |     +-- Ping, Pong
///                 |
///                 +-- Close, or from anywhere an error --------> Closed: whatever comes is taken and ignored
/// ```
///
/// ```
/// use dormouse::wire::{Event, Input, MessageKind, Session, SessionLimits};
///
/// let mut received = *b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"; // RFC 6455 5.7: a masked "Hello"
/// let mut session = Session::new();
/// let mut input = Input::new(&mut received);
/// while let Some(event) = session.poll(&mut input, &SessionLimits::default())? {
///     let Event::Message { kind, payload } = event else { panic!("not a message") };
///     assert_eq!((kind, &payload[..]), (MessageKind::Text, &b"Hello"[..]));
/// }
/// assert_eq!(input.remaining(), 0);
/// # Ok::<(), dormouse::wire::ProtocolError>(())
/// ```
#[derive(Debug, Default)]
pub struct Session {
    partial: Option<Box<Partial>>,
    closed: bool,
    /// Whose contexts inflate compressed messages; none may come if that was not agreed.
    context: Option<Context>,
}

impl Session {
    /// The bytes of memory of a context to inflate with, if the session keeps one.
    ///
    /// ```
    /// // Ten thousand connections that each keep one, in MiB.
    /// assert_eq!((10_000 * dormouse::wire::Session::CONTEXT_BYTES) >> 20, 468);
    /// ```
    pub const CONTEXT_BYTES: usize = Inflater::BYTES;

    /// The state after the opening handshake.
    pub fn new() -> Self {
        Self::default()
    }

    /// The state after an opening handshake in which compression was agreed.
    ///
    /// Messages that stand alone cost no memory between them. Otherwise the session keeps a context from the first
    /// compressed message on; see [`context_bytes`](Self::context_bytes).
    ///
    /// ```
    /// # use dormouse::wire::*;
    /// # let head = b"GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    /// # let mut fields = Vec::new();
    /// # parse_head(head, &HeadLimits::default(), &mut fields)?;
    /// let terms = DeflateTerms::default();
    /// let Some(agreed) = negotiate_deflate(head, &fields, Some(&terms))? else { panic!("it was offered") };
    /// let mut session = Session::inflating(&agreed);
    ///
    /// // RFC 7692 7.2.3.1: a compressed "Hello", behind a mask of zeros.
    /// let mut received = *b"\xc1\x87\0\0\0\0\xf2\x48\xcd\xc9\xc9\x07\x00";
    /// let (mut input, limits) = (Input::new(&mut received), SessionLimits::default());
    /// let Ok(Some(Event::Message { payload, .. })) = session.poll(&mut input, &limits) else { panic!() };
    /// assert_eq!(payload.as_text(), Some("Hello"));
    /// # Ok::<(), RequestError>(())
    /// ```
    pub fn inflating(agreed: &DeflateAgreement) -> Self {
        let stands_alone = agreed.client_no_context_takeover;
        let context = if stands_alone { Context::OfMessage } else { Context::OfConnection };
        Self { context: Some(context), ..Self::default() }
    }

    /// The next event in `input`, or `None` when all of it is taken. What is incomplete is kept, so that the next input
    /// goes on where this one ends. To stop in between is allowed: what remains in `input` is untouched.
    ///
    /// # Errors
    ///
    /// The peer broke the protocol; it is reported with the first byte that proves it, and once. As after
    /// [`Event::Close`], further input is taken and ignored.
    #[inline]
    pub fn poll<'a>(
        &mut self,
        input: &mut Input<'a>,
        limits: &SessionLimits,
    ) -> Result<Option<Event<'a>>, ProtocolError> {
        self.poll_with(input, limits, &mut Inflaters::default())
    }

    /// The same with contexts that are used again: a session that inflates would make its own for each message.
    ///
    /// # Errors
    ///
    /// As [`poll`](Self::poll).
    ///
    /// ```
    /// use dormouse::wire::{Inflaters, Input, ProtocolError, Session, SessionLimits};
    ///
    /// /// Of a thread that has many sessions.
    /// fn receive(
    ///     session: &mut Session,
    ///     received: &mut [u8],
    ///     inflaters: &mut Inflaters,
    /// ) -> Result<usize, ProtocolError> {
    ///     let (mut input, mut events) = (Input::new(received), 0);
    ///     while session.poll_with(&mut input, &SessionLimits::default(), inflaters)?.is_some() {
    ///         events += 1;
    ///     }
    ///     Ok(events)
    /// }
    /// # let mut pings = *b"\x89\x80\0\0\0\0\x89\x80\0\0\0\0";
    /// # assert_eq!(receive(&mut Session::new(), &mut pings, &mut Inflaters::default()), Ok(2));
    /// ```
    #[inline]
    pub fn poll_with<'a>(
        &mut self,
        input: &mut Input<'a>,
        limits: &SessionLimits,
        inflaters: &mut Inflaters,
    ) -> Result<Option<Event<'a>>, ProtocolError> {
        if self.closed {
            input.take(usize::MAX);
            return Ok(None);
        }
        let polled = self.next_event(input, limits, inflaters);
        if let Err(_) | Ok(Some(Event::Close { .. })) = polled {
            // RFC 6455 5.5.1 and 7.1.7: after a Close, or a failure, no further data is processed
            self.end();
            input.take(usize::MAX);
        } else if self.partial.as_ref().is_some_and(|partial| partial.is_empty()) {
            self.partial = None;
        }
        polled
    }

    fn next_event<'a>(
        &mut self,
        input: &mut Input<'a>,
        limits: &SessionLimits,
        inflaters: &mut Inflaters,
    ) -> Result<Option<Event<'a>>, ProtocolError> {
        loop {
            if let Some(partial) = &mut self.partial
                && partial.is_within_payload()
            {
                let event = partial.take_payload(input, limits, self.context, inflaters)?;
                if event.is_some() || partial.is_within_payload() {
                    return Ok(event);
                }
            }
            let Some(head) = self.next_head(input, limits)? else { return Ok(None) };
            if let Some(event) = whole_frame(&head, input)? {
                return Ok(Some(event));
            }
            self.partial.get_or_insert_default().begin(head, inflaters);
        }
    }

    /// The next frame head, if all of it is here; otherwise what is here is kept.
    fn next_head(
        &mut self,
        input: &mut Input<'_>,
        limits: &SessionLimits,
    ) -> Result<Option<ClientHead>, ProtocolError> {
        let nothing = Pending::Nothing { may_be_compressed: self.context.is_some() };
        let pending = match &mut self.partial {
            Some(partial) => {
                let pending = partial.pending().unwrap_or(nothing);
                if partial.has_head() {
                    return partial.complete_head(input, pending, limits);
                }
                pending
            }
            None => nothing,
        };
        match ClientHead::read(input.peek(), pending, limits)? {
            Some((head, length)) => {
                input.take(length);
                Ok(Some(head))
            }
            None => {
                if input.remaining() > 0 {
                    self.partial.get_or_insert_default().keep_head(input.take(usize::MAX));
                }
                Ok(None)
            }
        }
    }

    /// The bytes of memory held for what is incomplete: what a budget over many sessions has to count.
    ///
    /// ```
    /// use dormouse::wire::{Input, Session, SessionLimits};
    ///
    /// let mut session = Session::new();
    /// assert_eq!(session.reassembly_bytes(), 0);
    /// // A text message of 5 bytes, of which 3 have arrived.
    /// let mut received = *b"\x81\x85\0\0\0\0Hel";
    /// assert_eq!(session.poll(&mut Input::new(&mut received), &SessionLimits::default()), Ok(None));
    /// assert!(session.reassembly_bytes() >= 3);
    /// ```
    pub fn reassembly_bytes(&self) -> usize {
        self.partial.as_ref().map_or(0, |partial| partial.held_bytes(self.context))
    }

    /// The bytes of memory held from one compressed message to the next.
    ///
    /// ```
    /// let session = dormouse::wire::Session::new();
    /// assert_eq!(session.context_bytes(), 0); // compression was not agreed
    /// ```
    pub fn context_bytes(&self) -> usize {
        let has_context = self.partial.as_ref().is_some_and(|partial| partial.has_context(self.context));
        if has_context { Self::CONTEXT_BYTES } else { 0 }
    }

    /// Ends the session for a reason of the caller's, such as a budget over many sessions: what it holds is given back,
    /// and no further data is processed.
    ///
    /// ```
    /// use dormouse::wire::{Input, Session, SessionLimits};
    ///
    /// let limits = SessionLimits { message_bytes_max: 100, frames_per_message_max: 10 };
    /// let mut session = Session::new();
    /// session.end();
    /// assert_eq!(session.poll(&mut Input::new(&mut b"\x81\x80\0\0\0\0".to_owned()), &limits), Ok(None));
    /// ```
    pub fn end(&mut self) {
        self.closed = true;
        self.partial = None;
    }

    /// Whether a Close, an error or [`end`](Self::end) has ended this session.
    ///
    /// ```
    /// use dormouse::wire::{Input, ProtocolError, Session, SessionLimits};
    ///
    /// let mut session = Session::new();
    /// let mut unmasked = *b"\x89\x00";
    /// let polled = session.poll(&mut Input::new(&mut unmasked), &SessionLimits::default());
    /// assert_eq!(polled, Err(ProtocolError::Unmasked));
    /// assert!(session.is_closed());
    /// ```
    pub fn is_closed(&self) -> bool {
        self.closed
    }
}

/// The event of a frame that is plain, stands alone and is all here; `None`, and nothing taken, if it is not.
#[inline]
fn whole_frame<'a>(head: &ClientHead, input: &mut Input<'a>) -> Result<Option<Event<'a>>, ProtocolError> {
    // RFC 6455 5.4: both fragmented and unfragmented messages MUST be understood; the former are put together in
    // `partial`, and so are those that come out of compression
    let is_part = !head.fin || head.opcode == OpCode::Continuation || head.is_compressed;
    if is_part || head.payload_len > input.remaining() {
        return Ok(None);
    }
    let payload = input.take(head.payload_len);
    unmask(payload, head.key, 0);
    Ok(Some(match head.opcode {
        OpCode::Text => {
            // RFC 6455 8.1: text that is not UTF-8 fails the connection
            if simdutf8::basic::from_utf8(payload).is_err() {
                return Err(ProtocolError::TextNotUtf8);
            }
            Event::Message { kind: MessageKind::Text, payload: Payload::InPlace(payload) }
        }
        OpCode::Binary | OpCode::Continuation => {
            Event::Message { kind: MessageKind::Binary, payload: Payload::InPlace(payload) }
        }
        OpCode::Ping => Event::Ping(Payload::InPlace(payload)),
        OpCode::Pong => Event::Pong(Payload::InPlace(payload)),
        OpCode::Close => {
            let (code, reason) = parse_close(payload)?;
            Event::Close { code, reason: Cow::Borrowed(reason) }
        }
    }))
}

#[cfg(test)]
mod tests;
