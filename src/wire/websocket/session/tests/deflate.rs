//! RFC 7692 from the receiver's side: what a client may compress, what comes of it, and what it may not cost.

use flate2::{Compress, Compression, FlushCompress};
use proptest::prelude::*;

use super::super::super::deflate::{DeflateTerms, negotiate_deflate};
use super::*;

const RSV1: u8 = 0x40;
const HELLO: [u8; 7] = [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00];

/// A session with which compression was agreed, on a client's usual offer.
fn inflating(context_takeover: bool) -> Session {
    let head = b"GET / HTTP/1.1\r\nHost: a\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n";
    let mut fields = Vec::new();
    crate::wire::parse_head(head, &crate::wire::HeadLimits::default(), &mut fields).unwrap();
    let terms = DeflateTerms { context_takeover, ..DeflateTerms::default() };
    Session::inflating(&negotiate_deflate(head, &fields, Some(&terms)).unwrap().unwrap())
}

/// A client's compressor, as flate2 has it.
struct Client {
    stream: Compress,
    takes_over: bool,
}

impl Client {
    fn new(takes_over: bool) -> Self {
        Self { stream: Compress::new(Compression::new(6), false), takes_over }
    }

    /// RFC 7692 7.2.1
    fn deflate(&mut self, message: &[u8]) -> Vec<u8> {
        if message.is_empty() {
            return vec![0];
        }
        let mut deflated = Vec::with_capacity(message.len() + message.len() / 8 + 64);
        self.stream.compress_vec(message, &mut deflated, FlushCompress::Sync).unwrap();
        assert!(deflated.ends_with(&[0, 0, 0xff, 0xff]));
        deflated.truncate(deflated.len() - 4);
        if !self.takes_over {
            self.stream.reset();
        }
        deflated
    }
}

// RFC 7692 7.2.3
#[test]
fn the_examples_of_the_standard() {
    let no_compression = [&[0x00, 0x05, 0x00, 0xfa, 0xff][..], b"Hello", &[0x00]].concat();
    let final_block = [0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00, 0x00];
    let two_blocks = [0xf2, 0x48, 0x05, 0x00, 0x00, 0x00, 0xff, 0xff, 0xca, 0xc9, 0xc9, 0x07, 0x00];
    let limits = SessionLimits::default();
    for takes_over in [false, true] {
        let mut session = inflating(takes_over);
        for payload in [&HELLO[..], &no_compression, &final_block, &two_blocks] {
            let received = frame(FIN | RSV1 | TEXT, payload);
            assert_eq!(hear(&mut session, &received, &limits), [text("Hello")], "{payload:02x?}");
        }
        let fragments = [frame(RSV1 | TEXT, &HELLO[..3]), frame(FIN | CONTINUATION, &HELLO[3..])].concat();
        assert_eq!(hear(&mut session, &fragments, &limits), [text("Hello")]);
        assert_eq!(hear(&mut session, &frame(FIN | RSV1 | TEXT, &[0x00]), &limits), [text("")]);
    }
    // 7.2.3.2: the second refers to the first
    let received =
        [frame(FIN | RSV1 | TEXT, &HELLO), frame(FIN | RSV1 | TEXT, &[0xf2, 0x00, 0x11, 0x00, 0x00])];
    assert_eq!(hear(&mut inflating(true), &received.concat(), &limits), [text("Hello"), text("Hello")]);
    assert_eq!(
        hear(&mut inflating(false), &received.concat(), &limits),
        [text("Hello"), Heard::Error(ProtocolError::CompressedData)]
    );
}

// RFC 7692 7.2.3.4: some flush with final blocks, and leave out the empty block that ought to follow, or refer across
#[test]
fn a_final_block_is_neither_the_end_of_a_message_nor_of_the_session() {
    let limits = SessionLimits::default();
    for takes_over in [false, true] {
        let mut session = inflating(takes_over);
        let without_empty_block = &[0xf3, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00][..];
        let twice = [without_empty_block, without_empty_block].concat();
        let refers_across = [without_empty_block, &[0xf2, 0x00, 0x11, 0x00, 0x00]].concat();
        for (payload, expected) in [
            (without_empty_block, "Hello"),
            (&twice[..], "HelloHello"),
            (&refers_across[..], "HelloHello"),
            (&HELLO[..], "Hello"),
        ] {
            let received = frame(FIN | RSV1 | TEXT, payload);
            assert_eq!(hear(&mut session, &received, &limits), [text(expected)], "{payload:02x?}");
        }
    }
}

