//! How instances come and go: made at an event, dropped when nothing happens or when they fail. Owns that rule and
//! the back-off of those that keep failing.

use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::rc::Rc;
use std::time::Duration;

use super::core::Core;
use super::error::{ApiError, Error};
use super::failing::Failures;
use super::id::ObjectId;
use super::mailbox::{Event, Exit, Mailbox};
use super::mesh::ObjectName;
use super::object::Object;
use super::planted::{Bug, is_planted};
use super::slab::Key;
use super::status::ObjectStatus;
use super::tasks::{TaskFuture, TaskKind};
use super::timers::Timer;
use crate::wire::close;

/// The first failure is free; from the second in a row on the next instance waits, this long and then twice as long
/// each time, up to the maximum.
const RETRY_MS: u64 = 100;
const RETRY_MS_MAX: u64 = 10_000;

/// What a constructor awaits may have come when its time is over, and the shard have been too busy, or the machine
/// suspended, to tell it: once, it has so much longer.
const LAST_CHANCE_MS: u64 = 1_000;

impl Core {
    /// The record of an object, made if there is none.
    pub(crate) fn object_named(&self, name: &ObjectName) -> Key {
        *self.names.borrow_mut().entry((name.class, name.bytes)).or_insert_with(|| {
            let id = ObjectId::from_parts(name.bytes, name.name.clone());
            let mut object = Object::new(name.class, id, self.now_ms());
            let failures = self.failing.borrow_mut().take(&(name.class, name.bytes), self.now_ms());
            if let Some(failures) = failures {
                (object.failures, object.retry_ms) = (failures.count, failures.retry_ms);
            }
            let retry_ms = object.retry_ms;
            let key = self.objects.borrow_mut().insert(object);
            if retry_ms > self.now_ms() {
                self.timers.borrow_mut().insert(retry_ms, Timer::Retry(key));
            }
            key
        })
    }

    pub(crate) fn mailbox_of(&self, object: Key) -> Rc<Mailbox> {
        self.objects.borrow().get(object).map(|object| object.mailbox.clone()).unwrap_or_default()
    }

    /// Has an object with waiting events run, with a new instance if it has none.
    pub(crate) fn wake_object(self: &Rc<Core>, key: Key) {
        let (class, mailbox) = {
            let objects = self.objects.borrow();
            let Some(object) = objects.get(key) else { return };
            if object.mailbox.is_empty() {
                return;
            }
            if let Some(actor) = object.actor {
                if !object.mailbox.scheduled.replace(true) {
                    self.tasks.schedule(actor);
                }
                return;
            }
            if object.retry_ms > self.now_ms() {
                return;
            }
            (usize::from(object.class), object.mailbox.clone())
        };
        // SEMANTICS 6: an auto-response costs no construction, also when it had to wait.
        while let Some((socket, auto)) = mailbox.pop_auto_response() {
            self.auto_respond_late(socket, &auto);
        }
        if mailbox.is_empty() {
            return self.resume_if_relieved(key);
        }
        // Nobody waits for a constructor by itself.
        mailbox.chain.borrow_mut().clear();
        // Something to run: the constructor may be slow, and others may push meanwhile.
        mailbox.scheduled.set(true);
        let future = (self.shared.classes[class].start)(self.clone(), key, mailbox);
        let actor = self.tasks.spawn(TaskKind::Actor(key), future);
        if let Some(object) = self.objects.borrow_mut().get_mut(key) {
            object.actor = Some(actor);
            object.is_constructed = false;
            object.constructions += 1;
        }
    }

    /// A constructor has returned.
    pub(crate) fn constructed(&self, key: Key) {
        if let Some(object) = self.objects.borrow_mut().get_mut(key) {
            object.is_constructed = true;
            object.last_event_ms = self.now_ms();
            let counters = &self.counters.namespaces[usize::from(object.class)];
            counters.constructions.add(1);
            counters.awake.set(counters.awake.get() + 1);
        }
    }

    /// After an actor was polled and is not done.
    pub(crate) fn actor_waits(self: &Rc<Core>, key: Key) {
        let mailbox = self.mailbox_of(key);
        mailbox.scheduled.set(false);
        if mailbox.current.borrow().is_some() {
            self.handler_suspended(key, &mailbox);
            return;
        }
        if self.constructor_suspended(key) || !mailbox.is_empty() {
            // The constructor still awaits something; its events wait.
            return;
        }
        if mailbox.is_quiet() {
            self.consider_idle(key);
        }
    }

