//! Encoded once, written to every socket in one loop; what a socket does not take waits beside it.

use super::Rooms;
use fastwebsockets::upgrade::UpgradeFut;
use fastwebsockets::{
    FragmentCollectorRead, Frame, OpCode, Payload, Role, WebSocketError, after_handshake_split,
};
use hyper_util::rt::TokioIo;
use std::cell::RefCell;
use std::future::ready;
use std::io;
use std::rc::Rc;
use tokio::net::TcpStream;
use tokio::net::tcp::OwnedWriteHalf;
use tokio::task::spawn_local;

/// A member of a room.
pub type Member = Rc<Connection>;

/// The writing half of a connection.
pub struct Connection {
    socket: OwnedWriteHalf,
    /// What the socket has not taken.
    backlog: RefCell<Vec<u8>>,
}

/// Serves one connection: an echo on `/echo`, else in the room of `path`.
pub async fn serve(upgraded: UpgradeFut, path: String, rooms: &Rooms<Member>) -> Result<(), WebSocketError> {
    let upgraded = upgraded.await?.into_inner().into_inner();
    let Ok(parts) = upgraded.downcast::<TokioIo<TcpStream>>() else { return Ok(()) };
    assert!(parts.read_buf.is_empty(), "a client that speaks before the handshake is over");
    let (reader, socket) = parts.io.into_inner().into_split();
    let (reader, _) = after_handshake_split(reader, tokio::io::sink(), Role::Server);
    let mut reader = FragmentCollectorRead::new(reader);
    let connection = Rc::new(Connection { socket, backlog: RefCell::default() });
    let mut answer = |frame: Frame<'_>| {
        connection.send(&encode(frame.opcode, &frame.payload));
        ready(Ok::<(), WebSocketError>(()))
    };
    if path == "/echo" {
        loop {
            let frame = reader.read_frame(&mut answer).await?;
            match frame.opcode {
                OpCode::Text | OpCode::Binary => connection.send(&encode(frame.opcode, &frame.payload)),
                OpCode::Close => return Ok(()),
                _ => {}
            }
        }
    }
    let room = Rc::clone(rooms.borrow_mut().entry(path).or_default());
    let number = room.borrow_mut().insert(Rc::clone(&connection));
    while let Ok(frame) = reader.read_frame(&mut answer).await {
        match frame.opcode {
            OpCode::Text | OpCode::Binary => {
                let bytes = encode(frame.opcode, &frame.payload);
                room.borrow().iter().for_each(|(_, member)| member.send(&bytes));
            }
            OpCode::Close => break,
            _ => {}
        }
    }
    room.borrow_mut().remove(number);
    Ok(())
}

fn encode(opcode: OpCode, payload: &[u8]) -> Vec<u8> {
    let mut buffer = Vec::new();
    // The buffer is longer than the frame.
    Frame::new(true, opcode, None, Payload::Borrowed(payload)).write(&mut buffer).to_vec()
}

impl Connection {
    fn send(self: &Rc<Self>, bytes: &[u8]) {
        let mut backlog = self.backlog.borrow_mut();
        if !backlog.is_empty() {
            backlog.extend_from_slice(bytes);
            return;
        }
        let taken = match self.socket.try_write(bytes) {
            Ok(taken) => taken,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            // The reader learns of it.
            Err(_) => return,
        };
        if taken < bytes.len() {
            backlog.extend_from_slice(&bytes[taken..]);
            spawn_local(Rc::clone(self).drain());
        }
    }

    async fn drain(self: Rc<Self>) {
        while self.socket.writable().await.is_ok() {
            let mut backlog = self.backlog.borrow_mut();
            match self.socket.try_write(&backlog) {
                Ok(taken) => drop(backlog.drain(..taken)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(_) => return,
            }
            if backlog.is_empty() {
                return;
            }
        }
    }
}
