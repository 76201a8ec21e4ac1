//! Many messages of an application in one WebSocket message: the batch envelope. An extension of ours between an
//! application and its clients, not of RFC 6455, which sees one message of text or bytes.
//!
//! Owns the two formats, what tells an envelope from any other message, and the bound on what one may hold. What the
//! messages are, and when a batch leaves, is decided elsewhere. `docs/batching.md` has the format byte for byte.
//!
//! ```text
//!   JSON, a text message                       MessagePack, a binary message
//!   ["batch/1" , message , message ]           dc 00 03 | a7 "batch/1" | message | message
//!   |<------>|                                 |<----->|  |<----->|
//!    tells it from any other message            an array   tells it from any other message
//!            ^ the version
//! ```
//!
//! A message that does not begin so is no envelope, and none of this module's business. One that does is an envelope,
//! or a broken one.

mod error;
mod json;
mod message_pack;
mod reader;
mod writer;

pub use error::{BatchError, BatchItemError, BatchWriteError};
pub use reader::{Batch, BatchHead, BatchItem, BatchItems};
pub use writer::{BatchWriter, encode_batch_item};

use super::websocket::MessageKind;

/// Most messages of one envelope, in either direction.
///
/// ```
/// assert_eq!(dormouse::wire::BATCH_MESSAGES_MAX, 4_096);
/// ```
pub const BATCH_MESSAGES_MAX: usize = 4_096;

/// The first value of every envelope up to its version, which is one character.
const NAME: &str = "batch/";

/// The version that is read and written.
const VERSION: u8 = b'1';

/// How the messages of an envelope are written.
///
/// ```
/// use dormouse::wire::{BatchFormat, MessageKind};
///
/// assert_eq!(BatchFormat::Json.kind(), MessageKind::Text);
/// assert_eq!(BatchFormat::MessagePack.kind(), MessageKind::Binary);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BatchFormat {
    /// MessagePack, in a binary message. Structures are written as maps with the names of their fields.
    MessagePack,
    /// JSON, in a text message.
    Json,
}

impl BatchFormat {
    /// The kind of WebSocket message that carries it. A message of the other kind is never an envelope.
    pub fn kind(self) -> MessageKind {
        match self {
            BatchFormat::MessagePack => MessageKind::Binary,
            BatchFormat::Json => MessageKind::Text,
        }
    }
}

#[cfg(test)]
mod tests;
