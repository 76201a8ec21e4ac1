//! Events on their way to one object. Owns their order, their bytes, and the one event that runs; it outlives the
//! instance, so that what a failed instance left behind reaches the next.
//!
//! ```text
//!   handle_received --push--> filling { events, bytes }      the world appends
//!                                  | swap when draining is empty
//!                                  v
//!   handler <--borrowed slice-- draining { events, bytes }   the actor pops, one event at a time
//! ```
//!
//! Two batches, so that a slice which a suspended handler borrows stays where it is while more arrives; both are
//! used again and again, so that a message costs no allocation.

use std::any::Any;
use std::cell::{Cell, Ref, RefCell};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::ops::Range;
use std::rc::Rc;
use std::task::Poll;

use super::auto_response::AutoResponse;
use super::calls::{FetchEvent, Reply};
use super::error::Error;
use super::slab::Key;
use crate::wire::{BatchHead, MessageKind, ProtocolError};

/// Capacity that an empty batch may keep, bytes.
const KEPT_BYTES_MAX: usize = 64 << 10;

/// Something that an object is to be told.
#[derive(Debug)]
pub(crate) enum Event {
    Message {
        socket: Key,
        kind: MessageKind,
        payload: PayloadAt,
        /// Present when it is an envelope, and its object asked for batches.
        batch: Option<BatchHead>,
    },
    Close {
        socket: Key,
        code: u16,
        reason: Box<str>,
        was_clean: bool,
    },
    Error {
        socket: Key,
        error: ProtocolError,
    },
    /// An auto-response that had to wait behind a message of the same socket. Reaches no handler.
    AutoResponse {
        socket: Key,
        auto: Rc<AutoResponse>,
    },
    Fetch(Box<FetchEvent>),
    Tick,
}

impl Event {
    pub(crate) fn socket(&self) -> Option<Key> {
        match self {
            Event::Message { socket, .. }
            | Event::Close { socket, .. }
            | Event::Error { socket, .. }
            | Event::AutoResponse { socket, .. } => Some(*socket),
            Event::Fetch(_) | Event::Tick => None,
        }
    }
}

/// Where the bytes of a message lie.
#[derive(Debug)]
pub(crate) enum PayloadAt {
    /// In the batch of its event.
    Batch(Range<u32>),
    /// In a buffer of their own: a message that arrived in pieces was put together there.
    Own(Vec<u8>),
}

impl PayloadAt {
    pub(crate) fn len(&self) -> usize {
        match self {
            PayloadAt::Batch(range) => range.len(),
            PayloadAt::Own(bytes) => bytes.len(),
        }
    }
}

#[derive(Debug, Default)]
struct Batch {
    events: VecDeque<Event>,
    bytes: Vec<u8>,
}

/// What kind of event runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Running {
    Message,
    Close,
    Error,
    Fetch,
    Tick,
}

/// The event that runs.
#[derive(Debug)]
pub(crate) struct Current {
    pub(crate) kind: Running,
    pub(crate) socket: Option<Key>,
    /// For a close event: the code and reason to answer with if the handler does not.
    pub(crate) close_answer: Option<(Option<u16>, Box<str>)>,
    pub(crate) reply: Option<Reply>,
    pub(crate) started_ms: u64,
    /// Tells this event from the next for its timer.
    pub(crate) number: u64,
    pub(crate) has_timer: bool,
}

/// How an instance ended by itself.
#[derive(Debug)]
pub(crate) enum Exit {
    ConstructFailed(Error),
    HandlerFailed(Error),
}

/// The events of one object.
#[derive(Default)]
pub(crate) struct Mailbox {
    filling: RefCell<Batch>,
    draining: RefCell<VecDeque<Event>>,
    draining_bytes: RefCell<Vec<u8>>,
    waiting_events: Cell<usize>,
    waiting_bytes: Cell<usize>,
    pub(crate) current: RefCell<Option<Current>>,
    /// Kept apart from the future that runs it: when a handler panics, the future unwinds, and an instance whose
    /// `Drop` panics too would end the process if it were dropped on the way.
    pub(crate) instance: RefCell<Option<Rc<dyn Any>>>,
    pub(crate) exit: RefCell<Option<Exit>>,
    /// The actor is in the list of tasks to poll.
    pub(crate) scheduled: Cell<bool>,
    /// Tasks, standard sockets and the like that forbid hibernation.
    pub(crate) pins: Cell<u32>,
    /// The objects that wait for the event that runs, from the first caller on; for finding cycles.
    pub(crate) chain: RefCell<Vec<Box<str>>>,
}

impl Mailbox {
    /// Appends a message and copies its bytes into the batch.
    pub(crate) fn push_message(
        &self,
        socket: Key,
        kind: MessageKind,
        bytes: &[u8],
        batch: Option<BatchHead>,
    ) {
        let mut filling = self.filling.borrow_mut();
        let start = filling.bytes.len() as u32;
        filling.bytes.extend_from_slice(bytes);
        let payload = PayloadAt::Batch(start..start + bytes.len() as u32);
        filling.events.push_back(Event::Message { socket, kind, payload, batch });
        self.count(1, bytes.len());
    }

