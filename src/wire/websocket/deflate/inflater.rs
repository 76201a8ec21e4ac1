//! From compressed to plain (RFC 7692 7.2.2).
//!
//! Owns a context for a message, or for all messages of a connection, and the spare ones that messages begin with. How
//! much comes out is bounded by whoever takes it.

use std::fmt;

use flate2::{Decompress, FlushDecompress, Status};

use super::super::assembly::Content;
use super::super::protocol_error::ProtocolError;
use super::{TAIL, WINDOW_BITS_MAX};

/// What a message that stands alone is ended with behind its tail: an empty final block. Only at the beginning of a
/// block does it end the stream, so that a message that was cut short is found out.
const END: [u8; 2] = [0x03, 0x00];

/// Bytes that are inflated in one go. Each goes through the cache once more on its way to the message, which bounds
/// both how far a message can exceed its limit and what the library does to memory that it has not seen: it fills the
/// whole of it with zeros first, at each call.
const STEP_BYTES: usize = 16 << 10;

/// Contexts kept for reuse. One is enough while messages are whole; the others are for some that are not.
const SPARE_MAX: usize = 8;

/// Whose context a compressed message is inflated with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::wire::websocket) enum Context {
    /// Each message's own, for the time it takes to arrive.
    OfMessage,
    /// The connection's, from the first compressed message on.
    OfConnection,
}

/// Contexts that no message needs now, for all sessions of a thread, and what they have done so far.
///
/// ```
/// let inflaters = dormouse::wire::Inflaters::default();
/// assert_eq!((inflaters.compressed_bytes(), inflaters.inflated_bytes()), (0, 0));
/// ```
#[derive(Debug, Default)]
pub struct Inflaters {
    #[expect(clippy::vec_box, reason = "they move to a session and back, as one word each")]
    spare: Vec<Box<Inflater>>,
    step: Vec<u8>,
    compressed_bytes: u64,
    inflated_bytes: u64,
}

impl Inflaters {
    /// Bytes of compressed payload so far.
    pub fn compressed_bytes(&self) -> u64 {
        self.compressed_bytes
    }

    /// Bytes that came out of them.
    pub fn inflated_bytes(&self) -> u64 {
        self.inflated_bytes
    }

    pub(in crate::wire::websocket) fn take(&mut self) -> Box<Inflater> {
        self.spare.pop().unwrap_or_default()
    }

    pub(in crate::wire::websocket) fn give_back(&mut self, mut inflater: Box<Inflater>) {
        if self.spare.len() < SPARE_MAX {
            inflater.begin_anew();
            self.spare.push(inflater);
        }
    }
}

/// One context: a window of 32 KiB, whatever was agreed, because the library has no smaller one.
pub(in crate::wire::websocket) struct Inflater {
    stream: Decompress,
    /// The last block that came was a final one.
    has_ended: bool,
}

impl Inflater {
    /// The memory of a context: the window, its tables, and what goes with them.
    pub(in crate::wire::websocket) const BYTES: usize = 48 << 10;

    fn begin_anew(&mut self) {
        self.stream.reset(false);
        self.has_ended = false;
    }

    /// Inflates the next piece of a message behind what it has.
    pub(in crate::wire::websocket) fn inflate(
        &mut self,
        piece: &[u8],
        message: &mut Content,
        bytes_max: usize,
        inflaters: &mut Inflaters,
    ) -> Result<(), ProtocolError> {
        inflaters.compressed_bytes += piece.len() as u64;
        self.go_on(piece, message, bytes_max, inflaters)
    }

    /// Inflates what the end of a message leaves to be understood.
    pub(in crate::wire::websocket) fn finish(
        &mut self,
        message: &mut Content,
        context: Context,
        bytes_max: usize,
        inflaters: &mut Inflaters,
    ) -> Result<(), ProtocolError> {
        // RFC 7692 7.2.3.4 has an empty block behind a final one. Who leaves it out has said all the same where the
        // message ends.
        if self.has_ended {
            return Ok(());
        }
        // RFC 7692 7.2.2: append 0x00 0x00 0xff 0xff to the tail end of the payload
        self.go_on(&TAIL, message, bytes_max, inflaters)?;
        if context == Context::OfMessage {
            self.go_on(&END, message, bytes_max, inflaters)?;
            if !self.has_ended {
                return Err(ProtocolError::CompressedData);
            }
        }
        Ok(())
    }

    fn go_on(
        &mut self,
        mut rest: &[u8],
        message: &mut Content,
        bytes_max: usize,
        inflaters: &mut Inflaters,
    ) -> Result<(), ProtocolError> {
        inflaters.step.resize(STEP_BYTES, 0);
        while !rest.is_empty() {
            if self.has_ended {
                self.begin_behind(message)?;
            }
            loop {
                let (taken, given) = (self.stream.total_in(), self.stream.total_out());
                let status = self.stream.decompress(rest, &mut inflaters.step, FlushDecompress::Sync);
                rest = &rest[(self.stream.total_in() - taken) as usize..];
                let inflated = (self.stream.total_out() - given) as usize;
                inflaters.inflated_bytes += inflated as u64;
                // What came out before the mistake comes first, so that the first of two is reported.
                message.push(&inflaters.step[..inflated], bytes_max)?;
                self.has_ended = status.map_err(|_| ProtocolError::CompressedData)? == Status::StreamEnd;
                if self.has_ended || inflated < STEP_BYTES {
                    break;
                }
            }
            debug_assert!(self.has_ended || rest.is_empty(), "whatever is not the end is taken");
        }
        Ok(())
    }

    // RFC 7692 7.2.3.4: a block may be final, and another may follow at the next byte. It may refer to what came
    // before it (7.2.3.2 has no exception), of which this message is all that is still known.
    fn begin_behind(&mut self, message: &Content) -> Result<(), ProtocolError> {
        self.begin_anew();
        let known = message.bytes();
        let window = &known[known.len().saturating_sub(1 << WINDOW_BITS_MAX)..];
        let is_set = window.is_empty() || self.stream.set_dictionary(window).is_ok();
        if is_set { Ok(()) } else { Err(ProtocolError::CompressedData) }
    }
}

impl Default for Inflater {
    fn default() -> Self {
        Self { stream: Decompress::new(false), has_ended: false }
    }
}

impl fmt::Debug for Inflater {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Inflater").field("has_ended", &self.has_ended).finish_non_exhaustive()
    }
}
