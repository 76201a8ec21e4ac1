//! What arrives on an open connection. Owns the way from a session's events to the object's mailbox, auto-responses
//! and pongs, and the bounds on what arrives; RFC 6455's own rules are the session's.

use std::rc::Rc;

use super::connection::{Connection, OpenState, Pause, Phase};
use super::core::Core;
use super::driver::{Effect, Place};
use super::mailbox::{Event, PayloadAt};
use super::object::Object;
use super::slab::Key;
use crate::wire::{self, Input, MessageKind, OpCode, Payload, ProtocolError, close};

/// What is left to do when no table is borrowed any more.
enum Then {
    Nothing,
    /// The session ended.
    Stop,
    /// The shard's budget for unfinished messages is used up.
    NoMemory,
    Failed(ProtocolError),
}

impl Core {
    pub(crate) fn receive_frames(self: &Rc<Core>, place: Place, bytes: &mut [u8]) {
        let mut object_key = None;
        let then = self.with_connection(place, |connection| {
            let mut input = Input::new(bytes);
            let Connection { phase: Phase::Open(open), .. } = connection else { return Then::Nothing };
            open.heard_ms = self.now_ms();
            open.is_pinged = false;
            let socket = open.socket;
            object_key = self.sockets.borrow().get(socket).map(|socket| socket.object);
            let Some(object) = object_key else { return Then::Stop };
            loop {
                let Phase::Open(open) = &mut connection.phase else { return Then::Nothing };
                match open.session.poll(&mut input, &self.settings().session) {
                    Ok(None) => break,
                    Ok(Some(wire::Event::Message { kind, payload })) => {
                        self.take_message(place, connection, object, kind, payload);
                    }
                    Ok(Some(wire::Event::Ping(payload))) => {
                        let mut frame = Vec::with_capacity(wire::frame_len(payload.len()));
                        // RFC 6455 5.5.3: a pong carries the ping's payload.
                        wire::encode_frame(&mut frame, OpCode::Pong, &payload);
                        self.count_control(place, open);
                        // A client that pings and does not read gets no more pongs than fit its bound.
                        if connection.outbox.queued_bytes() < self.settings().output_socket_bytes_max {
                            self.queue_on(place, connection, &frame);
                        }
                    }
                    Ok(Some(wire::Event::Pong(_))) => self.count_control(place, open),
                    Ok(Some(wire::Event::Close { code, reason })) => {
                        self.take_close(place, connection, socket, object, code, &reason);
                        return Then::Nothing;
                    }
                    Err(error) => return Then::Failed(error),
                }
            }
            if let Phase::Open(open) = &connection.phase
                && open.pause == Pause::Control
            {
                self.look_by(place, connection, (self.now_ms() / 1_000 + 1) * 1_000);
            }
            self.count_reassembly(connection)
        });
        if let Some(object) = object_key {
            self.wake_object(object);
        }
        match then {
            Some(Then::Nothing) | None => {}
            Some(Then::Stop) => self.drop_connection(place),
            Some(Then::NoMemory) => self.fail_socket(place, ProtocolError::MessageTooLarge),
            Some(Then::Failed(error)) => self.fail_socket(place, error),
        }
    }

    fn take_message(
        &self,
        place: Place,
        connection: &mut Connection,
        object_key: Key,
        kind: MessageKind,
        payload: Payload<'_>,
    ) {
        let Phase::Open(open) = &mut connection.phase else { return };
        self.counters.messages_received.add(1);
        self.counters.bytes_received.add(payload.len() as u64);
        let mut objects = self.objects.borrow_mut();
        let mut sockets = self.sockets.borrow_mut();
        let Some(object) = objects.get_mut(object_key) else { return };
        let Some(socket) = sockets.get_mut(open.socket) else { return };
        if kind == MessageKind::Text
            && let Some(auto) = &object.auto_response
            && auto.matches(&payload)
        {
            self.counters.auto_responses.add(1);
            if socket.close.sent {
                return;
            }
            if socket.pending_events > 0 {
                // It must not overtake the answer to a message that came before it.
                socket.pending_events += 1;
                object.mailbox.push(Event::AutoResponse { socket: open.socket });
                return;
            }
            socket.auto_response_ms = self.now.get().wall_ms;
            let auto = auto.clone();
            drop((objects, sockets));
            self.queue_on(place, connection, &auto.frame);
            return;
        }
        object.messages_received += 1;
        socket.pending_events += 1;
        match payload {
            Payload::InPlace(bytes) => object.mailbox.push_message(open.socket, kind, bytes),
            Payload::Assembled(bytes) => {
                let payload = PayloadAt::Own(bytes);
                object.mailbox.push(Event::Message { socket: open.socket, kind, payload });
            }
        }
        self.bound_mailbox(place, open, object);
    }

