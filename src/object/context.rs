//! The object's side of the engine (Durable Objects API: `DurableObjectState`). Owns nothing; every method is one
//! step on the shard's tables.

use std::future::Future;
use std::rc::Rc;
use std::time::{Duration, SystemTime};

use super::auto_response::WebSocketRequestResponsePair;
use super::batcher::Batcher;
use super::broadcast::Broadcast;
use super::core::Core;
use super::error::ApiError;
use super::id::ObjectId;
use super::mailbox::Mailbox;
use super::message::Message;
use super::slab::Key;
use super::standard::WebSocketEvents;
use super::web_socket::WebSocket;

/// What an object does with its sockets (Durable Objects API: `DurableObjectState`, with its methods' names
/// in snake case). Cheap to clone; keep one in the object.
///
/// That API has no [`broadcast`](Context::broadcast), no tags that come and go later, no
/// [`set_tick`](Context::set_tick), [`sleep`](Context::sleep) and
/// [`web_socket_count`](Context::web_socket_count).
///
/// ```
/// use dormouse::{Context, DurableObject, Env, Message, Result, WebSocket};
///
/// struct Room {
///     ctx: Context,
///     online: usize,
/// }
///
/// impl DurableObject for Room {
///     async fn new(ctx: Context, _env: Env) -> Result<Room> {
///         // After hibernation, the clients that stayed connected are there already.
///         let online = ctx.web_socket_count();
///         Ok(Room { ctx, online })
///     }
///
///     async fn web_socket_message(&mut self, ws: &WebSocket, message: Message<'_>) -> Result<()> {
///         self.ctx.broadcast(message).except(ws).send();
///         Ok(())
///     }
/// }
/// ```
#[derive(Clone)]
pub struct Context {
    core: Rc<Core>,
    object: Key,
    mailbox: Rc<Mailbox>,
    id: Rc<ObjectId>,
}

impl Context {
    pub(crate) fn new(core: Rc<Core>, object: Key, mailbox: Rc<Mailbox>) -> Context {
        let id = core.objects.borrow().get(object).map(|object| object.id.clone());
        let id = Rc::new(id.expect("an actor's object exists"));
        Context { core, object, mailbox, id }
    }

