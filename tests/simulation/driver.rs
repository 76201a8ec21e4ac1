//! The driver of a simulation: turns of shards, in which completions come late and out of order, messages between
//! shards dawdle, and the kernel takes and brings what it likes. Owns what a real driver may do to a world; what a
//! world may not do to its driver is a broken rule.
//!
//! Kept as the real driver keeps it: bytes of one socket in order, messages between two shards in order, a descriptor
//! never before the message that explains it, `Close` carried out only when nothing else is in flight.

use std::collections::VecDeque;

use dormouse::object::driver::{Effect, Effects, Now, Place, Receive, ShardId};
use dormouse::object::mesh::MeshMessage;
use dormouse::object::{WorldBuilder, WorldPlan};

use super::kernel::Kernel;
use super::pipe;
use super::plan::Faults;
use super::shard::{Completion, Shard, State};
use super::{trace, witness};
use crate::support::random::Random;

/// Rounds without the clock moving after which something goes in circles.
const ROUNDS_MAX: usize = 20_000;

/// What one shard sends another.
enum Parcel {
    Message(Box<MeshMessage>),
    Descriptor(u32, pipe::Shared),
}

pub struct Driver {
    pub shards: Vec<Shard>,
    pub plan: WorldPlan,
    pub now: Now,
    pub faults: Faults,
    random: Random,
    lanes: Vec<VecDeque<Parcel>>,
    effects: Effects,
}

impl Driver {
    pub fn new(builder: WorldBuilder, shards: u16, faults: Faults, random: Random) -> Driver {
        let plan = builder.build(shards);
        Driver {
            shards: (0..shards).map(|number| Shard::new(&plan, number)).collect(),
            now: Now { monotonic_ms: 1_000_000, wall_ms: 1_700_000_000_000 },
            faults,
            random,
            lanes: (0..usize::from(shards).pow(2)).map(|_| VecDeque::new()).collect(),
            effects: Effects::default(),
            plan,
        }
    }

    /// A client connects to a shard.
    pub fn connect(&mut self, shard: usize, pipe: pipe::Shared) {
        self.shards[shard].waiting.push(Completion::Accepted(pipe));
    }

    pub fn move_clock(&mut self, ms: u64) {
        self.now.monotonic_ms += ms;
        self.now.wall_ms += ms;
        trace::note(format_args!("clock {}", self.now.monotonic_ms));
    }

    /// One turn of each shard that is not slow just now, in some order.
    pub fn round(&mut self) {
        let mut order: Vec<usize> = (0..self.shards.len()).collect();
        self.random.shuffle(&mut order);
        for shard in order {
            if !self.random.percent(self.faults.slow_shard) {
                self.turn(shard);
            }
        }
    }

    /// Rounds until nothing happens any more at this time.
    pub fn settle(&mut self) {
        for _ in 0..ROUNDS_MAX {
            self.round();
            if (0..self.shards.len()).all(|shard| !self.has_work(shard)) {
                return;
            }
        }
        panic!("it never settles");
    }

    /// Lets time pass, stopping at each deadline on the way.
    pub fn advance(&mut self, ms: u64) {
        let end = self.now.monotonic_ms + ms;
        loop {
            self.settle();
            let next = self.shards.iter().filter_map(|shard| shard.world.next_deadline_ms()).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            assert!(next > self.now.monotonic_ms, "a deadline that has come was not seen to");
            self.move_clock(next - self.now.monotonic_ms);
        }
        self.move_clock(end - self.now.monotonic_ms);
        self.settle();
    }

    fn has_work(&self, shard: usize) -> bool {
        let this = &self.shards[shard];
        this.has_completions()
            || this.world.has_ready()
            || this.world.next_deadline_ms().is_some_and(|deadline| deadline <= self.now.monotonic_ms)
            || (0..self.shards.len()).any(|from| !self.lanes[from * self.shards.len() + shard].is_empty())
    }

    fn turn(&mut self, shard: usize) {
        trace::note(format_args!("turn {shard}"));
        witness::with(|witness| witness.now = self.now);
        self.shards[shard].world.set_now(self.now);
        // Which of the two comes first is the driver's own affair.
        if self.random.percent(50) {
            self.take_messages(shard);
            self.take_completions(shard);
        } else {
            self.take_completions(shard);
            self.take_messages(shard);
        }
        // Deadlines come before handlers.
        witness::with(|witness| witness.old_batches_leave(shard));
        self.shards[shard].world.run();
        witness::with(|witness| witness.holds_batches(shard, &self.shards[shard].counters));
        self.carry_out(shard);
        let Shard { world, places, .. } = &self.shards[shard];
        let (faults, random) = (&self.faults, &mut self.random);
        world.flush(&mut Kernel {
            shard,
            places,
            short: faults.short,
            now_ms: self.now.monotonic_ms,
            random,
        });
        self.carry_out(shard);
    }

    fn take_messages(&mut self, shard: usize) {
        let count = self.shards.len();
        for from in 0..count {
            let lane = &mut self.lanes[from * count + shard];
            let mut arriving = lane.len();
            if arriving > 0 && self.random.percent(self.faults.slow_mesh) {
                arriving = self.random.below(arriving + 1);
            }
            for parcel in lane.drain(..arriving) {
                match parcel {
                    Parcel::Message(message) => {
                        trace::note(format_args!("{shard} hears of {from}: {}", trace::name(&message)));
                        self.shards[shard].world.handle_mesh(*message);
                    }
                    Parcel::Descriptor(token, pipe) => {
                        let arrived = Completion::HandedOver(ShardId(from as u16), token, pipe);
                        self.shards[shard].waiting.push(arrived);
                    }
                }
            }
        }
    }

