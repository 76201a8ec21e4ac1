//! What a shard runs at this moment, for a watchdog on another thread: a handler that never yields cannot tell of
//! itself. Owns a number and the name of the object, written before each poll and read from outside.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use super::counters::Counter;
use super::id::{IdBytes, ObjectId};
use super::tasks::DriverWaker;

/// Stands for a worker where a class is expected.
const WORKER: u32 = u32::MAX;

/// One shard's present.
///
/// ```
/// use std::sync::Arc;
/// use dormouse::object::Watch;
///
/// let watch = Watch::default();
/// let thread = std::thread::current();
/// watch.set_call(Arc::new(move || thread.unpark()));
/// let (polls, running) = watch.look();
/// if running.is_none() {
///     watch.fall_asleep(); // until the call
/// }
/// assert_eq!((polls, watch.stuck_handlers.get()), (0, 0));
/// ```
#[derive(Default)]
pub struct Watch {
    /// Odd while something is polled.
    polls: AtomicU64,
    class: AtomicU32,
    id: [AtomicU64; 4],
    /// The watchdog sleeps until it is called.
    is_asleep: AtomicBool,
    call: OnceLock<DriverWaker>,
    /// Handlers that the watchdog found running for too long.
    pub stuck_handlers: Counter,
}

/// What was running when a watchdog looked.
///
/// ```
/// use dormouse::object::Polled;
///
/// /// Whether a handler has been running since the last look.
/// fn is_stuck(last: &Option<Polled>, now: &Option<Polled>) -> bool {
///     now.is_some() && last == now
/// }
/// # assert!(!is_stuck(&None, &None));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Polled {
    /// Tells this poll from all others of the shard.
    pub number: u64,
    /// Position of the object's binding; `None` for a worker.
    pub class: Option<u16>,
    /// The object's id, 64 hex digits; empty for a worker.
    pub id: String,
}

impl Watch {
    /// Sets what calls a sleeping watchdog.
    pub fn set_call(&self, call: DriverWaker) {
        // A second watchdog would be a fault of ours; the first one keeps the shard.
        let _ = self.call.set(call);
    }

    /// The watchdog goes to sleep: the shard calls it when it next has something to run.
    pub fn fall_asleep(&self) {
        self.is_asleep.store(true, Ordering::SeqCst);
    }

    /// The number of polls so far, twice, and what runs now, if anything does.
    pub fn look(&self) -> (u64, Option<Polled>) {
        let number = self.polls.load(Ordering::Acquire);
        if number.is_multiple_of(2) {
            return (number, None);
        }
        let class = self.class.load(Ordering::Relaxed);
        let mut bytes: IdBytes = [0; 32];
        for (chunk, word) in bytes.chunks_exact_mut(8).zip(&self.id) {
            chunk.copy_from_slice(&word.load(Ordering::Relaxed).to_le_bytes());
        }
        let class = (class != WORKER).then_some(class as u16);
        let id = class.map(|_| ObjectId::from_parts(bytes, None).to_string()).unwrap_or_default();
        // Another poll may have begun meanwhile: then the name is not this one's.
        let is_same = self.polls.load(Ordering::Acquire) == number;
        (number, is_same.then_some(Polled { number, class, id }))
    }

    /// Something is about to be polled.
    pub(crate) fn begin(&self, object: Option<(u16, &IdBytes)>) {
        match object {
            Some((class, bytes)) => {
                self.class.store(u32::from(class), Ordering::Relaxed);
                for (word, chunk) in self.id.iter().zip(bytes.chunks_exact(8)) {
                    let chunk = chunk.try_into().expect("eight bytes");
                    word.store(u64::from_le_bytes(chunk), Ordering::Relaxed);
                }
            }
            None => self.class.store(WORKER, Ordering::Relaxed),
        }
        self.step();
        if self.is_asleep.load(Ordering::Relaxed)
            && self.is_asleep.swap(false, Ordering::SeqCst)
            && let Some(call) = self.call.get()
        {
            call();
        }
    }

    pub(crate) fn end(&self) {
        self.step();
    }

    // Only the shard writes.
    fn step(&self) {
        self.polls.store(self.polls.load(Ordering::Relaxed) + 1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn a_look_names_what_runs_and_nothing_else() {
        let watch = Watch::default();
        assert_eq!(watch.look(), (0, None));
        watch.begin(Some((3, &[0xab; 32])));
        let (number, polled) = watch.look();
        assert_eq!(polled, Some(Polled { number, class: Some(3), id: "ab".repeat(32) }));
        watch.end();
        assert_eq!(watch.look(), (2, None));
        watch.begin(None);
        assert_eq!(watch.look().1.unwrap().class, None);
    }

    #[test]
    fn a_sleeping_watchdog_is_called_once() {
        let watch = Watch::default();
        let calls = Arc::new(AtomicU32::new(0));
        let counter = calls.clone();
        watch.set_call(Arc::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
        }));
        watch.fall_asleep();
        for _ in 0..3 {
            watch.begin(None);
            watch.end();
        }
        assert_eq!(calls.load(Ordering::Relaxed), 1);
    }
}
