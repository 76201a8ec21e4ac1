//! The words that a driver and a [`World`](super::World) exchange: what arrived, what to do next.
//!
//! A world never touches a socket. It names connections by their [`Place`] in the driver's tables, takes bytes
//! as slices, and answers with [`Effect`]s, bytes to [`Transmit`], and [`MeshMessage`]s for other shards. The
//! real driver is `shard/`; the simulation brings a fake one. Nothing here may know what a ring is.

use super::mesh::MeshMessage;

/// Number of a shard, counted from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

/// Where the driver keeps a connection's socket: a dense index, chosen by the driver, reused after
/// [`Effect::Close`] was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place(pub u32);

/// The time as the driver reads it once a turn; a world never reads a clock.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds on a clock that never jumps; only differences mean anything.
    pub monotonic_ms: u64,
    /// Milliseconds since the Unix epoch; may jump.
    pub wall_ms: u64,
}

/// How a receive is to be armed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receive {
    /// One receive: nothing is in flight once it has completed. For HTTP, so that a socket can be handed over
    /// without a cancellation.
    Once,
    /// Receives until told otherwise. For frames.
    Multishot,
}

/// What the driver is asked to do with a socket.
#[derive(Debug, PartialEq, Eq)]
pub enum Effect {
    /// Arm a receive; its bytes come to `World::handle_received`, end of stream and errors to
    /// `World::handle_lost`.
    Receive(Place, Receive),
    /// Stop receiving until the next [`Effect::Receive`]; bytes already taken from the kernel may still arrive.
    Pause(Place),
    /// Report once to `World::handle_writable` when the socket takes bytes again.
    AwaitWritable(Place),
    /// Send FIN, keep receiving (and discarding), so that what was sent is not destroyed by a reset.
    ShutdownWrite(Place),
    /// Close now; the place is free as soon as the driver says so with `World::handle_closed`.
    Close(Place),
    /// Pass the descriptor to another shard; the state travels as [`MeshMessage::HandOff`] with this token.
    /// The place is free afterwards: `World::handle_handed_off`, or `World::handle_hand_off_failed` when it could not
    /// be passed.
    HandOff {
        /// Where the socket is now.
        place: Place,
        /// The shard that takes it.
        target: ShardId,
        /// Connects descriptor and state; unique per sending shard.
        token: u32,
    },
}

/// Bytes for one socket: its next unsent parts, in order, to leave in one system call.
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The socket.
    pub place: Place,
    /// What leaves, in order; never empty, at most [`PARTS_MAX`] parts.
    pub parts: &'a [&'a [u8]],
}

/// Most parts of one [`Outgoing`], which is also the longest gather list the driver must support.
pub const PARTS_MAX: usize = 64;

/// Most sockets of one [`Transmit::transmit`] call.
pub const BATCH_MAX: usize = 128;

/// How a send that was not wholly taken ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortfall {
    /// The kernel took only so many bytes (possibly 0) because the socket's buffer is full.
    Full(usize),
    /// The connection is gone.
    Lost,
}

/// Takes bytes to the kernel, a batch at a time.
pub trait Transmit {
    /// Sends every element of `batch` without waiting. When this returns, the kernel has taken all bytes of
    /// every element except of those listed in `shortfalls` (index into `batch`); no byte of `batch` is
    /// referenced any more.
    fn transmit(&mut self, batch: &[Outgoing<'_>], shortfalls: &mut Vec<(usize, Shortfall)>);
}

/// Carries what a world wants done during or at the end of a turn.
#[derive(Debug, Default)]
pub struct Effects {
    /// For sockets of this shard, in order.
    pub sockets: Vec<Effect>,
    /// For other shards, in order per shard.
    pub mesh: Vec<(ShardId, MeshMessage)>,
}
