//! Header fields of a request or a response, in their order, as one block of text. Owns the block; what a field
//! means is read elsewhere.

use super::error::ApiError;
use crate::wire::{self, Field, Span};

/// Header fields (RFC 9110 5; Fetch API: `Headers`): names compare without regard to case, order and
/// repetition are kept.
///
/// ```
/// let mut headers = dormouse::Headers::new();
/// headers.append("Content-Type", "text/plain")?;
/// assert_eq!(headers.get("content-type"), Some("text/plain"));
/// assert!(headers.append("X-Bad", "a\r\nb").is_err());
/// assert_eq!((headers.len(), headers.is_empty()), (1, false));
/// # Ok::<(), dormouse::ApiError>(())
/// ```
#[derive(Clone, Default)]
pub struct Headers {
    // A head as it was received, or names and values one behind the other: no allocation for each field.
    block: String,
    fields: Vec<Bounds>,
}

/// Where in the block a field stands. No field of a head that is let in comes near `u32::MAX`.
#[derive(Clone, Copy)]
struct Bounds {
    name: (u32, u32),
    value: (u32, u32),
}

impl Headers {
    /// No fields.
    pub fn new() -> Headers {
        Headers::default()
    }

    /// The fields of a parsed request head. Bytes over 127 in values are read as Latin-1, as RFC 9110 5.5 has it.
    pub(crate) fn from_head(head: Vec<u8>, fields: &[Field]) -> Headers {
        let head = match String::from_utf8(head) {
            Ok(text) if text.is_ascii() => {
                let bounds = |span: Span| (span.start.into(), span.end.into());
                let fields = fields
                    .iter()
                    .map(|field| Bounds { name: bounds(field.name), value: bounds(field.value) });
                return Headers { block: text, fields: fields.collect() };
            }
            Ok(text) => text.into_bytes(),
            Err(error) => error.into_bytes(),
        };
        let mut headers = Headers { block: String::new(), fields: Vec::with_capacity(fields.len()) };
        for field in fields {
            let [name, value] = [field.name, field.value]
                .map(|span| headers.push(span.of(&head).iter().map(|&byte| char::from(byte))));
            headers.fields.push(Bounds { name, value });
        }
        headers
    }

    /// Puts text at the end of the block.
    fn push(&mut self, text: impl Iterator<Item = char>) -> (u32, u32) {
        let start = self.block.len() as u32;
        self.block.extend(text);
        (start, self.block.len() as u32)
    }

    /// Adds a field behind those of the same name.
    ///
    /// # Errors
    /// [`ApiError::InvalidHeader`] when the name is no token or the value holds CR, LF, NUL or another control
    /// character (RFC 9110 5.1, 5.5).
    ///
    /// ```
    /// let mut headers = dormouse::Headers::new();
    /// headers.append("Set-Cookie", "a=b")?;
    /// headers.append("Set-Cookie", "c=d")?;
    /// assert_eq!(headers.len(), 2);
    /// assert!(headers.append("Set Cookie", "a=b").is_err());
    /// # Ok::<(), dormouse::ApiError>(())
    /// ```
    pub fn append(&mut self, name: &str, value: &str) -> Result<(), ApiError> {
        wire::check_field(name, value)
            .map_err(|error| ApiError::InvalidHeader { message: error.to_string() })?;
        let name = self.push(name.chars());
        let value = self.push(value.chars());
        self.fields.push(Bounds { name, value });
        Ok(())
    }

