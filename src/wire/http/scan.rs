//! Is the request head complete, and is it worth waiting for the rest?
//!
//! Owns the search for the end of a head in bytes that arrive in pieces. It looks at each byte once, whatever the
//! pieces, refuses at once what no further byte can mend, and keeps a position and a state, never bytes.

use std::ops::RangeInclusive;

use super::bytes::{find_control, is_space, is_target_byte, is_token_byte};
use super::head::HeadLimits;
use super::request_error::RequestError;

/// No registered method is longer than 17 bytes (UPDATEREDIRECTREF).
const METHOD_BYTES_MAX: usize = 32;

/// `HTTP/1.1`
const VERSION_BYTES: usize = 8;

/// Finds the end of a request head in bytes that arrive in pieces.
///
/// ```text
///           CR            LF
///   Start -----> EmptyLine ---+                      RFC 9112 2.2: one empty line before the request is forgiven
///     |                       v
///     +-------------------> Method --SP--> Target --SP--> Version --CR--> RequestLineEnd
///                                                                               | LF
///                                          LF                                   v
///                           done <-- HeadEnd <----------- CR --------------- LineStart <--+
///                                                                               | other   | LF
///                                                                               v         |
///                                                                             Line --CR--> LineEnd
/// ```
///
/// Every byte without an arrow is refused where it stands.
///
/// ```
/// use dormouse::wire::{HeadLimits, HeadScanner};
///
/// let mut scanner = HeadScanner::default();
/// let limits = HeadLimits::default();
/// assert_eq!(scanner.scan(b"GET / HTTP/1.1\r\nHost: a\r\n", &limits), Ok(None));
/// assert_eq!(scanner.scan(b"GET / HTTP/1.1\r\nHost: a\r\n\r\nmore", &limits), Ok(Some(27)));
/// ```
#[derive(Debug, Clone, Default)]
pub struct HeadScanner {
    /// Everything before it has been looked at.
    position: u32,
    /// Where the current part of the request line began.
    part_start: u32,
    header_lines: u16,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Place {
    #[default]
    Start,
    EmptyLine,
    Method,
    Target,
    Version,
    RequestLineEnd,
    LineStart,
    Line,
    LineEnd,
    HeadEnd,
}

/// What a part of the request line may be.
struct Part {
    lengths: RangeInclusive<usize>,
    too_long: RequestError,
    end: u8,
}

impl HeadScanner {
    /// Looks at what arrived since the last call. `received` is everything received of this request so far, so that it
    /// begins with the bytes of the last call. The answer is the length of the head including the empty line at its
    /// end, or `None` while that line is missing.
    ///
    /// After an answer or an error the scanner has done its work; the next request needs a new one.
    ///
    /// # Errors
    ///
    /// The first byte that no continuation could make right: a bare CR or LF, NUL or another control character, a line
    /// that begins with whitespace, bytes that are not HTTP at all, and whatever exceeds `limits`.
    pub fn scan(&mut self, received: &[u8], limits: &HeadLimits) -> Result<Option<usize>, RequestError> {
        let bytes_max = limits.effective_head_bytes_max();
        let window = &received[..received.len().min(bytes_max)];
        while let rest @ [byte, ..] = &window[self.position as usize..] {
            match self.place {
                Place::Start if *byte == b'\r' => self.enter(Place::EmptyLine),
                Place::Start | Place::Method => self.method(rest)?,
                Place::EmptyLine => self.line_feed(*byte, Place::Method)?,
                Place::Target => self.target(rest, limits)?,
                Place::Version => self.version(rest)?,
                Place::RequestLineEnd | Place::LineEnd => self.line_feed(*byte, Place::LineStart)?,
                Place::LineStart => self.line_start(rest, limits)?,
                Place::Line => self.line(rest)?,
                Place::HeadEnd => {
                    self.line_feed(*byte, Place::HeadEnd)?;
                    return Ok(Some(self.position as usize));
                }
            }
            debug_assert!(self.position as usize <= window.len());
        }
        match self.place {
            _ if window.len() < bytes_max => Ok(None),
            // RFC 9112 3: 414 for a target that is longer than any the server wishes to parse
            Place::Target => Err(RequestError::TargetTooLong),
            _ => Err(RequestError::HeadTooLarge),
        }
    }

