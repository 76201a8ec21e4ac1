//! UTF-8 in bytes that arrive in pieces.
//!
//! Owns what has to be remembered between two pieces: how many bytes the current character still lacks, and what the
//! next of them may be. The bulk is left to simdutf8.

/// Validates text piece by piece, and refuses it with the piece that holds the first wrong byte.
///
/// ```text
///                    first byte    second byte    missing then
///                    c2..df        80..bf         0
///                    e0            a0..bf         1     below: a longer form than needed
///                    e1..ec, ee+ef 80..bf         1
///                    ed            80..9f         1     above: surrogates
///                    f0            90..bf         2     below: a longer form than needed
///                    f1..f3        80..bf         2
///                    f4            80..8f         2     above: beyond U+10FFFF
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Utf8 {
    /// Bytes that the last character still lacks: at most 3.
    missing: u8,
    /// What the next byte may be, while one is missing.
    lowest: u8,
    highest: u8,
}

/// A byte was not UTF-8.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NotUtf8;

impl Utf8 {
    pub(super) fn new() -> Self {
        Self { missing: 0, lowest: 0x80, highest: 0xbf }
    }

    /// Whether the text may end here.
    pub(super) fn is_complete(&self) -> bool {
        self.missing == 0
    }

    /// Takes the next piece.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), NotUtf8> {
        let rest = self.push_bytes_while_missing(piece)?;
        let Err(error) = simdutf8::compat::from_utf8(rest) else { return Ok(()) };
        // Either a byte is wrong, or the piece ends within a character that so far is right: three bytes tell which.
        for &byte in &rest[error.valid_up_to()..] {
            self.push_byte(byte)?;
        }
        debug_assert!(!self.is_complete(), "simdutf8 refused what is valid");
        Ok(())
    }

    fn push_bytes_while_missing<'a>(&mut self, mut piece: &'a [u8]) -> Result<&'a [u8], NotUtf8> {
        while !self.is_complete()
            && let [byte, rest @ ..] = piece
        {
            self.push_byte(*byte)?;
            piece = rest;
        }
        Ok(piece)
    }

    // RFC 3629 4: the table above
    fn push_byte(&mut self, byte: u8) -> Result<(), NotUtf8> {
        if self.missing > 0 {
            if byte < self.lowest || byte > self.highest {
                return Err(NotUtf8);
            }
            *self = Self { missing: self.missing - 1, ..Self::new() };
            return Ok(());
        }
        let (missing, lowest, highest) = match byte {
            0x00..=0x7f => (0, 0x80, 0xbf),
            0xc2..=0xdf => (1, 0x80, 0xbf),
            0xe0 => (2, 0xa0, 0xbf),
            0xe1..=0xec | 0xee | 0xef => (2, 0x80, 0xbf),
            0xed => (2, 0x80, 0x9f),
            0xf0 => (3, 0x90, 0xbf),
            0xf1..=0xf3 => (3, 0x80, 0xbf),
            0xf4 => (3, 0x80, 0x8f),
            0x80..=0xc1 | 0xf5..=0xff => return Err(NotUtf8),
        };
        *self = Self { missing, lowest, highest };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bytes can be taken one by one, or all of them in one piece.
    fn taken_bytewise(text: &[u8]) -> usize {
        let mut utf8 = Utf8::new();
        text.iter().take_while(|&&byte| utf8.push(&[byte]).is_ok()).count()
    }

    // RFC 3629 4 by the other implementation at hand: every sequence of up to three bytes, and the interesting of four
    #[test]
    fn every_short_sequence_is_refused_at_the_byte_where_the_standard_library_refuses_it() {
        let interesting = [0x00, 0x7f, 0x80, 0x8f, 0x90, 0x9f, 0xa0, 0xbf, 0xc0, 0xff];
        for first in 0..=255u8 {
            for second in 0..=255u8 {
                for third in interesting {
                    for fourth in interesting {
                        let text = [first, second, third, fourth];
                        // The first byte that completes something invalid: the end of the shortest prefix that
                        // the standard library calls wrong and not merely unfinished.
                        let refused_at = (1..=4).find(|&length| {
                            std::str::from_utf8(&text[..length])
                                .is_err_and(|error| error.error_len().is_some())
                        });
                        let expected = refused_at.map_or(4, |length| length - 1);
                        assert_eq!(taken_bytewise(&text), expected, "{text:02x?}");
                    }
                }
            }
        }
    }

    // RFC 6455 8.1, with the samples of RFC 3629 and of the Autobahn suite
    #[test]
    fn text_is_the_same_at_every_pair_of_splits() {
        let text = "aß水🍉κόσμε\u{10ffff}\u{d7ff}\u{e000}".repeat(3).into_bytes();
        for first in 0..=text.len() {
            for second in first..=text.len() {
                let mut utf8 = Utf8::new();
                for piece in [&text[..first], &text[first..second], &text[second..]] {
                    assert_eq!(utf8.push(piece), Ok(()));
                }
                assert!(utf8.is_complete());
            }
        }
    }

    #[test]
    fn an_unfinished_character_is_no_error_but_no_end_either() {
        let mut utf8 = Utf8::new();
        assert_eq!(utf8.push("🍉".as_bytes()[..3].as_ref()), Ok(()));
        assert!(!utf8.is_complete());
        assert_eq!(utf8.push(b""), Ok(()));
        assert!(!utf8.is_complete());
    }

    #[test]
    fn surrogates_overlong_forms_and_numbers_beyond_the_last_are_refused_with_the_second_byte() {
        for wrong in [[0xed, 0xa0], [0xed, 0xbf], [0xe0, 0x9f], [0xf0, 0x8f], [0xf4, 0x90]] {
            assert_eq!(taken_bytewise(&wrong), 1, "{wrong:02x?}");
        }
        for wrong in [0x80, 0xbf, 0xc0, 0xc1, 0xf5, 0xff] {
            assert_eq!(taken_bytewise(&[wrong]), 0, "{wrong:02x}");
        }
    }
}
