//! Dormouse: a self-hosted engine for Durable Objects that hold WebSockets.
//!
//! An object is a single-threaded piece of state with an id. Thousands of clients connect to it; it answers,
//! broadcasts, sleeps when nothing happens while its clients stay connected, and wakes at the next message. Write a
//! [`DurableObject`] and a [`Worker`] that routes requests to it.
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
    ApiError, Broadcast, ConnectionId, Context, DurableObject, Env, Error, Headers, Message, Namespace,
    ObjectId, ObjectStatus, ReadyState, Request, Response, Result, SlowReader, Stub, WebSocket,
    WebSocketEvent, WebSocketEvents, WebSocketPair, WebSocketRequestResponsePair, Worker,
};
pub use server::Engine;
pub use wire::ProtocolError;
