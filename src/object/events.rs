//! One event, from the mailbox to its end. Owns what surrounds a handler: Close frames in their turn, the answer to
//! a client's Close, timeouts, and giving up.

use std::rc::Rc;

use super::auto_response::AutoResponse;
use super::closing::LOST_REASON;
use super::core::Core;
use super::error::{ApiError, Error};
use super::mailbox::{Current, Event, Mailbox, Running};
use super::planted::{Bug, is_planted};
use super::remote::Command;
use super::slab::Key;
use super::socket::Link;
use super::standard::WebSocketEvent;
use super::timers::Timer;
use crate::wire::{close, encode_close};

impl Core {
    /// Puts an event into an object's mailbox and has the object run.
    pub(crate) fn push_event(self: &Rc<Core>, object: Key, event: Event) {
        let mut is_standard = false;
        if let Some(key) = event.socket()
            && let Some(socket) = self.sockets.borrow_mut().get_mut(key)
        {
            socket.pending_events += 1;
            is_standard = socket.is_standard();
        }
        let event = match event {
            Event::Close { socket, code, reason, was_clean } if is_standard => {
                let event = WebSocketEvent::Close { code, reason: reason.into(), was_clean };
                return self.tell_standard(object, socket, event);
            }
            Event::Error { socket, error } if is_standard => {
                return self.tell_standard(object, socket, WebSocketEvent::Error(error));
            }
            event => event,
        };
        self.mailbox_of(object).push(event);
        self.wake_object(object);
    }

    /// What is done before a handler runs; `None` when no handler is to run.
    pub(crate) fn begin_event(
        self: &Rc<Core>,
        object: Key,
        mailbox: &Mailbox,
        event: Event,
    ) -> Option<Event> {
        let mut close_answer = None;
        let mut reply = None;
        let mut event = event;
        let kind = match &mut event {
            Event::Message { socket, .. } => {
                // A socket that its object was relieved of meanwhile has no more messages.
                let is_heard = self.sockets.borrow().get(*socket).is_some_and(|socket| !socket.is_muted);
                if !is_heard {
                    self.event_done(*socket);
                    self.resume_if_relieved(object);
                    return None;
                }
                Running::Message
            }
            Event::AutoResponse { socket, auto } => {
                self.auto_respond_late(*socket, auto);
                self.resume_if_relieved(object);
                return None;
            }
            Event::Close { socket, code, reason, was_clean } => {
                if !is_planted(Bug::CloseEventTwice) {
                    self.sockets.borrow().get(*socket)?;
                }
                if *was_clean {
                    let code = Some(*code).filter(|code| close::is_allowed_on_wire(*code));
                    close_answer = Some((code, reason.clone()));
                }
                Running::Close
            }
            // RFC 6455 7.1.7: first a Close with an appropriate code.
            Event::Error { socket, error } => {
                self.sockets.borrow().get(*socket)?;
                self.close_for_error(*socket, error.close_code(), &error.to_string());
                Running::Error
            }
            Event::Fetch(fetch) => {
                reply = fetch.reply.take();
                *mailbox.chain.borrow_mut() = std::mem::take(&mut fetch.chain);
                Running::Fetch
            }
            Event::Tick => Running::Tick,
        };
        let socket = event.socket();
        if kind != Running::Fetch {
            mailbox.chain.borrow_mut().clear();
        }
        if kind == Running::Message
            && let Some(object) = self.objects.borrow().get(object)
        {
            self.counters.namespaces[usize::from(object.class)].messages.add(1);
        }
        let number = self.events_begun.get() + 1;
        self.events_begun.set(number);
        let started_ms = self.now_ms();
        *mailbox.current.borrow_mut() =
            Some(Current { kind, socket, close_answer, reply, started_ms, number, has_timer: false });
        Some(event)
    }

    /// Tells a peer that broke the protocol so, and reads it no more.
    pub(crate) fn close_for_error(self: &Rc<Core>, key: Key, code: u16, reason: &str) {
        let mut end = close::REASON_BYTES_MAX.min(reason.len());
        while !reason.is_char_boundary(end) {
            end -= 1;
        }
        self.dismiss_socket(key, code, &reason[..end]);
    }

    /// Ends the connection of a socket with a Close, unless one has left already; the object has no more of it.
    pub(crate) fn dismiss_socket(&self, key: Key, code: u16, reason: &str) {
        let (link, is_closing) = {
            let mut sockets = self.sockets.borrow_mut();
            let Some(socket) = sockets.get_mut(key) else { return };
            let link = std::mem::replace(&mut socket.link, Link::Gone);
            (link, std::mem::replace(&mut socket.close.sent, true))
        };
        match link {
            Link::Bound(place) if is_closing => self.leave(place, false),
            Link::Bound(place) => self.dismiss(place, code, reason),
            Link::Far(far) => {
                let mut frame = Vec::new();
                if !is_closing {
                    encode_close(&mut frame, Some(code), reason);
                }
                self.command_dismiss(far.connection, &frame);
            }
            Link::Pending(_) | Link::Gone => {}
        }
    }

    /// Answers in its turn what the pair took when it was in force.
    pub(crate) fn auto_respond_late(self: &Rc<Core>, key: Key, auto: &AutoResponse) {
        let answers = {
            let mut sockets = self.sockets.borrow_mut();
            let Some(socket) = sockets.get_mut(key) else { return };
            let answers = !socket.close.sent;
            if answers {
                socket.auto_response_ms = self.now.get().wall_ms;
            }
            answers
        };
        if answers {
            self.queue_auto_response(key, auto);
        }
        self.event_done(key);
    }

