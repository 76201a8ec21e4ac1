//! Dormouse: a self-hosted engine for Durable Objects that hold WebSockets.
//!
//! An object is a single-threaded piece of state with an id. Thousands of clients connect to it; it answers,
//! broadcasts, sleeps when nothing happens while its clients stay connected, and wakes at the next message. Write a
//! [`DurableObject`] and a [`Worker`] that routes requests to it:
//!
//! ```no_run
//! use dormouse::*;
//!
//! /// A room for each path: what one client says, all clients of the path hear.
//! struct Room(Context);
//!
//! impl DurableObject for Room {
//!     async fn new(ctx: Context, _env: Env) -> Result<Room> {
//!         Ok(Room(ctx))
//!     }
//!
//!     async fn fetch(&mut self, _request: Request) -> Result<Response> {
//!         let pair = WebSocketPair::new();
//!         self.0.accept_web_socket(&pair.server, &[])?;
//!         Ok(Response::web_socket(pair.client))
//!     }
//!
//!     async fn web_socket_message(&mut self, _ws: &WebSocket, message: Message<'_>) -> Result<()> {
//!         self.0.broadcast(message).send();
//!         Ok(())
//!     }
//! }
//!
//! struct Router;
//!
//! impl Worker for Router {
//!     async fn fetch(&self, request: Request, env: &Env) -> Result<Response> {
//!         env.namespace("ROOM")?.get_by_name(request.path()).fetch(request).await
//!     }
//! }
//!
//! fn main() -> std::process::ExitCode {
//!     Engine::new(Router).namespace::<Room>("ROOM").main()
//! }
//! ```
//!
//! Four layers, each of which uses only what stands to its left:
//!
//! ```text
//!     wire  <-  object  <-  shard  <-  server
//! ```

pub mod object;
pub mod server;
pub mod shard;
pub mod wire;

pub use object::{
    ApiError, Batcher, Batching, Broadcast, ConnectionId, Context, DurableObject, Env, Error, Headers,
    Message, Namespace, ObjectId, ObjectStatus, ReadyState, Request, Response, Result, SlowReader, Stub,
    WebSocket, WebSocketEvent, WebSocketEvents, WebSocketPair, WebSocketRequestResponsePair, Worker,
};
pub use server::Engine;
pub use wire::{Batch, BatchError, BatchFormat, BatchItem, BatchItemError, BatchItems, ProtocolError};
