//! How connections end, and how long each stage of a connection may take. Owns the deadlines of connections; what a
//! Close frame means to an object is said elsewhere.

use std::rc::Rc;

use super::connection::{Connection, Departure, Owner, Pause, Phase, Stage};
use super::core::Core;
use super::driver::{Effect, Place, Receive};
use super::moment::Moment;
use super::planted::{Bug, is_planted};
use super::remote::FarEvent;
use super::slab::Key;
use crate::wire::{OpCode, encode_close, encode_frame};

/// How long what arrives behind our last byte is read and thrown away, so that the peer gets that byte and not a
/// reset (RFC 9112 9.6).
const LINGER_MS: u64 = 2_000;

/// SEMANTICS 8: what an object is told about a client that is gone.
pub(crate) const LOST_REASON: &str = "WebSocket disconnected without sending Close frame.";

impl Core {
    /// Sends what is queued, then ends the connection: at once, or after the peer's FIN.
    pub(crate) fn leave(&self, place: Place, at_once: bool) {
        let deadline = self.now_ms() + LINGER_MS.max(self.settings().close_ms);
        self.with_connection(place, |connection| {
            if matches!(connection.phase, Phase::Closing) {
                return;
            }
            self.forget_reassembly(connection);
            connection.phase = Phase::Leaving { finished: false, at_once };
            connection.deadline = Moment::not_before(deadline);
            self.look_by(place, connection, deadline);
        });
        self.after_flush(place);
    }

    /// What follows when all that was queued is with the kernel.
    pub(crate) fn after_flush(&self, place: Place) {
        enum Then {
            Nothing,
            Drop,
            Depart(Departure),
        }
        let deadline = self.now_ms() + LINGER_MS;
        let then = self.with_connection(place, |connection| {
            if !connection.outbox.is_empty() {
                return Then::Nothing;
            }
            match &mut connection.phase {
                Phase::Http(http) => http.departure.take().map_or(Then::Nothing, |to| Then::Depart(*to)),
                Phase::Leaving { at_once: true, .. } => Then::Drop,
                Phase::Leaving { finished: finished @ false, .. } => {
                    *finished = true;
                    connection.deadline = Moment::not_before(deadline);
                    self.look_by(place, connection, deadline);
                    self.effect(Effect::ShutdownWrite(place));
                    // RFC 6455 7.1.1: to close cleanly, what comes now is read and thrown away, whatever was armed before.
                    self.effect(Effect::Receive(place, Receive::Multishot));
                    Then::Nothing
                }
                _ => Then::Nothing,
            }
        });
        match then {
            Some(Then::Drop) => self.drop_connection(place),
            Some(Then::Depart(departure)) => self.hand_off(place, departure),
            Some(Then::Nothing) | None => {}
        }
    }

    /// Ends the connection now; what is queued is lost.
    pub(crate) fn drop_connection(&self, place: Place) {
        let drops = self.with_connection(place, |connection| {
            if matches!(connection.phase, Phase::Closing) {
                return false;
            }
            self.forget_reassembly(connection);
            self.forget_output(place, connection);
            connection.phase = Phase::Closing;
            (connection.deadline, connection.write_deadline) = (Moment::NEVER, Moment::NEVER);
            true
        });
        if drops == Some(true) {
            self.effect(Effect::Close(place));
        }
    }

    pub(crate) fn forget_reassembly(&self, connection: &mut Connection) {
        if let Phase::Open(open) = &mut connection.phase {
            self.reassembly_bytes.set(self.reassembly_bytes.get() - open.reassembly_bytes as usize);
            open.reassembly_bytes = 0;
        }
    }

    /// The peer has `timeouts.close` to answer our Close.
    pub(crate) fn await_close(&self, place: Place) {
        let deadline = self.now_ms() + self.settings().close_ms;
        self.with_connection(place, |connection| {
            connection.deadline = Moment::not_before(deadline);
            self.look_by(place, connection, deadline);
        });
    }

    /// Nothing more will be received: the peer has sent FIN, or is gone. What is queued may still be sent.
    pub(crate) fn connection_ended(self: &Rc<Core>, place: Place) {
        enum Ended {
            Leave(Option<Key>),
            Wait,
            Broken,
        }
        let ended = self.with_connection(place, |connection| match &mut connection.phase {
            Phase::Open(open) => match &mut open.owner {
                // After the peer's Close its FIN says nothing new: the answer is still to be sent.
                Owner::Near(key) if self.is_close_received(*key) => Ended::Wait,
                Owner::Near(key) => Ended::Leave(Some(*key)),
                Owner::Far(owner) if owner.close.received => Ended::Wait,
                Owner::Far(owner) => {
                    owner.close.received = true;
                    self.report(owner, FarEvent::Lost);
                    Ended::Leave(None)
                }
            },
            // The last of what was queued may still reach a peer that has only finished speaking.
            Phase::Leaving { at_once, .. } if !connection.outbox.is_empty() => {
                *at_once = true;
                Ended::Wait
            }
            _ => Ended::Broken,
        });
        match ended {
            Some(Ended::Leave(near)) => {
                if let Some(key) = near {
                    self.socket_lost(key);
                }
                self.leave(place, true);
            }
            Some(Ended::Broken) => self.connection_broken(place),
            Some(Ended::Wait) | None => {}
        }
    }

