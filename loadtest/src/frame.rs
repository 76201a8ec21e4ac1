//! RFC 6455 frames as a client sees them: writes masked ones, reads unmasked ones. Bytes only, no sockets.
//!
//! This is deliberately not the engine's code: the generator must notice when the engine's is wrong.

use std::fmt;

/// Header bytes of the longest frame a server may send: two, and eight of length.
pub const SERVER_HEADER_BYTES_MAX: usize = 10;

/// A payload above this is refused: nothing a load test sends comes near it.
pub const PAYLOAD_BYTES_MAX: usize = 64 << 20;

/// RFC 6455 5.5: control frames carry at most this much.
pub const CONTROL_BYTES_MAX: usize = 125;

/// The opcodes of RFC 6455 5.2.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opcode {
    /// A further fragment of the message before.
    Continuation,
    /// A UTF-8 message.
    Text,
    /// A message of bytes.
    Binary,
    /// The closing handshake.
    Close,
    /// Asks for a pong.
    Ping,
    /// Answers a ping.
    Pong,
}

impl Opcode {
    fn from_bits(bits: u8) -> Option<Self> {
        Some(match bits {
            0x0 => Self::Continuation,
            0x1 => Self::Text,
            0x2 => Self::Binary,
            0x8 => Self::Close,
            0x9 => Self::Ping,
            0xa => Self::Pong,
            _ => return None,
        })
    }

    fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }

    /// Close, ping and pong.
    pub fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// One whole frame inside a longer piece of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What it is.
    pub opcode: Opcode,
    /// Whether its message ends here.
    pub is_final: bool,
    /// What it carries.
    pub payload: &'a [u8],
    /// Bytes it takes, header included.
    pub length: usize,
}

/// What a server's frame did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameError {
    /// RFC 6455 5.2: reserved bits without an extension.
    ReservedBits,
    /// RFC 6455 5.2: an opcode nobody has defined.
    ReservedOpcode,
    /// RFC 6455 5.1: a server must not mask.
    Masked,
    /// RFC 6455 5.5: a control frame fragmented or above 125 bytes.
    BadControl,
    /// RFC 6455 5.2: the length not in its shortest form.
    LengthNotMinimal,
    /// Longer than [`PAYLOAD_BYTES_MAX`].
    TooLong,
    /// RFC 6455 5.4: a continuation of nothing.
    StrayContinuation,
    /// RFC 6455 5.4: a new message inside a fragmented one.
    InterruptedMessage,
}

impl fmt::Display for FrameError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::ReservedBits => "frame with reserved bits",
            Self::ReservedOpcode => "frame with a reserved opcode",
            Self::Masked => "masked frame from the server",
            Self::BadControl => "control frame fragmented or above 125 bytes",
            Self::LengthNotMinimal => "frame length not in its shortest form",
            Self::TooLong => "frame above 64 MiB",
            Self::StrayContinuation => "continuation without a beginning",
            Self::InterruptedMessage => "new message inside a fragmented one",
        })
    }
}

/// Reads the frame at the start of `bytes`; `None` when it is not complete yet.
pub fn parse(bytes: &[u8]) -> Result<Option<Frame<'_>>, FrameError> {
    let [first, second, rest @ ..] = bytes else { return Ok(None) };
    if first & 0x70 != 0 {
        return Err(FrameError::ReservedBits);
    }
    let opcode = Opcode::from_bits(first & 0x0f).ok_or(FrameError::ReservedOpcode)?;
    let is_final = first & 0x80 != 0;
    if second & 0x80 != 0 {
        return Err(FrameError::Masked);
    }
    let short = second & 0x7f;
    if opcode.is_control() && (!is_final || usize::from(short) > CONTROL_BYTES_MAX) {
        return Err(FrameError::BadControl);
    }
    let Some((payload_length, header_length)) = read_length(short, rest)? else { return Ok(None) };
    let length = header_length + payload_length;
    let Some(payload) = bytes.get(header_length..length) else { return Ok(None) };
    Ok(Some(Frame { opcode, is_final, payload, length }))
}

/// Payload length and header length; `None` when `rest` ends before the length does.
fn read_length(short: u8, rest: &[u8]) -> Result<Option<(usize, usize)>, FrameError> {
    let (length, least, header) = match short {
        126 => match rest.first_chunk() {
            Some(bytes) => (u64::from(u16::from_be_bytes(*bytes)), 126, 4),
            None => return Ok(None),
        },
        127 => match rest.first_chunk() {
            Some(bytes) => (u64::from_be_bytes(*bytes), 1 << 16, SERVER_HEADER_BYTES_MAX),
            None => return Ok(None),
        },
        short => (u64::from(short), 0, 2),
    };
    if length < least {
        return Err(FrameError::LengthNotMinimal);
    }
    if length > PAYLOAD_BYTES_MAX as u64 {
        return Err(FrameError::TooLong);
    }
    Ok(Some((length as usize, header)))
}