    pub(crate) fn push(&self, event: Event) {
        let bytes = match &event {
            Event::Message { payload, .. } => payload.len(),
            Event::Fetch(fetch) => fetch.request.body().len(),
            _ => 0,
        };
        self.filling.borrow_mut().events.push_back(event);
        self.count(1, bytes);
    }

    fn count(&self, events: usize, bytes: usize) {
        self.waiting_events.set(self.waiting_events.get() + events);
        self.waiting_bytes.set(self.waiting_bytes.get() + bytes);
    }

    /// The next event, when there is one; in order, whichever instance asks.
    pub(crate) async fn next(&self) -> Event {
        poll_fn(|_| match self.pop() {
            Some(event) => Poll::Ready(event),
            // No waker: the world polls the actor when it has pushed something.
            None => Poll::Pending,
        })
        .await
    }

    pub(crate) fn pop(&self) -> Option<Event> {
        let mut draining = self.draining.borrow_mut();
        if draining.is_empty() {
            let mut filling = self.filling.borrow_mut();
            let mut bytes = self.draining_bytes.borrow_mut();
            bytes.clear();
            bytes.shrink_to(KEPT_BYTES_MAX);
            if filling.events.is_empty() {
                return None;
            }
            std::mem::swap(&mut *draining, &mut filling.events);
            std::mem::swap(&mut *bytes, &mut filling.bytes);
        }
        let event = draining.pop_front()?;
        let bytes = match &event {
            Event::Message { payload, .. } => payload.len(),
            Event::Fetch(fetch) => fetch.request.body().len(),
            _ => 0,
        };
        self.waiting_events.set(self.waiting_events.get() - 1);
        self.waiting_bytes.set(self.waiting_bytes.get() - bytes);
        Some(event)
    }

    /// Takes the next event if no instance is needed for it.
    pub(crate) fn pop_auto_response(&self) -> Option<(Key, Rc<AutoResponse>)> {
        let is_next = match self.draining.borrow().front() {
            Some(event) => matches!(event, Event::AutoResponse { .. }),
            None => matches!(self.filling.borrow().events.front(), Some(Event::AutoResponse { .. })),
        };
        match is_next.then(|| self.pop()).flatten() {
            Some(Event::AutoResponse { socket, auto }) => Some((socket, auto)),
            _ => None,
        }
    }

    /// The bytes that [`PayloadAt::Batch`] of the popped events points into.
    pub(crate) fn bytes(&self) -> Ref<'_, Vec<u8>> {
        self.draining_bytes.borrow()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting_events.get() == 0
    }

    pub(crate) fn waiting(&self) -> (usize, usize) {
        (self.waiting_events.get(), self.waiting_bytes.get())
    }

    /// Whether the handler that runs was told that this socket has ended.
    pub(crate) fn is_told_of_end(&self, socket: Key) -> bool {
        let current = self.current.borrow();
        let is_end = |current: &&Current| matches!(current.kind, Running::Close | Running::Error);
        current.as_ref().filter(is_end).is_some_and(|current| current.socket == Some(socket))
    }

    /// Nothing waits, nothing runs, nothing pins the object.
    pub(crate) fn is_quiet(&self) -> bool {
        self.is_empty() && self.current.borrow().is_none() && self.pins.get() == 0
    }

    /// Gives back what an idle object's buffers hold.
    pub(crate) fn shrink(&self) {
        debug_assert!(self.is_empty());
        *self.filling.borrow_mut() = Batch::default();
        *self.draining.borrow_mut() = VecDeque::new();
        *self.draining_bytes.borrow_mut() = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOCKET: Key = Key { index: 1, generation: 1 };

    fn text(mailbox: &Mailbox, event: &Event) -> String {
        let Event::Message { payload: PayloadAt::Batch(range), .. } = event else { panic!("a message") };
        let bytes = mailbox.bytes();
        String::from_utf8(bytes[range.start as usize..range.end as usize].to_vec()).unwrap()
    }

    #[test]
    fn bytes_of_a_running_event_stay_while_more_arrives() {
        let mailbox = Mailbox::default();
        mailbox.push_message(SOCKET, MessageKind::Text, b"first", None);
        let first = mailbox.pop().unwrap();
        let borrowed = mailbox.bytes();
        for _ in 0..1_000 {
            mailbox.push_message(SOCKET, MessageKind::Text, b"later", None);
        }
        assert_eq!(borrowed.as_slice(), b"first");
        drop(borrowed);
        assert_eq!(text(&mailbox, &first), "first");
        assert_eq!(text(&mailbox, &mailbox.pop().unwrap()), "later");
        assert_eq!(mailbox.waiting(), (999, 999 * 5));
    }

    #[test]
    fn events_keep_their_order_across_batches() {
        let mailbox = Mailbox::default();
        let mut seen = Vec::new();
        for n in 0..100u32 {
            mailbox.push_message(SOCKET, MessageKind::Text, n.to_string().as_bytes(), None);
            if n % 3 == 0 {
                let event = mailbox.pop().unwrap();
                seen.push(text(&mailbox, &event));
            }
        }
        while let Some(event) = mailbox.pop() {
            seen.push(text(&mailbox, &event));
        }
        assert_eq!(seen, (0..100).map(|n| n.to_string()).collect::<Vec<_>>());
        assert!(mailbox.is_quiet());
    }
}
