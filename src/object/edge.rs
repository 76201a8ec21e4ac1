//! The edge's part in far sockets: a connection here, its object on another shard. Owns the way of their events into
//! batches and of commands into outboxes; answers for the object where that needs no object.

use std::cell::RefCell;
use std::rc::{Rc, Weak};

use super::auto_response::AutoResponse;
use super::connection::{Connection, FarObject, FarOwner, OpenState, Owner, Pause, Phase};
use super::core::Core;
use super::delivery::Queued;
use super::directory::ConnectionId;
use super::driver::{Effect, Place, ShardId};
use super::forms::Forms;
use super::mesh::{MeshMessage, SocketName, StayPut};
use super::output::Segment;
use super::remote::{Attached, Command, CommandBatch, FarConnection, FarEvent, Recipients, slice};
use super::socket::CloseProgress;
use crate::wire::{DeflateAgreement, MessageKind, Payload, close, encode_close};

impl Core {
    /// Makes the connection at `place` carry the frames of a socket of another shard.
    pub(crate) fn open_far(
        self: &Rc<Core>,
        place: Place,
        shard: ShardId,
        name: SocketName,
        stay: &StayPut,
        response: &[u8],
        agreement: Option<DeflateAgreement>,
    ) {
        let taken = self.with_connection(place, |connection| match &mut connection.phase {
            Phase::Http(http) => Some((connection.id, std::mem::take(&mut http.received))),
            _ => None,
        });
        let Some(Some((id, mut received))) = taken else { return };
        self.queue_bytes(place, response);
        let owner = FarOwner {
            shard,
            socket: name.0,
            object: self.far_object(shard, stay),
            unfinished: 0,
            close: CloseProgress::default(),
            reported_bytes: 0,
        };
        self.carry_frames(place, Owner::Far(Box::new(owner)), agreement);
        let connection = FarConnection { shard: self.shard, place, id };
        self.tell(shard, MeshMessage::Attached(Attached { socket: name.0, connection }));
        self.read_frames(place, &mut received);
    }

    fn far_object(&self, shard: ShardId, stay: &StayPut) -> Rc<FarObject> {
        let mut far_objects = self.far_objects.borrow_mut();
        let known = far_objects.get(&(shard, stay.object)).and_then(Weak::upgrade);
        if let Some(object) = known {
            return object;
        }
        // A good moment to forget those that nobody holds any more.
        far_objects.retain(|_, object| object.strong_count() > 0);
        let auto = stay.auto_response.clone().and_then(|pair| AutoResponse::new(pair).ok());
        let object = Rc::new(FarObject { class: stay.class, auto_response: RefCell::new(auto.map(Rc::new)) });
        far_objects.insert((shard, stay.object), Rc::downgrade(&object));
        object
    }

    /// Tells the home shard, at the end of the turn.
    pub(crate) fn report(&self, owner: &FarOwner, event: FarEvent) {
        self.reports.borrow_mut()[usize::from(owner.shard.0)].events.push((owner.socket, event));
    }

    /// Passes a message on, or says what to answer in the object's stead.
    pub(crate) fn report_message(
        &self,
        owner: &mut FarOwner,
        kind: MessageKind,
        payload: Payload<'_>,
    ) -> Option<Rc<AutoResponse>> {
        // With events under way the answer must wait its turn: the home shard gives it.
        if kind == MessageKind::Text && owner.unfinished == 0 {
            let auto = owner.object.auto_response.borrow().clone().filter(|auto| auto.matches(&payload));
            if let Some(auto) = auto {
                if owner.close.sent {
                    return None;
                }
                self.report(owner, FarEvent::AutoResponded { wall_ms: self.now.get().wall_ms });
                return Some(auto);
            }
        }
        owner.unfinished += 1;
        match payload {
            Payload::InPlace(bytes) => {
                let batch = &mut self.reports.borrow_mut()[usize::from(owner.shard.0)];
                let start = batch.bytes.len() as u32;
                batch.bytes.extend_from_slice(bytes);
                let payload = start..batch.bytes.len() as u32;
                batch.events.push((owner.socket, FarEvent::Message { kind, payload }));
            }
            Payload::Assembled(payload) => self.report(owner, FarEvent::LargeMessage { kind, payload }),
        }
        None
    }

    /// Does what the home shard of far sockets says.
    pub(crate) fn carry_out(self: &Rc<Core>, from: ShardId, batch: CommandBatch) {
        let CommandBatch { bytes, commands } = batch;
        for command in commands {
            match command {
                Command::Early { to, frames } => {
                    // As a near socket gets it behind its 101: uncompressed, and already bounded where it waited.
                    if self.with_far(to, |_, owner| !owner.close.sent) == Some(true) {
                        self.queue_bytes(to.0, slice(&bytes, &frames));
                    }
                }
                Command::Frame { to, frame, key } => {
                    let frame = slice(&bytes, &frame);
                    let segment = self.output.borrow_mut().encoded(frame);
                    self.deliver(frame, segment, key, &to);
                }
                Command::SharedFrame { to, frame, key } => {
                    let segment = self.output.borrow_mut().shared(frame.clone());
                    self.deliver(&frame, segment, key, &to);
                }
                Command::Close { to, frame } => self.far_close(to, slice(&bytes, &frame)),
                Command::Dismiss { to, frame } => {
                    // RFC 6455 5.5.1: one Close. This shard may have sent its own meanwhile, or be leaving already.
                    let was_sent =
                        self.with_far(to, |_, owner| std::mem::replace(&mut owner.close.sent, true));
                    let Some(was_sent) = was_sent else { continue };
                    if !was_sent && !frame.is_empty() {
                        self.queue_close(to.0, slice(&bytes, &frame));
                    }
                    self.leave(to.0, false);
                }
                Command::Done { to, events } => {
                    self.with_far(to, |_, owner| owner.unfinished = owner.unfinished.saturating_sub(events));
                }
                Command::Pause { to: (place, id) } => self.pause_far(place, id),
                Command::Resume { to: (place, id) } => {
                    if self.is_there(place, id) {
                        self.resume_connection(place);
                    }
                }
                Command::AutoResponse { object, pair } => {
                    let known = self.far_objects.borrow().get(&(from, object)).and_then(Weak::upgrade);
                    if let Some(object) = known {
                        let auto = pair.and_then(|pair| AutoResponse::new(pair).ok());
                        *object.auto_response.borrow_mut() = auto.map(Rc::new);
                    }
                }
            }
        }
    }

