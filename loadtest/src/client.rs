//! One connection's protocol, without its socket: bytes in, events out.
//!
//! ```text
//!   Head --valid 101--> Frames --Close received--> Finished
//!    |                    |
//!    +--- refused, or anything wrong: an error, and the connection is given up
//! ```
//!
//! Most reads of a load test contain whole frames, so nothing is kept between reads but the stage: the boxed
//! rest exists only while a head, a frame or a fragmented message is incomplete. 32,768 idle clients take
//! half a megabyte.

use crate::frame::{self, FrameError, Opcode};
use crate::handshake::{self, Answer, HandshakeError, Keys};
use crate::payload::Kind;
use std::fmt;

/// Where a connection stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// The answer to the handshake is awaited.
    #[default]
    Head,
    /// Frames are awaited.
    Frames,
    /// The server has sent its Close; whatever follows is ignored.
    Finished,
}

/// What is incomplete.
#[derive(Debug, Default)]
struct Rest {
    /// Bytes of an unfinished head or frame.
    bytes: Vec<u8>,
    /// The fragments of an unfinished message.
    message: Option<(Kind, Vec<u8>)>,
}

/// A client's half of one connection.
#[derive(Debug, Default)]
pub struct Client {
    stage: Stage,
    rest: Option<Box<Rest>>,
}

/// Something the server has sent.
#[derive(Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The handshake is done.
    Opened,
    /// A whole message.
    Message(Kind, &'a [u8]),
    /// To be answered with a pong of the same payload.
    Ping(&'a [u8]),
    /// A Close frame with this code (1005 when it has none).
    Closed(u16),
}

/// Why the connection is over from the protocol's point of view.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientError {
    /// The handshake was answered with this status.
    Refused(u16),
    /// The handshake was answered wrongly.
    Handshake(HandshakeError),
    /// A frame broke the rules.
    Frame(FrameError),
}

impl fmt::Display for ClientError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(status) => write!(formatter, "handshake refused with {status}"),
            Self::Handshake(error) => error.fmt(formatter),
            Self::Frame(error) => error.fmt(formatter),
        }
    }
}

