//! The head of a frame from a client (RFC 6455 5.2).
//!
//! Owns the rules that a frame's first 2 to 14 bytes have to obey, and finds the first byte that breaks one.

use super::frame::OpCode;
use super::protocol_error::ProtocolError;
use super::session::SessionLimits;

/// The most bytes that a client's frame head has: 2, 8 of extended length, 4 of key.
pub(super) const HEAD_BYTES_MAX: usize = 14;

const RSV: u8 = 0x70;
// RFC 7692 6: a compressed message has it set in its first frame
const RSV1: u8 = 0x40;

/// What compression may add to a message: a quarter, which is more than the least able compressor needs (a byte in
/// nine bits is an eighth), and less than what empty blocks without end would be.
const COMPRESSED_EXCESS_DIVISOR: usize = 4;

/// A valid frame head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ClientHead {
    pub(super) opcode: OpCode,
    pub(super) fin: bool,
    pub(super) key: [u8; 4],
    pub(super) payload_len: usize,
    /// The message that begins here is compressed.
    pub(super) is_compressed: bool,
}

/// What has arrived of the current message, which decides what the next frame may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pending {
    /// No message is open. The next may be compressed if that was agreed.
    Nothing { may_be_compressed: bool },
    /// So many frames with so many bytes of payload, and the last of them was not final.
    Message { frames: u32, payload_bytes: usize, is_compressed: bool },
}

