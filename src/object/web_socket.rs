//! The handle of a socket, and the pair it comes from. Owns no state of an accepted socket: that lies in the shard's
//! tables, so that a handle is as good after hibernation as before.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::rc::Rc;

use serde::{Serialize, de::DeserializeOwned};

use super::batcher::Batcher;
use super::core::Core;
use super::directory::ConnectionId;
use super::driver::ShardId;
use super::error::ApiError;
use super::mesh::{SocketName, StayPut};
use super::message::Message;
use super::slab::Key;
use super::socket::ReadyState;

/// One end of a WebSocket (WebSockets API: `WebSocket`). Cheap to clone; clones are equal, and so are handles
/// of the same socket got at different times, so that it may be the key of a map.
///
/// ```
/// use dormouse::{ReadyState, WebSocketPair};
///
/// let pair = WebSocketPair::new();
/// assert_eq!(pair.server, pair.server.clone());
/// assert_eq!(pair.server.ready_state(), ReadyState::Open);
/// ```
#[derive(Clone)]
pub struct WebSocket {
    end: End,
}

#[derive(Clone)]
enum End {
    /// An accepted socket.
    Accepted { core: Rc<Core>, key: Key, identity: u32 },
    /// One end of a pair.
    Half(Half),
}

/// Two connected ends: one for the object, one for the client (Durable Objects API: `WebSocketPair`).
///
/// ```no_run
/// # fn accept(ctx: dormouse::Context) -> dormouse::Result<dormouse::Response> {
/// use dormouse::{Response, WebSocketPair};
///
/// let WebSocketPair { client, server } = WebSocketPair::new();
/// ctx.accept_web_socket(&server, &["player"])?;
/// Ok(Response::web_socket(client))
/// # }
/// ```
#[derive(Debug)]
pub struct WebSocketPair {
    /// The end to put into the response.
    pub client: WebSocket,
    /// The end to accept.
    pub server: WebSocket,
}

struct Pair {
    identity: u32,
    accepted: RefCell<Option<AcceptedPair>>,
    /// Set before it was accepted.
    attachment: RefCell<Option<Box<[u8]>>>,
    /// How many handles there are of each side.
    handles: [Cell<u32>; 2],
}

struct AcceptedPair {
    core: Rc<Core>,
    shard: ShardId,
    socket: Key,
    /// Which side was accepted; the other is the client's.
    side: u8,
    /// The other end went into a response.
    is_taken: bool,
    /// Whether its connection is to stay where it is.
    stay: Option<Box<StayPut>>,
}

/// One end of a pair. Notices when its last handle is gone.
struct Half {
    pair: Rc<Pair>,
    side: u8,
}

impl Half {
    fn new(pair: &Rc<Pair>, side: u8) -> Half {
        let handles = &pair.handles[usize::from(side)];
        handles.set(handles.get() + 1);
        Half { pair: pair.clone(), side }
    }
}

impl Clone for Half {
    fn clone(&self) -> Half {
        Half::new(&self.pair, self.side)
    }
}

impl Drop for Half {
    fn drop(&mut self) {
        let handles = &self.pair.handles[usize::from(self.side)];
        handles.set(handles.get() - 1);
        if handles.get() > 0 {
            return;
        }
        let accepted = self.pair.accepted.borrow();
        if let Some(accepted) = &*accepted
            && accepted.side != self.side
            && !accepted.is_taken
        {
            // Nobody can send the other end to a client any more.
            accepted.core.abandoned.borrow_mut().push((accepted.shard, SocketName(accepted.socket)));
        }
    }
}

impl Pair {
    fn new(accepted: Option<AcceptedPair>) -> Rc<Pair> {
        Rc::new(Pair {
            identity: new_identity(),
            accepted: RefCell::new(accepted),
            attachment: RefCell::default(),
            handles: Default::default(),
        })
    }
}

thread_local! {
    static IDENTITIES: Cell<u32> = const { Cell::new(0) };
}

/// Of 31 bits: the complement is that of the other end.
fn new_identity() -> u32 {
    let identity = (IDENTITIES.get() + 1) & (u32::MAX >> 1);
    IDENTITIES.set(identity);
    identity
}

impl Default for WebSocketPair {
    fn default() -> Self {
        WebSocketPair::new()
    }
}

