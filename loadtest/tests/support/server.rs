//! A server with rooms and an echo, one thread per connection, that can be told to do one thing wrong.

use super::wire::{self, Received, frame, read_frame, read_request};
use std::collections::HashMap;
use std::io::{BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// What is wrong with the server. Deliveries and connections are counted from 1 over the whole server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Nothing.
    None,
    /// Nothing, but it fragments every message, pings in between, and sends byte by byte at times.
    Awkward,
    /// Every so many deliveries, one is left out.
    Drop(u64),
    /// ... sent twice.
    Double(u64),
    /// ... sent after the next one to the same client (the middle one of so many, which has a next one).
    Reorder(u64),
    /// ... has a bit changed.
    Corrupt(u64),
    /// ... is cut short.
    Truncate(u64),
    /// ... has text sent as binary and the other way round.
    SwapKind(u64),
    /// ... is also sent to a client of another room.
    Leak(u64),
    /// ... carries reserved bits.
    BadFrame(u64),
    /// Instead of this delivery, the connection is closed with this code.
    Close(u64, u16),
    /// Instead of this delivery, the connection is reset without a word.
    Vanish(u64),
    /// The handshake of this connection has a wrong `Sec-WebSocket-Accept`.
    WrongAccept(u64),
    /// From this connection on, handshakes are answered with this status.
    Refuse(u64, u16),
    /// This connection's handshake is never answered.
    Mute(u64),
    /// Messages to /echo are swallowed from this one on.
    Swallow(u64),
    /// A Close is answered, but with another code.
    WrongCloseCode,
    /// A Close is never answered.
    IgnoreClose,
    /// Each message to a room takes this long, one after the other.
    Slow(Duration),
}

struct Peer {
    stream: TcpStream,
    held: Option<Vec<u8>>,
}

type Room = Arc<Mutex<Vec<Arc<Mutex<Peer>>>>>;

struct Shared {
    fault: Fault,
    rooms: Mutex<HashMap<String, Room>>,
    deliveries: AtomicU64,
    connections: AtomicU64,
    pongs: AtomicU64,
    closes: AtomicU64,
}

/// The server; it lives as long as the test.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
}

impl Server {
    /// Listens on a port of its own.
    pub fn start(fault: Fault) -> Self {
        Self::listen("127.0.0.1:0", fault)
    }

