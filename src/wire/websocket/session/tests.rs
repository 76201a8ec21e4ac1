//! The contract of the session, SEMANTICS.md section 8: what a client may send, what comes of it, and which close code
//! answers everything else.

use super::super::close;
use super::*;

mod deflate;
mod hostile;
mod memory;
mod pieces;
mod with_tungstenite;

const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
const FIN: u8 = 0x80;

/// A client's frame, written down here once more and as the standard draws it, so that a mistake in the code under test
/// is not repeated by its tests.
fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | length as u8),
        length @ 126..=65_535 => {
            frame.push(0x80 | 126);
            frame.extend_from_slice(&(length as u16).to_be_bytes());
        }
        length => {
            frame.push(0x80 | 127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(&KEY);
    frame.extend(payload.iter().enumerate().map(|(index, byte)| byte ^ KEY[index % 4]));
    frame
}

fn close_frame(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(FIN | CLOSE, &[&code.to_be_bytes(), reason].concat())
}

/// An event without its loan.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Heard {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    Close(Option<u16>, String),
    Error(ProtocolError),
}

impl Heard {
    fn from(event: Event<'_>) -> Self {
        match event {
            Event::Message { kind: MessageKind::Text, payload } => {
                Self::Text(payload.as_text().expect("text is UTF-8").to_owned())
            }
            Event::Message { kind: MessageKind::Binary, payload } => Self::Binary(payload.into_vec()),
            Event::Ping(payload) => Self::Ping(payload.into_vec()),
            Event::Pong(payload) => Self::Pong(payload.into_vec()),
            Event::Close { code, reason } => Self::Close(code, reason.into_owned()),
        }
    }
}

fn text(content: &str) -> Heard {
    Heard::Text(content.to_owned())
}

/// Everything that `session` hears in one input, up to and with an error.
fn hear(session: &mut Session, received: &[u8], limits: &SessionLimits) -> Vec<Heard> {
    hear_with(session, received, limits, &mut Inflaters::default())
}

fn hear_with(
    session: &mut Session,
    received: &[u8],
    limits: &SessionLimits,
    inflaters: &mut Inflaters,
) -> Vec<Heard> {
    let mut received = received.to_vec();
    let mut input = Input::new(&mut received);
    let mut heard = Vec::new();
    loop {
        match session.poll_with(&mut input, limits, inflaters) {
            Ok(Some(event)) => heard.push(Heard::from(event)),
            Ok(None) => break,
            Err(error) => heard.push(Heard::Error(error)),
        }
    }
    assert_eq!(input.remaining(), 0, "None means that everything was taken");
    heard
}

fn hear_whole(received: &[u8]) -> Vec<Heard> {
    hear(&mut Session::new(), received, &SessionLimits::default())
}