// RFC 7692 6.1 and 6.2
#[test]
fn the_bit_is_allowed_on_the_first_frame_of_a_data_message_alone() {
    let limits = SessionLimits::default();
    let reserved = [Heard::Error(ProtocolError::ReservedBits)];
    for takes_over in [false, true] {
        for first in [
            FIN | RSV1 | PING,
            FIN | RSV1 | PONG,
            FIN | RSV1 | CLOSE,
            FIN | RSV1 | CONTINUATION,
            FIN | RSV1 | 0x20 | TEXT,
            FIN | RSV1 | 0x10 | BINARY,
            FIN | 0x20 | TEXT,
        ] {
            assert_eq!(hear(&mut inflating(takes_over), &[first], &limits), reserved, "{first:02x}");
        }
        for begun in [frame(TEXT, b"a"), frame(RSV1 | TEXT, &HELLO[..3])] {
            let received = [begun, vec![FIN | RSV1 | CONTINUATION]].concat();
            assert_eq!(hear(&mut inflating(takes_over), &received, &limits), reserved);
        }
    }
    // RFC 6455 5.2: not without having agreed
    assert_eq!(hear_whole(&[FIN | RSV1 | TEXT]), reserved);
}

/// A bit of everything, and what it means.
fn stream(takes_over: bool) -> (Vec<u8>, Vec<Heard>) {
    let mut client = Client::new(takes_over);
    let greeting = client.deflate("κόσμε ".repeat(9).as_bytes());
    let numbers: Vec<u8> = (0..900u32).map(|number| (number / 7) as u8).collect();
    let compressed_numbers = client.deflate(&numbers);
    let again = client.deflate("κόσμε ".repeat(10).as_bytes());
    let empty = client.deflate(b"");
    let (begin, end) = compressed_numbers.split_at(compressed_numbers.len() / 2);
    let received = [
        frame(FIN | RSV1 | TEXT, &greeting),
        frame(RSV1 | BINARY, begin),
        frame(FIN | PING, b"between"),
        frame(CONTINUATION, b""),
        frame(FIN | CONTINUATION, end),
        frame(FIN | TEXT, b"plain"),
        frame(TEXT, b"pla"),
        frame(FIN | CONTINUATION, b"in"),
        frame(FIN | RSV1 | BINARY, &empty),
        frame(FIN | RSV1 | TEXT, &again),
        close_frame(1000, b""),
    ];
    let heard = vec![
        text(&"κόσμε ".repeat(9)),
        Heard::Ping(b"between".to_vec()),
        Heard::Binary(numbers),
        text("plain"),
        text("plain"),
        Heard::Binary(vec![]),
        text(&"κόσμε ".repeat(10)),
        Heard::Close(Some(1000), String::new()),
    ];
    (received.concat(), heard)
}

#[test]
fn every_pair_of_splits_gives_the_same_events() {
    let limits = SessionLimits::default();
    for takes_over in [false, true] {
        let (received, expected) = stream(takes_over);
        // A connection's own context is not reused: every third pair, for it takes longer.
        let stride = if takes_over { 3 } else { 1 };
        let mut inflaters = Inflaters::default();
        for first in 0..=received.len() {
            for second in (first..=received.len()).step_by(stride) {
                let mut session = inflating(takes_over);
                let mut heard = Vec::new();
                for piece in [&received[..first], &received[first..second], &received[second..]] {
                    heard.extend(hear_with(&mut session, piece, &limits, &mut inflaters));
                }
                assert_eq!(heard, expected, "split at {first} and {second}");
            }
        }
    }
}

