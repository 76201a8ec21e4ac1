//! System calls that neither std nor the rings offer: eventfds, the listening socket, the descriptor limit.
//!
//! Owns no state. Each function is one call or the few that belong together.

use std::io;
use std::mem;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::time::Duration;

/// Connections that may wait in one shard's listener before the kernel drops new ones. The kernel cuts it to
/// `net.core.somaxconn`, which is 4,096 by default too.
pub(super) const LISTEN_BACKLOG: i32 = 4_096;

/// Turns a call's -1 into the error.
fn checked(result: libc::c_int) -> io::Result<libc::c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

/// From so many bytes on what is allocated is a mapping of its own, which goes back when it is freed.
#[cfg(target_env = "gnu")]
const OWN_MAPPING_BYTES: libc::c_int = 1 << 20;
/// So much free memory at the end of a heap goes back.
#[cfg(target_env = "gnu")]
const HEAP_END_BYTES: libc::c_int = 512 << 10;

/// Bounds what the allocator keeps of memory that was freed. By itself glibc's learns from each large block that is freed to
/// take the next from the heap: after a message of 25 MiB each shard would keep up to 64 MiB, which `trim_heap` does not reach.
pub(crate) fn bound_free_heap() {
    // SAFETY: the calls take no pointers, and move nothing.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, OWN_MAPPING_BYTES);
        libc::mallopt(libc::M_TRIM_THRESHOLD, HEAP_END_BYTES);
    };
}

/// Has the allocator give free memory back to the system, where it is one that keeps it.
pub(super) fn trim_heap() {
    // SAFETY: the call takes no pointers, and moves nothing.
    #[cfg(target_env = "gnu")]
    unsafe {
        libc::malloc_trim(0)
    };
}

/// A new eventfd, non-blocking, at zero.
pub(super) fn eventfd() -> io::Result<OwnedFd> {
    // SAFETY: the call takes no pointers.
    let descriptor = checked(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC | libc::EFD_NONBLOCK) })?;
    // SAFETY: the kernel just gave us this descriptor; nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(descriptor) })
}

/// Adds one to an eventfd.
pub(super) fn eventfd_signal(eventfd: BorrowedFd<'_>) {
    let one = 1u64;
    // SAFETY: `one` is 8 readable bytes, which is what an eventfd reads.
    let written = unsafe { libc::write(eventfd.as_raw_fd(), (&raw const one).cast(), size_of::<u64>()) };
    // EAGAIN means the counter is at its limit, so whoever waits is awake already.
    debug_assert!(written == 8 || io::Error::last_os_error().kind() == io::ErrorKind::WouldBlock);
}

/// Sets an eventfd back to zero. Whether it was not.
pub(super) fn eventfd_reset(eventfd: BorrowedFd<'_>) -> bool {
    let mut count = 0u64;
    // SAFETY: `count` is 8 writable bytes, which is what an eventfd writes. EAGAIN means it was zero already.
    let read = unsafe { libc::read(eventfd.as_raw_fd(), (&raw mut count).cast(), size_of::<u64>()) };
    read > 0
}

/// Waits until a descriptor is readable, but no longer than `wait`. Whether it is; a signal ends the wait early.
pub(super) fn await_readable(descriptor: BorrowedFd<'_>, wait: Duration) -> io::Result<bool> {
    let mut poll = libc::pollfd { fd: descriptor.as_raw_fd(), events: libc::POLLIN, revents: 0 };
    let wait = libc::timespec {
        tv_sec: libc::time_t::try_from(wait.as_secs()).unwrap_or(libc::time_t::MAX),
        tv_nsec: wait.subsec_nanos().into(),
    };
    // SAFETY: `poll` is one writable pollfd, `wait` a readable timespec, and there is no signal mask.
    let ready = checked(unsafe { libc::ppoll(&raw mut poll, 1, &raw const wait, std::ptr::null()) });
    match ready {
        Ok(count) => Ok(count > 0),
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok(false),
        Err(error) => Err(error),
    }
}

/// A socket bound to `address` that other sockets may be bound to as well, not yet listening.
pub(super) fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    // Linux hands TCP_NODELAY down to every accepted socket, which saves a call for each.
    bind_with(address, &[(libc::SOL_SOCKET, libc::SO_REUSEPORT), (libc::IPPROTO_TCP, libc::TCP_NODELAY)])
}

/// Whether no other socket listens at `address`: those of another engine of the same user would let ours in beside
/// them, and each would get a part of the other's clients.
pub(super) fn check_unshared(address: SocketAddr) -> io::Result<()> {
    bind_with(address, &[]).map(drop)
}

