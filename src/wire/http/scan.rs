//! Is the request head complete, and is it worth waiting for the rest?
//!
//! Owns the search for the end of a head in bytes that arrive in pieces. It looks at each byte once, whatever the
//! pieces, refuses at once what no further byte can mend, and keeps a position and a state, never bytes.

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
        while let Some(&byte) = window.get(self.position as usize) {
            match self.place {
                Place::Start if byte == b'\r' => self.enter(Place::EmptyLine),
                Place::Start | Place::Method => self.method(byte)?,
                Place::EmptyLine => self.line_feed(byte, Place::Method)?,
                Place::Target => self.target(byte, limits)?,
                Place::Version => self.version(byte)?,
                Place::RequestLineEnd | Place::LineEnd => self.line_feed(byte, Place::LineStart)?,
                Place::LineStart => self.line_start(byte, limits)?,
                Place::Line => self.line(window)?,
                Place::HeadEnd => {
                    self.line_feed(byte, Place::HeadEnd)?;
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

    fn part_len(&self) -> usize {
        (self.position - self.part_start) as usize
    }

    // RFC 9112 2.2: a CR that is not followed by LF is invalid
    fn line_feed(&mut self, byte: u8, next: Place) -> Result<(), RequestError> {
        if byte != b'\n' {
            return Err(RequestError::BareCarriageReturn);
        }
        self.enter(next);
        Ok(())
    }

    // RFC 9110 9.1: method = token. The first byte of a TLS ClientHello already is none.
    fn method(&mut self, byte: u8) -> Result<(), RequestError> {
        self.place = Place::Method;
        match byte {
            b' ' if self.part_len() > 0 => self.enter(Place::Target),
            // RFC 9112 3: 501 for a method that is longer than any implemented
            _ if self.part_len() == METHOD_BYTES_MAX => return Err(RequestError::MethodTooLong),
            _ if is_token_byte(byte) => self.position += 1,
            _ => return Err(not_a_request_line(byte)),
        }
        Ok(())
    }

    fn target(&mut self, byte: u8, limits: &HeadLimits) -> Result<(), RequestError> {
        match byte {
            b' ' if self.part_len() > 0 => self.enter(Place::Version),
            _ if self.part_len() == limits.target_bytes_max => return Err(RequestError::TargetTooLong),
            _ if is_target_byte(byte) => self.position += 1,
            _ => return Err(not_a_request_line(byte)),
        }
        Ok(())
    }

    fn version(&mut self, byte: u8) -> Result<(), RequestError> {
        match byte {
            b'\r' if self.part_len() == VERSION_BYTES => self.enter(Place::RequestLineEnd),
            0x21..=0x7e if self.part_len() < VERSION_BYTES => self.position += 1,
            _ => return Err(not_a_request_line(byte)),
        }
        Ok(())
    }

    fn line_start(&mut self, byte: u8, limits: &HeadLimits) -> Result<(), RequestError> {
        match byte {
            b'\r' => self.enter(Place::HeadEnd),
            // RFC 9112 5.2: 400 for a folded line; 2.2: the same for whitespace before the first field
            _ if is_space(byte) => return Err(RequestError::FoldedLine),
            _ if usize::from(self.header_lines) == limits.effective_headers_max() => {
                return Err(RequestError::TooManyHeaders);
            }
            _ => {
                self.header_lines += 1;
                self.place = Place::Line;
            }
        }
        Ok(())
    }

    /// Takes the rest of the line as far as it has arrived, and its end too when that is there: one turn of the loop
    /// for a line.
    fn line(&mut self, window: &[u8]) -> Result<(), RequestError> {
        let rest = &window[self.position as usize..];
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

fn not_a_request_line(byte: u8) -> RequestError {
    if byte == b'\n' { RequestError::BareLineFeed } else { RequestError::RequestLine }
}

#[cfg(test)]
mod tests;
