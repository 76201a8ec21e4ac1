//! fastwebsockets on tokio (one thread), through hyper's upgrade.
//!
//! `fastws PORT`: a reader, a writer and a channel for each connection, as usual. `fastws PORT --direct`: a message is
//! encoded once and written to every socket of the room in one loop, which is the best a server can do without leaving
//! tokio.

mod channels;
mod direct;

use bytes::Bytes;
use fastwebsockets::upgrade::{UpgradeFut, upgrade};
use fastwebsockets::{FragmentCollector, OpCode, WebSocketError};
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use loadtest_peers::{BACKLOG, address, has_flag};
use slab::Slab;
use std::cell::RefCell;
use std::collections::HashMap;
use std::io;
use std::rc::Rc;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::{LocalSet, spawn_local};

/// A room, with what reaches a member.
type Room<Member> = Rc<RefCell<Slab<Member>>>;

/// The rooms of one of the two ways.
type Rooms<Member> = RefCell<HashMap<String, Room<Member>>>;

#[derive(Default)]
struct Server {
    is_direct: bool,
    channels: Rooms<channels::Member>,
    direct: Rooms<direct::Member>,
}

fn main() -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(LocalSet::new().run_until(listen()))
}

async fn listen() -> io::Result<()> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(address()?.into())?;
    let listener = socket.listen(BACKLOG)?;
    let server = Rc::new(Server { is_direct: has_flag("--direct"), ..Server::default() });
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        spawn_local(serve(stream, Rc::clone(&server)));
    }
}

async fn serve(stream: TcpStream, server: Rc<Server>) {
    let service = service_fn(move |request| accept(request, Rc::clone(&server)));
    // A connection that ends is no business of the others.
    let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).with_upgrades().await;
}

async fn accept(
    mut request: Request<Incoming>,
    server: Rc<Server>,
) -> Result<Response<Empty<Bytes>>, WebSocketError> {
    let path = request.uri().path().to_owned();
    let (response, upgraded) = upgrade(&mut request)?;
    spawn_local(async move {
        let _ = match (server.is_direct, path == "/echo") {
            (true, _) => direct::serve(upgraded, path, &server.direct).await,
            (false, true) => echo(upgraded).await,
            (false, false) => channels::serve(upgraded, path, &server.channels).await,
        };
    });
    Ok(response)
}

async fn echo(upgraded: UpgradeFut) -> Result<(), WebSocketError> {
    let mut socket = FragmentCollector::new(upgraded.await?);
    loop {
        let frame = socket.read_frame().await?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => socket.write_frame(frame).await?,
            _ => {}
        }
    }
}
