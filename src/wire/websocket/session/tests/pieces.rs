//! A stream is the same stream in whatever pieces it arrives, and the caller may pause wherever it wants.

use super::*;

/// A bit of everything that can be incomplete: heads of each length, text, control frames between fragments.
fn stream() -> (Vec<u8>, Vec<Heard>) {
    let received = [
        frame(FIN | TEXT, "κόσμε".as_bytes()),
        frame(TEXT, &"🍉".as_bytes()[..2]),
        frame(FIN | PING, b"between"),
        frame(CONTINUATION, b""),
        frame(FIN | CONTINUATION, &"🍉".as_bytes()[2..]),
        frame(FIN | BINARY, &[9; 130]),
        frame(FIN | PONG, b""),
        frame(FIN | BINARY, b""),
        close_frame(1001, "weg".as_bytes()),
    ];
    let heard = vec![
        text("κόσμε"),
        Heard::Ping(b"between".to_vec()),
        text("🍉"),
        Heard::Binary(vec![9; 130]),
        Heard::Pong(vec![]),
        Heard::Binary(vec![]),
        Heard::Close(Some(1001), "weg".to_owned()),
    ];
    (received.concat(), heard)
}

#[test]
fn every_pair_of_splits_gives_the_same_events() {
    let (received, expected) = stream();
    let limits = SessionLimits::default();
    for first in 0..=received.len() {
        for second in first..=received.len() {
            let mut session = Session::new();
            let mut heard = hear(&mut session, &received[..first], &limits);
            heard.extend(hear(&mut session, &received[first..second], &limits));
            heard.extend(hear(&mut session, &received[second..], &limits));
            assert_eq!(heard, expected, "split at {first} and {second}");
        }
    }
}

#[test]
fn pieces_of_every_size_give_the_same_events() {
    let (received, expected) = stream();
    for size in 1..=received.len() {
        let mut session = Session::new();
        let limits = SessionLimits::default();
        let heard: Vec<Heard> =
            received.chunks(size).flat_map(|piece| hear(&mut session, piece, &limits)).collect();
        assert_eq!(heard, expected, "pieces of {size}");
    }
}

// RFC 6455 5.2: 64-bit lengths, in pieces as the kernel would give them
#[test]
fn a_large_message_arrives_in_buffers_of_512_bytes() {
    let content: Vec<u8> = (0..200_000u32).map(|index| index as u8).collect();
    let mut session = Session::new();
    let limits = SessionLimits::default();
    let heard: Vec<Heard> = frame(FIN | BINARY, &content)
        .chunks(512)
        .flat_map(|piece| hear(&mut session, piece, &limits))
        .collect();
    assert_eq!(heard, [Heard::Binary(content)]);
    assert_eq!(session.reassembly_bytes(), 0);
}

// Back-pressure: what is not polled is not touched, and a new cursor goes on with it
#[test]
fn the_caller_may_stop_after_any_event_and_go_on_later() {
    let (mut received, expected) = stream();
    let mut session = Session::new();
    let mut heard = Vec::new();
    let mut rest = &mut received[..];
    loop {
        let untouched = rest.to_vec();
        let mut input = Input::new(rest);
        let event = session.poll(&mut input, &SessionLimits::default()).unwrap();
        let Some(event) = event else { break };
        heard.push(Heard::from(event));
        rest = input.into_remaining();
        assert!(untouched.ends_with(rest), "the rest is as it was received");
    }
    assert_eq!(heard, expected);
}
