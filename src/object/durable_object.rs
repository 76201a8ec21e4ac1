//! What applications implement: an object and a worker. Owns the traits and their defaults.

use super::batching::Batching;
use super::context::Context;
use super::env::Env;
use super::error::Result;
use super::http::{Request, Response};
use super::message::Message;
use super::web_socket::WebSocket;
use crate::wire::{Batch, ProtocolError};

/// What to do with a message for a socket that has `limits.output_bytes_per_socket` waiting because its client does
/// not read.
///
/// ```
/// use dormouse::{Context, DurableObject, Env, Result, SlowReader};
///
/// /// Sends the whole state twenty times a second: whoever missed one gets the next.
/// struct Arena;
///
/// impl DurableObject for Arena {
///     const SLOW_READER: SlowReader = SlowReader::DropNewest;
///
///     async fn new(_ctx: Context, _env: Env) -> Result<Arena> {
///         Ok(Arena)
///     }
/// }
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlowReader {
    /// Close it with 1013. Nothing is ever missing in what a client has read.
    #[default]
    Close,
    /// Drop the message, and count it. For state that the next message replaces.
    DropNewest,
    /// Have the message wait, if it was sent under a key ([`Broadcast::key`](super::Broadcast::key),
    /// [`WebSocket::send_keyed`]), in the place of the one that waits under the same key; what is replaced is counted.
    /// For state in parts, each of which the next message about it replaces: players, prices, cursors.
    ///
    /// A key is a number of the application's: it costs 8 bytes wherever it waits and has no length to be bounded.
    /// The newest message of each key leaves as soon as the client reads again, the key that has waited longest first; a
    /// message that replaces another takes its place. A message without a key never overtakes one with a key that was
    /// sent before it, nor the other way round. At the bound it closes the socket with 1013 as with
    /// [`SlowReader::Close`], and so does a key too many: `limits.kept_messages_per_socket` of them may wait for a
    /// socket, and as many bytes as `limits.output_bytes_per_socket` allows besides. A Close, the object's own or the
    /// engine's, leaves behind what waits.
    ///
    /// ```
    /// use dormouse::{Context, DurableObject, Env, Message, Result, SlowReader, WebSocket};
    ///
    /// /// Where each player is. Who reads slowly sees fewer places, and the newest of each player in the end.
    /// struct Map {
    ///     ctx: Context,
    /// }
    ///
    /// impl DurableObject for Map {
    ///     const SLOW_READER: SlowReader = SlowReader::KeepLatest;
    ///
    ///     async fn new(ctx: Context, _env: Env) -> Result<Map> {
    ///         Ok(Map { ctx })
    ///     }
    ///
    ///     async fn web_socket_message(&mut self, ws: &WebSocket, place: Message<'_>) -> Result<()> {
    ///         let player: u64 = ws.deserialize_attachment()?.unwrap_or(0);
    ///         self.ctx.broadcast(place).key(player).send();
    ///         Ok(())
    ///     }
    ///
    ///     async fn web_socket_close(&mut self, _: &WebSocket, _: u16, _: &str, _: bool) -> Result<()> {
    ///         // Without a key: nobody may miss it.
    ///         self.ctx.broadcast("one left").send();
    ///         Ok(())
    ///     }
    /// }
    /// ```
    KeepLatest,
}

impl SlowReader {
    /// The key of a message, where it means something.
    pub(crate) fn key(self, key: Option<u64>) -> Option<u64> {
        key.filter(|_| self == SlowReader::KeepLatest)
    }
}

