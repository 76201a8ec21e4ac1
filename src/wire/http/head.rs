//! The request head: its limits, what is known of it once parsed, and the choice between the two parsers.
//!
//! Owns the public types of a head. A head stays where it was received; everything here points into it.

use super::body::BodyLength;
use super::request_error::RequestError;
use super::request_line::RequestLine;
use super::{ordinary, upgrade};

/// The most fields that [`HeadLimits::headers_max`] can allow; a larger number counts as this one.
///
/// ```
/// use dormouse::wire::{HEADERS_CEILING, HeadLimits};
///
/// let limits = HeadLimits { headers_max: HEADERS_CEILING, ..HeadLimits::default() };
/// ```
pub const HEADERS_CEILING: usize = 256;

/// How large a request head may be.
///
/// ```
/// let limits = dormouse::wire::HeadLimits::default();
/// assert_eq!(limits.head_bytes_max, 16_384);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HeadLimits {
    /// The whole head, with the empty line at its end, in bytes: 16 KiB, as most servers have it, holds the largest
    /// cookies that browsers send. At most 65,535, since spans count in `u16`. Above: 431.
    pub head_bytes_max: usize,
    /// Header lines: 100. At most [`HEADERS_CEILING`]. Above: 431.
    pub headers_max: usize,
    /// The request target, in bytes: 8 KiB (RFC 9112 3 recommends at least 8,000). Above: 414.
    pub target_bytes_max: usize,
}

impl Default for HeadLimits {
    fn default() -> Self {
        Self { head_bytes_max: 16 * 1024, headers_max: 100, target_bytes_max: 8 * 1024 }
    }
}

impl HeadLimits {
    pub(super) fn effective_head_bytes_max(&self) -> usize {
        self.head_bytes_max.min(usize::from(u16::MAX))
    }

    pub(super) fn effective_headers_max(&self) -> usize {
        self.headers_max.min(HEADERS_CEILING)
    }
}

/// A part of a head, by its place in it. 4 bytes, so that a head's fields fit in a few cache lines.
///
/// ```
/// let (head, target) = (b"GET /a HTTP/1.1\r\n", dormouse::wire::Span { start: 4, end: 6 });
/// assert_eq!(target.of(head), b"/a");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// The position of the first byte.
    pub start: u16,
    /// The position behind the last byte.
    pub end: u16,
}

impl Span {
    /// The bytes of this part. `head` has to be the one that was parsed; a shorter one gives nothing.
    ///
    /// ```
    /// let span = dormouse::wire::Span { start: 4, end: 6 };
    /// assert_eq!(span.of(b"GET /a HTTP/1.1"), b"/a");
    /// ```
    #[inline]
    pub fn of<'a>(&self, head: &'a [u8]) -> &'a [u8] {
        let bytes = head.get(usize::from(self.start)..usize::from(self.end));
        debug_assert!(bytes.is_some(), "a span of another head");
        bytes.unwrap_or_default()
    }

    /// Both positions are within a head, whose length `parse_head` has checked against `u16`.
    #[inline]
    pub(super) fn new(start: usize, end: usize) -> Self {
        debug_assert!(start <= end && end <= usize::from(u16::MAX));
        Self { start: start as u16, end: end as u16 }
    }
}

/// One field line of a head. The value is without the whitespace around it.
///
/// ```
/// use dormouse::wire::{HeadLimits, parse_head};
///
/// let (head, mut fields) = (b"GET / HTTP/1.1\r\nHost:  example.com \r\n\r\n", Vec::new());
/// parse_head(head, &HeadLimits::default(), &mut fields)?;
/// assert_eq!(fields[0].name.of(head), b"Host");
/// assert_eq!(fields[0].value.of(head), b"example.com");
/// # Ok::<(), dormouse::wire::RequestError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Field {
    /// The field name, a token, in the case in which it was sent.
    pub name: Span,
    /// The field value: visible characters, spaces, tabs, and bytes above 0x7f.
    pub value: Span,
}

/// A request head that has passed every check.
///
/// ```
/// use dormouse::wire::{HeadKind, HeadLimits, parse_head};
///
/// let head = b"GET /a?b HTTP/1.1\r\nHost: example.com\r\n\r\n";
/// let parsed = parse_head(head, &HeadLimits::default(), &mut Vec::new())?;
/// assert_eq!((parsed.method.of(head), parsed.target.of(head)), (&b"GET"[..], &b"/a?b"[..]));
/// assert!(matches!(parsed.kind, HeadKind::Ordinary(_)));
/// # Ok::<(), dormouse::wire::RequestError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParsedHead {
    /// The method, a token.
    pub method: Span,
    /// The request target: a path with an optional query, an absolute URI, or `*`. Visible ASCII characters only.
    pub target: Span,
    /// What is asked for.
    pub kind: HeadKind,
}

