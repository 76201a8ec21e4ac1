//! What a mode is to the event loop: a script that is told what happens on the sockets of one thread and says
//! what to do next. The loop (`worker.rs`) knows no mode, the modes know no epoll.

use crate::client::ClientError;
use crate::payload::Kind;
use crate::worker::Worker;
use std::fmt;
use std::io;

/// What a script wants of the loop.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// Nothing more; the loop returns.
    Done,
    /// To be asked again at this time (nanoseconds of the run's clock), or when something has happened.
    WaitUntil(u64),
}

/// A message as it was delivered.
#[derive(Clone, Copy, Debug)]
pub struct Delivery<'a> {
    /// The slot of the socket it came to.
    pub slot: u32,
    /// Text or binary.
    pub kind: Kind,
    /// What it carries.
    pub payload: &'a [u8],
    /// When it was read.
    pub now_ns: u64,
}

/// Why a connection is over.
#[derive(Debug)]
pub enum Ending {
    /// The server sent a Close frame with this code and closed.
    Closed(u16),
    /// The server closed without a Close frame.
    Vanished,
    /// The protocol was broken or the handshake refused.
    Protocol(ClientError),
    /// The system reported an error.
    System(io::Error),
}

impl fmt::Display for Ending {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(code) => write!(formatter, "closed by the server with code {code}"),
            Self::Vanished => formatter.write_str("ended by the server without a Close frame"),
            Self::Protocol(error) => error.fmt(formatter),
            Self::System(error) => error.fmt(formatter),
        }
    }
}

/// A mode's part on one thread. The names tell the direction: `poll` asks what to do, `handle_*` tells what
/// happened.
pub trait Script {
    /// Asked before each wait: send what is due.
    fn poll(&mut self, worker: &mut Worker, now_ns: u64) -> Next;

    /// The handshake on `slot` has succeeded.
    fn handle_open(&mut self, _worker: &mut Worker, _slot: u32, _now_ns: u64) {}

    /// A message has arrived.
    fn handle_delivery(&mut self, _worker: &mut Worker, _delivery: Delivery<'_>) {}

    /// The connection on `slot` is over and its socket closed.
    fn handle_end(&mut self, worker: &mut Worker, slot: u32, ending: Ending, now_ns: u64);
}
