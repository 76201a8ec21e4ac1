//! Response heads.
//!
//! Owns the fields that frame a message or switch its protocol; whatever the application says of those is dropped,
//! because two opinions on where a message ends are how responses are smuggled.

use super::field::check_field;
use super::request_error::RequestError;

/// Writes the answer to a valid opening handshake (RFC 6455 4.2.2).
///
/// `headers` are what the application adds, a subprotocol for instance. Left out are the fields that this function
/// writes itself, those that would announce a body, and those that [`check_field`] refuses.
///
/// ```
/// let mut out = Vec::new();
/// let protocol = [("Sec-WebSocket-Protocol", "chat")];
/// dormouse::wire::encode_switching_protocols(&mut out, b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", protocol.into_iter());
/// assert_eq!(
///     String::from_utf8(out).unwrap(),
///     "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
///      Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Protocol: chat\r\n\r\n",
/// );
/// ```
pub fn encode_switching_protocols<'a>(
    out: &mut Vec<u8>,
    accept: &[u8; 28],
    headers: impl Iterator<Item = (&'a str, &'a str)>,
) {
    // RFC 6455 4.2.2 (5.1), (5.2), (5.3) and (5.4): the status, Upgrade, Connection, and the answer to the key
    out.extend_from_slice(
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ",
    );
    out.extend_from_slice(accept);
    out.extend_from_slice(b"\r\n");
    for (name, value) in headers {
        let is_ours = is_any_of(name, &["upgrade", "sec-websocket-accept"]) || is_framing(name);
        if !is_ours {
            push_field(out, name, value);
        }
    }
    out.extend_from_slice(b"\r\n");
}

/// Writes the head of a response, up to and with its empty line.
///
/// `body_length` is the length of the body that follows, or for a HEAD request of the one that would; `None` writes no
/// Content-Length, which means a body up to the end of the connection unless the status has none. `keep_alive` is
/// whether the connection stays usable. Of `headers` are left out Content-Length, Transfer-Encoding and Connection,
/// and what [`check_field`] refuses. A Date has to come from the caller: there is no clock here.
///
/// `status` has to be in 200..=599, or 100..=199 for an interim response; any other is our own mistake and becomes 500.
///
/// ```
/// let mut out = Vec::new();
/// let headers = [("Content-Type", "text/plain"), ("Content-Length", "a lie")];
/// dormouse::wire::encode_response_head(&mut out, 200, headers.into_iter(), Some(2), false);
/// assert_eq!(
///     String::from_utf8(out).unwrap(),
///     "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\nConnection: close\r\n\r\n",
/// );
/// ```
pub fn encode_response_head<'a>(
    out: &mut Vec<u8>,
    status: u16,
    headers: impl Iterator<Item = (&'a str, &'a str)>,
    body_length: Option<u64>,
    keep_alive: bool,
) {
    let status = if (100..=599).contains(&status) { status } else { 500 };
    out.extend_from_slice(b"HTTP/1.1 ");
    push_decimal(out, u64::from(status));
    out.push(b' ');
    out.extend_from_slice(reason_phrase(status).as_bytes());
    out.extend_from_slice(b"\r\n");
    let mut names_upgrade = false;
    for (name, value) in headers {
        if !is_framing(name) {
            names_upgrade |= name.eq_ignore_ascii_case("upgrade");
            push_field(out, name, value);
        }
    }
    if let Some(length) = body_length
        && has_content_length(status)
    {
        out.extend_from_slice(b"Content-Length: ");
        push_decimal(out, length);
        out.extend_from_slice(b"\r\n");
    }
    // RFC 9110 7.8: a sender of Upgrade MUST also send the `upgrade` connection option
    out.extend_from_slice(match (keep_alive, names_upgrade) {
        (true, false) => b"",
        (true, true) => b"Connection: upgrade\r\n",
        (false, false) => b"Connection: close\r\n",
        (false, true) => b"Connection: close, upgrade\r\n",
    });
    out.extend_from_slice(b"\r\n");
}

