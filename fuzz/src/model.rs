//! RFC 6455 5 once more, as slow and as plain as it can be said: the whole stream at once, every message gathered anew,
//! UTF-8 by the standard library. What a session says in pieces has to be what this says of the whole.

use dormouse::wire::{ProtocolError, SessionLimits};

/// What is heard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    Error(ProtocolError),
}

/// A message of which not all frames have come.
struct Open {
    is_text: bool,
    frames: u32,
    bytes: Vec<u8>,
}

/// Everything that `stream` says, up to and with the first mistake that nothing behind it could mend.
pub fn hear(stream: &[u8], limits: &SessionLimits) -> Vec<Heard> {
    let mut heard = Vec::new();
    if let Err(error) = hear_frames(stream, limits, &mut heard) {
        heard.push(Heard::Error(error));
    }
    heard
}

fn hear_frames(
    mut stream: &[u8],
    limits: &SessionLimits,
    heard: &mut Vec<Heard>,
) -> Result<(), ProtocolError> {
    let mut open: Option<Open> = None;
    while let Some(&first) = stream.first() {
        check_first(first, open.as_ref(), limits)?;
        let (opcode, is_final) = (first & 0x0f, first & 0x80 != 0);
        let Some(&second) = stream.get(1) else { break };
        if second & 0x80 == 0 {
            return Err(ProtocolError::Unmasked);
        }
        let before = open.as_ref().map_or(0, |open| open.bytes.len());
        let Some((length, behind)) = length(&stream[2..], opcode, second & 0x7f, before, limits)? else {
            break;
        };
        let Some((key, behind)) = behind.split_at_checked(4) else { break };
        let here = length.min(behind.len());
        let payload: Vec<u8> = behind[..here].iter().zip(key.iter().cycle()).map(|(b, k)| b ^ k).collect();
        let is_whole = here == length;
        stream = &behind[here..];
        match opcode {
            8 => {
                let (code, reason) = close(&payload, is_whole)?;
                if is_whole {
                    heard.push(Heard::Close(code, reason));
                    return Ok(());
                }
            }
            9 if is_whole => heard.push(Heard::Ping(payload)),
            10 if is_whole => heard.push(Heard::Pong(payload)),
            9 | 10 => {}
            _ => {
                let message = open.get_or_insert(Open { is_text: opcode == 1, frames: 0, bytes: Vec::new() });
                message.frames += 1;
                message.bytes.extend_from_slice(&payload);
                let is_end = is_final && is_whole;
                if message.is_text && !is_text(&message.bytes, is_end) {
                    return Err(ProtocolError::TextNotUtf8);
                }
                if is_end && let Some(Open { is_text, bytes, .. }) = open.take() {
                    heard.push(match is_text {
                        true => Heard::Text(String::from_utf8(bytes).expect("it was looked at")),
                        false => Heard::Binary(bytes),
                    });
                }
            }
        }
    }
    Ok(())
}

fn check_first(first: u8, open: Option<&Open>, limits: &SessionLimits) -> Result<(), ProtocolError> {
    let (opcode, is_final) = (first & 0x0f, first & 0x80 != 0);
    if first & 0x70 != 0 {
        return Err(ProtocolError::ReservedBits);
    }
    match (opcode, open) {
        (3..=7 | 11.., _) => Err(ProtocolError::UnknownOpCode),
        (8.., _) if !is_final => Err(ProtocolError::FragmentedControl),
        (1 | 2, Some(_)) => Err(ProtocolError::MissingContinuation),
        (0, None) => Err(ProtocolError::StrayContinuation),
        (0, Some(open)) if open.frames >= limits.frames_per_message_max => Err(ProtocolError::TooManyFrames),
        _ => Ok(()),
    }
}

/// The length, and what stands behind it. A length of which bytes are missing is wrong if the smallest and the largest
/// that it can become are wrong in the same way: the ways lie in order.
fn length<'a>(
    behind: &'a [u8],
    opcode: u8,
    seven: u8,
    before: usize,
    limits: &SessionLimits,
) -> Result<Option<(usize, &'a [u8])>, ProtocolError> {
    if opcode >= 8 && seven > 125 {
        return Err(ProtocolError::ControlTooLong);
    }
    if opcode == 8 && seven == 1 {
        return Err(ProtocolError::ClosePayload);
    }
    let (size, smallest) = match seven {
        126 => (2, 126),
        127 => (8, 65_536),
        _ => (0, 0),
    };
    let verdict = |length: u64| {
        if length >= 1 << 63 {
            Err(ProtocolError::LengthTopBit)
        } else if length < smallest {
            Err(ProtocolError::LengthNotMinimal)
        } else if opcode < 8 && length > (limits.message_bytes_max - before) as u64 {
            Err(ProtocolError::MessageTooLarge)
        } else {
            Ok(length as usize)
        }
    };
    if size == 0 {
        return verdict(u64::from(seven)).map(|length| Some((length, behind)));
    }
    let with = |filler: u8| {
        let mut bytes = [0; 8];
        for at in 0..size {
            bytes[8 - size + at] = behind.get(at).copied().unwrap_or(filler);
        }
        verdict(u64::from_be_bytes(bytes))
    };
    match (with(0x00), with(0xff)) {
        (Err(least), Err(most)) if least == most => Err(least),
        (Ok(length), _) if behind.len() >= size => Ok(Some((length, &behind[size..]))),
        _ => Ok(None),
    }
}

/// Whether bytes are text, or while more may come, could become it.
fn is_text(bytes: &[u8], is_end: bool) -> bool {
    match std::str::from_utf8(bytes) {
        Ok(_) => true,
        Err(error) => !is_end && error.error_len().is_none(),
    }
}

/// RFC 6455 7.4: what may be sent, as a list of what there is.
fn is_code(code: u16) -> bool {
    let defined = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011];
    let registered_later = [1012, 1013, 1014];
    defined.contains(&code) || registered_later.contains(&code) || (3000..5000).contains(&code)
}

/// Code and reason of a close payload of two bytes or more, or of none; or of the beginning of one.
pub fn close(payload: &[u8], is_whole: bool) -> Result<(Option<u16>, String), ProtocolError> {
    match payload {
        [] => Ok((None, String::new())),
        [high] if (0..=255).any(|low| is_code(u16::from_be_bytes([*high, low]))) => Ok((None, String::new())),
        [high, low, reason @ ..] if is_code(u16::from_be_bytes([*high, *low])) => {
            if !is_text(reason, is_whole) {
                return Err(ProtocolError::ReasonNotUtf8);
            }
            Ok((Some(u16::from_be_bytes([*high, *low])), String::from_utf8_lossy(reason).into_owned()))
        }
        _ => Err(ProtocolError::CloseCode),
    }
}