/// What a request asks for.
///
/// ```
/// use dormouse::wire::{HeadKind, encode_response_head, encode_switching_protocols};
///
/// fn answer(kind: &HeadKind, out: &mut Vec<u8>) {
///     let headers = std::iter::empty();
///     match kind {
///         HeadKind::Upgrade(upgrade) => encode_switching_protocols(out, &upgrade.accept, headers),
///         HeadKind::Ordinary(request) => {
///             encode_response_head(out, 404, headers, Some(0), request.keep_alive);
///         }
///     }
/// }
/// # let (mut out, accept) = (Vec::new(), *b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// # answer(&HeadKind::Upgrade(dormouse::wire::Upgrade { accept }), &mut out);
/// # assert!(out.starts_with(b"HTTP/1.1 101 "));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeadKind {
    /// To become a WebSocket, and in the right form.
    Upgrade(Upgrade),
    /// A response.
    Ordinary(Ordinary),
}

/// A valid opening handshake (RFC 6455 4.2.1).
///
/// ```
/// use dormouse::wire::{Upgrade, encode_switching_protocols};
///
/// let upgrade = Upgrade { accept: *b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" }; // RFC 6455 1.3
/// let mut out = Vec::new();
/// encode_switching_protocols(&mut out, &upgrade.accept, std::iter::empty());
/// assert!(out.ends_with(b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Upgrade {
    /// The Sec-WebSocket-Accept that answers the key.
    pub accept: [u8; 28],
}

/// A request that is not an upgrade.
///
/// ```
/// use dormouse::wire::{BodyLength, HeadKind, HeadLimits, parse_head};
///
/// let head = b"HEAD / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
/// let HeadKind::Ordinary(request) = parse_head(head, &HeadLimits::default(), &mut Vec::new())?.kind else {
///     panic!("no upgrade was asked for");
/// };
/// assert!(request.is_head_method && !request.keep_alive && !request.expect_continue);
/// assert_eq!(request.body, BodyLength::None);
/// # Ok::<(), dormouse::wire::RequestError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ordinary {
    /// How the length of the body is told.
    pub body: BodyLength,
    /// Whether another request may follow on the connection.
    pub keep_alive: bool,
    /// Whether the client waits for `100 Continue` before it sends the body.
    pub expect_continue: bool,
    /// Whether the method is HEAD, so that the response has no body.
    pub is_head_method: bool,
}

/// Parses a complete head: what [`HeadScanner::scan`](super::HeadScanner::scan) found, with the empty line at its end.
///
/// `fields` is emptied and filled with the field lines in their order. Keep it for the next head, and no memory is
/// taken. A `GET` whose Upgrade contains `websocket` is an [`Upgrade`]; with any other method it is [`Ordinary`], so
/// that the application answers it, and the engine refuses with [`RequestError::UpgradeMethod`] to upgrade it.
///
/// # Errors
///
/// Whatever RFC 9112, RFC 9110 or RFC 6455 4.2.1 call invalid; `fields` then holds no meaning.
///
/// ```
/// use dormouse::wire::{HeadKind, HeadLimits, parse_head};
///
/// let head = b"GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
///     Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// let mut fields = Vec::new();
/// let parsed = parse_head(head, &HeadLimits::default(), &mut fields)?;
/// assert_eq!(parsed.target.of(head), b"/chat");
/// let HeadKind::Upgrade(upgrade) = parsed.kind else { panic!("not an upgrade") };
/// assert_eq!(&upgrade.accept, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
/// # Ok::<(), dormouse::wire::RequestError>(())
/// ```
pub fn parse_head(
    head: &[u8],
    limits: &HeadLimits,
    fields: &mut Vec<Field>,
) -> Result<ParsedHead, RequestError> {
    fields.clear();
    if head.len() > limits.effective_head_bytes_max() {
        return Err(RequestError::HeadTooLarge);
    }
    let line = RequestLine::read(head, limits)?;
    // RFC 6455 4.2.1 (1): an opening handshake is a GET
    if line.method.of(head) == b"GET"
        && let Some(upgrade) = upgrade::parse(head, &line, limits, fields)?
    {
        return Ok(line.with(HeadKind::Upgrade(upgrade)));
    }
    fields.clear();
    let ordinary = ordinary::parse(head, &line, limits, fields)?;
    Ok(line.with(HeadKind::Ordinary(ordinary)))
}

#[cfg(test)]
mod tests;
