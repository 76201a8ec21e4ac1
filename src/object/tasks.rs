//! Futures of one shard: objects, requests, and what objects leave running. Owns the futures and who is to be
//! polled; what a task means is known to the one that polls it.
//!
//! A task is polled in place by the shard's thread. A waker may be called from any thread; it puts the task on the
//! queue and, if another thread called it, wakes the driver.

use std::cell::{Cell, RefCell};
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::task::{Wake, Waker};
use std::thread::ThreadId;

use super::driver::Place;
use super::slab::Key;

pub(crate) type TaskFuture = Pin<Box<dyn Future<Output = ()>>>;

/// Called when a task was woken from another thread.
///
/// ```
/// use std::sync::Arc;
/// use dormouse::object::DriverWaker;
///
/// let driver = std::thread::current();
/// let waker: DriverWaker = Arc::new(move || driver.unpark());
/// waker();
/// ```
pub type DriverWaker = Arc<dyn Fn() + Send + Sync>;

/// On whose behalf a task runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TaskKind {
    /// An instance of this object.
    Actor(Key),
    /// The worker's answer to the request, with this number, of the connection at this place.
    Request(Place, u64),
    /// Left running by this object.
    Detached(Key),
}

pub(crate) struct WokenQueue {
    woken: Mutex<Vec<u32>>,
    any: AtomicBool,
    owner: ThreadId,
    driver: OnceLock<DriverWaker>,
}

struct TaskWaker {
    queue: Arc<WokenQueue>,
    task: u32,
    queued: AtomicBool,
}

impl Wake for TaskWaker {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        if self.queued.swap(true, Ordering::AcqRel) {
            return;
        }
        self.queue.woken.lock().unwrap_or_else(PoisonError::into_inner).push(self.task);
        self.queue.any.store(true, Ordering::Release);
        // The owner looks at the queue before it sleeps.
        if std::thread::current().id() != self.queue.owner
            && let Some(driver) = self.queue.driver.get()
        {
            driver();
        }
    }
}

struct Slot {
    kind: Option<TaskKind>,
    /// Absent while it is polled.
    future: Option<TaskFuture>,
    waker: Waker,
    flag: Arc<TaskWaker>,
}

/// The tasks of one shard.
pub(crate) struct Tasks {
    slots: RefCell<Vec<Slot>>,
    vacant: RefCell<Vec<u32>>,
    ready: RefCell<Vec<u32>>,
    /// For the tasks of a round, so that a turn allocates no list.
    buffer: Cell<Vec<u32>>,
    live: Cell<usize>,
    queue: Arc<WokenQueue>,
}

impl Default for Tasks {
    fn default() -> Tasks {
        Tasks {
            slots: RefCell::default(),
            vacant: RefCell::default(),
            ready: RefCell::default(),
            buffer: Cell::default(),
            live: Cell::default(),
            queue: Arc::new(WokenQueue {
                woken: Mutex::default(),
                any: AtomicBool::new(false),
                owner: std::thread::current().id(),
                driver: OnceLock::new(),
            }),
        }
    }
}

impl Tasks {
    pub(crate) fn set_driver_waker(&self, driver: DriverWaker) {
        // A second driver would be a fault of ours; the first one keeps the shard.
        let _ = self.queue.driver.set(driver);
    }

    /// Takes a task; it is polled at the next opportunity.
    pub(crate) fn spawn(&self, kind: TaskKind, future: TaskFuture) -> u32 {
        self.live.set(self.live.get() + 1);
        let mut slots = self.slots.borrow_mut();
        let task = match self.vacant.borrow_mut().pop() {
            Some(task) => {
                let slot = &mut slots[task as usize];
                (slot.kind, slot.future) = (Some(kind), Some(future));
                task
            }
            None => {
                let task = slots.len() as u32;
                let flag =
                    Arc::new(TaskWaker { queue: self.queue.clone(), task, queued: AtomicBool::new(false) });
                slots.push(Slot { kind: Some(kind), future: Some(future), waker: flag.clone().into(), flag });
                task
            }
        };
        self.ready.borrow_mut().push(task);
        task
    }

    /// Has a task polled at the next opportunity.
    pub(crate) fn schedule(&self, task: u32) {
        self.ready.borrow_mut().push(task);
    }

    pub(crate) fn has_ready(&self) -> bool {
        !self.ready.borrow().is_empty() || self.queue.any.load(Ordering::Acquire)
    }

    /// An empty list for [`Tasks::take_ready`], with the room it had before.
    pub(crate) fn take_buffer(&self) -> Vec<u32> {
        self.buffer.take()
    }

