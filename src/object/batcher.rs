//! Messages that leave in batches. Owns when a batch is begun and when it leaves, and its order against everything else
//! that an object says; that it leaves as any broadcast does is the broadcast's affair.
//!
//! ```text
//!   push --encoded--> the address's batch --+-- full: at once
//!                                           +-- flush, or a send or broadcast to the same address: before it
//!                                           +-- a socket of the address is closed, the instance fails: before that
//!                                           +-- the oldest of too much that waits: at once
//!                                           +-- old enough: by the object's timer
//! ```
//!
//! A batch belongs to the record of its object, not to the instance: what was pushed is as good as sent.

use std::rc::Rc;

use serde::Serialize;

use super::batches::{Address, Batches, OBJECT_BYTES_MAX, SHARD_BYTES_MAX, Waiting};
use super::batching::Batching;
use super::broadcast::Broadcast;
use super::core::Core;
use super::error::ApiError;
use super::message::Message;
use super::planted::{Bug, is_planted};
use super::slab::Key;
use super::timers::Timer;
use crate::wire::{BatchFormat, BatchWriter, encode_batch_item};

/// Buffers of batches that left which a shard keeps for the next, and the largest of them.
const SPARE_BUFFERS_MAX: usize = 8;
const SPARE_BYTES_MAX: usize = 64 << 10;

/// The messages that wait for one address: everybody, a tag, or one socket; see [`Context::batch`](super::Context::batch)
/// and [`WebSocket::batch`](super::WebSocket::batch). A handle, good for as long as the object is there.
///
/// ```no_run
/// # fn example(ctx: dormouse::Context, ws: dormouse::WebSocket) -> Result<(), dormouse::ApiError> {
/// ctx.batch(None).push(&("eaten", 3))?;
/// let reds = ctx.batch(Some("red"));
/// for step in 0..10_u8 {
///     reds.push(&("step", step))?;
/// }
/// ws.batch().push("only for you")?;
/// // All of it leaves when it is old enough, in three envelopes; this one leaves now.
/// println!("{} of the red ones hear of it at once", reds.flush());
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing is in a batch before `push`"]
pub struct Batcher<'a> {
    of: Of<'a>,
}

enum Of<'a> {
    Object(Rc<Core>, Key, Address<&'a str>),
    Socket(Rc<Core>, Key),
    /// A socket that was not accepted.
    Nobody,
}

impl<'a> Batcher<'a> {
    pub(crate) fn of_object(core: &Rc<Core>, object: Key, tag: Option<&'a str>) -> Batcher<'a> {
        Batcher { of: Of::Object(core.clone(), object, tag.map_or(Address::Everyone, Address::Tag)) }
    }

    pub(crate) fn of_socket(located: Option<(Rc<Core>, Key)>) -> Batcher<'a> {
        Batcher { of: located.map_or(Of::Nobody, |(core, key)| Of::Socket(core, key)) }
    }

    /// Puts a message behind those that wait. It is encoded now; who gets it is decided when the batch leaves. For a
    /// socket whose client is gone it is ignored, as a `send` is.
    ///
    /// # Errors
    /// [`ApiError::NotBatching`], [`ApiError::BatchMessage`], [`ApiError::ObjectGone`]; for a single socket
    /// [`ApiError::NotAccepted`], [`ApiError::SendAfterClose`]. What waits stays as it was.
    pub fn push<T: Serialize + ?Sized>(&self, message: &T) -> Result<(), ApiError> {
        let (core, object, to) = match &self.of {
            Of::Nobody => return Err(ApiError::NotAccepted),
            Of::Object(core, object, to) => (core, *object, *to),
            Of::Socket(core, key) => match core.sockets.borrow().get(*key) {
                None => return Ok(()),
                Some(socket) if socket.closed_by_application => return Err(ApiError::SendAfterClose),
                Some(socket) => (core, socket.object, Address::Socket(*key)),
            },
        };
        let batching = core.batching_of(object)?;
        // Not into the batch itself: the value's `Serialize` may do anything, fail and panic included.
        let mut item = core.batch_item.take();
        item.clear();
        let encoded = encode_batch_item(batching.format(), message, &mut item);
        if encoded.is_ok() {
            core.push_into_batch(object, to, batching, &item);
        }
        item.shrink_to(SPARE_BYTES_MAX);
        core.batch_item.set(item);
        encoded.map_err(|error| ApiError::BatchMessage { message: error.to_string() })
    }

