//! The contract of the request head, SEMANTICS.md section 8: what is accepted, and which answer everything else gets.

use super::super::field::fields_named;
use super::super::scan::HeadScanner;
use super::*;

mod differential;

/// A valid opening handshake, line by line.
const UPGRADE: [&str; 7] = [
    "GET /chat HTTP/1.1",
    "Host: example.org:8080",
    "Upgrade: websocket",
    "Connection: keep-alive, Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
    "Origin: https://example.org",
];

fn head_of(lines: &[&str]) -> Vec<u8> {
    let mut head = lines.join("\r\n").into_bytes();
    head.extend_from_slice(b"\r\n\r\n");
    head
}

/// The valid handshake with the line that begins with `from` replaced by `to`, or taken out for an empty `to`.
fn upgrade_with(from: &str, to: &str) -> Vec<u8> {
    let lines: Vec<&str> = UPGRADE
        .iter()
        .map(|line| if line.starts_with(from) { to } else { line })
        .filter(|line| !line.is_empty())
        .collect();
    head_of(&lines)
}

/// As a server would do it: scan, then parse.
fn read(head: &[u8]) -> Result<ParsedHead, RequestError> {
    let limits = HeadLimits::default();
    let scanned = HeadScanner::default().scan(head, &limits)?;
    assert_eq!(scanned, Some(head.len()));
    parse_head(head, &limits, &mut Vec::new())
}

fn read_ordinary(lines: &[&str]) -> Result<Ordinary, RequestError> {
    match read(&head_of(lines))?.kind {
        HeadKind::Ordinary(ordinary) => Ok(ordinary),
        HeadKind::Upgrade(_) => panic!("an upgrade"),
    }
}

