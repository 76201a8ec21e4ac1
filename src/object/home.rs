//! The home shard's part in far sockets: their events reach the object as those of near ones do, and what the object
//! says goes out in batches, one a shard and turn.

use std::rc::Rc;

use super::auto_response::WebSocketRequestResponsePair;
use super::core::Core;
use super::driver::ShardId;
use super::inbound::Taken;
use super::mesh::{MeshMessage, SocketName, StayPut};
use super::planted::{Bug, is_planted};
use super::remote::{Attached, Command, EventBatch, FarConnection, FarEvent, Recipients};
use super::settings::room_needed;
use super::slab::Key;
use super::socket::{FarLink, Link, Socket};
use crate::wire::{Payload, close, encode_close};

impl Core {
    /// Whether the connection of a socket that was just accepted is to stay where it is.
    pub(crate) fn stay_put(&self, name: SocketName) -> Option<Box<StayPut>> {
        let (objects, sockets) = (self.objects.borrow(), self.sockets.borrow());
        let key = sockets.get(name.0).filter(|socket| !socket.is_standard())?.object;
        let object = objects.get(key)?;
        if self.has_room() && object.roster.len() <= self.settings().crowd_sockets {
            return None;
        }
        let auto_response = object.auto_response.as_ref().map(|auto| auto.pair.clone());
        Some(Box::new(StayPut { object: key, class: object.class, auto_response }))
    }

    /// Whether the shard may take over a connection of another. Clients come to the shards at random, so that it needs room
    /// for its part of all that are still to come, and some: without it they would wait, whatever room other shards have.
    fn has_room(&self) -> bool {
        let shared = &self.shared;
        let here = usize::try_from(self.counters.connections.get()).unwrap_or(usize::MAX);
        let directory = &shared.directory;
        let shards = usize::from(shared.shards);
        room_needed(here, directory.open(), directory.connections_max(), shards)
            <= shared.connections_per_shard
    }

    /// The 101 of a far socket was written.
    pub(crate) fn attached(self: &Rc<Core>, attached: Attached) {
        let Attached { socket: key, connection: far } = attached;
        let pending = {
            let mut sockets = self.sockets.borrow_mut();
            match sockets.get_mut(key) {
                Some(socket) => {
                    match std::mem::replace(&mut socket.link, Link::Far(Box::new(FarLink::new(far)))) {
                        Link::Pending(early) => {
                            Some((early.unwrap_or_default(), socket.close.sent, socket.object))
                        }
                        other => {
                            socket.link = other;
                            None
                        }
                    }
                }
                None => None,
            }
        };
        let Some((mut early, close_sent, object)) = pending else {
            let mut frame = Vec::new();
            encode_close(&mut frame, Some(close::INTERNAL_ERROR), "the object is gone");
            return self.command_dismiss(far, &frame);
        };
        // The pair may have changed since the response left.
        let pair = self
            .objects
            .borrow()
            .get(object)
            .and_then(|object| object.auto_response.as_ref().map(|auto| auto.pair.clone()));
        self.command(far.shard, Command::AutoResponse { object, pair });
        if !early.frames.is_empty() {
            self.command_early(far, &early.frames);
        }
        while let Some((key, frame)) = early.kept.pop() {
            self.command_frame(far, &frame, Some(key));
        }
        if close_sent {
            self.command_close(far, &[]);
        } else if self.is_draining.get() {
            self.go_away(key);
        }
    }

    /// The server ends. An edge that closed a far socket by itself would overtake what its object said.
    pub(crate) fn drain_far_sockets(&self) {
        let far: Vec<Key> = {
            let sockets = self.sockets.borrow();
            let is_far =
                |key: &Key| sockets.get(*key).is_some_and(|socket| matches!(socket.link, Link::Far(_)));
            sockets.keys().filter(is_far).collect()
        };
        far.into_iter().for_each(|key| self.go_away(key));
    }

    /// What happened to far sockets.
    pub(crate) fn take_reports(self: &Rc<Core>, batch: EventBatch) {
        let EventBatch { mut bytes, events } = batch;
        for (key, event) in events {
            match event {
                FarEvent::Message { kind, payload } => {
                    let payload = &mut bytes[payload.start as usize..payload.end as usize];
                    let taken = self.take_message(key, kind, Payload::InPlace(payload));
                    self.follow_up(key, taken);
                }
                FarEvent::LargeMessage { kind, payload } => {
                    let taken = self.take_message(key, kind, Payload::Assembled(payload));
                    self.follow_up(key, taken);
                }
                FarEvent::Close { code, reason } => {
                    self.take_close(key, code, reason);
                }
                FarEvent::Lost => self.socket_lost(key),
                FarEvent::Failed(error) => self.take_error(key, error),
                FarEvent::AutoResponded { wall_ms } => {
                    self.counters.auto_responses.add(1);
                    if let Some(socket) = self.sockets.borrow_mut().get_mut(key) {
                        socket.auto_response_ms = wall_ms;
                    }
                }
                FarEvent::ClosedByEngine => {
                    if let Some(socket) = self.sockets.borrow_mut().get_mut(key) {
                        socket.close.sent = true;
                    }
                }
                FarEvent::Buffered { bytes } => {
                    if let Some(Socket { link: Link::Far(far), .. }) = self.sockets.borrow_mut().get_mut(key)
                    {
                        far.buffered_bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
                    }
                }
            }
            let object = self.sockets.borrow().get(key).map(|socket| socket.object);
            if let Some(object) = object {
                self.wake_object(object);
            }
        }
    }

