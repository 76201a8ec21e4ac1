//! What an application does with its sockets: accept, send, close, and what it reads of them. Owns the limits of the
//! API.

use std::rc::Rc;

use super::auto_response::{AutoResponse, WebSocketRequestResponsePair};
use super::core::Core;
use super::directory::ConnectionId;
use super::error::ApiError;
use super::forms::Forms;
use super::message::Message;
use super::object::Object;
use super::slab::Key;
use super::socket::{Link, ReadyState, Socket};
use super::web_socket::WebSocket;
use crate::wire::{self, close};

/// Most distinct tags of one socket.
const TAGS_MAX: usize = 10;
/// Longest tag, UTF-8 bytes.
const TAG_BYTES_MAX: usize = 256;
/// Longest event timeout: seven days.
const EVENT_TIMEOUT_MS_MAX: u64 = 604_800_000;

impl Core {
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
        let (mut distinct, mut count) = ([""; TAGS_MAX], 0);
        let mut are_too_many = false;
        for tag in tags {
            check_tag(tag)?;
            if distinct[..count].contains(tag) {
                continue;
            }
            match distinct.get_mut(count) {
                Some(place) => (*place, count) = (tag, count + 1),
                None => are_too_many = true,
            }
        }
        if are_too_many {
            return Err(ApiError::TooManyTags);
        }
        let mut objects = self.objects.borrow_mut();
        let object = objects.get_mut(object_key).ok_or(ApiError::ObjectGone)?;
        let socket = self.admit(object, object_key, ws, || ApiError::AlreadyAccepted)?;
        let mut sockets = self.sockets.borrow_mut();
        let key = sockets.insert(socket);
        object.roster.insert(key, &mut sockets);
        for tag in &distinct[..count] {
            object.roster.add_tag(key, tag, &mut sockets);
        }
        ws.bind(self, key);
        Ok(())
    }

    /// The record of a socket that an object accepts, in whichever way, and which counts from now on; `again` says what
    /// is wrong with one that was accepted before.
    pub(crate) fn admit(
        &self,
        object: &Object,
        object_key: Key,
        ws: &WebSocket,
        again: impl FnOnce() -> ApiError,
    ) -> Result<Socket, ApiError> {
        let (identity, bytes) = ws.unaccepted().ok_or_else(again)?;
        let limit = self.settings().sockets_per_object_max;
        if object.roster.len() + object.standard.len() >= limit {
            return Err(ApiError::TooManyWebSockets { limit });
        }
        let limit = self.settings().attachment_bytes_max;
        if bytes > limit {
            return Err(ApiError::AttachmentTooLarge { bytes, limit });
        }
        let mut socket = Socket::new(identity, object_key);
        socket.attachment = ws.take_attachment();
        let counter = &self.counters.namespaces[usize::from(object.class)].sockets;
        counter.set(counter.get() + 1);
        Ok(socket)
    }

    pub(crate) fn get_web_sockets(self: &Rc<Core>, object: Key, tag: Option<&str>) -> Vec<WebSocket> {
        let objects = self.objects.borrow();
        let Some(object) = objects.get(object) else { return Vec::new() };
        let sockets = self.sockets.borrow();
        let handle = |position: u32| {
            let key = sockets.key_at(position)?;
            Some(WebSocket::accepted(self.clone(), key, sockets.at(position)?.identity))
        };
        match tag {
            Some(tag) => object.roster.tagged(tag).filter_map(handle).collect(),
            None => object.roster.oldest_first().rev().filter_map(handle).collect(),
        }
    }

    pub(crate) fn get_tags(&self, ws: &WebSocket) -> Result<Vec<String>, ApiError> {
        let (_, key) = ws.locate().ok_or(ApiError::TagsBeforeAccept)?;
        let (objects, sockets) = (self.objects.borrow(), self.sockets.borrow());
        let Some(socket) = sockets.get(key) else { return Ok(Vec::new()) };
        if socket.is_standard() {
            return Err(ApiError::TagsOfStandardSocket);
        }
        let Some(object) = objects.get(socket.object) else { return Ok(Vec::new()) };
        Ok(object.roster.tag_names(socket).map(String::from).collect())
    }

    pub(crate) fn add_tag(&self, ws: &WebSocket, tag: &str) -> Result<(), ApiError> {
        check_tag(tag)?;
        let (_, key) = ws.locate().ok_or(ApiError::TagsBeforeAccept)?;
        let (mut objects, mut sockets) = (self.objects.borrow_mut(), self.sockets.borrow_mut());
        let Some(socket) = sockets.get(key) else { return Ok(()) };
        if socket.is_standard() {
            return Err(ApiError::TagsOfStandardSocket);
        }
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
        let Some(socket) = sockets.get(key) else { return Ok(false) };
        if socket.is_standard() {
            return Err(ApiError::TagsOfStandardSocket);
        }
        let Some(object) = objects.get_mut(socket.object) else { return Ok(false) };
        Ok(object.roster.remove_tag(key, tag, &mut sockets))
    }

    /// Sends a message, under a key of the application's or without.
    pub(crate) fn send(
        self: &Rc<Core>,
        key: Key,
        message: Message<'_>,
        under: Option<u64>,
    ) -> Result<(), ApiError> {
        self.flush_batch_of_socket(key);
        self.send_now(key, message, under).map(drop)
    }

    /// Whether it was queued.
    pub(crate) fn send_now(
        self: &Rc<Core>,
        key: Key,
        message: Message<'_>,
        under: Option<u64>,
    ) -> Result<bool, ApiError> {
        let policy = {
            let (mut objects, sockets) = (self.objects.borrow_mut(), self.sockets.borrow());
            // SEMANTICS 4: what is sent when the peer is gone is ignored.
            let Some(socket) = sockets.get(key) else { return Ok(false) };
            if socket.closed_by_application {
                return Err(ApiError::SendAfterClose);
            }
            let Some(object) = objects.get_mut(socket.object) else { return Ok(false) };
            object.messages_sent += 1;
            self.shared.classes[usize::from(object.class)].slow_reader
        };
        let is_queued = self.queue_forms(key, policy, Forms::for_one(message).keyed(policy.key(under)));
        if is_queued {
            self.counters.frames_queued.add(1);
        }
        Ok(is_queued)
    }

    pub(crate) fn close_slow_reader(&self, key: Key) {
        self.counters.slow_readers_closed.add(1);
        self.start_close(key, Some(close::TRY_AGAIN_LATER), "the client does not read");
    }

    pub(crate) fn close(self: &Rc<Core>, key: Key, code: Option<u16>, reason: &str) -> Result<(), ApiError> {
        let (is_done, progress, object) = match self.sockets.borrow().get(key) {
            Some(socket) => {
                let is_done = socket.closed_by_application || matches!(socket.link, Link::Gone);
                (is_done, socket.close, socket.object)
            }
            None => return Ok(()),
        };
        if is_done {
            return Ok(());
        }
        if progress.received {
            // The client was first. An object that has not been told of it closes the socket as any other: what it has
            // pushed comes before the Close.
            if !progress.sent && !self.mailbox_of(object).is_told_of_end(key) {
                self.flush_batches_for(key);
            }
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
        self.flush_batches_for(key);
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
            Link::Pending(early) => early.get_or_insert_default().close(&frame),
            Link::Gone => {}
            Link::Far(far) => {
                let far = far.connection;
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
                self.queue_close(place, &frame);
                if received {
                    // RFC 6455 7.1.1: the server closes TCP once both Close frames are exchanged.
                    self.leave(place, true);
                } else {
                    self.await_close(place);
                }
            }
        }
    }

    /// Closes a socket because the server ends.
    pub(crate) fn go_away(&self, key: Key) {
        // RFC 6455 7.3: a server may close whenever it wants to, and begins with the closing handshake.
        self.start_close(key, Some(wire::close::GOING_AWAY), "the server shuts down");
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
            Some(Link::Pending(early)) => {
                early.as_ref().map_or(0, |early| early.frames.len() + early.kept.bytes())
            }
            Some(Link::Bound(place)) => {
                self.with_connection(*place, |connection| self.waiting_bytes(*place, connection)).unwrap_or(0)
            }
            Some(Link::Far(far)) => far.buffered_bytes as usize,
            Some(Link::Gone) | None => 0,
        }
    }

    pub(crate) fn connection_id(&self, key: Key) -> Option<ConnectionId> {
        match &self.sockets.borrow().get(key)?.link {
            Link::Bound(place) => self.with_connection(*place, |connection| connection.id),
            Link::Far(far) => Some(far.connection.id),
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
