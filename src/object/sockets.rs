//! What an application does with its sockets: accept, send, close, and what it reads of them. Owns the limits of the
//! API and the bound on output.

use std::cell::RefMut;
use std::rc::Rc;
use std::sync::Arc;

use super::auto_response::{AutoResponse, WebSocketRequestResponsePair};
use super::connection::Connection;
use super::core::Core;
use super::counters::ShardCounters;
use super::directory::ConnectionId;
use super::driver::Place;
use super::durable_object::SlowReader;
use super::error::ApiError;
use super::message::Message;
use super::output::{Output, Segment};
use super::remote::{COPIED_BYTES_MAX, Command, CommandBatch, Recipients};
use super::slab::{Key, Slab};
use super::socket::{Link, ReadyState, Socket};
use super::web_socket::WebSocket;
use crate::wire::{self, close};

/// Most distinct tags of one socket.
const TAGS_MAX: usize = 10;
/// Longest tag, UTF-8 bytes.
const TAG_BYTES_MAX: usize = 256;
/// Longest event timeout: seven days.
const EVENT_TIMEOUT_MS_MAX: u64 = 604_800_000;

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
    pub(crate) output: RefMut<'a, Output>,
    sockets: RefMut<'a, Slab<Socket>>,
    connections: RefMut<'a, Vec<Option<Connection>>>,
    dirty: RefMut<'a, Vec<Place>>,
    /// Far recipients, by shard.
    far: RefMut<'a, Vec<Vec<(Place, ConnectionId)>>>,
    has_far: bool,
    commands: RefMut<'a, Vec<CommandBatch>>,
    counters: &'a ShardCounters,
    policy: SlowReader,
    bytes_max: usize,
}

/// Puts a frame into an outbox; `false` when its bound is reached.
pub(crate) fn push_frame(
    place: Place,
    connection: &mut Connection,
    segment: Segment,
    output: &mut Output,
    dirty: &mut Vec<Place>,
    bytes_max: usize,
) -> bool {
    let factor = if connection.is_blocked { 1 } else { UNTRIED_FACTOR };
    if connection.outbox.queued_bytes() >= (bytes_max * factor).min(QUEUED_BYTES_CEILING) {
        return false;
    }
    connection.outbox.push(segment, output);
    if !connection.is_dirty && !connection.is_blocked {
        connection.is_dirty = true;
        dirty.push(place);
    }
    true
}

impl Delivery<'_> {
    /// Sends a frame to the far sockets among those it was queued for: once to each shard.
    pub(crate) fn ship(&mut self, segment: Segment) {
        if !self.has_far {
            return;
        }
        self.has_far = false;
        let frame = self.output.bytes(segment);
        let shared: Option<Arc<[u8]>> = (frame.len() > COPIED_BYTES_MAX).then(|| frame.into());
        for (targets, batch) in self.far.iter_mut().zip(self.commands.iter_mut()) {
            let to = match targets[..] {
                [] => continue,
                [(place, id)] => Recipients::One(place, id),
                _ => Recipients::Many(std::mem::take(targets)),
            };
            targets.clear();
            let command = match &shared {
                Some(frame) => Command::SharedFrame { to, frame: frame.clone() },
                None => Command::Frame { to, frame: batch.copy(frame) },
            };
            batch.commands.push(command);
        }
    }

    /// Puts a frame into the outbox of one socket.
    pub(crate) fn queue(&mut self, key: Key, segment: Segment) -> Queued {
        let Some(socket) = self.sockets.get_mut(key) else { return Queued::No };
        if socket.close.sent {
            return Queued::No;
        }
        let queued = match &mut socket.link {
            Link::Bound(place) => {
                let place = *place;
                let Some(Some(connection)) = self.connections.get_mut(place.0 as usize) else {
                    return Queued::No;
                };
                push_frame(place, connection, segment, &mut self.output, &mut self.dirty, self.bytes_max)
            }
            Link::Far(far) => {
                // The edge keeps the bound: it knows what waits.
                self.far[usize::from(far.shard.0)].push((far.place, far.id));
                self.has_far = true;
                return Queued::Yes;
            }
            Link::Pending(bytes) => {
                let fits = bytes.len() < self.bytes_max * UNTRIED_FACTOR;
                if fits {
                    bytes.extend_from_slice(self.output.bytes(segment));
                }
                fits
            }
            Link::Gone => return Queued::No,
        };
        match (queued, self.policy) {
            (true, _) => Queued::Yes,
            (false, SlowReader::Close) => Queued::Overflow,
            (false, SlowReader::DropNewest) => {
                self.counters.messages_dropped.add(1);
                Queued::No
            }
        }
    }
}

