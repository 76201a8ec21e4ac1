//! Header fields of a request or a response, in their order, as one block of text. Owns the block; what a field
//! means is read elsewhere.

use super::error::ApiError;
use crate::wire::{self, Field};

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
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Headers {
    // Names and values one behind the other, so that a request costs two allocations and not two a field.
    block: String,
    fields: Vec<Bounds>,
}

/// Name is `block[name..value]`, value is `block[value..end]`.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Bounds {
    name: u32,
    value: u32,
    end: u32,
}

impl Headers {
    /// No fields.
    pub fn new() -> Headers {
        Headers::default()
    }

    /// The fields of a parsed request head. Bytes over 127 in values are read as Latin-1, as RFC 9110 5.5 has it.
    pub(crate) fn from_head(head: &[u8], fields: &[Field]) -> Headers {
        let mut headers =
            Headers { block: String::with_capacity(head.len()), fields: Vec::with_capacity(fields.len()) };
        for field in fields {
            let name = headers.block.len() as u32;
            push_latin1(&mut headers.block, field.name.of(head));
            let value = headers.block.len() as u32;
            push_latin1(&mut headers.block, field.value.of(head));
            headers.fields.push(Bounds { name, value, end: headers.block.len() as u32 });
        }
        headers
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
        let start = self.block.len() as u32;
        self.block.push_str(name);
        let middle = self.block.len() as u32;
        self.block.push_str(value);
        self.fields.push(Bounds { name: start, value: middle, end: self.block.len() as u32 });
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
        fields
            .retain(|bounds| !block[bounds.name as usize..bounds.value as usize].eq_ignore_ascii_case(name));
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
        self.fields.iter().map(|bounds| {
            let (name, value, end) = (bounds.name as usize, bounds.value as usize, bounds.end as usize);
            (&self.block[name..value], &self.block[value..end])
        })
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

fn push_latin1(block: &mut String, bytes: &[u8]) {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => block.push_str(text),
        _ => block.extend(bytes.iter().map(|&byte| char::from(byte))),
    }
}

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
}
