//! What the peers share: the address they listen on.

use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};

/// Connections that may wait to be accepted: a thousand arrive at once.
pub const BACKLOG: u32 = 4_096;

/// 127.0.0.1 and the port that is the first argument.
pub fn address() -> io::Result<SocketAddrV4> {
    let port = std::env::args().nth(1).and_then(|port| port.parse().ok());
    let port =
        port.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "the first argument must be a port"))?;
    Ok(SocketAddrV4::new(Ipv4Addr::LOCALHOST, port))
}

/// Whether `flag` is among the arguments.
pub fn has_flag(flag: &str) -> bool {
    std::env::args().any(|argument| argument == flag)
}