    /// Replaces all fields of this name by one.
    ///
    /// # Errors
    /// As [`Headers::append`].
    ///
    /// ```
    /// let mut headers = dormouse::Headers::new();
    /// headers.append("Cache-Control", "public")?;
    /// headers.set("cache-control", "no-store")?;
    /// assert_eq!(headers.iter().collect::<Vec<_>>(), [("cache-control", "no-store")]);
    /// # Ok::<(), dormouse::ApiError>(())
    /// ```
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), ApiError> {
        wire::check_field(name, value)
            .map_err(|error| ApiError::InvalidHeader { message: error.to_string() })?;
        let Headers { block, fields } = self;
        fields.retain(|bounds| !part(block, bounds.name).eq_ignore_ascii_case(name));
        self.append(name, value)
    }

    /// The value of the first field of this name.
    ///
    /// ```
    /// # let request = dormouse::Request::new("GET", "/", "");
    /// let language = request.headers().get("Accept-Language").unwrap_or("en");
    /// # assert_eq!(language, "en");
    /// ```
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// The values of all fields of this name, in order.
    ///
    /// ```
    /// # let mut headers = dormouse::Headers::new();
    /// headers.append("Cookie", "a=b")?;
    /// headers.append("cookie", "c=d")?;
    /// assert_eq!(headers.get_all("COOKIE").collect::<Vec<_>>(), ["a=b", "c=d"]);
    /// # Ok::<(), dormouse::ApiError>(())
    /// ```
    pub fn get_all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.iter().filter(move |(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value)
    }

    /// All fields, in order.
    ///
    /// ```
    /// # let request = dormouse::Request::new("GET", "/", "");
    /// for (name, value) in request.headers().iter() {
    ///     println!("{name}: {value}");
    /// }
    /// ```
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.fields.iter().map(|bounds| (part(&self.block, bounds.name), part(&self.block, bounds.value)))
    }

    /// Number of fields.
    pub fn len(&self) -> usize {
        self.fields.len()
    }

    /// Whether there is no field.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }
}

impl std::fmt::Debug for Headers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

fn part(block: &str, (start, end): (u32, u32)) -> &str {
    &block[start as usize..end as usize]
}

impl PartialEq for Headers {
    fn eq(&self, other: &Headers) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for Headers {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_keep_order_and_repetition() {
        let mut headers = Headers::new();
        headers.append("A", "1").unwrap();
        headers.append("b", "2").unwrap();
        headers.append("a", "3").unwrap();
        assert_eq!(headers.get_all("A").collect::<Vec<_>>(), ["1", "3"]);
        headers.set("a", "4").unwrap();
        assert_eq!(headers.iter().collect::<Vec<_>>(), [("b", "2"), ("a", "4")]);
    }

    #[test]
    fn a_value_with_a_line_break_is_refused_and_nothing_changes() {
        let mut headers = Headers::new();
        headers.append("a", "1").unwrap();
        assert!(headers.set("a", "1\r\nSet-Cookie: x").is_err());
        assert_eq!(headers.get("a"), Some("1"));
    }

    #[test]
    fn a_head_is_read_as_latin_1_and_is_equal_to_the_same_fields_made_by_hand() {
        for (value, expected) in [
            (&b"caf\xe9"[..], "caf\u{e9}"),
            ("caf\u{e9}".as_bytes(), "caf\u{c3}\u{a9}"),
            (b"coffee", "coffee"),
        ] {
            let head = [b"GET /\xe4 HTTP/1.1\r\nHost: localhost\r\nDrink:  ", value, b"\t\r\n\r\n"].concat();
            for head in
                [head.clone(), head.iter().map(|byte| if *byte == 0xe4 { b'a' } else { *byte }).collect()]
            {
                let span = |part: &[u8]| {
                    let start = head.windows(part.len()).position(|window| window == part).unwrap() as u16;
                    Span { start, end: start + part.len() as u16 }
                };
                let fields = [
                    Field { name: span(b"Host"), value: span(b"localhost") },
                    Field { name: span(b"Drink"), value: span(value) },
                ];
                let headers = Headers::from_head(head.clone(), &fields);
                let mut by_hand = Headers::new();
                by_hand.append("Host", "localhost").unwrap();
                by_hand.append("Drink", expected).unwrap();
                assert_eq!(headers, by_hand);
                by_hand.set("drink", "tea").unwrap();
                assert_ne!(headers, by_hand);
            }
        }
    }
}