    /// Nothing waits and nothing runs: hibernate at once, or look again when the idle time is over.
    pub(crate) fn consider_idle(&self, key: Key) {
        let mut objects = self.objects.borrow_mut();
        let Some(object) = objects.get_mut(key) else { return };
        let Some(idle_ms) = self.idle_time(object) else { return };
        if idle_ms == 0 {
            self.quiet.borrow_mut().push(key);
        } else if !object.has_idle_timer {
            object.has_idle_timer = true;
            self.timers.borrow_mut().insert(object.last_event_ms + idle_ms, Timer::Idle(key));
        }
    }

    /// How long the object must be idle to be dropped; `None` when it must stay.
    fn idle_time(&self, object: &Object) -> Option<u64> {
        // SEMANTICS 2: a batch that waits is a timer that is pending.
        let is_waiting = object.has_batches() && !is_planted(Bug::BatchesLostAtHibernation);
        if object.tick_ms.is_some() || is_waiting {
            return None;
        }
        match self.settings().hibernation_idle_ms {
            Some(idle_ms) => Some(idle_ms),
            None if object.roster.is_empty() => Some(self.settings().evict_idle_ms),
            None => None,
        }
    }

    /// Drops the instance if the object has been idle for long enough.
    pub(crate) fn hibernate_if_idle(self: &Rc<Core>, key: Key) {
        {
            let mut objects = self.objects.borrow_mut();
            let Some(object) = objects.get_mut(key) else { return };
            object.has_idle_timer = false;
            let is_quiet = object.mailbox.is_quiet() || is_planted(Bug::SleepsWhileAHandlerRuns);
            if object.actor.is_none() || !object.is_constructed || !is_quiet {
                return;
            }
            let Some(idle_ms) = self.idle_time(object) else { return };
            let due_ms = object.last_event_ms + idle_ms;
            if due_ms > self.now_ms() {
                object.has_idle_timer = true;
                self.timers.borrow_mut().insert(due_ms, Timer::Idle(key));
                return;
            }
            self.counters.namespaces[usize::from(object.class)].hibernations.add(1);
            if is_planted(Bug::SendAfterCloseOnceWoken) || is_planted(Bug::AttachmentLostAtHibernation) {
                object.roster.oldest_first().for_each(|position| self.forget_some_of(position));
            }
        }
        self.drop_instance(key);
        self.forget_if_unused(key);
    }

    fn sockets_of(&self, key: Key) -> Vec<Key> {
        let (objects, sockets) = (self.objects.borrow(), self.sockets.borrow());
        let roster = objects.get(key).map(|object| &object.roster);
        let positions = roster.into_iter().flat_map(|roster| roster.oldest_first());
        positions.filter_map(|position| sockets.key_at(position)).collect()
    }

    /// What two planted bugs do to a socket at hibernation.
    fn forget_some_of(&self, position: u32) {
        let mut sockets = self.sockets.borrow_mut();
        let Some(socket) = sockets.at_mut(position) else { return };
        if is_planted(Bug::SendAfterCloseOnceWoken) {
            socket.closed_by_application = false;
        } else {
            socket.attachment = None;
        }
    }

    /// Drops actor and instance; what the object left with the engine stays.
    fn drop_instance(self: &Rc<Core>, key: Key) {
        let mailbox = self.mailbox_of(key);
        let actor = self.objects.borrow_mut().get_mut(key).and_then(|object| object.actor.take());
        let future = actor.and_then(|actor| self.tasks.remove(actor));
        for task in self.tasks_of(key, &mailbox) {
            self.drop_future(self.tasks.remove(task));
        }
        if let Some(object) = self.objects.borrow_mut().get_mut(key) {
            object.tick_ms = None;
            object.tick_number += 1;
            let lost = object
                .batches
                .take_if(|batches| batches.is_empty() || is_planted(Bug::BatchesLostAtHibernation));
            self.forget_batches(lost.as_deref());
            if std::mem::take(&mut object.is_constructed) {
                let awake = &self.counters.namespaces[usize::from(object.class)].awake;
                awake.set(awake.get() - 1);
            }
        }
        self.end_standard_sockets(key);
        mailbox.scheduled.set(false);
        mailbox.pins.set(0);
        self.drop_future(future);
        let instance = mailbox.instance.borrow_mut().take();
        self.guarded(|| drop(instance));
        if mailbox.is_empty() {
            mailbox.shrink();
        }
    }

    fn tasks_of(&self, key: Key, mailbox: &Mailbox) -> Vec<u32> {
        if mailbox.pins.get() == 0 { Vec::new() } else { self.tasks.of(TaskKind::Detached(key)) }
    }