    /// The object's id.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(ctx: Context) -> Result<()> {
    /// println!("{} is awake", ctx.id().name().unwrap_or("an object without a name"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn id(&self) -> &ObjectId {
        &self.id
    }

    /// Accepts a socket so that the object may hibernate while it stays connected (`acceptWebSocket`). Its
    /// messages come to `web_socket_message`. At most 10 distinct tags of at most 256 UTF-8 bytes; duplicates
    /// collapse.
    ///
    /// # Errors
    /// [`ApiError::AlreadyAccepted`], [`ApiError::TooManyTags`], [`ApiError::TagTooLong`],
    /// [`ApiError::TooManyWebSockets`]. The socket is not accepted then.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(ctx: Context, request: Request) -> Result<Response> {
    /// use dormouse::{Response, WebSocketPair};
    ///
    /// let WebSocketPair { client, server } = WebSocketPair::new();
    /// ctx.accept_web_socket(&server, &["player", request.query().unwrap_or("nobody")])?;
    /// Ok(Response::web_socket(client))
    /// # }
    /// ```
    pub fn accept_web_socket(&self, ws: &WebSocket, tags: &[&str]) -> Result<(), ApiError> {
        self.core.accept_web_socket(self.object, ws, tags)
    }

    /// Accepts a socket with the standard API (`accept()`): its events are read from what this returns, by a future
    /// of [`Context::wait_until`], and no handler hears of them. The object stays in memory while such a socket is
    /// open; when the instance fails, they end with 1011. They have no tags and no auto-response, and
    /// [`Context::get_web_sockets`] and [`Context::broadcast`] leave them out.
    ///
    /// # Errors
    /// [`ApiError::AcceptAfterHibernation`] after [`Context::accept_web_socket`], [`ApiError::AcceptTwice`],
    /// [`ApiError::TooManyWebSockets`].
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(ctx: &Context, server: WebSocket) -> Result<()> {
    /// let mut events = ctx.accept(&server)?;
    /// ctx.wait_until(async move { while events.next().await.is_some() {} });
    /// # Ok(())
    /// # }
    /// ```
    pub fn accept(&self, ws: &WebSocket) -> Result<WebSocketEvents, ApiError> {
        self.core.accept(self.object, ws)
    }

    /// The object's sockets: all, newest first, or those with a tag, oldest first. A socket is listed until its
    /// close or error handler has returned.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(ctx: Context) -> Result<()> {
    /// for spectator in ctx.get_web_sockets(Some("spectator")) {
    ///     spectator.close(1000, "the game is over")?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_web_sockets(&self, tag: Option<&str>) -> Vec<WebSocket> {
        self.core.get_web_sockets(self.object, tag)
    }

    /// Number of sockets that [`Context::get_web_sockets`] without a tag would return, without making them.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(ctx: Context) -> Result<Response> {
    /// use dormouse::Response;
    ///
    /// if ctx.web_socket_count() >= 100 {
    ///     return Ok(Response::new(503, "the room is full\n"));
    /// }
    /// # Ok(Response::text(""))
    /// # }
    /// ```
    pub fn web_socket_count(&self) -> usize {
        self.core.objects.borrow().get(self.object).map_or(0, |object| object.roster.len())
    }

    /// The tags of a socket, in the order in which they were given.
    ///
    /// # Errors
    /// [`ApiError::TagsBeforeAccept`].
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(ctx: Context, ws: WebSocket) -> Result<()> {
    /// let tags = ctx.get_tags(&ws)?;
    /// let may_write = tags.iter().any(|tag| tag == "player");
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_tags(&self, ws: &WebSocket) -> Result<Vec<String>, ApiError> {
        self.core.get_tags(ws)
    }

    /// Gives a socket one more tag. Nothing happens when it has it.
    ///
    /// # Errors
    /// [`ApiError::TagsBeforeAccept`], [`ApiError::TooManyTags`], [`ApiError::TagTooLong`].
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(ctx: Context, ws: WebSocket) -> Result<()> {
    /// ctx.add_tag(&ws, "moderator")?;
    /// ctx.broadcast("there is one more of us").tag("moderator").send();
    /// # Ok(())
    /// # }
    /// ```
    pub fn add_tag(&self, ws: &WebSocket, tag: &str) -> Result<(), ApiError> {
        self.core.add_tag(ws, tag)
    }

    /// Takes a tag from a socket; `false` when it did not have it.
    ///
    /// # Errors
    /// [`ApiError::TagsBeforeAccept`].
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(ctx: Context, ws: WebSocket) -> Result<()> {
    /// if ctx.remove_tag(&ws, "lobby")? {
    ///     ctx.add_tag(&ws, "game")?;
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn remove_tag(&self, ws: &WebSocket, tag: &str) -> Result<bool, ApiError> {
        self.core.remove_tag(ws, tag)
    }

    /// A message to all of the object's sockets, encoded once. Nothing leaves before [`Broadcast::send`].
    ///
    /// ```no_run
    /// # fn example(ctx: dormouse::Context, ws: dormouse::WebSocket) {
    /// ctx.broadcast("for all").send();
    /// ctx.broadcast("for red, but not the sender").tag("red").except(&ws).send();
    /// # }
    /// ```
    pub fn broadcast<'a>(&'a self, message: impl Into<Message<'a>>) -> Broadcast<'a> {
        Broadcast::new(&self.core, self.object, message.into())
    }

    /// The messages that wait for all of the object's sockets, or for those with a tag, to leave in one envelope, encoded
    /// once. When they leave, [`DurableObject::BATCHING`](super::DurableObject::BATCHING) says; or
    /// [`Batcher::flush`]. The object does not hibernate before. Sockets that are accepted or tagged meanwhile get them
    /// too.
    ///
    /// What is said to one address, which is everybody, a tag, or one socket, arrives in the order in which it was said,
    /// in batches or not: a broadcast to the same address has the batch leave before it. Between addresses a batch that
    /// waits is overtaken. Before a socket is closed by the object, what waits for it leaves.
    ///
    /// ```no_run
    /// # fn example(ctx: dormouse::Context, id: u16, x: u16, y: u16) -> Result<(), dormouse::ApiError> {
    /// ctx.batch(None).push(&(id, x, y))?;
    /// ctx.batch(Some("red")).push("defend!")?;
    /// // Both wait; this is for everybody, so the position leaves before it. The reds wait on.
    /// ctx.broadcast("the game ends").send();
    /// # Ok(())
    /// # }
    /// ```
    pub fn batch<'a>(&self, tag: Option<&'a str>) -> Batcher<'a> {
        Batcher::of_object(&self.core, self.object, tag)
    }

    /// Sets, or with `None` removes, the pair with which the engine answers without waking the object.
    ///
    /// # Errors
    /// [`ApiError::AutoResponseTooLarge`]; the old pair stays.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(ctx: Context) -> Result<()> {
    /// use dormouse::WebSocketRequestResponsePair;
    ///
    /// ctx.set_web_socket_auto_response(WebSocketRequestResponsePair::new("ping", "pong"))?;
    /// assert_eq!(ctx.get_web_socket_auto_response().unwrap().request(), "ping");
    /// ctx.set_web_socket_auto_response(None)?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_web_socket_auto_response(
        &self,
        pair: impl Into<Option<WebSocketRequestResponsePair>>,
    ) -> Result<(), ApiError> {
        self.core.set_auto_response(self.object, pair.into())
    }

    /// The pair in force.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(ctx: Context) -> Result<()> {
    /// if ctx.get_web_socket_auto_response().is_none() {
    ///     println!("every ping of the application wakes {}", ctx.id());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_web_socket_auto_response(&self) -> Option<WebSocketRequestResponsePair> {
        let objects = self.core.objects.borrow();
        objects.get(self.object)?.auto_response.as_ref().map(|auto| auto.pair.clone())
    }

    /// When the pair last answered on this socket; kept after the pair is removed, and through hibernation.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(ctx: Context) -> Result<()> {
    /// use std::time::Duration;
    ///
    /// let now = std::time::UNIX_EPOCH + Duration::from_millis(ctx.now_ms());
    /// for ws in ctx.get_web_sockets(None) {
    ///     let last_ping = ctx.get_web_socket_auto_response_timestamp(&ws);
    ///     if last_ping.is_some_and(|at| at + Duration::from_secs(60) < now) {
    ///         ws.close(4000, "no ping for a minute")?;
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_web_socket_auto_response_timestamp(&self, ws: &WebSocket) -> Option<SystemTime> {
        self.core.auto_response_timestamp(ws).map(|ms| SystemTime::UNIX_EPOCH + Duration::from_millis(ms))
    }

    /// How long a message, close or error handler may run, in milliseconds; 0 or `None` is without end. A handler
    /// over its time is cancelled where it awaits and counts as failed.
    ///
    /// # Errors
    /// [`ApiError::EventTimeoutTooLong`] over 604,800,000 (7 days).
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(ctx: Context) -> Result<()> {
    /// ctx.set_hibernatable_web_socket_event_timeout(5_000)?;
    /// assert_eq!(ctx.get_hibernatable_web_socket_event_timeout(), Some(5_000));
    /// assert!(ctx.set_hibernatable_web_socket_event_timeout(604_800_001).is_err());
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_hibernatable_web_socket_event_timeout(
        &self,
        timeout_ms: impl Into<Option<u64>>,
    ) -> Result<(), ApiError> {
        self.core.set_event_timeout(self.object, timeout_ms.into())
    }

    /// The event timeout in force, in milliseconds.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(ctx: Context) -> Result<()> {
    /// match ctx.get_hibernatable_web_socket_event_timeout() {
    ///     Some(timeout_ms) => println!("handlers have {timeout_ms} ms"),
    ///     None => println!("handlers have all the time they want"),
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn get_hibernatable_web_socket_event_timeout(&self) -> Option<u64> {
        self.core.objects.borrow().get(self.object).and_then(|object| object.event_timeout_ms)
    }

    /// Has [`DurableObject::tick`](super::DurableObject::tick) called at this interval, or no more with `None`. An
    /// object that ticks does not hibernate. The interval is at least a millisecond; a tick that is late because a
    /// handler runs is not made up for.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(ctx: Context) -> Result<()> {
    /// use std::time::Duration;
    ///
    /// ctx.set_tick(Duration::from_millis(50)); // 20 times a second
    /// ctx.set_tick(None); // no more: the object may hibernate
    /// # Ok(())
    /// # }
    /// ```
    pub fn set_tick(&self, interval: impl Into<Option<Duration>>) {
        self.core.set_tick(self.object, interval.into());
    }

    /// Waits, to the millisecond. In a handler, other events of this object wait too; those of other objects
    /// do not.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # async fn example(ctx: Context) -> Result<()> {
    /// use std::time::Duration;
    ///
    /// ctx.broadcast("ready?").send();
    /// ctx.sleep(Duration::from_secs(1)).await;
    /// ctx.broadcast("go!").send();
    /// # Ok(())
    /// # }
    /// ```
    pub async fn sleep(&self, duration: Duration) {
        self.core.sleep(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)).await;
    }

    /// Lets a future run beside the object's events. The object does not hibernate before it is done. A panic in it
    /// ends only itself.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(ctx: Context) -> Result<()> {
    /// use std::time::Duration;
    ///
    /// let room = ctx.clone();
    /// ctx.wait_until(async move {
    ///     room.sleep(Duration::from_secs(60)).await;
    ///     room.broadcast("one minute is over").send();
    /// });
    /// # Ok(())
    /// # }
    /// ```
    pub fn wait_until(&self, future: impl Future<Output = ()> + 'static) {
        self.core.wait_until(self.object, &self.mailbox, future);
    }

    /// Milliseconds since the Unix epoch, as of the beginning of this turn.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(ctx: Context) -> Result<()> {
    /// let stamped = format!("{} hello", ctx.now_ms());
    /// # Ok(())
    /// # }
    /// ```
    pub fn now_ms(&self) -> u64 {
        self.core.now.get().wall_ms
    }

    /// A random version 4 UUID (RFC 9562), as `crypto.randomUUID()` gives.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(ctx: Context, ws: WebSocket) -> Result<()> {
    /// ws.send(&format!("your ticket is {}", ctx.random_uuid()))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn random_uuid(&self) -> String {
        self.core.random_uuid()
    }
}