    fn is_there(&self, place: Place, id: ConnectionId) -> bool {
        self.with_connection(place, |connection| connection.id == id) == Some(true)
    }

    fn with_far<R>(
        &self,
        (place, id): (Place, ConnectionId),
        f: impl FnOnce(&mut Pause, &mut FarOwner) -> R,
    ) -> Option<R> {
        self.with_connection(place, |connection| match connection {
            Connection { id: found, phase: Phase::Open(open), .. } if *found == id => match open {
                OpenState { owner: Owner::Far(owner), pause, .. } => Some(f(pause, owner)),
                OpenState { owner: Owner::Near(_), .. } => None,
            },
            _ => None,
        })
        .flatten()
    }

    /// Puts one frame into the outboxes of all its recipients here; `segment` is where it lies.
    fn deliver(self: &Rc<Core>, frame: &[u8], segment: Segment, key: Option<u64>, to: &Recipients) {
        let mut overflowing: Vec<Place> = Vec::new();
        {
            let mut connections = self.connections.borrow_mut();
            let mut outboxes = self.outboxes();
            let is_for_one = matches!(to, Recipients::One(..));
            let mut forms = Forms::of_message_frame(frame, segment, is_for_one).keyed(key);
            let mut push = |place: Place, id: ConnectionId| {
                let Some(connection) = connections.get_mut(place.0 as usize) else { return };
                if connection.id != id {
                    return;
                }
                let Phase::Open(OpenState { owner: Owner::Far(owner), .. }) = &connection.phase else {
                    return;
                };
                // RFC 6455 5.5.1: no data frames behind our Close.
                if owner.close.sent {
                    return;
                }
                let policy = self.shared.classes[usize::from(owner.object.class)].slow_reader;
                if let Queued::Overflow = outboxes.push(place, connection, policy, &mut forms) {
                    overflowing.push(place);
                }
            };
            match to {
                Recipients::One(place, id) => push(*place, *id),
                Recipients::Many(all) => all.iter().for_each(|(place, id)| push(*place, *id)),
            }
            forms.discard_unused(&mut outboxes.output);
        }
        for place in overflowing {
            self.counters.slow_readers_closed.add(1);
            self.close_far(place, close::TRY_AGAIN_LATER, "the client does not read");
        }
    }

    /// The object closes the socket, or answers its Close.
    fn far_close(&self, to: (Place, ConnectionId), frame: &[u8]) {
        let place = to.0;
        let progress = self.with_far(to, |_, owner| {
            let was_sent = std::mem::replace(&mut owner.close.sent, true);
            (was_sent, owner.close.received)
        });
        let Some((was_sent, received)) = progress else { return };
        if !was_sent && !frame.is_empty() {
            self.queue_close(place, frame);
        }
        if received {
            // RFC 6455 5.5.1, 7.1.1 and 7.1.2: with both Close frames exchanged, the server is the first to close TCP.
            self.leave(place, true);
        } else {
            self.await_close(place);
        }
    }

    /// The engine closes a far socket by itself, and tells its home.
    pub(crate) fn close_far(&self, place: Place, code: u16, reason: &str) {
        let closes = self.with_connection(place, |connection| match &mut connection.phase {
            Phase::Open(OpenState { owner: Owner::Far(owner), .. }) if !owner.close.sent => {
                owner.close.sent = true;
                self.report(owner, FarEvent::ClosedByEngine);
                Some(owner.close.received)
            }
            _ => None,
        });
        let Some(Some(received)) = closes else { return };
        let mut frame = Vec::new();
        encode_close(&mut frame, Some(code), reason);
        self.queue_close(place, &frame);
        if received {
            self.leave(place, true);
        } else {
            self.await_close(place);
        }
    }

    fn pause_far(&self, place: Place, id: ConnectionId) {
        let pauses = self.with_far((place, id), |pause, _| match pause {
            Pause::Not => {
                *pause = Pause::Mailbox;
                true
            }
            Pause::Mailbox | Pause::Control => false,
        });
        if pauses == Some(true) {
            self.effect(Effect::Pause(place));
        }
    }

    /// Tells the home shard how much waits for the kernel, when that has changed.
    pub(crate) fn report_buffered(&self, place: Place, connection: &mut Connection) {
        let bytes = self.waiting_bytes(place, connection);
        if let Phase::Open(OpenState { owner: Owner::Far(owner), .. }) = &mut connection.phase
            && owner.reported_bytes != bytes
        {
            owner.reported_bytes = bytes;
            self.report(owner, FarEvent::Buffered { bytes });
        }
    }
}