/// A single-threaded piece of state with an id, that clients connect to.
///
/// The engine makes an instance at the first event and again after hibernation; it calls one handler at a time and
/// awaits it before the next, in the order of arrival. All handlers may be async. An error or a panic of a handler
/// other than `fetch` drops the instance and closes the event's socket with 1011; other sockets stay connected, and
/// the next event makes a new instance.
///
/// ```
/// use dormouse::{Context, DurableObject, Env, Message, Request, Response, Result, WebSocket, WebSocketPair};
///
/// struct Room {
///     ctx: Context,
/// }
///
/// impl DurableObject for Room {
///     async fn new(ctx: Context, _env: Env) -> Result<Room> {
///         Ok(Room { ctx })
///     }
///
///     async fn fetch(&mut self, _request: Request) -> Result<Response> {
///         let pair = WebSocketPair::new();
///         self.ctx.accept_web_socket(&pair.server, &[])?;
///         Ok(Response::web_socket(pair.client))
///     }
///
///     async fn web_socket_message(&mut self, _ws: &WebSocket, message: Message<'_>) -> Result<()> {
///         self.ctx.broadcast(message).send();
///         Ok(())
///     }
/// }
/// ```
// Objects never leave their shard's thread, so their futures need not be Send.
#[allow(async_fn_in_trait)]
pub trait DurableObject: Sized + 'static {
    /// What happens to clients that do not read.
    ///
    /// ```
    /// # use dormouse::*;
    /// # struct Arena;
    /// # impl DurableObject for Arena {
    /// const SLOW_READER: SlowReader = SlowReader::DropNewest;
    /// #     async fn new(_ctx: Context, _env: Env) -> Result<Arena> {
    /// #         Ok(Arena)
    /// #     }
    /// # }
    /// ```
    const SLOW_READER: SlowReader = SlowReader::Close;

    /// That messages go in batches, and how. Messages of clients that are envelopes of this format then reach
    /// [`web_socket_batch`](DurableObject::web_socket_batch), and [`Context::batch`] works. `None` is neither: every
    /// message is what it is.
    ///
    /// ```
    /// # use dormouse::*;
    /// # struct Arena;
    /// # impl DurableObject for Arena {
    /// const BATCHING: Option<Batching> = Some(Batching::json().delay_ms(50).messages(64));
    /// #     async fn new(_ctx: Context, _env: Env) -> Result<Arena> {
    /// #         Ok(Arena)
    /// #     }
    /// # }
    /// ```
    const BATCHING: Option<Batching> = None;

    /// Makes the instance, at the first event and at each wake, before the event is delivered. Sockets that stayed
    /// connected are in [`Context::get_web_sockets`] already. Keep it short: events wait for it. One that has not
    /// returned within `timeouts.fetch` is cancelled where it awaits, and has failed.
    ///
    /// # Errors
    /// The event's caller gets a 500, and the object's sockets are closed with 1011. Behind the second failure in a
    /// row the next instance waits 100 ms, then twice as long each time, up to 10 s.
    async fn new(ctx: Context, env: Env) -> Result<Self>;

    /// Answers a request that a worker or another object passed on.
    ///
    /// # Errors
    /// The client gets a status without detail: 503 for [`ApiError::TooManyWebSockets`](super::ApiError), else 500.
    /// A caller that is an object gets the error itself. The instance stays.
    async fn fetch(&mut self, _request: Request) -> Result<Response> {
        Ok(Response::new(404, "this object answers no requests\n"))
    }

    /// A message of an accepted socket.
    async fn web_socket_message(&mut self, _ws: &WebSocket, _message: Message<'_>) -> Result<()> {
        Ok(())
    }

    /// A message of an accepted socket that is a batch envelope of the class's [`BATCHING`](DurableObject::BATCHING);
    /// `web_socket_message` does not hear of it. It has at least one message and at most 4,096. One that is broken
    /// reaches neither: the client is told with 1007, and `web_socket_error` hears of it. A message in it that is not
    /// what was expected is for the handler to judge.
    ///
    /// ```
    /// # use dormouse::*;
    /// # struct Arena {
    /// #     ctx: Context,
    /// # }
    /// # impl DurableObject for Arena {
    /// #     async fn new(ctx: Context, _env: Env) -> Result<Arena> {
    /// #         Ok(Arena { ctx })
    /// #     }
    /// async fn web_socket_batch(&mut self, ws: &WebSocket, batch: Batch<'_>) -> Result<()> {
    ///     for item in batch {
    ///         match item.read::<(u16, u16)>() {
    ///             Ok((x, y)) => self.ctx.batch(None).push(&(x, y))?,
    ///             Err(error) => {
    ///                 println!("{:?}: {error}", ws.connection_id());
    ///                 ws.close(1007, "send two numbers")?;
    ///                 break;
    ///             }
    ///         }
    ///     }
    ///     Ok(())
    /// }
    /// # }
    /// ```
    async fn web_socket_batch(&mut self, _ws: &WebSocket, _batch: Batch<'_>) -> Result<()> {
        Ok(())
    }

    /// A socket was closed by its client, with `code` and `reason` (1005 when it gave none), or was lost (1006,
    /// `was_clean` is false). The engine answers the client's Close with its own code if the handler does not call
    /// [`WebSocket::close`]. The socket leaves [`Context::get_web_sockets`] when the handler has returned.
    ///
    /// ```
    /// # use dormouse::*;
    /// # struct Room {
    /// #     ctx: Context,
    /// # }
    /// # impl DurableObject for Room {
    /// #     async fn new(ctx: Context, _env: Env) -> Result<Room> {
    /// #         Ok(Room { ctx })
    /// #     }
    /// async fn web_socket_close(
    ///     &mut self,
    ///     ws: &WebSocket,
    ///     code: u16,
    ///     _reason: &str,
    ///     was_clean: bool,
    /// ) -> Result<()> {
    ///     let how = if was_clean { "left" } else { "was lost" };
    ///     self.ctx.broadcast(&format!("one {how} ({code})")).except(ws).send();
    ///     Ok(())
    /// }
    /// # }
    /// ```
    async fn web_socket_close(
        &mut self,
        _ws: &WebSocket,
        _code: u16,
        _reason: &str,
        _was_clean: bool,
    ) -> Result<()> {
        Ok(())
    }

    /// A client broke the protocol; it was told with the error's close code. `web_socket_close` does not follow.
    ///
    /// ```
    /// # use dormouse::*;
    /// # struct Room {
    /// #     ctx: Context,
    /// # }
    /// # impl DurableObject for Room {
    /// #     async fn new(ctx: Context, _env: Env) -> Result<Room> {
    /// #         Ok(Room { ctx })
    /// #     }
    /// async fn web_socket_error(&mut self, ws: &WebSocket, error: &ProtocolError) -> Result<()> {
    ///     println!("{:?} broke {error}, closed with {}", ws.connection_id(), error.close_code());
    ///     Ok(())
    /// }
    /// # }
    /// ```
    async fn web_socket_error(&mut self, _ws: &WebSocket, _error: &ProtocolError) -> Result<()> {
        Ok(())
    }

    /// The time set with [`Context::set_tick`] has passed.
    ///
    /// ```
    /// # use dormouse::*;
    /// # struct Room {
    /// #     ctx: Context,
    /// # }
    /// # impl DurableObject for Room {
    /// #     async fn new(ctx: Context, _env: Env) -> Result<Room> {
    /// #         Ok(Room { ctx })
    /// #     }
    /// async fn tick(&mut self) -> Result<()> {
    ///     self.ctx.broadcast(&format!("it is {}", self.ctx.now_ms())).send();
    ///     Ok(())
    /// }
    /// # }
    /// ```
    async fn tick(&mut self) -> Result<()> {
        Ok(())
    }
}

/// Answers requests, on the shard that accepted the connection; routes those for objects to them.
///
/// ```
/// use dormouse::{Env, Request, Response, Result, Worker};
///
/// struct Router;
///
/// impl Worker for Router {
///     async fn fetch(&self, request: Request, env: &Env) -> Result<Response> {
///         match request.path() {
///             "/" => Ok(Response::text("hello\n")),
///             room => env.namespace("ROOM")?.get_by_name(room).fetch(request).await,
///         }
///     }
/// }
/// ```
#[allow(async_fn_in_trait)]
pub trait Worker: Send + Sync + Sized + 'static {
    /// Answers one request.
    ///
    /// # Errors
    /// The client gets a status without detail: what an error of the API says, else 500.
    async fn fetch(&self, request: Request, env: &Env) -> Result<Response>;
}
