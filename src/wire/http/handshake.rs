//! What the server answers to an opening handshake: the proof that it has understood it, and a subprotocol.
//!
//! Owns the way from a Sec-WebSocket-Key to its Sec-WebSocket-Accept, and the question what the client offered.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use sha1::{Digest, Sha1};

use super::bytes::trimmed;
use super::field::fields_named;
use super::head::Field;

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
    let hash = Sha1::new().chain_update(key).chain_update(GUID).finalize();
    let mut accept = [0; 28];
    let written = STANDARD.encode_slice(hash, &mut accept);
    debug_assert_eq!(written, Ok(accept.len()), "20 bytes are 28 characters");
    Some(accept)
}

/// Whether the client offered `subprotocol`, so that a response may choose it. Case matters, and an empty name is never
/// offered.
///
/// ```
/// use dormouse::wire::{HeadLimits, offers_subprotocol, parse_head};
///
/// let head = b"GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Protocol: chat.v2, chat\r\n\r\n";
/// let mut fields = Vec::new();
/// parse_head(head, &HeadLimits::default(), &mut fields)?;
/// assert!(offers_subprotocol(head, &fields, "chat"));
/// # Ok::<(), dormouse::wire::RequestError>(())
/// ```
pub fn offers_subprotocol(head: &[u8], fields: &[Field], subprotocol: &str) -> bool {
    // RFC 6455 4.2.2 (4): the subprotocol MUST be derived from the client's handshake; 11.3.4: it may be a list, and
    // come in several fields
    !subprotocol.is_empty()
        && fields_named(head, fields, "Sec-WebSocket-Protocol")
            .flat_map(|value| value.split(|&byte| byte == b','))
            .any(|element| &element[trimmed(element)] == subprotocol.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::head::{HeadLimits, parse_head};
    use super::*;

    // SEMANTICS.md 8, "subprotocol"
    #[test]
    fn a_subprotocol_is_offered_if_some_list_has_exactly_it() {
        let head = b"GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Protocol: chat.v2 ,\tchat\r\n\
            sec-websocket-protocol: ,other\r\n\r\n";
        let mut fields = Vec::new();
        parse_head(head, &HeadLimits::default(), &mut fields).unwrap();
        for offered in ["chat", "chat.v2", "other"] {
            assert!(offers_subprotocol(head, &fields, offered), "{offered}");
        }
        for not_offered in ["", "Chat", "cha", "chat.v2 ,\tchat"] {
            assert!(!offers_subprotocol(head, &fields, not_offered), "{not_offered}");
        }
        assert!(!offers_subprotocol(head, &[], "chat"));
    }

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