    pub(crate) fn put_buffer_back(&self, mut buffer: Vec<u32>) {
        buffer.clear();
        self.buffer.set(buffer);
    }

    /// Moves the tasks to poll now into `into`, in the order in which they became ready.
    pub(crate) fn take_ready(&self, into: &mut Vec<u32>) {
        into.append(&mut self.ready.borrow_mut());
        if self.queue.any.swap(false, Ordering::AcqRel) {
            let slots = self.slots.borrow();
            let mut woken = self.queue.woken.lock().unwrap_or_else(PoisonError::into_inner);
            for task in woken.drain(..) {
                slots[task as usize].flag.queued.store(false, Ordering::Release);
                into.push(task);
            }
        }
    }

    /// Whether something has woken a task that was not polled since.
    pub(crate) fn is_woken(&self, task: u32) -> bool {
        self.slots.borrow().get(task as usize).is_some_and(|slot| slot.flag.queued.load(Ordering::Acquire))
    }

    /// Takes a task's future out to poll it; `None` when the task is gone or runs already.
    pub(crate) fn take(&self, task: u32) -> Option<(TaskKind, TaskFuture, Waker)> {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.get_mut(task as usize)?;
        Some((slot.kind?, slot.future.take()?, slot.waker.clone()))
    }

    /// Puts a future back that is not done; gives it back if the task was removed meanwhile.
    pub(crate) fn put_back(&self, task: u32, future: TaskFuture) -> Option<TaskFuture> {
        let mut slots = self.slots.borrow_mut();
        let slot = &mut slots[task as usize];
        if slot.kind.is_some() {
            slot.future = Some(future);
            return None;
        }
        drop(slots);
        self.vacant.borrow_mut().push(task);
        Some(future)
    }

    /// Ends a task whose future was taken and is done.
    pub(crate) fn finish(&self, task: u32) {
        let mut slots = self.slots.borrow_mut();
        if slots[task as usize].kind.take().is_some() {
            self.live.set(self.live.get() - 1);
        }
        self.vacant.borrow_mut().push(task);
    }

    /// Ends a task; gives its future to be dropped, unless it is being polled just now.
    #[must_use]
    pub(crate) fn remove(&self, task: u32) -> Option<TaskFuture> {
        let mut slots = self.slots.borrow_mut();
        let slot = slots.get_mut(task as usize)?;
        slot.kind.take()?;
        self.live.set(self.live.get() - 1);
        let future = slot.future.take();
        if future.is_some() {
            self.vacant.borrow_mut().push(task);
        }
        future
    }

    /// The tasks of this kind.
    pub(crate) fn of(&self, wanted: TaskKind) -> Vec<u32> {
        let slots = self.slots.borrow();
        (0..slots.len() as u32).filter(|task| slots[*task as usize].kind == Some(wanted)).collect()
    }

    pub(crate) fn drain(&self) -> Vec<TaskFuture> {
        self.live.set(0);
        self.slots.borrow_mut().iter_mut().filter_map(|slot| slot.future.take()).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::AtomicU32;

    #[test]
    fn a_wake_from_another_thread_reaches_the_driver_once() {
        let tasks = Tasks::default();
        let calls = Arc::new(AtomicU32::new(0));
        let counter = calls.clone();
        tasks.set_driver_waker(Arc::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        }));
        let task =
            tasks.spawn(TaskKind::Actor(Key { index: 0, generation: 0 }), Box::pin(std::future::pending()));
        let mut ready = Vec::new();
        tasks.take_ready(&mut ready);
        assert_eq!(ready, [task]);
        let (_, future, waker) = tasks.take(task).unwrap();
        assert!(tasks.put_back(task, future).is_none());
        std::thread::spawn(move || (waker.wake_by_ref(), waker.wake())).join().unwrap();
        assert_eq!(calls.load(Ordering::Relaxed), 1);
        assert!(tasks.has_ready());
        tasks.take_ready(&mut ready);
        assert_eq!(ready, [task, task]);
    }

    #[test]
    fn a_task_removed_while_it_is_polled_is_not_put_back() {
        let tasks = Tasks::default();
        let task = tasks.spawn(TaskKind::Detached(Key { index: 0, generation: 0 }), Box::pin(async {}));
        let (_, future, _) = tasks.take(task).unwrap();
        assert!(tasks.remove(task).is_none());
        assert!(tasks.put_back(task, future).is_some());
        assert!(tasks.take(task).is_none());
        let again = tasks.spawn(TaskKind::Detached(Key { index: 1, generation: 0 }), Box::pin(async {}));
        assert_eq!(again, task);
    }
}
