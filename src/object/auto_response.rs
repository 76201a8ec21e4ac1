//! The pair of texts with which the engine answers for a sleeping object.

use super::error::ApiError;
use crate::wire::{OpCode, encode_frame};

/// Most bytes of each text.
const TEXT_BYTES_MAX: usize = 2_048;

/// A request and the response to it. Clients that send exactly the request get the response, without the object
/// being woken (Durable Objects API: `setWebSocketAutoResponse`).
///
/// ```
/// use dormouse::WebSocketRequestResponsePair;
/// let pair = WebSocketRequestResponsePair::new("ping", "pong");
/// assert_eq!((pair.request(), pair.response()), ("ping", "pong"));
/// assert_eq!((pair.get_request(), pair.get_response()), ("ping", "pong"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WebSocketRequestResponsePair {
    request: String,
    response: String,
}

impl WebSocketRequestResponsePair {
    /// A pair. Each text may have 2,048 UTF-8 bytes, which is checked when the pair is set.
    pub fn new(request: impl Into<String>, response: impl Into<String>) -> WebSocketRequestResponsePair {
        WebSocketRequestResponsePair { request: request.into(), response: response.into() }
    }

    /// What is answered: the whole text of a message.
    pub fn request(&self) -> &str {
        &self.request
    }

    /// The answer.
    pub fn response(&self) -> &str {
        &self.response
    }

    /// As [`WebSocketRequestResponsePair::request`], under the documented name.
    pub fn get_request(&self) -> &str {
        &self.request
    }

    /// As [`WebSocketRequestResponsePair::response`], under the documented name.
    pub fn get_response(&self) -> &str {
        &self.response
    }
}

/// A pair in force, its answer encoded.
#[derive(Debug)]
pub(crate) struct AutoResponse {
    pub(crate) pair: WebSocketRequestResponsePair,
    pub(crate) frame: Vec<u8>,
}

impl AutoResponse {
    pub(crate) fn new(pair: WebSocketRequestResponsePair) -> Result<AutoResponse, ApiError> {
        for (part, text) in [("Request", &pair.request), ("Response", &pair.response)] {
            if text.len() > TEXT_BYTES_MAX {
                return Err(ApiError::AutoResponseTooLarge { part, bytes: text.len() });
            }
        }
        let mut frame = Vec::new();
        encode_frame(&mut frame, OpCode::Text, pair.response.as_bytes());
        Ok(AutoResponse { pair, frame })
    }

    pub(crate) fn matches(&self, text: &[u8]) -> bool {
        self.pair.request.as_bytes() == text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEMANTICS 6: the limits count bytes, and the empty string is valid.
    #[test]
    fn a_pair_is_measured_in_bytes() {
        let long = "ä".repeat(1_025);
        let error = AutoResponse::new(WebSocketRequestResponsePair::new("", long.clone())).unwrap_err();
        assert_eq!(error, ApiError::AutoResponseTooLarge { part: "Response", bytes: 2_050 });
        let error = AutoResponse::new(WebSocketRequestResponsePair::new(long, "")).unwrap_err();
        assert_eq!(
            error.to_string(),
            "Request cannot be larger than 2048 bytes. A request of size 2050 was provided."
        );
        let pair = AutoResponse::new(WebSocketRequestResponsePair::new("", "x".repeat(2_048))).unwrap();
        assert!(pair.matches(b"") && !pair.matches(b"x"));
    }
}
