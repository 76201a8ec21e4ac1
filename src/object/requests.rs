//! Requests of one connection, one after the other: received, answered by the worker, and for an upgrade turned into
//! an open connection. Owns what a response may be and the deadlines of a request; the parsing is `wire`'s.

use core::net::IpAddr;
use std::rc::Rc;

use super::connection::{Connection, Departure, HttpState, OpenState, Owner, PartialBody, Phase, Stage};
use super::core::Core;
use super::directory::ConnectionId;
use super::driver::{Effect, Place, Receive};
use super::env::Env;
use super::error::{ApiError, Result, status_of};
use super::http::{Request, Response};
use super::mesh::MeshMessage;
use super::moment::Moment;
use super::tasks::TaskKind;
use super::web_socket::WebSocket;
use crate::wire::{
    self, BodyDecoder, HeadKind, RequestError, encode_refusal, encode_response_head,
    encode_switching_protocols, fields_named, list_contains, negotiate_deflate, parse_head,
};

/// How long a request may take to arrive when the server shuts down: it is here already, or on its way.
const LATE_REQUEST_MS: u64 = 500;

/// Bytes of memory for a 101 that stay for the next one.
const RESPONSE_HEAD_KEPT: usize = 4_096;

/// What one step on the received bytes led to.
enum Step {
    /// More bytes are needed.
    More,
    /// The client waits for leave to send its body.
    Continue,
    /// A request is complete.
    Ready(Request),
    Refused(RequestError),
    /// The origin is not on the list.
    Forbidden,
}

impl Core {
    pub(crate) fn accepted(self: &Rc<Core>, place: Place) {
        let Some(id) = self.shared.directory.insert(self.shard) else {
            // Over the process's limit; without a record there is nothing to say it with.
            self.effect(Effect::Close(place));
            return;
        };
        self.begin_requests(place, id);
    }

    pub(crate) fn accepted_from(self: &Rc<Core>, place: Place, address: Option<IpAddr>) {
        let Some(addresses) = &self.shared.addresses else { return self.accepted(place) };
        let id = self.shared.directory.insert(self.shard);
        match (id, address) {
            (Some(id), Some(address)) if addresses.admit(id, address) => self.begin_requests(place, id),
            (id, _) => {
                if let Some(id) = id {
                    self.shared.directory.remove(id);
                    self.counters.addresses_refused.add(1);
                }
                self.effect(Effect::Close(place));
            }
        }
    }

    /// The connection is no more.
    pub(crate) fn forget_connection(&self, id: ConnectionId) {
        self.shared.directory.remove(id);
        if let Some(addresses) = &self.shared.addresses {
            addresses.forget(id);
        }
    }

    fn begin_requests(self: &Rc<Core>, place: Place, id: ConnectionId) {
        self.counters.accepted.add(1);
        // One that waited for this shard when the server began to shut down is answered like those before it.
        let patience_ms = self.settings().handshake_ms;
        let patience_ms = if self.is_draining.get() { patience_ms.min(LATE_REQUEST_MS) } else { patience_ms };
        let deadline = self.now_ms() + patience_ms;
        let mut connection = Connection::new(id, Phase::Http(Box::default()));
        connection.deadline = Moment::not_before(deadline);
        self.insert_connection(place, connection);
        self.with_connection(place, |connection| self.look_by(place, connection, deadline));
        self.effect(Effect::Receive(place, Receive::Once));
    }

    pub(crate) fn receive_request_bytes(self: &Rc<Core>, place: Place, bytes: &[u8]) {
        self.with_connection(place, |connection| {
            let Phase::Http(http) = &mut connection.phase else { return };
            let begins = http.received.is_empty() && matches!(http.stage, Stage::Head) && http.requests > 0;
            http.received.extend_from_slice(bytes);
            if begins {
                // The first byte of a further request: from here on it has the time of a handshake.
                let deadline = self.now_ms() + self.settings().handshake_ms;
                connection.deadline = Moment::not_before(deadline);
                self.look_by(place, connection, deadline);
            }
        });
        self.go_on_with_requests(place);
    }

    /// Takes the next request out of what was received, and has it answered.
    fn go_on_with_requests(self: &Rc<Core>, place: Place) {
        let step = self.with_connection(place, |connection| match &mut connection.phase {
            Phase::Http(http) if !matches!(http.stage, Stage::Answering) => Some(self.next_request(http)),
            _ => None,
        });
        match step {
            Some(Some(Step::More)) => self.effect(Effect::Receive(place, Receive::Once)),
            Some(Some(Step::Continue)) => {
                // RFC 9110 10.1.1
                self.queue_bytes(place, b"HTTP/1.1 100 Continue\r\n\r\n");
                self.effect(Effect::Receive(place, Receive::Once));
            }
            Some(Some(Step::Ready(request))) => self.answer_request(place, request),
            Some(Some(Step::Refused(error))) => self.refuse(place, &error),
            // RFC 6455 4.2.2 (4): an origin that is not wanted gets an appropriate error code
            Some(Some(Step::Forbidden)) => {
                self.counters.requests_refused.add(1);
                let response = Response::new(403, "the Origin is not on this server's list\n");
                self.respond(place, response, false);
            }
            Some(None) | None => {}
        }
    }

