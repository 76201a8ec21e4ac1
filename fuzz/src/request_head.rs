//! Whatever a client sends first: the scan in pieces is the scan of the whole, what is accepted httparse accepts too and
//! reads alike, and a body in pieces is the body of the whole.
//!
//! `[limits] [cuts] bytes`

use dormouse::wire::{
    BodyDecoder, BodyLength, Field, HeadKind, HeadLimits, HeadScanner, ParsedHead, RequestError,
    list_contains, parse_head,
};

use super::input::{Choices, Cuts};

/// Bytes of a body that are taken at most.
const BODY_BYTES_MAX: usize = 300;

pub fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let limits = match choices.below(3) {
        0 => HeadLimits::default(),
        1 => HeadLimits { head_bytes_max: 200, headers_max: 5, target_bytes_max: 20 },
        _ => HeadLimits { head_bytes_max: 1_000_000, headers_max: 1_000_000, target_bytes_max: 1_000_000 },
    };
    let cuts = choices.cuts();
    let received = choices.rest();

    let whole = HeadScanner::default().scan(received, &limits);
    assert_eq!(scan_in_pieces(received, &cuts, &limits), whole, "the pieces change the verdict");
    let Ok(Some(length)) = whole else {
        // Who did not scan must not be worse off.
        let parsed = parse_head(received, &limits, &mut Vec::new());
        assert!(parsed.is_err(), "{whole:?}, but parsed: {parsed:?}");
        return;
    };
    let head = &received[..length];
    let mut fields = Vec::new();
    let parsed = parse_head(head, &limits, &mut fields);
    compare_with_httparse(head, &parsed, &fields);
    if let Ok(ParsedHead { kind, .. }) = parsed {
        match kind {
            HeadKind::Upgrade(_) => check_upgrade(head, &fields),
            HeadKind::Ordinary(ordinary) => read_body(ordinary.body, &received[length..], &cuts),
        }
    }
}

/// The first verdict, when the bytes arrive one piece after the other.
fn scan_in_pieces(received: &[u8], cuts: &Cuts, limits: &HeadLimits) -> Result<Option<usize>, RequestError> {
    let mut scanner = HeadScanner::default();
    let mut arrived = 0;
    for piece in cuts.of(received) {
        arrived += piece.len();
        match scanner.scan(&received[..arrived], limits) {
            Ok(None) => {}
            verdict => return verdict,
        }
    }
    Ok(None)
}

fn compare_with_httparse(head: &[u8], parsed: &Result<ParsedHead, RequestError>, fields: &[Field]) {
    let mut headers = [httparse::EMPTY_HEADER; 256];
    let mut theirs = httparse::Request::new(&mut headers);
    match (theirs.parse(head), parsed) {
        (Ok(httparse::Status::Complete(length)), Ok(parsed)) => {
            assert_eq!(length, head.len());
            assert_eq!(theirs.version, Some(1));
            assert_eq!(theirs.method.map(str::as_bytes), Some(parsed.method.of(head)));
            assert_eq!(theirs.path.map(str::as_bytes), Some(parsed.target.of(head)));
            let ours = fields.iter().map(|field| (field.name.of(head), field.value.of(head)));
            let theirs = theirs.headers.iter().map(|header| (header.name.as_bytes(), header.value));
            assert!(ours.eq(theirs), "the fields differ");
        }
        (Ok(httparse::Status::Partial), parsed) => panic!("half a head for httparse, and {parsed:?} for us"),
        (Err(error), Ok(_)) => panic!("refused by httparse: {error}"),
        (Ok(_), Err(error)) => assert!(is_of_meaning(error), "httparse has no objection, we have {error}"),
        (Err(_), Err(_)) => {}
    }
}

/// Whether a mistake is one of meaning, which httparse does not judge: the rest is grammar, on which we agree.
fn is_of_meaning(error: &RequestError) -> bool {
    use RequestError::*;
    matches!(
        error,
        Host | ContentLength
            | LengthConflict
            | TransferCodingUnknown
            | TransferCodingList
            | UpgradeWithBody
            | ConnectionWithoutUpgrade
            | WebSocketVersion
            | WebSocketKey
            | TargetForm
            | HttpVersion
    )
}

/// RFC 6455 4.2.1, by plain counting.
fn check_upgrade(head: &[u8], fields: &[Field]) {
    let values = |name: &str| -> Vec<&[u8]> {
        let named = fields.iter().filter(|field| field.name.of(head).eq_ignore_ascii_case(name.as_bytes()));
        named.map(|field| field.value.of(head)).collect()
    };
    assert_eq!(values("host").len(), 1);
    assert!(values("upgrade").iter().any(|value| list_contains(value, "websocket")));
    assert!(values("connection").iter().any(|value| list_contains(value, "upgrade")));
    assert_eq!(values("sec-websocket-version"), [b"13"]);
    let keys = values("sec-websocket-key");
    assert!(keys.len() == 1 && keys[0].len() == 24 && keys[0].ends_with(b"=="));
    assert!(values("transfer-encoding").is_empty());
    assert!(values("content-length").iter().all(|value| value.iter().all(|digit| *digit == b'0')));
}

fn read_body(length: BodyLength, received: &[u8], cuts: &Cuts) {
    let Ok(decoder) = BodyDecoder::new(length, BODY_BYTES_MAX) else {
        assert!(matches!(length, BodyLength::Sized(length) if length > BODY_BYTES_MAX as u64));
        return;
    };
    let whole = decode(decoder.clone(), &[received]);
    let pieces = decode(decoder, &cuts.of(received));
    assert_eq!(pieces, whole, "the pieces change the body");
}

/// The body, how much was taken for it, and whether that was all of it; or the mistake.
fn decode(mut decoder: BodyDecoder, pieces: &[&[u8]]) -> Result<(Vec<u8>, usize, bool), RequestError> {
    let (mut body, mut taken, mut complete) = (Vec::new(), 0, false);
    for piece in pieces {
        let progress = decoder.decode(piece, &mut body)?;
        assert!(body.len() <= BODY_BYTES_MAX);
        assert!(progress.complete || progress.consumed == piece.len(), "an incomplete body takes everything");
        assert!(!complete || progress.consumed == 0, "a complete body takes nothing more");
        (taken, complete) = (taken + progress.consumed, progress.complete);
    }
    if pieces.is_empty() {
        complete = decoder.decode(b"", &mut body)?.complete;
    }
    Ok((body, taken, complete))
}
