//! The record of one object on its home shard: what stays when its instance goes.

use std::rc::Rc;

use super::auto_response::AutoResponse;
use super::batches::Batches;
use super::id::ObjectId;
use super::mailbox::Mailbox;
use super::roster::Roster;
use super::slab::Key;
use super::standard::StandardSockets;

/// One object.
pub(crate) struct Object {
    pub(crate) class: u16,
    pub(crate) id: ObjectId,
    pub(crate) mailbox: Rc<Mailbox>,
    /// The task of its instance; absent while it hibernates.
    pub(crate) actor: Option<u32>,
    /// The constructor has returned.
    pub(crate) is_constructed: bool,
    /// How many instances were begun.
    pub(crate) constructions: u64,
    /// Which of them has the time of its constructor measured.
    pub(crate) construction_timed: u64,
    /// Its time is over, and it has a last chance.
    pub(crate) is_construction_late: bool,
    pub(crate) roster: Roster,
    pub(crate) standard: StandardSockets,
    pub(crate) auto_response: Option<Rc<AutoResponse>>,
    pub(crate) event_timeout_ms: Option<u64>,
    pub(crate) tick_ms: Option<u64>,
    /// Absent while the object has never batched since it woke.
    pub(crate) batches: Option<Box<Batches>>,
    /// A timer will look which of them are due.
    pub(crate) has_batch_timer: bool,
    /// Tells the interval in force from earlier ones.
    pub(crate) tick_number: u64,
    pub(crate) last_event_ms: u64,
    /// A timer will look whether it is idle.
    pub(crate) has_idle_timer: bool,
    /// Failures without a success between them, and when the next instance may be made.
    pub(crate) failures: u32,
    pub(crate) retry_ms: u64,
    /// Sockets that are not read because too much waits here.
    pub(crate) paused: Vec<Key>,
    pub(crate) messages_received: u64,
    pub(crate) messages_sent: u64,
}

impl Object {
    pub(crate) fn new(class: u16, id: ObjectId, now_ms: u64) -> Object {
        Object {
            class,
            id,
            mailbox: Rc::default(),
            actor: None,
            is_constructed: false,
            constructions: 0,
            construction_timed: 0,
            is_construction_late: false,
            roster: Roster::default(),
            standard: StandardSockets::default(),
            auto_response: None,
            event_timeout_ms: None,
            tick_ms: None,
            batches: None,
            has_batch_timer: false,
            tick_number: 0,
            last_event_ms: now_ms,
            has_idle_timer: false,
            failures: 0,
            retry_ms: 0,
            paused: Vec::new(),
            messages_received: 0,
            messages_sent: 0,
        }
    }

    /// Messages that it said wait to leave.
    pub(crate) fn has_batches(&self) -> bool {
        self.batches.as_ref().is_some_and(|batches| !batches.is_empty())
    }

    /// Events that wait for the object, whoever of it reads them, and their bytes.
    pub(crate) fn waiting(&self) -> (usize, usize) {
        let (events, bytes) = self.mailbox.waiting();
        let (standard_events, standard_bytes) = self.standard.waiting();
        (events + standard_events, bytes + standard_bytes)
    }
}
