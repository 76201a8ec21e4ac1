//! One turn of a shard, and the moment before it sleeps.
//!
//! Owns the order of a turn:
//!
//! ```text
//!   time -> completions -> messages -> world.run -> effects -> world.flush -> effects -> accept -> submit
//! ```
//!
//! What arrived is handled before the world runs, so that one run answers all of it; what the run queued leaves
//! with one send a socket. The submission at the end also runs the kernel's deferred work, so that the next turn
//! finds its completions without a call of its own.

use std::io;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::Duration;

use super::clock::Clock;
use super::data_ring::DataRing;
use super::drain::Drain;
use super::driven::Driven;
use super::hand_off::Passing;
use super::listener::{Listener, ListenerStep};
use super::mesh::Mesh;
use super::places::Places;
use super::ports::{Port, RingPort};
use super::request::Request;
use super::rest::Rest;
use super::ring::Completion;
use super::stats::ShardStats;
use super::sys;
use super::timer::Timer;
use super::transmit::{GatherLists, Sender};
use crate::object::driver::{Effects, Now, ShardId};
use crate::object::mesh::MeshMessage;

/// What all shards of a process share.
pub(super) struct Shared {
    /// One for each shard, in order.
    pub(super) ports: Box<[Port]>,
    /// One for each shard, in order.
    pub(super) stats: Box<[Arc<ShardStats>]>,
    /// When and whether the shards are to end.
    pub(super) drain: Drain,
    /// The clock that all read.
    pub(super) clock: Clock,
}

impl Shared {
    /// Wakes every shard that sleeps.
    pub(super) fn ring_all(&self) {
        for port in &self.ports {
            port.bell.ring();
        }
    }
}

/// A shard: its world, its rings, and what it has for others.
pub(super) struct Driver<W> {
    pub(super) shard: ShardId,
    pub(super) shared: Arc<Shared>,
    pub(super) stats: Arc<ShardStats>,
    pub(super) world: W,
    pub(super) rings: Vec<DataRing>,
    pub(super) places: Places,
    pub(super) listener: Listener,
    pub(super) mesh: Mesh,
    pub(super) passing: Passing,
    pub(super) timer: Timer,
    pub(super) rest: Rest,
    pub(super) lists: GatherLists,
    pub(super) send_batch: usize,
    /// Whether the world is told where connections come from.
    pub(super) peer_addresses: bool,
    /// The time of this turn.
    pub(super) now: Now,
    /// Whether the first ring waits for the bell.
    pub(super) hears_bell: bool,
    /// Whether the world is closing its sockets.
    pub(super) draining: bool,
    /// Whether the world was told something after it ran, so that another turn is needed.
    pub(super) again: bool,
    pub(super) effects: Effects,
    pub(super) completions: Vec<Completion>,
    pub(super) messages: Vec<MeshMessage>,
}

/// What a turn came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Turn {
    /// Something had arrived.
    Busy,
    /// Nothing had.
    Quiet,
    /// It was the last: the shard has drained, or its time is over.
    Last,
}

/// What a shard is made of before it may accept.
pub(super) struct Parts<W> {
    pub(super) shard: ShardId,
    pub(super) shared: Arc<Shared>,
    pub(super) world: W,
    pub(super) rings: Vec<DataRing>,
    pub(super) connections_per_ring: u32,
    pub(super) send_batch: usize,
    pub(super) peer_addresses: bool,
}

impl<W: Driven> Driver<W> {
    /// A shard that has not turned yet.
    pub(super) fn new(parts: Parts<W>, listener: Listener) -> Self {
        let Parts { shard, shared, world, rings, connections_per_ring, send_batch, peer_addresses } = parts;
        Self {
            shard,
            stats: shared.stats[usize::from(shard.0)].clone(),
            world,
            rings,
            places: Places::new(connections_per_ring),
            listener,
            mesh: Mesh::new(shard, shared.ports.len()),
            passing: Passing::default(),
            timer: Timer::new(),
            rest: Rest::default(),
            lists: GatherLists::new(),
            send_batch,
            peer_addresses,
            now: Now::default(),
            hears_bell: false,
            draining: false,
            again: false,
            effects: Effects::default(),
            completions: Vec::new(),
            messages: Vec::new(),
            shared,
        }
    }

    /// Does everything that can be done now, once.
    pub(super) fn turn(&mut self) -> io::Result<Turn> {
        self.now = self.shared.clock.read();
        self.world.set_now(self.now);
        self.again = false;
        let all_drained = self.begin_drain_if_asked();
        let mut found = usize::from(self.world.has_ready());
        // What a shard far ahead of another takes in would only pile up.
        if !self.mesh.is_congested() {
            found += self.reap()?;
        }
        found += self.take_messages();
        self.world.run();
        self.carry_out_effects()?;
        self.flush()?;
        self.carry_out_effects()?;
        self.accept()?;
        self.submit()?;
        self.count(found);
        if self.is_over(all_drained) {
            return Ok(Turn::Last);
        }
        Ok(if found > 0 { Turn::Busy } else { Turn::Quiet })
    }

    /// Whether a turn would find something.
    pub(super) fn has_work(&mut self) -> io::Result<bool> {
        if self.again || self.world.has_ready() || !self.port().inbox.is_empty() {
            return Ok(true);
        }
        Ok(!self.mesh.is_congested() && self.has_arrived()?)
    }