impl WebSocketPair {
    /// Two ends that nobody has accepted yet.
    ///
    /// ```
    /// let pair = dormouse::WebSocketPair::new();
    /// let (to_object, to_client) = (pair.server, pair.client);
    /// ```
    pub fn new() -> WebSocketPair {
        let pair = Pair::new(None);
        let [client, server] = [0, 1].map(|side| WebSocket { end: End::Half(Half::new(&pair, side)) });
        WebSocketPair { client, server }
    }
}

impl WebSocket {
    pub(crate) fn accepted(core: Rc<Core>, key: Key, identity: u32) -> WebSocket {
        WebSocket { end: End::Accepted { core, key, identity } }
    }

    /// The client's end of a socket that was accepted on `shard`.
    pub(crate) fn of_response(
        core: Rc<Core>,
        shard: ShardId,
        name: SocketName,
        stay: Option<Box<StayPut>>,
    ) -> WebSocket {
        let accepted = AcceptedPair { core, shard, socket: name.0, side: 1, is_taken: false, stay };
        WebSocket { end: End::Half(Half::new(&Pair::new(Some(accepted)), 0)) }
    }

    /// The socket whose client's end this is; once.
    pub(crate) fn take_for_response(&self) -> Option<(ShardId, SocketName)> {
        let End::Half(Half { pair, side }) = &self.end else { return None };
        let mut accepted = pair.accepted.borrow_mut();
        let accepted = accepted.as_mut().filter(|accepted| accepted.side != *side && !accepted.is_taken)?;
        accepted.is_taken = true;
        Some((accepted.shard, SocketName(accepted.socket)))
    }

    /// Whether the connection of an accepted socket is to stay where it is.
    pub(crate) fn stay_put(&self) -> Option<Box<StayPut>> {
        let End::Half(Half { pair, .. }) = &self.end else { return None };
        pair.accepted.borrow().as_ref().and_then(|accepted| accepted.stay.clone())
    }

    /// Ties the pair to an accepted socket.
    pub(crate) fn bind(&self, core: &Rc<Core>, socket: Key) {
        if let End::Half(Half { pair, side }) = &self.end {
            let core = core.clone();
            let shard = core.shard;
            let accepted = AcceptedPair { core, shard, socket, side: *side, is_taken: false, stay: None };
            *pair.accepted.borrow_mut() = Some(accepted);
        }
    }

    /// What accepting needs to know: the identity and how much was attached before. `None` when it was accepted.
    pub(crate) fn unaccepted(&self) -> Option<(u32, usize)> {
        match &self.end {
            End::Half(Half { pair, .. }) if pair.accepted.borrow().is_none() => Some((
                self.identity(),
                pair.attachment.borrow().as_ref().map_or(0, |attachment| attachment.len()),
            )),
            _ => None,
        }
    }

    /// What was attached before accepting; the socket's record keeps it from now on.
    pub(crate) fn take_attachment(&self) -> Option<Box<[u8]>> {
        match &self.end {
            End::Half(Half { pair, .. }) => pair.attachment.borrow_mut().take(),
            End::Accepted { .. } => None,
        }
    }

    /// Core and key of an accepted socket, seen from its object's end.
    pub(crate) fn locate(&self) -> Option<(Rc<Core>, Key)> {
        match &self.end {
            End::Accepted { core, key, .. } => Some((core.clone(), *key)),
            End::Half(Half { pair, side }) => {
                let accepted = pair.accepted.borrow();
                let accepted = accepted.as_ref().filter(|accepted| accepted.side == *side)?;
                Some((accepted.core.clone(), accepted.socket))
            }
        }
    }

    /// The key of an accepted socket, seen from its object's end.
    fn key(&self) -> Option<Key> {
        match &self.end {
            End::Accepted { key, .. } => Some(*key),
            End::Half(Half { pair, side }) => {
                let accepted = pair.accepted.borrow();
                accepted.as_ref().filter(|accepted| accepted.side == *side).map(|accepted| accepted.socket)
            }
        }
    }

    fn identity(&self) -> u32 {
        match &self.end {
            End::Accepted { identity, .. } => *identity,
            // The two ends are two sockets, before and after one of them is accepted.
            End::Half(Half { pair, side }) => {
                if *side == 0 {
                    !pair.identity
                } else {
                    pair.identity
                }
            }
        }
    }

