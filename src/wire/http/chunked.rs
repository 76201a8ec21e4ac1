//! The chunked transfer coding (RFC 9112 7.1).
//!
//! Owns the state between two bytes of a chunked body. Strict, since a body that two servers end in different places
//! hides a request: no bare LF, no sign or prefix before a size, no space that is not part of an extension.

use super::body::BodyProgress;
use super::bytes::{is_control, is_space, is_token_byte};
use super::request_error::RequestError;

/// All chunk extensions of a body together, in bytes. Nobody uses them; without a limit, one byte of content could
/// cost any number of bytes of reading.
const EXTENSION_BYTES_MAX: u32 = 4 * 1024;

/// The trailer section of a body, in bytes. Its fields are dropped (RFC 9112 7.1.2 leaves that to the recipient).
const TRAILER_BYTES_MAX: u32 = 4 * 1024;

/// Hexadecimal digits of a chunk size: as many as a `u64` has, leading zeros included.
const SIZE_DIGITS_MAX: u8 = 16;

/// ```text
///                  +---------------------- hex ----+
///                  v                               |
///   SizeStart --> Size --;--> Extension --CR--> SizeEnd --LF--+--> Data --last byte--> DataCr --CR--> DataLf
///       ^          | SP                            ^          |                                         | LF
///       |          +--> Space --;--> Extension     |          |  size 0                                 |
///       |          +-------------- CR -------------+          v                                         |
///       |                         +----------> TrailerStart --CR--> End --LF--> Complete                |
///       |                         |                 | token                                             |
///       |                         +-LF- LineEnd     v                                                   |
///       |                                 ^--CR- TrailerValue <--:-- TrailerName                        |
///       +-----------------------------------------------------------------------------------------------+
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    SizeStart,
    Size,
    Space,
    Extension,
    SizeEnd,
    Data,
    DataCr,
    DataLf,
    TrailerStart,
    TrailerName,
    TrailerValue,
    LineEnd,
    End,
    Complete,
}

#[derive(Debug, Clone)]
pub(super) struct Chunked {
    place: Place,
    size_digits: u8,
    extension_bytes: u32,
    trailer_bytes: u32,
    /// While in the size line, the size so far; while in the content, what is missing of it.
    chunk_bytes: u64,
    /// How much the body may still grow. Invariant: `chunk_bytes <= allowance` while in the content.
    allowance: u64,
}

impl Chunked {
    pub(super) fn new(body_bytes_max: u64) -> Self {
        Self {
            place: Place::SizeStart,
            size_digits: 0,
            extension_bytes: 0,
            trailer_bytes: 0,
            chunk_bytes: 0,
            allowance: body_bytes_max,
        }
    }

    pub(super) fn decode(&mut self, input: &[u8], body: &mut Vec<u8>) -> Result<BodyProgress, RequestError> {
        let mut consumed = 0;
        while self.place != Place::Complete && consumed < input.len() {
            if self.place == Place::Data {
                consumed += self.take_content(&input[consumed..], body);
            } else {
                self.place = self.next(input[consumed])?;
                consumed += 1;
            }
        }
        Ok(BodyProgress { consumed, complete: self.place == Place::Complete })
    }

    fn take_content(&mut self, input: &[u8], body: &mut Vec<u8>) -> usize {
        let taken = input.len().min(usize::try_from(self.chunk_bytes).unwrap_or(usize::MAX));
        body.extend_from_slice(&input[..taken]);
        self.chunk_bytes -= taken as u64;
        self.allowance -= taken as u64;
        if self.chunk_bytes == 0 {
            self.place = Place::DataCr;
        }
        taken
    }

    /// Where `byte` leads to, outside of content.
    fn next(&mut self, byte: u8) -> Result<Place, RequestError> {
        match (self.place, byte) {
            (Place::SizeStart | Place::Size, _) if byte.is_ascii_hexdigit() => self.size_digit(byte),
            (Place::Size, b'\r') | (Place::Extension, b'\r') => Ok(Place::SizeEnd),
            (Place::Size | Place::Space, b';') => self.extension_byte(Place::Extension),
            // RFC 9112 7.1.1: whitespace before an extension is bad, but to be parsed
            (Place::Size | Place::Space, _) if is_space(byte) => self.extension_byte(Place::Space),
            (Place::Extension, _) if !is_control(byte) => self.extension_byte(Place::Extension),
            (Place::SizeEnd, b'\n') => self.size_line_end(),
            (Place::SizeStart | Place::Size | Place::Space | Place::Extension | Place::SizeEnd, _) => {
                Err(RequestError::ChunkSize)
            }
            (Place::DataCr, b'\r') => Ok(Place::DataLf),
            (Place::DataLf, b'\n') => Ok(Place::SizeStart),
            (Place::DataCr | Place::DataLf, _) => Err(RequestError::ChunkEnd),
            _ => self.next_in_trailer(byte),
        }
    }

    fn next_in_trailer(&mut self, byte: u8) -> Result<Place, RequestError> {
        self.trailer_bytes += 1;
        match (self.place, byte) {
            _ if self.trailer_bytes > TRAILER_BYTES_MAX => Err(RequestError::TrailerTooLarge),
            (Place::TrailerStart, b'\r') => Ok(Place::End),
            (Place::End, b'\n') => Ok(Place::Complete),
            (Place::TrailerName, b':') => Ok(Place::TrailerValue),
            (Place::TrailerStart | Place::TrailerName, _) if is_token_byte(byte) => Ok(Place::TrailerName),
            (Place::TrailerValue, b'\r') => Ok(Place::LineEnd),
            (Place::TrailerValue, _) if !is_control(byte) => Ok(Place::TrailerValue),
            (Place::LineEnd, b'\n') => Ok(Place::TrailerStart),
            _ => Err(RequestError::Trailer),
        }
    }

    fn size_digit(&mut self, byte: u8) -> Result<Place, RequestError> {
        // RFC 9112 7.1: recipients MUST anticipate large sizes and prevent overflow
        if self.size_digits == SIZE_DIGITS_MAX {
            return Err(RequestError::ChunkSize);
        }
        let digit = match byte {
            b'0'..=b'9' => byte - b'0',
            _ => (byte | 0x20) - b'a' + 10,
        };
        self.size_digits += 1;
        self.chunk_bytes = self.chunk_bytes << 4 | u64::from(digit);
        // Leading digits only make it larger: the limit is passed as soon as they do.
        if self.chunk_bytes > self.allowance {
            return Err(RequestError::BodyTooLarge);
        }
        Ok(Place::Size)
    }

    fn extension_byte(&mut self, next: Place) -> Result<Place, RequestError> {
        self.extension_bytes += 1;
        if self.extension_bytes > EXTENSION_BYTES_MAX {
            return Err(RequestError::ChunkExtensionsTooLarge);
        }
        Ok(next)
    }

    fn size_line_end(&mut self) -> Result<Place, RequestError> {
        debug_assert!(self.chunk_bytes <= self.allowance);
        self.size_digits = 0;
        Ok(if self.chunk_bytes == 0 { Place::TrailerStart } else { Place::Data })
    }
}
