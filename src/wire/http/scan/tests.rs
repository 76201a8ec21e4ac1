//! The scanner's promises: the same answer whatever the pieces, each byte looked at once, and a refusal with the first
//! byte that proves it.

use super::*;

const HEAD: &[u8] =
    b"GET /chat?room=1 HTTP/1.1\r\nHost: example.org\r\nX-Empty:\r\nUpgrade: websocket\r\n\r\n";

fn scan(received: &[u8]) -> Result<Option<usize>, RequestError> {
    HeadScanner::default().scan(received, &HeadLimits::default())
}

/// Feeds `received` byte by byte; the answer and how many bytes it took to get it.
fn scan_bytewise(received: &[u8], limits: &HeadLimits) -> (Result<Option<usize>, RequestError>, usize) {
    let mut scanner = HeadScanner::default();
    for arrived in 0..=received.len() {
        match scanner.scan(&received[..arrived], limits) {
            Ok(None) => {}
            answer => return (answer, arrived),
        }
    }
    (Ok(None), received.len())
}

#[test]
fn the_head_ends_with_its_empty_line_and_what_follows_is_not_looked_at() {
    let mut received = HEAD.to_vec();
    received.extend_from_slice(b"\0\r\r\n frames, or a body");
    assert_eq!(scan(&received), Ok(Some(HEAD.len())));
}

#[test]
fn every_pair_of_splits_gives_the_same_answer() {
    for first in 0..HEAD.len() {
        for second in first..HEAD.len() {
            let mut scanner = HeadScanner::default();
            let limits = HeadLimits::default();
            assert_eq!(scanner.scan(&HEAD[..first], &limits), Ok(None));
            assert_eq!(scanner.scan(&HEAD[..second], &limits), Ok(None));
            assert_eq!(scanner.scan(HEAD, &limits), Ok(Some(HEAD.len())), "split at {first} and {second}");
        }
    }
}

// RELIABILITY.md, "header parsed anew at each read": linear time, because no byte is looked at twice
#[test]
fn what_has_been_scanned_is_never_looked_at_again() {
    let mut scanner = HeadScanner::default();
    let mut received = Vec::new();
    for (index, &byte) in HEAD.iter().enumerate() {
        received.fill(0); // would be refused if it were seen
        received.push(byte);
        let expected = (index + 1 == HEAD.len()).then_some(HEAD.len());
        assert_eq!(scanner.scan(&received, &HeadLimits::default()), Ok(expected));
    }
}

// SEMANTICS.md 8, "answers": each sample is refused with its last byte, and with no byte before it
#[test]
fn a_hopeless_head_is_refused_with_the_first_byte_that_makes_it_so() {
    use RequestError::*;
    for (sample, error) in [
        // RFC 9112 3: not a request line
        (&b"\x16"[..], RequestLine), // TLS: the first byte of a ClientHello
        (b"\0", RequestLine),
        (b" ", RequestLine),
        (b"GET\t", RequestLine),
        (b"GET\r", RequestLine),
        (b"GET  ", RequestLine),
        (b"GET /\r", RequestLine), // HTTP/0.9
        (b"GET /\t", RequestLine),
        (b"GET /\x7f", RequestLine),
        (b"GET /a#", RequestLine),
        (b"GET /\xc3", RequestLine),
        (b"GET /a b ", RequestLine),
        (b"GET /  ", RequestLine),
        (b"GET / HTTP/1.11", RequestLine),
        (b"GET / HTTP/1\r", RequestLine),
        // RFC 9112 2.2: one empty line before the request line, not two
        (b"\r\n\r", RequestLine),
        (b"\r\nGET / HTTP/1.1\r\n ", FoldedLine),
        // RFC 9112 2.2: line ends
        (b"\n", BareLineFeed),
        (b"GET\n", BareLineFeed),
        (b"GET / HTTP/1.1\n", BareLineFeed),
        (b"GET / HTTP/1.1\r\r", BareCarriageReturn),
        (b"GET / HTTP/1.1\r\nHost: a\n", BareLineFeed),
        (b"GET / HTTP/1.1\r\n\n", BareLineFeed),
        (b"GET / HTTP/1.1\r\nHost: a\rb", BareCarriageReturn),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\rx", BareCarriageReturn),
        // RFC 9110 5.5: controls
        (b"GET / HTTP/1.1\r\nHost: a\0", ControlCharacter),
        (b"GET / HTTP/1.1\r\nHost: a\x1b", ControlCharacter),
        (b"GET / HTTP/1.1\r\nHost: a\x7f", ControlCharacter),
        // RFC 9112 5.2: folded lines
        (b"GET / HTTP/1.1\r\n\t", FoldedLine),
        (b"GET / HTTP/1.1\r\nHost: a\r\n ", FoldedLine),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\t", FoldedLine),
    ] {
        let shown = String::from_utf8_lossy(sample);
        assert_eq!(scan_bytewise(sample, &HeadLimits::default()), (Err(error), sample.len()), "{shown:?}");
        assert_eq!(scan(sample), Err(error), "{shown:?} in one piece");
    }
}

