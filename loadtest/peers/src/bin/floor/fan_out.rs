//! One frame to every socket of a room.

use crate::connections::Connections;
use io_uring::{IoUring, opcode, squeue, types};
use rustix::process::{Resource, getrlimit};
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

/// Sends in one submission.
const BATCH: u32 = 4_096;

/// Completions that are no success; more than that were not lost, the kernel keeps them.
const COMPLETIONS: u32 = 65_536;

/// Fixed files at most; the kernel allows as many as `RLIMIT_NOFILE` says.
const FILES_MAX: u32 = 65_536;

/// How the sends are made.
pub enum FanOut {
    /// One send(2) each.
    Loop,
    /// Batches of io_uring's Send.
    Batches(Box<IoUring>),
}

impl FanOut {
    /// Batches.
    pub fn batches() -> io::Result<Self> {
        let mut builder = IoUring::builder();
        builder.setup_single_issuer().setup_defer_taskrun().setup_cqsize(COMPLETIONS);
        let ring = builder.build(BATCH)?;
        let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
        ring.submitter().register_files_sparse(FILES_MAX.min(u32::try_from(limit).unwrap_or(FILES_MAX)))?;
        Ok(Self::Batches(Box::new(ring)))
    }

    /// A connection has come.
    pub fn register(&self, number: usize, socket: &OwnedFd) -> io::Result<()> {
        if let Self::Batches(ring) = self {
            ring.submitter().register_files_update(number as u32, &[socket.as_raw_fd()])?;
        }
        Ok(())
    }

    /// A connection has gone.
    pub fn forget(&self, number: usize) -> io::Result<()> {
        if let Self::Batches(ring) = self {
            ring.submitter().register_files_update(number as u32, &[-1])?;
        }
        Ok(())
    }

    /// Sends `frame` to everybody in `room`.
    pub fn send(&mut self, connections: &Connections, room: u32, frame: &[u8]) {
        match self {
            Self::Loop => {
                for number in connections.members(room) {
                    super::send(connections.socket(*number as usize), frame);
                }
            }
            Self::Batches(ring) => {
                for number in connections.members(room) {
                    push(ring, *number, frame);
                }
                submit(ring);
            }
        }
    }
}

fn push(ring: &mut IoUring, number: u32, frame: &[u8]) {
    let entry = opcode::Send::new(types::Fixed(number), frame.as_ptr(), frame.len() as u32)
        .flags(libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT)
        .build()
        .flags(squeue::Flags::SKIP_SUCCESS);
    // SAFETY: `frame` is alive and unchanged until the batch is submitted, which happens before `FanOut::send`
    // returns. With MSG_DONTWAIT the kernel sends (or fails) while it takes the entry and keeps no pointer.
    while unsafe { ring.submission().push(&entry) }.is_err() {
        submit(ring);
    }
}

/// The only reasons for a failure are a ring or a kernel that is out of order, and the floor has no other way then.
fn submit(ring: &mut IoUring) {
    ring.submit().expect("io_uring takes a batch");
    // What was not sent is dropped; the generator notices.
    ring.completion().for_each(drop);
}
