//! The way of a frame into outboxes. Owns the bound on output, and what crosses to other shards for the sockets whose
//! connections are there.

use std::cell::RefMut;
use std::sync::Arc;

use super::auto_response::AutoResponse;
use super::connection::Connection;
use super::core::Core;
use super::counters::ShardCounters;
use super::directory::ConnectionId;
use super::driver::Place;
use super::durable_object::SlowReader;
use super::output::{Output, Segment};
use super::remote::{COPIED_BYTES_MAX, Command, CommandBatch, Recipients};
use super::slab::{Key, Slab};
use super::socket::{Link, Socket};

/// How much more than the bound a socket may queue within one turn, before the kernel was asked at all: a handler
/// that sends a large state to a client that reads well must not have it closed.
const UNTRIED_FACTOR: usize = 16;

/// The most that one socket may queue whatever is configured: positions in its outbox have 32 bits.
const QUEUED_BYTES_CEILING: usize = 1 << 30;

/// What became of a frame.
pub(crate) enum Queued {
    Yes,
    /// The socket takes no more frames.
    No,
    /// The bound is reached, and the policy is to close.
    Overflow,
}

/// The tables that queueing a frame needs, borrowed once for many frames.
pub(crate) struct Delivery<'a> {
    pub(crate) output: RefMut<'a, Output>,
    sockets: RefMut<'a, Slab<Socket>>,
    connections: RefMut<'a, Vec<Option<Connection>>>,
    dirty: RefMut<'a, Vec<Place>>,
    /// Far recipients, by shard.
    far: RefMut<'a, Vec<Vec<(Place, ConnectionId)>>>,
    has_far: bool,
    commands: RefMut<'a, Vec<CommandBatch>>,
    counters: &'a ShardCounters,
    policy: SlowReader,
    bytes_max: usize,
}

/// Puts a frame into an outbox; `false` when its bound is reached.
pub(crate) fn push_frame(
    place: Place,
    connection: &mut Connection,
    segment: Segment,
    output: &mut Output,
    dirty: &mut Vec<Place>,
    bytes_max: usize,
) -> bool {
    let factor = if connection.is_blocked { 1 } else { UNTRIED_FACTOR };
    if connection.outbox.queued_bytes() >= (bytes_max * factor).min(QUEUED_BYTES_CEILING) {
        return false;
    }
    connection.outbox.push(segment, output);
    if !connection.is_dirty && !connection.is_blocked {
        connection.is_dirty = true;
        dirty.push(place);
    }
    true
}

impl Delivery<'_> {
    /// Sends a frame to the far sockets among those it was queued for: once to each shard.
    pub(crate) fn ship(&mut self, segment: Segment) {
        if !self.has_far {
            return;
        }
        self.has_far = false;
        let frame = self.output.bytes(segment);
        let shared: Option<Arc<[u8]>> = (frame.len() > COPIED_BYTES_MAX).then(|| frame.into());
        for (targets, batch) in self.far.iter_mut().zip(self.commands.iter_mut()) {
            let to = match targets[..] {
                [] => continue,
                [(place, id)] => Recipients::One(place, id),
                _ => Recipients::Many(std::mem::take(targets)),
            };
            targets.clear();
            let command = match &shared {
                Some(frame) => Command::SharedFrame { to, frame: frame.clone() },
                None => Command::Frame { to, frame: batch.copy(frame) },
            };
            batch.commands.push(command);
        }
    }

    /// Puts a frame into the outbox of one socket.
    pub(crate) fn queue(&mut self, key: Key, segment: Segment) -> Queued {
        let Some(socket) = self.sockets.get_mut(key) else { return Queued::No };
        if socket.close.sent {
            return Queued::No;
        }
        let queued = match &mut socket.link {
            Link::Bound(place) => {
                let place = *place;
                let Some(Some(connection)) = self.connections.get_mut(place.0 as usize) else {
                    return Queued::No;
                };
                push_frame(place, connection, segment, &mut self.output, &mut self.dirty, self.bytes_max)
            }
            Link::Far(far) => {
                // The edge keeps the bound: it knows what waits.
                self.far[usize::from(far.shard.0)].push((far.place, far.id));
                self.has_far = true;
                return Queued::Yes;
            }
            Link::Pending(bytes) => {
                let fits = bytes.len() < self.bytes_max * UNTRIED_FACTOR;
                if fits {
                    bytes.extend_from_slice(self.output.bytes(segment));
                }
                fits
            }
            Link::Gone => return Queued::No,
        };
        match (queued, self.policy) {
            (true, _) => Queued::Yes,
            (false, SlowReader::Close) => Queued::Overflow,
            (false, SlowReader::DropNewest) => {
                self.counters.messages_dropped.add(1);
                Queued::No
            }
        }
    }
}

