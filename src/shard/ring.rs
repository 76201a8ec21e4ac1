//! One io_uring instance: submit, enter, take completions.
//!
//! Owns the rules of the system call: which errors are retried, when deferred work is run, how an overflown
//! completion queue is flushed without losing anything or changing its order, and when completions signal the
//! shard's eventfd. Knows no socket and no slot.
//!
//! "Full" and "broken" are different answers: a full submission queue gives the request back as [`Full`]; a ring
//! that cannot go on is an `io::Error`.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{Ordering, fence};
use std::time::Duration;

use io_uring::types::{CancelBuilder, SubmitArgs, Timespec};
use io_uring::{EnterFlags, IoUring, Probe, cqueue, opcode};

use super::request::Request;
use super::user_data::Operation;

/// How long the end of a ring waits for an operation that cannot be cancelled at once, a FIN under way.
const CANCEL_WAIT: Duration = Duration::from_secs(1);

/// Calls in a row that were interrupted, or refused for lack of memory, before the end of a ring waits no longer.
const VAIN_REAPS_MAX: u32 = 16;

/// Most kernel threads that send FINs for one shard.
const SHUTDOWN_WORKERS_MAX: u32 = 2;

/// Whether the eventfd is silent while the shard is awake. The kernel marks the ring as unreaped and then looks
/// whether to signal, without a barrier of its own between the two: on x86-64 the mark is a barrier, elsewhere it may
/// not be, and then a signal too many is better than one too few.
const SILENCES_EVENTFD: bool = cfg!(target_arch = "x86_64");

/// The submission queue has no room; the request comes back.
pub(super) struct Full(pub(super) Request);

/// One operation's result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Completion {
    /// What it belongs to.
    pub(super) operation: Operation,
    /// What the system call would have returned, errors negated.
    pub(super) result: i32,
    flags: u32,
}

impl Completion {
    fn of(entry: &cqueue::Entry) -> Self {
        let Some(operation) = Operation::decode(entry.user_data()) else {
            unreachable!("a completion of nothing that we submitted: {entry:?}")
        };
        Self { operation, result: entry.result(), flags: entry.flags() }
    }

    /// Whether the operation goes on.
    pub(super) fn has_more(&self) -> bool {
        cqueue::more(self.flags)
    }

    /// The receive buffer that it gives us.
    pub(super) fn buffer(&self) -> Option<u16> {
        cqueue::buffer_select(self.flags)
    }
}

/// How large a ring is.
#[derive(Clone, Copy, Debug)]
pub(super) struct RingSize {
    /// Entries of the submission queue.
    pub(super) submission_entries: u32,
    /// Entries of the completion queue.
    pub(super) completion_entries: u32,
    /// Slots of the file table.
    pub(super) slots: u32,
}

/// A ring that only the thread that made it may use.
pub(super) struct Ring {
    ring: IoUring,
    /// Completions taken out of the queue to make room, in order, older than all in the queue.
    kept: VecDeque<Completion>,
    completion_entries: u32,
    overflows: u64,
    enters: u64,
}

impl Ring {
    /// A ring with an empty file table. If it is given an eventfd, its completions signal it once [`Self::doze`] was
    /// called.
    pub(super) fn new(size: RingSize, eventfd: Option<BorrowedFd<'_>>) -> io::Result<Self> {
        let mut ring = IoUring::builder()
            .setup_single_issuer()
            .setup_defer_taskrun()
            .setup_taskrun_flag()
            .setup_submit_all()
            .setup_cqsize(size.completion_entries)
            .build(size.submission_entries)?;
        ring.submitter().register_files_sparse(size.slots)?;
        if let Some(eventfd) = eventfd {
            if SILENCES_EVENTFD {
                ring.completion().disable_eventfd();
            }
            ring.submitter().register_eventfd(eventfd.as_raw_fd())?;
        }
        // FIN is the one operation of ours that the kernel gives to a worker thread, even though it never waits.
        // A crowd that is closed at once must not become a crowd of threads. (0: as it is.)
        ring.submitter().register_iowq_max_workers(&mut [0, SHUTDOWN_WORKERS_MAX])?;
        let completion_entries = ring.params().cq_entries();
        Ok(Self { ring, kept: VecDeque::new(), completion_entries, overflows: 0, enters: 0 })
    }

    /// The kernel's ring, to register memory with it.
    pub(super) fn kernel(&self) -> &IoUring {
        &self.ring
    }

