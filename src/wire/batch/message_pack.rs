//! MessagePack as far as an envelope needs it: where a value ends. Owns the sizes of the format's heads; what a value
//! is, is `rmp-serde`'s to say, which cannot pass over one without reading it.

/// The number of elements of the array that begins here, and the size of its head in bytes.
pub(super) fn array_head(bytes: &[u8]) -> Option<(usize, usize)> {
    match bytes.first()? {
        head @ 0x90..=0x9f => Some((usize::from(head & 0x0f), 1)),
        0xdc => Some((length(bytes, 2)?, 3)),
        0xdd => Some((length(bytes, 4)?, 5)),
        _ => None,
    }
}

/// Where the value that begins here ends; `None` when it does not end here, or is none.
///
/// Nothing is taken for an announced length, nor for depth: what remains is counted, and each value takes a byte.
pub(super) fn end_of_value(bytes: &[u8]) -> Option<usize> {
    let mut at = 0;
    let mut values = 1_u64;
    while values > 0 {
        let (size, children) = value_head(bytes.get(at..)?)?;
        at = at.checked_add(size).filter(|at| *at <= bytes.len())?;
        values = values - 1 + children;
        if values > (bytes.len() - at) as u64 {
            return None;
        }
    }
    Some(at)
}

/// The bytes of a value without those of its children, and how many children follow.
fn value_head(bytes: &[u8]) -> Option<(usize, u64)> {
    let head = *bytes.first()?;
    // A head, a length of `width` bytes, perhaps the type of an extension, and so many bytes.
    let sized = |width, kind| Some((1 + width + kind + length(bytes, width)?, 0));
    let parent = |width, each| Some((1 + width, length(bytes, width)? as u64 * each));
    match head {
        0x00..=0x7f | 0xe0..=0xff | 0xc0 | 0xc2 | 0xc3 => Some((1, 0)),
        0x80..=0x8f => Some((1, u64::from(head & 0x0f) * 2)),
        0x90..=0x9f => Some((1, u64::from(head & 0x0f))),
        0xa0..=0xbf => Some((1 + usize::from(head & 0x1f), 0)),
        // The one byte that begins nothing.
        0xc1 => None,
        0xc4 | 0xd9 => sized(1, 0),
        0xc5 | 0xda => sized(2, 0),
        0xc6 | 0xdb => sized(4, 0),
        0xc7 => sized(1, 1),
        0xc8 => sized(2, 1),
        0xc9 => sized(4, 1),
        0xcc | 0xd0 => Some((2, 0)),
        0xcd | 0xd1 | 0xd4 => Some((3, 0)),
        0xd5 => Some((4, 0)),
        0xca | 0xce | 0xd2 => Some((5, 0)),
        0xd6 => Some((6, 0)),
        0xcb | 0xcf | 0xd3 => Some((9, 0)),
        0xd7 => Some((10, 0)),
        0xd8 => Some((18, 0)),
        0xdc => parent(2, 1),
        0xdd => parent(4, 1),
        0xde => parent(2, 2),
        0xdf => parent(4, 2),
    }
}

/// The number in the `width` bytes behind the head.
fn length(bytes: &[u8], width: usize) -> Option<usize> {
    let bytes = bytes.get(1..1 + width)?;
    Some(bytes.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_head_has_the_size_that_the_format_gives_it() {
        let whole: &[(&[u8], usize)] = &[
            (&[0x7f], 1),
            (&[0xe0], 1),
            (&[0xc0], 1),
            (&[0xc3], 1),
            (&[0xca, 0, 0, 0, 0], 5),
            (&[0xcb, 0, 0, 0, 0, 0, 0, 0, 0], 9),
            (&[0xcc, 255], 2),
            (&[0xd1, 255, 0], 3),
            (&[0xd2, 0, 0, 0, 0], 5),
            (&[0xd3, 0, 0, 0, 0, 0, 0, 0, 0], 9),
            (&[0xa2, b'h', b'i'], 3),
            (&[0xd9, 1, b'h'], 3),
            (&[0xda, 0, 1, b'h'], 4),
            (&[0xdb, 0, 0, 0, 1, b'h'], 6),
            (&[0xc4, 2, 0, 0], 4),
            (&[0xc5, 0, 1, 0], 4),
            (&[0xc6, 0, 0, 0, 0], 5),
            (&[0xc7, 1, 9, 0], 4),
            (&[0xc8, 0, 1, 9, 0], 5),
            (&[0xc9, 0, 0, 0, 1, 9, 0], 7),
            (&[0xd4, 9, 0], 3),
            (&[0xd5, 9, 0, 0], 4),
            (&[0xd6, 9, 0, 0, 0, 0], 6),
            (&[0xd7, 9, 0, 0, 0, 0, 0, 0, 0, 0], 10),
            (&[0xd8, 9, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], 18),
            (&[0x92, 1, 0x91, 0xc0], 4),
            (&[0x81, 0xa1, b'k', 0x90], 4),
            (&[0xdc, 0, 1, 5], 4),
            (&[0xdd, 0, 0, 0, 1, 5], 6),
            (&[0xde, 0, 1, 5, 6], 5),
            (&[0xdf, 0, 0, 0, 1, 5, 6], 7),
        ];
        for (bytes, size) in whole {
            assert_eq!(end_of_value(bytes), Some(*size), "{bytes:x?}");
            assert_eq!(end_of_value(&[bytes, &[0xc1][..]].concat()), Some(*size), "{bytes:x?}");
            for cut in 0..*size {
                assert_eq!(end_of_value(&bytes[..cut]), None, "{bytes:x?} cut at {cut}");
            }
        }
        assert_eq!(end_of_value(&[0xc1]), None);
    }

    /// RELIABILITY: an announced length is believed only as far as bytes have come.
    #[test]
    fn what_announces_more_than_there_is_has_no_end() {
        assert_eq!(end_of_value(&[0xdf, 255, 255, 255, 255, 0, 0]), None);
        assert_eq!(end_of_value(&[0xdd, 255, 255, 255, 255].repeat(100)), None);
        assert_eq!(end_of_value(&[0xc9, 255, 255, 255, 255, 0]), None);
    }

    #[test]
    fn depth_costs_nothing() {
        let mut deep = vec![0x91; 1 << 20];
        assert_eq!(end_of_value(&deep), None);
        deep.push(0xc0);
        assert_eq!(end_of_value(&deep), Some(deep.len()));
    }
}