// RFC 9112 2.2
#[test]
fn one_empty_line_before_the_request_is_forgiven_and_counted() {
    let received = [b"\r\n", HEAD].concat();
    assert_eq!(scan(&received), Ok(Some(received.len())));
    assert_eq!(scan_bytewise(&received, &HeadLimits::default()).0, Ok(Some(received.len())));
}

// RFC 9112 3: 414 for a target that is longer than any the server wishes to parse
#[test]
fn a_target_of_the_longest_length_passes_and_one_byte_more_is_414() {
    let limits = HeadLimits { target_bytes_max: 8, ..HeadLimits::default() };
    assert_eq!(scan_bytewise(b"GET /2345678 HTTP/1.1\r\n\r\n", &limits).0, Ok(Some(25)));
    assert_eq!(
        scan_bytewise(b"GET /23456789 HTTP/1.1\r\n\r\n", &limits),
        (Err(RequestError::TargetTooLong), 13)
    );
}

// RFC 9112 3: 501 for a method that is longer than any implemented
#[test]
fn an_endless_method_is_501() {
    assert_eq!(scan(&[b'A'; METHOD_BYTES_MAX]), Ok(None));
    assert_eq!(scan(&[b'A'; METHOD_BYTES_MAX + 1]), Err(RequestError::MethodTooLong));
}

// RFC 6585 5
#[test]
fn a_head_of_the_largest_size_passes_and_one_byte_more_is_431() {
    let limits = HeadLimits { head_bytes_max: HEAD.len(), ..HeadLimits::default() };
    assert_eq!(scan_bytewise(HEAD, &limits).0, Ok(Some(HEAD.len())));
    let limits = HeadLimits { head_bytes_max: HEAD.len() - 1, ..HeadLimits::default() };
    assert_eq!(scan_bytewise(HEAD, &limits), (Err(RequestError::HeadTooLarge), HEAD.len() - 1));
    // However large the limit is said to be, a span has to be able to count it.
    let limits = HeadLimits { head_bytes_max: usize::MAX, ..HeadLimits::default() };
    let endless = [b"GET / HTTP/1.1\r\nX: ", &[b'x'; 70_000][..]].concat();
    assert_eq!(HeadScanner::default().scan(&endless, &limits), Err(RequestError::HeadTooLarge));
}

// RFC 6585 5; RELIABILITY.md, "too many headers crash"
#[test]
fn as_many_header_lines_as_allowed_pass_and_the_next_is_431_at_its_first_byte() {
    let limits = HeadLimits { headers_max: 3, ..HeadLimits::default() };
    let three = b"GET / HTTP/1.1\r\na:1\r\nb:2\r\nc:3\r\n";
    assert_eq!(scan_bytewise(&[&three[..], b"\r\n"].concat(), &limits).0, Ok(Some(three.len() + 2)));
    let four = [&three[..], b"d:4\r\n\r\n"].concat();
    assert_eq!(scan_bytewise(&four, &limits), (Err(RequestError::TooManyHeaders), three.len() + 1));
}

#[test]
fn the_scanner_is_small_enough_for_every_connection_to_have_one() {
    assert!(size_of::<HeadScanner>() <= 16);
}
