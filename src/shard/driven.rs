//! What a driver needs of the world it drives.
//!
//! Two things are driven: [`World`], and the small worlds of this layer's tests, which answer bytes with bytes and
//! need no HTTP to do so. The methods are the world's own; see there for what they promise.

use std::net::IpAddr;

use crate::object::driver::{Effects, Now, Place, ShardId, Transmit};
use crate::object::mesh::MeshMessage;
use crate::object::{DriverWaker, World};

/// A world, as the driver sees it. No method waits.
pub(super) trait Driven {
    /// Once at the start of a turn.
    fn set_now(&self, now: Now);
    /// A connection was accepted; nothing is armed on it.
    fn handle_accepted(&self, place: Place);
    /// A connection was accepted from this address, if it could be found out.
    fn handle_accepted_from(&self, place: Place, address: Option<IpAddr>);
    /// Bytes arrived.
    fn handle_received(&self, place: Place, bytes: &mut [u8]);
    /// Nothing more will arrive: end of stream, or an error.
    fn handle_lost(&self, place: Place);
    /// The socket takes bytes again, or has failed.
    fn handle_writable(&self, place: Place);
    /// A close was carried out; the place is free.
    fn handle_closed(&self, place: Place);
    /// Another shard's descriptor arrived, after every message sent before it.
    fn handle_handed_over(&self, from: ShardId, token: u32, place: Place);
    /// A descriptor has left, and its place is free.
    fn handle_handed_off(&self, token: u32);
    /// A descriptor could not be passed and is still ours.
    fn handle_hand_off_failed(&self, token: u32, place: Place);
    /// Another shard's message arrived.
    fn handle_mesh(&self, message: MeshMessage);
    /// Works on what is ready or due.
    fn run(&self);
    /// Sends what the turn queued.
    fn flush(&self, transmit: &mut impl Transmit);
    /// Moves out what is to be done; `effects` comes empty.
    fn take_effects(&self, effects: &mut Effects);
    /// The monotonic time of the next turn that is needed even if nothing arrives.
    fn next_deadline_ms(&self) -> Option<u64>;
    /// Whether `run` would find work.
    fn has_ready(&self) -> bool;
    /// What to call, from any thread, when a handler can go on.
    fn set_waker(&self, waker: DriverWaker);
    /// Closes every socket, in good order.
    fn begin_drain(&self);
    /// Whether no socket is left.
    fn is_drained(&self) -> bool;
}

macro_rules! delegate {
    ($($name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        impl Driven for World {
            $(fn $name(&self, $($argument: $type),*) $(-> $result)? { World::$name(self, $($argument),*) })*
        }
    };
}

delegate! {
    set_now(now: Now);
    handle_accepted(place: Place);
    handle_accepted_from(place: Place, address: Option<IpAddr>);
    handle_received(place: Place, bytes: &mut [u8]);
    handle_lost(place: Place);
    handle_writable(place: Place);
    handle_closed(place: Place);
    handle_handed_over(from: ShardId, token: u32, place: Place);
    handle_handed_off(token: u32);
    handle_hand_off_failed(token: u32, place: Place);
    handle_mesh(message: MeshMessage);
    run();
    flush(transmit: &mut impl Transmit);
    take_effects(effects: &mut Effects);
    next_deadline_ms() -> Option<u64>;
    has_ready() -> bool;
    set_waker(waker: DriverWaker);
    begin_drain();
    is_drained() -> bool;
}
