//! The glommio executor of a shard: one task, which turns and sleeps.
//!
//! Owns everything that names glommio. Sockets and timers are on our own rings, and the executor has no other task. So
//! the shard sleeps in its own first ring (`Driver::fall_asleep`), and not in the executor's reactor, for two reasons:
//!
//! - To sleep and to be woken take the reactor eight system calls, a `membarrier` among them, and the ring one.
//! - When `io_uring_enter` answers EAGAIN or EINTR while the reactor arms its poll of the eventfd, the reactor may sleep
//!   without that poll, for ever (`tests/faults/run` shows it).

use std::io;
use std::time::Duration;

use glommio::{LocalExecutor, LocalExecutorBuilder, Placement};

use super::driven::Driven;
use super::turn::{Driver, Turn};

/// Memory that glommio registers for file I/O of its own, which we do not do; its least.
const IO_MEMORY_BYTES: usize = 64 << 10;

/// How long the shard may work before other tasks of the executor get their turn.
const PREEMPT_AFTER: Duration = Duration::from_millis(100);

/// A glommio executor on the calling thread.
pub(super) struct Executor(LocalExecutor);

impl Executor {
    /// An executor; binds the calling thread to `core`.
    pub(super) fn new(core: Option<usize>) -> io::Result<Self> {
        let placement = core.map_or(Placement::Unbound, Placement::Fixed);
        let builder =
            LocalExecutorBuilder::new(placement).io_memory(IO_MEMORY_BYTES).preempt_timer(PREEMPT_AFTER);
        Ok(Self(builder.make().map_err(io::Error::from)?))
    }

    /// Serves until the shard has drained or its rings are broken.
    pub(super) fn serve<W: Driven>(&self, driver: Driver<W>, pacing_wait: Duration) -> io::Result<()> {
        self.0.run(serve(driver, pacing_wait))
    }
}

async fn serve<W: Driven>(mut driver: Driver<W>, pacing_wait: Duration) -> io::Result<()> {
    loop {
        match driver.turn()? {
            Turn::Last => return Ok(()),
            // Blocks the thread: the executor has nothing else to do that could not wait as well.
            Turn::Busy if !pacing_wait.is_zero() => driver.pace(pacing_wait)?,
            Turn::Busy | Turn::Quiet => {}
        }
        if driver.has_work()? {
            glommio::yield_if_needed().await;
        } else if driver.fall_asleep()? {
            // A signal may end it early; then the shard finds nothing, and sleeps again.
            driver.sleep(None)?;
            driver.wake();
        }
    }
}