impl Client {
    /// Takes `bytes` as they came from the socket, in any segmentation, and gives each event to `sink`.
    /// `connection` is the number under which `keys` made the request's key.
    pub fn handle_bytes(
        &mut self,
        bytes: &[u8],
        keys: Keys,
        connection: u64,
        mut sink: impl FnMut(Event<'_>),
    ) -> Result<(), ClientError> {
        let mut rest = self.rest.take().map_or_else(Rest::default, |rest| *rest);
        let mut kept = std::mem::take(&mut rest.bytes);
        // In the usual case nothing was kept and the bytes are read where they lie.
        let is_continued = !kept.is_empty();
        if is_continued {
            kept.extend_from_slice(bytes);
        }
        let all = if is_continued { &kept[..] } else { bytes };
        let mut at = 0;
        while at < all.len() {
            let taken = match self.stage {
                Stage::Head => self.read_head(&all[at..], keys, connection, &mut sink)?,
                Stage::Frames => self.read_frame(&all[at..], &mut rest, &mut sink)?,
                Stage::Finished => return Ok(()),
            };
            if taken == 0 {
                break;
            }
            at += taken;
        }
        if is_continued {
            kept.drain(..at);
            rest.bytes = kept;
        } else {
            rest.bytes.extend_from_slice(&bytes[at..]);
        }
        if !rest.bytes.is_empty() || rest.message.is_some() {
            self.rest = Some(Box::new(rest));
        }
        Ok(())
    }

    /// Both readers return how many bytes they took; 0 means that more are needed.
    fn read_head(
        &mut self,
        bytes: &[u8],
        keys: Keys,
        connection: u64,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<usize, ClientError> {
        match handshake::judge(bytes, keys, connection).map_err(ClientError::Handshake)? {
            Answer::Incomplete => Ok(0),
            Answer::Refused(status) => Err(ClientError::Refused(status)),
            Answer::Accepted(length) => {
                self.stage = Stage::Frames;
                sink(Event::Opened);
                Ok(length)
            }
        }
    }

    fn read_frame(
        &mut self,
        bytes: &[u8],
        rest: &mut Rest,
        sink: &mut impl FnMut(Event<'_>),
    ) -> Result<usize, ClientError> {
        let Some(frame) = frame::parse(bytes).map_err(ClientError::Frame)? else { return Ok(0) };
        match frame.opcode {
            Opcode::Text => begin(Kind::Text, &frame, rest, sink)?,
            Opcode::Binary => begin(Kind::Binary, &frame, rest, sink)?,
            Opcode::Continuation => resume(&frame, rest, sink)?,
            Opcode::Ping => sink(Event::Ping(frame.payload)),
            // RFC 6455 5.5.3: an unsolicited pong is no concern.
            Opcode::Pong => {}
            Opcode::Close => {
                self.stage = Stage::Finished;
                sink(Event::Closed(frame::close_code(frame.payload)));
            }
        }
        Ok(frame.length)
    }
}

/// A frame that starts a message.
fn begin(
    kind: Kind,
    frame: &frame::Frame<'_>,
    rest: &mut Rest,
    sink: &mut impl FnMut(Event<'_>),
) -> Result<(), ClientError> {
    if rest.message.is_some() {
        return Err(ClientError::Frame(FrameError::InterruptedMessage));
    }
    if frame.is_final {
        sink(Event::Message(kind, frame.payload));
    } else {
        rest.message = Some((kind, frame.payload.to_vec()));
    }
    Ok(())
}

/// A frame that continues a message.
fn resume(
    frame: &frame::Frame<'_>,
    rest: &mut Rest,
    sink: &mut impl FnMut(Event<'_>),
) -> Result<(), ClientError> {
    let Some((kind, mut message)) = rest.message.take() else {
        return Err(ClientError::Frame(FrameError::StrayContinuation));
    };
    if message.len() + frame.payload.len() > frame::PAYLOAD_BYTES_MAX {
        return Err(ClientError::Frame(FrameError::TooLong));
    }
    message.extend_from_slice(frame.payload);
    if frame.is_final {
        sink(Event::Message(kind, &message));
    } else {
        rest.message = Some((kind, message));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: &[u8] = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                          Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

    fn told(client: &mut Client, bytes: &[u8], events: &mut Vec<String>) -> Result<(), ClientError> {
        client.handle_bytes(bytes, Keys::Sample, 0, |event| events.push(format!("{event:?}")))
    }

    /// A conversation with everything in it: a fragmented text with a ping inside, a binary message, a Close.
    fn conversation() -> Vec<u8> {
        let mut bytes = HEAD.to_vec();
        bytes.extend_from_slice(&[0x01, 2, b'a', b'b', 0x89, 1, b'p', 0x80, 1, b'c']);
        bytes.extend_from_slice(&[0x82, 3, 1, 2, 3, 0x8a, 0, 0x88, 2, 0x03, 0xe8]);
        bytes
    }

    #[test]
    fn any_segmentation_tells_the_same_story() {
        let bytes = conversation();
        let mut whole = Vec::new();
        told(&mut Client::default(), &bytes, &mut whole).unwrap();
        assert_eq!(
            whole,
            [
                "Opened",
                "Ping([112])",
                "Message(Text, [97, 98, 99])",
                "Message(Binary, [1, 2, 3])",
                "Closed(1000)"
            ]
        );
        for step in 1..bytes.len() {
            let mut client = Client::default();
            let mut events = Vec::new();
            for piece in bytes.chunks(step) {
                told(&mut client, piece, &mut events).unwrap();
            }
            assert_eq!(events, whole, "pieces of {step}");
            assert_eq!(client.stage, Stage::Finished);
        }
    }

    #[test]
    fn nothing_is_kept_between_whole_frames() {
        let mut client = Client::default();
        let mut events = Vec::new();
        told(&mut client, HEAD, &mut events).unwrap();
        told(&mut client, &[0x81, 1, b'a'], &mut events).unwrap();
        assert!(client.stage == Stage::Frames && client.rest.is_none());
        told(&mut client, &[0x81], &mut events).unwrap();
        assert!(client.rest.is_some());
        assert!(size_of::<Client>() <= 16);
    }

    #[test]
    fn fragments_must_be_in_order() {
        for (bytes, error) in [
            (&[0x80, 0][..], FrameError::StrayContinuation),
            (&[0x01, 0, 0x81, 0], FrameError::InterruptedMessage),
        ] {
            let mut client = Client { stage: Stage::Frames, rest: None };
            assert_eq!(told(&mut client, bytes, &mut Vec::new()), Err(ClientError::Frame(error)));
        }
    }

    #[test]
    fn a_refusal_is_an_error_with_its_status() {
        let refused = b"HTTP/1.1 503 Service Unavailable\r\n\r\n";
        assert_eq!(told(&mut Client::default(), refused, &mut Vec::new()), Err(ClientError::Refused(503)));
    }
}