    /// Whether a slot's socket can be given an ordinary descriptor.
    pub(super) fn check_install(&self) -> io::Result<()> {
        let mut probe = Probe::new();
        self.ring.submitter().register_probe(&mut probe)?;
        if probe.is_supported(opcode::FixedFdInstall::CODE) {
            return Ok(());
        }
        let message = "limits.connections_per_address and limits.handshakes_per_address need FIXED_FD_INSTALL: \
                       run Linux 6.8 or later, or set both to 0";
        Err(io::Error::new(io::ErrorKind::Unsupported, message))
    }

    /// A second descriptor of the ring, for other shards to send descriptors to.
    pub(super) fn duplicate(&self) -> io::Result<OwnedFd> {
        // SAFETY: the ring is open as long as `self` lives.
        unsafe { BorrowedFd::borrow_raw(self.ring.as_raw_fd()) }.try_clone_to_owned()
    }

    /// Puts a request in the submission queue.
    pub(super) fn push(&mut self, request: Request) -> Result<(), Full> {
        // SAFETY: what a request points to is alive until the kernel has consumed it, by the contract of the
        // constructors of `Request`.
        let pushed = unsafe { self.ring.submission().push(request.entry()) };
        pushed.map_err(|_| Full(request))
    }

    /// Requests that wait for [`Self::submit`].
    pub(super) fn queued(&mut self) -> usize {
        self.ring.submission().len()
    }

    /// Hands all queued requests to the kernel. Runs no deferred work, so that completions of other operations do
    /// not crowd the queue in the middle of a batch of sends.
    pub(super) fn submit(&mut self) -> io::Result<()> {
        while self.queued() > 0 {
            self.enter(EnterFlags::empty())?;
        }
        Ok(())
    }

    /// Hands all queued requests to the kernel, and in the same call runs deferred work, so that completions
    /// appear in the queue.
    pub(super) fn submit_and_reap(&mut self) -> io::Result<()> {
        self.enter(EnterFlags::GETEVENTS)?;
        self.submit()
    }

    /// Like [`Self::submit_and_reap`], but lets completions gather for as long as `wait`.
    pub(super) fn submit_and_gather(&mut self, wait: Duration) -> io::Result<()> {
        let timespec = Timespec::from(wait);
        let args = SubmitArgs::new().timespec(&timespec);
        self.enters += 1;
        let entered = self.ring.submitter().submit_with_args(self.completion_entries(), &args);
        match entered {
            Err(error) if error.raw_os_error() == Some(libc::ETIME) => Ok(()),
            other => self.tolerate(other).map(drop),
        }?;
        self.submit()
    }

    /// Sleeps until there is a completion, or for as long as `at_most`. Whether there may be one: a signal ends it early,
    /// and so does a kernel that is short of memory.
    pub(super) fn wait(&mut self, at_most: Option<Duration>) -> io::Result<bool> {
        self.enters += 1;
        let submitter = self.ring.submitter();
        let entered = match at_most.map(Timespec::from) {
            Some(timespec) => submitter.submit_with_args(1, &SubmitArgs::new().timespec(&timespec)),
            None => {
                let mut flags = EnterFlags::GETEVENTS;
                // Or the system counts a core that has nothing to do as one that waits for a disk.
                flags.set(EnterFlags::NO_IOWAIT, self.ring.params().is_feature_no_iowait());
                // SAFETY: without EXT_ARG the argument is a signal mask, and there is none.
                unsafe { submitter.enter::<libc::sigset_t>(0, 1, flags.bits(), None) }
            }
        };
        match entered {
            Err(error) if error.raw_os_error() == Some(libc::ETIME) => {
                Ok(self.has_completions() || self.ring.submission().cq_overflow())
            }
            other => self.tolerate(other).map(|()| true),
        }
    }

    /// Whether something has come. What the kernel tells of deferred work may be stale: whoever adds some sets the flag
    /// after the work is in the list, and if it was done in between, nothing clears the flag until there is work again. So
    /// the work is done, all of it, until there is a completion or no more work.
    pub(super) fn has_arrived(&mut self) -> io::Result<bool> {
        Ok(self.has_completions() || self.is_unreaped() && self.wait(Some(Duration::ZERO))?)
    }

    /// Completions that the queue has room for.
    pub(super) fn completion_entries(&self) -> usize {
        self.completion_entries as usize
    }

    /// Whether deferred work waits that only [`Self::submit_and_reap`] turns into completions, as far as the kernel tells.
    pub(super) fn is_unreaped(&mut self) -> bool {
        let queue = self.ring.submission();
        queue.taskrun() || queue.cq_overflow()
    }