    fn next_request(&self, http: &mut HttpState) -> Step {
        loop {
            match &mut http.stage {
                Stage::Answering => return Step::More,
                Stage::Body(body) => {
                    let progress = match body.decoder.decode(&http.received, body.request.body_mut()) {
                        Ok(progress) => progress,
                        Err(error) => return Step::Refused(error),
                    };
                    http.received.drain(..progress.consumed);
                    if !progress.complete {
                        return Step::More;
                    }
                    let Stage::Body(body) = std::mem::take(&mut http.stage) else { return Step::More };
                    return Step::Ready(body.request);
                }
                Stage::Head => match self.take_head(http) {
                    Ok(None) => {}
                    Ok(Some(step)) => return step,
                    Err(error) => return Step::Refused(error),
                },
            }
        }
    }

    /// Reads a head if it is complete; `None` when a body is to be read next.
    fn take_head(&self, http: &mut HttpState) -> Result<Option<Step>, RequestError> {
        let limits = &self.settings().head;
        let Some(length) = http.scanner.scan(&http.received, limits)? else { return Ok(Some(Step::More)) };
        let rest = http.received.split_off(length);
        let head = std::mem::replace(&mut http.received, rest);
        let mut fields = self.head_fields.borrow_mut();
        let parsed = parse_head(&head, limits, &mut fields)?;
        http.requests += 1;
        http.scanner = wire::HeadScanner::default();
        (http.accept, http.offered_protocols, http.deflate) = (None, Vec::new(), None);
        match parsed.kind {
            HeadKind::Upgrade(upgrade) => {
                http.accept = Some(upgrade.accept);
                let deflate = &self.settings().deflate;
                // RFC 7692 5.1 and 7.1: accepted only if it was offered, and as it was offered
                http.deflate =
                    negotiate_deflate(&head, &fields, deflate.is_enabled.then_some(&deflate.terms))?;
                let request = Request::received(head, &parsed, &fields);
                let origins = &self.settings().origins;
                let is_allowed = origins.is_empty()
                    || request.headers().get("Origin").is_some_and(|origin| {
                        origins.iter().any(|allowed| allowed.eq_ignore_ascii_case(origin))
                    });
                http.offered_protocols = request
                    .headers()
                    .get_all("Sec-WebSocket-Protocol")
                    .flat_map(|value| value.split(',').map(|protocol| protocol.trim().to_owned()))
                    .collect();
                // A refused upgrade ends the connection: what stands behind it was written for another protocol.
                (http.keep_alive, http.is_head_method, http.upgrade_by_wrong_method) = (false, false, false);
                Ok(Some(if is_allowed { Step::Ready(request) } else { Step::Forbidden }))
            }
            HeadKind::Ordinary(ordinary) => {
                http.keep_alive = ordinary.keep_alive;
                http.is_head_method = ordinary.is_head_method;
                let is_upgrade =
                    fields_named(&head, &fields, "upgrade").any(|value| list_contains(value, "websocket"));
                http.upgrade_by_wrong_method = is_upgrade;
                http.keep_alive &= !is_upgrade;
                let request = Request::received(head, &parsed, &fields);
                let decoder = BodyDecoder::new(ordinary.body, self.settings().body_bytes_max)?;
                http.stage = Stage::Body(Box::new(PartialBody { request, decoder }));
                let waits = ordinary.expect_continue && http.received.is_empty();
                Ok(waits.then_some(Step::Continue))
            }
        }
    }

    /// Has the worker answer.
    fn answer_request(self: &Rc<Core>, place: Place, request: Request) {
        self.counters.requests.add(1);
        let deadline = self.now_ms() + self.settings().fetch_ms;
        let number = self.with_connection(place, |connection| {
            connection.deadline = Moment::not_before(deadline);
            self.look_by(place, connection, deadline);
            let Phase::Http(http) = &mut connection.phase else { return 0 };
            http.stage = Stage::Answering;
            if let Some(addresses) = &self.shared.addresses {
                addresses.introduced(connection.id);
            }
            http.requests
        });
        let Some(number) = number else { return };
        let worker = self.shared.worker.clone();
        let core = self.clone();
        let task = Box::pin(async move {
            let result = worker.fetch(request, Env::of_worker(core.clone())).await;
            core.request_answered(place, number, result);
        });
        let task = self.tasks.spawn(TaskKind::Request(place, number), task);
        self.with_connection(place, |connection| {
            if let Phase::Http(http) = &mut connection.phase {
                http.task = Some(task);
            }
        });
    }

