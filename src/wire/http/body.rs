//! Request bodies.
//!
//! Owns the count of what a body may still bring, for a body of known length; the chunked coding is in `chunked`. A
//! body's memory grows with the bytes that arrive, never with what was announced.

use super::chunked::Chunked;
use super::request_error::RequestError;

/// How the length of a request's body is told (RFC 9112 6.3).
///
/// ```
/// use dormouse::wire::{BodyLength, HeadKind, HeadLimits, parse_head};
///
/// let head = b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n";
/// let parsed = parse_head(head, &HeadLimits::default(), &mut Vec::new())?;
/// assert!(matches!(parsed.kind, HeadKind::Ordinary(request) if request.body == BodyLength::Sized(7)));
/// # Ok::<(), dormouse::wire::RequestError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BodyLength {
    /// There is none.
    None,
    /// By Content-Length, more than 0 bytes.
    Sized(u64),
    /// By the chunked transfer coding.
    Chunked,
}

/// What one call of [`BodyDecoder::decode`] did.
///
/// ```
/// use dormouse::wire::{BodyDecoder, BodyLength, BodyProgress};
///
/// let mut body = Vec::new();
/// let progress = BodyDecoder::new(BodyLength::Sized(2), 1_024)?.decode(b"7\nGET", &mut body)?;
/// assert_eq!(progress, BodyProgress { consumed: 2, complete: true });
/// # Ok::<(), dormouse::wire::RequestError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BodyProgress {
    /// How much of the input belonged to the body. The rest is the next request.
    pub consumed: usize,
    /// Whether the body is at its end.
    pub complete: bool,
}

/// Takes a request's body out of the bytes that follow its head.
///
/// ```
/// use dormouse::wire::{BodyDecoder, BodyLength};
///
/// let mut decoder = BodyDecoder::new(BodyLength::Chunked, 1024)?;
/// let mut body = Vec::new();
/// assert!(!decoder.decode(b"5\r\nhel", &mut body)?.complete);
/// let progress = decoder.decode(b"lo\r\n0\r\n\r\nGET", &mut body)?;
/// assert_eq!((progress.consumed, progress.complete), (9, true));
/// assert_eq!(body, b"hello");
/// # Ok::<(), dormouse::wire::RequestError>(())
/// ```
#[derive(Debug, Clone)]
pub struct BodyDecoder {
    coding: Coding,
}

#[derive(Debug, Clone)]
enum Coding {
    /// The bytes that are still missing.
    Sized(u64),
    Chunked(Chunked),
}

impl BodyDecoder {
    /// A decoder for one body of at most `body_bytes_max` bytes.
    ///
    /// # Errors
    ///
    /// [`RequestError::BodyTooLarge`], when the announced length already exceeds that.
    pub fn new(length: BodyLength, body_bytes_max: usize) -> Result<Self, RequestError> {
        let coding = match length {
            BodyLength::None => Coding::Sized(0),
            BodyLength::Sized(length) if length > body_bytes_max as u64 => {
                return Err(RequestError::BodyTooLarge);
            }
            BodyLength::Sized(length) => Coding::Sized(length),
            BodyLength::Chunked => Coding::Chunked(Chunked::new(body_bytes_max as u64)),
        };
        Ok(Self { coding })
    }

    /// Takes what belongs to the body from the start of `input` and appends its content to `body`.
    ///
    /// Once complete, it consumes nothing more.
    ///
    /// # Errors
    ///
    /// A chunk that cannot be read, or content, extensions or trailers that exceed their limits. The decoder is of no
    /// use afterwards, and neither is the connection.
    pub fn decode(&mut self, input: &[u8], body: &mut Vec<u8>) -> Result<BodyProgress, RequestError> {
        match &mut self.coding {
            Coding::Sized(missing) => {
                let consumed = input.len().min(usize::try_from(*missing).unwrap_or(usize::MAX));
                body.extend_from_slice(&input[..consumed]);
                *missing -= consumed as u64;
                Ok(BodyProgress { consumed, complete: *missing == 0 })
            }
            Coding::Chunked(chunked) => chunked.decode(input, body),
        }
    }
}

#[cfg(test)]
mod tests;
