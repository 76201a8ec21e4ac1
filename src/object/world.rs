//! The face of the object layer towards a driver: events and ticks in, effects out. Owns the order of work within a
//! turn; every rule stands elsewhere.

use core::net::IpAddr;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll};

use super::connection::Phase;
use super::core::Core;
use super::driver::{Effects, Now, Place, ShardId, Transmit};
use super::mesh::MeshMessage;
use super::tasks::{DriverWaker, TaskKind};
use super::timers::Timer;

/// How many rounds of ready tasks one turn runs before it lets the sockets speak again.
const ROUNDS_MAX: usize = 64;

/// One shard's world: connections, sockets, objects. Deterministic: the same calls in the same order do the same.
///
/// A turn of a driver. A whole driver, if a small one, stands at the module [`driver`](super::driver).
///
/// ```no_run
/// # use dormouse::object::driver::{Effects, Now, Place, Transmit};
/// # use dormouse::object::mesh::MeshMessage;
/// # use Completion::*;
/// # enum Completion { Accepted(Place), Received(Place, Vec<u8>), Lost(Place), Writable(Place),
/// #     Closed(Place) }
/// # struct Turn { now: Now, completions: Vec<Completion>, inbox: Vec<MeshMessage> }
/// # fn example<T: Transmit>(world: &dormouse::object::World, Turn { now, completions, inbox }: Turn,
/// #     kernel: &mut T, effects: &mut Effects, carry_out: fn(&mut Effects), sleep: fn(Option<u64>)) {
/// world.set_now(now);
/// for completion in completions {
///     match completion {
///         Accepted(place) => world.handle_accepted(place),
///         Received(place, mut bytes) => world.handle_received(place, &mut bytes),
///         Lost(place) => world.handle_lost(place),
///         Writable(place) => world.handle_writable(place),
///         Closed(place) => world.handle_closed(place),
///     }
/// }
/// for message in inbox {
///     world.handle_mesh(message);
/// }
/// world.run();
/// world.flush(kernel);
/// world.take_effects(effects);
/// carry_out(effects);
/// if !world.has_ready() {
///     sleep(world.next_deadline_ms());
/// }
/// # }
/// ```
pub struct World {
    core: Rc<Core>,
}

impl World {
    pub(crate) fn of(core: Rc<Core>) -> World {
        World { core }
    }

    /// Sets the time; once at the beginning of a turn.
    pub fn set_now(&self, now: Now) {
        self.core.now.set(now);
        self.core.compressor.borrow_mut().set_now(now.monotonic_ms);
    }

    /// Sets what wakes the driver when a handler is woken from another thread.
    ///
    /// ```no_run
    /// # fn example(world: &dormouse::object::World) {
    /// let driver = std::thread::current();
    /// world.set_waker(std::sync::Arc::new(move || driver.unpark()));
    /// # }
    /// ```
    pub fn set_waker(&self, waker: DriverWaker) {
        self.core.tasks.set_driver_waker(waker);
    }

    /// A connection was accepted.
    pub fn handle_accepted(&self, place: Place) {
        self.core.accepted(place);
    }

    /// A connection was accepted from this address; from `None` when it was gone before that could be found out.
    /// A driver says so instead of [`World::handle_accepted`] when the connections of one address are limited.
    ///
    /// ```no_run
    /// # fn example(world: &dormouse::object::World, place: dormouse::object::driver::Place) {
    /// world.handle_accepted_from(place, Some("192.0.2.1".parse().unwrap()));
    /// # }
    /// ```
    pub fn handle_accepted_from(&self, place: Place, address: Option<IpAddr>) {
        self.core.accepted_from(place, address);
    }

    /// Bytes have arrived. Frames are unmasked where they lie.
    pub fn handle_received(&self, place: Place, bytes: &mut [u8]) {
        let is_open = self.core.with_connection(place, |connection| match &connection.phase {
            Phase::Http(_) => Some(false),
            Phase::Open(_) => Some(true),
            Phase::Leaving { .. } | Phase::Closing => None,
        });
        match is_open {
            Some(Some(true)) => self.core.receive_frames(place, bytes),
            Some(Some(false)) => self.core.receive_request_bytes(place, bytes),
            Some(None) | None => {}
        }
    }

    /// Nothing more will be received: end of stream, or an error.
    pub fn handle_lost(&self, place: Place) {
        self.core.connection_ended(place);
    }