// RFC 6455 5.7: the examples
#[test]
fn the_examples_of_the_standard() {
    assert_eq!(hear_whole(b"\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), [text("Hello")]);
    assert_eq!(hear_whole(b"\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"), [Heard::Pong(b"Hello".to_vec())]);
}

#[test]
fn frames_behind_each_other_are_heard_in_their_order() {
    let received = [
        frame(FIN | TEXT, "Grüße".as_bytes()),
        frame(FIN | BINARY, &[0xff; 200]),
        frame(FIN | PING, b"?"),
        frame(FIN | PONG, b""),
        frame(FIN | TEXT, b""),
        frame(FIN | BINARY, &[7; 70_000]),
        close_frame(4000, "tschüß".as_bytes()),
    ];
    let expected = [
        text("Grüße"),
        Heard::Binary(vec![0xff; 200]),
        Heard::Ping(b"?".to_vec()),
        Heard::Pong(Vec::new()),
        text(""),
        Heard::Binary(vec![7; 70_000]),
        Heard::Close(Some(4000), "tschüß".to_owned()),
    ];
    assert_eq!(hear_whole(&received.concat()), expected);
}

// RFC 6455 5.4: fragments are joined in their order and are as good as unfragmented messages; control frames may come
// in the middle and are not part of the message
#[test]
fn fragments_are_joined_around_the_control_frames_between_them() {
    let received = [
        frame(TEXT, "ein gro".as_bytes()),
        frame(FIN | PING, b"1"),
        frame(CONTINUATION, b""),
        frame(CONTINUATION, "ß".as_bytes()),
        frame(FIN | PONG, b"2"),
        frame(FIN | CONTINUATION, "es Wort".as_bytes()),
        frame(FIN | BINARY, b"next"),
    ];
    assert_eq!(
        hear_whole(&received.concat()),
        [
            Heard::Ping(b"1".to_vec()),
            Heard::Pong(b"2".to_vec()),
            text("ein großes Wort"),
            Heard::Binary(b"next".to_vec())
        ]
    );
}

// RFC 6455 8.1: it is the message that is UTF-8, not each of its frames
#[test]
fn a_character_may_be_divided_between_fragments() {
    let melon = "🍉".as_bytes();
    let received = [
        frame(TEXT, &melon[..1]),
        frame(CONTINUATION, &melon[1..3]),
        frame(CONTINUATION, b""),
        frame(FIN | CONTINUATION, &melon[3..]),
    ];
    assert_eq!(hear_whole(&received.concat()), [text("🍉")]);
}

// RFC 6455 7.1.5 and 7.1.6: the code and the reason; SEMANTICS.md 8, "clean close without code"
#[test]
fn a_close_without_a_code_has_none() {
    assert_eq!(hear_whole(&frame(FIN | CLOSE, b"")), [Heard::Close(None, String::new())]);
    assert_eq!(hear_whole(&close_frame(1000, b"")), [Heard::Close(Some(1000), String::new())]);
    let longest = "r".repeat(close::REASON_BYTES_MAX);
    assert_eq!(hear_whole(&close_frame(1001, longest.as_bytes())), [Heard::Close(Some(1001), longest)]);
}

// RFC 6455 5.5.1: the application MUST NOT send any more data frames after a Close, so nothing is expected
#[test]
fn what_follows_a_close_is_taken_and_ignored() {
    let mut session = Session::new();
    let limits = SessionLimits::default();
    let received = [close_frame(1000, b""), frame(FIN | TEXT, b"too late"), vec![0xff]].concat();
    assert_eq!(hear(&mut session, &received, &limits), [Heard::Close(Some(1000), String::new())]);
    assert!(session.is_closed());
    assert_eq!(hear(&mut session, &frame(FIN | PING, b"?"), &limits), []);
}

// RFC 6455 7.1.7: no further data is processed
#[test]
fn what_follows_an_error_is_taken_and_ignored() {
    let mut session = Session::new();
    let limits = SessionLimits::default();
    let received = [frame(TEXT, b"begun"), vec![0xff], frame(FIN | TEXT, b"too late")].concat();
    assert_eq!(hear(&mut session, &received, &limits), [Heard::Error(ProtocolError::ReservedBits)]);
    assert!(session.is_closed());
    assert_eq!(session.reassembly_bytes(), 0);
    assert_eq!(hear(&mut session, &frame(FIN | PING, b"?"), &limits), []);
}

// SEMANTICS.md 8, "strict framing" and "too large": with this byte, and with none before it
#[test]
fn every_mistake_is_reported_with_the_first_byte_that_proves_it() {
    use ProtocolError::*;
    let close = |payload: &[u8]| frame(FIN | CLOSE, payload);
    let cut = |frame: Vec<u8>, length: usize| frame[..length].to_vec();
    let begun = |rest: Vec<u8>| [frame(TEXT, b"begun"), rest].concat();
    let samples: Vec<(&str, Vec<u8>, ProtocolError, u16)> = vec![
        // RFC 6455 5.2: RSV bits, opcode
        ("RSV1", vec![FIN | 0x40 | TEXT], ReservedBits, 1002),
        ("RSV2", vec![FIN | 0x20 | TEXT], ReservedBits, 1002),
        ("RSV3 of a ping", vec![FIN | 0x10 | PING], ReservedBits, 1002),
        ("opcode 3", vec![FIN | 0x3], UnknownOpCode, 1002),
        ("opcode 7", vec![0x7], UnknownOpCode, 1002),
        ("opcode 11", vec![FIN | 0xb], UnknownOpCode, 1002),
        ("opcode 15", vec![FIN | 0xf], UnknownOpCode, 1002),
        // RFC 6455 5.1: not masked
        ("not masked", vec![FIN | TEXT, 0x00], Unmasked, 1002),
        ("ping not masked", vec![FIN | PING, 0x05], Unmasked, 1002),
        // RFC 6455 5.4: frames of two messages interleaved
        ("continuation of nothing", vec![FIN | CONTINUATION], StrayContinuation, 1002),
        ("after the end", [frame(FIN | TEXT, b"a"), vec![CONTINUATION]].concat(), StrayContinuation, 1002),
        ("text in a text", begun(vec![FIN | TEXT]), MissingContinuation, 1002),
        ("binary in a text", begun(vec![BINARY]), MissingContinuation, 1002),
        // RFC 6455 5.5: fragmented, or more than 125 bytes
        ("ping in fragments", vec![PING], FragmentedControl, 1002),
        ("close in fragments", vec![CLOSE], FragmentedControl, 1002),
        ("ping of 126 bytes", vec![FIN | PING, 0x80 | 126], ControlTooLong, 1002),
        ("close of 64 bits", vec![FIN | CLOSE, 0x80 | 127], ControlTooLong, 1002),
        // RFC 6455 5.2: not the minimal number of bytes
        ("125 in 16 bits", vec![FIN | BINARY, 0x80 | 126, 0, 125], LengthNotMinimal, 1002),
        ("65,535 in 64 bits", vec![FIN | BINARY, 0x80 | 127, 0, 0, 0, 0, 0, 0], LengthNotMinimal, 1002),
        // RFC 6455 5.2: the most significant bit; RELIABILITY.md, "64-bit length overflow"
        ("a negative length", vec![FIN | BINARY, 0x80 | 127, 0x80], LengthTopBit, 1002),
        // SEMANTICS.md 8, "too large": at the header; 33,554,432 is the limit
        ("16 EiB", vec![FIN | BINARY, 0x80 | 127, 0x7f], MessageTooLarge, 1009),
        ("limit + 1", vec![FIN | BINARY, 0x80 | 127, 0, 0, 0, 0, 2, 0, 0, 1], MessageTooLarge, 1009),
        // RFC 6455 5.5.1: the first two bytes are the code; 7.4.1: codes that MUST NOT be set, 7.4.2: that are not used
        ("close of one byte", vec![FIN | CLOSE, 0x80 | 1], ClosePayload, 1002),
        ("close 0", cut(close(&[0, 0]), 7), CloseCode, 1002),
        ("close 999", close(&[3, 231]), CloseCode, 1002),
        ("close 1004", close(&[3, 236]), CloseCode, 1002),
        ("close 1005", close(&[3, 237]), CloseCode, 1002),
        ("close 1006", close(&[3, 238]), CloseCode, 1002),
        ("close 1015", close(&[3, 247]), CloseCode, 1002),
        ("close 1016", close(&[3, 248]), CloseCode, 1002),
        ("close 2999", close(&[11, 183]), CloseCode, 1002),
        ("close 5000", close(&[19, 136]), CloseCode, 1002),
        ("close 65,535", cut(close(&[255, 255]), 7), CloseCode, 1002),
        ("reason", cut(close(b"\x03\xe8ab\xff, and more"), 11), ReasonNotUtf8, 1007),
        ("reason cut off", close(b"\x03\xe8\xf0\x9f\x8d"), ReasonNotUtf8, 1007),
        // RFC 6455 5.6 and 8.1: text that is not UTF-8 fails the connection
        ("stray continuation byte", cut(frame(FIN | TEXT, b"ab\x80cd"), 9), TextNotUtf8, 1007),
        ("surrogate", cut(frame(FIN | TEXT, b"\xed\xa0\x80"), 8), TextNotUtf8, 1007),
        ("overlong slash", cut(frame(FIN | TEXT, b"\xc0\xaf"), 7), TextNotUtf8, 1007),
        ("beyond the last", cut(frame(FIN | TEXT, b"\xf4\x90\x80\x80"), 8), TextNotUtf8, 1007),
        ("cut off", frame(FIN | TEXT, &"🍉".as_bytes()[..3]), TextNotUtf8, 1007),
        ("cut off in fragments", begun(frame(FIN | CONTINUATION, b"\xc3")), TextNotUtf8, 1007),
        ("later in fragments", begun(cut(frame(CONTINUATION, b"ab\xffcd"), 9)), TextNotUtf8, 1007),
    ];
    for (name, sample, error, code) in samples {
        assert_eq!(error.close_code(), code, "{name}");
        let mut session = Session::new();
        let limits = SessionLimits::default();
        for (index, byte) in sample.iter().enumerate() {
            let heard = hear(&mut session, &[*byte], &limits);
            let is_wrong = heard.contains(&Heard::Error(error));
            assert_eq!(is_wrong, index + 1 == sample.len(), "{name}: byte {index}: {heard:?}");
        }
        assert_eq!(hear_whole(&sample).last(), Some(&Heard::Error(error)), "{name} in one piece");
    }
}

// SEMANTICS.md 8, "too large": also summed over fragments, and decided at the header
#[test]
fn a_message_of_the_largest_size_passes_and_one_byte_more_is_1009() {
    let limits = SessionLimits { message_bytes_max: 10, ..SessionLimits::default() };
    let hear = |received: &[u8]| hear(&mut Session::new(), received, &limits);
    assert_eq!(hear(&frame(FIN | TEXT, b"0123456789")), [text("0123456789")]);
    assert_eq!(hear(&frame(FIN | TEXT, b"0123456789a")[..2]), [Heard::Error(ProtocolError::MessageTooLarge)]);
    let seven = frame(TEXT, b"0123456");
    let three = frame(FIN | CONTINUATION, b"789");
    let four = frame(CONTINUATION, b"789a");
    assert_eq!(hear(&[&seven[..], &three].concat()), [text("0123456789")]);
    assert_eq!(hear(&[&seven[..], &four[..2]].concat()), [Heard::Error(ProtocolError::MessageTooLarge)]);
    // Control frames have their own limit.
    assert_eq!(hear(&frame(FIN | PING, &[0; 125])), [Heard::Ping(vec![0; 125])]);
}

// RELIABILITY.md, "tiny or empty fragments pin memory"
#[test]
fn a_message_of_too_many_frames_is_1008_though_they_be_empty() {
    let limits = SessionLimits { frames_per_message_max: 3, ..SessionLimits::default() };
    let hear = |received: &[u8]| hear(&mut Session::new(), received, &limits);
    let begun = [frame(BINARY, b""), frame(CONTINUATION, b"")].concat();
    let last = frame(FIN | CONTINUATION, b"x");
    assert_eq!(hear(&[&begun[..], &last, &begun, &last].concat()), vec![Heard::Binary(b"x".to_vec()); 2]);
    let third = frame(CONTINUATION, b"");
    // The fourth frame is refused with its first byte; pings in between do not count.
    let received = [&begun[..], &frame(FIN | PING, b""), &third, &[CONTINUATION]].concat();
    assert_eq!(hear(&received), [Heard::Ping(vec![]), Heard::Error(ProtocolError::TooManyFrames)]);
    assert_eq!(ProtocolError::TooManyFrames.close_code(), 1008);
}