    /// Queues a message: in order, and leaving with everything else that this turn says to the client. Ignored when
    /// the client is gone. What happens to a client that does not read is up to
    /// [`DurableObject::SLOW_READER`](super::DurableObject::SLOW_READER).
    ///
    /// # Errors
    /// [`ApiError::NotAccepted`], [`ApiError::SendAfterClose`].
    ///
    /// ```no_run
    /// # fn example(ws: dormouse::WebSocket) -> Result<(), dormouse::ApiError> {
    /// ws.send("text")?;
    /// ws.send(&[0xca_u8, 0xfe])?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// ```
    /// let pair = dormouse::WebSocketPair::new();
    /// assert_eq!(pair.server.send("too early"), Err(dormouse::ApiError::NotAccepted));
    /// ```
    pub fn send<'a>(&self, message: impl Into<Message<'a>>) -> Result<(), ApiError> {
        let (core, key) = self.locate().ok_or(ApiError::NotAccepted)?;
        core.send(key, message.into(), None)
    }

    /// Like [`WebSocket::send`], under a key: where the class has
    /// [`SlowReader::KeepLatest`](super::SlowReader::KeepLatest), the message may wait for a client that does not read,
    /// and is replaced there by the next one with the same key. Elsewhere the key says nothing.
    ///
    /// # Errors
    /// [`ApiError::NotAccepted`], [`ApiError::SendAfterClose`].
    ///
    /// ```no_run
    /// # fn example(ws: dormouse::WebSocket, lap: u32) -> Result<(), dormouse::ApiError> {
    /// const LAP: u64 = 1;
    /// ws.send_keyed(LAP, &format!("lap {lap}"))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn send_keyed<'a>(&self, key: u64, message: impl Into<Message<'a>>) -> Result<(), ApiError> {
        let (core, socket) = self.locate().ok_or(ApiError::NotAccepted)?;
        core.send(socket, message.into(), Some(key))
    }

    /// The messages that wait for this socket alone, to leave in one envelope; see [`Context::batch`](super::Context::batch).
    /// A [`WebSocket::send`] has them leave before it.
    ///
    /// ```no_run
    /// # fn example(ws: dormouse::WebSocket) -> Result<(), dormouse::ApiError> {
    /// let answers = ws.batch();
    /// for line in ["one", "two", "three"] {
    ///     answers.push(line)?;
    /// }
    /// answers.flush();
    /// # Ok(())
    /// # }
    /// ```
    pub fn batch(&self) -> Batcher<'static> {
        Batcher::of_socket(self.locate())
    }

    /// Starts the closing handshake, or completes it when the client has begun it. `code` is 1000-1003, 1007-1014
    /// or 3000-4999, or `None`; `reason` has at most 123 UTF-8 bytes. Closing twice does nothing. Completing a
    /// client's Close takes whatever code arrived, 1005 and 1006 included.
    ///
    /// # Errors
    /// [`ApiError::NotAccepted`], [`ApiError::InvalidCloseCode`], [`ApiError::CloseReasonTooLong`],
    /// [`ApiError::CloseReasonWithoutCode`].
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(kicked: WebSocket, done: WebSocket) -> Result<()> {
    /// kicked.close(4001, "kicked by a moderator")?;
    /// done.close(None, "")?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn close(&self, code: impl Into<Option<u16>>, reason: &str) -> Result<(), ApiError> {
        let (core, key) = self.locate().ok_or(ApiError::NotAccepted)?;
        core.close(key, code.into(), reason)
    }

    /// Keeps a copy of `value` with the connection, through hibernation; in memory, not on disk. MessagePack, at
    /// most `limits.attachment_bytes` (2,048) bytes; the old value stays on an error.
    ///
    /// # Errors
    /// [`ApiError::AttachmentTooLarge`], [`ApiError::Attachment`].
    ///
    /// ```
    /// use serde::{Deserialize, Serialize};
    ///
    /// #[derive(Serialize, Deserialize)]
    /// struct Player {
    ///     name: String,
    ///     lives: u8,
    /// }
    ///
    /// # let ws = dormouse::WebSocketPair::new().server;
    /// ws.serialize_attachment(&Player { name: "Ada".into(), lives: 3 })?;
    /// let player: Option<Player> = ws.deserialize_attachment()?;
    /// assert_eq!(player.unwrap().name, "Ada");
    /// # Ok::<(), dormouse::ApiError>(())
    /// ```
    pub fn serialize_attachment<T: Serialize + ?Sized>(&self, value: &T) -> Result<(), ApiError> {
        let bytes = rmp_serde::to_vec_named(value)
            .map_err(|error| ApiError::Attachment { message: error.to_string() })?;
        match (&self.end, self.locate()) {
            (_, Some((core, key))) => core.set_attachment(key, bytes),
            (End::Half(Half { pair, .. }), None) => {
                // The limit is checked again, and told, when the socket is accepted; nothing larger than the largest
                // that may be configured is kept until then.
                if bytes.len() > ATTACHMENT_BYTES_CEILING {
                    return Err(ApiError::AttachmentTooLarge {
                        bytes: bytes.len(),
                        limit: ATTACHMENT_BYTES_CEILING,
                    });
                }
                *pair.attachment.borrow_mut() = Some(bytes.into());
                Ok(())
            }
            (End::Accepted { .. }, None) => Ok(()),
        }
    }

    /// The value last attached, read anew at each call; `None` when there is none.
    ///
    /// # Errors
    /// [`ApiError::Attachment`] when what is attached is no `T`.
    ///
    /// ```
    /// # let ws = dormouse::WebSocketPair::new().server;
    /// assert_eq!(ws.deserialize_attachment::<u32>()?, None);
    /// ws.serialize_attachment("seven")?;
    /// assert!(ws.deserialize_attachment::<u32>().is_err());
    /// # Ok::<(), dormouse::ApiError>(())
    /// ```
    pub fn deserialize_attachment<T: DeserializeOwned>(&self) -> Result<Option<T>, ApiError> {
        let read = |bytes: &[u8]| {
            rmp_serde::from_slice(bytes).map_err(|error| ApiError::Attachment { message: error.to_string() })
        };
        match (&self.end, self.locate()) {
            (_, Some((core, key))) => core.with_attachment(key, |bytes| bytes.map(read).transpose()),
            (End::Half(Half { pair, .. }), None) => pair.attachment.borrow().as_deref().map(read).transpose(),
            (End::Accepted { .. }, None) => Ok(None),
        }
    }

    /// The state of the connection. A fresh end reads [`ReadyState::Open`].
    ///
    /// ```no_run
    /// # fn example(ctx: dormouse::Context) {
    /// use dormouse::ReadyState;
    ///
    /// let sockets = ctx.get_web_sockets(None);
    /// let open = sockets.iter().filter(|ws| ws.ready_state() == ReadyState::Open).count();
    /// # }
    /// ```
    pub fn ready_state(&self) -> ReadyState {
        self.locate().map_or(ReadyState::Open, |(core, key)| core.ready_state(key))
    }

    /// Bytes of frames that `send` took and the kernel has not yet taken.
    ///
    /// ```no_run
    /// # fn example(ws: dormouse::WebSocket, frame: &[u8]) -> Result<(), dormouse::ApiError> {
    /// // A client that lags behind gets fewer pictures, not older ones.
    /// if ws.buffered_amount() < 64 << 10 {
    ///     ws.send(frame)?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn buffered_amount(&self) -> usize {
        self.locate().map_or(0, |(core, key)| core.buffered_amount(key))
    }

    /// The number of the connection, once its 101 was written; for logs.
    ///
    /// ```no_run
    /// # fn example(ws: dormouse::WebSocket) {
    /// if let Some(connection) = ws.connection_id() {
    ///     println!("connection {connection} sent nonsense");
    /// }
    /// # }
    /// ```
    pub fn connection_id(&self) -> Option<ConnectionId> {
        self.locate().and_then(|(core, key)| core.connection_id(key))
    }
}

/// The largest value of `limits.attachment_bytes`.
pub(crate) const ATTACHMENT_BYTES_CEILING: usize = 16_384;

impl PartialEq for WebSocket {
    fn eq(&self, other: &WebSocket) -> bool {
        let is_other_key = || self.key().zip(other.key()).is_some_and(|(own, other)| own != other);
        self.identity() == other.identity() && !is_other_key()
    }
}

impl Eq for WebSocket {}

impl Hash for WebSocket {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.identity().hash(state);
    }
}

impl fmt::Debug for WebSocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WebSocket").field("ready_state", &self.ready_state()).finish_non_exhaustive()
    }
}
