//! A client that can do everything wrong: it writes the bytes it is told to, and reads heads and frames as they are.
//! It shares no code with the engine.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use super::PATIENCE;

pub const TEXT: u8 = 1;
pub const BINARY: u8 = 2;
pub const CLOSE: u8 = 8;
pub const PING: u8 = 9;
pub const PONG: u8 = 10;

/// A connection.
pub struct Client {
    pub stream: TcpStream,
    received: Vec<u8>,
}

/// A response.
#[derive(Debug)]
pub struct Answer {
    pub status: u16,
    pub head: String,
    pub body: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(": "));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

/// A frame, unmasked.
#[derive(Debug, PartialEq, Eq)]
pub struct Frame {
    pub opcode: u8,
    pub payload: Vec<u8>,
}

impl Frame {
    pub fn text(&self) -> &str {
        assert_eq!(self.opcode, TEXT, "{self:?}");
        std::str::from_utf8(&self.payload).unwrap()
    }

    /// The code of a Close frame; 1005 when it has none.
    pub fn close_code(&self) -> u16 {
        assert_eq!(self.opcode, CLOSE, "{self:?}");
        self.payload.get(..2).map_or(1005, |code| u16::from_be_bytes([code[0], code[1]]))
    }
}

/// The upgrade that everybody knows, for `path`.
pub fn upgrade_request(path: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

/// A request without a body.
pub fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

/// A masked frame; `first` is FIN, reserved bits and opcode.
pub fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![first];
    match payload.len() {
        length @ 0..126 => bytes.push(0x80 | length as u8),
        length @ 126..0x1_0000 => {
            bytes.push(0x80 | 126);
            bytes.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    bytes.extend_from_slice(&MASK);
    bytes.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

/// A whole text message.
pub fn text(payload: &str) -> Vec<u8> {
    frame(0x80 | TEXT, payload.as_bytes())
}

/// A Close frame.
pub fn close(code: u16, reason: &str) -> Vec<u8> {
    frame(0x80 | CLOSE, &[&code.to_be_bytes(), reason.as_bytes()].concat())
}

impl Client {
    pub fn connect(address: SocketAddr) -> Client {
        Client::try_connect(address).expect("nobody listens")
    }

    /// `None` when nobody listens.
    pub fn try_connect(address: SocketAddr) -> Option<Client> {
        let stream = TcpStream::connect(address).ok()?;
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Some(Client { stream, received: Vec::new() })
    }

    /// An open WebSocket.
    #[track_caller]
    pub fn upgraded(address: SocketAddr, path: &str) -> Client {
        let mut client = Client::connect(address);
        client.send(upgrade_request(path));
        assert_eq!(client.answer().status, 101);
        client
    }

    #[track_caller]
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.stream.write_all(bytes.as_ref()).unwrap();
    }

    /// Sends as far as the other side still takes it.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.write_all(bytes.as_ref()).is_ok()
    }

    pub fn finish_sending(&self) {
        self.stream.shutdown(Shutdown::Write).unwrap();
    }

    /// Reads more; `false` at the end.
    #[track_caller]
    fn receive(&mut self) -> bool {
        let mut buffer = [0; 64 * 1024];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return false,
                Ok(length) => {
                    self.received.extend_from_slice(&buffer[..length]);
                    return true;
                }
                Err(error) if error.kind() == ErrorKind::ConnectionReset => return false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => panic!("{error}; received so far: {:?}", Excerpt(&self.received)),
            }
        }
    }

    #[track_caller]
    fn need(&mut self, length: usize) {
        while self.received.len() < length {
            assert!(self.receive(), "ended within {:?}", Excerpt(&self.received));
        }
    }

    /// The head of the next response; its body stays unread.
    #[track_caller]
    pub fn head(&mut self) -> Answer {
        let end = loop {
            if let Some(end) = self.received.windows(4).position(|four| four == b"\r\n\r\n") {
                break end + 4;
            }
            let length = self.received.len();
            self.need(length + 1);
        };
        let head = String::from_utf8(self.received.drain(..end).collect()).unwrap();
        assert!(head.starts_with("HTTP/1.1 "), "{head}");
        Answer { status: head[9..12].parse().unwrap(), head, body: Vec::new() }
    }

    /// The next response, to any method but HEAD.
    #[track_caller]
    pub fn answer(&mut self) -> Answer {
        let mut answer = self.head();
        let length = answer.header("Content-Length").map_or(0, |length| length.parse().unwrap());
        self.need(length);
        answer.body = self.received.drain(..length).collect();
        answer
    }

    /// The next frame; the engine sends no fragments.
    #[track_caller]
    pub fn frame(&mut self) -> Frame {
        let (first, payload) = self.raw_frame();
        assert_eq!(first & 0xf0, 0x80, "FIN and nothing else: {first:x}");
        Frame { opcode: first & 0x0f, payload }
    }

    /// The next frame by its first byte and its payload, whatever its reserved bits say.
    #[track_caller]
    pub fn raw_frame(&mut self) -> (u8, Vec<u8>) {
        self.need(2);
        let (first, short) = (self.received[0], self.received[1]);
        assert_eq!(short & 0x80, 0, "a server masks nothing");
        let (start, length) = match short {
            126 => {
                self.need(4);
                (4, usize::from(u16::from_be_bytes([self.received[2], self.received[3]])))
            }
            127 => {
                self.need(10);
                (10, u64::from_be_bytes(self.received[2..10].try_into().unwrap()) as usize)
            }
            length => (2, usize::from(length)),
        };
        self.need(start + length);
        let payload = self.received[start..start + length].to_vec();
        self.received.drain(..start + length);
        (first, payload)
    }

    /// The next message, which is a text.
    #[track_caller]
    pub fn text(&mut self) -> String {
        self.frame().text().to_owned()
    }

    /// Sends a text and hears the answer.
    #[track_caller]
    pub fn ask(&mut self, question: &str) -> String {
        self.send(text(question));
        self.text()
    }

    /// Reads to the end, where nothing more may come.
    #[track_caller]
    pub fn end(&mut self) {
        while self.receive() {}
        assert!(self.received.is_empty(), "{:?}", Excerpt(&self.received));
    }

    /// Whether nothing more comes but the end, which is no reset.
    pub fn ends_in_order(&mut self) -> bool {
        self.received.is_empty() && matches!(self.stream.read(&mut [0]), Ok(0))
    }

    /// Whether the connection ends, whatever comes before that.
    #[track_caller]
    pub fn ends(&mut self) -> bool {
        while self.receive() {}
        true
    }

    /// Whether anything arrives before the connection ends, or before a while has passed.
    pub fn has_answer(&mut self) -> bool {
        self.stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        let peeked = self.stream.peek(&mut [0]);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        matches!(peeked, Ok(1))
    }

    /// Whether nothing arrives for so long.
    pub fn is_silent(&mut self, time: Duration) -> bool {
        self.stream.set_read_timeout(Some(time)).unwrap();
        let read = self.stream.read(&mut [0]);
        self.stream.set_read_timeout(Some(PATIENCE)).unwrap();
        self.received.is_empty()
            && read.is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    }
}

/// The first bytes of many.
struct Excerpt<'a>(&'a [u8]);

impl std::fmt::Debug for Excerpt<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let start = &self.0[..self.0.len().min(400)];
        write!(f, "{} bytes: {}", self.0.len(), start.escape_ascii())
    }
}
