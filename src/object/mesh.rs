//! What one shard's world tells another's. Plain values that may cross threads.

use std::sync::Arc;

use super::auto_response::WebSocketRequestResponsePair;
use super::calls::Answer;
use super::driver::ShardId;
use super::http::Request;
use super::id::IdBytes;
use super::remote::{Attached, CommandBatch, EventBatch};
use super::slab::Key;
use super::status::ObjectStatus;
use crate::wire::DeflateAgreement;

/// A message between worlds, delivered once and in order per pair of shards.
///
/// ```no_run
/// # fn example(worlds: &[dormouse::object::World]) {
/// use dormouse::object::driver::Effects;
///
/// let mut effects = Effects::default();
/// worlds[0].take_effects(&mut effects);
/// for (shard, message) in effects.mesh.drain(..) {
///     worlds[usize::from(shard.0)].handle_mesh(message);
/// }
/// # }
/// ```
#[derive(Debug)]
pub enum MeshMessage {
    /// Run `fetch` of an object that lives there.
    Fetch(Box<FetchMessage>),
    /// The answer to a [`MeshMessage::Fetch`].
    Answer(Box<AnswerMessage>),
    /// A connection comes over; its descriptor follows through the driver with the same token.
    HandOff(Box<HandOff>),
    /// The descriptor will not follow.
    HandOffAborted {
        /// Who sent the hand-off.
        from: ShardId,
        /// Which.
        token: u32,
    },
    /// The client of a socket that was accepted there is gone before its 101 was written.
    SocketAbandoned(SocketName),
    /// A socket that was accepted there has its connection here.
    Attached(Attached),
    /// What happened to sockets whose connections are here.
    Events(Box<EventBatch>),
    /// What is to be done with connections that are there.
    Commands {
        /// The shard of the objects.
        from: ShardId,
        /// In order.
        batch: Box<CommandBatch>,
    },
    /// Asks how an object fares, without waking it.
    Status(Box<StatusMessage>),
    /// The answer to a [`MeshMessage::Status`].
    StatusAnswer {
        /// Which call.
        call: Key,
        /// How it fares.
        status: ObjectStatus,
    },
}

/// An object, by class and id.
#[derive(Clone, Debug)]
pub struct ObjectName {
    pub(crate) class: u16,
    pub(crate) bytes: IdBytes,
    pub(crate) name: Option<Arc<str>>,
}

/// A socket, by its record on the shard of its object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketName(pub(crate) Key);

/// Told with a socket whose object is crowded: its connection is to stay where it is.
#[derive(Clone, Debug)]
pub struct StayPut {
    pub(crate) object: Key,
    pub(crate) class: u16,
    pub(crate) auto_response: Option<WebSocketRequestResponsePair>,
}

/// A call to an object of another shard.
#[derive(Debug)]
pub struct FetchMessage {
    pub(crate) from: ShardId,
    pub(crate) call: Key,
    pub(crate) object: ObjectName,
    pub(crate) request: Request,
    pub(crate) chain: Vec<Box<str>>,
}

/// What became of a call.
#[derive(Debug)]
pub struct AnswerMessage {
    pub(crate) call: Key,
    pub(crate) answer: Answer,
}

/// The state of a connection that changes shards.
#[derive(Debug)]
pub struct HandOff {
    pub(crate) from: ShardId,
    pub(crate) token: u32,
    pub(crate) connection: u64,
    pub(crate) socket: Key,
    /// The encoded 101, to be sent first.
    pub(crate) response: Vec<u8>,
    /// What the client sent behind its request.
    pub(crate) received: Vec<u8>,
    /// What the response says of compression.
    pub(crate) deflate: Option<DeflateAgreement>,
}

/// A question for [`ObjectStatus`].
#[derive(Debug)]
pub struct StatusMessage {
    pub(crate) from: ShardId,
    pub(crate) call: Key,
    pub(crate) object: ObjectName,
}
