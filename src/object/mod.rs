//! `object`: one shard's world of objects.
//!
//! Owns ids, the registry and the life of objects, their sockets, tags and attachments, auto-responses, outboxes and
//! broadcast, calls between objects, and the deadlines of all of them. It is deterministic: events and ticks in,
//! effects out. It never touches a socket, a ring, or the wall clock; it knows RFC 6455 only through `wire`.

mod actor;
mod addresses;
mod auto_response;
mod batcher;
mod batches;
mod batching;
mod broadcast;
mod builder;
mod calls;
mod class;
mod closing;
mod compression;
mod connection;
mod context;
mod core;
mod counters;
mod delivery;
mod directory;
pub mod driver;
mod durable_object;
mod edge;
mod env;
mod error;
mod events;
mod failing;
mod flush;
mod forms;
mod frames;
mod hand_off;
mod headers;
mod home;
mod http;
mod id;
mod inbound;
mod kept;
mod lifecycle;
mod mailbox;
pub mod mesh;
mod message;
mod moment;
#[expect(clippy::module_inception, reason = "the record of an object is what the layer is named after")]
mod object;
mod outbox;
mod output;
mod paged;
mod planted;
mod remote;
mod requests;
mod roster;
mod settings;
mod slab;
mod socket;
mod sockets;
mod standard;
mod status;
mod tasks;
mod timers;
mod watch;
mod web_socket;
mod wheel;
mod worker;
mod world;

pub use auto_response::WebSocketRequestResponsePair;
pub use batcher::Batcher;
pub use batching::Batching;
pub use broadcast::Broadcast;
pub use builder::{WorldBuilder, WorldPlan};
pub use context::Context;
pub use counters::{Counter, NamespaceCounters, ShardCounters};
pub use directory::{ConnectionId, Directory};
pub use durable_object::{DurableObject, SlowReader, Worker};
pub use env::{Env, Namespace, Stub};
pub use error::{ApiError, Error, Result};
pub use headers::Headers;
pub use http::{Request, Response};
pub use id::ObjectId;
pub use message::Message;
#[cfg(feature = "planted-bugs")]
pub use planted::{Bug, plant};
pub(crate) use settings::room_needed;
pub use settings::{DeflateSettings, Settings, spare_connections};
pub use socket::ReadyState;
pub use standard::{WebSocketEvent, WebSocketEvents};
pub use status::ObjectStatus;
pub use tasks::DriverWaker;
pub use watch::{Polled, Watch};
pub use web_socket::{WebSocket, WebSocketPair};
pub use world::World;
