//! The way of a frame into outboxes. Owns the bound on output, and what crosses to other shards for the sockets whose
//! connections are there.

use std::cell::RefMut;
use std::sync::Arc;

use super::auto_response::AutoResponse;
use super::compression::Compressor;
use super::connection::{Connection, Phase};
use super::core::Core;
use super::directory::ConnectionId;
use super::driver::Place;
use super::durable_object::SlowReader;
use super::forms::Forms;
use super::output::Output;
use super::paged::Paged;
use super::planted::{Bug, is_planted};
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
    pub(crate) outboxes: Outboxes<'a>,
    sockets: RefMut<'a, Slab<Socket>>,
    connections: RefMut<'a, Paged<Connection>>,
    /// Far recipients, by shard.
    far: RefMut<'a, Vec<Vec<(Place, ConnectionId)>>>,
    has_far: bool,
    commands: RefMut<'a, Vec<CommandBatch>>,
    policy: SlowReader,
}

/// What putting frames into outboxes needs.
pub(crate) struct Outboxes<'a> {
    pub(crate) core: &'a Core,
    pub(crate) output: RefMut<'a, Output>,
    compressor: RefMut<'a, Compressor>,
    dirty: RefMut<'a, Vec<Place>>,
    /// When a socket is at its bound, if it is blocked.
    pub(crate) bytes_max: usize,
}

impl Outboxes<'_> {
    /// Puts a message into an outbox, unless that is at its bound: then the policy says what becomes of it.
    pub(crate) fn push(
        &mut self,
        place: Place,
        connection: &mut Connection,
        policy: SlowReader,
        forms: &mut Forms<'_>,
    ) -> Queued {
        if connection.outbox.queued_bytes() >= self.bytes_max
            && let Some(instead) = self.at_bound(place, connection, policy, forms)
        {
            return instead;
        }
        self.append(place, connection, forms);
        Queued::Yes
    }

    /// What becomes of a message for a socket that has much waiting; `None` if it may still be queued.
    #[cold]
    fn at_bound(
        &mut self,
        place: Place,
        connection: &mut Connection,
        policy: SlowReader,
        forms: &mut Forms<'_>,
    ) -> Option<Queued> {
        if is_planted(Bug::OutputBoundIgnored) {
            return None;
        }
        let factor = if connection.is_blocked { 1 } else { UNTRIED_FACTOR };
        let bytes_max = self.bytes_max.saturating_mul(factor).min(QUEUED_BYTES_CEILING);
        let is_full = connection.outbox.queued_bytes() >= bytes_max;
        match forms.key() {
            Some(key) if is_full || connection.keeps => {
                return Some(self.keep(place, connection, key, forms));
            }
            // The client reads again. What comes now goes behind what waits.
            None if !is_full && connection.keeps => self.release(place, connection, bytes_max),
            _ => {}
        }
        let is_full = connection.outbox.queued_bytes() >= bytes_max;
        is_full.then(|| self.refuse(policy))
    }

    fn refuse(&self, policy: SlowReader) -> Queued {
        match policy {
            // A message without a key is one that the client must not miss.
            SlowReader::Close | SlowReader::KeepLatest => Queued::Overflow,
            SlowReader::DropNewest => {
                self.core.counters.messages_dropped.add(1);
                Queued::No
            }
        }
    }

    /// Puts a message into an outbox, in the form that its connection wants.
    pub(crate) fn append(&mut self, place: Place, connection: &mut Connection, forms: &mut Forms<'_>) {
        let segment = match &connection.phase {
            Phase::Open(open) => {
                forms.for_connection(place, open.agreed, &mut self.compressor, &mut self.output)
            }
            _ => forms.plain(&mut self.output),
        };
        connection.outbox.push(segment, &mut self.output);
        if !connection.is_dirty && !connection.is_blocked {
            connection.is_dirty = true;
            self.dirty.push(place);
        }
    }
}

