//! Sockets accepted with the standard API (`accept()`). Owns the queue between such a socket and whoever reads its
//! events; the object's handlers hear nothing of them, and the object stays in memory while one is open.
//!
//! ```text
//!   client's frames --tell_standard--> Queue --next()--> a future of the object (wait_until)
//!                                        |
//!                                        +-- Close or error read: the socket ends when that future waits again
//! ```

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::future::poll_fn;
use std::rc::Rc;
use std::task::{Poll, Waker};

use super::core::Core;
use super::error::ApiError;
use super::slab::Key;
use super::socket::Socket;
use super::web_socket::WebSocket;
use crate::wire::{MessageKind, ProtocolError, close};

/// What happened on a socket that [`Context::accept`](super::Context::accept) was called on.
///
/// ```
/// use dormouse::WebSocketEvent;
///
/// fn is_the_end(event: &WebSocketEvent) -> bool {
///     matches!(event, WebSocketEvent::Close { .. } | WebSocketEvent::Error(_))
/// }
/// assert!(!is_the_end(&WebSocketEvent::Text("hello".into())));
/// assert!(is_the_end(&WebSocketEvent::Close { code: 1000, reason: "bye".into(), was_clean: true }));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WebSocketEvent {
    /// A text message.
    Text(String),
    /// A binary message.
    Binary(Vec<u8>),
    /// The connection ended; the last event. Code and reason as in
    /// [`web_socket_close`](super::DurableObject::web_socket_close).
    Close {
        /// The client's code; 1005 when it sent none, 1006 when it is gone without a Close.
        code: u16,
        /// The client's reason.
        reason: String,
        /// A Close frame came.
        was_clean: bool,
    },
    /// The client broke the protocol and was told so; the last event.
    Error(ProtocolError),
}

impl WebSocketEvent {
    pub(crate) fn message(kind: MessageKind, payload: &[u8]) -> WebSocketEvent {
        match kind {
            MessageKind::Binary => WebSocketEvent::Binary(payload.to_vec()),
            // The session has let only UTF-8 pass.
            MessageKind::Text => WebSocketEvent::Text(String::from_utf8_lossy(payload).into_owned()),
        }
    }

    fn payload_bytes(&self) -> usize {
        match self {
            WebSocketEvent::Text(text) => text.len(),
            WebSocketEvent::Binary(bytes) => bytes.len(),
            WebSocketEvent::Close { .. } | WebSocketEvent::Error(_) => 0,
        }
    }

    fn is_last(&self) -> bool {
        matches!(self, WebSocketEvent::Close { .. } | WebSocketEvent::Error(_))
    }
}

/// The events of one socket accepted with the standard API, in order (Durable Objects API: `addEventListener` with
/// `message`, `close` and `error`).
///
/// What waits here counts towards `limits.mailbox_events_per_object` and `limits.mailbox_bytes_per_object`; beyond
/// them the client is read no further until half of it is read. Dropped, it leaves the socket open and its messages
/// unheard; a Close is then answered by the engine.
///
/// ```no_run
/// # fn example(ctx: dormouse::Context) -> dormouse::Result<dormouse::Response> {
/// use dormouse::{Response, WebSocketEvent, WebSocketPair};
///
/// let WebSocketPair { client, server } = WebSocketPair::new();
/// let mut events = ctx.accept(&server)?;
/// ctx.wait_until(async move {
///     while let Some(event) = events.next().await {
///         if let WebSocketEvent::Text(text) = event {
///             let _ = server.send(&text);
///         }
///     }
/// });
/// Ok(Response::web_socket(client))
/// # }
/// ```
pub struct WebSocketEvents {
    core: Rc<Core>,
    socket: Key,
    queue: Rc<Queue>,
    waiting: Rc<Waiting>,
}

#[derive(Default)]
struct Queue {
    events: RefCell<VecDeque<WebSocketEvent>>,
    reader: RefCell<Option<Waker>>,
    /// Nobody reads any more.
    is_deserted: Cell<bool>,
    /// The last event was read, or the socket is gone without one.
    is_over: Cell<bool>,
}

/// What waits in all queues of one object.
#[derive(Default)]
struct Waiting {
    events: Cell<usize>,
    bytes: Cell<usize>,
}

impl Waiting {
    fn add(&self, event: &WebSocketEvent) {
        self.events.set(self.events.get() + 1);
        self.bytes.set(self.bytes.get() + event.payload_bytes());
    }

    fn remove(&self, event: &WebSocketEvent) {
        self.events.set(self.events.get() - 1);
        self.bytes.set(self.bytes.get() - event.payload_bytes());
    }
}

/// An object's standard sockets.
#[derive(Default)]
pub(crate) struct StandardSockets {
    /// In order of keys, so that what ends them all does the same in each run.
    queues: BTreeMap<Key, Rc<Queue>>,
    waiting: Rc<Waiting>,
}

impl StandardSockets {
    pub(crate) fn len(&self) -> usize {
        self.queues.len()
    }

    /// Events and their bytes that nobody has read.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        (self.waiting.events.get(), self.waiting.bytes.get())
    }

    /// Appends an event, or gives it back when nobody will read it.
    pub(crate) fn push(&self, key: Key, event: WebSocketEvent) -> Result<(), WebSocketEvent> {
        let Some(queue) = self.queues.get(&key).filter(|queue| !queue.is_deserted.get()) else {
            return Err(event);
        };
        self.waiting.add(&event);
        queue.events.borrow_mut().push_back(event);
        if let Some(reader) = queue.reader.borrow_mut().take() {
            reader.wake();
        }
        Ok(())
    }
}