    /// A handler has returned.
    pub(crate) fn finish_event(self: &Rc<Core>, object_key: Key, mailbox: &Mailbox) {
        let Some(current) = mailbox.current.borrow_mut().take() else { return };
        self.end_of_socket_event(&current);
        if let Some(object) = self.objects.borrow_mut().get_mut(object_key) {
            object.last_event_ms = self.now_ms();
            object.failures = 0;
        }
        self.resume_if_relieved(object_key);
    }

    /// Reads sockets again that were paused because too much waited, when half of it is gone.
    pub(crate) fn resume_if_relieved(self: &Rc<Core>, object_key: Key) {
        let paused = {
            let mut objects = self.objects.borrow_mut();
            let Some(object) = objects.get_mut(object_key) else { return };
            if object.paused.is_empty() {
                return;
            }
            let (events, bytes) = object.waiting();
            let settings = self.settings();
            let is_relieved =
                events <= settings.mailbox_events_max / 2 && bytes <= settings.mailbox_bytes_max / 2;
            if is_relieved { std::mem::take(&mut object.paused) } else { Vec::new() }
        };
        let most = if is_planted(Bug::ResumesOnlyOne) { 1 } else { usize::MAX };
        for key in paused.into_iter().take(most) {
            self.resume_socket(key);
        }
    }

    /// What becomes of the socket of an event that is over, however it ended.
    pub(crate) fn end_of_socket_event(self: &Rc<Core>, current: &Current) {
        let Some(key) = current.socket else { return };
        self.event_done(key);
        if matches!(current.kind, Running::Close | Running::Error) {
            self.answer_close(key, current);
            self.remove_socket(key);
        }
    }

    /// One event less of this socket waits or runs.
    fn event_done(&self, key: Key) {
        let mut sockets = self.sockets.borrow_mut();
        let Some(socket) = sockets.get_mut(key) else { return };
        socket.pending_events = socket.pending_events.saturating_sub(1);
        if let Link::Far(far) = &socket.link {
            let far = far.connection;
            self.command(far.shard, Command::Done { to: (far.place, far.id), events: 1 });
        }
    }

    /// RFC 6455 5.5.1: a Close gets a Close in response. The handler may have done it; else its own code goes back.
    pub(crate) fn answer_close(&self, key: Key, current: &Current) {
        if let Some((code, reason)) = &current.close_answer {
            self.start_close(key, *code, reason);
        }
    }

    /// Takes a socket off its object.
    pub(crate) fn remove_socket(&self, key: Key) {
        let (mut objects, mut sockets) = (self.objects.borrow_mut(), self.sockets.borrow_mut());
        let Some(socket) = sockets.get(key) else { return };
        if let Some(object) = objects.get_mut(socket.object) {
            let counter = &self.counters.namespaces[usize::from(object.class)].sockets;
            counter.set(counter.get() - 1);
            object.roster.remove(key, &mut sockets);
        }
        sockets.remove(key);
    }

    /// A handler was left waiting: answer a Close now, and see that the event ends in time.
    pub(crate) fn handler_suspended(self: &Rc<Core>, object_key: Key, mailbox: &Mailbox) {
        let mut answer = None;
        if let Some(current) = &mut *mailbox.current.borrow_mut() {
            if let (Some(key), Some(close_answer)) = (current.socket, current.close_answer.take()) {
                answer = Some((key, close_answer));
            }
            if !current.has_timer {
                let timeout_ms = match current.kind {
                    Running::Fetch => Some(self.settings().fetch_ms),
                    Running::Tick => None,
                    _ => self.objects.borrow().get(object_key).and_then(|object| object.event_timeout_ms),
                };
                if let Some(timeout_ms) = timeout_ms {
                    current.has_timer = true;
                    let deadline = current.started_ms.saturating_add(timeout_ms);
                    self.timers.borrow_mut().insert(deadline, Timer::Event(object_key, current.number));
                }
            }
        }
        if let Some((key, (code, reason))) = answer {
            self.start_close(key, code, &reason);
        }
    }

    /// The time of an event is over, if it still runs.
    pub(crate) fn event_timed_out(self: &Rc<Core>, object: Key, number: u64) {
        let Some(mailbox) = self.objects.borrow().get(object).map(|object| object.mailbox.clone()) else {
            return;
        };
        let runs = mailbox.current.borrow().as_ref().is_some_and(|current| current.number == number);
        if runs {
            self.counters.event_timeouts.add(1);
            self.fail_instance(object, &mailbox, ApiError::CallTimedOut.into());
        }
    }

    /// Ends the running event as failed.
    pub(crate) fn fail_current(self: &Rc<Core>, mailbox: &Mailbox, error: Error) {
        let Some(mut current) = mailbox.current.borrow_mut().take() else { return };
        self.answer(current.reply.take(), Err(error));
        if let Some(key) = current.socket
            && current.kind == Running::Message
        {
            // SEMANTICS 1: the event's socket gets 1011, the others stay.
            if let Some(socket) = self.sockets.borrow_mut().get_mut(key) {
                socket.is_muted = true;
            }
            self.start_close(key, Some(close::INTERNAL_ERROR), "the object failed");
        }
        self.end_of_socket_event(&current);
    }

    /// A socket whose 101 can never be written.
    pub(crate) fn socket_abandoned(self: &Rc<Core>, key: Key) {
        let object = {
            let mut sockets = self.sockets.borrow_mut();
            let Some(socket) = sockets.get_mut(key) else { return };
            if !matches!(socket.link, Link::Pending(_)) || socket.close.received {
                return;
            }
            socket.link = Link::Gone;
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
