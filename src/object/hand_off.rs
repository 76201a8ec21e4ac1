//! A connection becomes a socket of an object, on this shard or on another. Owns the moment of the change: what was
//! written before the 101 leaves right behind it, and bytes behind the request are the first frames.

use std::rc::Rc;

use super::compression::Agreed;
use super::connection::{Connection, Departure, OpenState, Owner, Pause, Phase};
use super::core::Core;
use super::directory::ConnectionId;
use super::driver::{Effect, Place, Receive, ShardId};
use super::mesh::{HandOff, MeshMessage};
use super::moment::Moment;
use super::planted::{Bug, is_planted};
use super::slab::Key;
use super::socket::Link;
use crate::wire::{DeflateAgreement, Session};

impl Core {
    /// Makes the connection at `place` carry the frames of a socket of this shard.
    pub(crate) fn open(
        self: &Rc<Core>,
        place: Place,
        socket: Key,
        response: &[u8],
        agreement: Option<DeflateAgreement>,
    ) {
        let received = self.with_connection(place, |connection| match &mut connection.phase {
            Phase::Http(http) => std::mem::take(&mut http.received),
            _ => Vec::new(),
        });
        let Some(mut received) = received else { return self.socket_lost(socket) };
        let taken = match self.sockets.borrow_mut().get_mut(socket) {
            Some(record) => match std::mem::replace(&mut record.link, Link::Bound(place)) {
                Link::Pending(early) => Some((early, record.close.sent)),
                other => {
                    record.link = other;
                    None
                }
            },
            None => None,
        };
        self.queue_bytes(place, response);
        let Some((early, close_sent)) = taken else {
            // The object went away between its answer and now.
            return self.dismiss(place, crate::wire::close::INTERNAL_ERROR, "the object is gone");
        };
        if let Some(early) = early {
            if !early.frames.is_empty() {
                self.queue_bytes(place, &early.frames);
            }
            self.keep_on(place, early.kept);
        }
        self.carry_frames(place, Owner::Near(socket), agreement);
        if close_sent {
            self.await_close(place);
        }
        self.read_frames(place, &mut received);
        if self.is_draining.get() {
            // It was on its way when the drain began.
            self.drain_connection(place);
        }
    }

    /// From here on the connection carries frames. What was queued before is not compressed, which RFC 7692 6 allows.
    pub(crate) fn carry_frames(&self, place: Place, owner: Owner, agreement: Option<DeflateAgreement>) {
        let now = self.now_ms();
        if let Some(agreement) = &agreement {
            self.compressor.borrow_mut().opened(place, agreement);
        }
        self.with_connection(place, |connection| {
            connection.phase = Phase::Open(OpenState {
                owner,
                session: agreement.as_ref().map_or_else(Session::new, Session::inflating),
                agreed: Agreed::new(agreement.as_ref()),
                heard: Moment::not_before(now),
                is_pinged: false,
                pause: Pause::Not,
                control_second: 0,
                control_frames: 0,
                reassembly_bytes: 0,
            });
            connection.deadline = Moment::NEVER;
            if let Some(ping_ms) = self.settings().ping_ms {
                self.look_by(place, connection, now + ping_ms);
            }
        });
    }

    /// Reads what came behind the request, and whatever comes.
    pub(crate) fn read_frames(self: &Rc<Core>, place: Place, received: &mut [u8]) {
        self.effect(Effect::Receive(place, Receive::Multishot));
        if !received.is_empty() {
            self.receive_frames(place, received);
        }
    }

    /// Has a connection go to the shard of its object, as soon as what it has to send here has left: a response to
    /// a pipelined request before the upgrade must not stay behind.
    pub(crate) fn depart(&self, place: Place, departure: Departure) {
        let is_unsent = self.with_connection(place, |connection| !connection.outbox.is_empty());
        if is_unsent == Some(true) {
            self.with_connection(place, |connection| {
                if let Phase::Http(http) = &mut connection.phase {
                    http.departure = Some(Box::new(departure));
                }
            });
        } else {
            self.hand_off(place, departure);
        }
    }

    /// Sends connection and state to the shard of its object. The record leaves this shard at once.
    pub(crate) fn hand_off(&self, place: Place, departure: Departure) {
        let Departure { target, socket, response, deflate } = departure;
        let token = self.tokens.get().wrapping_add(1);
        self.tokens.set(token);
        let state = self.with_connection(place, |connection| match &mut connection.phase {
            Phase::Http(http) => Some((connection.id, std::mem::take(&mut http.received))),
            _ => None,
        });
        let Some(Some((id, received))) = state else { return };
        self.remove_connection(place);
        let from = self.shard;
        let state = HandOff { from, token, connection: id.0, socket: socket.0, response, received, deflate };
        self.departing.borrow_mut().insert(token, (target, id));
        self.tell(target, MeshMessage::HandOff(Box::new(state)));
        self.effect(Effect::HandOff { place, target, token });
    }

    /// The descriptor has left.
    pub(crate) fn handed_off(&self, token: u32) {
        self.departing.borrow_mut().remove(&token);
    }

    /// The descriptor could not be passed: the connection ends here, and its object is told.
    pub(crate) fn hand_off_failed(&self, token: u32, place: Place) {
        if let Some((target, id)) = self.departing.borrow_mut().remove(&token) {
            self.forget_connection(id);
            self.tell(target, MeshMessage::HandOffAborted { from: self.shard, token });
        }
        self.effect(Effect::Close(place));
    }

    /// A descriptor has arrived whose state came before it.
    pub(crate) fn handed_over(self: &Rc<Core>, from: ShardId, token: u32, place: Place) {
        let Some(state) = self.arriving.borrow_mut().remove(&(from, token)) else {
            // Never seen: nobody knows what it is for.
            self.effect(Effect::Close(place));
            return;
        };
        let id = ConnectionId(state.connection);
        self.shared.directory.moved(id, self.shard);
        let mut connection = Connection::new(id, Phase::Http(Box::default()));
        if let Phase::Http(http) = &mut connection.phase
            && !is_planted(Bug::HandOffLosesBytes)
        {
            http.received = state.received;
        }
        self.insert_connection(place, connection);
        self.open(place, state.socket, &state.response, state.deflate);
    }

    pub(crate) fn hand_off_aborted(self: &Rc<Core>, from: ShardId, token: u32) {
        if let Some(state) = self.arriving.borrow_mut().remove(&(from, token)) {
            self.socket_abandoned(state.socket);
        }
    }
}
