//! A reader, a writer and a channel between them for each connection.

use super::Rooms;
use bytes::Bytes;
use fastwebsockets::upgrade::UpgradeFut;
use fastwebsockets::{FragmentCollectorRead, Frame, OpCode, Payload, WebSocketError, WebSocketWrite};
use std::future::ready;
use std::rc::Rc;
use tokio::io::AsyncWrite;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::spawn_local;

/// What a writer is told.
#[derive(Clone)]
pub enum Order {
    Message(OpCode, Bytes),
    Pong(Bytes),
    Close,
}

/// The way to a member of a room.
pub type Member = UnboundedSender<Order>;

/// Serves one connection in the room of `path`.
pub async fn serve(upgraded: UpgradeFut, path: String, rooms: &Rooms<Member>) -> Result<(), WebSocketError> {
    let (reader, writer) = upgraded.await?.split(tokio::io::split);
    let mut reader = FragmentCollectorRead::new(reader);
    let room = Rc::clone(rooms.borrow_mut().entry(path).or_default());
    let (orders, inbox) = unbounded_channel();
    let number = room.borrow_mut().insert(orders.clone());
    let writing = spawn_local(write(writer, inbox));
    // The library asks for pongs and closes to be sent by whoever owns the writer.
    let mut answer = |frame: Frame<'_>| {
        let _ = orders.send(match frame.opcode {
            OpCode::Pong => Order::Pong(Bytes::copy_from_slice(&frame.payload)),
            _ => Order::Close,
        });
        ready(Ok::<(), WebSocketError>(()))
    };
    while let Ok(frame) = reader.read_frame(&mut answer).await {
        match frame.opcode {
            OpCode::Text | OpCode::Binary => {
                let payload = Bytes::copy_from_slice(&frame.payload);
                for (_, member) in room.borrow().iter() {
                    // A member that is going away leaves the room by itself.
                    let _ = member.send(Order::Message(frame.opcode, payload.clone()));
                }
            }
            OpCode::Close => break,
            _ => {}
        }
    }
    room.borrow_mut().remove(number);
    drop(orders);
    let _ = writing.await;
    Ok(())
}

async fn write(mut writer: WebSocketWrite<impl AsyncWrite + Unpin>, mut inbox: UnboundedReceiver<Order>) {
    while let Some(order) = inbox.recv().await {
        let frame = match &order {
            Order::Message(opcode, payload) => Frame::new(true, *opcode, None, Payload::Borrowed(payload)),
            Order::Pong(payload) => Frame::pong(Payload::Borrowed(payload)),
            Order::Close => Frame::close(1000, b""),
        };
        if writer.write_frame(frame).await.is_err() || matches!(order, Order::Close) {
            return;
        }
    }
}