/// Writes the whole answer to a request that was refused. After it the connection has to be closed.
///
/// The body is the clause that was broken, for whoever debugs the client.
///
/// ```
/// use dormouse::wire::{RequestError, encode_refusal};
///
/// let mut out = Vec::new();
/// encode_refusal(&mut out, &RequestError::WebSocketVersion);
/// assert!(out.starts_with(b"HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"));
/// ```
pub fn encode_refusal(out: &mut Vec<u8>, error: &RequestError) {
    let body = format!("{error}\n");
    let headers = error.headers().iter().copied().chain([("Content-Type", "text/plain")]);
    encode_response_head(out, error.status(), headers, Some(body.len() as u64), false);
    out.extend_from_slice(body.as_bytes());
}

fn push_field(out: &mut Vec<u8>, name: &str, value: &str) {
    // The object layer has refused such a field already and told the application; this is the last door.
    if check_field(name, value).is_err() {
        return;
    }
    for part in [name, ": ", value, "\r\n"] {
        out.extend_from_slice(part.as_bytes());
    }
}

fn push_decimal(out: &mut Vec<u8>, mut number: u64) {
    let start = out.len();
    loop {
        out.push(b'0' + (number % 10) as u8);
        number /= 10;
        if number == 0 {
            break;
        }
    }
    out[start..].reverse();
}

/// Whether this field says where the message or the connection ends.
fn is_framing(name: &str) -> bool {
    is_any_of(name, &["connection", "content-length", "transfer-encoding"])
}

fn is_any_of(name: &str, names: &[&str]) -> bool {
    names.iter().any(|other| name.eq_ignore_ascii_case(other))
}

// RFC 9110 8.6: no Content-Length with 1xx and 204. A 304 may have one, but only that of the 200 it stands for, which
// is not known here.
fn has_content_length(status: u16) -> bool {
    !matches!(status, 100..=199 | 204 | 304)
}