fn bind_with(address: SocketAddr, options: &[(i32, i32)]) -> io::Result<TcpListener> {
    let family = if address.is_ipv4() { libc::AF_INET } else { libc::AF_INET6 };
    // SAFETY: the call takes no pointers.
    let descriptor = checked(unsafe { libc::socket(family, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) })?;
    // SAFETY: the kernel just gave us this descriptor; nothing else owns it.
    let socket = unsafe { OwnedFd::from_raw_fd(descriptor) };
    // Connections of an engine that has ended do not keep the next one from its port.
    set_option(&socket, libc::SOL_SOCKET, libc::SO_REUSEADDR)?;
    for &(level, option) in options {
        set_option(&socket, level, option)?;
    }
    let (storage, length) = encode_address(address);
    // SAFETY: `storage` holds a socket address of `length` bytes.
    checked(unsafe { libc::bind(socket.as_raw_fd(), (&raw const storage).cast(), length) })?;
    Ok(TcpListener::from(socket))
}

/// The descriptor that an installation came to.
pub(super) fn own_installed(result: i32) -> io::Result<OwnedFd> {
    if result < 0 {
        return Err(io::Error::from_raw_os_error(-result));
    }
    // SAFETY: the kernel just gave us this descriptor; nothing else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(result) })
}

/// The address at the other end of a connection.
pub(super) fn peer_address(socket: &OwnedFd) -> io::Result<IpAddr> {
    // SAFETY: all fields are integers, for which zero is a value.
    let mut storage: libc::sockaddr_in6 = unsafe { mem::zeroed() };
    let mut length = size_of_val(&storage) as libc::socklen_t;
    let (name, length_at) = ((&raw mut storage).cast(), &raw mut length);
    // SAFETY: `storage` is writable for `length` bytes, which is enough for either family.
    checked(unsafe { libc::getpeername(socket.as_raw_fd(), name, length_at) })?;
    match i32::from(storage.sin6_family) {
        libc::AF_INET6 => Ok(IpAddr::from(storage.sin6_addr.s6_addr)),
        libc::AF_INET => {
            // SAFETY: the kernel wrote a `sockaddr_in`, which is smaller than the storage and no stricter in
            // alignment.
            let v4: libc::sockaddr_in = unsafe { (&raw const storage).cast::<libc::sockaddr_in>().read() };
            Ok(IpAddr::from(v4.sin_addr.s_addr.to_ne_bytes()))
        }
        _ => Err(io::ErrorKind::Unsupported.into()),
    }
}

/// Lets connections come.
pub(super) fn listen(socket: &TcpListener) -> io::Result<()> {
    // SAFETY: the call takes no pointers.
    checked(unsafe { libc::listen(socket.as_raw_fd(), LISTEN_BACKLOG) }).map(drop)
}

/// Lets no further handshake begin: the kernel drops what asks for one. Connections that wait to be accepted stay, and
/// handshakes that have begun end as they would. A client that asks asks again after a second, and finds nobody then.
pub(super) fn drop_new_handshakes(socket: &TcpListener) -> io::Result<()> {
    const FLAGS_AT: u32 = 13;
    const SYN: u32 = 0x02;
    const SYN_AND_ACK: u32 = 0x12;
    const EVERYTHING: u32 = u32::MAX;
    let statement = |code: u32, jt: u8, jf: u8, k: u32| libc::sock_filter { code: code as u16, jt, jf, k };
    // RFC 9293 3.1: what a filter of a TCP socket sees begins with the header, whose flags are in byte 13.
    let mut filter = [
        statement(libc::BPF_LD | libc::BPF_B | libc::BPF_ABS, 0, 0, FLAGS_AT),
        statement(libc::BPF_ALU | libc::BPF_AND | libc::BPF_K, 0, 0, SYN_AND_ACK),
        statement(libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K, 0, 1, SYN),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, 0),
        statement(libc::BPF_RET | libc::BPF_K, 0, 0, EVERYTHING),
    ];
    let program = libc::sock_fprog { len: filter.len() as u16, filter: filter.as_mut_ptr() };
    let (value, length) = ((&raw const program).cast(), size_of_val(&program) as libc::socklen_t);
    let (level, option) = (libc::SOL_SOCKET, libc::SO_ATTACH_FILTER);
    // SAFETY: `program` is a readable sock_fprog that points to `filter`, both alive; the kernel copies them.
    checked(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value, length) }).map(drop)
}

/// Whether a connection waits to be accepted.
pub(super) fn has_waiting(socket: &TcpListener) -> io::Result<bool> {
    await_readable(socket.as_fd(), Duration::ZERO)
}

/// Refuses further connections at once, even while an accept in flight still holds the socket.
pub(super) fn stop_listening(socket: &TcpListener) {
    // SAFETY: the call takes no pointers. It can only fail if the socket does not listen, which is what we want.
    unsafe { libc::shutdown(socket.as_raw_fd(), libc::SHUT_RD) };
}

fn set_option(socket: &OwnedFd, level: i32, option: i32) -> io::Result<()> {
    let on: libc::c_int = 1;
    let length = size_of_val(&on) as libc::socklen_t;
    let value = (&raw const on).cast();
    // SAFETY: `on` is a readable int of `length` bytes.
    checked(unsafe { libc::setsockopt(socket.as_raw_fd(), level, option, value, length) }).map(drop)
}