    /// The kernel takes bytes again.
    pub fn handle_writable(&self, place: Place) {
        self.core.writable(place);
    }

    /// An [`Effect::Close`](super::driver::Effect::Close) was carried out; the place is free.
    pub fn handle_closed(&self, place: Place) {
        let id = self.core.with_connection(place, |connection| connection.id);
        if let Some(id) = id {
            self.core.forget_connection(id);
        }
        self.core.remove_connection(place);
    }

    /// The descriptor of a hand-off has left; the place is free.
    ///
    /// The way of a connection from this shard to another:
    ///
    /// ```no_run
    /// # use dormouse::object::driver::{Effect, Place, ShardId};
    /// # fn example(here: &dormouse::object::World, there: &dormouse::object::World, effect: Effect,
    /// #     pass: fn(Place, ShardId) -> Option<Place>) {
    /// # let this_shard = ShardId(0);
    /// if let Effect::HandOff { place, target, token } = effect {
    ///     match pass(place, target) {
    ///         Some(place_there) => {
    ///             here.handle_handed_off(token);
    ///             there.handle_handed_over(this_shard, token, place_there);
    ///         }
    ///         None => here.handle_hand_off_failed(token, place),
    ///     }
    /// }
    /// # }
    /// ```
    pub fn handle_handed_off(&self, token: u32) {
        self.core.handed_off(token);
    }

    /// The descriptor of a hand-off could not be passed and is still here.
    pub fn handle_hand_off_failed(&self, token: u32, place: Place) {
        self.core.hand_off_failed(token, place);
    }

    /// The descriptor that belongs to a hand-off has arrived.
    pub fn handle_handed_over(&self, from: ShardId, token: u32, place: Place) {
        self.core.handed_over(from, token, place);
    }

    /// Another shard says something.
    pub fn handle_mesh(&self, message: MeshMessage) {
        let core = &self.core;
        match message {
            MeshMessage::Fetch(message) => {
                let super::mesh::FetchMessage { from, call, object, request, chain } = *message;
                let reply = Some(super::calls::Reply { shard: from, call });
                let fetch = super::calls::FetchEvent { request, reply, chain };
                core.deliver_fetch(&object, Box::new(fetch));
            }
            MeshMessage::Answer(message) => core.take_answer(message.call, message.answer),
            MeshMessage::HandOff(state) => {
                core.arriving.borrow_mut().insert((state.from, state.token), *state);
            }
            MeshMessage::HandOffAborted { from, token } => core.hand_off_aborted(from, token),
            MeshMessage::SocketAbandoned(socket) => core.socket_abandoned(socket.0),
            MeshMessage::Attached(attached) => core.attached(attached),
            MeshMessage::Events(batch) => core.take_reports(*batch),
            MeshMessage::Commands { from, batch } => core.carry_out(from, *batch),
            MeshMessage::Status(message) => {
                let status = core.status_of(&message.object);
                core.tell(message.from, MeshMessage::StatusAnswer { call: message.call, status });
            }
            MeshMessage::StatusAnswer { call, status } => core.take_status(call, status),
        }
    }

    /// Does what is due and runs what is ready.
    pub fn run(&self) {
        self.run_deadlines();
        let mut ready = self.core.tasks.take_buffer();
        for _ in 0..ROUNDS_MAX {
            self.settle();
            self.core.tasks.take_ready(&mut ready);
            if ready.is_empty() {
                break;
            }
            for task in ready.drain(..) {
                self.poll(task);
            }
        }
        self.core.tasks.put_buffer_back(ready);
        self.settle();
    }

    /// Follows up what handlers left behind: sockets nobody can use, objects that may sleep at once.
    fn settle(&self) {
        for (shard, socket) in std::mem::take(&mut *self.core.abandoned.borrow_mut()) {
            self.core.abandon(shard, socket);
        }
        self.core.finish_standard();
        if !self.core.tasks.has_ready() {
            for object in std::mem::take(&mut *self.core.quiet.borrow_mut()) {
                self.core.hibernate_if_idle(object);
            }
        }
    }

