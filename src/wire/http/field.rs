//! Field lines: those that the application wants to send, and those that a peer has sent.
//!
//! Owns the grammar of a field name, of a field value, and of the comma-separated list.

use std::fmt;

use super::bytes::{is_control, is_token_byte, trimmed};
use super::head::Field;

/// A field that the application may not send.
///
/// ```
/// use dormouse::wire::{FieldError, check_field};
///
/// assert_eq!(check_field("X Room", "kitchen"), Err(FieldError::Name));
/// assert_eq!(FieldError::Name.to_string(), "RFC 9110 5.1: a field name is a token");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum FieldError {
    /// The name is empty or contains something that a token may not.
    Name,
    /// The value contains CR, LF, NUL or another control character.
    Value,
}

impl fmt::Display for FieldError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Name => "RFC 9110 5.1: a field name is a token",
            Self::Value => "RFC 9110 5.5: a field value contains no control characters",
        })
    }
}

impl std::error::Error for FieldError {}

/// Whether the application may send this field.
///
/// # Errors
///
/// A name that is no token, or a value with a control character, through which a response could be split in two.
///
/// ```
/// use dormouse::wire::{FieldError, check_field};
///
/// assert_eq!(check_field("X-Room", "kitchen, upstairs"), Ok(()));
/// assert_eq!(check_field("X-Room", "kitchen\r\nSet-Cookie: a=b"), Err(FieldError::Value));
/// ```
pub fn check_field(name: &str, value: &str) -> Result<(), FieldError> {
    // RFC 9110 5.1: field-name = token
    if name.is_empty() || !name.bytes().all(is_token_byte) {
        return Err(FieldError::Name);
    }
    // RFC 9110 5.5: CR, LF and NUL are dangerous, the other controls invalid
    if value.bytes().any(is_control) {
        return Err(FieldError::Value);
    }
    Ok(())
}

/// Whether a comma-separated list has `token` among its elements, in any case.
///
/// ```
/// use dormouse::wire::list_contains;
///
/// assert!(list_contains(b"keep-alive, Upgrade", "upgrade"));
/// assert!(!list_contains(b"upgrade-insecure-requests", "upgrade"));
/// ```
#[inline]
pub fn list_contains(value: &[u8], token: &str) -> bool {
    let token = token.as_bytes();
    // Nearly always the list has one element.
    value.eq_ignore_ascii_case(token)
        || value
            .split(|&byte| byte == b',')
            .any(|element| element[trimmed(element)].eq_ignore_ascii_case(token))
}

/// The values of all fields called `name`, in any case, in their order.
///
/// ```
/// use dormouse::wire::{HeadLimits, fields_named, parse_head};
///
/// let head = b"GET / HTTP/1.1\r\nHost: a\r\nCookie: b=c\r\n\r\n";
/// let mut fields = Vec::new();
/// parse_head(head, &HeadLimits::default(), &mut fields)?;
/// assert_eq!(fields_named(head, &fields, "cookie").next(), Some(&b"b=c"[..]));
/// # Ok::<(), dormouse::wire::RequestError>(())
/// ```
pub fn fields_named<'a>(
    head: &'a [u8],
    fields: &'a [Field],
    name: &'a str,
) -> impl Iterator<Item = &'a [u8]> + 'a {
    fields
        .iter()
        .filter(move |field| field.name.of(head).eq_ignore_ascii_case(name.as_bytes()))
        .map(move |field| field.value.of(head))
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 9110 5.1
    #[test]
    fn a_name_is_a_token() {
        for name in ["", "X Room", "X-Room:", "X\r\n", "Größe", "a\0", "(a)"] {
            assert_eq!(check_field(name, "x"), Err(FieldError::Name), "{name:?}");
        }
        assert_eq!(check_field("!#$%&'*+-.^_`|~09azAZ", ""), Ok(()));
    }

    // RFC 9110 5.5
    #[test]
    fn a_value_splits_no_response() {
        for value in ["a\rb", "a\nb", "a\0b", "\x7f", "\x1b[0m"] {
            assert_eq!(check_field("a", value), Err(FieldError::Value), "{value:?}");
        }
        assert_eq!(check_field("a", "\tGrüße aus \"Köln\""), Ok(()));
    }

    // RFC 9110 5.6.1.2: empty elements are ignored, whitespace around the others is optional
    #[test]
    fn a_list_is_read_by_its_elements() {
        for list in ["upgrade", "UPGRADE", "a,Upgrade", "a ,\tupgrade ", ",,upgrade,"] {
            assert!(list_contains(list.as_bytes(), "upgrade"), "{list:?}");
        }
        for list in ["", ",", "upgrad", "upgrades", "a upgrade", "up,grade", "\"upgrade\""] {
            assert!(!list_contains(list.as_bytes(), "upgrade"), "{list:?}");
        }
    }
}