impl Core {
    pub(crate) fn delivery(&self, policy: SlowReader) -> Delivery<'_> {
        Delivery {
            output: self.output.borrow_mut(),
            sockets: self.sockets.borrow_mut(),
            connections: self.connections.borrow_mut(),
            dirty: self.dirty.borrow_mut(),
            far: self.far_recipients.borrow_mut(),
            has_far: false,
            commands: self.commands.borrow_mut(),
            counters: &self.counters,
            policy,
            bytes_max: self.settings().output_socket_bytes_max,
        }
    }

    /// Puts bytes that no policy may drop (a Close, a pong, an auto-response, a response) into an outbox.
    pub(crate) fn queue_bytes(&self, place: Place, bytes: &[u8]) {
        self.with_connection(place, |connection| self.queue_on(place, connection, bytes));
    }

    pub(crate) fn queue_on(&self, place: Place, connection: &mut Connection, bytes: &[u8]) {
        let mut output = self.output.borrow_mut();
        let segment = output.encoded(bytes);
        connection.outbox.push(segment, &mut output);
        if !connection.is_dirty && !connection.is_blocked {
            connection.is_dirty = true;
            self.dirty.borrow_mut().push(place);
        }
    }

    /// Queues a frame for one socket, wherever it is, if its bound allows; else the policy decides.
    pub(crate) fn queue_frame(
        &self,
        key: Key,
        policy: SlowReader,
        frame: impl FnOnce(&mut Output) -> Segment,
    ) -> bool {
        let queued = {
            let mut delivery = self.delivery(policy);
            let segment = frame(&mut delivery.output);
            let queued = delivery.queue(key, segment);
            delivery.ship(segment);
            delivery.output.discard_unused(segment);
            queued
        };
        if let Queued::Overflow = queued {
            self.close_slow_reader(key);
        }
        matches!(queued, Queued::Yes)
    }

    /// Queues the answer of an auto-response pair, which is output like any other.
    pub(crate) fn queue_auto_response(&self, key: Key, auto: &AutoResponse) {
        let policy = self.slow_reader_policy(key);
        self.queue_frame(key, policy, |output| output.encoded(&auto.frame));
    }

    pub(crate) fn slow_reader_policy(&self, key: Key) -> SlowReader {
        let object = self.sockets.borrow().get(key).map(|socket| socket.object);
        let class = object.and_then(|object| self.objects.borrow().get(object).map(|object| object.class));
        class.map_or(SlowReader::Close, |class| self.shared.classes[usize::from(class)].slow_reader)
    }

    /// Puts an encoded frame into an outbox; `false` when its bound is reached.
    pub(crate) fn queue_within_bound(&self, place: Place, connection: &mut Connection, frame: &[u8]) -> bool {
        let mut output = self.output.borrow_mut();
        let segment = output.encoded(frame);
        let bytes_max = self.settings().output_socket_bytes_max;
        let mut dirty = self.dirty.borrow_mut();
        let fits = push_frame(place, connection, segment, &mut output, &mut dirty, bytes_max);
        output.discard_unused(segment);
        fits
    }
}
