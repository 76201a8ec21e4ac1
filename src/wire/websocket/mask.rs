//! The mask of client frames (RFC 6455 5.3).
//!
//! Owns one loop, and the hope that the compiler makes vector instructions of it; `benches/wire_frames.rs` holds it
//! against memcpy.

/// Bytes a round: two vectors of the oldest x86-64, one of the newer ones.
const STRIDE: usize = 32;

/// Takes the mask off `payload`, or puts it on: the operation is its own inverse.
///
/// `offset` is the position of `payload` within the frame's payload, for a payload that arrives in pieces.
///
/// ```
/// let mut payload = [0x7f, 0x9f, 0x4d, 0x51, 0x58]; // RFC 6455 5.7
/// dormouse::wire::unmask(&mut payload, [0x37, 0xfa, 0x21, 0x3d], 0);
/// assert_eq!(&payload, b"Hello");
/// ```
#[inline]
pub fn unmask(payload: &mut [u8], key: [u8; 4], offset: usize) {
    // RFC 6455 5.3: j = i MOD 4, transformed-octet-i = original-octet-i XOR masking-key-octet-j
    // The key is a number whose lowest byte comes first, and its bytes turn as those of a number do: turning an array is
    // a call, which costs as much as unmasking a short message.
    let word = u32::from_le_bytes(key).rotate_right(8 * (offset % 4) as u32);
    let double = u64::from(word) << 32 | u64::from(word);

    let (strides, rest) = payload.as_chunks_mut::<STRIDE>();
    for stride in strides {
        let (doubles, _) = stride.as_chunks_mut::<8>();
        for bytes in doubles {
            *bytes = (u64::from_le_bytes(*bytes) ^ double).to_le_bytes();
        }
    }
    let (words, tail) = rest.as_chunks_mut::<4>();
    for bytes in words {
        *bytes = (u32::from_le_bytes(*bytes) ^ word).to_le_bytes();
    }
    for (byte, key_byte) in tail.iter_mut().zip(word.to_le_bytes()) {
        *byte ^= key_byte;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 6455 5.3: byte i with byte i MOD 4 of the key
    #[test]
    fn every_length_offset_and_place_agrees_with_the_formula() {
        let key = [0x12, 0xab, 0x00, 0xff];
        for length in 0..200 {
            for offset in 0..8 {
                for place in 0..8 {
                    let original: Vec<u8> = (0..place + length).map(|index| index as u8).collect();
                    let mut payload = original.clone();
                    unmask(&mut payload[place..], key, offset);
                    let by_formula: Vec<u8> = original[place..]
                        .iter()
                        .enumerate()
                        .map(|(index, byte)| byte ^ key[(index + offset) % 4])
                        .collect();
                    assert_eq!(payload[place..], by_formula, "length {length} offset {offset} place {place}");
                }
            }
        }
    }
}