    /// Runs code of the application that may panic; `None` when it did.
    pub(crate) fn guarded<R>(&self, f: impl FnOnce() -> R) -> Option<R> {
        let result = catch_unwind(AssertUnwindSafe(f));
        if result.is_err() {
            self.counters.panics.add(1);
        }
        result.ok()
    }

    /// What an error of the application says; to say it is code of the application as well.
    fn text_of(&self, error: &Error) -> String {
        self.guarded(|| error.to_string()).unwrap_or_else(|| "an error that cannot say what it is".into())
    }

    pub(crate) fn drop_future(&self, future: Option<TaskFuture>) {
        self.guarded(|| drop(future));
    }

    /// Takes the record of an object away that has neither instance nor sockets nor events.
    pub(crate) fn forget_if_unused(&self, key: Key) {
        let mut objects = self.objects.borrow_mut();
        let Some(object) = objects.get(key) else { return };
        if object.actor.is_none() && object.roster.is_empty() && object.mailbox.is_empty() {
            let name = (object.class, object.id.bytes());
            if object.failures > 0 {
                let now_ms = self.now_ms();
                let failures = Failures { count: object.failures, retry_ms: object.retry_ms.max(now_ms) };
                self.failing.borrow_mut().remember(name, failures, now_ms);
            }
            self.names.borrow_mut().remove(&name);
            let removed = objects.remove(key);
            self.forget_batches(removed.as_ref().and_then(|object| object.batches.as_deref()));
        }
    }

    /// An actor's future is done or has panicked.
    pub(crate) fn actor_ended(self: &Rc<Core>, key: Key, panicked: bool) {
        let mailbox = self.mailbox_of(key);
        // Its task is over and its place in the table may go to another.
        if let Some(object) = self.objects.borrow_mut().get_mut(key) {
            object.actor = None;
        }
        let exit = mailbox.exit.borrow_mut().take();
        let is_constructed = self.objects.borrow().get(key).is_some_and(|object| object.is_constructed);
        match exit {
            Some(Exit::HandlerFailed(error)) => self.fail_instance(key, &mailbox, error),
            Some(Exit::ConstructFailed(error)) => self.fail_construction(key, &mailbox, error),
            None if panicked && !is_constructed => self.fail_construction(key, &mailbox, panic_error()),
            None => self.fail_instance(key, &mailbox, panic_error()),
        }
    }

    /// Sees that a constructor that was left waiting ends in time. Whether it is one.
    fn constructor_suspended(&self, key: Key) -> bool {
        let mut objects = self.objects.borrow_mut();
        let Some(object) = objects.get_mut(key).filter(|object| !object.is_constructed) else { return false };
        if std::mem::replace(&mut object.construction_timed, object.constructions) != object.constructions {
            object.is_construction_late = false;
            let due_ms = self.now_ms().saturating_add(self.settings().fetch_ms);
            self.timers.borrow_mut().insert(due_ms, Timer::Construction(key, object.constructions));
        }
        true
    }

    /// The time of a constructor is over, if it still runs.
    pub(crate) fn construction_timed_out(self: &Rc<Core>, key: Key, number: u64) {
        let mailbox = {
            let mut objects = self.objects.borrow_mut();
            let runs = |object: &&mut Object| !object.is_constructed && object.constructions == number;
            let Some(object) = objects.get_mut(key).filter(runs) else { return };
            let Some(actor) = object.actor else { return };
            if self.tasks.is_woken(actor) && !std::mem::replace(&mut object.is_construction_late, true) {
                let due_ms = self.now_ms() + LAST_CHANCE_MS;
                return self.timers.borrow_mut().insert(due_ms, Timer::Construction(key, number));
            }
            object.mailbox.clone()
        };
        self.counters.event_timeouts.add(1);
        self.fail_construction(key, &mailbox, "it did not end within timeouts.fetch".into());
    }

    /// A handler failed: its event ends, its instance goes, the next event makes another.
    pub(crate) fn fail_instance(self: &Rc<Core>, key: Key, mailbox: &Mailbox, error: Error) {
        let text = self.text_of(&error);
        tracing::warn!(object = %self.label_of(key), error = text, "a handler failed");
        // What it said before, before what is said about it.
        self.flush_batches(key);
        self.fail_current(mailbox, error);
        self.resume_if_relieved(key);
        self.count_failure(key);
        self.drop_instance(key);
        // What waits behind the failed event goes to the next instance.
        self.wake_object(key);
        self.forget_if_unused(key);
    }

