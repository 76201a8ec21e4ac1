//! The opening handshake of RFC 6455 4.1 from the client's side: writes the request, judges the answer.

use crate::random::Random;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use std::fmt;

/// An answer whose head is longer than this is refused.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// Headers looked at in an answer; a head with more is refused.
const HEADERS_MAX: usize = 64;

/// RFC 6455 1.3.
const ACCEPT_GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The key in the example of RFC 6455 1.3.
const SAMPLE_KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// Where the keys come from. A key is computed from the number of its connection, so that nothing has to be
/// kept between the request and the answer.
#[derive(Clone, Copy, Debug)]
pub enum Keys {
    /// Sixteen bytes that depend on this seed and the connection.
    Random(u64),
    /// The one of RFC 6455 1.3, always: for servers that answer with a canned response.
    Sample,
}

impl Keys {
    /// `Sec-WebSocket-Key` of a connection.
    pub fn key(self, connection: u64) -> String {
        match self {
            Self::Random(seed) => {
                let mut random = Random::new(seed ^ connection.wrapping_mul(0xa076_1d64_78bd_642f));
                let mut nonce = [0; 16];
                nonce[..8].copy_from_slice(&random.next().to_ne_bytes());
                nonce[8..].copy_from_slice(&random.next().to_ne_bytes());
                STANDARD.encode(nonce)
            }
            Self::Sample => SAMPLE_KEY.to_owned(),
        }
    }

    /// The `Sec-WebSocket-Accept` that proves that the server has read the key of `connection`.
    fn accept(self, connection: u64) -> String {
        let mut hash = sha1_smol::Sha1::new();
        hash.update(self.key(connection).as_bytes());
        hash.update(ACCEPT_GUID);
        STANDARD.encode(hash.digest().bytes())
    }
}

/// The request for `path` at `host` with `key`.
pub fn request(host: &str, path: &str, key: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// What the server said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The head is not complete yet.
    Incomplete,
    /// A valid 101; frames begin after this many bytes.
    Accepted(usize),
    /// Another status: the server does not want this connection.
    Refused(u16),
}

/// An answer that is neither a valid 101 nor a refusal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HandshakeError {
    /// Not an HTTP/1.1 head, or one beyond the limits.
    BadHead,
    /// RFC 6455 4.1: `Upgrade` must be "websocket".
    BadUpgrade,
    /// RFC 6455 4.1: `Connection` must contain "Upgrade".
    BadConnection,
    /// RFC 6455 4.1: `Sec-WebSocket-Accept` missing or not derived from our key.
    BadAccept,
    /// RFC 6455 4.1: an extension nobody has asked for.
    UnwantedExtension,
}

impl fmt::Display for HandshakeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::BadHead => "handshake: not an HTTP/1.1 response",
            Self::BadUpgrade => "handshake: no Upgrade: websocket",
            Self::BadConnection => "handshake: no Connection: Upgrade",
            Self::BadAccept => "handshake: wrong Sec-WebSocket-Accept",
            Self::UnwantedExtension => "handshake: an extension nobody asked for",
        })
    }
}

/// Judges what has arrived so far on `connection`.
pub fn judge(bytes: &[u8], keys: Keys, connection: u64) -> Result<Answer, HandshakeError> {
    let Some(end) = bytes.windows(4).position(|four| four == b"\r\n\r\n") else {
        return if bytes.len() > HEAD_BYTES_MAX {
            Err(HandshakeError::BadHead)
        } else {
            Ok(Answer::Incomplete)
        };
    };
    let head = std::str::from_utf8(&bytes[..end]).map_err(|_| HandshakeError::BadHead)?;
    let mut lines = head.split("\r\n");
    let status = status(lines.next().unwrap_or_default()).ok_or(HandshakeError::BadHead)?;
    if status != 101 {
        return Ok(Answer::Refused(status));
    }
    let (mut upgrade, mut connected, mut accepted) = (false, false, false);
    for (number, line) in lines.enumerate() {
        let (name, value) = line.split_once(':').ok_or(HandshakeError::BadHead)?;
        let value = value.trim();
        if number == HEADERS_MAX {
            return Err(HandshakeError::BadHead);
        }
        match name.to_ascii_lowercase().as_str() {
            "upgrade" => upgrade = value.eq_ignore_ascii_case("websocket"),
            "connection" => {
                connected |= value.split(',').any(|token| token.trim().eq_ignore_ascii_case("upgrade"))
            }
            "sec-websocket-accept" => accepted = value == keys.accept(connection),
            "sec-websocket-extensions" => return Err(HandshakeError::UnwantedExtension),
            _ => {}
        }
    }
    match (upgrade, connected, accepted) {
        (true, true, true) => Ok(Answer::Accepted(end + 4)),
        (false, _, _) => Err(HandshakeError::BadUpgrade),
        (_, false, _) => Err(HandshakeError::BadConnection),
        (_, _, false) => Err(HandshakeError::BadAccept),
    }
}

/// The code in "HTTP/1.1 101 Switching Protocols".
fn status(line: &str) -> Option<u16> {
    let code = line.strip_prefix("HTTP/1.1 ")?.get(..3)?;
    code.parse().ok().filter(|code| (100..600).contains(code))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\n\
                        Connection: keep-alive, upgrade\r\n\
                        Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

    fn judge_sample(text: &str) -> Result<Answer, HandshakeError> {
        judge(text.as_bytes(), Keys::Sample, 0)
    }

    #[test]
    fn the_example_of_the_specification() {
        assert_eq!(judge_sample(GOOD), Ok(Answer::Accepted(GOOD.len())));
        assert_eq!(
            judge_sample(&format!("{GOOD}\u{1}")),
            Ok(Answer::Accepted(GOOD.len())),
            "frames may follow"
        );
    }

    #[test]
    fn a_head_may_come_in_pieces() {
        for cut in 0..GOOD.len() {
            assert_eq!(judge_sample(&GOOD[..cut]), Ok(Answer::Incomplete));
        }
    }

    #[test]
    fn each_missing_proof_has_its_name() {
        for (from, to, error) in [
            ("WebSocket", "h2c", HandshakeError::BadUpgrade),
            (", upgrade", "", HandshakeError::BadConnection),
            ("s3p", "s3q", HandshakeError::BadAccept),
            ("Sec-WebSocket-Accept", "X-Other", HandshakeError::BadAccept),
            ("HTTP/1.1 101", "HTTP/1.1 1x1", HandshakeError::BadHead),
            ("upgrade: ", "Sec-WebSocket-Extensions: ", HandshakeError::UnwantedExtension),
        ] {
            assert_eq!(judge_sample(&GOOD.replacen(from, to, 1)), Err(error), "{from} -> {to}");
        }
        assert_eq!(judge_sample(&"x".repeat(HEAD_BYTES_MAX + 1)), Err(HandshakeError::BadHead));
    }

    #[test]
    fn a_refusal_keeps_its_status() {
        assert_eq!(judge_sample("HTTP/1.1 503 Full\r\nRetry-After: 1\r\n\r\n"), Ok(Answer::Refused(503)));
    }

    #[test]
    fn a_key_belongs_to_its_connection() {
        let keys = Keys::Random(9);
        assert_eq!(keys.key(1), keys.key(1));
        assert_ne!(keys.key(1), keys.key(2));
        assert_eq!(keys.key(1).len(), 24);
        assert_eq!(judge(GOOD.as_bytes(), keys, 1), Err(HandshakeError::BadAccept));
    }
}