    fn take_completions(&mut self, shard: usize) {
        let mut completions = self.shards[shard].completions(self.random.percent(self.faults.late_bytes));
        self.random.shuffle(&mut completions);
        for completion in completions {
            let is_deferred = self.random.percent(self.faults.deferred);
            match completion {
                // Found anew next time.
                Completion::Receive(_) | Completion::Writable(_) if is_deferred => {}
                later if is_deferred => self.shards[shard].waiting.push(later),
                this => self.complete(shard, this),
            }
        }
    }

    fn complete(&mut self, shard: usize, completion: Completion) {
        trace::note(format_args!("{shard} {completion:?}"));
        let this = &mut self.shards[shard];
        match completion {
            Completion::Accepted(pipe) => {
                let place = this.occupy(pipe);
                this.world.handle_accepted(place);
            }
            Completion::Closed(place) => {
                this.free(place);
                this.world.handle_closed(place);
            }
            Completion::HandedOff(token, place) => {
                this.free(place);
                this.world.handle_handed_off(token);
            }
            Completion::HandOffFailed(token, place) => {
                this.places[place.0 as usize].as_mut().expect("it is still here").state = State::Open;
                this.world.handle_hand_off_failed(token, place);
            }
            Completion::HandedOver(from, token, pipe) => {
                let place = this.occupy(pipe);
                this.world.handle_handed_over(from, token, place);
            }
            Completion::Receive(place) => self.receive(shard, place),
            Completion::Writable(place) => {
                if let Some(held) = &mut this.places[place.0 as usize]
                    && std::mem::take(&mut held.awaits_writable)
                {
                    this.world.handle_writable(place);
                }
            }
        }
    }

    fn receive(&mut self, shard: usize, place: Place) {
        loop {
            let this = &mut self.shards[shard];
            let Some(held) = &mut this.places[place.0 as usize] else { return };
            let is_late = std::mem::take(&mut held.is_late);
            if held.state != State::Open || held.armed.is_none() && !is_late {
                return;
            }
            let mut pipe = held.pipe.borrow_mut();
            if !pipe.is_receivable() {
                return;
            }
            if pipe.up.is_empty() {
                if held.armed.is_none() {
                    return;
                }
                drop(pipe);
                (held.armed, held.is_lost) = (None, true);
                this.world.handle_lost(place);
                return;
            }
            let mut length = pipe.up.len();
            if self.random.percent(self.faults.segmented) {
                length = 1 + self.random.below(length);
            }
            let mut bytes: Vec<u8> = pipe.up.drain(..length).collect();
            pipe.last_up_ms = self.now.monotonic_ms;
            trace::bytes(format_args!("{shard} client {} at {}", pipe.number, place.0), &bytes);
            drop(pipe);
            let is_last = held.armed != Some(Receive::Multishot);
            if is_last {
                held.armed = None;
            }
            this.world.handle_received(place, &mut bytes);
            if is_last || self.random.percent(30) {
                return;
            }
            // What a handler or a deadline has asked for is seen by the kernel only when the turn has ended.
        }
    }

    fn carry_out(&mut self, shard: usize) {
        let mut effects = std::mem::take(&mut self.effects);
        self.shards[shard].world.take_effects(&mut effects);
        let count = self.shards.len();
        for (to, message) in effects.mesh.drain(..) {
            assert_ne!(usize::from(to.0), shard, "a shard does not write to itself");
            trace::note(format_args!("{shard} tells {}: {}", to.0, trace::name(&message)));
            self.lanes[shard * count + usize::from(to.0)].push_back(Parcel::Message(Box::new(message)));
        }
        for effect in effects.sockets.drain(..) {
            trace::note(format_args!("{shard} {effect:?}"));
            self.carry_out_one(shard, effect);
        }
        self.effects = effects;
    }

    fn carry_out_one(&mut self, from: usize, effect: Effect) {
        let count = self.shards.len();
        let shard = &mut self.shards[from];
        match effect {
            Effect::Receive(place, kind) => {
                let held = shard.held(place);
                if !held.is_lost {
                    held.armed = Some(kind);
                }
            }
            Effect::Pause(place) => {
                let held = shard.held(place);
                held.is_late = held.armed.take() == Some(Receive::Multishot);
            }
            Effect::AwaitWritable(place) => shard.held(place).awaits_writable = true,
            Effect::ShutdownWrite(place) => shard.held(place).pipe.borrow_mut().server_fin = true,
            Effect::Close(place) => {
                let held = shard.held(place);
                (held.state, held.armed, held.awaits_writable) = (State::Closing, None, false);
                let mut pipe = held.pipe.borrow_mut();
                (pipe.server_closed, pipe.closed_ms) = (true, self.now.monotonic_ms);
                drop(pipe);
                shard.waiting.push(Completion::Closed(place));
            }
            Effect::HandOff { place, target, token } => {
                let held = shard.held(place);
                assert!(held.armed.is_none(), "no receive is in flight when a socket moves");
                held.state = State::Leaving;
                if self.random.percent(self.faults.hand_off_fails) {
                    shard.waiting.push(Completion::HandOffFailed(token, place));
                    return;
                }
                let pipe = held.pipe.clone();
                shard.waiting.push(Completion::HandedOff(token, place));
                let lane = &mut self.lanes[from * count + usize::from(target.0)];
                lane.push_back(Parcel::Descriptor(token, pipe));
            }
        }
    }
}