    /// Sends what waits now; returns how many sockets get it, 0 when nothing waits. Sockets that are closing are passed
    /// over.
    pub fn flush(&self) -> usize {
        match &self.of {
            Of::Nobody => 0,
            Of::Object(core, object, to) => core.flush_batch(*object, *to),
            Of::Socket(core, key) => core.flush_batch_of_socket(*key),
        }
    }
}

impl Core {
    fn batching_of(&self, object: Key) -> Result<Batching, ApiError> {
        let objects = self.objects.borrow();
        let class = objects.get(object).ok_or(ApiError::ObjectGone)?.class;
        self.shared.classes[usize::from(class)].batching.ok_or(ApiError::NotBatching)
    }

    fn push_into_batch(self: &Rc<Core>, key: Key, to: Address<&str>, batching: Batching, item: &[u8]) {
        if let Some(object) = self.objects.borrow_mut().get_mut(key) {
            object.batches.get_or_insert_default();
        }
        let full = self.with_batches(key, |batches| {
            let number = batches.number_of(to).unwrap_or_else(|| {
                let buffer = self.batch_buffers.borrow_mut().pop().unwrap_or_default();
                let writer = BatchWriter::reusing(batching.format(), buffer);
                batches.begin(to, writer, batching.due_ms(self.now_ms()))
            });
            match batches.push(number, item) {
                Ok((messages, bytes)) if !batching.is_full(messages, bytes) => None,
                // A batch of the most messages that there may be has left before.
                _ => batches.take(number),
            }
        });
        if let Some(waiting) = full {
            self.send_batch(key, waiting);
        }
        self.keep_batches_within_bounds(key);
        self.time_batches(key);
    }

    /// RELIABILITY: every queue has a limit. What is beyond it leaves before it is due, which harms nobody.
    fn keep_batches_within_bounds(self: &Rc<Core>, key: Key) {
        let oldest_beyond = |batches: &mut Batches| {
            let is_within =
                batches.charged_bytes() <= OBJECT_BYTES_MAX && self.batch_bytes.get() <= SHARD_BYTES_MAX;
            if is_within { None } else { batches.take_oldest() }
        };
        while let Some(oldest) = self.with_batches(key, oldest_beyond) {
            self.send_batch(key, oldest);
        }
    }

    /// Has a timer look at the oldest batch when it is due. One is enough for an object, and one that has nothing left to
    /// do when it comes looks when to come again.
    fn time_batches(&self, key: Key) {
        let mut objects = self.objects.borrow_mut();
        let Some(object) = objects.get_mut(key) else { return };
        let next_due_ms = object.batches.as_ref().and_then(|batches| batches.next_due_ms());
        if let Some(due_ms) = next_due_ms
            && !object.has_batch_timer
        {
            object.has_batch_timer = true;
            self.timers.borrow_mut().insert(due_ms, Timer::Batches(key));
        }
    }

    /// Sends what is old enough. Then nothing of it keeps the object awake.
    pub(crate) fn batches_due(self: &Rc<Core>, key: Key) {
        let now_ms = self.now_ms();
        while let Some(due) = self.with_batches(key, |batches| batches.take_due(now_ms)) {
            self.send_batch(key, due);
        }
        if let Some(object) = self.objects.borrow_mut().get_mut(key) {
            object.has_batch_timer = is_planted(Bug::BatchTimerOnce) && object.has_batches();
        }
        self.time_batches(key);
        if self.mailbox_of(key).is_quiet() {
            self.consider_idle(key);
        }
    }