/// A standard socket whose last event was read, or will not be.
pub(crate) struct Finished {
    socket: Key,
    event: WebSocketEvent,
}

impl WebSocketEvents {
    /// The next event, as soon as there is one; `None` after a [`WebSocketEvent::Close`] or
    /// [`WebSocketEvent::Error`]. A client's Close is answered with its own code when the future that read it waits
    /// again or ends, unless it has closed the socket by then.
    pub async fn next(&mut self) -> Option<WebSocketEvent> {
        poll_fn(|context| {
            if let Some(event) = self.queue.events.borrow_mut().pop_front() {
                return Poll::Ready(Some(event));
            }
            if self.queue.is_over.get() {
                return Poll::Ready(None);
            }
            *self.queue.reader.borrow_mut() = Some(context.waker().clone());
            Poll::Pending
        })
        .await
        .inspect(|event| self.was_read(event))
    }

    fn was_read(&self, event: &WebSocketEvent) {
        self.waiting.remove(event);
        if let WebSocketEvent::Error(error) = event {
            // RFC 6455 7.1.7: first a Close with an appropriate code.
            self.core.close_for_error(self.socket, error.close_code(), &error.to_string());
        }
        if event.is_last() {
            self.queue.is_over.set(true);
            let finished = Finished { socket: self.socket, event: event.clone() };
            self.core.finished_standard.borrow_mut().push(finished);
        }
        self.core.standard_event_read(self.socket, event);
    }
}

impl Drop for WebSocketEvents {
    fn drop(&mut self) {
        self.queue.is_deserted.set(true);
        for event in self.queue.events.take() {
            self.waiting.remove(&event);
            if event.is_last() {
                self.core.finished_standard.borrow_mut().push(Finished { socket: self.socket, event });
            }
        }
    }
}

impl Core {
    pub(crate) fn accept(
        self: &Rc<Core>,
        object_key: Key,
        ws: &WebSocket,
    ) -> Result<WebSocketEvents, ApiError> {
        let mut objects = self.objects.borrow_mut();
        let object = objects.get_mut(object_key).ok_or(ApiError::ObjectGone)?;
        let socket = self.admit(object, object_key, ws, || self.why_not_again(ws))?;
        let key = self.sockets.borrow_mut().insert(socket);
        let queue: Rc<Queue> = Rc::default();
        object.standard.queues.insert(key, queue.clone());
        // SEMANTICS 2: a standard socket pins the object in memory.
        object.mailbox.pins.set(object.mailbox.pins.get() + 1);
        ws.bind(self, key);
        Ok(WebSocketEvents {
            core: self.clone(),
            socket: key,
            queue,
            waiting: object.standard.waiting.clone(),
        })
    }

    fn why_not_again(&self, ws: &WebSocket) -> ApiError {
        let is_standard =
            ws.locate().and_then(|(_, key)| self.sockets.borrow().get(key).map(Socket::is_standard));
        if is_standard == Some(false) { ApiError::AcceptAfterHibernation } else { ApiError::AcceptTwice }
    }

    /// Tells the reader of a standard socket of its end. May be called while a connection is borrowed.
    pub(crate) fn tell_standard(&self, object: Key, socket: Key, event: WebSocketEvent) {
        let objects = self.objects.borrow();
        let Some(object) = objects.get(object) else { return };
        if let Err(event) = object.standard.push(socket, event) {
            self.finished_standard.borrow_mut().push(Finished { socket, event });
        }
    }

    fn standard_event_read(self: &Rc<Core>, socket: Key, event: &WebSocketEvent) {
        let Some(object) = self.sockets.borrow().get(socket).map(|socket| socket.object) else { return };
        if let Some(record) = self.objects.borrow_mut().get_mut(object) {
            record.last_event_ms = self.now_ms();
            if !event.is_last() {
                self.counters.namespaces[usize::from(record.class)].messages.add(1);
            }
        }
        self.resume_if_relieved(object);
    }

    /// Ends the standard sockets whose readers have seen the end.
    pub(crate) fn finish_standard(self: &Rc<Core>) {
        for Finished { socket, event } in std::mem::take(&mut *self.finished_standard.borrow_mut()) {
            match event {
                // RFC 6455 5.5.1: a Close gets a Close in response, with the code that came.
                WebSocketEvent::Close { code, reason, was_clean: true } => {
                    let code = Some(code).filter(|code| close::is_allowed_on_wire(*code));
                    self.start_close(socket, code, &reason);
                }
                WebSocketEvent::Error(error) => {
                    self.close_for_error(socket, error.close_code(), &error.to_string());
                }
                _ => {}
            }
            self.remove_standard(socket);
        }
    }

    fn remove_standard(self: &Rc<Core>, key: Key) {
        let Some(socket) = self.sockets.borrow_mut().remove(key) else { return };
        let removed = self.objects.borrow_mut().get_mut(socket.object).map(|object| {
            let counter = &self.counters.namespaces[usize::from(object.class)].sockets;
            counter.set(counter.get() - 1);
            object.standard.queues.remove(&key)
        });
        if let Some(Some(queue)) = removed {
            queue.is_over.set(true);
            if let Some(reader) = queue.reader.borrow_mut().take() {
                reader.wake();
            }
        }
        self.unpin(socket.object);
    }

    /// Ends all standard sockets of an object whose instance goes: what read them went with it.
    pub(crate) fn end_standard_sockets(self: &Rc<Core>, object: Key) {
        let keys: Vec<Key> = match self.objects.borrow().get(object) {
            Some(object) => object.standard.queues.keys().copied().collect(),
            None => return,
        };
        for key in keys {
            self.dismiss_socket(key, close::INTERNAL_ERROR, "the object failed");
            self.remove_standard(key);
        }
    }
}
