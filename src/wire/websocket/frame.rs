//! Frames that the server sends (RFC 6455 5.2).
//!
//! Owns their encoding. They are not masked and not fragmented, so the bytes of a message are the same for all its
//! receivers: a broadcast encodes once.

use super::close;

/// What a frame is (RFC 6455 5.2).
///
/// ```
/// use dormouse::wire::{OpCode, encode_frame};
///
/// let mut out = Vec::new();
/// encode_frame(&mut out, OpCode::Ping, b"");
/// assert_eq!(out, [0x80 | OpCode::Ping as u8, 0]);
/// ```
#[repr(u8)]
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OpCode {
    /// More of the message before.
    Continuation = 0,
    /// A text message, or the beginning of one.
    Text = 1,
    /// A binary message, or the beginning of one.
    Binary = 2,
    /// The last frame of its sender.
    Close = 8,
    /// To be answered with a pong of the same payload.
    Ping = 9,
    /// The answer to a ping.
    Pong = 10,
}

impl OpCode {
    /// Close, ping or pong.
    ///
    /// ```
    /// use dormouse::wire::OpCode;
    ///
    /// assert!(OpCode::Ping.is_control() && !OpCode::Text.is_control());
    /// ```
    #[inline]
    pub fn is_control(self) -> bool {
        // RFC 6455 5.5: the most significant bit of the opcode is 1
        self as u8 & 0x8 != 0
    }

    #[inline]
    pub(super) fn from_nibble(nibble: u8) -> Option<Self> {
        match nibble {
            0 => Some(Self::Continuation),
            1 => Some(Self::Text),
            2 => Some(Self::Binary),
            8 => Some(Self::Close),
            9 => Some(Self::Ping),
            10 => Some(Self::Pong),
            _ => None,
        }
    }
}

const FIN: u8 = 0x80;
const RSV1: u8 = 0x40;

/// The most bytes that a server's frame head has: 2, and 8 of extended length.
const HEAD_BYTES_MAX: usize = 10;

/// The head of a frame from the server, by value: it is written beside a payload that stays where it is.
///
/// ```
/// use dormouse::wire::{OpCode, frame_head};
///
/// assert_eq!(frame_head(OpCode::Binary, 256).as_slice(), [0x82, 126, 1, 0]); // RFC 6455 5.7
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FrameHead {
    bytes: [u8; HEAD_BYTES_MAX],
    length: u8,
}

