//! Bodies: whole and in pieces, and the chunked ones that hide something.

use super::*;

const CHUNKED: &[u8] =
    b"5\r\nhello\r\n00A ;name=\"a value\";x\r\n, chunked!\r\n0\r\nExpires: never\r\nX:\r\n\r\n";
const CONTENT: &[u8] = b"hello, chunked!";

fn decode(input: &[u8], body_bytes_max: usize) -> Result<(BodyProgress, Vec<u8>), RequestError> {
    let mut body = Vec::new();
    let progress = BodyDecoder::new(BodyLength::Chunked, body_bytes_max)?.decode(input, &mut body)?;
    Ok((progress, body))
}

/// Feeds `input` byte by byte; the error, if one comes, and the bytes it took.
fn refused_at(input: &[u8]) -> Option<(RequestError, usize)> {
    let mut decoder = BodyDecoder::new(BodyLength::Chunked, 1 << 20).unwrap();
    let mut body = Vec::new();
    (0..input.len()).find_map(|at| Some((decoder.decode(&input[at..=at], &mut body).err()?, at + 1)))
}

#[test]
fn no_body_is_complete_at_once_and_takes_nothing() {
    let mut body = Vec::new();
    let progress = BodyDecoder::new(BodyLength::None, 0).unwrap().decode(b"GET", &mut body).unwrap();
    assert_eq!(progress, BodyProgress { consumed: 0, complete: true });
}

#[test]
fn a_sized_body_takes_its_bytes_and_leaves_the_next_request() {
    for split in 0..=5 {
        let mut decoder = BodyDecoder::new(BodyLength::Sized(5), 5).unwrap();
        let mut body = Vec::new();
        let first = decoder.decode(&b"helloGET"[..split], &mut body).unwrap();
        assert_eq!(first, BodyProgress { consumed: split, complete: split == 5 });
        let second = decoder.decode(&b"helloGET"[split..], &mut body).unwrap();
        assert_eq!(second, BodyProgress { consumed: 5 - split, complete: true });
        assert_eq!(body, b"hello");
    }
}

// RFC 9110 15.5.14
#[test]
fn a_body_announced_too_large_is_413_before_any_of_it_arrives() {
    for length in [6, u64::MAX] {
        let error = BodyDecoder::new(BodyLength::Sized(length), 5).unwrap_err();
        assert_eq!((error, error.status()), (RequestError::BodyTooLarge, 413));
    }
}

// RFC 9112 7.1, with an extension (7.1.1), leading zeros, and trailers (7.1.2)
#[test]
fn a_chunked_body_is_the_same_at_every_pair_of_splits() {
    let input = [CHUNKED, b"GET / HTTP/1.1"].concat();
    for first in 0..=input.len() {
        for second in first..=input.len() {
            let mut decoder = BodyDecoder::new(BodyLength::Chunked, CONTENT.len()).unwrap();
            let mut body = Vec::new();
            let mut consumed = 0;
            for piece in [&input[..first], &input[first..second], &input[second..]] {
                let progress = decoder.decode(piece, &mut body).unwrap();
                consumed += progress.consumed;
                assert_eq!(progress.complete, consumed == CHUNKED.len());
            }
            assert_eq!((consumed, &body[..]), (CHUNKED.len(), CONTENT), "split at {first} and {second}");
        }
    }
}

// RFC 9112 7.1: each sample is refused with its last byte
#[test]
fn a_chunk_that_two_servers_could_read_differently_is_refused_where_it_goes_wrong() {
    use RequestError::*;
    for (sample, error) in [
        (&b"\r"[..], ChunkSize),
        (b"-", ChunkSize),
        (b"+", ChunkSize),
        (b" ", ChunkSize),
        (b"0x", ChunkSize),
        (b"5\n", ChunkSize),
        (b"5\rh", ChunkSize),
        (b"5 \r", ChunkSize),
        (b"5 5", ChunkSize),
        (b"5;a\n", ChunkSize),
        (b"5;a\0", ChunkSize),
        (b"00000000000000000", ChunkSize),
        (b"5\r\nhelloo", ChunkEnd),
        (b"5\r\nhello\n", ChunkEnd),
        (b"5\r\nhello\r\r", ChunkEnd),
        (b"0\r\n\n", Trailer),
        (b"0\r\n ", Trailer),
        (b"0\r\n:", Trailer),
        (b"0\r\nname ", Trailer),
        (b"0\r\na:b\n", Trailer),
        (b"0\r\na:b\rc", Trailer),
        (b"0\r\na:\0", Trailer),
        (b"0\r\n\rx", Trailer),
    ] {
        assert_eq!(refused_at(sample), Some((error, sample.len())), "{:?}", String::from_utf8_lossy(sample));
        assert_eq!(error.status(), 400);
    }
}

// RFC 9112 7.1: recipients MUST anticipate large sizes; RELIABILITY.md: the limit holds for what is announced
#[test]
fn chunks_beyond_the_limit_are_413_at_their_size_line() {
    assert!(decode(b"3\r\nabc\r\n2\r\n", 5).is_ok());
    assert_eq!(decode(b"3\r\nabc\r\n3", 5).unwrap_err(), RequestError::BodyTooLarge);
    assert_eq!(decode(b"ffffffffffffffff", usize::MAX - 1).unwrap_err(), RequestError::BodyTooLarge);
}

#[test]
fn memory_follows_what_arrives_and_not_what_is_announced() {
    let (_, body) = decode(b"fffffff\r\nab", usize::MAX).unwrap();
    assert_eq!(body, b"ab");
    assert!(body.capacity() < 64);
}

// RFC 9112 7.1.1: a server ought to limit the total length of chunk extensions
#[test]
fn extensions_and_trailers_have_an_end() {
    let extensions = [b"1;", &[b'x'; 5_000][..]].concat();
    assert_eq!(decode(&extensions, 10).unwrap_err(), RequestError::ChunkExtensionsTooLarge);
    let many = b"1;a\r\nx\r\n".repeat(5_000);
    assert_eq!(decode(&many, 10_000).unwrap_err(), RequestError::ChunkExtensionsTooLarge);
    let trailers = [b"0\r\n", &b"a: b\r\n".repeat(1_000)[..]].concat();
    let error = decode(&trailers, 10).unwrap_err();
    assert_eq!((error, error.status()), (RequestError::TrailerTooLarge, 431));
}