    fn follow_up(self: &Rc<Core>, key: Key, taken: Taken) {
        let far = match self.sockets.borrow().get(key).map(|socket| &socket.link) {
            Some(Link::Far(far)) => far.connection,
            _ => return,
        };
        match taken {
            Taken::Waits => {}
            Taken::Full => {
                let was_paused = match self.sockets.borrow_mut().get_mut(key) {
                    Some(Socket { link: Link::Far(far), .. }) => std::mem::replace(&mut far.is_paused, true),
                    _ => true,
                };
                if !was_paused {
                    self.remember_paused(key);
                    self.command(far.shard, Command::Pause { to: (far.place, far.id) });
                }
            }
            Taken::Answer(auto) => {
                self.command_frame(far, &auto.frame, None);
                self.command(far.shard, Command::Done { to: (far.place, far.id), events: 1 });
            }
            Taken::Dropped => {
                self.command(far.shard, Command::Done { to: (far.place, far.id), events: 1 });
            }
            Taken::Failed(error) => self.take_error(key, error),
        }
    }

    /// Tells the edges of an object's far sockets of its auto-response pair.
    pub(crate) fn spread_auto_response(&self, object: Key, pair: Option<WebSocketRequestResponsePair>) {
        let mut shards: Vec<ShardId> = Vec::new();
        {
            let (objects, sockets) = (self.objects.borrow(), self.sockets.borrow());
            let Some(object) = objects.get(object) else { return };
            if self.shared.shards == 1 {
                return;
            }
            for position in object.roster.oldest_first() {
                if let Some(Link::Far(far)) = sockets.at(position).map(|socket| &socket.link)
                    && !shards.contains(&far.connection.shard)
                {
                    shards.push(far.connection.shard);
                }
            }
        }
        for shard in shards {
            self.command(shard, Command::AutoResponse { object, pair: pair.clone() });
        }
    }

    pub(crate) fn command(&self, shard: ShardId, command: Command) {
        self.commands.borrow_mut()[usize::from(shard.0)].commands.push(command);
    }

    fn command_early(&self, far: FarConnection, frames: &[u8]) {
        let batch = &mut self.commands.borrow_mut()[usize::from(far.shard.0)];
        let frames = batch.copy(frames);
        batch.commands.push(Command::Early { to: (far.place, far.id), frames });
    }

    fn command_frame(&self, far: FarConnection, frame: &[u8], key: Option<u64>) {
        let batch = &mut self.commands.borrow_mut()[usize::from(far.shard.0)];
        let frame = batch.copy(frame);
        batch.commands.push(Command::Frame { to: Recipients::One(far.place, far.id), frame, key });
    }

    pub(crate) fn command_close(&self, far: FarConnection, frame: &[u8]) {
        let batch = &mut self.commands.borrow_mut()[usize::from(far.shard.0)];
        let frame = batch.copy(frame);
        batch.commands.push(Command::Close { to: (far.place, far.id), frame });
    }

    pub(crate) fn command_dismiss(&self, far: FarConnection, frame: &[u8]) {
        let batch = &mut self.commands.borrow_mut()[usize::from(far.shard.0)];
        let frame = batch.copy(frame);
        batch.commands.push(Command::Dismiss { to: (far.place, far.id), frame });
    }

    /// Hands what a turn has gathered for other shards to the driver.
    pub(crate) fn ship_batches(&self) {
        for (shard, batch) in self.commands.borrow_mut().iter_mut().enumerate() {
            if !batch.commands.is_empty() {
                batch.commands.rotate_left(usize::from(is_planted(Bug::FarCommandsReordered)));
                let batch = Box::new(std::mem::take(batch));
                self.tell(ShardId(shard as u16), MeshMessage::Commands { from: self.shard, batch });
            }
        }
        for (shard, batch) in self.reports.borrow_mut().iter_mut().enumerate() {
            if !batch.events.is_empty() {
                let batch = Box::new(std::mem::take(batch));
                self.tell(ShardId(shard as u16), MeshMessage::Events(batch));
            }
        }
    }
}
