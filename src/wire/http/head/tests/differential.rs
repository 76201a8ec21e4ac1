//! The two parsers against each other and against httparse, on heads that nobody thought of.

use proptest::prelude::*;

use super::super::super::bytes::is_target_byte;
use super::*;

/// Lines that matter to the parsers, and some that look as if they did.
fn line() -> impl Strategy<Value = Vec<u8>> {
    let known = prop::sample::select(vec![
        "Host: a",
        "Host: example.org:80",
        "hOsT:",
        "Upgrade: websocket",
        "upgrade:h2c , WEBSOCKET",
        "Connection: Upgrade",
        "Connection: close",
        "Sec-WebSocket-Version: 13",
        "Sec-WebSocket-Version: 8",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Key: short",
        "Content-Length: 0",
        "Content-Length: 12",
        "Transfer-Encoding: chunked",
        "Transfer-Encoding: gzip, chunked",
        "Expect: 100-continue",
        "Cookie: a=b; c=d",
        "X-Empty:",
        "X-Spaces: \t a \t ",
        "no colon",
        "Space : before",
        " folded",
        "",
    ]);
    let any =
        ("[!-~]{0,12}", "[ -~\t\u{80}-\u{ff}]{0,40}").prop_map(|(name, value)| format!("{name}:{value}"));
    prop_oneof![6 => known.prop_map(str::to_owned), 2 => any].prop_map(String::into_bytes)
}

fn request_line() -> impl Strategy<Value = Vec<u8>> {
    let method = prop::sample::select(vec!["GET", "GET", "GET", "POST", "OPTIONS", "HEAD", "G(T", ""]);
    let target = prop_oneof![4 => "/[!-~]{0,20}", 1 => "[!-~]{0,20}", 1 => Just("http://a/".to_owned()), 1 => Just("*".to_owned())];
    let version = prop::sample::select(vec!["HTTP/1.1", "HTTP/1.1", "HTTP/1.1", "HTTP/1.0", "HTTP/3", ""]);
    (method, target, version)
        .prop_map(|(method, target, version)| format!("{method} {target} {version}").into_bytes())
}

/// A head that is mostly right, with up to two bytes changed for any others.
fn head() -> impl Strategy<Value = Vec<u8>> {
    let lines = prop::collection::vec(line(), 0..10);
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    (request_line(), lines, changes, any::<bool>()).prop_map(|(first, lines, changes, is_handshake)| {
        let mut head = first;
        if is_handshake {
            head = head_of(&UPGRADE);
            head.truncate(head.len() - 4);
        }
        for line in &lines {
            head.extend_from_slice(b"\r\n");
            head.extend_from_slice(line);
        }
        head.extend_from_slice(b"\r\n\r\n");
        for (index, byte) in changes {
            let index = index.index(head.len());
            head[index] = byte;
        }
        head
    })
}

type Parts = (Vec<u8>, Vec<u8>, Vec<(Vec<u8>, Vec<u8>)>);

/// Method, target and fields by httparse, if it takes `head` for one whole head of HTTP/1.1.
fn by_httparse(head: &[u8]) -> Option<Parts> {
    let mut headers = [httparse::EMPTY_HEADER; 128];
    let mut request = httparse::Request::new(&mut headers);
    let complete = request.parse(head).ok()? == httparse::Status::Complete(head.len());
    (complete && request.version == Some(1)).then(|| {
        let fields = request.headers.iter();
        (
            request.method.unwrap_or_default().into(),
            request.path.unwrap_or_default().into(),
            fields.map(|header| (header.name.into(), header.value.to_vec())).collect(),
        )
    })
}

fn parts(head: &[u8], method: Span, target: Span, fields: &[Field]) -> Parts {
    let fields = fields.iter().map(|field| (field.name.of(head).to_vec(), field.value.of(head).to_vec()));
    (method.of(head).to_vec(), target.of(head).to_vec(), fields.collect())
}

/// Whether an error is about the form of lines, which is httparse's concern too, and not about what they say.
fn is_about_form(error: RequestError) -> bool {
    use RequestError::*;
    matches!(
        error,
        RequestLine | BareCarriageReturn | BareLineFeed | ControlCharacter | FieldName | FoldedLine
    )
}

/// Whether `head` has something that httparse allows and this server does not.
fn is_lenient(head: &[u8], target: &[u8]) -> bool {
    let bare_line_feed = (0..head.len()).any(|at| head[at] == b'\n' && (at == 0 || head[at - 1] != b'\r'));
    bare_line_feed || head.starts_with(b"\r\n") || !target.iter().all(|&byte| is_target_byte(byte))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn what_is_accepted_httparse_reads_the_same(head in head()) {
        let limits = HeadLimits::default();
        let mut fields = Vec::new();
        let scanned = HeadScanner::default().scan(&head, &limits);
        let Ok(Some(length)) = scanned else { return Ok(()) };
        let head = &head[..length];
        let theirs = by_httparse(head);
        match parse_head(head, &limits, &mut fields) {
            Ok(parsed) => {
                prop_assert_eq!(Some(parts(head, parsed.method, parsed.target, &fields)), theirs);
            }
            Err(error) if is_about_form(error) => prop_assert!(
                theirs.as_ref().is_none_or(|(_, target, _)| is_lenient(head, target)),
                "{:?} for what httparse accepts: {:?}", error, String::from_utf8_lossy(head)
            ),
            Err(_) => {}
        }
    }

    #[test]
    fn both_parsers_accept_the_same_heads_and_find_the_same_fields(head in head()) {
        let limits = HeadLimits::default();
        let Ok(line) = RequestLine::read(&head, &limits) else { return Ok(()) };
        let (mut by_hand, mut by_crate) = (Vec::new(), Vec::new());
        let fast = upgrade::parse(&head, &line, &limits, &mut by_hand);
        let general = ordinary::parse(&head, &line, &limits, &mut by_crate);
        match (fast, general) {
            (Ok(_), Ok(_)) => prop_assert_eq!(
                parts(&head, line.method, line.target, &by_hand),
                parts(&head, line.method, line.target, &by_crate)
            ),
            // What only the opening handshake has to fulfil.
            (Err(fast), Ok(_)) => prop_assert!(matches!(
                fast,
                RequestError::ConnectionWithoutUpgrade | RequestError::WebSocketVersion | RequestError::WebSocketKey
            ), "{:?}", fast),
            (Ok(_), Err(general)) => prop_assert!(false, "only the general parser refuses: {:?}", general),
            (Err(_), Err(_)) => {}
        }
    }

    #[test]
    fn no_bytes_whatever_make_the_scanner_or_the_parser_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let limits = HeadLimits::default();
        let _ = HeadScanner::default().scan(&bytes, &limits);
        let _ = parse_head(&bytes, &limits, &mut Vec::new());
    }
}