    /// Listens on `address`.
    pub fn listen(address: &str, fault: Fault) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared {
            fault,
            rooms: Mutex::default(),
            deliveries: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            pongs: AtomicU64::new(0),
            closes: AtomicU64::new(0),
        });
        let acceptor = Arc::clone(&shared);
        thread::spawn(move || {
            for stream in listener.incoming() {
                let shared = Arc::clone(&acceptor);
                thread::spawn(move || shared.serve(stream.unwrap()));
            }
        });
        Self { address, shared }
    }

    /// The URL of `path`.
    pub fn url(&self, path: &str) -> String {
        format!("ws://{}{path}", self.address)
    }

    /// Close frames received.
    pub fn closes(&self) -> u64 {
        self.shared.closes.load(Ordering::Relaxed)
    }

    /// Pongs received.
    pub fn pongs(&self) -> u64 {
        self.shared.pongs.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn serve(&self, stream: TcpStream) {
        stream.set_nodelay(true).unwrap();
        let number = self.connections.fetch_add(1, Ordering::Relaxed) + 1;
        let mut reader = BufReader::new(stream.try_clone().unwrap());
        let Some((path, accept)) = read_request(&mut reader) else { return };
        let mut writer = stream.try_clone().unwrap();
        let answer = match self.fault {
            Fault::WrongAccept(at) if at == number => wire::switching("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
            Fault::Refuse(from, status) if number >= from => {
                let _ =
                    writer.write_all(format!("HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n").as_bytes());
                return;
            }
            Fault::Mute(at) if at == number => {
                while read_frame(&mut reader).is_some() {}
                return;
            }
            _ => wire::switching(&accept),
        };
        let room = Arc::clone(self.rooms.lock().unwrap().entry(path.clone()).or_default());
        let me = Arc::new(Mutex::new(Peer { stream, held: None }));
        // In the room before the answer: whoever has been accepted hears everything.
        room.lock().unwrap().push(Arc::clone(&me));
        if writer.write_all(answer.as_bytes()).is_ok() {
            self.converse(&mut reader, &path, &room, &me);
        }
        room.lock().unwrap().retain(|peer| !Arc::ptr_eq(peer, &me));
        let _ = writer.shutdown(Shutdown::Both);
    }

    fn converse(&self, reader: &mut BufReader<TcpStream>, path: &str, room: &Room, me: &Arc<Mutex<Peer>>) {
        while let Some(Received { opcode, payload }) = read_frame(reader) {
            match opcode {
                1 | 2 if path == "/echo" => self.deliver(&mut me.lock().unwrap(), opcode, &payload, path),
                1 | 2 => {
                    // One message at a time through the room: the order of the room is the same for all.
                    let members = room.lock().unwrap();
                    if let Fault::Slow(time) = self.fault {
                        thread::sleep(time);
                    }
                    for peer in members.iter() {
                        self.deliver(&mut peer.lock().unwrap(), opcode, &payload, path);
                    }
                }
                8 => {
                    self.closes.fetch_add(1, Ordering::Relaxed);
                    let code = 1011u16.to_be_bytes();
                    let answer = match self.fault {
                        Fault::IgnoreClose => continue,
                        Fault::WrongCloseCode => frame(0x88, &code),
                        _ => frame(0x88, &payload),
                    };
                    let _ = me.lock().unwrap().stream.write_all(&answer);
                    return;
                }
                10 => drop(self.pongs.fetch_add(1, Ordering::Relaxed)),
                other => panic!("the generator sent opcode {other}"),
            }
        }
    }

    fn deliver(&self, peer: &mut Peer, opcode: u8, payload: &[u8], path: &str) {
        let number = self.deliveries.fetch_add(1, Ordering::Relaxed) + 1;
        let good = frame(0x80 | opcode, payload);
        let bytes = match self.fault {
            Fault::Drop(every) if number.is_multiple_of(every) => return,
            Fault::Swallow(from) if number >= from => return,
            Fault::Double(every) if number.is_multiple_of(every) => [&good[..], &good].concat(),
            Fault::Reorder(every) if number % every == every / 2 => {
                peer.held = Some(good);
                return;
            }
            Fault::Corrupt(every) if number.is_multiple_of(every) => {
                let mut payload = payload.to_vec();
                // Case of a letter: still text, still base64.
                *payload.last_mut().unwrap() ^= 0x20;
                frame(0x80 | opcode, &payload)
            }
            Fault::Truncate(every) if number.is_multiple_of(every) => {
                frame(0x80 | opcode, &payload[..payload.len() - 1])
            }
            Fault::SwapKind(every) if number.is_multiple_of(every) => frame(0x80 | (3 - opcode), payload),
            Fault::BadFrame(every) if number.is_multiple_of(every) => frame(0xf0 | opcode, payload),
            Fault::Leak(every) if number.is_multiple_of(every) => {
                self.leak(path, &good);
                good
            }
            Fault::Close(at, code) if at == number => frame(0x88, &code.to_be_bytes()),
            Fault::Vanish(at) if at == number => {
                let _ = peer.stream.shutdown(Shutdown::Both);
                return;
            }
            Fault::Awkward => return awkwardly(&mut peer.stream, opcode, payload, number),
            _ => good,
        };
        // A client that is gone is the reader's business.
        let _ = peer.stream.write_all(&bytes);
        if let Some(held) = peer.held.take() {
            let _ = peer.stream.write_all(&held);
        }
    }

    /// Sends `bytes` to somebody in another room than `path`. Only the other room's first client is looked
    /// at, and never while its room is locked by this thread.
    fn leak(&self, path: &str, bytes: &[u8]) {
        let other = self
            .rooms
            .lock()
            .unwrap()
            .iter()
            .find(|(name, _)| *name != path)
            .map(|(_, room)| Arc::clone(room));
        let Some(other) = other else { return };
        // Another thread may be leaking the other way; then this one leaves it.
        let Ok(members) = other.try_lock() else { return };
        if let Some(peer) = members.first() {
            let _ = peer.lock().unwrap().stream.write_all(bytes);
        }
    }
}

/// Everything RFC 6455 allows: two fragments with a ping between them, some of it in single bytes.
fn awkwardly(stream: &mut TcpStream, opcode: u8, payload: &[u8], number: u64) {
    let (first, second) = payload.split_at(payload.len() / 2);
    let bytes = [frame(opcode, first), frame(0x89, b"still there?"), frame(0x80, second)].concat();
    if number.is_multiple_of(10) {
        bytes.iter().for_each(|byte| drop(stream.write_all(&[*byte])));
    } else {
        let _ = stream.write_all(&bytes);
    }
}
