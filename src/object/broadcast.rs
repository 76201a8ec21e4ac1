//! One message to many sockets. Owns the choice of recipients; the frame is encoded once in each form that they
//! want, and every outbox refers to the same bytes.

use std::rc::Rc;

use super::batches::Address;
use super::core::Core;
use super::delivery::Queued;
use super::durable_object::SlowReader;
use super::forms::Forms;
use super::message::Message;
use super::planted::{Bug, is_planted};
use super::slab::Key;
use super::web_socket::WebSocket;

/// A broadcast being put together; see [`Context::broadcast`](super::Context::broadcast).
///
/// ```no_run
/// # fn example(ctx: dormouse::Context, ws: dormouse::WebSocket) {
/// let everyone = ctx.broadcast("the game begins").send();
/// let reds = ctx.broadcast("defend!").tag("red").send();
/// let others = ctx.broadcast("a new player").except(&ws).send();
/// println!("{everyone} players, {reds} of them red, {others} beside the new one");
/// # }
/// ```
#[must_use = "nothing leaves before `send`"]
pub struct Broadcast<'a> {
    core: &'a Rc<Core>,
    object: Key,
    message: Message<'a>,
    tag: Option<&'a str>,
    except: Option<Key>,
    key: Option<u64>,
}

impl<'a> Broadcast<'a> {
    pub(crate) fn new(core: &'a Rc<Core>, object: Key, message: Message<'a>) -> Broadcast<'a> {
        Broadcast { core, object, message, tag: None, except: None, key: None }
    }

    /// Only to sockets with this tag.
    ///
    /// ```no_run
    /// # fn example(ctx: dormouse::Context) {
    /// ctx.broadcast("defend!").tag("red").send();
    /// # }
    /// ```
    pub fn tag(mut self, tag: &'a str) -> Broadcast<'a> {
        self.tag = Some(tag);
        self
    }

    /// Not to this socket.
    ///
    /// ```no_run
    /// # fn example(ctx: dormouse::Context, ws: dormouse::WebSocket, message: dormouse::Message<'_>) {
    /// // What one says, all others hear.
    /// ctx.broadcast(message).except(&ws).send();
    /// # }
    /// ```
    pub fn except(mut self, ws: &WebSocket) -> Broadcast<'a> {
        self.except = ws.locate().map(|(_, key)| key);
        self
    }

    /// Under this key: where the class has [`SlowReader::KeepLatest`], the message may wait for a socket whose client
    /// does not read, and is replaced there by the next one with the same key. Elsewhere the key says nothing.
    ///
    /// ```no_run
    /// # fn example(ctx: dormouse::Context, player: u64, place: [f32; 2]) {
    /// // Where a player is: of interest until the next message about the same player.
    /// ctx.broadcast(&format!("{player} is at {place:?}")).key(player).send();
    /// # }
    /// ```
    pub fn key(mut self, key: u64) -> Broadcast<'a> {
        self.key = Some(key);
        self
    }

    /// Queues the message for each recipient; returns how many there are. Sockets that are closing are passed over.
    ///
    /// ```no_run
    /// # fn example(ctx: dormouse::Context) {
    /// if ctx.broadcast("is anybody there?").send() == 0 {
    ///     println!("nobody is connected");
    /// }
    /// # }
    /// ```
    pub fn send(self) -> usize {
        self.core.broadcast(self)
    }
}

impl Core {
    fn broadcast(self: &Rc<Core>, broadcast: Broadcast<'_>) -> usize {
        if !is_planted(Bug::BroadcastOvertakesBatch) {
            self.flush_batch(broadcast.object, broadcast.tag.map_or(Address::Everyone, Address::Tag));
        }
        self.broadcast_now(broadcast)
    }

    pub(crate) fn broadcast_now(self: &Rc<Core>, broadcast: Broadcast<'_>) -> usize {
        let Broadcast { object: object_key, message, tag, except, key, .. } = broadcast;
        let mut objects = self.objects.borrow_mut();
        let Some(object) = objects.get_mut(object_key) else { return 0 };
        let policy = self.shared.classes[usize::from(object.class)].slow_reader;
        let mut overflowing: Vec<Key> = Vec::new();
        let mut recipients = 0;
        let skipped = is_planted(Bug::BroadcastSkipsTheLast)
            .then(|| object.roster.oldest_first().next_back())
            .flatten();
        {
            let mut delivery = self.delivery(policy);
            let mut forms = Forms::for_many(message).keyed(policy.key(key));
            let mut deliver = |position: u32| {
                let Some(key) = delivery.key_at(position) else { return };
                if Some(key) == except || Some(position) == skipped {
                    return;
                }
                match delivery.queue(key, &mut forms) {
                    Queued::Yes => recipients += 1,
                    Queued::Overflow => overflowing.push(key),
                    Queued::No => {}
                }
            };
            match tag {
                Some(tag) => object.roster.tagged(tag).for_each(&mut deliver),
                None => object.roster.oldest_first().for_each(&mut deliver),
            }
            delivery.ship(&mut forms);
            forms.discard_unused(&mut delivery.outboxes.output);
        }
        object.messages_sent += recipients as u64;
        drop(objects);
        self.counters.frames_queued.add(recipients as u64);
        debug_assert!(overflowing.is_empty() || policy != SlowReader::DropNewest);
        for key in overflowing {
            self.close_slow_reader(key);
        }
        recipients
    }
}
