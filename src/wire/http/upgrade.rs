//! The fast parser: the fields of a GET, in one pass.
//!
//! Owns nothing but the way through the bytes; what fields mean is decided in `facts`. It exists beside httparse because
//! opening a connection is what this server does most after serving it, and because it has to be strict where a
//! general parser is lenient. Property tests hold the two against each other.

use super::bytes::{find_control, is_space, token_len, trimmed};
use super::facts::Facts;
use super::head::{Field, HeadLimits, Span, Upgrade};
use super::request_error::RequestError;
use super::request_line::RequestLine;

/// Parses the fields of a GET. `None` if it does not want to become a WebSocket.
pub(super) fn parse(
    head: &[u8],
    line: &RequestLine,
    limits: &HeadLimits,
    fields: &mut Vec<Field>,
) -> Result<Option<Upgrade>, RequestError> {
    let mut facts = Facts::default();
    let mut start = line.end;
    loop {
        match &head[start..] {
            b"\r\n" => return facts.upgrade(),
            // An empty line that is not the end: the caller passed more than a head, or less.
            [] | [b'\r', ..] => return Err(RequestError::BareCarriageReturn),
            _ => {}
        }
        if fields.len() == limits.effective_headers_max() {
            return Err(RequestError::TooManyHeaders);
        }
        let (field, next) = field_line(head, start)?;
        facts.note(field.name.of(head), field.value.of(head))?;
        fields.push(field);
        start = next;
    }
}

/// The field line at `start`, and where the next one begins.
///
/// ```text
///   start      colon    value                  end  next
///     v          v        v                     v    v
///     Sec-Fetch-Mode : .. websocket .......... CR LF ...
///     \_ token _/    spaces \_ no controls _/ spaces
/// ```
#[inline]
fn field_line(head: &[u8], start: usize) -> Result<(Field, usize), RequestError> {
    let rest = &head[start..];
    let name_len = token_len(rest);
    match rest.get(name_len) {
        Some(b':') if name_len > 0 => {}
        // RFC 9112 5.2: 400 for a line that continues the one before
        Some(&byte) if name_len == 0 && is_space(byte) => return Err(RequestError::FoldedLine),
        // RFC 9112 5.1: 400 for whitespace between name and colon
        _ => return Err(RequestError::FieldName),
    }
    let untrimmed = &rest[name_len + 1..];
    let line_len = find_control(untrimmed);
    // RFC 9110 5.5: CR, LF and NUL are invalid in a value, and other controls are too
    let [b'\r', b'\n', ..] = &untrimmed[line_len..] else {
        return Err(RequestError::of_control(&untrimmed[line_len..]));
    };
    let value_start = start + name_len + 1;
    let value = trimmed(&untrimmed[..line_len]);
    let field = Field {
        name: Span::new(start, start + name_len),
        value: Span::new(value_start + value.start, value_start + value.end),
    };
    Ok((field, value_start + line_len + 2))
}
