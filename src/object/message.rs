//! A message as handlers see it and as `send` takes it. Borrowed bytes; owns nothing.

use crate::wire::OpCode;

/// One WebSocket message: text or binary (RFC 6455 5.6). Received messages are borrowed for the time of the event;
/// call [`Message::to_owned_bytes`] or copy what must live longer.
///
/// ```
/// use dormouse::Message;
///
/// assert_eq!(Message::from("hi").as_text(), Some("hi"));
/// assert_eq!(Message::from(&[1u8, 2]).as_text(), None);
/// assert_eq!(Message::from(&[1u8, 2]).as_bytes(), [1, 2]);
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// Text, which is valid UTF-8.
    Text(&'a str),
    /// Bytes.
    Binary(&'a [u8]),
}

impl<'a> Message<'a> {
    /// The text, if it is a text message.
    ///
    /// ```
    /// # use dormouse::Message;
    /// fn is_quit(message: Message<'_>) -> bool {
    ///     message.as_text() == Some("/quit")
    /// }
    /// assert!(is_quit("/quit".into()) && !is_quit(b"/quit".into()));
    /// ```
    pub fn as_text(&self) -> Option<&'a str> {
        match *self {
            Message::Text(text) => Some(text),
            Message::Binary(_) => None,
        }
    }

    /// The payload, whichever kind.
    pub fn as_bytes(&self) -> &'a [u8] {
        match *self {
            Message::Text(text) => text.as_bytes(),
            Message::Binary(bytes) => bytes,
        }
    }

    /// A copy of the payload that outlives the event.
    ///
    /// ```
    /// # use dormouse::Message;
    /// let mut history: Vec<Vec<u8>> = Vec::new();
    /// history.push(Message::from("hi").to_owned_bytes());
    /// assert_eq!(history, [b"hi"]);
    /// ```
    pub fn to_owned_bytes(&self) -> Vec<u8> {
        self.as_bytes().to_vec()
    }

    pub(crate) fn opcode(&self) -> OpCode {
        match self {
            Message::Text(_) => OpCode::Text,
            Message::Binary(_) => OpCode::Binary,
        }
    }
}

/// The text, or for a binary message its bytes read as UTF-8 with replacement characters.
impl std::fmt::Display for Message<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Message::Text(text) => f.write_str(text),
            Message::Binary(bytes) => f.write_str(&String::from_utf8_lossy(bytes)),
        }
    }
}

impl<'a> From<&'a str> for Message<'a> {
    fn from(text: &'a str) -> Self {
        Message::Text(text)
    }
}

impl<'a> From<&'a String> for Message<'a> {
    fn from(text: &'a String) -> Self {
        Message::Text(text)
    }
}

impl<'a> From<&'a [u8]> for Message<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Message::Binary(bytes)
    }
}

impl<'a> From<&'a Vec<u8>> for Message<'a> {
    fn from(bytes: &'a Vec<u8>) -> Self {
        Message::Binary(bytes)
    }
}

impl<'a, const N: usize> From<&'a [u8; N]> for Message<'a> {
    fn from(bytes: &'a [u8; N]) -> Self {
        Message::Binary(bytes)
    }
}
