//! Passing a socket to another shard.
//!
//! Owns a descriptor's way. The target's table gets a second reference; only when that has succeeded is ours
//! closed, so that the socket is never nobody's.
//!
//! ```text
//!   sender:   message in the inbox -> MSG_RING ------------------------> success: CLOSE ours -> handle_handed_off
//!                                        |                           \-> failure: handle_hand_off_failed
//!   target:                              +-> completion -> take the inbox -> handle_handed_over
//! ```

use std::collections::HashMap;
use std::io;
use std::os::fd::AsFd;

use super::driven::Driven;
use super::mesh::HandOff;
use super::ports::roomiest;
use super::request::Request;
use super::turn::Driver;
use crate::object::driver::ShardId;

/// Hand-offs in flight, by token: which ring of which shard is to have the descriptor.
#[derive(Default)]
pub(super) struct Passing(HashMap<u32, (ShardId, usize)>);

impl<W: Driven> Driver<W> {
    /// Starts a hand-off whose message has been delivered.
    pub(super) fn pass(&mut self, hand_off: HandOff) -> io::Result<()> {
        let HandOff { place, target, token } = hand_off;
        let shared = self.shared.clone();
        let port = &shared.ports[usize::from(target.0)];
        // A ring does not pass to itself, and to another of the same shard there is no reason to.
        let takes = target != self.shard && !port.has_ended();
        let index = roomiest(port.rings()).filter(|_| takes);
        let (ring, slot) = self.places.split(place);
        let Some(index) = index.filter(|_| self.rings[ring].slot(slot).hand_off()) else {
            self.stay(hand_off);
            return Ok(());
        };
        let ring_port = &port.rings()[index];
        ring_port.take();
        let earlier = self.passing.0.insert(token, (target, index));
        debug_assert!(earlier.is_none(), "two hand-offs with the token {token}");
        self.rings[ring].queue(Request::pass(slot, token, self.shard, ring_port.as_fd()))
    }

    /// A descriptor of ours has reached the other table, or could not.
    pub(super) fn complete_hand_off(
        &mut self,
        ring: usize,
        slot: u32,
        token: u32,
        result: i32,
    ) -> io::Result<()> {
        let passed = self.passing.0.remove(&token);
        let Some((target, index)) = passed else {
            unreachable!("an answer about the hand-off {token}, never begun")
        };
        // The descriptor is there, but its completion is not: the target has no memory to keep it in. A slot of
        // its table stays in use that nobody knows of, until the shard ends.
        let silent = result == -libc::EOVERFLOW;
        if result >= 0 {
            self.stats.hand_offs_sent.add(1);
            self.rings[ring].slot(slot).hand_off_sent();
            return self.rings[ring].queue(Request::close_handed_off(slot, token));
        }
        if !silent {
            self.shared.ports[usize::from(target.0)].rings()[index].give_back();
        }
        self.rings[ring].slot(slot).hand_off_failed();
        self.stay(HandOff { place: self.places.join(ring, slot), target, token });
        Ok(())
    }

    /// Our reference to a socket that another shard has is closed.
    pub(super) fn complete_departure(&mut self, ring: usize, slot: u32, token: u32) {
        self.ring_port(ring).give_back();
        self.rings[ring].slot(slot).closed();
        self.world.handle_handed_off(token);
    }

    /// A descriptor of another shard is in our table.
    pub(super) fn complete_arrival(&mut self, ring: usize, from: ShardId, token: u32, result: i32) {
        let Ok(slot) = u32::try_from(result) else {
            unreachable!("a hand-off arrived without a slot: {result}")
        };
        self.stats.hand_offs_received.add(1);
        // Its sender has counted the slot as used.
        self.rings[ring].slot(slot).occupy();
        // The message was in the inbox before the descriptor left.
        self.take_messages();
        self.world.handle_handed_over(from, token, self.places.join(ring, slot));
    }

    fn stay(&mut self, hand_off: HandOff) {
        self.stats.hand_offs_failed.add(1);
        self.world.handle_hand_off_failed(hand_off.token, hand_off.place);
        self.again = true;
    }
}