impl ClientHead {
    /// Reads the frame head that `bytes` begin with, and its length. `None` while more bytes are needed and those that
    /// are there are right.
    ///
    /// ```text
    ///   byte 0                 byte 1            2 or 8 bytes        4 bytes
    ///   FIN RSV RSV RSV opcode MASK length       extended length     key
    ///                                 126 -----> 16 bits
    ///                                 127 -----> 64 bits
    /// ```
    #[inline]
    pub(super) fn read(
        bytes: &[u8],
        pending: Pending,
        limits: &SessionLimits,
    ) -> Result<Option<(Self, usize)>, ProtocolError> {
        let [first, rest @ ..] = bytes else { return Ok(None) };
        let is_compressed = first & RSV1 != 0;
        let opcode = opcode_of(*first, pending, limits)?;
        let [second, rest @ ..] = rest else { return Ok(None) };
        // RFC 6455 5.1: a server MUST close the connection upon receiving a frame that is not masked
        if second & 0x80 == 0 {
            return Err(ProtocolError::Unmasked);
        }
        let allowance = allowance(pending, is_compressed, limits);
        let Some((payload_len, rest)) = length_of(second & 0x7f, rest, opcode, allowance)? else {
            return Ok(None);
        };
        let Some((&key, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let head = Self { opcode, fin: first & 0x80 != 0, key, payload_len, is_compressed };
        Ok(Some((head, bytes.len() - rest.len())))
    }
}

/// What the first byte says, if it may say so now.
#[inline]
fn opcode_of(first: u8, pending: Pending, limits: &SessionLimits) -> Result<OpCode, ProtocolError> {
    // RFC 6455 5.2: RSV1, RSV2, RSV3 MUST be 0 unless an extension is negotiated that defines them
    if first & RSV != 0 && !may_have_rsv(first, pending) {
        return Err(ProtocolError::ReservedBits);
    }
    // RFC 6455 5.2: if an unknown opcode is received, the receiving endpoint MUST fail the connection
    let opcode = OpCode::from_nibble(first & 0x0f).ok_or(ProtocolError::UnknownOpCode)?;
    match (opcode, pending) {
        // RFC 6455 5.5: all control frames MUST NOT be fragmented
        (OpCode::Close | OpCode::Ping | OpCode::Pong, _) if first & 0x80 == 0 => {
            Err(ProtocolError::FragmentedControl)
        }
        // RFC 6455 5.4: the frames of one message MUST NOT be interleaved with those of another
        (OpCode::Text | OpCode::Binary, Pending::Message { .. }) => Err(ProtocolError::MissingContinuation),
        (OpCode::Continuation, Pending::Nothing { .. }) => Err(ProtocolError::StrayContinuation),
        (OpCode::Continuation, Pending::Message { frames, .. })
            if frames >= limits.frames_per_message_max =>
        {
            Err(ProtocolError::TooManyFrames)
        }
        _ => Ok(opcode),
    }
}

// RFC 7692 6.1 and 7.2.1: RSV1 on the first frame of a data message alone, and of its own only that
fn may_have_rsv(first: u8, pending: Pending) -> bool {
    let may_be_compressed = matches!(pending, Pending::Nothing { may_be_compressed: true });
    may_be_compressed && first & RSV == RSV1 && matches!(first & 0x0f, 1 | 2)
}

/// The most payload that the frame may have.
#[inline]
fn allowance(pending: Pending, is_compressed: bool, limits: &SessionLimits) -> usize {
    let most = |is_compressed: bool| {
        let plain = limits.message_bytes_max;
        if is_compressed { plain.saturating_add(plain / COMPRESSED_EXCESS_DIVISOR + 64) } else { plain }
    };
    match pending {
        Pending::Nothing { .. } => most(is_compressed),
        Pending::Message { payload_bytes, is_compressed, .. } => {
            most(is_compressed).saturating_sub(payload_bytes)
        }
    }
}

/// The length of the payload and what follows it in `rest`, given the seven bits of the second byte.
#[inline]
fn length_of(
    seven_bits: u8,
    rest: &[u8],
    opcode: OpCode,
    allowance: usize,
) -> Result<Option<(usize, &[u8])>, ProtocolError> {
    if opcode.is_control() {
        return match seven_bits {
            // RFC 6455 5.5: all control frames MUST have a payload length of 125 bytes or less
            126.. => Err(ProtocolError::ControlTooLong),
            // RFC 6455 5.5.1: if there is a body, its first two bytes MUST be the code
            1 if opcode == OpCode::Close => Err(ProtocolError::ClosePayload),
            length => Ok(Some((usize::from(length), rest))),
        };
    }
    match seven_bits {
        127 => extended_length::<8>(rest, 0x1_0000, allowance),
        126 => extended_length::<2>(rest, 126, allowance),
        length if usize::from(length) > allowance => Err(ProtocolError::MessageTooLarge),
        length => Ok(Some((usize::from(length), rest))),
    }
}

/// An extended length of `BYTES` bytes (RFC 6455 5.2: in network byte order), of which some may be missing: then it lies between what it is with zeros and
/// what it is with ones in their place, and is wrong when that whole range is.
#[inline]
fn extended_length<const BYTES: usize>(
    rest: &[u8],
    smallest: u64,
    allowance: usize,
) -> Result<Option<(usize, &[u8])>, ProtocolError> {
    let (known, rest) = rest.split_at(rest.len().min(BYTES));
    let (mut at_least, mut at_most) = (0, 0);
    for index in 0..BYTES {
        let byte = known.get(index);
        at_least = at_least << 8 | u64::from(byte.copied().unwrap_or(0x00));
        at_most = at_most << 8 | u64::from(byte.copied().unwrap_or(0xff));
    }
    // RFC 6455 5.2: the most significant bit MUST be 0
    if at_least >> 63 != 0 {
        return Err(ProtocolError::LengthTopBit);
    }
    // RFC 6455 5.2: the minimal number of bytes MUST be used to encode the length
    if at_most < smallest {
        return Err(ProtocolError::LengthNotMinimal);
    }
    // Decided at the head, before anything is allocated: RELIABILITY.md, "64-bit length overflow".
    if at_least > allowance as u64 {
        return Err(ProtocolError::MessageTooLarge);
    }
    // With all bytes known, at_least is the length, and not above a usize.
    Ok((known.len() == BYTES).then_some((at_least as usize, rest)))
}
