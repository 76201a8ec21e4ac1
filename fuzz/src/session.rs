//! A stream of frames, in pieces, against the model.
//!
//! `[message limit] [frames limit] [cuts] [pauses] stream`

use dormouse::wire::{Event, Input, MessageKind, Session, SessionLimits};

use super::input::Choices;
use super::model::{self, Heard};

/// Limits of messages, so that streams of a few hundred bytes reach them.
const MESSAGE_BYTES: [usize; 8] = [32 << 20, 0, 1, 7, 125, 126, 300, 70_000];
const FRAMES: [u32; 4] = [131_072, 1, 2, 5];

/// What a session holds beside the bytes of a message: its record and a control frame.
const HELD_BESIDE_MAX: usize = 512;

pub fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let limits = SessionLimits {
        message_bytes_max: choices.pick(&MESSAGE_BYTES),
        frames_per_message_max: choices.pick(&FRAMES),
    };
    let cuts = choices.cuts();
    let pauses = choices.is();
    let stream = choices.rest();

    let expected = model::hear(stream, &limits);
    let mut session = Session::new();
    let mut heard = Vec::new();
    let mut arrived = 0;
    for piece in cuts.of(stream) {
        arrived += piece.len();
        hear_piece(&mut session, piece, pauses, &limits, &mut heard);
        let held = session.reassembly_bytes();
        assert!(held <= 2 * arrived + HELD_BESIDE_MAX, "{held} bytes held for {arrived}");
        assert!(held <= limits.message_bytes_max + HELD_BESIDE_MAX, "{held} bytes held, above the limit");
    }
    assert_eq!(heard, expected);
    let is_over = matches!(heard.last(), Some(Heard::Close(..) | Heard::Error(_)));
    assert_eq!(session.is_closed(), is_over);
    if is_over {
        assert_eq!(session.reassembly_bytes(), 0);
        hear_piece(&mut session, b"\x89\x80\0\0\0\0", false, &limits, &mut heard);
        assert_eq!(heard, expected, "nothing is heard behind the end");
    }
}

/// Hears one piece; with `pauses`, under a new cursor for each event.
fn hear_piece(
    session: &mut Session,
    piece: &[u8],
    pauses: bool,
    limits: &SessionLimits,
    heard: &mut Vec<Heard>,
) {
    let mut received = piece.to_vec();
    let mut input = Input::new(&mut received);
    loop {
        match session.poll(&mut input, limits) {
            Ok(Some(event)) => heard.push(owned(event)),
            Ok(None) => break,
            Err(error) => heard.push(Heard::Error(error)),
        }
        if pauses {
            let rest = input.into_remaining();
            assert!(piece.ends_with(rest), "what was not taken is as it was received");
            input = Input::new(rest);
        }
    }
    assert_eq!(input.remaining(), 0, "all was taken");
}

/// An event without its loan.
pub fn owned(event: Event<'_>) -> Heard {
    match event {
        Event::Message { kind: MessageKind::Text, payload } => {
            Heard::Text(payload.as_text().expect("text is UTF-8").to_owned())
        }
        Event::Message { kind: MessageKind::Binary, payload } => Heard::Binary(payload.into_vec()),
        Event::Ping(payload) => Heard::Ping(payload.into_vec()),
        Event::Pong(payload) => Heard::Pong(payload.into_vec()),
        Event::Close { code, reason } => Heard::Close(code, reason.into_owned()),
    }
}
