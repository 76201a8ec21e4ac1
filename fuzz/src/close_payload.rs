//! What a Close frame says, in pieces, against the model; and what we say with one, read again.
//!
//! `[key: 4] [cuts] payload`

use dormouse::wire::{Input, ProtocolError, Session, SessionLimits, close, encode_close};

use super::input::{Choices, Cuts};
use super::model::{self, Heard};
use super::session::owned;

pub fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let key = [choices.byte(), choices.byte(), choices.byte(), choices.byte()];
    let cuts = choices.cuts();
    let payload = choices.take(125);

    let expected = match (payload.len(), model::close(payload, true)) {
        (1, _) => Heard::Error(ProtocolError::ClosePayload),
        (_, Ok((code, reason))) => Heard::Close(code, reason),
        (_, Err(error)) => Heard::Error(error),
    };
    assert_eq!(hear(payload, key, &cuts), [expected]);
    write_and_read(payload, key, &cuts);
}

/// What is heard of a masked Close frame.
fn hear(payload: &[u8], key: [u8; 4], cuts: &Cuts) -> Vec<Heard> {
    let mut frame = vec![0x88, 0x80 | payload.len() as u8];
    frame.extend(key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key)| byte ^ key));
    let mut session = Session::new();
    let mut heard = Vec::new();
    for piece in cuts.of(&frame) {
        let mut piece = piece.to_vec();
        let mut input = Input::new(&mut piece);
        loop {
            match session.poll(&mut input, &SessionLimits::default()) {
                Ok(Some(event)) => heard.push(owned(event)),
                Ok(None) => break,
                Err(error) => heard.push(Heard::Error(error)),
            }
        }
    }
    heard
}

/// A Close of ours with this code and as much of this reason as fits is one that may be received.
fn write_and_read(payload: &[u8], key: [u8; 4], cuts: &Cuts) {
    let Some((code, reason)) = payload.split_first_chunk::<2>() else { return };
    let code = u16::from_be_bytes(*code);
    if !close::may_application_send(code) {
        return;
    }
    let reason = String::from_utf8_lossy(reason).repeat(2);
    let mut frame = Vec::new();
    encode_close(&mut frame, Some(code), &reason);
    assert_eq!((frame[0], usize::from(frame[1])), (0x88, frame.len() - 2));
    assert!(frame.len() <= 2 + 125);
    let heard = hear(&frame[2..], key, cuts);
    let [Heard::Close(Some(said), kept)] = &heard[..] else { panic!("our Close was refused: {heard:?}") };
    assert_eq!(*said, code);
    assert!(reason.starts_with(kept.as_str()));
    assert!(kept.len() == reason.len() || kept.len() > close::REASON_BYTES_MAX - 4, "cut too short");
}