    fn has_arrived(&mut self) -> io::Result<bool> {
        for ring in &mut self.rings {
            if ring.ring.has_arrived()? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Lets completions gather for as long as `wait` before the next turn.
    pub(super) fn pace(&mut self, wait: Duration) -> io::Result<()> {
        self.rings[0].ring.submit_and_gather(wait)
    }

    /// Prepares to be woken by whatever arrives. Whether to sleep: not if something just has.
    ///
    /// The shard sleeps in its first ring, which wakes it by itself: two system calls an answer to a lone client, and
    /// not five. Other rings and other threads wake it through the bell, which the first ring polls.
    pub(super) fn fall_asleep(&mut self) -> io::Result<bool> {
        self.rest();
        self.aim_timer()?;
        self.hear_bell()?;
        self.port().bell.doze();
        if !self.mesh.is_congested() {
            self.rings[1..].iter_mut().for_each(|ring| ring.ring.doze());
        }
        let asked_to_drain = !self.draining && self.shared.drain.deadline_ms().is_some();
        if !asked_to_drain && !self.has_work()? {
            return Ok(true);
        }
        self.rise();
        Ok(false)
    }

    /// Sleeps until something arrives, or for as long as `at_most`. Whether something has; a signal may end it early.
    pub(super) fn sleep(&mut self, at_most: Option<Duration>) -> io::Result<bool> {
        if !self.mesh.is_congested() {
            return self.rings[0].ring.wait(at_most);
        }
        // What has arrived on the rings stays there until other shards have caught up, and must not end the sleep.
        let bell = &self.port().bell;
        let rang = bell.nap(at_most.unwrap_or(Duration::MAX))?;
        bell.silence();
        Ok(rang)
    }

    /// The sleep is over.
    pub(super) fn wake(&mut self) {
        self.rise();
        self.stats.wakes.add(1);
    }

    /// From here on nobody needs to wake the shard.
    fn rise(&mut self) {
        self.rings[1..].iter_mut().for_each(|ring| ring.ring.awake());
        self.port().bell.awake();
    }

    fn hear_bell(&mut self) -> io::Result<()> {
        if self.hears_bell {
            return Ok(());
        }
        self.hears_bell = true;
        let request = Request::await_bell(self.port().bell.as_fd());
        self.rings[0].queue(request)?;
        self.rings[0].ring.submit()
    }

    /// What others see of this shard.
    pub(super) fn port(&self) -> &Port {
        &self.shared.ports[usize::from(self.shard.0)]
    }

    /// What others see of one of this shard's rings.
    pub(super) fn ring_port(&self, ring: usize) -> &RingPort {
        &self.port().rings()[ring]
    }

    /// Gives back what only work needs, when there has been none for long enough.
    fn rest(&mut self) {
        let worth = self.rest.look(self.now.monotonic_ms, &self.stats);
        if worth.buffers {
            self.rings.iter_mut().for_each(DataRing::rest);
        }
        if worth.heap {
            sys::trim_heap();
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        let mut sender = Sender {
            rings: &mut self.rings,
            places: self.places,
            lists: &mut self.lists,
            stats: &self.stats,
            send_batch: self.send_batch,
            broken: Ok(()),
        };
        self.world.flush(&mut sender);
        sender.broken
    }

    fn accept(&mut self) -> io::Result<()> {
        let ports = self.shared.ports[usize::from(self.shard.0)].rings();
        let step = self.listener.next(self.now.monotonic_ms, |ring| ports[ring].free(), ports.len());
        let Some(step) = step else { return Ok(()) };
        let Some(socket) = self.listener.socket() else { return Ok(()) };
        let (ring, request) = match step {
            ListenerStep::AcceptMany(ring) => (ring, Request::accept_many(socket)),
            ListenerStep::AcceptOne(ring) => (ring, Request::accept_one(socket)),
            ListenerStep::Cancel(ring) => (ring, Request::cancel_accept()),
        };
        self.rings[ring].queue(request)
    }

    fn submit(&mut self) -> io::Result<()> {
        for ring in &mut self.rings {
            if ring.ring.queued() > 0 {
                ring.ring.submit_and_reap()?;
            }
        }
        Ok(())
    }

    fn aim_timer(&mut self) -> io::Result<()> {
        let drain_ms = self.shared.drain.deadline_ms();
        let listener_ms = self.listener.deadline_ms(self.now.monotonic_ms);
        let deadlines_ms = [self.world.next_deadline_ms(), listener_ms, drain_ms, self.rest.deadline_ms()];
        let Some(deadline_ms) = deadlines_ms.into_iter().flatten().min() else { return Ok(()) };
        let Some(request) = self.timer.aim(deadline_ms, self.now.monotonic_ms) else { return Ok(()) };
        self.rings[0].queue(request)?;
        self.rings[0].ring.submit()
    }

    fn count(&mut self, found: usize) {
        self.stats.turns.add(1);
        self.stats.turns_busy.add(u64::from(found > 0));
        for ring in &mut self.rings {
            self.stats.enters.add(ring.ring.take_enters());
            self.stats.completion_overflows.add(ring.ring.take_overflows());
        }
    }
}
