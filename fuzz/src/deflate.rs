//! permessage-deflate (RFC 7692): offers, what clients compress or claim to, and what the server compresses.
//!
//! `[0] [terms] [cuts] offers, a header line each` or `[1] [agreement] [limits] [cuts] [pauses] frames` or
//! `[2] [window] [level] messages`

use dormouse::wire::{
    DeflateAgreement, DeflateTerms, Deflater, HeadLimits, Inflaters, Input, RequestError, Session,
    SessionLimits, negotiate_deflate, parse_head,
};

use super::input::{Choices, Cuts};
use super::model::Heard;
use super::session::owned;
use super::support::deflate::{Agreement, Deflate, FIN, Inflate, RSV1};
use super::support::frames::client_frame;

const MESSAGE_BYTES: [usize; 6] = [32 << 20, 0, 1, 125, 300, 70_000];

/// What the inflater may do beyond the limit before it notices: one step.
const STEP_BYTES: u64 = 16 << 10;

/// What a session holds beside the bytes of a message and a context: its record and a control frame.
const HELD_BESIDE_MAX: usize = 1_024;

/// Frames of one input, so that no input takes long.
const FRAMES_MAX: usize = 40;

pub fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    match choices.below(3) {
        0 => offers(&mut choices),
        1 => frames(&mut choices),
        _ => messages(&mut choices),
    }
}

/// What is agreed for these values of Sec-WebSocket-Extensions.
fn negotiate(lines: &[&str], terms: Option<&DeflateTerms>) -> Result<Option<DeflateAgreement>, RequestError> {
    let fields: String = lines.iter().map(|line| format!("Sec-WebSocket-Extensions: {line}\r\n")).collect();
    let head = format!("GET / HTTP/1.1\r\nHost: a\r\n{fields}\r\n").into_bytes();
    let mut fields = Vec::new();
    parse_head(&head, &HeadLimits::default(), &mut fields)?;
    negotiate_deflate(&head, &fields, terms)
}

fn terms(choices: &mut Choices<'_>) -> DeflateTerms {
    DeflateTerms { context_takeover: choices.is(), window_bits: 9 + choices.below(7) as u8 }
}

fn offers(choices: &mut Choices<'_>) {
    let terms = terms(choices);
    let Ok(text) = std::str::from_utf8(choices.rest()) else { return };
    let lines: Vec<&str> = text.split('\n').collect();
    if text.contains(['\r', '\0']) || lines.len() > 20 {
        return;
    }
    let agreed = negotiate(&lines, Some(&terms));
    // RFC 6455 9.1: several fields are one with commas between.
    assert_eq!(negotiate(&[&lines.join(", ")], Some(&terms)).ok(), agreed.ok());
    match (&agreed, negotiate(&lines, None)) {
        (Ok(_), Ok(none)) => assert_eq!(none, None, "nothing is agreed without terms"),
        (Err(error), Err(same)) => assert_eq!(*error, same),
        (agreed, other) => panic!("{agreed:?} and, without terms, {other:?}"),
    }
    let Ok(Some(agreed)) = agreed else { return };
    let said = agreed.to_string();
    let read = Agreement::read(&said);
    assert!(terms.context_takeover || read.server_forgets && read.client_forgets);
    for bits in [read.server_bits, read.client_bits].into_iter().flatten() {
        assert!((8..=terms.window_bits).contains(&bits), "{said}");
    }
    assert_eq!(agreed.server_window_bits(), read.server_bits.unwrap_or(15));
    assert!((9..=terms.window_bits).contains(&agreed.server_window_bits()), "{said}");
    assert!(read.client_bits.is_none() || text.contains("client_max_window_bits"), "never unasked");
    // A client that offers just this has it.
    assert_eq!(negotiate(&[&said], Some(&terms)), Ok(Some(agreed)));
}

/// A frame as the input has it, and what its message will be if it can be known.
struct Written {
    stream: Vec<u8>,
    /// Compressed messages that are valid, in order, as long as nothing else has come.
    expected: Option<Vec<Vec<u8>>>,
}

fn frames(choices: &mut Choices<'_>) {
    let context_takeover = choices.is();
    let terms = DeflateTerms { context_takeover, window_bits: 15 };
    let Ok(Some(agreed)) = negotiate(&["permessage-deflate"], Some(&terms)) else { panic!("it is agreed") };
    let limits =
        SessionLimits { message_bytes_max: choices.pick(&MESSAGE_BYTES), frames_per_message_max: 30 };
    let cuts = choices.cuts();
    let pauses = choices.is();
    let Written { stream, expected } = written(choices, context_takeover);

    let whole = heard(&agreed, &Cuts::whole(), false, &stream, &limits);
    assert_eq!(heard(&agreed, &cuts, pauses, &stream, &limits), whole, "in pieces as in one");
    if let Some(expected) = expected
        && expected.iter().all(|message| message.len() <= limits.message_bytes_max)
    {
        let expected: Vec<Heard> = expected.into_iter().map(Heard::Binary).collect();
        assert_eq!(whole, expected, "what was compressed comes out");
    }
}

