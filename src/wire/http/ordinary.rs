//! The general parser: the fields of every request that is no upgrade, by httparse.
//!
//! Owns the bridge to httparse. That accepts more than this server does (a LF alone at the end of a line, several empty
//! lines before the request), so the strict scan comes first, also when the caller has scanned already: nothing here
//! is safe to skip because somebody else ought to have done it.

use std::mem::MaybeUninit;

use super::facts::Facts;
use super::head::{Field, HEADERS_CEILING, HeadLimits, Ordinary, Span};
use super::request_error::RequestError;
use super::request_line::RequestLine;
use super::scan::HeadScanner;

/// Parses the fields of a request that is no upgrade.
pub(super) fn parse(
    head: &[u8],
    line: &RequestLine,
    limits: &HeadLimits,
    fields: &mut Vec<Field>,
) -> Result<Ordinary, RequestError> {
    if HeadScanner::default().scan(head, limits)? != Some(head.len()) {
        return Err(RequestError::BareCarriageReturn);
    }
    let mut headers = [const { MaybeUninit::uninit() }; HEADERS_CEILING];
    let mut request = httparse::Request::new(&mut []);
    let status = request.parse_with_uninit_headers(head, &mut headers).map_err(refusal)?;
    debug_assert_eq!(
        status,
        httparse::Status::Complete(head.len()),
        "httparse and the scan agree on the end"
    );

    let mut facts = Facts::default();
    for header in request.headers.iter() {
        facts.note(header.name.as_bytes(), header.value)?;
        fields.push(Field {
            name: span_within(head, header.name.as_bytes()),
            value: span_within(head, header.value),
        });
    }
    facts.ordinary(line.method.of(head))
}

/// Where `part`, which httparse cut out of `head`, lies in it.
fn span_within(head: &[u8], part: &[u8]) -> Span {
    // An empty value may be a constant of httparse instead of a place in the head.
    if part.is_empty() {
        return Span::default();
    }
    let start = part.as_ptr().addr().wrapping_sub(head.as_ptr().addr());
    debug_assert!(start + part.len() <= head.len(), "a part of another slice");
    Span::new(start, start + part.len())
}

fn refusal(error: httparse::Error) -> RequestError {
    match error {
        httparse::Error::HeaderName => RequestError::FieldName,
        httparse::Error::HeaderValue => RequestError::ControlCharacter,
        httparse::Error::NewLine => RequestError::BareCarriageReturn,
        httparse::Error::Status | httparse::Error::Token => RequestError::RequestLine,
        httparse::Error::TooManyHeaders => RequestError::TooManyHeaders,
        httparse::Error::Version => RequestError::HttpVersion,
    }
}
