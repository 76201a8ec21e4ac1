//! What the fields of a head say about the message: where it ends, and whether it wants to become a WebSocket.
//!
//! Owns the rules of framing and of the opening handshake. The two parsers differ in how they find fields; both bring
//! them here, so that there is one opinion on what they mean.

use super::body::BodyLength;
use super::bytes::is_host_byte;
use super::field::list_contains;
use super::handshake;
use super::head::{Ordinary, Upgrade};
use super::request_error::RequestError;

/// What has been learnt from the fields seen so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Facts<'a> {
    has_host: bool,
    upgrade_websocket: bool,
    connection_upgrade: bool,
    connection_close: bool,
    expect_continue: bool,
    chunked: bool,
    content_length: Option<u64>,
    key: Seen<'a>,
    version: Seen<'a>,
}

/// A field that may occur once.
#[derive(Debug, Clone, Copy, Default)]
enum Seen<'a> {
    #[default]
    Never,
    Once(&'a [u8]),
    Repeatedly,
}

impl<'a> Seen<'a> {
    fn note(&mut self, value: &'a [u8]) {
        *self = match self {
            Self::Never => Self::Once(value),
            Self::Once(_) | Self::Repeatedly => Self::Repeatedly,
        };
    }
}

impl<'a> Facts<'a> {
    /// Takes notice of one field.
    #[inline]
    pub(super) fn note(&mut self, name: &[u8], value: &'a [u8]) -> Result<(), RequestError> {
        // The length tells most names apart from the few that matter.
        match name.len() {
            4 if name.eq_ignore_ascii_case(b"host") => self.host(value),
            6 if name.eq_ignore_ascii_case(b"expect") => {
                // RFC 9110 10.1.1: case-insensitive; other expectations MAY be ignored
                self.expect_continue |= list_contains(value, "100-continue");
                Ok(())
            }
            7 if name.eq_ignore_ascii_case(b"upgrade") => {
                // RFC 6455 4.2.1 (3): the value `websocket`, in any case
                self.upgrade_websocket |= list_contains(value, "websocket");
                Ok(())
            }
            10 if name.eq_ignore_ascii_case(b"connection") => {
                self.connection_upgrade |= list_contains(value, "upgrade");
                self.connection_close |= list_contains(value, "close");
                Ok(())
            }
            14 if name.eq_ignore_ascii_case(b"content-length") => self.content_length(value),
            17 if name.eq_ignore_ascii_case(b"sec-websocket-key") => {
                self.key.note(value);
                Ok(())
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => self.transfer_encoding(value),
            21 if name.eq_ignore_ascii_case(b"sec-websocket-version") => {
                self.version.note(value);
                Ok(())
            }
            // RFC 6455 4.2.1 (10): unknown fields are ignored
            _ => Ok(()),
        }
    }

    // RFC 9112 3.2: 400 for more than one Host or an invalid one
    fn host(&mut self, value: &[u8]) -> Result<(), RequestError> {
        if self.has_host || !value.iter().all(|&byte| is_host_byte(byte)) {
            return Err(RequestError::Host);
        }
        self.has_host = true;
        Ok(())
    }

    // RFC 9112 6.3 (5): an invalid Content-Length is an unrecoverable error. A repeated one could be forgiven if all
    // are equal; that a client needs it to be is unheard of, and that two servers disagree over it is smuggling.
    fn content_length(&mut self, value: &[u8]) -> Result<(), RequestError> {
        let length = decimal(value).ok_or(RequestError::ContentLength)?;
        match self.content_length.replace(length) {
            None => Ok(()),
            Some(_) => Err(RequestError::ContentLength),
        }
    }

    fn transfer_encoding(&mut self, value: &[u8]) -> Result<(), RequestError> {
        // RFC 9112 6.1: chunked MUST NOT be applied more than once. In a list with others it hides from whoever reads
        // only the first or the last element, and none of the others is ours to decode: 400 rather than a guess.
        if self.chunked || value.contains(&b',') {
            return Err(RequestError::TransferCodingList);
        }
        // RFC 9112 6.1: 501 for a transfer coding that is not understood
        if !value.eq_ignore_ascii_case(b"chunked") {
            return Err(RequestError::TransferCodingUnknown);
        }
        self.chunked = true;
        Ok(())
    }

    /// What holds for every request, once all fields are noted.
    fn check(&self) -> Result<BodyLength, RequestError> {
        // RFC 9112 3.2: 400 for a request without Host; RFC 6455 4.2.1 (2): and so for a handshake
        if !self.has_host {
            return Err(RequestError::Host);
        }
        let body = match (self.content_length, self.chunked) {
            // RFC 9112 6.1: a request with both ought to be handled as an error
            (Some(_), true) => return Err(RequestError::LengthConflict),
            (None, true) => BodyLength::Chunked,
            (None | Some(0), false) => BodyLength::None,
            (Some(length), false) => BodyLength::Sized(length),
        };
        // RFC 6455 4.1 gives the handshake no body. What an intermediary takes for a body we would take for frames.
        if self.upgrade_websocket && body != BodyLength::None {
            return Err(RequestError::UpgradeWithBody);
        }
        Ok(body)
    }

    /// The answer to a GET that wants to become a WebSocket; `None` if it does not.
    pub(super) fn upgrade(&self) -> Result<Option<Upgrade>, RequestError> {
        self.check()?;
        if !self.upgrade_websocket {
            return Ok(None);
        }
        // RFC 6455 4.2.1 (4): Connection, with the token `Upgrade`
        if !self.connection_upgrade {
            return Err(RequestError::ConnectionWithoutUpgrade);
        }
        // RFC 6455 4.2.1 (6): Sec-WebSocket-Version, with a value of 13. It comes before the key, which other versions
        // may lack, so that their clients learn the right one.
        if !matches!(self.version, Seen::Once(b"13")) {
            return Err(RequestError::WebSocketVersion);
        }
        // RFC 6455 11.3.1: the key MUST NOT appear more than once
        let Seen::Once(key) = self.key else {
            return Err(RequestError::WebSocketKey);
        };
        let accept = handshake::accept(key).ok_or(RequestError::WebSocketKey)?;
        Ok(Some(Upgrade { accept }))
    }

    /// What a request that is no upgrade says of itself.
    pub(super) fn ordinary(&self, method: &[u8]) -> Result<Ordinary, RequestError> {
        let body = self.check()?;
        Ok(Ordinary {
            body,
            // RFC 9112 9.3: HTTP/1.1 persists unless close is said
            keep_alive: !self.connection_close,
            // RFC 9110 10.1.1: without content the expectation is ignored
            expect_continue: self.expect_continue && body != BodyLength::None,
            is_head_method: method == b"HEAD",
        })
    }
}

// RFC 9110 8.6: Content-Length = 1*DIGIT, and a recipient has to prevent overflow
fn decimal(value: &[u8]) -> Option<u64> {
    if value.is_empty() {
        return None;
    }
    value.iter().try_fold(0u64, |number, byte| {
        let digit = byte.is_ascii_digit().then(|| u64::from(byte - b'0'))?;
        number.checked_mul(10)?.checked_add(digit)
    })
}