    /// Whether completions can be taken.
    pub(super) fn has_completions(&mut self) -> bool {
        !self.kept.is_empty() || !self.ring.completion().is_empty()
    }

    /// Moves all completions there are to the end of `completions`, in order.
    pub(super) fn take_completions(&mut self, completions: &mut Vec<Completion>) {
        completions.extend(self.kept.drain(..));
        completions.extend(self.ring.completion().map(|entry| Completion::of(&entry)));
    }

    /// Calls `failed` with each send of the last [`Self::submit`] that was not wholly taken, and keeps all other
    /// completions for [`Self::take_completions`].
    pub(super) fn take_failed_sends(&mut self, mut failed: impl FnMut(u32, i32)) -> io::Result<()> {
        loop {
            for entry in self.ring.completion() {
                let completion = Completion::of(&entry);
                match completion.operation {
                    Operation::Send { index } => failed(index, completion.result),
                    _ => self.kept.push_back(completion),
                }
            }
            if !self.ring.submission().cq_overflow() {
                return Ok(());
            }
            // The failure may be among those that found the queue full.
            self.enter(EnterFlags::GETEVENTS)?;
        }
    }

    /// From here on completions signal the eventfd; look for work once more before sleeping.
    pub(super) fn doze(&mut self) {
        self.ring.completion().enable_eventfd();
        // Pairs with the kernel, which first publishes the work and then looks whether to signal.
        fence(Ordering::SeqCst);
    }

    /// From here on completions signal nobody.
    pub(super) fn awake(&mut self) {
        if SILENCES_EVENTFD {
            self.ring.completion().disable_eventfd();
        }
    }

    /// How often the completion queue had overflown, since the last call.
    pub(super) fn take_overflows(&mut self) -> u64 {
        std::mem::take(&mut self.overflows)
    }

    /// System calls, since the last call.
    pub(super) fn take_enters(&mut self) -> u64 {
        std::mem::take(&mut self.enters)
    }

    fn enter(&mut self, flags: EnterFlags) -> io::Result<()> {
        let queue = self.ring.submission();
        let queued = queue.len() as u32;
        self.overflows += u64::from(queue.cq_overflow());
        drop(queue);
        self.enters += 1;
        // SAFETY: without EXT_ARG the argument is a signal mask, and there is none.
        let entered = unsafe { self.ring.submitter().enter::<libc::sigset_t>(queued, 0, flags.bits(), None) };
        self.tolerate(entered).map(drop)
    }

    /// Sorts the errors that mean "again" from those that mean "broken". After an `Ok` the queue may still hold
    /// requests.
    fn tolerate(&mut self, entered: io::Result<usize>) -> io::Result<()> {
        let Err(error) = entered else { return Ok(()) };
        match error.raw_os_error() {
            Some(libc::EINTR) => Ok(()),
            // The kernel is short of memory for requests.
            Some(libc::EAGAIN) => {
                std::thread::yield_now();
                Ok(())
            }
            // The completion queue has overflown: make room, and let the kernel fill it.
            Some(libc::EBUSY) => {
                self.keep_completions();
                self.enters += 1;
                let flags = EnterFlags::GETEVENTS.bits();
                // SAFETY: without EXT_ARG the argument is a signal mask, and there is none.
                let flushed = unsafe { self.ring.submitter().enter::<libc::sigset_t>(0, 0, flags, None) };
                match flushed.as_ref().map_err(io::Error::raw_os_error) {
                    Ok(_) | Err(Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)) => Ok(()),
                    Err(_) => flushed.map(drop),
                }
            }
            _ => Err(error),
        }
    }

    fn keep_completions(&mut self) {
        let Self { ring, kept, .. } = self;
        kept.extend(ring.completion().map(|entry| Completion::of(&entry)));
    }
}

impl Drop for Ring {
    fn drop(&mut self) {
        // Other shards may still hold a duplicate of the descriptor, which keeps the ring alive, and with it every
        // operation in flight and every socket: peers would wait for a shard that is gone.
        let _ = self
            .ring
            .submitter()
            .register_sync_cancel(Some(Timespec::from(CANCEL_WAIT)), CancelBuilder::any());
        // Nobody wants the completions.
        let mut vain = 0;
        while vain < VAIN_REAPS_MAX && self.has_arrived().unwrap_or(false) {
            let taken = self.kept.drain(..).count() + self.ring.completion().count();
            vain = if taken == 0 { vain + 1 } else { 0 };
        }
        // It fails only if there is no table.
        let _ = self.ring.submitter().unregister_files();
    }
}
