//! A descriptor by which one generator thread interrupts another's wait.

use super::checked;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// An eventfd(2). It must be created before the threads take descriptor tables of their own: each table then
/// holds a copy under the same number, and it may be used from all of them.
#[derive(Debug)]
pub struct Wakeup {
    file: File,
}

impl Wakeup {
    /// Creates a quiet one.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let descriptor = checked(unsafe { libc::eventfd(0, libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) })?;
        // SAFETY: the kernel has just handed out this descriptor; nobody else owns it.
        let owned = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Self { file: File::from(owned) })
    }

    /// Ends the current or next wait of the thread that watches this.
    pub fn wake(&self) {
        // The only failure is a full counter, and then the thread is being woken already.
        let _ = (&self.file).write(&1u64.to_ne_bytes());
    }

    /// Forgets the wakes so far.
    pub fn clear(&self) {
        // The only failure is that there is nothing to forget.
        let _ = (&self.file).read(&mut [0; 8]);
    }
}

impl AsRawFd for Wakeup {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}