    fn is_close_received(&self, key: Key) -> bool {
        self.sockets.borrow().get(key).is_some_and(|socket| socket.close.received)
    }

    /// The connection is of no use any more.
    pub(crate) fn connection_broken(self: &Rc<Core>, place: Place) {
        enum Broken {
            Nothing,
            Socket(Key),
            Request(Option<u32>, Option<Box<Departure>>),
        }
        let broken = self.with_connection(place, |connection| match &mut connection.phase {
            Phase::Open(open) => match &mut open.owner {
                Owner::Near(key) => Broken::Socket(*key),
                Owner::Far(owner) => {
                    if !std::mem::replace(&mut owner.close.received, true) {
                        self.report(owner, FarEvent::Lost);
                    }
                    Broken::Nothing
                }
            },
            Phase::Http(http) => Broken::Request(http.task.take(), http.departure.take()),
            _ => Broken::Nothing,
        });
        match broken {
            Some(Broken::Socket(_)) if is_planted(Bug::LossNotTold) => {}
            Some(Broken::Socket(key)) => self.socket_lost(key),
            Some(Broken::Request(task, departure)) => {
                self.drop_future(task.and_then(|task| self.tasks.remove(task)));
                if let Some(departure) = departure {
                    self.abandon(departure.target, departure.socket);
                }
            }
            Some(Broken::Nothing) | None => {}
        }
        self.drop_connection(place);
    }

    /// Looks whether a connection has outlived a deadline, pings it, reads it again.
    pub(crate) fn look_at(self: &Rc<Core>, place: Place) {
        enum Verdict {
            Keep,
            Drop,
            TimedOut,
        }
        let now = self.now_ms();
        let settings = self.settings();
        let verdict = self.with_connection(place, |connection| {
            if connection.look.ms() > now {
                // A later look was moved forward; this is what was left of it.
                return Verdict::Keep;
            }
            connection.look = Moment::NEVER;
            let mut next = connection.deadline.min(connection.write_deadline).ms();
            if connection.write_deadline.ms() <= now {
                self.counters.write_timeouts.add(1);
                return Verdict::Drop;
            }
            if connection.deadline.ms() <= now {
                match &connection.phase {
                    Phase::Http(http) if matches!(http.stage, Stage::Answering) => return Verdict::TimedOut,
                    Phase::Http(_) => self.counters.request_timeouts.add(1),
                    Phase::Open(_) => self.counters.close_timeouts.add(1),
                    _ => {}
                }
                return Verdict::Drop;
            }
            let mut ping = false;
            if let Phase::Open(open) = &mut connection.phase {
                if open.pause == Pause::Control && open.control_second != (now / 1_000) as u16 {
                    open.pause = Pause::Not;
                    self.effect(Effect::Receive(place, Receive::Multishot));
                }
                if open.pause == Pause::Control {
                    next = next.min((now / 1_000 + 1) * 1_000);
                }
                if let Some(ping_ms) = settings.ping_ms
                    && open.pause == Pause::Not
                    && connection.deadline == Moment::NEVER
                {
                    let silent_since = open.heard.ms();
                    if open.is_pinged && now >= silent_since + ping_ms + settings.pong_ms {
                        self.counters.ping_timeouts.add(1);
                        return Verdict::Drop;
                    }
                    if !open.is_pinged && now >= silent_since + ping_ms {
                        open.is_pinged = true;
                        ping = true;
                    }
                    let patience = if open.is_pinged { ping_ms + settings.pong_ms } else { ping_ms };
                    next = next.min(silent_since + patience);
                } else if let Some(ping_ms) = settings.ping_ms {
                    // Not read for now, or behind a Close, where nothing is sent: silence says nothing, but come back.
                    open.heard = Moment::not_before(now);
                    next = next.min(now + ping_ms);
                }
            }
            if ping {
                let mut frame = Vec::with_capacity(2);
                encode_frame(&mut frame, OpCode::Ping, b"");
                self.queue_on(place, connection, &frame);
            }
            if next != u64::MAX {
                self.look_by(place, connection, next);
            }
            Verdict::Keep
        });
        match verdict {
            Some(Verdict::Drop) => self.connection_broken(place),
            Some(Verdict::TimedOut) => self.request_timed_out(place),
            Some(Verdict::Keep) | None => {}
        }
    }

    /// Ends a connection whose object knows nothing of it any more, with a Close.
    pub(crate) fn dismiss(&self, place: Place, code: u16, reason: &str) {
        let mut frame = Vec::new();
        encode_close(&mut frame, Some(code), reason);
        self.queue_close(place, &frame);
        self.leave(place, false);
    }
}