#[test]
fn what_is_wrong_is_reported_with_the_first_byte_that_proves_it() {
    use ProtocolError::*;
    let compressed = |payload: &[u8]| frame(FIN | RSV1 | TEXT, payload);
    let mut client = Client::new(false);
    let not_utf8 = client.deflate(&[&b"ab\xff"[..], &[b'c'; 100]].concat());
    let cut_off = client.deflate(&"🍉".as_bytes()[..3]);
    let stored = |length: u8, payload: &[u8]| [&[0x00, length, 0, !length, 0xff], payload].concat();
    // Bytes of the payload that prove it, where the sample tells; whether a message's own context finds it out, and
    // whether a connection's.
    let samples = [
        ("a block type that is none", compressed(&[0x06, 0, 0]), Some(1), CompressedData, [true; 2]),
        ("a length and its complement", compressed(&[0, 5, 0, 5, 0, 1]), Some(5), CompressedData, [true; 2]),
        ("a distance to nowhere", compressed(&[0xf2, 0x00, 0x11, 0x00]), None, CompressedData, [true; 2]),
        ("no end", compressed(&HELLO[..4]), Some(4), CompressedData, [true, false]),
        (
            "no end of a stored block",
            frame(FIN | RSV1 | BINARY, &stored(90, b"abc")),
            Some(8),
            CompressedData,
            [true, false],
        ),
        ("text", compressed(&stored(4, b"ab\xffc\0")), Some(8), TextNotUtf8, [true; 2]),
        ("text in a block of codes", compressed(&not_utf8), None, TextNotUtf8, [true; 2]),
        ("text cut off", compressed(&cut_off), Some(cut_off.len()), TextNotUtf8, [true; 2]),
    ];
    let limits = SessionLimits::default();
    for (name, sample, payload_needed, error, found_by) in samples {
        assert_eq!(error.close_code(), 1007, "{name}");
        for (takes_over, is_found) in [false, true].into_iter().zip(found_by) {
            let mut session = inflating(takes_over);
            let mut found_at = None;
            for (index, byte) in sample.iter().enumerate() {
                let heard = hear(&mut session, &[*byte], &limits);
                if heard.contains(&Heard::Error(error)) {
                    found_at = Some(index + 1);
                }
            }
            let whole = hear(&mut inflating(takes_over), &sample, &limits);
            assert_eq!(whole.contains(&Heard::Error(error)), is_found, "{name}: {whole:?}");
            assert_eq!(found_at.is_some(), is_found, "{name}");
            if let (true, Some(payload)) = (is_found, payload_needed) {
                assert_eq!(found_at, Some(6 + payload), "{name} {takes_over}");
            }
        }
    }
}

/// A gibibyte of zeros, compressed to a megabyte: the densest that DEFLATE can be.
fn bomb() -> Vec<u8> {
    let mut mebibyte = Client::new(false).deflate(&vec![0; 1 << 20]);
    mebibyte.extend([0, 0, 0xff, 0xff]);
    mebibyte.repeat(1 << 10)
}

// RELIABILITY.md, "inflate bombs": inflate to the cap only
#[test]
fn a_gibibyte_of_zeros_ends_at_the_limit() {
    let bomb = bomb();
    assert!(bomb.len() < 1_100_000);
    let limits = SessionLimits::default();
    for takes_over in [false, true] {
        for piece_bytes in [512, 16 << 10, usize::MAX] {
            let mut session = inflating(takes_over);
            let mut inflaters = Inflaters::default();
            let received = frame(FIN | RSV1 | BINARY, &bomb);
            let mut heard = Vec::new();
            for piece in received.chunks(piece_bytes) {
                heard.extend(hear_with(&mut session, piece, &limits, &mut inflaters));
                assert!(session.reassembly_bytes() <= limits.message_bytes_max + (64 << 10));
                if session.is_closed() {
                    break;
                }
            }
            assert_eq!(heard, [Heard::Error(ProtocolError::MessageTooLarge)]);
            let excess = inflaters.inflated_bytes() - limits.message_bytes_max as u64;
            assert!(excess <= 16 << 10, "{excess} bytes more than the limit");
            assert_eq!((session.reassembly_bytes(), session.context_bytes()), (0, 0));
        }
    }
}

// SEMANTICS.md 8, "too large": it is the inflated message that counts
#[test]
fn a_message_of_the_largest_size_passes_however_badly_it_compresses_and_one_byte_more_is_1009() {
    let limits = SessionLimits { message_bytes_max: 1_000, ..SessionLimits::default() };
    let noise: Vec<u8> = (0..1_001u32)
        .map(|index| (index.wrapping_mul(index).wrapping_mul(2_654_435_761) >> 24) as u8)
        .collect();
    for message in [&noise[..], &[0; 1_001]] {
        let mut client = Client::new(false);
        let whole = frame(FIN | RSV1 | BINARY, &client.deflate(&message[..1_000]));
        assert_eq!(hear(&mut inflating(false), &whole, &limits), [Heard::Binary(message[..1_000].to_vec())]);
        let more = frame(FIN | RSV1 | BINARY, &client.deflate(message));
        assert_eq!(
            hear(&mut inflating(false), &more, &limits),
            [Heard::Error(ProtocolError::MessageTooLarge)]
        );
    }
}

