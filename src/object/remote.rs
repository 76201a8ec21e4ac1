//! What the shard of an object and the shards of its far sockets say to each other. Owns the shape of these batches;
//! what they do stands in `edge` (where the connection is) and `home` (where the object is).
//!
//! ```text
//!   edge shard (connection, session, outbox)             home shard (socket record, roster, object)
//!        |--- Attached, then Events: messages, closes, errors, auto-responses --->|
//!        |<--- Commands: frames for one or many, Close, pause, resume, pairs -----|
//! ```
//!
//! A turn's events, and a turn's commands, for one shard travel as one batch: a broadcast crosses to each shard once.

use std::ops::Range;
use std::sync::Arc;

use super::auto_response::WebSocketRequestResponsePair;
use super::directory::ConnectionId;
use super::driver::{Place, ShardId};
use super::slab::Key;
use crate::wire::{MessageKind, ProtocolError};

/// Frames up to this size are copied into a batch, and lie side by side with their neighbours in the edge's arena;
/// larger ones cross as a reference.
pub(crate) const COPIED_BYTES_MAX: usize = 4 << 10;

/// A connection of another shard. The id tells it from a later one at the same place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct FarConnection {
    pub(crate) shard: ShardId,
    pub(crate) place: Place,
    pub(crate) id: ConnectionId,
}

/// An accepted socket whose connection stays where it is.
#[derive(Debug)]
pub struct Attached {
    pub(crate) socket: Key,
    pub(crate) connection: FarConnection,
}

/// What happened to far sockets, in order.
#[derive(Debug, Default)]
pub struct EventBatch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) events: Vec<(Key, FarEvent)>,
}

/// What happened to a far socket.
#[derive(Debug)]
pub(crate) enum FarEvent {
    /// A message whose payload lies in the batch.
    Message {
        kind: MessageKind,
        payload: Range<u32>,
    },
    /// A message that came with a buffer of its own.
    LargeMessage {
        kind: MessageKind,
        payload: Vec<u8>,
    },
    /// A Close frame.
    Close {
        code: u16,
        reason: Box<str>,
    },
    Lost,
    Failed(ProtocolError),
    /// The edge answered for the object, at this wall-clock time.
    AutoResponded {
        wall_ms: u64,
    },
    /// The edge closed it by itself, because the client does not read.
    ClosedByEngine,
    /// So many bytes wait for the kernel.
    Buffered {
        bytes: usize,
    },
}

/// What is to be done with far sockets, in order.
#[derive(Debug, Default)]
pub struct CommandBatch {
    pub(crate) bytes: Vec<u8>,
    pub(crate) commands: Vec<Command>,
}

/// What is to be done with one or many far sockets.
#[derive(Debug)]
pub(crate) enum Command {
    /// Queue what was sent before the 101 was written: frames, one behind the other, perhaps with a Close.
    Early {
        to: (Place, ConnectionId),
        frames: Range<u32>,
    },
    /// Queue a frame that lies in the batch; under its key, if it has one, it may wait and be replaced.
    Frame {
        to: Recipients,
        frame: Range<u32>,
        key: Option<u64>,
    },
    /// Queue a frame by reference.
    SharedFrame {
        to: Recipients,
        frame: Arc<[u8]>,
        key: Option<u64>,
    },
    /// Queue a Close frame and go on with the closing handshake.
    Close {
        to: (Place, ConnectionId),
        frame: Range<u32>,
    },
    /// Queue a Close frame and end the connection; the object knows it no more.
    Dismiss {
        to: (Place, ConnectionId),
        frame: Range<u32>,
    },
    /// So many of the socket's events are done.
    Done {
        to: (Place, ConnectionId),
        events: u32,
    },
    Pause {
        to: (Place, ConnectionId),
    },
    Resume {
        to: (Place, ConnectionId),
    },
    /// The auto-response pair in force for the sockets of an object.
    AutoResponse {
        object: Key,
        pair: Option<WebSocketRequestResponsePair>,
    },
}

/// For whom a frame is.
#[derive(Debug)]
pub(crate) enum Recipients {
    One(Place, ConnectionId),
    Many(Vec<(Place, ConnectionId)>),
}

impl CommandBatch {
    pub(crate) fn copy(&mut self, frame: &[u8]) -> Range<u32> {
        let start = self.bytes.len() as u32;
        self.bytes.extend_from_slice(frame);
        start..self.bytes.len() as u32
    }
}

/// The bytes of a batch that a range names.
pub(crate) fn slice<'a>(bytes: &'a [u8], range: &Range<u32>) -> &'a [u8] {
    &bytes[range.start as usize..range.end as usize]
}
