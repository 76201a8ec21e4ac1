//! What arrives on an open connection. Owns the way from a session's events to the socket's owner on this shard or
//! another, pongs, and the bounds on what arrives; RFC 6455's own rules are the session's.

use std::rc::Rc;

use super::connection::{Connection, OpenState, Owner, Pause, Phase};
use super::core::Core;
use super::driver::{Effect, Place};
use super::durable_object::SlowReader;
use super::inbound::Taken;
use super::moment::Moment;
use super::planted::{Bug, is_planted};
use super::remote::FarEvent;
use crate::wire::{self, Input, MessageKind, OpCode, Payload, ProtocolError, close};

/// What became of a message.
enum Forwarded {
    Yes,
    /// There is an answer that the outbox has no room for.
    NoRoom,
    /// Too much waits for its object, or it is broken.
    Failed(ProtocolError),
}

/// What is left to do when no table is borrowed any more.
enum Then {
    Nothing,
    /// The session ended.
    Stop,
    Failed(ProtocolError),
}

impl Core {
    pub(crate) fn receive_frames(self: &Rc<Core>, place: Place, bytes: &mut [u8]) {
        let mut object_key = None;
        let mut refused = 0;
        let mut inflaters = self.inflaters.borrow_mut();
        let then = self.with_connection(place, |connection| {
            let mut input = Input::new(bytes);
            let Connection { phase: Phase::Open(open), .. } = connection else { return Then::Nothing };
            open.heard = Moment::not_before(self.now_ms());
            open.is_pinged = false;
            if let Owner::Near(key) = open.owner {
                object_key = self.sockets.borrow().get(key).map(|socket| socket.object);
                if object_key.is_none() {
                    return Then::Stop;
                }
            }
            loop {
                let Phase::Open(open) = &mut connection.phase else { return Then::Nothing };
                match open.session.poll_with(&mut input, &self.settings().session, &mut inflaters) {
                    Ok(None) => break,
                    Ok(Some(wire::Event::Message { kind, payload })) => {
                        match self.forward_message(place, connection, kind, payload) {
                            Forwarded::Yes => {}
                            Forwarded::NoRoom => refused += 1,
                            Forwarded::Failed(error) => return Then::Failed(error),
                        }
                    }
                    Ok(Some(wire::Event::Ping(payload))) => {
                        let mut frame = Vec::with_capacity(wire::frame_len(payload.len()));
                        // RFC 6455 5.5.2 and 5.5.3: a ping gets a pong, at once and with its payload.
                        wire::encode_frame(&mut frame, OpCode::Pong, &payload);
                        self.count_control(place, open);
                        // A client that pings and does not read gets no more pongs than fit its bound.
                        if connection.outbox.queued_bytes() < self.settings().output_socket_bytes_max {
                            self.queue_on(place, connection, &frame);
                        }
                    }
                    Ok(Some(wire::Event::Pong(_))) => self.count_control(place, open),
                    Ok(Some(wire::Event::Close { code, reason })) => {
                        self.forward_close(place, connection, code, &reason);
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
        drop(inflaters);
        if let Some(object) = object_key {
            self.wake_object(object);
        }
        if refused > 0 {
            self.refuse_output(place, refused);
        }
        match then {
            Some(Then::Nothing) | None => {}
            Some(Then::Stop) => self.drop_connection(place),
            Some(Then::Failed(error)) => self.fail_connection(place, error),
        }
    }

    fn forward_message(
        &self,
        place: Place,
        connection: &mut Connection,
        kind: MessageKind,
        payload: Payload<'_>,
    ) -> Forwarded {
        let Phase::Open(open) = &mut connection.phase else { return Forwarded::Yes };
        let key = match &mut open.owner {
            Owner::Near(key) => *key,
            Owner::Far(owner) => {
                return match self.report_message(owner, kind, payload) {
                    Some(auto) => self.queue_answer(place, connection, &auto.frame),
                    None => Forwarded::Yes,
                };
            }
        };
        match self.take_message(key, kind, payload) {
            Taken::Answer(auto) => return self.queue_answer(place, connection, &auto.frame),
            Taken::Failed(error) => return Forwarded::Failed(error),
            Taken::Full if open.pause == Pause::Not => {
                open.pause = Pause::Mailbox;
                self.effect(Effect::Pause(place));
                self.remember_paused(key);
            }
            Taken::Full | Taken::Waits | Taken::Dropped => {}
        }
        Forwarded::Yes
    }

    fn queue_answer(&self, place: Place, connection: &mut Connection, frame: &[u8]) -> Forwarded {
        if self.queue_within_bound(place, connection, frame) { Forwarded::Yes } else { Forwarded::NoRoom }
    }

    /// Answers found no room: the class of the object decides, as it does about its own messages.
    fn refuse_output(self: &Rc<Core>, place: Place, answers: u64) {
        let owner = self.with_connection(place, |connection| match &connection.phase {
            Phase::Open(OpenState { owner: Owner::Near(key), .. }) => Some((Some(*key), 0)),
            Phase::Open(OpenState { owner: Owner::Far(owner), .. }) => Some((None, owner.object.class)),
            _ => None,
        });
        let Some(Some((near, class))) = owner else { return };
        let policy = match near {
            Some(key) => self.slow_reader_policy(key),
            None => self.shared.classes[usize::from(class)].slow_reader,
        };
        match (policy, near) {
            (SlowReader::DropNewest, _) => self.counters.messages_dropped.add(answers),
            (SlowReader::Close | SlowReader::KeepLatest, Some(key)) => self.close_slow_reader(key),
            (SlowReader::Close | SlowReader::KeepLatest, None) => {
                self.counters.slow_readers_closed.add(1);
                self.close_far(place, close::TRY_AGAIN_LATER, "the client does not read");
            }
        }
    }

    fn forward_close(&self, place: Place, connection: &mut Connection, code: Option<u16>, reason: &str) {
        let Phase::Open(open) = &mut connection.phase else { return };
        // RFC 6455 7.1.5: 1005 stands for a Close without a code.
        let code = code.unwrap_or(close::NO_STATUS);
        let is_second = match &mut open.owner {
            Owner::Near(key) => self.take_close(*key, code, reason.into()),
            Owner::Far(owner) => {
                owner.close.received = true;
                self.report(owner, FarEvent::Close { code, reason: reason.into() });
                owner.close.sent
            }
        };
        self.forget_reassembly(connection);
        if is_second {
            connection.phase = Phase::Leaving { finished: false, at_once: true };
            if !connection.is_dirty {
                // Our Close has left: look at the connection at the end of the turn.
                connection.is_dirty = true;
                self.dirty.borrow_mut().push(place);
            }
        }
        // The object may take its time; the peer gets its answer or is dropped.
        let deadline = self.now_ms() + self.settings().close_ms;
        connection.deadline = Moment::not_before(deadline);
        self.look_by(place, connection, deadline);
    }

    /// The peer broke the protocol: its object is told, and it has the time of a Close to be told so itself.
    fn fail_connection(self: &Rc<Core>, place: Place, error: ProtocolError) {
        let deadline = self.now_ms() + self.settings().close_ms;
        let near = self.with_connection(place, |connection| {
            self.forget_reassembly(connection);
            connection.deadline = Moment::not_before(deadline);
            self.look_by(place, connection, deadline);
            if let Phase::Open(open) = &mut connection.phase {
                // It has ended already, unless it was a budget or a broken batch that failed it.
                open.session.end();
            }
            match &mut connection.phase {
                Phase::Open(OpenState { owner: Owner::Near(key), .. }) => Some(*key),
                Phase::Open(OpenState { owner: Owner::Far(owner), .. }) => {
                    owner.close.received = true;
                    self.report(owner, FarEvent::Failed(error));
                    None
                }
                _ => None,
            }
        });
        if let Some(Some(key)) = near {
            self.take_error(key, error);
        }
    }

    fn count_control(&self, place: Place, open: &mut OpenState) {
        let second = (self.now_ms() / 1_000) as u16;
        if open.control_second != second {
            (open.control_second, open.control_frames) = (second, 0);
        }
        open.control_frames = open.control_frames.saturating_add(1);
        if u32::from(open.control_frames) > self.settings().control_frames_per_second_max
            && open.pause == Pause::Not
        {
            open.pause = Pause::Control;
            self.counters.control_pauses.add(1);
            self.effect(Effect::Pause(place));
        }
    }

    /// Charges what the session holds to the shard's budget.
    fn count_reassembly(&self, connection: &mut Connection) -> Then {
        let Phase::Open(open) = &mut connection.phase else { return Then::Nothing };
        let held = open.session.reassembly_bytes();
        let charged = open.reassembly_bytes as usize;
        if held == 0 && charged == 0 {
            return Then::Nothing;
        }
        let total = self.reassembly_bytes.get() - charged + held;
        let grows = held > charged;
        if grows || !is_planted(Bug::ReassemblyNeverGivenBack) {
            self.reassembly_bytes.set(total);
        }
        open.reassembly_bytes = u32::try_from(held).unwrap_or(u32::MAX);
        // The shard's budget for unfinished messages is used up.
        let fails = grows && total > self.settings().reassembly_bytes_max;
        if fails { Then::Failed(ProtocolError::MessageTooLarge) } else { Then::Nothing }
    }
}
