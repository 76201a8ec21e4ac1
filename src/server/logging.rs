//! How the log leaves: lines wait for a thread of their own, which writes them to stderr. Owns the bound on what waits.
//!
//! Whoever reads the log may be slow, stuck or gone, and a client that breaks the protocol can have lines written. A shard
//! that wrote them itself would wait for that reader, with all its sockets. `tracing-appender` does the same, but when its
//! queue is full at the end it prints to stdout, and panics if nobody reads that either.

use std::collections::VecDeque;
use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

/// Lines that may wait to be written; above, new ones are dropped and counted. Some 800 KiB.
const LINES_MAX: usize = 4_096;
/// How long the end of the process may wait for lines to be written.
const LAST_LINES: Duration = Duration::from_secs(1);

/// Of the process, as stderr is.
static QUEUE: Queue = Queue {
    waiting: Mutex::new(Waiting { lines: VecDeque::new(), is_writing: false }),
    changed: Condvar::new(),
    dropped: AtomicU64::new(0),
};

struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
    dropped: AtomicU64,
}

struct Waiting {
    lines: VecDeque<Box<[u8]>>,
    is_writing: bool,
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, line: &[u8]) {
        let mut waiting = self.lock();
        if waiting.lines.len() >= LINES_MAX {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        waiting.lines.push_back(line.into());
        drop(waiting);
        self.changed.notify_all();
    }

    /// Writes what comes, for ever. What cannot be written is gone: there is nobody to tell.
    fn write(&self, mut to: impl Write) {
        let mut waiting = self.lock();
        loop {
            waiting.is_writing = false;
            self.changed.notify_all();
            let is_empty = |waiting: &mut Waiting| waiting.lines.is_empty();
            waiting = self.changed.wait_while(waiting, is_empty).unwrap_or_else(PoisonError::into_inner);
            let lines = std::mem::take(&mut waiting.lines);
            waiting.is_writing = true;
            drop(waiting);
            for line in lines {
                let _ = to.write_all(&line);
            }
            waiting = self.lock();
        }
    }

    fn wait_until_written(&self, at_most: Duration) {
        let is_unwritten = |waiting: &mut Waiting| waiting.is_writing || !waiting.lines.is_empty();
        let waiting = self.lock();
        let waited = self.changed.wait_timeout_while(waiting, at_most, is_unwritten);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

/// Where events write: each gives its line in one piece.
struct Lines;

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        QUEUE.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What waits is written before it is gone, if that does not take long.
pub(super) struct LogGuard(());

impl Drop for LogGuard {
    fn drop(&mut self) {
        QUEUE.wait_until_written(LAST_LINES);
    }
}

/// Begins to log what `filter` lets through.
pub(super) fn start(filter: &str) -> io::Result<LogGuard> {
    thread::Builder::new().name("log".into()).spawn(|| QUEUE.write(io::stderr()))?;
    let filter = tracing_subscriber::EnvFilter::new(filter);
    // A program that embeds the engine may log already; then its way stays.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(|| Lines)
        .with_ansi(io::stderr().is_terminal())
        // It would tell stderr that an event could not be formatted, and panic if that could not be told.
        .log_internal_errors(false)
        .try_init();
    Ok(LogGuard(()))
}

/// Lines that were dropped because too many waited.
pub(super) fn lines_dropped() -> u64 {
    QUEUE.dropped.load(Ordering::Relaxed)
}
