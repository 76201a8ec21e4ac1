//! The words that a driver and a [`World`](super::World) exchange: what arrived, what to do next.
//!
//! A world never touches a socket. It names connections by their [`Place`] in the driver's tables, takes bytes
//! as slices, and answers with [`Effect`]s, bytes to [`Transmit`], and [`MeshMessage`]s for other shards. The
//! real driver is `shard/`; the simulation brings a fake one. Nothing here may know what a ring is.
//!
//! A driver that has one connection, and no sockets:
//!
//! ```
//! use dormouse::object::WorldBuilder;
//! use dormouse::object::driver::{Effect, Effects, Now, Outgoing, Place, Receive};
//! use dormouse::object::driver::{ShardId, Shortfall, Transmit};
//!
//! # use dormouse::{Env, Request, Response, Result, Worker};
//! # struct Router;
//! # impl Worker for Router {
//! #     async fn fetch(&self, _: Request, _: &Env) -> Result<Response> {
//! #         Ok(Response::text("hello"))
//! #     }
//! # }
//! /// A kernel that takes every byte.
//! #[derive(Default)]
//! struct Kernel(Vec<u8>);
//!
//! impl Transmit for Kernel {
//!     fn transmit(&mut self, batch: &[Outgoing<'_>], _: &mut Vec<(usize, Shortfall)>) {
//!         for outgoing in batch {
//!             self.0.extend(outgoing.parts.concat());
//!         }
//!     }
//! }
//!
//! let world = WorldBuilder::new(Router).build(1).world(ShardId(0), 0x5eed);
//! let mut kernel = Kernel::default();
//! let mut effects = Effects::default();
//!
//! world.set_now(Now { monotonic_ms: 0, wall_ms: 1_700_000_000_000 });
//! world.handle_accepted(Place(0));
//! world.take_effects(&mut effects);
//! assert_eq!(effects.sockets, [Effect::Receive(Place(0), Receive::Once)]);
//!
//! world.handle_received(Place(0), &mut b"GET / HTTP/1.1\r\nHost: a\r\n\r\n".to_owned());
//! world.run();
//! world.flush(&mut kernel);
//! assert!(kernel.0.starts_with(b"HTTP/1.1 200 OK\r\n"));
//! ```

use super::mesh::MeshMessage;

/// Number of a shard, counted from 0.
///
/// ```
/// use dormouse::object::driver::ShardId;
///
/// let last = (0..4).map(ShardId).last();
/// assert_eq!(last, Some(ShardId(3)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

/// Where the driver keeps a connection's socket: a dense index, chosen by the driver, reused after
/// [`Effect::Close`] was carried out.
///
/// ```
/// use dormouse::object::driver::Place;
///
/// let sockets = ["a socket", "another"];
/// let place = Place(1);
/// assert_eq!(sockets[place.0 as usize], "another");
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Place(pub u32);

/// The time as the driver reads it once a turn; a world never reads a clock.
///
/// ```
/// use std::time::{Instant, SystemTime, UNIX_EPOCH};
/// use dormouse::object::driver::Now;
///
/// fn read(start: Instant) -> Now {
///     let wall = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
///     Now { monotonic_ms: start.elapsed().as_millis() as u64, wall_ms: wall.as_millis() as u64 }
/// }
/// assert!(read(Instant::now()).wall_ms > 1_700_000_000_000);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds on a clock that never jumps; only differences mean anything.
    pub monotonic_ms: u64,
    /// Milliseconds since the Unix epoch; may jump.
    pub wall_ms: u64,
}

/// How a receive is to be armed.
///
/// ```
/// use dormouse::object::driver::{Effect, Place, Receive};
///
/// /// Whether a completed receive has to be armed again before more can come.
/// fn is_spent(armed: &Effect) -> bool {
///     matches!(armed, Effect::Receive(_, Receive::Once))
/// }
/// assert!(is_spent(&Effect::Receive(Place(0), Receive::Once)));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receive {
    /// One receive: nothing is in flight once it has completed. For HTTP, so that a socket can be handed over
    /// without a cancellation.
    Once,
    /// Receives until told otherwise. For frames.
    Multishot,
}

