//! Connections over loopback whose far ends are drained by a thread of their own, so that who sends is measured alone.

use std::io::{self, Error};
use std::mem::{size_of_val, zeroed};
use std::net::{TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Of each near end: a megabyte that is sent at once fits with what the kernel counts besides the bytes.
const SEND_BUFFER_BYTES: libc::c_int = 8 << 20;

/// The near ends, and the thread that reads from the far ones until this is dropped.
pub struct Loopback {
    pub near: Vec<TcpStream>,
    sent: u64,
    drained: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
    reader: Option<JoinHandle<()>>,
}

impl Loopback {
    /// Fails where the send buffers may not be made as large as is needed.
    pub fn connect(count: usize) -> io::Result<Loopback> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let (mut near, mut far) = (Vec::new(), Vec::new());
        for _ in 0..count {
            let stream = TcpStream::connect(listener.local_addr()?)?;
            stream.set_nodelay(true)?;
            force_send_buffer(&stream)?;
            near.push(stream);
            far.push(listener.accept()?.0);
        }
        let (drained, is_over) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
        let cpus = allowed_cpus();
        let reader = thread::spawn({
            let (drained, is_over, cpu) = (drained.clone(), is_over.clone(), *cpus.last().unwrap_or(&0));
            move || {
                pin_to(cpu);
                drain(&far, &drained, &is_over).expect("the far ends can be read");
            }
        });
        pin_to(*cpus.first().unwrap_or(&0));
        Ok(Loopback { near, sent: 0, drained, is_over, reader: Some(reader) })
    }

    /// Waits until the far ends have got `bytes` more, at no cost to speak of for the CPU of this thread.
    pub fn await_drained(&mut self, bytes: u64) {
        self.sent += bytes;
        while self.drained.load(Ordering::Acquire) < self.sent {
            thread::sleep(Duration::from_micros(20));
        }
    }
}

impl Drop for Loopback {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Release);
        // Its panic was reported where it happened.
        let _ = self.reader.take().map(JoinHandle::join);
    }
}

/// Reads what arrives, and forgets it without copying it.
fn drain(far: &[TcpStream], drained: &AtomicU64, is_over: &AtomicBool) -> io::Result<()> {
    // SAFETY: it takes no pointer.
    let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    checked(epoll)?;
    // SAFETY: the call has just made the descriptor, and nobody else has it.
    let epoll = unsafe { OwnedFd::from_raw_fd(epoll) };
    for stream in far {
        let fd = stream.as_raw_fd();
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: fd as u64 };
        // SAFETY: `event` is an event, which the kernel copies.
        checked(unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, fd, &raw mut event) })?;
    }
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 256];
    while !is_over.load(Ordering::Acquire) {
        let room = events.len() as libc::c_int;
        // SAFETY: there is room for so many events.
        let count = unsafe { libc::epoll_wait(epoll.as_raw_fd(), events.as_mut_ptr(), room, 50) };
        for event in &events[..usize::try_from(count).unwrap_or(0)] {
            drained.fetch_add(discard(event.u64 as RawFd)?, Ordering::AcqRel);
        }
    }
    Ok(())
}

/// Throws away what one socket has received; how much that was.
fn discard(fd: RawFd) -> io::Result<u64> {
    let flags = libc::MSG_TRUNC | libc::MSG_DONTWAIT;
    // SAFETY: with MSG_TRUNC a TCP socket discards the bytes, and writes to no buffer.
    let count = unsafe { libc::recv(fd, ptr::null_mut(), 4 << 20, flags) };
    match u64::try_from(count) {
        Ok(count) => Ok(count),
        Err(_) => match Error::last_os_error() {
            error if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
            error => Err(error),
        },
    }
}

fn force_send_buffer(stream: &TcpStream) -> io::Result<()> {
    let bytes = SEND_BUFFER_BYTES;
    let (value, length) = ((&raw const bytes).cast(), size_of_val(&bytes) as libc::socklen_t);
    // SAFETY: `value` points to an integer of `length` bytes.
    checked(unsafe {
        libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, value, length)
    })
}

fn allowed_cpus() -> Vec<usize> {
    // SAFETY: a set of CPUs is an array of integers, for which zero is a value.
    let mut set: libc::cpu_set_t = unsafe { zeroed() };
    // SAFETY: `set` is a set of that size.
    unsafe { libc::sched_getaffinity(0, size_of_val(&set), &raw mut set) };
    // SAFETY: every number below CPU_SETSIZE is in the set's range.
    (0..libc::CPU_SETSIZE as usize).filter(|cpu| unsafe { libc::CPU_ISSET(*cpu, &set) }).collect()
}

/// Where it may not be pinned it is measured nevertheless.
fn pin_to(cpu: usize) {
    // SAFETY: as above.
    let mut set: libc::cpu_set_t = unsafe { zeroed() };
    // SAFETY: `allowed_cpus` found it in a set of that size.
    unsafe { libc::CPU_SET(cpu, &mut set) };
    // SAFETY: `set` is a set of that size.
    unsafe { libc::sched_setaffinity(0, size_of_val(&set), &raw const set) };
}

/// CPU that the calling thread has used. On loopback the receiving half of the kernel's work is in it.
pub fn thread_cpu() -> Duration {
    read(libc::CLOCK_THREAD_CPUTIME_ID)
}

/// CPU that all threads have used.
pub fn process_cpu() -> Duration {
    read(libc::CLOCK_PROCESS_CPUTIME_ID)
}

fn read(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a time, and the clock is one that every Linux has.
    unsafe { libc::clock_gettime(clock, &raw mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn checked(result: libc::c_int) -> io::Result<()> {
    if result < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}