    /// Whether the connection still waits for the answer to this request.
    fn awaits_answer(&self, place: Place, number: u64) -> bool {
        self.with_connection(place, |connection| match &connection.phase {
            Phase::Http(http) => matches!(http.stage, Stage::Answering) && http.requests == number,
            _ => false,
        })
        .unwrap_or(false)
    }

    pub(crate) fn request_answered(self: &Rc<Core>, place: Place, number: u64, result: Result<Response>) {
        // Otherwise the client is gone, and with the response goes its socket.
        if !self.awaits_answer(place, number) {
            return;
        }
        self.with_connection(place, |connection| {
            if let Phase::Http(http) = &mut connection.phase {
                http.task = None;
            }
        });
        match result {
            Ok(response) if response.web_socket.is_some() => self.upgrade(place, response),
            // RFC 6455 4.2.2 (4): the error for a resource name without a service is the application's to choose
            Ok(response) => self.respond_and_go_on(place, response),
            Err(error) => {
                let status = status_of(&error);
                if status == 500 {
                    tracing::warn!(%error, "fetch failed");
                }
                self.respond_and_go_on(place, Response::new(status, status_text(status)));
            }
        }
    }

    pub(crate) fn request_panicked(self: &Rc<Core>, place: Place, number: u64) {
        let error = ApiError::CallAborted { message: "the worker panicked".into() };
        self.request_answered(place, number, Err(error.into()));
    }

    pub(crate) fn request_timed_out(self: &Rc<Core>, place: Place) {
        let left = self.with_connection(place, |connection| match &mut connection.phase {
            Phase::Http(http) => Some((http.task.take(), http.departure.take())),
            _ => None,
        });
        let Some(Some((task, departure))) = left else { return };
        self.drop_future(task.and_then(|task| self.tasks.remove(task)));
        if let Some(departure) = departure {
            self.abandon(departure.target, departure.socket);
        }
        self.counters.request_timeouts.add(1);
        self.respond(place, Response::new(504, status_text(504)), false);
    }

    fn refuse(self: &Rc<Core>, place: Place, error: &RequestError) {
        self.counters.requests_refused.add(1);
        let mut bytes = Vec::new();
        encode_refusal(&mut bytes, error);
        self.queue_bytes(place, &bytes);
        // RFC 6455 7.2.2: to abort a handshake is to close the connection.
        self.leave(place, false);
    }

    fn respond_and_go_on(self: &Rc<Core>, place: Place, response: Response) {
        let keep_alive = self.with_connection(place, |connection| match &connection.phase {
            Phase::Http(http) => http.keep_alive && !self.is_draining.get(),
            _ => false,
        });
        let keep_alive = keep_alive == Some(true);
        self.respond(place, response, keep_alive);
        if keep_alive {
            self.go_on_with_requests(place);
        }
    }

    /// Writes a response; without `keep_alive` it is the last.
    fn respond(self: &Rc<Core>, place: Place, response: Response, keep_alive: bool) {
        let is_head_method = self.with_connection(place, |connection| match &mut connection.phase {
            Phase::Http(http) => {
                http.stage = Stage::Head;
                // A request that was begun before this answer has the time of a handshake, as any other.
                let settings = self.settings();
                let is_idle = http.received.is_empty();
                let patience_ms = if is_idle { settings.keep_alive_ms } else { settings.handshake_ms };
                let deadline = self.now_ms() + patience_ms;
                connection.deadline = Moment::not_before(deadline);
                let is_head_method = http.is_head_method;
                self.look_by(place, connection, deadline);
                is_head_method
            }
            _ => false,
        });
        let Some(is_head_method) = is_head_method else { return };
        let mut bytes = Vec::with_capacity(256 + response.body.len());
        let date = httpdate::fmt_http_date(
            std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(self.now.get().wall_ms),
        );
        let date = (response.headers.get("Date").is_none()).then_some(("Date", date.as_str()));
        let length = Some(response.body.len() as u64);
        encode_response_head(
            &mut bytes,
            response.status,
            response.headers.iter().chain(date),
            length,
            keep_alive,
        );
        let has_body = !is_head_method && !matches!(response.status, 204 | 304);
        if has_body {
            bytes.extend_from_slice(&response.body);
        }
        self.queue_bytes(place, &bytes);
        if !keep_alive {
            self.leave(place, false);
        }
    }

