//! JSON as far as an envelope needs it. Owns where one message ends and the next begins; whether it is JSON at all is
//! `serde_json`'s to say, once for the whole text.

use std::fmt;

use serde::Deserializer;
use serde::de::{Error, IgnoredAny, SeqAccess, Visitor};

use super::{BATCH_MESSAGES_MAX, BatchError};

/// Reads a whole envelope and keeps nothing; how many messages it has.
pub(super) fn count_messages(text: &[u8]) -> Result<usize, BatchError> {
    let mut counted = Counted { values: 0, is_too_many: false };
    let mut deserializer = serde_json::Deserializer::from_slice(text);
    let read = deserializer.deserialize_seq(&mut counted).and_then(|()| deserializer.end());
    match read {
        Ok(()) => Ok(counted.values.saturating_sub(1)),
        Err(_) if counted.is_too_many => Err(BatchError::TooManyMessages),
        Err(_) => Err(BatchError::Malformed),
    }
}

/// The values of the array, with its marker.
struct Counted {
    values: usize,
    is_too_many: bool,
}

impl<'de> Visitor<'de> for &mut Counted {
    type Value = ();

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a batch")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        while access.next_element::<IgnoredAny>()?.is_some() {
            self.values += 1;
            if self.values > 1 + BATCH_MESSAGES_MAX {
                self.is_too_many = true;
                return Err(A::Error::custom("too many messages"));
            }
        }
        Ok(())
    }
}

/// Takes the next value off the elements of an array that is known to be JSON: from `rest`, which begins with the comma
/// before it. `None` at the end of the array.
pub(super) fn take_value<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let value = rest.trim_ascii_start().strip_prefix(b",")?;
    let (value, behind) = value.split_at(end_of_value(value));
    *rest = behind;
    Some(value.trim_ascii())
}

/// Where a value ends: at the comma or bracket behind it.
fn end_of_value(bytes: &[u8]) -> usize {
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => at += string_length(&bytes[at..]) - 1,
            b'[' | b'{' => depth += 1,
            b',' if depth == 0 => return at,
            b']' | b'}' => match depth.checked_sub(1) {
                Some(outer) => depth = outer,
                None => return at,
            },
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

/// The length of the string that begins here, with its quotes.
fn string_length(bytes: &[u8]) -> usize {
    let mut at = 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at + 1,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(mut rest: &str) -> Vec<&str> {
        let mut bytes = rest.as_bytes();
        let values = std::iter::from_fn(|| {
            let value = str::from_utf8(take_value(&mut bytes)?).unwrap();
            rest = &rest[rest.len() - bytes.len()..];
            Some(value)
        });
        values.collect()
    }

    #[test]
    fn values_end_where_json_says_so() {
        let rest = " , 1,\"a,]\\\"}\" ,{\"k\":[1,{\"]\":2}]}\n,[ ] , \"\\\\\",null ]";
        let expected = ["1", "\"a,]\\\"}\"", "{\"k\":[1,{\"]\":2}]}", "[ ]", "\"\\\\\"", "null"];
        assert_eq!(values(rest), expected);
        assert!(values("]").is_empty() && values("").is_empty());
    }

    /// It is called behind `count_messages` alone; yet no text makes it panic or stand still.
    #[test]
    fn what_is_no_json_ends_all_the_same() {
        for rest in [",", ",\"", ",\"\\", ",[", ",]", ",,", ",}}", ",{]", "x"] {
            assert!(values(rest).len() <= 2, "{rest}");
        }
    }
}