    fn run_deadlines(&self) {
        let core = &self.core;
        let now = core.now_ms();
        let mut due = Vec::new();
        core.wheel.borrow_mut().advance(now, &mut due);
        for place in due {
            core.look_at(place);
        }
        loop {
            let timer = core.timers.borrow_mut().pop_due(now);
            match timer {
                None => break,
                Some(Timer::Idle(object)) => core.hibernate_if_idle(object),
                Some(Timer::Event(object, number)) => core.event_timed_out(object, number),
                Some(Timer::Construction(object, number)) => core.construction_timed_out(object, number),
                Some(Timer::Retry(object)) => core.wake_object(object),
                Some(Timer::Tick(object, number)) => core.tick(object, number),
                Some(Timer::Batches(object)) => core.batches_due(object),
                Some(Timer::Sleep(call)) => core.end_sleep(call),
                Some(Timer::Call(call)) => core.time_out_call(call),
            }
        }
    }

    fn poll(&self, task: u32) {
        let core = &self.core;
        let Some((kind, mut future, waker)) = core.tasks.take(task) else { return };
        self.announce(kind);
        let polled = core.guarded(|| future.as_mut().poll(&mut TaskContext::from_waker(&waker)));
        core.watch.end();
        if let Some(Poll::Pending) = polled {
            let removed = core.tasks.put_back(task, future);
            core.drop_future(removed);
            if let TaskKind::Actor(object) = kind {
                core.actor_waits(object);
            }
            return;
        }
        let panicked = polled.is_none();
        core.tasks.finish(task);
        core.drop_future(Some(future));
        match kind {
            TaskKind::Actor(object) => core.actor_ended(object, panicked),
            TaskKind::Request(place, number) if panicked => core.request_panicked(place, number),
            TaskKind::Request(..) => {}
            TaskKind::Detached(object) => core.detached_ended(object),
        }
    }

    /// Tells the watchdog what is about to run.
    fn announce(&self, kind: TaskKind) {
        let objects = self.core.objects.borrow();
        let object = match kind {
            TaskKind::Actor(key) | TaskKind::Detached(key) => objects.get(key),
            TaskKind::Request(..) => None,
        };
        match object {
            Some(object) => self.core.watch.begin(Some((object.class, &object.id.bytes()))),
            None => self.core.watch.begin(None),
        }
    }

    /// Whether [`World::run`] would find something to do now.
    pub fn has_ready(&self) -> bool {
        self.core.tasks.has_ready()
    }

    /// Sends what was queued.
    pub fn flush(&self, transmit: &mut impl Transmit) {
        self.core.flush(transmit);
    }

    /// Moves what is to be done into `effects`, behind what is there.
    pub fn take_effects(&self, effects: &mut Effects) {
        self.core.ship_batches();
        let mut pending = self.core.effects.borrow_mut();
        effects.sockets.append(&mut pending.sockets);
        effects.mesh.append(&mut pending.mesh);
    }

    /// When [`World::run`] is to be called next though nothing arrives, in milliseconds of [`Now::monotonic_ms`].
    pub fn next_deadline_ms(&self) -> Option<u64> {
        let timers = self.core.timers.borrow().next_ms();
        let wheel = self.core.wheel.borrow().next_ms();
        timers.into_iter().chain(wheel).min()
    }

    /// Starts to end every connection: sockets with Close 1001, requests with their response.
    ///
    /// ```no_run
    /// # fn example(world: &dormouse::object::World, turn: fn()) {
    /// world.begin_drain();
    /// while !world.is_drained() {
    ///     turn();
    /// }
    /// # }
    /// ```
    pub fn begin_drain(&self) {
        self.core.is_draining.set(true);
        let objects: Vec<super::slab::Key> = self.core.objects.borrow().keys().collect();
        for object in objects {
            self.core.flush_batches(object);
        }
        let count = self.core.connections.borrow().len();
        for place in (0..count as u32).map(Place) {
            self.core.drain_connection(place);
        }
        self.core.drain_far_sockets();
    }

    /// Whether no connection is left.
    pub fn is_drained(&self) -> bool {
        self.core.counters.connections.get() == 0
    }
}

impl Drop for World {
    fn drop(&mut self) {
        // Objects hold the core, which holds them: cut the circle.
        for future in self.core.tasks.drain() {
            self.core.drop_future(Some(future));
        }
        let keys: Vec<super::slab::Key> = self.core.objects.borrow().keys().collect();
        for key in keys {
            let mailbox = self.core.mailbox_of(key);
            let instance = mailbox.instance.borrow_mut().take();
            self.core.guarded(|| drop(instance));
        }
    }
}
