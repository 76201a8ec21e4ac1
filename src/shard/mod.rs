//! The driver: one thread a core, its rings, and the way of the bytes between sockets and a
//! [`World`](crate::object::World).
//!
//! Owns sockets, rings, threads and the clock. Knows no rule of RFC 6455 and no policy: the world says what is to
//! be done, and the driver does it. Only this layer names `glommio` and `io_uring`.
//!
//! | file | owns |
//! |---|---|
//! | `start`, `handle` | the start and the end of all shards |
//! | `executor` | glommio; when a shard sleeps |
//! | `turn`, `drain` | the order of a turn; the last ones |
//! | `completions`, `effects`, `hand_off` | what arrived; what the world wants; a socket's way to another shard |
//! | `transmit` | the sends of a turn |
//! | `data_ring`, `slots`, `buffers` | a ring's sockets, what is in flight for each, where bytes land |
//! | `ring`, `request`, `user_data` | the io_uring system calls |
//! | `listener`, `timer`, `rest` | accepting; the deadline of a sleep; what a long one gives back |
//! | `mesh`, `inbox`, `ports`, `bell` | what goes to other shards, and how they are woken |
//! | `probe` | whether this machine can do all that, found out before the start |
//! | `places`, `settings`, `stats`, `error`, `clock`, `sys` | numbers, and the rest of the system's interface |

mod bell;
mod buffers;
mod clock;
mod completions;
mod data_ring;
mod drain;
mod driven;
mod effects;
mod error;
mod executor;
mod hand_off;
mod handle;
mod inbox;
mod listener;
mod mesh;
mod places;
mod ports;
pub mod probe;
mod request;
mod rest;
mod ring;
mod settings;
mod slots;
mod start;
mod stats;
mod sys;
mod timer;
mod transmit;
mod turn;
mod user_data;

pub use crate::object::Counter;
pub use error::StartError;
pub use handle::{ShardEnd, Shards};
pub use settings::ShardSettings;
pub use start::start;
pub use stats::ShardStats;
pub(crate) use sys::bound_free_heap;
pub use sys::raise_descriptor_limit;

#[cfg(test)]
pub(crate) mod tests;
