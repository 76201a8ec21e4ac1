//! The practical floor: what a broadcast costs when nothing is done but what the kernel demands. A canned answer to
//! the handshake (the sample key of RFC 6455 1.3), no HTTP beyond the path, each frame encoded once, then one send
//! for each socket.
//!
//! `floor PORT`: epoll and a loop of send(2). `floor PORT --uring`: the sends as io_uring batches with fixed files
//! and no completion on success; the rest stays on epoll.
//!
//! It is not a server. It expects each read to be whole frames, believes every length, and drops what a full socket
//! buffer does not take, which the load generator then counts as lost.

mod connections;
mod fan_out;
mod frame;

use connections::{Connections, Place};
use fan_out::FanOut;
use loadtest_peers::{BACKLOG, address, has_flag};
use rustix::buffer::spare_capacity;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use rustix::io::Errno;
use rustix::net::{self, AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, sockopt};
use std::io;
use std::os::fd::OwnedFd;

/// Events taken at a time.
const EVENTS_MAX: usize = 1_024;

/// Connections accepted before the others are looked at again.
const ACCEPTS_MAX: usize = 64;

/// One read.
const READ_BYTES_MAX: usize = 65_536;

/// What the listening socket is called among the events; connections are called by their number.
const LISTENER: u64 = u64::MAX;

/// RFC 6455 1.3: the answer to its sample key.
const SWITCHING: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A Close with code 1000.
const GOODBYE: &[u8] = &[0x88, 2, 3, 0xe8];

struct Floor {
    epoll: OwnedFd,
    listener: OwnedFd,
    connections: Connections,
    fan_out: FanOut,
    frame: Vec<u8>,
}

fn main() -> io::Result<()> {
    let mut floor = Floor::listen(has_flag("--uring"))?;
    let mut events = Vec::with_capacity(EVENTS_MAX);
    let mut read = vec![0; READ_BYTES_MAX];
    loop {
        epoll::wait(&floor.epoll, spare_capacity(&mut events), None)?;
        for event in events.drain(..) {
            match event.data.u64() {
                LISTENER => floor.accept()?,
                connection => floor.receive(connection as usize, &mut read)?,
            }
        }
    }
}

impl Floor {
    fn listen(uring: bool) -> io::Result<Self> {
        let listener =
            net::socket_with(AddressFamily::INET, SocketType::STREAM, SocketFlags::NONBLOCK, None)?;
        sockopt::set_socket_reuseaddr(&listener, true)?;
        // Accepted sockets inherit it.
        sockopt::set_tcp_nodelay(&listener, true)?;
        net::bind(&listener, &address()?)?;
        net::listen(&listener, BACKLOG as i32)?;
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        epoll::add(&epoll, &listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        let fan_out = if uring { FanOut::batches()? } else { FanOut::Loop };
        Ok(Self { epoll, listener, connections: Connections::new(), fan_out, frame: Vec::new() })
    }

    fn accept(&mut self) -> io::Result<()> {
        for _ in 0..ACCEPTS_MAX {
            let Ok(socket) = net::accept_with(&self.listener, SocketFlags::NONBLOCK) else { break };
            let number = self.connections.insert(socket);
            let socket = self.connections.socket(number);
            let name = EventData::new_u64(number as u64);
            epoll::add(&self.epoll, socket, name, EventFlags::IN | EventFlags::ET)?;
            self.fan_out.register(number, socket)?;
        }
        Ok(())
    }

    fn receive(&mut self, number: usize, read: &mut [u8]) -> io::Result<()> {
        let length = match net::recv(self.connections.socket(number), &mut *read, RecvFlags::empty()) {
            Ok((length, _)) => length,
            Err(Errno::AGAIN) => return Ok(()),
            Err(_) => 0,
        };
        let bytes = &mut read[..length];
        match self.connections.place(number) {
            _ if bytes.is_empty() => self.close(number),
            Place::Handshake => {
                self.connections.enter(number, frame::path(bytes));
                send(self.connections.socket(number), SWITCHING);
                Ok(())
            }
            _ if frame::is_close(bytes) => {
                send(self.connections.socket(number), GOODBYE);
                self.close(number)
            }
            Place::Echo => {
                self.frame.clear();
                frame::decode(bytes, |opcode, payload| frame::encode(opcode, payload, &mut self.frame));
                send(self.connections.socket(number), &self.frame);
                Ok(())
            }
            Place::Room(room) => {
                let Self { connections, fan_out, frame, .. } = self;
                frame::decode(bytes, |opcode, payload| {
                    frame.clear();
                    frame::encode(opcode, payload, frame);
                    fan_out.send(connections, room, frame);
                });
                Ok(())
            }
        }
    }

    fn close(&mut self, number: usize) -> io::Result<()> {
        self.fan_out.forget(number)?;
        self.connections.remove(number);
        Ok(())
    }
}

/// Sends what the socket buffer takes. The rest is dropped, and what has gone wrong is learnt from the next read.
fn send(socket: &OwnedFd, bytes: &[u8]) {
    let _ = net::send(socket, bytes, SendFlags::NOSIGNAL);
}
