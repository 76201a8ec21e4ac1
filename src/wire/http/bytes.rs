//! Which bytes may stand where in a request head, and the search for those that may not.
//!
//! Owns the character classes of RFC 9110 and RFC 9112; knows nothing of lines, fields or requests.

use std::ops::Range;

/// A set of bytes, as a table with one entry for each.
type ByteSet = [bool; 256];

const fn byte_set(members: &[u8]) -> ByteSet {
    let mut set = [false; 256];
    let mut index = 0;
    while index < members.len() {
        set[members[index] as usize] = true;
        index += 1;
    }
    set
}

const fn with_alphanumerics(mut set: ByteSet) -> ByteSet {
    let mut byte = 0u8;
    while byte < 128 {
        if byte.is_ascii_alphanumeric() {
            set[byte as usize] = true;
        }
        byte += 1;
    }
    set
}

// RFC 9110 5.6.2: tchar
static TOKEN: ByteSet = with_alphanumerics(byte_set(b"!#$%&'*+-.^_`|~"));

// RFC 3986 3.2.2 and 3.2.3: host and port, that is unreserved, pct-encoded, sub-delims, the brackets of an IP literal
// and the colon. User information ("@") has no place in a Host field.
static HOST: ByteSet = with_alphanumerics(byte_set(b"-._~%!$&'()*+,;=:[]"));

/// Whether `byte` may be part of a token: a method, a field name, an element of most lists.
#[inline]
pub(super) fn is_token_byte(byte: u8) -> bool {
    TOKEN[byte as usize]
}

/// How many bytes at the start of `bytes` may be part of a token. In blocks of eight, which the compiler unrolls: names
/// are a quarter of a head, and this is the only look at each of their bytes.
#[inline]
pub(super) fn token_len(bytes: &[u8]) -> usize {
    let (blocks, _) = bytes.as_chunks::<8>();
    for (index, block) in blocks.iter().enumerate() {
        if let Some(within) = block.iter().position(|&byte| !is_token_byte(byte)) {
            return index * 8 + within;
        }
    }
    let whole = blocks.len() * 8;
    whole + bytes[whole..].iter().take_while(|&&byte| is_token_byte(byte)).count()
}

/// Whether `byte` may be part of the value of a Host field.
#[inline]
pub(super) fn is_host_byte(byte: u8) -> bool {
    HOST[byte as usize]
}

/// Whether `byte` may be part of a request target.
///
/// RFC 3986 allows fewer characters, but browsers send some of the others bare (`|`, `{`, `"`), and none of them can be
/// mistaken for an end. A fragment is never sent (RFC 9112 3.2), and bytes above 0x7e have to be percent-encoded.
#[inline]
pub(super) fn is_target_byte(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e) && byte != b'#'
}

/// Whether `byte` is a control character other than the tab, which counts as a space.
#[inline]
pub(super) fn is_control(byte: u8) -> bool {
    (byte < b' ' && byte != b'\t') || byte == 0x7f
}

/// Whether `byte` is optional whitespace (RFC 9110 5.6.3).
#[inline]
pub(super) fn is_space(byte: u8) -> bool {
    byte == b' ' || byte == b'\t'
}

/// Where `value` is without the optional whitespace around it: nearly always without its first byte.
#[inline]
pub(super) fn trimmed(value: &[u8]) -> Range<usize> {
    let (mut start, mut end) = (0, value.len());
    while start < end && is_space(value[start]) {
        start += 1;
    }
    while start < end && is_space(value[end - 1]) {
        end -= 1;
    }
    start..end
}

/// The position of the first control character, or the length when there is none.
///
/// Lines of a head contain no control character but the CR at their end, so one search finds the end of the line and
/// proves the line clean. It looks at eight bytes at a time: three quarters of a head are field values.
#[inline]
pub(super) fn find_control(bytes: &[u8]) -> usize {
    let (words, tail) = bytes.as_chunks::<8>();
    for (index, word) in words.iter().enumerate() {
        let mut candidates = control_candidates(u64::from_le_bytes(*word));
        while candidates != 0 {
            let within = candidates.trailing_zeros() as usize / 8;
            if is_control(word[within]) {
                return index * 8 + within;
            }
            candidates &= candidates - 1;
        }
    }
    let tail_start = bytes.len() - tail.len();
    tail.iter().position(|&byte| is_control(byte)).map_or(bytes.len(), |within| tail_start + within)
}

/// The high bit of each byte of `word` that may be a control character. Tabs are among them, and so may be neighbours
/// of a true one, through the borrow; none is missing.
#[inline]
fn control_candidates(word: u64) -> u64 {
    const fn repeat(byte: u8) -> u64 {
        u64::from_le_bytes([byte; 8])
    }
    let below_space = word.wrapping_sub(repeat(b' ')) & !word;
    let not_delete = word ^ repeat(0x7f);
    let delete = not_delete.wrapping_sub(repeat(1)) & !not_delete;
    (below_space | delete) & repeat(0x80)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_search_agrees_with_the_byte_search_for_every_byte_at_every_place() {
        for byte in 0..=255u8 {
            for length in 0..40 {
                for place in 0..length {
                    let mut line = vec![b'a'; length];
                    line[place] = byte;
                    if place + 1 < length {
                        line[place + 1] = b'!'; // one above the space: the first victim of a borrow
                    }
                    let expected = line.iter().position(|&byte| is_control(byte)).unwrap_or(length);
                    assert_eq!(find_control(&line), expected, "byte {byte} at {place} of {length}");
                }
            }
        }
    }

    // RFC 9110 5.6.2: tchar has 77 members
    #[test]
    fn a_token_has_the_characters_of_the_grammar() {
        assert_eq!((0..=255).filter(|&byte| is_token_byte(byte)).count(), 77);
        for length in 0..30 {
            let token = "x".repeat(length);
            assert_eq!(token_len(token.as_bytes()), length);
            assert_eq!(token_len(format!("{token}: and more of the line").as_bytes()), length);
        }
        for byte in *b"()<>@,;:\\\"/[]?={} \t\r\n\0" {
            assert!(!is_token_byte(byte), "{byte}");
        }
    }

    #[test]
    fn trimming_takes_spaces_and_tabs_from_both_ends_only() {
        assert_eq!(trimmed(b" \ta b\t "), 2..5);
        assert!(trimmed(b" \t ").is_empty());
        assert!(trimmed(b"").is_empty());
    }
}