/// Appends one final frame with `payload` under `mask` to `out`.
pub fn encode(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8], mask: [u8; 4]) {
    out.push(0x80 | opcode.bits());
    // RFC 6455 5.3: everything a client sends is masked.
    match payload.len() {
        short @ 0..126 => out.push(0x80 | short as u8),
        medium @ 126..0x1_0000 => {
            out.push(0x80 | 126);
            out.extend_from_slice(&(medium as u16).to_be_bytes());
        }
        long => {
            out.push(0x80 | 127);
            out.extend_from_slice(&(long as u64).to_be_bytes());
        }
    }
    out.extend_from_slice(&mask);
    let start = out.len();
    out.extend_from_slice(payload);
    for chunk in out[start..].chunks_mut(4) {
        for (byte, key) in chunk.iter_mut().zip(mask) {
            *byte ^= key;
        }
    }
}

/// The status code of a Close payload. RFC 6455 7.1.5: without one it is 1005.
pub fn close_code(payload: &[u8]) -> u16 {
    payload.first_chunk().map_or(1005, |bytes| u16::from_be_bytes(*bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a server would send for `payload`.
    fn server_frame(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut bytes = vec![first];
        match payload.len() {
            0..126 => bytes.push(payload.len() as u8),
            126..0x1_0000 => {
                bytes.push(126);
                bytes.extend_from_slice(&(payload.len() as u16).to_be_bytes());
            }
            _ => {
                bytes.push(127);
                bytes.extend_from_slice(&(payload.len() as u64).to_be_bytes());
            }
        }
        bytes.extend_from_slice(payload);
        bytes
    }

    #[test]
    fn every_length_form_is_read_whole_or_not_at_all() {
        for size in [0, 1, 125, 126, 127, 65_535, 65_536, 70_000] {
            let payload = vec![b'x'; size];
            let bytes = server_frame(0x82, &payload);
            let frame = parse(&bytes).unwrap().unwrap();
            assert_eq!((frame.opcode, frame.is_final), (Opcode::Binary, true));
            assert_eq!((frame.payload, frame.length), (&payload[..], bytes.len()));
            for cut in (0..bytes.len().min(16)).chain([bytes.len() - 1]) {
                assert_eq!(parse(&bytes[..cut]), Ok(None), "size {size}, cut at {cut}");
            }
        }
    }

    #[test]
    fn what_a_server_must_not_send_is_named() {
        for (bytes, error) in [
            (&[0xc1, 0x00][..], FrameError::ReservedBits),
            (&[0x83, 0x00], FrameError::ReservedOpcode),
            (&[0x81, 0x80, 0, 0, 0, 0], FrameError::Masked),
            (&[0x09, 0x00], FrameError::BadControl),
            (&[0x89, 126, 0, 126], FrameError::BadControl),
            (&[0x81, 126, 0, 125], FrameError::LengthNotMinimal),
            (&[0x81, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff], FrameError::LengthNotMinimal),
            (&[0x81, 127, 0xff, 0, 0, 0, 0, 0, 0, 0], FrameError::TooLong),
        ] {
            assert_eq!(parse(bytes), Err(error));
        }
    }

    #[test]
    fn the_example_of_the_specification() {
        // RFC 6455 5.7: a masked "Hello".
        let mut out = Vec::new();
        encode(&mut out, Opcode::Text, b"Hello", [0x37, 0xfa, 0x21, 0x3d]);
        assert_eq!(out, [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
    }

    #[test]
    fn long_frames_are_masked_to_the_last_byte() {
        for size in [126, 1_001, 65_535, 65_539] {
            let mut out = Vec::new();
            encode(&mut out, Opcode::Binary, &vec![0; size], [1, 2, 3, 4]);
            let header = if size < 65_536 { 8 } else { 14 };
            assert_eq!(out.len(), header + size);
            assert!(out[header..].iter().enumerate().all(|(at, byte)| usize::from(*byte) == at % 4 + 1));
        }
    }

    #[test]
    fn close_codes() {
        assert_eq!(close_code(&[0x03, 0xe8, b'b']), 1000);
        assert_eq!(close_code(&[]), 1005);
    }
}
