//! What a client did, told to the object of its socket. Owns the way from a socket's record to the mailbox, whichever
//! shard the connection is on: order, auto-responses, one close or error event, the bound on what waits.

use std::rc::Rc;

use super::auto_response::AutoResponse;
use super::closing::LOST_REASON;
use super::connection::{Pause, Phase};
use super::core::Core;
use super::driver::Effect;
use super::mailbox::{Event, PayloadAt};
use super::object::Object;
use super::planted::{Bug, is_planted};
use super::remote::Command;
use super::slab::Key;
use super::socket::{Link, Socket};
use super::standard::WebSocketEvent;
use crate::wire::{BatchHead, MessageKind, Payload, ProtocolError, close};

/// What became of a message.
pub(crate) enum Taken {
    /// It waits for the object.
    Waits,
    /// It waits, and the socket should be read no further for now.
    Full,
    /// The engine answers.
    Answer(Rc<AutoResponse>),
    /// Nobody wants it.
    Dropped,
    /// There is no memory for it, or it is broken.
    Failed(ProtocolError),
}

impl Core {
    pub(crate) fn take_message(&self, key: Key, kind: MessageKind, payload: Payload<'_>) -> Taken {
        self.counters.messages_received.add(1);
        self.counters.bytes_received.add(payload.len() as u64);
        let mut objects = self.objects.borrow_mut();
        let mut sockets = self.sockets.borrow_mut();
        // After a Close or an error nothing that arrives counts; a far connection learns of its error later.
        let is_heard = |socket: &&mut Socket| !socket.is_muted && !socket.close.received;
        let Some(socket) = sockets.get_mut(key).filter(is_heard) else { return Taken::Dropped };
        let Some(object) = objects.get_mut(socket.object) else { return Taken::Dropped };
        if socket.is_standard() {
            if matches!(payload, Payload::Assembled(_)) && self.is_overfull(object) {
                return Taken::Failed(ProtocolError::MessageTooLarge);
            }
            object.messages_received += 1;
            return match object.standard.push(key, WebSocketEvent::message(kind, &payload)) {
                Ok(()) => self.bounded(object),
                Err(_) => Taken::Dropped,
            };
        }
        if kind == MessageKind::Text
            && let Some(auto) = &object.auto_response
            && auto.matches(&payload)
        {
            self.counters.auto_responses.add(1);
            if socket.close.sent {
                return Taken::Dropped;
            }
            if socket.pending_events > 0 && !is_planted(Bug::AutoResponseOvertakes) {
                // It must not overtake the answer to a message that came before it.
                socket.pending_events += 1;
                let auto = auto.clone();
                object.mailbox.push(Event::AutoResponse { socket: key, auto });
                return self.bounded(object);
            }
            socket.auto_response_ms = self.now.get().wall_ms;
            return Taken::Answer(auto.clone());
        }
        if matches!(payload, Payload::Assembled(_)) && self.is_overfull(object) {
            return Taken::Failed(ProtocolError::MessageTooLarge);
        }
        let batch = match self.batch_head(object, kind, &payload) {
            Ok(batch) => batch,
            Err(error) => return Taken::Failed(error),
        };
        object.messages_received += 1;
        socket.pending_events += 1;
        match payload {
            Payload::InPlace(bytes) => object.mailbox.push_message(key, kind, bytes, batch),
            Payload::Assembled(bytes) => {
                let payload = PayloadAt::Own(bytes);
                object.mailbox.push(Event::Message { socket: key, kind, payload, batch });
            }
        }
        self.bounded(object)
    }

    /// Whether a message is an envelope, if the object's class asked for batches.
    fn batch_head(
        &self,
        object: &Object,
        kind: MessageKind,
        payload: &[u8],
    ) -> Result<Option<BatchHead>, ProtocolError> {
        let Some(batching) = self.shared.classes[usize::from(object.class)].batching else { return Ok(None) };
        let head = BatchHead::parse(batching.format(), kind, payload).map_err(ProtocolError::Batch)?;
        if let Some(head) = &head {
            self.counters.batches_received.add(1);
            self.counters.batched_messages_received.add(head.messages() as u64);
        }
        Ok(head)
    }

