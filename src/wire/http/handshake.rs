//! The proof that the server has understood the opening handshake.
//!
//! Owns the way from a Sec-WebSocket-Key to its Sec-WebSocket-Accept.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

// RFC 6455 1.3
const GUID: &[u8; 36] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

const KEY_CHARACTERS: usize = 24;

/// The Sec-WebSocket-Accept for `key`, or `None` if that is not 16 bytes in base64.
pub(super) fn accept(key: &[u8]) -> Option<[u8; 28]> {
    // RFC 6455 4.2.1 (5): a base64-encoded value that, when decoded, is 16 bytes in length
    let key: &[u8; KEY_CHARACTERS] = key.try_into().ok()?;
    let mut nonce = [0; KEY_CHARACTERS / 4 * 3];
    if STANDARD.decode_slice(key, &mut nonce) != Ok(16) {
        return None;
    }
    // RFC 6455 4.2.2 (5.4): the base64 of the SHA-1 of the key, as sent, and the GUID
    let mut hash = sha1_smol::Sha1::new();
    hash.update(key);
    hash.update(GUID);
    let mut accept = [0; 28];
    let written = STANDARD.encode_slice(hash.digest().bytes(), &mut accept);
    debug_assert_eq!(written, Ok(accept.len()), "20 bytes are 28 characters");
    Some(accept)
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 6455 1.3: the example
    #[test]
    fn the_example_of_the_standard() {
        assert_eq!(&accept(b"dGhlIHNhbXBsZSBub25jZQ==").unwrap(), b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    // RFC 6455 4.2.1 (5)
    #[test]
    fn a_key_that_is_not_sixteen_bytes_in_base64_has_no_answer() {
        for key in [
            &b""[..],
            b"dGhlIHNhbXBsZSBub25jZQ",           // no padding
            b"dGhlIHNhbXBsZSBub25jZQ===",        // too much of it
            b"dGhlIHNhbXBsZSBub25jZWU=",         // 17 bytes
            b"dGhlIHNhbXBsZSBub25jZWVl",         // 18 bytes
            b"dGhlIHNhbXBsZSBub25jZR==",         // bits set that belong to no byte
            b"dGhlIHNhbXBsZSBub25_ZQ==",         // the other alphabet
            b"dGhlIHNhbXBs SBub25jZQ==",         // a space
            b"dGhlIHNhbXBsZSBub25jZQ==dGhlIHNh", // more behind it
        ] {
            assert_eq!(accept(key), None, "{}", String::from_utf8_lossy(key));
        }
    }
}
