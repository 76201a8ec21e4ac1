//! What a session holds: nothing between messages, and while one is incomplete no more than its peer has paid for.

use super::*;

// PERFORMANCE.md: RSS per idle connection
#[test]
fn a_session_is_two_words() {
    assert_eq!(size_of::<Session>(), 16);
    // Up to here malloc gives a chunk of 144.
    assert!(size_of::<Partial>() <= 136, "{}", size_of::<Partial>());
    assert!(size_of::<Event<'_>>() <= 40, "{}", size_of::<Event<'_>>());
}

#[test]
fn a_frame_that_is_all_here_is_unmasked_where_it_was_received() {
    for frame in [frame(FIN | TEXT, b"0123456789"), frame(FIN | BINARY, &[1; 300]), frame(FIN | PING, b"012")]
    {
        let mut received = frame;
        let place = received.as_ptr_range();
        let mut session = Session::new();
        let mut input = Input::new(&mut received);
        let event = session.poll(&mut input, &SessionLimits::default()).unwrap();
        let Some(Event::Message { payload, .. } | Event::Ping(payload)) = event else {
            panic!("neither message nor ping")
        };
        let Payload::InPlace(bytes) = payload else { panic!("copied") };
        assert_eq!(bytes.as_ptr_range().end, place.end);
        assert_eq!(session.reassembly_bytes(), 0);
    }
}

#[test]
fn a_control_frame_between_fragments_is_not_copied_either() {
    let mut session = Session::new();
    let limits = SessionLimits::default();
    assert_eq!(hear(&mut session, &frame(BINARY, b"begun"), &limits), []);
    let mut received = frame(FIN | PING, b"in place");
    let event = session.poll(&mut Input::new(&mut received), &limits).unwrap();
    assert!(matches!(event, Some(Event::Ping(Payload::InPlace(_)))));
}

// RELIABILITY.md, "memory taken for an announced length"
#[test]
fn an_announced_length_takes_no_memory() {
    let mut session = Session::new();
    let head = [FIN | BINARY, 0x80 | 127, 0, 0, 0, 0, 2, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10];
    assert_eq!(hear(&mut session, &head, &SessionLimits::default()), []);
    assert!(session.reassembly_bytes() <= size_of::<Partial>() + 64, "{}", session.reassembly_bytes());
}

#[test]
fn memory_stays_below_twice_of_what_has_arrived_and_ends_with_the_message() {
    for first in [FIN | BINARY, BINARY] {
        let mut session = Session::new();
        let limits = SessionLimits::default();
        let frame = frame(first, &[0; 100_000]);
        for (index, piece) in frame.chunks(100).enumerate() {
            let arrived = index * 100 + piece.len();
            hear(&mut session, piece, &limits);
            assert!(session.reassembly_bytes() <= 2 * arrived + 256, "after {arrived}");
        }
        hear(&mut session, &super::frame(FIN | CONTINUATION, b""), &limits);
        assert_eq!(session.reassembly_bytes(), 0);
    }
}

// RELIABILITY.md, "tiny or empty fragments pin memory": one buffer, whatever the number of fragments
#[test]
fn fragments_cost_the_bytes_they_bring_and_are_not_moved_each_time() {
    let mut session = Session::new();
    let limits = SessionLimits::default();
    hear(&mut session, &frame(BINARY, b""), &limits);
    let mut growths = 0;
    for count in 1..=10_000 {
        let before = session.reassembly_bytes();
        hear(&mut session, &frame(CONTINUATION, b"x"), &limits);
        growths += u32::from(session.reassembly_bytes() != before);
        assert!(session.reassembly_bytes() <= 2 * count + 256, "after {count}");
    }
    assert!(growths <= 20, "{growths} times");
}

#[test]
fn the_buffer_of_a_message_never_exceeds_the_limit_for_messages() {
    let limits = SessionLimits { message_bytes_max: 1_000, ..SessionLimits::default() };
    let mut session = Session::new();
    for first in [BINARY, CONTINUATION, CONTINUATION] {
        hear(&mut session, &frame(first, &[0; 300]), &limits);
    }
    assert!(session.reassembly_bytes() <= size_of::<Partial>() + 1_000);
}

#[test]
fn a_head_or_a_ping_in_pieces_is_held_and_let_go() {
    let mut session = Session::new();
    let limits = SessionLimits::default();
    let ping = frame(FIN | PING, b"hold on");
    for split in 1..ping.len() {
        assert_eq!(hear(&mut session, &ping[..split], &limits), []);
        assert!(session.reassembly_bytes() > 0);
        assert_eq!(hear(&mut session, &ping[split..], &limits), [Heard::Ping(b"hold on".to_vec())]);
        assert_eq!(session.reassembly_bytes(), 0);
    }
}