    /// Takes the current byte and goes on to `place`.
    fn enter(&mut self, place: Place) {
        self.position += 1;
        self.part_start = self.position;
        self.place = place;
    }

    // RFC 9112 2.2: a CR that is not followed by LF is invalid
    fn line_feed(&mut self, byte: u8, next: Place) -> Result<(), RequestError> {
        if byte != b'\n' {
            return Err(RequestError::BareCarriageReturn);
        }
        self.enter(next);
        Ok(())
    }

    fn method(&mut self, rest: &[u8]) -> Result<(), RequestError> {
        self.place = Place::Method;
        // RFC 9110 9.1: method = token. The first byte of a TLS ClientHello already is none.
        // RFC 9112 3: 501 for a method that is longer than any implemented
        let method = Part { lengths: 1..=METHOD_BYTES_MAX, too_long: RequestError::MethodTooLong, end: b' ' };
        self.part(rest, method, is_token_byte, Place::Target)
    }

    fn target(&mut self, rest: &[u8], limits: &HeadLimits) -> Result<(), RequestError> {
        let lengths = 1..=limits.target_bytes_max;
        let target = Part { lengths, too_long: RequestError::TargetTooLong, end: b' ' };
        self.part(rest, target, is_target_byte, Place::Version)
    }

    fn version(&mut self, rest: &[u8]) -> Result<(), RequestError> {
        let lengths = VERSION_BYTES..=VERSION_BYTES;
        let version = Part { lengths, too_long: RequestError::RequestLine, end: b'\r' };
        self.part(rest, version, |byte| byte.is_ascii_graphic(), Place::RequestLineEnd)
    }

    /// Takes the bytes that belong to a part of the request line as far as they have arrived, and its end too when that
    /// is there.
    fn part(
        &mut self,
        rest: &[u8],
        part: Part,
        belongs: impl Fn(u8) -> bool,
        next: Place,
    ) -> Result<(), RequestError> {
        let taken = rest.iter().position(|&byte| !belongs(byte)).unwrap_or(rest.len());
        self.position += taken as u32;
        let length = (self.position - self.part_start) as usize;
        match rest.get(taken) {
            _ if length > *part.lengths.end() => return Err(part.too_long),
            None => {}
            Some(&byte) if byte == part.end && part.lengths.contains(&length) => self.enter(next),
            Some(b'\n') => return Err(RequestError::BareLineFeed),
            Some(_) => return Err(RequestError::RequestLine),
        }
        Ok(())
    }

    fn line_start(&mut self, rest: &[u8], limits: &HeadLimits) -> Result<(), RequestError> {
        match rest {
            [b'\r', ..] => {
                self.enter(Place::HeadEnd);
                Ok(())
            }
            // RFC 9112 5.2: 400 for a folded line; 2.2: the same for whitespace before the first field
            [byte, ..] if is_space(*byte) => Err(RequestError::FoldedLine),
            _ if usize::from(self.header_lines) == limits.effective_headers_max() => {
                Err(RequestError::TooManyHeaders)
            }
            _ => {
                self.header_lines += 1;
                self.place = Place::Line;
                self.line(rest)
            }
        }
    }

    /// Takes the rest of the line as far as it has arrived, and its end too when that is there: one turn of the loop
    /// for a line.
    fn line(&mut self, rest: &[u8]) -> Result<(), RequestError> {
        let line_len = find_control(rest);
        self.position += line_len as u32;
        match &rest[line_len..] {
            [b'\r', b'\n', ..] => {
                self.position += 2;
                self.place = Place::LineStart;
            }
            [b'\r', ..] => self.enter(Place::LineEnd),
            control @ [_, ..] => return Err(RequestError::of_control(control)),
            [] => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