    /// SEMANTICS 1: the event's caller gets an error; sockets get 1011 and hear no more of this object.
    fn fail_construction(self: &Rc<Core>, key: Key, mailbox: &Mailbox, error: Error) {
        let text = self.text_of(&error);
        self.guarded(|| drop(error));
        tracing::warn!(object = %self.label_of(key), error = text, "the constructor failed");
        self.flush_batches(key);
        self.count_failure(key);
        let message = format!("its constructor failed: {text}");
        while let Some(event) = mailbox.pop() {
            if let Event::Fetch(mut fetch) = event {
                let error = ApiError::CallAborted { message: message.clone() };
                self.answer(fetch.reply.take(), Err(error.into()));
            }
        }
        for socket in self.sockets_of(key) {
            self.dismiss_socket(socket, close::INTERNAL_ERROR, "the object could not be constructed");
            self.remove_socket(socket);
        }
        self.drop_instance(key);
        self.forget_if_unused(key);
    }

    fn count_failure(&self, key: Key) {
        let mut objects = self.objects.borrow_mut();
        let Some(object) = objects.get_mut(key) else { return };
        self.counters.namespaces[usize::from(object.class)].failures.add(1);
        object.failures += 1;
        if object.failures > 1 {
            let wait_ms = RETRY_MS.saturating_mul(1 << (object.failures - 2).min(16)).min(RETRY_MS_MAX);
            object.retry_ms = self.now_ms() + wait_ms;
            self.timers.borrow_mut().insert(object.retry_ms, Timer::Retry(key));
        }
    }

    pub(crate) fn label_of(&self, key: Key) -> String {
        let objects = self.objects.borrow();
        let Some(object) = objects.get(key) else { return "gone".into() };
        let (bytes, name) = (object.id.bytes(), object.id.shared_name());
        self.label(&ObjectName { class: object.class, bytes, name }).into()
    }

    pub(crate) fn status_of(&self, name: &ObjectName) -> ObjectStatus {
        let Some(key) = self.names.borrow().get(&(name.class, name.bytes)).copied() else {
            return ObjectStatus::default();
        };
        self.objects.borrow().get(key).map_or_else(ObjectStatus::default, |object| ObjectStatus {
            is_awake: object.actor.is_some(),
            sockets: object.roster.len(),
            messages_received: object.messages_received,
            messages_sent: object.messages_sent,
        })
    }

    pub(crate) fn set_tick(&self, key: Key, interval: Option<Duration>) {
        let interval_ms =
            interval.map(|interval| u64::try_from(interval.as_millis()).unwrap_or(u64::MAX).max(1));
        let mut objects = self.objects.borrow_mut();
        let Some(object) = objects.get_mut(key) else { return };
        // The same interval again changes nothing: whoever sets it at each message ticks all the same.
        if object.tick_ms == interval_ms {
            return;
        }
        object.tick_ms = interval_ms;
        // Timers of the interval before this one are of no account any more.
        object.tick_number += 1;
        if let Some(interval_ms) = interval_ms {
            let timer = Timer::Tick(key, object.tick_number);
            self.timers.borrow_mut().insert(self.now_ms().saturating_add(interval_ms), timer);
        }
    }

    pub(crate) fn tick(self: &Rc<Core>, key: Key, number: u64) {
        let mailbox = {
            let objects = self.objects.borrow();
            let Some(object) = objects.get(key).filter(|object| object.tick_number == number) else { return };
            let Some(interval_ms) = object.tick_ms else { return };
            let deadline = self.now_ms().saturating_add(interval_ms);
            self.timers.borrow_mut().insert(deadline, Timer::Tick(key, number));
            object.mailbox.clone()
        };
        // A tick that finds the object busy is left out: ticks never pile up.
        if mailbox.is_empty() && mailbox.current.borrow().is_none() {
            mailbox.push(Event::Tick);
            self.wake_object(key);
        }
    }

    pub(crate) fn wait_until(
        self: &Rc<Core>,
        key: Key,
        mailbox: &Rc<Mailbox>,
        future: impl Future<Output = ()> + 'static,
    ) {
        mailbox.pins.set(mailbox.pins.get() + 1);
        self.tasks.spawn(TaskKind::Detached(key), Box::pin(future));
    }

    /// Something that an object left running is done.
    pub(crate) fn detached_ended(&self, key: Key) {
        self.unpin(key);
    }

    /// One reason less to keep the object in memory.
    pub(crate) fn unpin(&self, key: Key) {
        let mailbox = self.mailbox_of(key);
        mailbox.pins.set(mailbox.pins.get().saturating_sub(1));
        if mailbox.is_quiet() {
            if let Some(object) = self.objects.borrow_mut().get_mut(key) {
                object.last_event_ms = self.now_ms();
            }
            self.consider_idle(key);
        }
    }
}

fn panic_error() -> Error {
    ApiError::CallAborted { message: "it panicked".into() }.into()
}
