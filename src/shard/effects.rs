//! What the world asked for: effects become requests, messages go to their shards.
//!
//! Owns the order: messages first, because a descriptor must not arrive before the message that explains it.

use std::io;

use super::driven::Driven;
use super::mesh::HandOff;
use super::slots::{Slot, Step};
use super::turn::Driver;
use crate::object::driver::{Effect, Place};

impl<W: Driven> Driver<W> {
    /// Carries out what the world wants done so far.
    pub(super) fn carry_out_effects(&mut self) -> io::Result<()> {
        let mut effects = std::mem::take(&mut self.effects);
        self.world.take_effects(&mut effects);
        for (target, message) in effects.mesh.drain(..) {
            self.mesh.send(target, message);
        }
        self.mesh.deliver(&self.shared.ports, &self.stats);
        for effect in effects.sockets.drain(..) {
            self.carry_out(effect)?;
        }
        self.effects = effects;
        while let Some(hand_off) = self.mesh.next_hand_off() {
            self.pass(hand_off)?;
        }
        Ok(())
    }

    fn carry_out(&mut self, effect: Effect) -> io::Result<()> {
        match effect {
            Effect::Receive(place, kind) => self.change(place, |slot| slot.want(kind)),
            Effect::Pause(place) => self.change(place, Slot::pause),
            Effect::AwaitWritable(place) => self.change(place, Slot::await_writable),
            Effect::ShutdownWrite(place) => self.change(place, Slot::shut_down_write),
            Effect::Close(place) => self.change(place, Slot::close),
            Effect::HandOff { place, target, token } => {
                self.mesh.hand_off(HandOff { place, target, token });
                Ok(())
            }
        }
    }

    fn change(&mut self, place: Place, event: impl FnOnce(&mut Slot) -> Step) -> io::Result<()> {
        let (ring, slot) = self.places.split(place);
        let ring = &mut self.rings[ring];
        let step = event(ring.slot(slot));
        ring.step(slot, step)
    }
}
