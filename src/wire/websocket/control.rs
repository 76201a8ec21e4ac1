//! Control frames: close, ping, pong (RFC 6455 5.5).
//!
//! Owns the meaning of their payload, and the payload itself while it arrives in pieces.

use std::borrow::Cow;

use super::client_head::ClientHead;
use super::close;
use super::event::{Event, Input, Payload};
use super::frame::OpCode;
use super::mask::unmask;
use super::protocol_error::ProtocolError;
use super::utf8::Utf8;

/// The bytes of the close code.
const CODE_BYTES: usize = 2;

/// A control frame of which a part of the payload is missing.
#[derive(Debug)]
pub(super) struct UnfinishedControl {
    head: ClientHead,
    payload: Vec<u8>,
    reason: Utf8,
}

impl UnfinishedControl {
    pub(super) fn new(head: ClientHead) -> Self {
        Self { head, payload: Vec::new(), reason: Utf8::new() }
    }

    pub(super) fn held_bytes(&self) -> usize {
        self.payload.capacity()
    }

    pub(super) fn is_whole(&self) -> bool {
        self.payload.len() == self.head.payload_len
    }

    /// Takes what has arrived of the payload.
    pub(super) fn take(&mut self, input: &mut Input<'_>) -> Result<(), ProtocolError> {
        let offset = self.payload.len();
        let piece = input.take(self.head.payload_len - offset);
        unmask(piece, self.head.key, offset);
        self.payload.extend_from_slice(piece);
        if self.head.opcode == OpCode::Close { self.check_close(offset) } else { Ok(()) }
    }

    /// Checks a close payload as far as it goes, given that what is before `offset` has been checked.
    fn check_close(&mut self, offset: usize) -> Result<(), ProtocolError> {
        match *self.payload {
            [high] if !close::may_begin_with(high) => return Err(ProtocolError::CloseCode),
            [high, low, ..] if !close::is_allowed_on_wire(u16::from_be_bytes([high, low])) => {
                return Err(ProtocolError::CloseCode);
            }
            _ => {}
        }
        let reason = self.payload.get(offset.max(CODE_BYTES)..).unwrap_or_default();
        self.reason.push(reason).map_err(|_| ProtocolError::ReasonNotUtf8)
    }

    /// The event, once the payload is whole.
    pub(super) fn into_event<'a>(self) -> Result<Event<'a>, ProtocolError> {
        debug_assert!(self.is_whole());
        Ok(match self.head.opcode {
            OpCode::Ping => Event::Ping(Payload::Assembled(self.payload)),
            OpCode::Close => {
                let (code, reason) = parse_close(&self.payload)?;
                Event::Close { code, reason: Cow::Owned(reason.to_owned()) }
            }
            _ => Event::Pong(Payload::Assembled(self.payload)),
        })
    }
}

/// The code and the reason in the payload of a Close frame.
pub(super) fn parse_close(payload: &[u8]) -> Result<(Option<u16>, &str), ProtocolError> {
    let Some((code, reason)) = payload.split_first_chunk::<CODE_BYTES>() else {
        // RFC 6455 5.5.1: the payload MAY be empty, 7.1.6: and then the reason is; one byte was refused with the head
        return Ok((None, ""));
    };
    let code = u16::from_be_bytes(*code);
    // RFC 6455 7.4: codes that MUST NOT be in a Close frame, and those that nobody has defined
    if !close::is_allowed_on_wire(code) {
        return Err(ProtocolError::CloseCode);
    }
    // RFC 6455 5.5.1: the reason is UTF-8
    let reason = simdutf8::basic::from_utf8(reason).map_err(|_| ProtocolError::ReasonNotUtf8)?;
    Ok((Some(code), reason))
}
