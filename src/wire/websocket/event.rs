//! What goes into a session and what comes out of it.
//!
//! Owns the cursor over received bytes and the types of events. An event borrows from the received bytes where it can.

use std::borrow::Cow;
use std::ops::{Deref, DerefMut};

/// A cursor over received bytes. The session unmasks them where they are and lends them out in events.
///
/// ```text
///   |<------- taken by earlier polls ------->|<---- remaining ---->|
///   | head | payload, unmasked, in an event  | head | payload      |
/// ```
///
/// ```
/// use dormouse::wire::Input;
///
/// let mut received = [0x89, 0x80, 0, 0, 0, 0];
/// assert_eq!(Input::new(&mut received).remaining(), 6);
/// ```
#[derive(Debug)]
pub struct Input<'a> {
    rest: &'a mut [u8],
}

impl<'a> Input<'a> {
    /// A cursor at the beginning of `received`.
    pub fn new(received: &'a mut [u8]) -> Self {
        Self { rest: received }
    }

    /// How many bytes have not been taken.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// The bytes that have not been taken: untouched, so that a later cursor can go on with them.
    ///
    /// ```
    /// use dormouse::wire::{Event, Input, Session, SessionLimits};
    ///
    /// let mut received = *b"\x89\x80\0\0\0\0\x8a\x80\0\0\0\0"; // a ping, a pong
    /// let mut input = Input::new(&mut received);
    /// let ping = Session::new().poll(&mut input, &SessionLimits::default())?;
    /// assert!(matches!(ping, Some(Event::Ping(_))));
    /// assert_eq!(input.into_remaining(), b"\x8a\x80\0\0\0\0");
    /// # Ok::<(), dormouse::wire::ProtocolError>(())
    /// ```
    pub fn into_remaining(self) -> &'a mut [u8] {
        self.rest
    }

    #[inline]
    pub(super) fn peek(&self) -> &[u8] {
        self.rest
    }

    /// Takes `count` bytes, or as many as there are.
    #[inline]
    pub(super) fn take(&mut self, count: usize) -> &'a mut [u8] {
        let rest = std::mem::take(&mut self.rest);
        let (taken, rest) = rest.split_at_mut(count.min(rest.len()));
        self.rest = rest;
        taken
    }
}

/// Whether a message is text or binary.
///
/// ```
/// use dormouse::wire::{MessageKind, OpCode};
///
/// fn opcode(kind: MessageKind) -> OpCode {
///     match kind {
///         MessageKind::Text => OpCode::Text,
///         MessageKind::Binary => OpCode::Binary,
///     }
/// }
/// # assert_eq!(opcode(MessageKind::Text), OpCode::Text);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// UTF-8.
    Text,
    /// Any bytes.
    Binary,
}

/// The bytes of a message or of a control frame, unmasked. Dereferences to them.
///
/// ```
/// use dormouse::wire::Payload;
///
/// let payload = Payload::Assembled(b"two pieces".to_vec());
/// assert_eq!((payload.len(), payload.as_text()), (10, Some("two pieces")));
/// ```
#[derive(Debug, PartialEq, Eq)]
pub enum Payload<'a> {
    /// Where they were received: the frame arrived in one piece.
    InPlace(&'a mut [u8]),
    /// Put together from what arrived in several.
    Assembled(Vec<u8>),
}

impl Payload<'_> {
    /// The payload as text, if it is UTF-8. That of a text message always is.
    ///
    /// It looks at the bytes once more, at several GB/s: the session has proved them, but a proof that the type system
    /// would take at its word needs `unsafe`, of which this layer has none.
    pub fn as_text(&self) -> Option<&str> {
        simdutf8::basic::from_utf8(self).ok()
    }

    /// The payload as a vector: the assembled one itself, or a copy.
    ///
    /// ```
    /// use dormouse::wire::Payload;
    ///
    /// let kept: Vec<u8> = Payload::InPlace(&mut [1, 2, 3]).into_vec();
    /// assert_eq!(kept, [1, 2, 3]);
    /// ```
    pub fn into_vec(self) -> Vec<u8> {
        match self {
            Self::InPlace(bytes) => bytes.to_vec(),
            Self::Assembled(bytes) => bytes,
        }
    }
}

impl Deref for Payload<'_> {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        match self {
            Self::InPlace(bytes) => bytes,
            Self::Assembled(bytes) => bytes,
        }
    }
}

impl DerefMut for Payload<'_> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [u8] {
        match self {
            Self::InPlace(bytes) => bytes,
            Self::Assembled(bytes) => bytes,
        }
    }
}

/// What a peer has said.
///
/// ```
/// use dormouse::wire::{Event, OpCode, encode_close, encode_frame};
///
/// fn answer(event: &Event<'_>, out: &mut Vec<u8>) {
///     match event {
///         Event::Ping(payload) => encode_frame(out, OpCode::Pong, payload),
///         Event::Close { code, .. } => encode_close(out, *code, ""),
///         Event::Message { .. } | Event::Pong(_) => {}
///     }
/// }
/// # let mut out = Vec::new();
/// # answer(&Event::Close { code: None, reason: "".into() }, &mut out);
/// # assert_eq!(out, [0x88, 0]);
/// ```
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// A whole message, its fragments joined.
    Message {
        /// Text is valid UTF-8.
        kind: MessageKind,
        /// The content.
        payload: Payload<'a>,
    },
    /// To be answered with a pong of the same payload, at most 125 bytes.
    Ping(Payload<'a>),
    /// An answer to a ping, or just a sign of life.
    Pong(Payload<'a>),
    /// The peer closes: the last event of a session.
    Close {
        /// The code, one that may be on the wire. `None` is what an application sees as 1005.
        code: Option<u16>,
        /// The reason, at most 123 bytes.
        reason: Cow<'a, str>,
    },
}
