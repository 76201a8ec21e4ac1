//! Opens TCP sockets: non-blocking, from a chosen source address, without spending a port before the connect.

use super::checked;
use std::io;
use std::mem::size_of;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, SocketAddrV6, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Starts a connection to `target`, from `source` when one is given (IPv4 targets only).
///
/// The socket is non-blocking and has `TCP_NODELAY`; whether the connect succeeded is known when it becomes
/// writable (`TcpStream::take_error`).
pub fn connect(target: SocketAddr, source: Option<Ipv4Addr>) -> io::Result<TcpStream> {
    let stream = match target {
        SocketAddr::V4(address) => {
            let stream = open(libc::AF_INET)?;
            if let Some(source) = source {
                bind_address_only(&stream, source)?;
            }
            start(&stream, &raw_v4(address))?;
            stream
        }
        SocketAddr::V6(address) => {
            let stream = open(libc::AF_INET6)?;
            start(&stream, &raw_v6(address))?;
            stream
        }
    };
    stream.set_nodelay(true)?;
    Ok(stream)
}

fn open(family: libc::c_int) -> io::Result<TcpStream> {
    let flags = libc::SOCK_STREAM | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
    // SAFETY: no pointers are passed.
    let descriptor = checked(unsafe { libc::socket(family, flags, 0) })?;
    // SAFETY: the kernel has just handed out this descriptor; nobody else owns it.
    let owned = unsafe { OwnedFd::from_raw_fd(descriptor) };
    Ok(TcpStream::from(owned))
}

/// Binds the address and leaves the port to `connect`, which then only needs the four-tuple to be unique.
/// Without `IP_BIND_ADDRESS_NO_PORT` (ip(7)) the port would be taken for all destinations at once.
fn bind_address_only(stream: &TcpStream, source: Ipv4Addr) -> io::Result<()> {
    let on: libc::c_int = 1;
    // SAFETY: `on` outlives the call and its size is what is passed.
    checked(unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::IPPROTO_IP,
            libc::IP_BIND_ADDRESS_NO_PORT,
            (&raw const on).cast(),
            size_of::<libc::c_int>() as libc::socklen_t,
        )
    })?;
    let address = raw_v4(SocketAddrV4::new(source, 0));
    // SAFETY: `address` is a complete sockaddr_in that outlives the call; its size is what is passed.
    checked(unsafe {
        libc::bind(
            stream.as_raw_fd(),
            (&raw const address).cast(),
            size_of::<libc::sockaddr_in>() as libc::socklen_t,
        )
    })?;
    Ok(())
}

/// `A` is `sockaddr_in` or `sockaddr_in6`.
fn start<A>(stream: &TcpStream, address: &A) -> io::Result<()> {
    // SAFETY: `address` is a complete socket address that outlives the call; its size is what is passed.
    let returned = unsafe {
        libc::connect(stream.as_raw_fd(), (&raw const *address).cast(), size_of::<A>() as libc::socklen_t)
    };
    match checked(returned) {
        Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => Err(error),
        _ => Ok(()),
    }
}

fn raw_v4(address: SocketAddrV4) -> libc::sockaddr_in {
    libc::sockaddr_in {
        sin_family: libc::AF_INET as libc::sa_family_t,
        sin_port: address.port().to_be(),
        sin_addr: libc::in_addr { s_addr: u32::from_ne_bytes(address.ip().octets()) },
        sin_zero: [0; 8],
    }
}

fn raw_v6(address: SocketAddrV6) -> libc::sockaddr_in6 {
    libc::sockaddr_in6 {
        sin6_family: libc::AF_INET6 as libc::sa_family_t,
        sin6_port: address.port().to_be(),
        sin6_flowinfo: address.flowinfo(),
        sin6_addr: libc::in6_addr { s6_addr: address.ip().octets() },
        sin6_scope_id: address.scope_id(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    #[test]
    fn comes_from_the_chosen_source() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let source = Ipv4Addr::new(127, 0, 0, 9);
        let _stream = connect(listener.local_addr().unwrap(), Some(source)).unwrap();
        let (_, peer) = listener.accept().unwrap();
        assert_eq!(peer.ip(), source);
    }
}