impl Delivery<'_> {
    /// Sends a message to the far sockets among those it was queued for: once to each shard.
    pub(crate) fn ship(&mut self, forms: &mut Forms<'_>) {
        if !self.has_far {
            return;
        }
        self.has_far = false;
        let key = forms.key();
        let segment = forms.plain(&mut self.outboxes.output);
        let frame = self.outboxes.output.bytes(segment);
        let shared: Option<Arc<[u8]>> = (frame.len() > COPIED_BYTES_MAX).then(|| frame.into());
        for (targets, batch) in self.far.iter_mut().zip(self.commands.iter_mut()) {
            let to = match targets[..] {
                [] => continue,
                [(place, id)] => Recipients::One(place, id),
                _ => Recipients::Many(std::mem::take(targets)),
            };
            targets.clear();
            let command = match &shared {
                Some(frame) => Command::SharedFrame { to, frame: frame.clone(), key },
                None => Command::Frame { to, frame: batch.copy(frame), key },
            };
            batch.commands.push(command);
        }
    }

    /// The socket at a position of a roster.
    pub(crate) fn key_at(&self, position: u32) -> Option<Key> {
        self.sockets.key_at(position)
    }

    /// Puts a message into the outbox of one socket.
    pub(crate) fn queue(&mut self, key: Key, forms: &mut Forms<'_>) -> Queued {
        let Some(socket) = self.sockets.get_mut(key) else { return Queued::No };
        if socket.close.sent {
            return Queued::No;
        }
        match &mut socket.link {
            Link::Bound(place) => {
                let place = *place;
                let Some(connection) = self.connections.get_mut(place.0 as usize) else {
                    return Queued::No;
                };
                self.outboxes.push(place, connection, self.policy, forms)
            }
            Link::Far(far) => {
                // The edge keeps the bound: it knows what waits.
                let far = far.connection;
                self.far[usize::from(far.shard.0)].push((far.place, far.id));
                self.has_far = true;
                Queued::Yes
            }
            Link::Pending(early) => {
                let bytes_max =
                    self.outboxes.bytes_max.saturating_mul(UNTRIED_FACTOR).min(QUEUED_BYTES_CEILING);
                let early = early.get_or_insert_default();
                match forms.key() {
                    _ if early.frames.len() < bytes_max => {
                        // What the client will agree to is not known yet.
                        let segment = forms.plain(&mut self.outboxes.output);
                        early.frames.extend_from_slice(self.outboxes.output.bytes(segment));
                        Queued::Yes
                    }
                    Some(key) => self.outboxes.keep_in(&mut early.kept, key, forms),
                    None => self.outboxes.refuse(self.policy),
                }
            }
            Link::Gone => Queued::No,
        }
    }
}

impl Core {
    pub(crate) fn delivery(&self, policy: SlowReader) -> Delivery<'_> {
        Delivery {
            outboxes: self.outboxes(),
            sockets: self.sockets.borrow_mut(),
            connections: self.connections.borrow_mut(),
            far: self.far_recipients.borrow_mut(),
            has_far: false,
            commands: self.commands.borrow_mut(),
            policy,
        }
    }

    pub(crate) fn outboxes(&self) -> Outboxes<'_> {
        Outboxes {
            core: self,
            output: self.output.borrow_mut(),
            compressor: self.compressor.borrow_mut(),
            dirty: self.dirty.borrow_mut(),
            bytes_max: self.settings().output_socket_bytes_max.min(QUEUED_BYTES_CEILING),
        }
    }

    /// Puts bytes that no policy may drop (a Close, a pong, an auto-response, a response) into an outbox.
    pub(crate) fn queue_bytes(&self, place: Place, bytes: &[u8]) {
        self.with_connection(place, |connection| self.queue_on(place, connection, bytes));
    }

    // RFC 7692 6.1: control frames are never compressed; an auto-response is encoded already
    pub(crate) fn queue_on(&self, place: Place, connection: &mut Connection, bytes: &[u8]) {
        let mut output = self.output.borrow_mut();
        let segment = output.encoded(bytes);
        connection.outbox.push(segment, &mut output);
        if !connection.is_dirty && !connection.is_blocked {
            connection.is_dirty = true;
            self.dirty.borrow_mut().push(place);
        }
    }

    /// Queues a Close. What waits under keys was sent before it, and leaves before it.
    pub(crate) fn queue_close(&self, place: Place, frame: &[u8]) {
        self.with_connection(place, |connection| {
            if connection.keeps {
                self.outboxes().release(place, connection, usize::MAX);
            }
            self.queue_on(place, connection, frame);
        });
    }

    /// Moves what waits under keys behind what waits for the kernel, as far as the bound allows.
    pub(crate) fn release_kept(&self, place: Place, connection: &mut Connection) {
        let mut outboxes = self.outboxes();
        let bytes_max = outboxes.bytes_max;
        outboxes.release(place, connection, bytes_max);
    }

    /// Queues a message for one socket, wherever it is, if its bound allows; else the policy decides.
    pub(crate) fn queue_forms(&self, key: Key, policy: SlowReader, mut forms: Forms<'_>) -> bool {
        let queued = {
            let mut delivery = self.delivery(policy);
            let queued = delivery.queue(key, &mut forms);
            delivery.ship(&mut forms);
            forms.discard_unused(&mut delivery.outboxes.output);
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
        self.queue_forms(key, policy, Forms::of_frame(&auto.frame));
    }

    pub(crate) fn slow_reader_policy(&self, key: Key) -> SlowReader {
        let object = self.sockets.borrow().get(key).map(|socket| socket.object);
        let class = object.and_then(|object| self.objects.borrow().get(object).map(|object| object.class));
        class.map_or(SlowReader::Close, |class| self.shared.classes[usize::from(class)].slow_reader)
    }

    /// Puts an encoded frame into an outbox; `false` when its bound is reached.
    pub(crate) fn queue_within_bound(&self, place: Place, connection: &mut Connection, frame: &[u8]) -> bool {
        let mut outboxes = self.outboxes();
        let mut forms = Forms::of_frame(frame);
        let queued = outboxes.push(place, connection, SlowReader::Close, &mut forms);
        forms.discard_unused(&mut outboxes.output);
        matches!(queued, Queued::Yes)
    }
}
