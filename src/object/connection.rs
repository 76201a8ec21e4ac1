//! The record of one connection on the shard that has its descriptor. Owns the protocol state and the outbox; the
//! socket's identity, tags and attachment are a [`Socket`](super::socket::Socket).
//!
//! ```text
//!              request        101              Close both ways, or a fault
//!   accepted -> Http --------> Open ------------------> Leaving -> (closed)
//!                |  \                                      ^
//!                |   +-- to another shard, opened there    |
//!                +---- response with Connection: close ----+
//! ```

use std::cell::RefCell;
use std::rc::Rc;

use super::auto_response::AutoResponse;
use super::compression::Agreed;
use super::directory::ConnectionId;
use super::driver::ShardId;
use super::http::Request;
use super::mesh::SocketName;
use super::moment::Moment;
use super::outbox::Outbox;
use super::slab::Key;
use super::socket::CloseProgress;
use crate::wire::{BodyDecoder, DeflateAgreement, HeadScanner, Session};

/// One connection.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) phase: Phase,
    pub(crate) outbox: Outbox,
    /// When the phase's patience ends; the connection is dropped then.
    pub(crate) deadline: Moment,
    /// When output that the kernel refused must have moved on.
    pub(crate) write_deadline: Moment,
    /// When the wheel looks at it next.
    pub(crate) look: Moment,
    pub(crate) is_dirty: bool,
    /// The kernel's buffer is full; a notice was asked for.
    pub(crate) is_blocked: bool,
    /// Messages wait under keys, as [`kept`](super::kept) has it.
    pub(crate) keeps: bool,
}

impl Connection {
    pub(crate) fn new(id: ConnectionId, phase: Phase) -> Connection {
        Connection {
            id,
            phase,
            outbox: Outbox::default(),
            deadline: Moment::NEVER,
            write_deadline: Moment::NEVER,
            look: Moment::NEVER,
            is_dirty: false,
            is_blocked: false,
            keeps: false,
        }
    }
}

/// What a connection is for now.
#[derive(Debug)]
pub(crate) enum Phase {
    /// Requests and responses.
    Http(Box<HttpState>),
    /// Frames.
    Open(OpenState),
    /// What is queued is sent, then FIN; what arrives is discarded, until the peer closes or the deadline.
    Leaving {
        /// FIN was sent.
        finished: bool,
        /// Close without waiting for the peer's FIN.
        at_once: bool,
    },
    /// The driver was asked to close it.
    Closing,
}

/// Whose socket a connection carries.
#[derive(Debug)]
pub(crate) enum Owner {
    /// A socket of this shard.
    Near(Key),
    /// A socket of an object of another shard.
    Far(Box<FarOwner>),
}

/// What the edge of a far socket knows of it.
#[derive(Debug)]
pub(crate) struct FarOwner {
    pub(crate) shard: ShardId,
    pub(crate) socket: Key,
    pub(crate) object: Rc<FarObject>,
    /// Events told to the home shard and not yet done there.
    pub(crate) unfinished: u32,
    pub(crate) close: CloseProgress,
    /// What the home shard was last told of the outbox.
    pub(crate) reported_bytes: usize,
}

/// What the edge of far sockets knows of their object.
#[derive(Debug)]
pub(crate) struct FarObject {
    pub(crate) class: u16,
    pub(crate) auto_response: RefCell<Option<Rc<AutoResponse>>>,
}

/// State of a connection that carries frames.
#[derive(Debug)]
pub(crate) struct OpenState {
    pub(crate) owner: Owner,
    pub(crate) session: Session,
    pub(crate) agreed: Agreed,
    /// When the last bytes came.
    pub(crate) heard: Moment,
    pub(crate) is_pinged: bool,
    /// Reading was paused, and why.
    pub(crate) pause: Pause,
    /// Second (its last 16 bits), and control frames that came in it.
    pub(crate) control_second: u16,
    pub(crate) control_frames: u16,
    /// Bytes that the unfinished message was last seen to hold.
    pub(crate) reassembly_bytes: u32,
}

/// Why a socket is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    /// It is read.
    Not,
    /// Its object has too much waiting.
    Mailbox,
    /// It sent too many control frames in this second.
    Control,
}

/// State of a connection that carries requests.
#[derive(Debug, Default)]
pub(crate) struct HttpState {
    /// What was received and not yet used.
    pub(crate) received: Vec<u8>,
    pub(crate) scanner: HeadScanner,
    pub(crate) stage: Stage,
    /// Requests so far; the number of the one being answered.
    pub(crate) requests: u64,
    /// How the response to the request being answered is to be written.
    pub(crate) keep_alive: bool,
    pub(crate) is_head_method: bool,
    /// The answer to the key, when the request is an upgrade.
    pub(crate) accept: Option<[u8; 28]>,
    /// What the client offered in Sec-WebSocket-Protocol.
    pub(crate) offered_protocols: Vec<String>,
    /// What to answer to its Sec-WebSocket-Extensions.
    pub(crate) deflate: Option<DeflateAgreement>,
    /// An upgrade by another method than GET.
    pub(crate) upgrade_by_wrong_method: bool,
    /// The task that answers.
    pub(crate) task: Option<u32>,
    /// Where the connection goes when the responses before have left.
    pub(crate) departure: Option<Box<Departure>>,
}

/// A connection about to change shards.
#[derive(Debug)]
pub(crate) struct Departure {
    pub(crate) target: ShardId,
    pub(crate) socket: SocketName,
    /// The encoded 101.
    pub(crate) response: Vec<u8>,
    pub(crate) deflate: Option<DeflateAgreement>,
}

/// How far a request has come.
#[derive(Debug, Default)]
pub(crate) enum Stage {
    #[default]
    Head,
    Body(Box<PartialBody>),
    /// The worker answers.
    Answering,
}

/// A request whose body is arriving.
#[derive(Debug)]
pub(crate) struct PartialBody {
    pub(crate) request: Request,
    pub(crate) decoder: BodyDecoder,
}

#[cfg(test)]
mod tests {
    use super::super::paged::Paged;
    use super::*;

    /// PERFORMANCE: what an idle connection costs. tuning.md adds it up.
    #[test]
    fn an_idle_connection_is_small() {
        assert_eq!(Paged::<Connection>::SLOT_BYTES, 96);
    }
}
