//! Edge-triggered epoll over the sockets of one thread.

use super::checked;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Events taken from the kernel in one call: enough that the call is cheap per event, few enough that answers
/// to the first do not wait for the last.
const EVENTS_MAX: usize = 512;

/// What the kernel says about one descriptor.
#[derive(Clone, Copy, Debug)]
pub struct Readiness {
    /// The number the descriptor was added with.
    pub token: u64,
    /// The peer has closed or the connection has failed: read until the end.
    pub ended: bool,
    /// There is something to read (or an error to fetch by reading).
    pub readable: bool,
    /// There is room to write.
    pub writable: bool,
}

/// An epoll instance and the events of its last wait.
pub struct Epoll {
    descriptor: OwnedFd,
    events: Vec<libc::epoll_event>,
}

impl Epoll {
    /// Creates an instance in the descriptor table of the calling thread.
    pub fn new() -> io::Result<Self> {
        // SAFETY: no pointers are passed.
        let descriptor = checked(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: the kernel has just handed out this descriptor; nobody else owns it.
        let descriptor = unsafe { OwnedFd::from_raw_fd(descriptor) };
        Ok(Self { descriptor, events: vec![libc::epoll_event { events: 0, u64: 0 }; EVENTS_MAX] })
    }

    /// Watches `watched` for edges in both directions until it is closed. Watching for room to write costs
    /// nothing: the kernel reports it only after a write fell short.
    pub fn add(&self, watched: &impl AsRawFd, token: u64) -> io::Result<()> {
        let wanted = libc::EPOLLIN | libc::EPOLLOUT | libc::EPOLLRDHUP | libc::EPOLLET;
        let mut event = libc::epoll_event { events: wanted as u32, u64: token };
        // SAFETY: `event` outlives the call; both descriptors are open.
        checked(unsafe {
            libc::epoll_ctl(self.descriptor.as_raw_fd(), libc::EPOLL_CTL_ADD, watched.as_raw_fd(), &mut event)
        })?;
        Ok(())
    }

    /// Waits at most `timeout_ns` and returns how many events arrived; `event` reads them. Zero events is a
    /// normal answer, also after a signal.
    pub fn wait(&mut self, timeout_ns: u64) -> io::Result<usize> {
        let timeout = libc::timespec {
            tv_sec: (timeout_ns / 1_000_000_000) as libc::time_t,
            tv_nsec: (timeout_ns % 1_000_000_000) as libc::c_long,
        };
        // epoll_pwait2, because the milliseconds of epoll_wait are too coarse for an open loop at a rate.
        // SAFETY: `events` has room for EVENTS_MAX entries, `timeout` outlives the call, no signal mask is
        // passed.
        let returned = unsafe {
            libc::syscall(
                libc::SYS_epoll_pwait2,
                self.descriptor.as_raw_fd(),
                self.events.as_mut_ptr(),
                EVENTS_MAX as libc::c_int,
                &raw const timeout,
                std::ptr::null::<libc::sigset_t>(),
                0usize,
            )
        };
        match checked(returned as libc::c_int) {
            Ok(count) => Ok(count as usize),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(error) => Err(error),
        }
    }

    /// Event number `position` of the last wait.
    pub fn event(&self, position: usize) -> Readiness {
        let event = self.events[position];
        let flags = event.events as libc::c_int;
        let ended = flags & (libc::EPOLLRDHUP | libc::EPOLLHUP | libc::EPOLLERR) != 0;
        Readiness {
            token: event.u64,
            ended,
            readable: ended || flags & libc::EPOLLIN != 0,
            writable: flags & libc::EPOLLOUT != 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::net::{TcpListener, TcpStream};

    #[test]
    fn reports_bytes_and_the_end() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut far = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (near, _) = listener.accept().unwrap();
        let mut epoll = Epoll::new().unwrap();
        epoll.add(&near, 7).unwrap();
        assert_eq!(epoll.wait(1_000_000_000).unwrap(), 1);
        assert!(epoll.event(0).writable && !epoll.event(0).readable);
        assert_eq!(epoll.wait(0).unwrap(), 0, "an edge is told once");

        far.write_all(b"x").unwrap();
        assert_eq!(epoll.wait(1_000_000_000).unwrap(), 1);
        assert!(epoll.event(0).readable && !epoll.event(0).ended);

        drop(far);
        assert_eq!(epoll.wait(1_000_000_000).unwrap(), 1);
        assert!(epoll.event(0).ended);
        assert_eq!(epoll.event(0).token, 7);
    }
}