/// The frames that the input describes: `[kind] [length] payload` each.
fn written(choices: &mut Choices<'_>, context_takeover: bool) -> Written {
    let mut deflate = Deflate::new(15, !context_takeover);
    let mut stream = Vec::new();
    let mut expected = Some(Vec::new());
    for _ in 0..FRAMES_MAX {
        if choices.is_empty() {
            break;
        }
        let kind = choices.byte();
        let length = usize::from(choices.byte());
        let payload = choices.take(length);
        if kind < 100 {
            // A message that a compressor wrote, repeated so that it is worth it, in as many frames as may be.
            let message = payload.repeat(1 + usize::from(kind % 8) * 20);
            let deflated = deflate.deflate(&message);
            let pieces: Vec<&[u8]> = deflated.chunks(1 + usize::from(kind) * 3).take(29).collect();
            let taken: usize = pieces.iter().map(|piece| piece.len()).sum();
            for (at, piece) in pieces.iter().enumerate() {
                let is_last = at + 1 == pieces.len();
                let piece = if is_last { &deflated[taken - piece.len()..] } else { *piece };
                let opcode = if at == 0 { RSV1 | 2 } else { 0 };
                stream.extend(client_frame(opcode | if is_last { FIN } else { 0 }, piece));
            }
            if let Some(expected) = &mut expected {
                expected.push(message);
            }
        } else {
            // Whatever the input says, of any kind: FIN, reserved bits and opcode are those of this byte.
            expected = None;
            let first = match kind {
                100..150 => FIN | RSV1 | 1,
                150..200 => FIN | RSV1 | 2,
                200..215 => RSV1 | 1,
                215..225 => 0,
                225..235 => FIN,
                _ => choices.byte(),
            };
            stream.extend(client_frame(first, payload));
        }
    }
    Written { stream, expected }
}

/// All that a session says to a stream in pieces, with the bounds on memory and work looked at behind each.
fn heard(
    agreed: &DeflateAgreement,
    cuts: &Cuts,
    pauses: bool,
    stream: &[u8],
    limits: &SessionLimits,
) -> Vec<Heard> {
    let mut session = Session::inflating(agreed);
    let mut inflaters = Inflaters::default();
    let mut heard = Vec::new();
    for piece in cuts.of(stream) {
        let mut received = piece.to_vec();
        let mut input = Input::new(&mut received);
        loop {
            match session.poll_with(&mut input, limits, &mut inflaters) {
                Ok(Some(event)) => heard.push(owned(event)),
                Ok(None) => break,
                Err(error) => heard.push(Heard::Error(error)),
            }
            if pauses {
                input = Input::new(input.into_remaining());
            }
        }
        assert_eq!(input.remaining(), 0, "all was taken");
        let held = session.reassembly_bytes();
        let held_max = limits.message_bytes_max + Session::CONTEXT_BYTES + HELD_BESIDE_MAX;
        assert!(held <= held_max, "{held} bytes held, above the limit");
        assert!(session.context_bytes() <= Session::CONTEXT_BYTES);
    }
    // RELIABILITY: inflated to the limit only, and one step to see that it is exceeded.
    let messages = |heard: &Heard| match heard {
        Heard::Text(text) => text.len() as u64,
        Heard::Binary(bytes) => bytes.len() as u64,
        _ => 0,
    };
    let given: u64 = heard.iter().map(messages).sum();
    let unfinished = limits.message_bytes_max as u64 + STEP_BYTES;
    assert!(inflaters.inflated_bytes() <= given + unfinished, "{} bytes", inflaters.inflated_bytes());
    if matches!(heard.last(), Some(Heard::Close(..) | Heard::Error(_))) {
        assert!(session.is_closed() && session.reassembly_bytes() == 0 && session.context_bytes() == 0);
    }
    let errors = heard.iter().filter(|heard| matches!(heard, Heard::Error(_))).count();
    assert!(errors <= 1 && (errors == 0 || matches!(heard.last(), Some(Heard::Error(_)))));
    heard
}

/// What the server compresses, any inflater with a window of the agreed size reads, and so does a session.
fn messages(choices: &mut Choices<'_>) {
    let (window_bits, level) = (9 + choices.below(7) as u8, 1 + choices.below(9) as u8);
    let (mut deflater, mut room) = (Deflater::new(window_bits, level), Vec::new());
    let mut receiver = Inflate::new(window_bits, false);
    for _ in 0..FRAMES_MAX {
        if choices.is_empty() {
            break;
        }
        let (times, length) = (1 + choices.below(64), usize::from(choices.byte()));
        let message = choices.take(length).repeat(times);
        let deflated = deflater.deflate(&message, &mut room).to_vec();
        assert!(deflated.len() <= message.len() + message.len() / 8 + 64);
        assert_eq!(receiver.inflate(&deflated), message);
        if choices.is() {
            deflater.forget();
        }
    }
}