    /// Sends what waits for one address. SEMANTICS 9: what is said to it later comes later.
    pub(crate) fn flush_batch(self: &Rc<Core>, key: Key, to: Address<&str>) -> usize {
        // Most shards have none most of the time, and this is on the way of every send.
        if self.batch_bytes.get() == 0 {
            return 0;
        }
        let waiting = self.with_batches(key, |batches| {
            let number = batches.number_of(to)?;
            batches.take(number)
        });
        waiting.map_or(0, |waiting| self.send_batch(key, waiting))
    }

    pub(crate) fn flush_batch_of_socket(self: &Rc<Core>, key: Key) -> usize {
        if self.batch_bytes.get() == 0 {
            return 0;
        }
        let object = self.sockets.borrow().get(key).map(|socket| socket.object);
        object.map_or(0, |object| self.flush_batch(object, Address::Socket(key)))
    }

    /// Sends everything that waits for a socket, also with others: it is about to be closed, and hears nothing later.
    pub(crate) fn flush_batches_for(self: &Rc<Core>, socket_key: Key) {
        if self.batch_bytes.get() == 0 {
            return;
        }
        let (object_key, mut numbers) = {
            let (objects, sockets) = (self.objects.borrow(), self.sockets.borrow());
            let Some(socket) = sockets.get(socket_key) else { return };
            let Some(object) = objects.get(socket.object) else { return };
            let Some(batches) = &object.batches else { return };
            let tags = object.roster.tag_names(socket).map(Address::Tag);
            // Broadcasts leave standard sockets out.
            let everyone = (!socket.is_standard()).then_some(Address::Everyone);
            let addresses = everyone.into_iter().chain([Address::Socket(socket_key)]).chain(tags);
            let numbers: Vec<u64> = addresses.filter_map(|to| batches.number_of(to)).collect();
            (socket.object, numbers)
        };
        numbers.sort_unstable();
        for number in numbers {
            if let Some(waiting) = self.with_batches(object_key, |batches| batches.take(number)) {
                self.send_batch(object_key, waiting);
            }
        }
    }

    /// Sends everything that waits, the oldest first.
    pub(crate) fn flush_batches(self: &Rc<Core>, key: Key) {
        while let Some(oldest) = self.with_batches(key, |batches| batches.take_oldest()) {
            self.send_batch(key, oldest);
        }
    }

    /// Takes a batch of an object out, or not, and keeps count of what waits on this shard.
    fn with_batches(&self, key: Key, f: impl FnOnce(&mut Batches) -> Option<Waiting>) -> Option<Waiting> {
        let mut objects = self.objects.borrow_mut();
        let batches = objects.get_mut(key)?.batches.as_mut()?;
        let others = self.batch_bytes.get() - batches.charged_bytes();
        let taken = f(batches);
        self.batch_bytes.set(others + batches.charged_bytes());
        taken
    }

    /// Sends a batch that was taken out; returns how many sockets get it.
    fn send_batch(self: &Rc<Core>, object: Key, waiting: Waiting) -> usize {
        let Waiting { to, writer, .. } = waiting;
        self.counters.batches_sent.add(1);
        self.counters.batched_messages_sent.add(writer.messages() as u64);
        let format = writer.format();
        let bytes = writer.finish();
        let message = match format {
            BatchFormat::MessagePack => Message::Binary(&bytes),
            BatchFormat::Json => {
                Message::Text(simdutf8::basic::from_utf8(&bytes).expect("serde_json writes UTF-8"))
            }
        };
        let recipients = match &to {
            Address::Everyone => self.broadcast_now(Broadcast::new(self, object, message)),
            Address::Tag(tag) => self.broadcast_now(Broadcast::new(self, object, message).tag(tag)),
            Address::Socket(key) => usize::from(self.send_now(*key, message, None) == Ok(true)),
        };
        let mut spare = self.batch_buffers.borrow_mut();
        if spare.len() < SPARE_BUFFERS_MAX && bytes.capacity() <= SPARE_BYTES_MAX {
            spare.push(bytes);
        }
        recipients
    }

    /// An object's record goes, and what waits with it: it has no sockets.
    pub(crate) fn forget_batches(&self, batches: Option<&Batches>) {
        let charged = batches.map_or(0, |batches| batches.charged_bytes());
        self.batch_bytes.set(self.batch_bytes.get() - charged);
    }
}