/// What the driver is asked to do with a socket.
///
/// ```
/// use dormouse::object::driver::Effect;
///
/// /// Whether the place is free once the effect was carried out.
/// fn frees_place(effect: &Effect) -> bool {
///     matches!(effect, Effect::Close(_) | Effect::HandOff { .. })
/// }
/// # assert!(frees_place(&Effect::Close(dormouse::object::driver::Place(0))));
/// ```
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
///
/// ```
/// use dormouse::object::driver::{Outgoing, Place};
///
/// /// What one `sendmsg` is to take.
/// fn bytes_of(outgoing: &Outgoing<'_>) -> usize {
///     outgoing.parts.iter().map(|part| part.len()).sum()
/// }
/// let outgoing = Outgoing { place: Place(0), parts: &[b"\x81\x05", b"Hello"] };
/// assert_eq!(bytes_of(&outgoing), 7);
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Outgoing<'a> {
    /// The socket.
    pub place: Place,
    /// What leaves, in order; never empty, at most [`PARTS_MAX`] parts.
    pub parts: &'a [&'a [u8]],
}

/// Most parts of one [`Outgoing`], which is also the longest gather list the driver must support.
///
/// ```
/// use dormouse::object::driver::{Outgoing, PARTS_MAX, Place};
///
/// let parts: [&[u8]; 2] = [b"head", b"payload"];
/// let outgoing = Outgoing { place: Place(0), parts: &parts };
/// assert!(outgoing.parts.len() <= PARTS_MAX);
/// ```
pub const PARTS_MAX: usize = 64;

/// Most sockets of one [`Transmit::transmit`] call.
///
/// ```
/// use dormouse::object::driver::{BATCH_MAX, Shortfall};
///
/// let mut shortfalls: Vec<(usize, Shortfall)> = Vec::with_capacity(BATCH_MAX);
/// ```
pub const BATCH_MAX: usize = 1024;

/// How a send that was not wholly taken ended.
///
/// ```
/// use dormouse::object::driver::Shortfall;
///
/// fn of(sent: std::io::Result<usize>) -> Shortfall {
///     sent.map_or(Shortfall::Lost, Shortfall::Full)
/// }
/// assert_eq!(of(Ok(3)), Shortfall::Full(3));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortfall {
    /// The kernel took only so many bytes (possibly 0) because the socket's buffer is full.
    Full(usize),
    /// The connection is gone.
    Lost,
}

/// Takes bytes to the kernel, a batch at a time.
///
/// ```
/// use dormouse::object::driver::{BATCH_MAX, Outgoing, PARTS_MAX, Shortfall, Transmit};
///
/// /// A kernel whose buffers are full.
/// struct Full;
///
/// impl Transmit for Full {
///     fn transmit(&mut self, batch: &[Outgoing<'_>], shortfalls: &mut Vec<(usize, Shortfall)>) {
///         assert!(batch.len() <= BATCH_MAX && batch[0].parts.len() <= PARTS_MAX);
///         shortfalls.extend((0..batch.len()).map(|index| (index, Shortfall::Full(0))));
///     }
/// }
/// ```
pub trait Transmit {
    /// Sends every element of `batch` without waiting. When this returns, the kernel has taken all bytes of
    /// every element except of those listed in `shortfalls` (index into `batch`); no byte of `batch` is
    /// referenced any more.
    fn transmit(&mut self, batch: &[Outgoing<'_>], shortfalls: &mut Vec<(usize, Shortfall)>);
}

/// Carries what a world wants done during or at the end of a turn.
///
/// ```no_run
/// # fn example(world: &dormouse::object::World, carry_out: fn(dormouse::object::driver::Effect)) {
/// use dormouse::object::driver::Effects;
///
/// // One for all turns, so that its memory is taken once.
/// let mut effects = Effects::default();
/// world.take_effects(&mut effects);
/// effects.sockets.drain(..).for_each(carry_out);
/// # }
/// ```
#[derive(Debug, Default)]
pub struct Effects {
    /// For sockets of this shard, in order.
    pub sockets: Vec<Effect>,
    /// For other shards, in order per shard.
    pub mesh: Vec<(ShardId, MeshMessage)>,
}