// RFC 6455 4.2.1
#[test]
fn a_valid_handshake_is_an_upgrade_with_its_answer() {
    let head = head_of(&UPGRADE);
    let mut fields = Vec::new();
    let parsed = parse_head(&head, &HeadLimits::default(), &mut fields).unwrap();
    assert_eq!(parsed.method.of(&head), b"GET");
    assert_eq!(parsed.target.of(&head), b"/chat");
    assert_eq!(parsed.kind, HeadKind::Upgrade(Upgrade { accept: *b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" }));
    assert_eq!(fields.len(), 6);
    assert_eq!(fields[0].name.of(&head), b"Host");
    assert_eq!(fields_named(&head, &fields, "ORIGIN").collect::<Vec<_>>(), [b"https://example.org"]);
}

// RFC 6455 4.2.1 (3) and (4): in any case; (10): unknown fields are ignored
#[test]
fn what_may_vary_in_a_handshake_does() {
    for (from, to) in [
        ("GET", "GET ws://example.org/chat HTTP/1.1"),
        ("GET", "\r\nGET /chat HTTP/1.1"),
        ("Host", "hOST:\t [::1]:80 \t"),
        ("Host", "Host:"),
        ("Upgrade", "UPGRADE: h2c, WebSocket"),
        ("Upgrade", "Upgrade: h2c\r\nUpgrade: websocket"),
        ("Connection", "connection:UPGRADE"),
        ("Connection", "Connection: keep-alive\r\nConnection: upgrade"),
        ("Sec-WebSocket-Version", "sec-websocket-version:13"),
        ("Origin", "Content-Length: 0"),
        ("Origin", "X-Latin: caf\u{e9}\u{ff}"),
        ("Origin", "X-Empty:   \r\nX-Spaced:  a \t b  "),
    ] {
        let head = upgrade_with(from, to);
        assert!(matches!(read(&head).map(|parsed| parsed.kind), Ok(HeadKind::Upgrade(_))), "{to:?}");
    }
}

// SEMANTICS.md 8, "answers" and "request"; RFC 6455 4.2.1: an error code for whatever is not as described
#[test]
fn a_handshake_that_is_wrong_in_one_place_gets_the_status_for_it() {
    use RequestError::*;
    for (from, to, error, status) in [
        // RFC 9112 3.2 and RFC 6455 4.2.1 (2): exactly one valid Host
        ("Host", "", Host, 400),
        ("Host", "Host: a\r\nHost: a", Host, 400),
        ("Host", "Host: a b", Host, 400),
        ("Host", "Host: user@a", Host, 400),
        ("Host", "Host: a/b", Host, 400),
        // RFC 6455 4.2.1 (4)
        ("Connection", "", ConnectionWithoutUpgrade, 400),
        ("Connection", "Connection: upgraded", ConnectionWithoutUpgrade, 400),
        // RFC 6455 4.2.1 (5) and 11.3.1: exactly one key of 16 bytes
        ("Sec-WebSocket-Key", "", WebSocketKey, 400),
        ("Sec-WebSocket-Key", "Sec-WebSocket-Key:", WebSocketKey, 400),
        ("Sec-WebSocket-Key", "Sec-WebSocket-Key: c2hvcnQ=", WebSocketKey, 400),
        (
            "Sec-WebSocket-Key",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            WebSocketKey,
            400,
        ),
        // RFC 6455 4.2.1 (6) and 4.4: version 13, or 426 that says so
        ("Sec-WebSocket-Version", "", WebSocketVersion, 426),
        ("Sec-WebSocket-Version", "Sec-WebSocket-Version: 8", WebSocketVersion, 426),
        ("Sec-WebSocket-Version", "Sec-WebSocket-Version: 13, 8", WebSocketVersion, 426),
        ("Sec-WebSocket-Version", "Sec-WebSocket-Version: 013", WebSocketVersion, 426),
        (
            "Sec-WebSocket-Version",
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Version: 13",
            WebSocketVersion,
            426,
        ),
        // RFC 9110 15.6.6; RFC 6455 4.2.1 (1): HTTP/1.1
        ("GET", "GET /chat HTTP/1.0", HttpVersion, 505),
        ("GET", "GET /chat HTTP/2.0", HttpVersion, 505),
        ("GET", "GET /chat HTTX/1.1", RequestLine, 400),
        ("GET", "GET /chat http/1.1", RequestLine, 400),
        // RFC 9112 3.2
        ("GET", "GET chat HTTP/1.1", TargetForm, 400),
        ("GET", "GET * HTTP/1.1", TargetForm, 400),
        ("GET", "GET example.org:80 HTTP/1.1", TargetForm, 400),
        ("GET", "GET ftp://example.org/ HTTP/1.1", TargetForm, 400),
        ("GET", "GET http:// HTTP/1.1", TargetForm, 400),
        // RFC 9112 5.1: a token, and no whitespace before the colon
        ("Origin", "Origin : https://example.org", FieldName, 400),
        ("Origin", "Origin\t: https://example.org", FieldName, 400),
        ("Origin", ": https://example.org", FieldName, 400),
        ("Origin", "Origin", FieldName, 400),
        ("Origin", "Ori(gin): https://example.org", FieldName, 400),
        ("Origin", "Origin\u{e9}: https://example.org", FieldName, 400),
        // RFC 9112 5.2
        ("Origin", "Origin:\r\n https://example.org", FoldedLine, 400),
        // RELIABILITY.md, smuggling: nothing that could be a body
        ("Origin", "Content-Length: 5", UpgradeWithBody, 400),
        ("Origin", "Transfer-Encoding: chunked", UpgradeWithBody, 400),
        ("Origin", "Content-Length: 0\r\nContent-Length: 0", ContentLength, 400),
        ("Origin", "Content-Length: 0\r\nTransfer-Encoding: chunked", LengthConflict, 400),
        ("Origin", "Content-Length: +0", ContentLength, 400),
        ("Origin", "Transfer-Encoding: identity", TransferCodingUnknown, 501),
    ] {
        let answer = read(&upgrade_with(from, to));
        assert_eq!(answer, Err(error), "{to:?}");
        assert_eq!(error.status(), status, "{to:?}");
    }
}

// RFC 6455 4.2.2 and 4.4: another version
#[test]
fn the_answer_to_another_version_names_the_one_that_is_spoken() {
    assert_eq!(
        RequestError::WebSocketVersion.headers(),
        [("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")]
    );
    assert_eq!(RequestError::UpgradeMethod.headers(), [("Allow", "GET")]);
    assert_eq!(RequestError::UpgradeMethod.status(), 405);
}

// SEMANTICS.md 8: `Content-Length` other than 0 or any `Transfer-Encoding` on an upgrade, whatever the method
#[test]
fn an_upgrade_with_another_method_is_ordinary_but_may_not_have_a_body_either() {
    let head = upgrade_with("GET", "POST /chat HTTP/1.1");
    assert!(matches!(read(&head).map(|parsed| parsed.kind), Ok(HeadKind::Ordinary(_))));
    for body in ["Content-Length: 1", "Transfer-Encoding: chunked"] {
        let answer = read_ordinary(&["POST / HTTP/1.1", "Host: a", "Upgrade: websocket", body]);
        assert_eq!(answer, Err(RequestError::UpgradeWithBody), "{body}");
    }
}

#[test]
fn a_request_without_upgrade_is_ordinary() {
    let plain =
        Ordinary { body: BodyLength::None, keep_alive: true, expect_continue: false, is_head_method: false };
    assert_eq!(read_ordinary(&["GET / HTTP/1.1", "Host: a"]), Ok(plain));
    assert_eq!(read_ordinary(&["GET / HTTP/1.1", "Host: a", "Upgrade: h2c"]), Ok(plain));
    assert_eq!(read_ordinary(&["OPTIONS * HTTP/1.1", "Host: a"]), Ok(plain));
    assert_eq!(
        read_ordinary(&["HEAD / HTTP/1.1", "Host: a", "Connection: Close"]),
        Ok(Ordinary { is_head_method: true, keep_alive: false, ..plain })
    );
    assert_eq!(
        read_ordinary(&["POST / HTTP/1.1", "Host: a", "Expect: 100-Continue", "Content-Length: 7"]),
        Ok(Ordinary { body: BodyLength::Sized(7), expect_continue: true, ..plain })
    );
    assert_eq!(
        read_ordinary(&["PUT / HTTP/1.1", "Host: a", "transfer-encoding: Chunked"]),
        Ok(Ordinary { body: BodyLength::Chunked, ..plain })
    );
}

// RFC 9112 6.1 and 6.3; RELIABILITY.md, smuggling
#[test]
fn a_request_whose_end_is_in_doubt_is_refused() {
    use RequestError::*;
    for (lines, error) in [
        ("Content-Length: 5\r\nContent-Length: 5", ContentLength),
        ("Content-Length: 5\r\nContent-Length: 6", ContentLength),
        ("Content-Length: 5, 5", ContentLength),
        ("Content-Length: -5", ContentLength),
        ("Content-Length: 0x5", ContentLength),
        ("Content-Length: 5 5", ContentLength),
        ("Content-Length:", ContentLength),
        ("Content-Length: 18446744073709551616", ContentLength),
        ("Content-Length: 5\r\nTransfer-Encoding: chunked", LengthConflict),
        ("Transfer-Encoding: chunked\r\nContent-Length: 5", LengthConflict),
        ("Transfer-Encoding: gzip", TransferCodingUnknown),
        ("Transfer-Encoding: xchunked", TransferCodingUnknown),
        ("Transfer-Encoding: \"chunked\"", TransferCodingUnknown),
        ("Transfer-Encoding:", TransferCodingUnknown),
        ("Transfer-Encoding: gzip, chunked", TransferCodingList),
        ("Transfer-Encoding: chunked, identity", TransferCodingList),
        ("Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", TransferCodingList),
        ("Transfer-Encoding : chunked", FieldName),
        ("X: y\r\n Transfer-Encoding: chunked", FoldedLine),
    ] {
        assert_eq!(read_ordinary(&["POST / HTTP/1.1", "Host: a", lines]), Err(error), "{lines:?}");
    }
    assert_eq!(read_ordinary(&["POST / HTTP/1.1"]), Err(Host));
    assert_eq!(read_ordinary(&["POST / HTTP/1.0", "Host: a"]), Err(HttpVersion));
}

#[test]
fn the_largest_content_length_is_a_number_like_any_other() {
    let ordinary = read_ordinary(&["POST / HTTP/1.1", "Host: a", "Content-Length: 18446744073709551615"]);
    assert_eq!(ordinary.map(|ordinary| ordinary.body), Ok(BodyLength::Sized(u64::MAX)));
}

#[test]
fn parsing_is_strict_also_for_who_did_not_scan() {
    let limits = HeadLimits { headers_max: 2, target_bytes_max: 4, head_bytes_max: 200 };
    let parse = |head: &[u8]| parse_head(head, &limits, &mut Vec::new());
    assert_eq!(parse(b"GET /12345 HTTP/1.1\r\n\r\n"), Err(RequestError::TargetTooLong));
    for method in ["GET", "PUT"] {
        let with = |rest: &str| parse(format!("{method} / HTTP/1.1\r\n{rest}").as_bytes());
        assert_eq!(with("Host: a\r\nb:\r\nc:\r\n\r\n"), Err(RequestError::TooManyHeaders));
        assert_eq!(with(&"x".repeat(200)), Err(RequestError::HeadTooLarge));
        assert_eq!(with("Host: a\n\r\n"), Err(RequestError::BareLineFeed));
        assert_eq!(with("Host: a\0\r\n\r\n"), Err(RequestError::ControlCharacter));
        for not_one_head in ["", "\r", "Host: a", "Host: a\r\n", "Host: a\r\n\r", "Host: a\r\n\r\nmore"] {
            assert!(with(not_one_head).is_err(), "{method} {not_one_head:?}");
        }
    }
    let few = HeadLimits { headers_max: 2, ..HeadLimits::default() };
    let upgrade = parse_head(&head_of(&UPGRADE), &few, &mut Vec::new());
    assert_eq!(upgrade, Err(RequestError::TooManyHeaders));
    assert!(parse(b"").is_err());
    assert!(parse(b"GET ").is_err());
}

#[test]
fn the_fields_of_the_last_head_are_forgotten_and_their_memory_is_kept() {
    let mut fields = Vec::new();
    let head = head_of(&UPGRADE);
    parse_head(&head, &HeadLimits::default(), &mut fields).unwrap();
    let capacity = fields.capacity();
    parse_head(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", &HeadLimits::default(), &mut fields).unwrap();
    assert_eq!((fields.len(), fields.capacity()), (1, capacity));
}

#[test]
fn a_field_is_eight_bytes() {
    assert_eq!(size_of::<Field>(), 8);
}