    fn bounded(&self, object: &Object) -> Taken {
        let (events, bytes) = object.waiting();
        let settings = self.settings();
        if events <= settings.mailbox_events_max && bytes <= settings.mailbox_bytes_max {
            return Taken::Waits;
        }
        Taken::Full
    }

    /// To read a socket no further bounds what waits as long as a message has as many bytes as were received for it. The
    /// last one before the pause may come out of a thousandth of it, on each of many sockets: where as much waits beyond
    /// the bound as all unfinished messages may hold, large ones are refused like those.
    fn is_overfull(&self, object: &Object) -> bool {
        let settings = self.settings();
        let (_, bytes) = object.waiting();
        bytes > settings.mailbox_bytes_max.saturating_add(settings.reassembly_bytes_max)
    }

    /// The socket is read no further until its object has caught up.
    pub(crate) fn remember_paused(&self, key: Key) {
        self.counters.mailbox_pauses.add(1);
        let Some(object) = self.sockets.borrow().get(key).map(|socket| socket.object) else { return };
        if let Some(object) = self.objects.borrow_mut().get_mut(object) {
            object.paused.push(key);
        }
    }

    /// Reads a socket again whose object has caught up.
    pub(crate) fn resume_socket(&self, key: Key) {
        let place = {
            let mut sockets = self.sockets.borrow_mut();
            let Some(socket) = sockets.get_mut(key) else { return };
            match &mut socket.link {
                Link::Bound(place) => *place,
                Link::Far(far) => {
                    far.is_paused = false;
                    let far = far.connection;
                    self.command(far.shard, Command::Resume { to: (far.place, far.id) });
                    return;
                }
                Link::Pending(_) | Link::Gone => return,
            }
        };
        self.resume_connection(place);
    }

    pub(crate) fn resume_connection(&self, place: super::driver::Place) {
        self.with_connection(place, |connection| {
            if let Phase::Open(open) = &mut connection.phase
                && open.pause == Pause::Mailbox
            {
                open.pause = Pause::Not;
                self.effect(Effect::Receive(place, super::driver::Receive::Multishot));
            }
        });
    }

    /// The client's Close has come; `true` when ours had left before.
    pub(crate) fn take_close(&self, key: Key, code: u16, reason: Box<str>) -> bool {
        let (object, is_second) = {
            let mut sockets = self.sockets.borrow_mut();
            let Some(socket) = sockets.get_mut(key) else { return true };
            if socket.close.received {
                return socket.close.sent;
            }
            socket.close.received = true;
            socket.pending_events += 1;
            if socket.close.sent {
                socket.link = Link::Gone;
            }
            if socket.is_standard() {
                let (object, is_second) = (socket.object, socket.close.sent);
                drop(sockets);
                let event = WebSocketEvent::Close { code, reason: reason.into(), was_clean: true };
                self.tell_standard(object, key, event);
                return is_second;
            }
            (socket.object, socket.close.sent)
        };
        self.mailbox_of(object).push(Event::Close { socket: key, code, reason, was_clean: true });
        is_second
    }

    /// The client broke the protocol: an error event, and a Close when that event has its turn.
    pub(crate) fn take_error(self: &Rc<Core>, key: Key, error: ProtocolError) {
        self.counters.protocol_errors.add(1);
        let object = {
            let mut sockets = self.sockets.borrow_mut();
            let Some(socket) = sockets.get_mut(key) else { return };
            if socket.close.received {
                return;
            }
            // From here on nothing that arrives counts, and a loss is no second event.
            socket.close.received = true;
            socket.object
        };
        tracing::debug!(object = %self.label_of(object), %error, "a client broke the protocol");
        self.push_event(object, Event::Error { socket: key, error });
    }

    /// Tells the object that a client is gone, unless it was told of its Close already.
    pub(crate) fn socket_lost(self: &Rc<Core>, key: Key) {
        let object = {
            let mut sockets = self.sockets.borrow_mut();
            let Some(socket) = sockets.get_mut(key) else { return };
            socket.link = Link::Gone;
            if socket.close.received && !is_planted(Bug::CloseEventTwice) {
                return;
            }
            socket.close.received = true;
            socket.object
        };
        let reason = LOST_REASON.into();
        self.push_event(
            object,
            Event::Close { socket: key, code: close::ABNORMAL, reason, was_clean: false },
        );
    }
}
