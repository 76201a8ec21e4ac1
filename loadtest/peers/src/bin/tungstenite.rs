//! tokio (one thread) and tokio-tungstenite, the usual room: a task and an unbounded channel for each connection, the
//! payload shared.
//!
//! `tungstenite PORT`

use futures_util::{SinkExt, StreamExt};
use loadtest_peers::{BACKLOG, address};
use slab::Slab;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::{LocalSet, spawn_local};
use tokio_tungstenite::tungstenite::handshake::server::{ErrorResponse, Request, Response};
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, accept_hdr_async_with_config};

/// The library's default of 128 KiB for each connection would be what is measured.
const READ_BUFFER_BYTES: usize = 4_096;

type Room = Rc<RefCell<Slab<UnboundedSender<Message>>>>;
type Rooms = Rc<RefCell<HashMap<String, Room>>>;

fn main() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(LocalSet::new().run_until(listen()))
}

async fn listen() -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address()?.into())?;
    let listener = socket.listen(BACKLOG)?;
    let rooms = Rooms::default();
    loop {
        let (stream, _) = listener.accept().await?;
        let rooms = Rc::clone(&rooms);
        spawn_local(async move {
            // A connection that ends is no business of the others.
            let _ = serve(stream, rooms).await;
        });
    }
}

async fn serve(stream: TcpStream, rooms: Rooms) -> Result<(), Error> {
    stream.set_nodelay(true)?;
    let mut path = String::new();
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES).write_buffer_size(0);
    #[expect(clippy::result_large_err, reason = "the library's type")]
    let note_path = |request: &Request, response: Response| -> Result<Response, ErrorResponse> {
        path = request.uri().path().to_owned();
        Ok(response)
    };
    let mut socket = accept_hdr_async_with_config(stream, note_path, Some(config)).await?;
    if path == "/echo" {
        while let Some(message) = socket.next().await {
            let message = message?;
            if is_message(&message) {
                socket.send(message).await?;
            }
        }
        return Ok(());
    }
    let room = Rc::clone(rooms.borrow_mut().entry(path).or_default());
    let (outbox, inbox) = unbounded_channel();
    let number = room.borrow_mut().insert(outbox);
    let ended = converse(&mut socket, inbox, &room).await;
    room.borrow_mut().remove(number);
    ended
}

async fn converse(
    socket: &mut WebSocketStream<TcpStream>,
    mut inbox: UnboundedReceiver<Message>,
    room: &Room,
) -> Result<(), Error> {
    loop {
        tokio::select! {
            message = socket.next() => match message.transpose()? {
                None => return Ok(()),
                Some(message) if is_message(&message) => {
                    for (_, peer) in room.borrow().iter() {
                        // A peer that is going away leaves the room by itself.
                        let _ = peer.send(message.clone());
                    }
                }
                Some(_) => {}
            },
            Some(message) = inbox.recv() => {
                socket.feed(message).await?;
                while let Ok(message) = inbox.try_recv() {
                    socket.feed(message).await?;
                }
                socket.flush().await?;
            }
        }
    }
}

fn is_message(message: &Message) -> bool {
    message.is_text() || message.is_binary()
}