    /// Turns the connection into a WebSocket, here or on the shard of its object.
    fn upgrade(self: &Rc<Core>, place: Place, response: Response) {
        let Response { headers, web_socket, .. } = response;
        let facts = self.with_connection(place, |connection| match &mut connection.phase {
            Phase::Http(http) => Some((
                http.accept.take(),
                std::mem::take(&mut http.offered_protocols),
                http.upgrade_by_wrong_method,
                http.deflate.take(),
            )),
            _ => None,
        });
        let Some(Some((accept, offered, by_wrong_method, deflate))) = facts else { return };
        let Some(accept) = accept else {
            if by_wrong_method {
                return self.refuse(place, &RequestError::UpgradeMethod);
            }
            return self.fail_upgrade(place, &ApiError::NotAnUpgrade.to_string());
        };
        // RFC 6455 4.2.2 (4): a subprotocol MUST be one of those offered; the client would fail the connection (4.1).
        if let Some(chosen) = headers.get("Sec-WebSocket-Protocol")
            && !offered.iter().any(|protocol| protocol == chosen)
        {
            return self
                .fail_upgrade(place, "the response names a subprotocol that the client did not offer");
        }
        let stay = web_socket.as_ref().and_then(WebSocket::stay_put);
        let Some((shard, socket)) = web_socket.and_then(|web_socket| web_socket.take_for_response()) else {
            return self.fail_upgrade(place, &ApiError::ResponseSocketNotAccepted.to_string());
        };
        let mut bytes = self.response_head.take();
        bytes.reserve(256);
        let deflate = deflate
            .map(|agreement| self.agreement_on(if stay.is_some() { self.shard } else { shard }, agreement));
        let extensions = deflate.map(|agreement| agreement.to_string());
        // RFC 6455 4.2.2 (4) and 5.8: extensions are for the handshake to negotiate, not for the application to claim.
        let headers =
            headers.iter().filter(|(name, _)| !name.eq_ignore_ascii_case("Sec-WebSocket-Extensions"));
        let extensions = extensions.as_deref().map(|extensions| ("Sec-WebSocket-Extensions", extensions));
        encode_switching_protocols(&mut bytes, &accept, headers.chain(extensions));
        if self.is_draining.get() {
            self.abandon(shard, socket);
            return self.respond(place, Response::new(503, status_text(503)), false);
        }
        if shard == self.shard {
            self.open(place, socket.0, &bytes, deflate);
        } else if let Some(stay) = stay {
            self.open_far(place, shard, socket, &stay, &bytes, deflate);
        } else {
            return self.depart(place, Departure { target: shard, socket, response: bytes, deflate });
        }
        bytes.clear();
        bytes.shrink_to(RESPONSE_HEAD_KEPT);
        self.response_head.replace(bytes);
    }

    fn fail_upgrade(self: &Rc<Core>, place: Place, why: &str) {
        tracing::warn!(why, "an upgrade failed");
        self.respond(place, Response::new(500, status_text(500)), false);
    }

    pub(crate) fn abandon(self: &Rc<Core>, shard: super::driver::ShardId, socket: super::mesh::SocketName) {
        if shard == self.shard {
            self.socket_abandoned(socket.0);
        } else {
            self.tell(shard, MeshMessage::SocketAbandoned(socket));
        }
    }

    /// The server ends: sockets get their Close, connections that wait for a request end, the others with their
    /// response.
    pub(crate) fn drain_connection(self: &Rc<Core>, place: Place) {
        enum Drain {
            Socket(super::slab::Key),
            Requesting,
            Idle,
            Nothing,
        }
        let deadline = self.now_ms() + LATE_REQUEST_MS;
        let drain = self.with_connection(place, |connection| match &connection.phase {
            Phase::Open(OpenState { owner: Owner::Near(key), .. }) => Drain::Socket(*key),
            // Its object's shard closes it, behind what the object has said.
            Phase::Open(OpenState { owner: Owner::Far(_), .. }) => Drain::Nothing,
            Phase::Http(http) => match &http.stage {
                Stage::Answering => Drain::Nothing,
                Stage::Head if http.requests > 0 && http.received.is_empty() => Drain::Idle,
                Stage::Head | Stage::Body(_) => Drain::Requesting,
            },
            _ => Drain::Nothing,
        });
        match drain {
            Some(Drain::Socket(key)) => self.go_away(key),
            // A request may be on its way: to close at once would reset it, and not end it.
            Some(Drain::Idle) => {
                self.leave(place, false);
                self.hurry(place, deadline);
            }
            Some(Drain::Requesting) => self.hurry(place, deadline),
            Some(Drain::Nothing) | None => {}
        }
    }

    /// Has the patience with a connection end by then.
    fn hurry(&self, place: Place, deadline_ms: u64) {
        self.with_connection(place, |connection| {
            connection.deadline = connection.deadline.min(Moment::not_before(deadline_ms));
            self.look_by(place, connection, deadline_ms);
        });
    }
}

/// What a client learns of a failure: the name of the status.
fn status_text(status: u16) -> String {
    format!("{}\n", wire::reason_phrase(status))
}