/// The address in the kernel's form, in storage large enough for either family.
fn encode_address(address: SocketAddr) -> (libc::sockaddr_in6, libc::socklen_t) {
    // SAFETY: all fields are integers, for which zero is a value.
    let mut storage: libc::sockaddr_in6 = unsafe { mem::zeroed() };
    match address {
        SocketAddr::V4(address) => {
            // SAFETY: all fields are integers, for which zero is a value.
            let mut v4: libc::sockaddr_in = unsafe { mem::zeroed() };
            v4.sin_family = libc::AF_INET as u16;
            v4.sin_port = address.port().to_be();
            v4.sin_addr.s_addr = u32::from_ne_bytes(address.ip().octets());
            // SAFETY: `sockaddr_in` is smaller than `sockaddr_in6` and no stricter in alignment; both are plain
            // integers.
            unsafe { (&raw mut storage).cast::<libc::sockaddr_in>().write(v4) };
            (storage, size_of::<libc::sockaddr_in>() as libc::socklen_t)
        }
        SocketAddr::V6(address) => {
            storage.sin6_family = libc::AF_INET6 as u16;
            storage.sin6_port = address.port().to_be();
            storage.sin6_flowinfo = address.flowinfo();
            storage.sin6_addr.s6_addr = address.ip().octets();
            storage.sin6_scope_id = address.scope_id();
            (storage, size_of::<libc::sockaddr_in6>() as libc::socklen_t)
        }
    }
}

/// Raises the soft limit of open descriptors to the hard limit, which also bounds each ring's file table, and
/// returns it. Call once at start, before [`start`](super::start).
///
/// # Errors
///
/// Whatever the kernel says; the limit is then as before.
///
/// ```
/// let descriptors = dormouse::shard::raise_descriptor_limit()?;
/// println!("a ring may have up to {descriptors} sockets");
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn raise_descriptor_limit() -> io::Result<u64> {
    let mut limit = descriptor_limit()?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is a readable rlimit.
    checked(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(limit.rlim_cur)
}

fn descriptor_limit() -> io::Result<libc::rlimit> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a writable rlimit.
    checked(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    Ok(limit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_sockets_share_a_port_and_take_no_connection_before_they_listen() {
        for text in ["127.0.0.1:0", "[::1]:0"] {
            let first = bind(text.parse().unwrap()).unwrap();
            let address = first.local_addr().unwrap();
            let second = bind(address).unwrap();
            assert_eq!(second.local_addr().unwrap(), address);
            assert!(std::net::TcpStream::connect(address).is_err());
            listen(&second).unwrap();
            std::net::TcpStream::connect(address).unwrap();
            assert_eq!(check_unshared(address).unwrap_err().kind(), io::ErrorKind::AddrInUse);
            stop_listening(&second);
            assert!(std::net::TcpStream::connect(address).is_err());
            check_unshared(address).unwrap();
        }
    }

    #[test]
    fn who_waits_to_be_accepted_is_seen_and_stays_when_nobody_else_may_come() {
        for text in ["127.0.0.1:0", "[::1]:0"] {
            let listener = TcpListener::bind(text).unwrap();
            let address = listener.local_addr().unwrap();
            assert!(!has_waiting(&listener).unwrap());
            let _waits = std::net::TcpStream::connect(address).unwrap();
            assert!(has_waiting(&listener).unwrap());
            drop_new_handshakes(&listener).unwrap();
            let late = std::net::TcpStream::connect_timeout(&address, Duration::from_millis(50));
            assert_eq!(late.unwrap_err().kind(), io::ErrorKind::TimedOut);
            listener.accept().unwrap();
            assert!(!has_waiting(&listener).unwrap());
        }
    }

    #[test]
    fn a_connection_knows_its_peer() {
        for (text, peer) in [("127.0.0.1:0", "127.0.0.1"), ("[::1]:0", "::1")] {
            let listener = TcpListener::bind(text).unwrap();
            let client = std::net::TcpStream::connect(listener.local_addr().unwrap()).unwrap();
            let (accepted, _) = listener.accept().unwrap();
            assert_eq!(peer_address(&accepted.into()).unwrap(), peer.parse::<IpAddr>().unwrap());
            drop(client);
        }
        assert_eq!(own_installed(-libc::EMFILE).unwrap_err().raw_os_error(), Some(libc::EMFILE));
    }

    #[test]
    fn a_bound_address_is_refused_to_strangers() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let refused = bind(taken.local_addr().unwrap()).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::AddrInUse);
    }

    #[test]
    fn an_eventfd_counts_and_is_reset() {
        let eventfd = eventfd().unwrap();
        assert!(!eventfd_reset(eventfd.as_fd()));
        eventfd_signal(eventfd.as_fd());
        eventfd_signal(eventfd.as_fd());
        assert!(await_readable(eventfd.as_fd(), Duration::MAX).unwrap());
        assert!(eventfd_reset(eventfd.as_fd()));
        assert!(!eventfd_reset(eventfd.as_fd()));
        assert!(!await_readable(eventfd.as_fd(), Duration::ZERO).unwrap());
    }

    #[test]
    fn the_descriptor_limit_rises_to_the_hard_limit() {
        let limit = raise_descriptor_limit().unwrap();
        assert_eq!(descriptor_limit().unwrap().rlim_cur, limit);
    }
}
