//! As much of HTTP and RFC 6455 5.2 as the floor needs; bytes only.

/// The path of a request that begins with "GET ".
pub fn path(request: &[u8]) -> &[u8] {
    let rest = request.strip_prefix(b"GET ").unwrap_or(request);
    rest.split(|byte| *byte == b' ').next().unwrap_or(rest)
}

/// Whether the first frame is a Close.
pub fn is_close(frames: &[u8]) -> bool {
    frames.first() == Some(&0x88)
}

/// Unmasks whole frames of less than 64 KiB in place and hands each on, with its opcode.
pub fn decode(mut frames: &mut [u8], mut handle: impl FnMut(u8, &[u8])) {
    while let [first, second, rest @ ..] = frames {
        let opcode = *first & 0x0f;
        let (length, rest) = match (*second & 0x7f, rest) {
            (126, [high, low, rest @ ..]) => (usize::from(u16::from_be_bytes([*high, *low])), rest),
            (length, rest) => (usize::from(length), rest),
        };
        let [a, b, c, d, rest @ ..] = rest else { return };
        let mask = [*a, *b, *c, *d];
        let Some((payload, rest)) = rest.split_at_mut_checked(length) else { return };
        for (byte, key) in payload.iter_mut().zip(mask.iter().cycle()) {
            *byte ^= key;
        }
        handle(opcode, payload);
        frames = rest;
    }
}

/// Appends the frame of a whole message of less than 64 KiB.
pub fn encode(opcode: u8, payload: &[u8], frames: &mut Vec<u8>) {
    frames.push(0x80 | opcode);
    match payload.len() {
        short @ 0..126 => frames.push(short as u8),
        long => {
            frames.push(126);
            frames.extend_from_slice(&(long as u16).to_be_bytes());
        }
    }
    frames.extend_from_slice(payload);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_unmasked_and_encoded() {
        // RFC 6455 5.7: a masked and an unmasked "Hello".
        let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        let mut frames = Vec::new();
        decode(&mut [masked, masked].concat(), |opcode, payload| encode(opcode, payload, &mut frames));
        assert_eq!(frames, b"\x81\x05Hello\x81\x05Hello");
        assert_eq!(path(b"GET /room/1 HTTP/1.1\r\n"), b"/room/1");
    }
}