// RELIABILITY.md, "tiny or empty fragments": blocks that say nothing are bounded as well, and at the head
#[test]
fn empty_blocks_without_end_are_1009() {
    let limits = SessionLimits { message_bytes_max: 1_000, ..SessionLimits::default() };
    let nothing = [0x00, 0x00, 0x00, 0xff, 0xff].repeat(100);
    let mut session = inflating(false);
    for first in [RSV1 | BINARY, CONTINUATION] {
        assert_eq!(hear(&mut session, &frame(first, &nothing), &limits), []);
    }
    let third = frame(FIN | CONTINUATION, &nothing);
    assert_eq!(hear(&mut session, &third[..4], &limits), [Heard::Error(ProtocolError::MessageTooLarge)]);
}

// RFC 7692 7.1.1: contexts, and who pays for them
#[test]
fn a_context_is_held_for_a_message_or_for_the_connection_as_was_agreed() {
    let limits = SessionLimits::default();
    let message = frame(FIN | RSV1 | TEXT, &HELLO);
    let mut inflaters = Inflaters::default();
    for takes_over in [false, true] {
        let mut session = inflating(takes_over);
        assert_eq!((session.reassembly_bytes(), session.context_bytes()), (0, 0));
        hear_with(&mut session, &message[..9], &limits, &mut inflaters);
        let held = session.reassembly_bytes() + session.context_bytes();
        assert!((48 << 10..50 << 10).contains(&held), "{held}");
        hear_with(&mut session, &message[9..], &limits, &mut inflaters);
        let kept = if takes_over { 48 << 10 } else { 0 };
        assert_eq!((session.reassembly_bytes(), session.context_bytes()), (0, kept));
    }
    assert_eq!(inflaters.compressed_bytes(), 14);
    assert_eq!(inflaters.inflated_bytes(), 10);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn whatever_is_compressed_is_heard_in_whatever_pieces(
        messages in prop::collection::vec((prop::collection::vec(0u8..4, 0..2_000), any::<prop::sample::Index>(), any::<bool>()), 1..6),
        takes_over in any::<bool>(),
        sizes in prop::collection::vec(1usize..700, 1..8),
    ) {
        let mut client = Client::new(takes_over);
        let mut received = Vec::new();
        let mut expected = Vec::new();
        for (message, cut, is_compressed) in messages {
            let (rsv1, payload) =
                if is_compressed { (RSV1, client.deflate(&message)) } else { (0, message.clone()) };
            let (begin, end) = payload.split_at(cut.index(payload.len() + 1));
            received.extend(frame(rsv1 | BINARY, begin));
            received.extend(frame(FIN | CONTINUATION, end));
            expected.push(Heard::Binary(message));
        }
        let mut session = inflating(takes_over);
        let mut heard = Vec::new();
        let mut rest = &received[..];
        for size in sizes.iter().cycle() {
            let (piece, next) = rest.split_at(rest.len().min(*size));
            heard.extend(hear(&mut session, piece, &SessionLimits::default()));
            rest = next;
            if rest.is_empty() {
                break;
            }
        }
        prop_assert_eq!(heard, expected);
    }

    #[test]
    fn hostile_payloads_are_heard_in_pieces_as_they_are_whole(
        payload in prop::collection::vec(any::<u8>(), 0..300),
        kind in prop_oneof![Just(TEXT), Just(BINARY)],
        takes_over in any::<bool>(),
        size in 1usize..40,
    ) {
        let limits = SessionLimits { message_bytes_max: 500, ..SessionLimits::default() };
        let received = [frame(FIN | RSV1 | kind, &payload), frame(FIN | PING, b"")].concat();
        let whole = hear(&mut inflating(takes_over), &received, &limits);
        let mut session = inflating(takes_over);
        let heard: Vec<Heard> =
            received.chunks(size).flat_map(|piece| hear(&mut session, piece, &limits)).collect();
        prop_assert_eq!(heard, whole);
    }
}
