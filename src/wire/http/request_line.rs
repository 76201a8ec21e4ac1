//! The request line: method, target, version.
//!
//! Owns its grammar and the forms of a target. What a target means is the application's.

use super::bytes::{is_target_byte, is_token_byte};
use super::head::{HeadKind, HeadLimits, ParsedHead, Span};
use super::request_error::RequestError;

/// A valid request line of HTTP/1.1.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestLine {
    pub(super) method: Span,
    pub(super) target: Span,
    /// The position behind its CR LF, where the fields begin.
    pub(super) end: usize,
}

impl RequestLine {
    /// Reads the first line of `head`, which may have one empty line before it.
    pub(super) fn read(head: &[u8], limits: &HeadLimits) -> Result<Self, RequestError> {
        // RFC 9112 2.2: a server SHOULD ignore at least one empty line received prior to the request line
        let start = if head.starts_with(b"\r\n") { 2 } else { 0 };
        let method = Span::new(start, end_of(head, start, is_token_byte)?);
        let target_start = usize::from(method.end) + 1;
        let target = Span::new(target_start, end_of(head, target_start, is_target_byte)?);
        if target.of(head).len() > limits.target_bytes_max {
            return Err(RequestError::TargetTooLong);
        }
        let end = version(head, usize::from(target.end) + 1)?;
        check_target_form(method.of(head), target.of(head))?;
        Ok(Self { method, target, end })
    }

    pub(super) fn with(self, kind: HeadKind) -> ParsedHead {
        ParsedHead { method: self.method, target: self.target, kind }
    }
}

/// The end of the part that begins at `start`: at least one byte that `belongs`, then a space.
fn end_of(head: &[u8], start: usize, belongs: impl Fn(u8) -> bool) -> Result<usize, RequestError> {
    let part = &head[start..];
    let length = part.iter().position(|&byte| !belongs(byte)).unwrap_or(part.len());
    // RFC 9112 3: the parts are separated by single spaces. Lenient splitting is allowed, and how smuggling begins.
    match part.get(length) {
        Some(b' ') if length > 0 => Ok(start + length),
        _ => Err(RequestError::RequestLine),
    }
}

/// The position behind the version at `start` and its CR LF.
fn version(head: &[u8], start: usize) -> Result<usize, RequestError> {
    match &head[start..] {
        // RFC 6455 4.2.1 (1): HTTP/1.1 or higher; higher ones have other request lines
        [b'H', b'T', b'T', b'P', b'/', b'1', b'.', b'1', b'\r', b'\n', ..] => Ok(start + 10),
        // RFC 9110 15.6.6: 505 for a major version that is not served. HTTP/1.0 cannot upgrade (RFC 6455 4.1) and
        // needs no Host, so that it cannot name an object.
        [b'H', b'T', b'T', b'P', b'/', major, b'.', minor, b'\r', b'\n', ..]
            if major.is_ascii_digit() && minor.is_ascii_digit() =>
        {
            Err(RequestError::HttpVersion)
        }
        _ => Err(RequestError::RequestLine),
    }
}

fn check_target_form(method: &[u8], target: &[u8]) -> Result<(), RequestError> {
    let valid = match target {
        // RFC 9112 3.2.1: origin-form
        [b'/', ..] => true,
        // RFC 9112 3.2.4: asterisk-form is for OPTIONS alone
        b"*" => method == b"OPTIONS",
        // RFC 9112 3.2.2: absolute-form; 3.2.3: authority-form is for CONNECT, which is for proxies
        _ => is_absolute(target),
    };
    if valid { Ok(()) } else { Err(RequestError::TargetForm) }
}

fn is_absolute(target: &[u8]) -> bool {
    [&b"http://"[..], b"https://", b"ws://", b"wss://"]
        .iter()
        .any(|scheme| target.len() > scheme.len() && target[..scheme.len()].eq_ignore_ascii_case(scheme))
}
