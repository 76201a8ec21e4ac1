//! Streams that nobody thought of: no panic, no difference between pieces and the whole, no sign of life after the end.

use proptest::prelude::*;

use super::*;

/// Frames that are mostly right, with fragments, control frames and every kind of mistake among them.
fn stream() -> impl Strategy<Value = Vec<u8>> {
    let first = prop_oneof![
        6 => prop::sample::select(vec![TEXT, BINARY, CONTINUATION]),
        6 => prop::sample::select(vec![FIN | TEXT, FIN | BINARY, FIN | CONTINUATION]),
        3 => prop::sample::select(vec![FIN | PING, FIN | PONG]),
        1 => any::<u8>(),
    ];
    let content = prop_oneof![
        4 => "\\PC{0,20}".prop_map(String::into_bytes),
        1 => "\\PC{100,200}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..6),
    ];
    let close = prop_oneof![any::<u16>(), Just(1000u16)];
    let frames =
        prop::collection::vec((first, content).prop_map(|(first, content)| frame(first, &content)), 0..12);
    let change = prop::option::weighted(0.3, (any::<prop::sample::Index>(), any::<u8>()));
    (frames, close, change).prop_map(|(frames, code, change)| {
        let mut stream = frames.concat();
        stream.extend(close_frame(code, "bye 🍉".as_bytes()));
        if let Some((index, byte)) = change {
            let index = index.index(stream.len());
            stream[index] = byte;
        }
        stream
    })
}

fn limits() -> impl Strategy<Value = SessionLimits> {
    (1usize..400, 1u32..5).prop_map(|(message_bytes_max, frames_per_message_max)| SessionLimits {
        message_bytes_max,
        frames_per_message_max,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4096))]

    #[test]
    fn pieces_are_heard_as_the_whole_is(
        stream in stream(),
        limits in limits(),
        sizes in prop::collection::vec(1usize..40, 1..20),
    ) {
        let whole = hear(&mut Session::new(), &stream, &limits);
        let mut session = Session::new();
        let mut heard = Vec::new();
        let mut rest = &stream[..];
        for size in sizes.iter().cycle() {
            let (piece, next) = rest.split_at(rest.len().min(*size));
            heard.extend(hear(&mut session, piece, &limits));
            prop_assert!(session.reassembly_bytes() <= size_of::<Partial>() + limits.message_bytes_max + 256);
            rest = next;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(heard, whole);
    }

    #[test]
    fn any_bytes_are_heard_without_panic_and_an_end_is_the_end(
        stream in prop::collection::vec(any::<u8>(), 0..300),
    ) {
        let heard = hear_whole(&stream);
        let end = heard.iter().position(|heard| matches!(heard, Heard::Close(..) | Heard::Error(_)));
        prop_assert!(end.is_none_or(|end| end + 1 == heard.len()));
    }
}
