//! A client and the network between it and the server: what either side has sent and the other has not yet taken.
//! Owns both buffers; says nothing on its own.

use std::cell::RefCell;
use std::rc::Rc;

use super::frames::{BINARY, Heard, PING, PONG, TEXT, client_close, client_frame, server_frame};
use super::http::{Reply, take_reply};

/// Both directions of one connection.
#[derive(Debug, Default)]
pub struct Peer {
    /// Sent by the client, not yet received by the server.
    pub to_server: Vec<u8>,
    /// The client's FIN stands behind them.
    pub client_fin: bool,
    /// The client has reset the connection.
    pub client_reset: bool,
    /// Taken by the server's kernel, not yet read as frames or responses.
    pub to_client: Vec<u8>,
    /// How many bytes more the kernel takes; `None` is any number.
    pub room: Option<usize>,
    pub server_fin: bool,
    pub server_reset: bool,
    /// The server has closed its descriptor.
    pub server_closed: bool,
    /// All bytes that the server has sent, counted.
    pub sent_by_server: usize,
    /// How often the server has sent: system calls, were there a system.
    pub sends: usize,
    end_was_heard: bool,
}

/// A client. Clones are the same client.
#[derive(Clone, Debug)]
pub struct Client(Rc<RefCell<Peer>>);

impl Client {
    pub fn new(peer: Rc<RefCell<Peer>>) -> Client {
        Client(peer)
    }

    pub fn peer(&self) -> Rc<RefCell<Peer>> {
        self.0.clone()
    }

    /// Sends bytes as they are.
    pub fn bytes(&self, bytes: impl AsRef<[u8]>) -> &Client {
        let mut peer = self.0.borrow_mut();
        if !peer.client_fin && !peer.client_reset {
            peer.to_server.extend_from_slice(bytes.as_ref());
        }
        drop(peer);
        self
    }

    pub fn frame(&self, first: u8, payload: impl AsRef<[u8]>) -> &Client {
        self.bytes(client_frame(first, payload.as_ref()))
    }

    pub fn text(&self, text: impl AsRef<str>) -> &Client {
        self.frame(0x80 | TEXT, text.as_ref())
    }

    pub fn binary(&self, bytes: impl AsRef<[u8]>) -> &Client {
        self.frame(0x80 | BINARY, bytes)
    }

    pub fn ping(&self, payload: impl AsRef<[u8]>) -> &Client {
        self.frame(0x80 | PING, payload)
    }

    pub fn pong(&self, payload: impl AsRef<[u8]>) -> &Client {
        self.frame(0x80 | PONG, payload)
    }

    pub fn close(&self, code: impl Into<Option<u16>>, reason: &str) -> &Client {
        self.bytes(client_close(code.into(), reason))
    }

    /// Sends FIN and goes on reading.
    pub fn fin(&self) -> &Client {
        self.0.borrow_mut().client_fin = true;
        self
    }

    /// Resets the connection.
    pub fn reset(&self) -> &Client {
        let mut peer = self.0.borrow_mut();
        peer.client_reset = true;
        peer.to_server.clear();
        drop(peer);
        self
    }

    /// From now on the kernel takes only so many bytes more.
    pub fn stop_reading(&self, room: usize) -> &Client {
        self.0.borrow_mut().room = Some(room);
        self
    }

    /// Makes room for so many bytes more.
    pub fn read(&self, bytes: usize) -> &Client {
        if let Some(room) = &mut self.0.borrow_mut().room {
            *room += bytes;
        }
        self
    }

    /// Reads everything from now on.
    pub fn read_on(&self) -> &Client {
        self.0.borrow_mut().room = None;
        self
    }

    /// What was heard since the last time, as frames.
    pub fn heard(&self) -> Vec<Heard> {
        self.heard_by(server_frame)
    }

    /// The same, read by a function of the caller's, such as one that inflates.
    pub fn heard_by(&self, mut read: impl FnMut(&[u8]) -> Option<(Heard, usize)>) -> Vec<Heard> {
        let mut peer = self.0.borrow_mut();
        let mut heard = Vec::new();
        let mut at = 0;
        while let Some((frame, length)) = read(&peer.to_client[at..]) {
            heard.push(frame);
            at += length;
        }
        peer.to_client.drain(..at);
        let end = match (peer.server_reset, peer.server_fin || peer.server_closed) {
            (true, _) => Some(Heard::Reset),
            (false, true) => Some(Heard::Fin),
            (false, false) => None,
        };
        if let Some(end) = end
            && !std::mem::replace(&mut peer.end_was_heard, true)
        {
            assert!(peer.to_client.is_empty(), "the stream ends within a frame: {:?}", peer.to_client);
            heard.push(end);
        }
        heard
    }

    /// The texts among what was heard.
    pub fn texts(&self) -> Vec<String> {
        let texts = self.heard().into_iter().filter_map(|heard| match heard {
            Heard::Text(text) => Some(text),
            _ => None,
        });
        texts.collect()
    }

    /// The next response.
    ///
    /// # Panics
    /// When there is none.
    pub fn reply(&self) -> Reply {
        take_reply(&mut self.0.borrow_mut().to_client).expect("a response has come")
    }

    pub fn has_reply(&self) -> bool {
        !self.0.borrow().to_client.is_empty()
    }

    /// The server will say nothing more.
    pub fn is_over(&self) -> bool {
        let peer = self.0.borrow();
        peer.server_fin || peer.server_closed
    }

    /// The server has let go of the connection.
    pub fn is_closed(&self) -> bool {
        self.0.borrow().server_closed
    }

    pub fn sent_by_server(&self) -> usize {
        self.0.borrow().sent_by_server
    }

    pub fn sends(&self) -> usize {
        self.0.borrow().sends
    }
}