    fn bound_mailbox(&self, place: Place, open: &mut OpenState, object: &mut Object) {
        let (events, bytes) = object.mailbox.waiting();
        let settings = self.settings();
        if (events > settings.mailbox_events_max || bytes > settings.mailbox_bytes_max)
            && open.pause == Pause::Not
        {
            open.pause = Pause::Mailbox;
            object.paused.push(place);
            self.counters.mailbox_pauses.add(1);
            self.effect(Effect::Pause(place));
        }
    }

    fn take_close(
        &self,
        place: Place,
        connection: &mut Connection,
        socket_key: Key,
        object_key: Key,
        code: Option<u16>,
        reason: &str,
    ) {
        let mut sockets = self.sockets.borrow_mut();
        let Some(socket) = sockets.get_mut(socket_key) else { return };
        socket.close.received = true;
        socket.pending_events += 1;
        let event = Event::Close {
            socket: socket_key,
            code: code.unwrap_or(close::NO_STATUS),
            reason: reason.into(),
            was_clean: true,
        };
        let is_second = socket.close.sent;
        if is_second {
            socket.link = super::socket::Link::Gone;
        }
        drop(sockets);
        // The object may take its time; the peer gets its answer or is dropped.
        let deadline = self.now_ms() + self.settings().close_ms;
        self.forget_reassembly(connection);
        if is_second {
            connection.phase = Phase::Leaving { finished: false, at_once: true };
            if !connection.is_dirty {
                // Our Close has left: look at the connection at the end of the turn.
                connection.is_dirty = true;
                self.dirty.borrow_mut().push(place);
            }
        }
        connection.deadline_ms = deadline;
        self.look_by(place, connection, deadline);
        if let Some(object) = self.objects.borrow().get(object_key) {
            object.mailbox.push(event);
        }
    }

    /// The peer broke the protocol: an error event, a Close when that event has its turn, and no more reading.
    fn fail_socket(self: &Rc<Core>, place: Place, error: ProtocolError) {
        self.counters.protocol_errors.add(1);
        let deadline = self.now_ms() + self.settings().close_ms;
        let socket = self.with_connection(place, |connection| {
            self.forget_reassembly(connection);
            connection.deadline_ms = deadline;
            self.look_by(place, connection, deadline);
            match &connection.phase {
                Phase::Open(open) => Some(open.socket),
                _ => None,
            }
        });
        let Some(Some(key)) = socket else { return };
        let object = {
            let mut sockets = self.sockets.borrow_mut();
            let Some(socket) = sockets.get_mut(key) else { return };
            // From here on nothing that arrives counts, and a loss is no second event.
            socket.close.received = true;
            socket.object
        };
        self.push_event(object, Event::Error { socket: key, error });
    }

    fn count_control(&self, place: Place, open: &mut OpenState) {
        let second = (self.now_ms() / 1_000) as u32;
        if open.control_second != second {
            (open.control_second, open.control_frames) = (second, 0);
        }
        open.control_frames += 1;
        if open.control_frames > self.settings().control_frames_per_second_max && open.pause == Pause::Not {
            open.pause = Pause::Control;
            self.counters.control_pauses.add(1);
            self.effect(Effect::Pause(place));
        }
    }

    /// Charges what the session holds to the shard's budget.
    fn count_reassembly(&self, connection: &mut Connection) -> Then {
        let Phase::Open(open) = &mut connection.phase else { return Then::Nothing };
        let held = open.session.reassembly_bytes();
        if held == 0 && open.reassembly_bytes == 0 {
            return Then::Nothing;
        }
        let total = self.reassembly_bytes.get() - open.reassembly_bytes + held;
        let grows = held > open.reassembly_bytes;
        self.reassembly_bytes.set(total);
        open.reassembly_bytes = held;
        if grows && total > self.settings().reassembly_bytes_max { Then::NoMemory } else { Then::Nothing }
    }
}