impl Core {
    pub(crate) fn delivery(&self, policy: SlowReader) -> Delivery<'_> {
        Delivery {
            output: self.output.borrow_mut(),
            sockets: self.sockets.borrow_mut(),
            connections: self.connections.borrow_mut(),
            dirty: self.dirty.borrow_mut(),
            far: self.far_recipients.borrow_mut(),
            has_far: false,
            commands: self.commands.borrow_mut(),
            counters: &self.counters,
            policy,
            bytes_max: self.settings().output_socket_bytes_max,
        }
    }

    /// Puts bytes that no policy may drop (a Close, a pong, an auto-response, a response) into an outbox.
    pub(crate) fn queue_bytes(&self, place: Place, bytes: &[u8]) {
        self.with_connection(place, |connection| self.queue_on(place, connection, bytes));
    }

    pub(crate) fn queue_on(&self, place: Place, connection: &mut Connection, bytes: &[u8]) {
        let mut output = self.output.borrow_mut();
        let segment = output.encoded(bytes);
        connection.outbox.push(segment, &mut output);
        if !connection.is_dirty && !connection.is_blocked {
            connection.is_dirty = true;
            self.dirty.borrow_mut().push(place);
        }
    }

    pub(crate) fn handle_of(self: &Rc<Core>, key: Key) -> WebSocket {
        let identity = self.sockets.borrow().get(key).map_or(0, |socket| socket.identity);
        WebSocket::accepted(self.clone(), key, identity)
    }

    pub(crate) fn accept_web_socket(
        self: &Rc<Core>,
        object_key: Key,
        ws: &WebSocket,
        tags: &[&str],
    ) -> Result<(), ApiError> {
        let mut distinct: Vec<&str> = Vec::new();
        for tag in tags {
            check_tag(tag)?;
            if !distinct.contains(tag) {
                distinct.push(tag);
            }
        }
        if distinct.len() > TAGS_MAX {
            return Err(ApiError::TooManyTags);
        }
        let mut objects = self.objects.borrow_mut();
        let object = objects.get_mut(object_key).ok_or(ApiError::ObjectGone)?;
        let limit = self.settings().sockets_per_object_max;
        if object.roster.len() >= limit {
            return Err(ApiError::TooManyWebSockets { limit });
        }
        let (identity, bytes) = ws.unaccepted().ok_or(ApiError::AlreadyAccepted)?;
        if bytes > self.settings().attachment_bytes_max {
            return Err(ApiError::AttachmentTooLarge { bytes, limit: self.settings().attachment_bytes_max });
        }
        let mut sockets = self.sockets.borrow_mut();
        let mut socket = Socket::new(identity, object_key);
        socket.attachment = ws.take_attachment();
        let key = sockets.insert(socket);
        object.roster.insert(key, &mut sockets);
        for tag in distinct {
            object.roster.add_tag(key, tag, &mut sockets);
        }
        let counter = &self.counters.namespaces[usize::from(object.class)].sockets;
        counter.set(counter.get() + 1);
        ws.bind(self, key);
        Ok(())
    }

    pub(crate) fn get_web_sockets(self: &Rc<Core>, object: Key, tag: Option<&str>) -> Vec<WebSocket> {
        let objects = self.objects.borrow();
        let Some(object) = objects.get(object) else { return Vec::new() };
        let sockets = self.sockets.borrow();
        let handle = |key: Key| {
            let identity = sockets.get(key).map_or(0, |socket| socket.identity);
            WebSocket::accepted(self.clone(), key, identity)
        };
        match tag {
            Some(tag) => object.roster.tagged(tag).map(handle).collect(),
            None => object.roster.oldest_first().rev().map(handle).collect(),
        }
    }

    pub(crate) fn get_tags(&self, ws: &WebSocket) -> Result<Vec<String>, ApiError> {
        let (_, key) = ws.locate().ok_or(ApiError::TagsBeforeAccept)?;
        let (objects, sockets) = (self.objects.borrow(), self.sockets.borrow());
        let Some(socket) = sockets.get(key) else { return Ok(Vec::new()) };
        let Some(object) = objects.get(socket.object) else { return Ok(Vec::new()) };
        Ok(object.roster.tag_names(socket).map(String::from).collect())
    }

    pub(crate) fn add_tag(&self, ws: &WebSocket, tag: &str) -> Result<(), ApiError> {
        check_tag(tag)?;
        let (_, key) = ws.locate().ok_or(ApiError::TagsBeforeAccept)?;
        let (mut objects, mut sockets) = (self.objects.borrow_mut(), self.sockets.borrow_mut());
        let Some(socket) = sockets.get(key) else { return Ok(()) };
        let Some(object) = objects.get_mut(socket.object) else { return Ok(()) };
        let has_it = object.roster.tag_names(socket).any(|name| name == tag);
        if !has_it && socket.tags.as_slice().len() >= TAGS_MAX {
            return Err(ApiError::TooManyTags);
        }
        object.roster.add_tag(key, tag, &mut sockets);
        Ok(())
    }

    pub(crate) fn remove_tag(&self, ws: &WebSocket, tag: &str) -> Result<bool, ApiError> {
        let (_, key) = ws.locate().ok_or(ApiError::TagsBeforeAccept)?;
        let (mut objects, mut sockets) = (self.objects.borrow_mut(), self.sockets.borrow_mut());
        let Some(object) = sockets.get(key).and_then(|socket| objects.get_mut(socket.object)) else {
            return Ok(false);
        };
        Ok(object.roster.remove_tag(key, tag, &mut sockets))
    }

    pub(crate) fn send(self: &Rc<Core>, key: Key, message: Message<'_>) -> Result<(), ApiError> {
        let policy = {
            let (mut objects, sockets) = (self.objects.borrow_mut(), self.sockets.borrow());
            // SEMANTICS 4: what is sent when the peer is gone is ignored.
            let Some(socket) = sockets.get(key) else { return Ok(()) };
            if socket.closed_by_application {
                return Err(ApiError::SendAfterClose);
            }
            let Some(object) = objects.get_mut(socket.object) else { return Ok(()) };
            object.messages_sent += 1;
            self.shared.classes[usize::from(object.class)].slow_reader
        };
        if self.queue_frame(key, policy, |output| output.encode(message)) {
            self.counters.frames_queued.add(1);
        }
        Ok(())
    }

    /// Queues a frame for one socket, wherever it is, if its bound allows; else the policy decides.
    fn queue_frame(&self, key: Key, policy: SlowReader, frame: impl FnOnce(&mut Output) -> Segment) -> bool {
        let queued = {
            let mut delivery = self.delivery(policy);
            let segment = frame(&mut delivery.output);
            let queued = delivery.queue(key, segment);
            delivery.ship(segment);
            delivery.output.discard_unused(segment);
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
        self.queue_frame(key, policy, |output| output.encoded(&auto.frame));
    }

    pub(crate) fn slow_reader_policy(&self, key: Key) -> SlowReader {
        let object = self.sockets.borrow().get(key).map(|socket| socket.object);
        let class = object.and_then(|object| self.objects.borrow().get(object).map(|object| object.class));
        class.map_or(SlowReader::Close, |class| self.shared.classes[usize::from(class)].slow_reader)
    }

    /// Puts an encoded frame into an outbox; `false` when its bound is reached.
    pub(crate) fn queue_within_bound(&self, place: Place, connection: &mut Connection, frame: &[u8]) -> bool {
        let mut output = self.output.borrow_mut();
        let segment = output.encoded(frame);
        let bytes_max = self.settings().output_socket_bytes_max;
        let mut dirty = self.dirty.borrow_mut();
        let fits = push_frame(place, connection, segment, &mut output, &mut dirty, bytes_max);
        output.discard_unused(segment);
        fits
    }

    pub(crate) fn close_slow_reader(&self, key: Key) {
        self.counters.slow_readers_closed.add(1);
        self.start_close(key, Some(close::TRY_AGAIN_LATER), "the client does not read");
    }

    pub(crate) fn close(&self, key: Key, code: Option<u16>, reason: &str) -> Result<(), ApiError> {
        let (is_done, completes) = match self.sockets.borrow().get(key) {
            Some(socket) => {
                let is_done = socket.closed_by_application || matches!(socket.link, Link::Gone);
                (is_done, socket.close.received)
            }
            None => (true, false),
        };
        if is_done {
            return Ok(());
        }
        if completes {
            // SEMANTICS 4: whatever code arrived may be given back. One that may not be on the wire (1005, 1006)
            // is answered by a Close without a code.
            let code = code.filter(|code| close::is_allowed_on_wire(*code));
            let reason = if code.is_some() && reason.len() <= close::REASON_BYTES_MAX { reason } else { "" };
            self.close_for_application(key, code, reason);
            return Ok(());
        }
        match code {
            Some(code) if !close::may_application_send(code) => {
                return Err(ApiError::InvalidCloseCode { code });
            }
            None if !reason.is_empty() => return Err(ApiError::CloseReasonWithoutCode),
            _ => {}
        }
        if reason.len() > close::REASON_BYTES_MAX {
            return Err(ApiError::CloseReasonTooLong { bytes: reason.len() });
        }
        self.close_for_application(key, code, reason);
        Ok(())
    }

    fn close_for_application(&self, key: Key, code: Option<u16>, reason: &str) {
        if let Some(socket) = self.sockets.borrow_mut().get_mut(key) {
            socket.closed_by_application = true;
        }
        self.start_close(key, code, reason);
    }

    /// Queues our Close, and ends the connection if it was the second of the two.
    pub(crate) fn start_close(&self, key: Key, code: Option<u16>, reason: &str) {
        let mut sockets = self.sockets.borrow_mut();
        let Some(socket) = sockets.get_mut(key) else { return };
        if socket.close.sent {
            return;
        }
        socket.close.sent = true;
        let received = socket.close.received;
        let mut frame = Vec::with_capacity(2 + 2 + reason.len());
        wire::encode_close(&mut frame, code, reason);
        match &mut socket.link {
            Link::Pending(bytes) => bytes.extend_from_slice(&frame),
            Link::Gone => {}
            Link::Far(far) => {
                let far = **far;
                if received {
                    socket.link = Link::Gone;
                }
                self.command_close(far, &frame);
            }
            Link::Bound(place) => {
                let place = *place;
                if received {
                    socket.link = Link::Gone;
                }
                drop(sockets);
                self.queue_bytes(place, &frame);
                if received {
                    // RFC 6455 7.1.1: the server closes TCP once both Close frames are exchanged.
                    self.leave(place, true);
                } else {
                    self.await_close(place);
                }
            }
        }
    }

    pub(crate) fn set_attachment(&self, key: Key, bytes: Vec<u8>) -> Result<(), ApiError> {
        let limit = self.settings().attachment_bytes_max;
        if bytes.len() > limit {
            return Err(ApiError::AttachmentTooLarge { bytes: bytes.len(), limit });
        }
        if let Some(socket) = self.sockets.borrow_mut().get_mut(key) {
            socket.attachment = Some(bytes.into());
        }
        Ok(())
    }

    pub(crate) fn with_attachment<R>(&self, key: Key, f: impl FnOnce(Option<&[u8]>) -> R) -> R {
        let attachment = self.sockets.borrow().get(key).and_then(|socket| socket.attachment.clone());
        // A copy, so that reading it may run code of the application.
        f(attachment.as_deref())
    }

    pub(crate) fn ready_state(&self, key: Key) -> ReadyState {
        self.sockets.borrow().get(key).map_or(ReadyState::Closed, Socket::ready_state)
    }

    pub(crate) fn buffered_amount(&self, key: Key) -> usize {
        match self.sockets.borrow().get(key).map(|socket| &socket.link) {
            Some(Link::Pending(bytes)) => bytes.len(),
            Some(Link::Bound(place)) => {
                self.with_connection(*place, |connection| connection.outbox.queued_bytes()).unwrap_or(0)
            }
            Some(Link::Far(_)) => self.sockets.borrow().get(key).map_or(0, |s| s.far_buffered_bytes as usize),
            Some(Link::Gone) | None => 0,
        }
    }

    pub(crate) fn connection_id(&self, key: Key) -> Option<ConnectionId> {
        match &self.sockets.borrow().get(key)?.link {
            Link::Bound(place) => self.with_connection(*place, |connection| connection.id),
            Link::Far(far) => Some(far.id),
            Link::Pending(_) | Link::Gone => None,
        }
    }

    pub(crate) fn set_auto_response(
        &self,
        object: Key,
        pair: Option<WebSocketRequestResponsePair>,
    ) -> Result<(), ApiError> {
        let auto_response = pair.map(AutoResponse::new).transpose()?.map(Rc::new);
        let changed = match self.objects.borrow_mut().get_mut(object) {
            Some(record) => {
                let old = std::mem::replace(&mut record.auto_response, auto_response.clone());
                old.as_ref().map(|auto| &auto.pair) != auto_response.as_ref().map(|auto| &auto.pair)
            }
            None => false,
        };
        if changed {
            self.spread_auto_response(object, auto_response.map(|auto| auto.pair.clone()));
        }
        Ok(())
    }

    pub(crate) fn auto_response_timestamp(&self, ws: &WebSocket) -> Option<u64> {
        let (_, key) = ws.locate()?;
        self.sockets.borrow().get(key).map(|socket| socket.auto_response_ms).filter(|ms| *ms != 0)
    }

    pub(crate) fn set_event_timeout(&self, object: Key, timeout_ms: Option<u64>) -> Result<(), ApiError> {
        let timeout_ms = timeout_ms.filter(|timeout_ms| *timeout_ms != 0);
        if timeout_ms.is_some_and(|timeout_ms| timeout_ms > EVENT_TIMEOUT_MS_MAX) {
            return Err(ApiError::EventTimeoutTooLong);
        }
        if let Some(object) = self.objects.borrow_mut().get_mut(object) {
            object.event_timeout_ms = timeout_ms;
        }
        Ok(())
    }

    pub(crate) fn random_uuid(&self) -> String {
        let bits = (u128::from(self.next_random()) << 64) | u128::from(self.next_random());
        // RFC 9562 5.4: version 4 in bits 48-51, variant 10 in bits 64-65.
        let bits = (bits & !(0xF << 76) | (0x4 << 76)) & !(0x3 << 62) | (0x2 << 62);
        let hex = format!("{bits:032x}");
        format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
    }
}

fn check_tag(tag: &str) -> Result<(), ApiError> {
    if tag.len() > TAG_BYTES_MAX {
        return Err(ApiError::TagTooLong { tag: tag.to_owned() });
    }
    Ok(())
}
