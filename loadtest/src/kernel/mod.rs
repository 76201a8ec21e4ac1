//! The kernel interface: every `unsafe` block of this crate lives below here.
//!
//! Only what the standard library does not offer: non-blocking connects from a chosen source address, epoll,
//! event descriptors, the settings of a thread and of a child. Reads and writes go through `std::net::TcpStream`.

pub mod child;
pub mod epoll;
pub mod socket;
pub mod thread;
pub mod wakeup;

use std::io;

/// Turns the `-1` of a system call into the error it left behind.
fn checked(returned: libc::c_int) -> io::Result<libc::c_int> {
    if returned < 0 { Err(io::Error::last_os_error()) } else { Ok(returned) }
}
