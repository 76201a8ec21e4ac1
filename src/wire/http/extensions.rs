//! Sec-WebSocket-Extensions: what a client would like to add to the protocol (RFC 6455 9.1).
//!
//! Owns the grammar. What an extension is and whether it is accepted is decided elsewhere.

use std::borrow::Cow;

use super::bytes::{is_token_byte, token_len, trimmed};
use super::field::fields_named;
use super::head::Field;
use super::request_error::RequestError;

/// An extension that a client offers, with its parameters in their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::wire) struct Extension<'a> {
    pub(in crate::wire) name: &'a [u8],
    pub(in crate::wire) parameters: Vec<Parameter<'a>>,
}

/// A parameter of an extension. The value is without the quotes that it may have had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::wire) struct Parameter<'a> {
    pub(in crate::wire) name: &'a [u8],
    pub(in crate::wire) value: Option<Cow<'a, [u8]>>,
}

/// The extensions that a head offers, over all its fields, the most wanted first.
pub(in crate::wire) fn offered_extensions<'a>(
    head: &'a [u8],
    fields: &'a [Field],
) -> Result<Vec<Extension<'a>>, RequestError> {
    let mut extensions = Vec::new();
    // RFC 6455 9.1: the field MAY appear several times, which is the same as one with all values
    for value in fields_named(head, fields, "Sec-WebSocket-Extensions") {
        // RFC 6455 9.1: fail the connection on a value that does not conform to the grammar
        extension_list(value, &mut extensions).ok_or(RequestError::WebSocketExtensions)?;
    }
    Ok(extensions)
}

/// ```text
///   extension-list = 1#extension
///   extension      = token *( ";" token [ "=" ( token | quoted-string ) ] )
/// ```
fn extension_list<'a>(value: &'a [u8], extensions: &mut Vec<Extension<'a>>) -> Option<()> {
    let mut cursor = Cursor { rest: value };
    loop {
        // RFC 9110 5.6.1.2: empty elements of a list are ignored
        if !cursor.is_at_end() && !cursor.is_at(b',') {
            extensions.push(cursor.extension()?);
        }
        if cursor.is_at_end() {
            return Some(());
        }
        cursor.take(b',').then_some(())?;
    }
}

struct Cursor<'a> {
    rest: &'a [u8],
}

impl<'a> Cursor<'a> {
    fn skip_spaces(&mut self) {
        self.rest = &self.rest[trimmed(self.rest).start..];
    }

    fn is_at_end(&mut self) -> bool {
        self.skip_spaces();
        self.rest.is_empty()
    }

    fn is_at(&mut self, byte: u8) -> bool {
        self.skip_spaces();
        self.rest.first() == Some(&byte)
    }

    fn take(&mut self, byte: u8) -> bool {
        let is_there = self.is_at(byte);
        self.rest = &self.rest[usize::from(is_there)..];
        is_there
    }

    fn token(&mut self) -> Option<&'a [u8]> {
        self.skip_spaces();
        let (token, rest) = self.rest.split_at(token_len(self.rest));
        self.rest = rest;
        (!token.is_empty()).then_some(token)
    }

    fn extension(&mut self) -> Option<Extension<'a>> {
        let name = self.token()?;
        let mut parameters = Vec::new();
        while self.take(b';') {
            let name = self.token()?;
            let value = if self.take(b'=') { Some(self.value()?) } else { None };
            parameters.push(Parameter { name, value });
        }
        Some(Extension { name, parameters })
    }

    fn value(&mut self) -> Option<Cow<'a, [u8]>> {
        if !self.take(b'"') {
            return self.token().map(Cow::Borrowed);
        }
        let mut value = Vec::new();
        loop {
            let (&byte, rest) = self.rest.split_first()?;
            self.rest = rest;
            match byte {
                b'"' => break,
                // RFC 9110 5.6.4: quoted-pair
                b'\\' => {
                    let (&escaped, rest) = self.rest.split_first()?;
                    self.rest = rest;
                    value.push(escaped);
                }
                byte => value.push(byte),
            }
        }
        // RFC 6455 9.1: the value after quoted-string unescaping MUST conform to the token grammar
        let is_token = !value.is_empty() && value.iter().all(|&byte| is_token_byte(byte));
        is_token.then_some(Cow::Owned(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The list as `name;name=value;name`, so that a test can be read.
    fn read(value: &str) -> Option<Vec<String>> {
        let mut extensions = Vec::new();
        extension_list(value.as_bytes(), &mut extensions)?;
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let written = extensions.iter().map(|extension| {
            extension.parameters.iter().fold(text(extension.name), |written, parameter| {
                let value = parameter.value.as_ref().map(|value| format!("={}", text(value)));
                written + ";" + &text(parameter.name) + &value.unwrap_or_default()
            })
        });
        Some(written.collect())
    }

    // RFC 6455 9.1
    #[test]
    fn extensions_and_parameters_are_read_in_their_order() {
        for (value, extensions) in [
            ("", vec![]),
            ("foo", vec!["foo"]),
            ("foo, bar; baz=2", vec!["foo", "bar;baz=2"]),
            ("foo ;\ta ; b = 3 ,bar", vec!["foo;a;b=3", "bar"]),
            (r#"foo; a="1\0", bar; b="x""#, vec!["foo;a=10", "bar;b=x"]),
            (", ,foo,, bar,", vec!["foo", "bar"]),
            ("foo, foo; a; a=1", vec!["foo", "foo;a;a=1"]),
        ] {
            assert_eq!(
                read(value).as_deref(),
                Some(&extensions.into_iter().map(String::from).collect::<Vec<_>>()[..]),
                "{value:?}"
            );
        }
    }

    // RFC 6455 9.1
    #[test]
    fn what_is_no_list_of_extensions_has_no_meaning() {
        for value in [
            ";",
            "foo;",
            "foo; ;a",
            "foo; =1",
            "foo; a=",
            "foo bar",
            "foo; a b",
            "foo; a=1 2",
            "=",
            "foo; a=\"",
            "foo; a=\"1",
            "foo; a=\"\"",
            "foo; a=\"1 2\"",
            "foo; a=\"1\\",
            "foo; a=\"1\"2",
            "foo/bar",
            "(foo)",
        ] {
            assert_eq!(read(value), None, "{value:?}");
        }
    }
}