impl FrameHead {
    /// The 2, 4 or 10 bytes of the head.
    #[inline]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

/// The head of an unfragmented frame with `payload_len` bytes of payload. A control frame has at most 125.
///
/// ```
/// use dormouse::wire::{OpCode, frame_head};
///
/// assert_eq!(frame_head(OpCode::Text, 5).as_slice(), [0x81, 5]);
/// ```
#[inline]
pub fn frame_head(opcode: OpCode, payload_len: usize) -> FrameHead {
    // RFC 6455 5.5: our own control frames obey it by construction; the assertion is for who calls this
    debug_assert!(!opcode.is_control() || payload_len <= 125, "a control frame of {payload_len} bytes");
    // RFC 6455 5.1: a server MUST NOT mask its frames, so that bit stays 0
    let mut bytes = [0; HEAD_BYTES_MAX];
    bytes[0] = FIN | opcode as u8;
    // RFC 6455 5.2: the minimal number of bytes MUST be used to encode the length, in network byte order
    let length = if payload_len <= 125 {
        bytes[1] = payload_len as u8;
        2
    } else if let Ok(short) = u16::try_from(payload_len) {
        bytes[1] = 126;
        bytes[2..4].copy_from_slice(&short.to_be_bytes());
        4
    } else {
        bytes[1] = 127;
        bytes[2..10].copy_from_slice(&(payload_len as u64).to_be_bytes());
        10
    };
    FrameHead { bytes, length }
}

/// The head of an unfragmented frame whose payload is a message that a [`Deflater`](super::Deflater) has compressed to
/// `payload_len` bytes.
///
/// ```
/// use dormouse::wire::{OpCode, compressed_frame_head};
///
/// assert_eq!(compressed_frame_head(OpCode::Text, 7).as_slice(), [0xc1, 7]); // RFC 7692 7.2.3.1
/// ```
pub fn compressed_frame_head(opcode: OpCode, payload_len: usize) -> FrameHead {
    // RFC 7692 6.1: RSV1 MUST NOT be set on control frames
    debug_assert!(!opcode.is_control());
    let mut head = frame_head(opcode, payload_len);
    head.bytes[0] |= RSV1;
    head
}

/// Opcode and payload of a message in one plain frame from the server; `None` if the bytes are anything else, such as two
/// frames, or a control frame.
///
/// ```
/// use dormouse::wire::{OpCode, encode_frame, split_frame};
///
/// let mut frame = Vec::new();
/// encode_frame(&mut frame, OpCode::Binary, &[7; 300]);
/// assert_eq!(split_frame(&frame), Some((OpCode::Binary, &[7; 300][..])));
/// assert_eq!(split_frame(&frame.repeat(2)), None);
/// ```
pub fn split_frame(frame: &[u8]) -> Option<(OpCode, &[u8])> {
    let [first, length, ..] = frame else { return None };
    let head_len = match length {
        0..=125 => 2,
        126 => 4,
        _ => HEAD_BYTES_MAX,
    };
    let is_data = |opcode: &OpCode| matches!(opcode, OpCode::Text | OpCode::Binary);
    let opcode = OpCode::from_nibble(first & 0x0f).filter(is_data)?;
    let (head, payload) = frame.split_at_checked(head_len)?;
    // The head that this payload would have says the rest: FIN, no reserved bit, this very length.
    (frame_head(opcode, payload.len()).as_slice() == head).then_some((opcode, payload))
}

/// The bytes of a whole frame from the server with `payload_len` bytes of payload.
///
/// ```
/// assert_eq!(dormouse::wire::frame_len(125), 127);
/// assert_eq!(dormouse::wire::frame_len(126), 130);
/// ```
#[inline]
pub fn frame_len(payload_len: usize) -> usize {
    let head_len = match payload_len {
        0..=125 => 2,
        126..=0xffff => 4,
        _ => 10,
    };
    head_len + payload_len
}

/// Appends a whole, unfragmented frame.
///
/// ```
/// use dormouse::wire::{OpCode, encode_frame};
///
/// let mut out = Vec::new();
/// encode_frame(&mut out, OpCode::Text, b"Hello");
/// assert_eq!(out, b"\x81\x05Hello"); // RFC 6455 5.7
/// ```
#[inline]
pub fn encode_frame(out: &mut Vec<u8>, opcode: OpCode, payload: &[u8]) {
    out.reserve(frame_len(payload.len()));
    out.extend_from_slice(frame_head(opcode, payload.len()).as_slice());
    out.extend_from_slice(payload);
}

/// Appends a Close frame. Without a code it has no payload; a reason needs a code, so then it is left out.
///
/// A reason of more than [`close::REASON_BYTES_MAX`] bytes is cut at the last character that fits: a Close frame has
/// to leave, whatever somebody wanted to say with it.
///
/// ```
/// let mut out = Vec::new();
/// dormouse::wire::encode_close(&mut out, Some(1000), "bye");
/// assert_eq!(out, b"\x88\x05\x03\xe8bye");
/// ```
pub fn encode_close(out: &mut Vec<u8>, code: Option<u16>, reason: &str) {
    // RFC 6455 5.5.1: if there is a body, its first two bytes are the code
    let Some(code) = code else {
        return encode_frame(out, OpCode::Close, b"");
    };
    debug_assert!(close::is_allowed_on_wire(code), "a close code that may not be sent: {code}");
    // RFC 6455 7.1.2: the code and the reason are those that were given
    let reason = &reason[..reason.floor_char_boundary(close::REASON_BYTES_MAX)];
    out.extend_from_slice(frame_head(OpCode::Close, 2 + reason.len()).as_slice());
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 6455 5.2: the minimal number of bytes at each border, in network byte order; 5.1: servers MUST NOT mask
    #[test]
    fn the_head_has_the_shortest_form_of_every_length() {
        let head = |length| frame_head(OpCode::Binary, length).as_slice().to_vec();
        assert_eq!(head(0), [0x82, 0]);
        assert_eq!(head(125), [0x82, 125]);
        assert_eq!(head(126), [0x82, 126, 0, 126]);
        assert_eq!(head(65_535), [0x82, 126, 255, 255]);
        assert_eq!(head(65_536), [0x82, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
        for length in [0, 1, 125, 126, 127, 65_535, 65_536, 1 << 30] {
            assert_eq!(frame_len(length), head(length).len() + length);
        }
    }

    // What is compressed on its way is one message: not two, which would become one, and nothing that may not be
    // (RFC 7692 6.1).
    #[test]
    fn only_a_message_in_one_plain_frame_is_split() {
        for length in [0, 1, 125, 126, 65_535, 65_536] {
            for opcode in [OpCode::Text, OpCode::Binary] {
                let (mut frame, payload) = (Vec::new(), vec![b'x'; length]);
                encode_frame(&mut frame, opcode, &payload);
                assert_eq!(split_frame(&frame), Some((opcode, &payload[..])));
                assert_eq!(split_frame(&frame.repeat(2)), None, "{length}");
                assert_eq!(split_frame(&frame[..frame.len() - 1]), None, "{length}");
                frame[0] |= RSV1;
                assert_eq!(split_frame(&frame), None, "{length}");
            }
        }
        for other in
            [&b""[..], b"\x81", b"\x01\x01a", b"\x80\x01a", b"\x88\x00", b"\x89\x01a", b"\x82\x7e\x00\x01a"]
        {
            assert_eq!(split_frame(other), None, "{other:?}");
        }
    }

    #[test]
    fn every_opcode_survives_its_nibble() {
        for nibble in 0..16 {
            match OpCode::from_nibble(nibble) {
                Some(opcode) => assert_eq!(opcode as u8, nibble),
                None => assert!(matches!(nibble, 3..=7 | 11..=15)),
            }
        }
    }

    // RFC 6455 5.5.1
    #[test]
    fn a_close_frame_may_be_empty_but_never_has_a_reason_alone() {
        let mut out = Vec::new();
        encode_close(&mut out, None, "never seen");
        assert_eq!(out, [0x88, 0]);
    }

    // RFC 6455 5.5: 125 bytes at most, and 5.5.1: the reason is UTF-8, so it is not cut within a character
    #[test]
    fn a_long_reason_is_cut_between_two_characters() {
        let mut out = Vec::new();
        encode_close(&mut out, Some(close::GOING_AWAY), &"ä".repeat(100));
        assert_eq!(out[1], 2 + 122);
        assert_eq!(out.len(), 2 + 124);
        assert_eq!(std::str::from_utf8(&out[4..]), Ok("ä".repeat(61).as_str()));
    }
}