/// The standard reason phrase of a status (RFC 9110 15, RFC 6585), or an empty one.
///
/// ```
/// assert_eq!(dormouse::wire::reason_phrase(426), "Upgrade Required");
/// ```
pub fn reason_phrase(status: u16) -> &'static str {
    match status {
        100 => "Continue",
        101 => "Switching Protocols",
        103 => "Early Hints",
        200 => "OK",
        201 => "Created",
        202 => "Accepted",
        203 => "Non-Authoritative Information",
        204 => "No Content",
        205 => "Reset Content",
        206 => "Partial Content",
        300 => "Multiple Choices",
        301 => "Moved Permanently",
        302 => "Found",
        303 => "See Other",
        304 => "Not Modified",
        305 => "Use Proxy",
        307 => "Temporary Redirect",
        308 => "Permanent Redirect",
        400 => "Bad Request",
        401 => "Unauthorized",
        402 => "Payment Required",
        403 => "Forbidden",
        404 => "Not Found",
        405 => "Method Not Allowed",
        406 => "Not Acceptable",
        407 => "Proxy Authentication Required",
        408 => "Request Timeout",
        409 => "Conflict",
        410 => "Gone",
        411 => "Length Required",
        412 => "Precondition Failed",
        413 => "Content Too Large",
        414 => "URI Too Long",
        415 => "Unsupported Media Type",
        416 => "Range Not Satisfiable",
        417 => "Expectation Failed",
        418 => "I'm a teapot",
        421 => "Misdirected Request",
        422 => "Unprocessable Content",
        425 => "Too Early",
        426 => "Upgrade Required",
        428 => "Precondition Required",
        429 => "Too Many Requests",
        431 => "Request Header Fields Too Large",
        451 => "Unavailable For Legal Reasons",
        500 => "Internal Server Error",
        501 => "Not Implemented",
        502 => "Bad Gateway",
        503 => "Service Unavailable",
        504 => "Gateway Timeout",
        505 => "HTTP Version Not Supported",
        507 => "Insufficient Storage",
        508 => "Loop Detected",
        511 => "Network Authentication Required",
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, headers: &[(&str, &str)], length: Option<u64>, keep_alive: bool) -> String {
        let mut out = Vec::new();
        encode_response_head(&mut out, status, headers.iter().copied(), length, keep_alive);
        String::from_utf8(out).unwrap()
    }

    // RFC 9112 6.1 and 6.3: one opinion on where the message ends
    #[test]
    fn the_application_does_not_frame_the_message() {
        let headers =
            [("content-LENGTH", "7"), ("Transfer-Encoding", "chunked"), ("Connection", "x"), ("A", "b")];
        assert_eq!(
            response(200, &headers, Some(0), true),
            "HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 0\r\n\r\n"
        );
        let mut out = Vec::new();
        let ours = [("Upgrade", "x"), ("SEC-websocket-accept", "x"), ("Sec-WebSocket-Protocol", "chat")];
        encode_switching_protocols(&mut out, &[b'='; 28], ours.into_iter().chain(headers));
        let out = String::from_utf8(out).unwrap();
        assert!(
            out.ends_with("============================\r\nSec-WebSocket-Protocol: chat\r\nA: b\r\n\r\n"),
            "{out}"
        );
    }

    // SEMANTICS.md 8, "extra response headers": CR and LF refused
    #[test]
    fn a_field_that_would_split_the_response_is_not_written() {
        let headers = [("A", "b\r\n\r\n"), ("C\r\nD", "e"), ("", "f"), ("G", "h")];
        assert_eq!(response(302, &headers, None, true), "HTTP/1.1 302 Found\r\nG: h\r\n\r\n");
    }

    // RFC 9110 8.6
    #[test]
    fn a_status_without_a_body_has_no_content_length() {
        for status in [100, 101, 103, 204, 304] {
            assert!(!response(status, &[], Some(5), true).contains("Content-Length"), "{status}");
        }
        assert!(
            response(404, &[], Some(u64::MAX), true).contains("Content-Length: 18446744073709551615\r\n")
        );
    }

    // RFC 9110 7.8 and RFC 9112 9.6
    #[test]
    fn connection_says_what_else_the_head_says() {
        assert!(response(200, &[], None, false).ends_with("\r\nConnection: close\r\n\r\n"));
        let upgrade = [("Upgrade", "websocket")];
        assert!(response(426, &upgrade, None, false).ends_with("\r\nConnection: close, upgrade\r\n\r\n"));
        assert!(response(200, &upgrade, None, true).ends_with("\r\nConnection: upgrade\r\n\r\n"));
    }

    // RFC 9112 4: the space before the reason phrase stays, also when there is none
    #[test]
    fn a_status_nobody_has_named_is_written_all_the_same() {
        assert_eq!(response(299, &[], None, true), "HTTP/1.1 299 \r\n\r\n");
        for no_status in [0, 99, 600, 65_535] {
            assert!(
                response(no_status, &[], None, true).starts_with("HTTP/1.1 500 Internal Server Error\r\n")
            );
        }
    }

    #[test]
    fn a_refusal_is_a_whole_response_that_httparse_can_read() {
        let mut out = Vec::new();
        encode_refusal(&mut out, &RequestError::HeadTooLarge);
        let mut headers = [httparse::EMPTY_HEADER; 8];
        let mut parsed = httparse::Response::new(&mut headers);
        let Ok(httparse::Status::Complete(head_len)) = parsed.parse(&out) else { panic!("not a response") };
        assert_eq!((parsed.code, parsed.reason), (Some(431), Some("Request Header Fields Too Large")));
        let length = parsed.headers.iter().find(|header| header.name == "Content-Length").unwrap();
        assert_eq!(length.value, (out.len() - head_len).to_string().as_bytes());
    }
}
