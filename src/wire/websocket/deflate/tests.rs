//! RFC 7692 7.2 from the sender's side: what a deflater writes, any inflater reads.

use flate2::{Decompress, FlushDecompress};
use proptest::prelude::*;

use super::*;

/// Inflates by flate2 alone, with a window of so many bits. In steps smaller than any window, because within one step
/// the library would find what the window has lost.
fn inflated(stream: &mut Decompress, deflated: &[u8]) -> Vec<u8> {
    let input = [deflated, &TAIL].concat();
    let (mut taken, mut message) = (0, Vec::new());
    loop {
        let mut step = [0; 100];
        let (taken_before, given_before) = (stream.total_in(), stream.total_out());
        stream.decompress(&input[taken..], &mut step, FlushDecompress::Sync).unwrap();
        taken += (stream.total_in() - taken_before) as usize;
        let given = (stream.total_out() - given_before) as usize;
        message.extend_from_slice(&step[..given]);
        if given < step.len() {
            assert_eq!(taken, input.len());
            return message;
        }
    }
}

/// Words from a small dictionary: compressible, at distances of all sizes.
fn prose(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed;
    let mut text = Vec::new();
    while text.len() < length {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        text.extend_from_slice(format!("word{} ", state >> 54).as_bytes());
    }
    text.truncate(length);
    text
}

/// What does not compress.
fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed | 1;
    std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 32) as u8
    })
    .take(length)
    .collect()
}

// RFC 7692 7.2.3.1, 7.2.3.2 and 7.2.3.6
#[test]
fn the_examples_of_the_standard_are_written_byte_for_byte() {
    let (mut deflater, mut room) = (Deflater::new(15, 6), Vec::new());
    assert_eq!(deflater.deflate(b"Hello", &mut room), [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
    assert_eq!(deflater.deflate(b"Hello", &mut room), [0xf2, 0x00, 0x11, 0x00, 0x00]);
    assert_eq!(deflater.deflate(b"", &mut room), [0x00]);
    deflater.forget();
    assert_eq!(deflater.deflate(b"Hello", &mut room), [0xf2, 0x48, 0xcd, 0xc9, 0xc9, 0x07, 0x00]);
}

// RFC 7692 7.1.2.1: no farther back than what was agreed. zlib-rs is asked for each window and each level.
#[test]
fn a_receiver_with_a_window_of_the_agreed_size_reads_every_message() {
    for window_bits in 9..=15 {
        for level in 1..=9 {
            let (mut deflater, mut room) = (Deflater::new(window_bits, level), Vec::new());
            let mut receiver = Decompress::new_with_window_bits(false, window_bits);
            for (seed, length) in [5, 300, 3_000, 70_000, 0, 1, 40_000].into_iter().enumerate() {
                let message = prose(seed as u64, length);
                let deflated = deflater.deflate(&message, &mut room).to_vec();
                assert!(inflated(&mut receiver, &deflated) == message, "{window_bits} {level} {length}");
            }
        }
    }
}

// RFC 7692 7.2.1: without context takeover each message stands alone
#[test]
fn what_follows_forgetting_is_read_by_a_receiver_that_knows_nothing() {
    let (mut deflater, mut room) = (Deflater::new(12, 3), Vec::new());
    for seed in 0..20 {
        let message = prose(seed, 500);
        let deflated = deflater.deflate(&message, &mut room).to_vec();
        deflater.forget();
        assert_eq!(inflated(&mut Decompress::new(false), &deflated), message);
    }
}

// A broadcast is compressed by another than the connection's own: whoever has the earlier messages reads it too, and
// goes on with what follows once the connection's own has forgotten.
#[test]
fn a_message_of_another_deflater_fits_in_between() {
    let (mut own, mut other, mut room) = (Deflater::new(15, 6), Deflater::new(15, 6), Vec::new());
    let mut receiver = Decompress::new(false);
    for seed in 0..10 {
        let message = prose(seed, 2_000);
        let deflated = own.deflate(&message, &mut room).to_vec();
        assert_eq!(inflated(&mut receiver, &deflated), message);
        if seed % 3 == 0 {
            let shared = prose(seed + 100, 1_000);
            other.forget();
            let deflated = other.deflate(&shared, &mut room).to_vec();
            own.forget();
            assert_eq!(inflated(&mut receiver, &deflated), shared);
        }
    }
}

#[test]
fn what_does_not_compress_grows_by_less_than_an_eighth_and_the_room_with_it() {
    for level in 1..=9 {
        let (mut deflater, mut room) = (Deflater::new(15, level), Vec::new());
        for length in [1, 63, 64, 1_000, 100_000, 1_000_000] {
            let message = noise(length as u64, length);
            let deflated = deflater.deflate(&message, &mut room).to_vec();
            assert!(deflated.len() <= length + length / 8 + 16, "{level}: {length} to {}", deflated.len());
            deflater.forget();
            assert!(inflated(&mut Decompress::new(false), &deflated) == message);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_messages_are_read_by_flate2(
        messages in prop::collection::vec(prop::collection::vec(0u8..8, 0..3_000), 1..6),
        window_bits in 9u8..=15,
        level in 1u8..=9,
        forget in any::<[bool; 6]>(),
    ) {
        let (mut deflater, mut room) = (Deflater::new(window_bits, level), Vec::new());
        let mut receiver = Decompress::new_with_window_bits(false, window_bits);
        for (message, forget) in messages.iter().zip(forget) {
            let deflated = deflater.deflate(message, &mut room).to_vec();
            prop_assert_eq!(&inflated(&mut receiver, &deflated), message);
            if forget {
                deflater.forget();
            }
        }
    }
}
