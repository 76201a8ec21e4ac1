//! What can go wrong between an application and the engine. Owns the texts, which are those of the reference where
//! it has one; decides nothing.

use std::fmt;

/// What a handler may fail with: anything that is an error and may cross to another shard.
///
/// ```
/// fn parse(score: &str) -> Result<u32, dormouse::Error> {
///     Ok(score.parse::<u32>()?)
/// }
/// assert!(parse("many").is_err());
/// ```
pub type Error = Box<dyn std::error::Error + Send + Sync + 'static>;

/// What handlers return.
///
/// ```
/// # use dormouse::{Request, Response};
/// async fn fetch(request: Request) -> dormouse::Result<Response> {
///     let score: u32 = str::from_utf8(request.body())?.parse()?;
///     Ok(Response::text(format!("{score} points\n")))
/// }
/// ```
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A call that the API refuses. The application made it, so the application gets it back as a value.
///
/// ```
/// use dormouse::{ApiError, WebSocketPair};
///
/// let early = WebSocketPair::new().server.send("hello");
/// assert_eq!(early, Err(ApiError::NotAccepted));
/// // The texts are those of the reference.
/// let error = ApiError::InvalidCloseCode { code: 1006 };
/// assert_eq!(error.to_string(), "Invalid WebSocket close code: 1006.");
/// // In a handler, it is behind the error of any kind.
/// let error: dormouse::Error = ApiError::Overloaded.into();
/// assert_eq!(error.downcast_ref(), Some(&ApiError::Overloaded));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ApiError {
    /// More than 10 distinct tags on one socket.
    TooManyTags,
    /// A tag over 256 UTF-8 bytes.
    TagTooLong {
        /// The tag.
        tag: String,
    },
    /// `accept_web_socket` on a socket that was accepted, in whichever way.
    AlreadyAccepted,
    /// `accept` on a socket that `accept_web_socket` was called on.
    AcceptAfterHibernation,
    /// `accept` on a socket that it was called on before: its events have a reader.
    AcceptTwice,
    /// The object holds as many sockets as it may.
    TooManyWebSockets {
        /// The limit, `limits.connections_per_object`.
        limit: usize,
    },
    /// Tags of a socket that was not accepted.
    TagsBeforeAccept,
    /// Tags of a socket accepted with the standard API.
    TagsOfStandardSocket,
    /// `send` or `close` on a socket that was not accepted.
    NotAccepted,
    /// `send` after the application's own `close`.
    SendAfterClose,
    /// A batch of an object whose class has no [`BATCHING`](super::DurableObject::BATCHING).
    NotBatching,
    /// A message that cannot be put into a batch.
    BatchMessage {
        /// What serde says.
        message: String,
    },
    /// A close code that an application may not send.
    InvalidCloseCode {
        /// The code.
        code: u16,
    },
    /// A close reason over 123 UTF-8 bytes.
    CloseReasonTooLong {
        /// Its size in bytes.
        bytes: usize,
    },
    /// A close reason without a code.
    CloseReasonWithoutCode,
    /// A serialized attachment over the limit.
    AttachmentTooLarge {
        /// Its size in bytes.
        bytes: usize,
        /// The limit, `limits.attachment_bytes`.
        limit: usize,
    },
    /// An attachment that cannot be serialized, or not be read as the type that was asked for.
    Attachment {
        /// What serde says.
        message: String,
    },
    /// Half of an auto-response pair over 2,048 UTF-8 bytes.
    AutoResponseTooLarge {
        /// `Request` or `Response`.
        part: &'static str,
        /// Its size in bytes.
        bytes: usize,
    },
    /// An event timeout over seven days.
    EventTimeoutTooLong,
    /// A header that may not be sent.
    InvalidHeader {
        /// Why.
        message: String,
    },
    /// A binding that the engine was not built with.
    UnknownBinding {
        /// Its name.
        name: String,
    },
    /// A string that is no id of this namespace.
    InvalidId {
        /// The string.
        id: String,
    },
    /// A call to an object that waits, directly or not, for the caller.
    CallCycle {
        /// The objects, from the first caller to the one called again.
        path: String,
    },
    /// A call that was not answered in `timeouts.fetch`.
    CallTimedOut,
    /// The called object failed, or was shut down, before it answered.
    CallAborted {
        /// Why.
        message: String,
    },
    /// As many events wait for the object as may, `limits.mailbox_events_per_object`.
    Overloaded,
    /// A response with a socket whose other end nobody accepted.
    ResponseSocketNotAccepted,
    /// A socket in a response to a request that is no upgrade.
    NotAnUpgrade,
    /// The object of this context is gone.
    ObjectGone,
}

impl ApiError {
    /// The status that a client gets when this ends its request.
    pub(crate) fn status(&self) -> u16 {
        match self {
            ApiError::TooManyWebSockets { .. } | ApiError::Overloaded => 503,
            ApiError::CallTimedOut => 504,
            _ => 500,
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ApiError::TooManyTags => f.write_str("a Hibernatable WebSocket cannot have more than 10 tags"),
            ApiError::TagTooLong { tag } => {
                write!(f, "\"{tag}\" is longer than the max tag length (256 characters).")
            }
            ApiError::AlreadyAccepted => f.write_str(
                "Cannot call `acceptWebSocket()` if the WebSocket was already accepted via `accept()`",
            ),
            ApiError::AcceptAfterHibernation => {
                f.write_str("Can't accept() WebSocket after enabling hibernation.")
            }
            ApiError::AcceptTwice => f.write_str(
                "accept() was called on this WebSocket before: its events have a reader already",
            ),
            ApiError::TooManyWebSockets { limit } => {
                write!(f, "only {limit} websockets can be accepted on a single Durable Object instance")
            }
            ApiError::TagsBeforeAccept => f.write_str(
                "you must call 'acceptWebSocket()' before attempting to access the tags of a WebSocket.",
            ),
            ApiError::TagsOfStandardSocket => f.write_str("only hibernatable websockets can have tags."),
            ApiError::NotAccepted => f.write_str(
                "You must call one of accept() or state.acceptWebSocket() on this WebSocket before sending messages.",
            ),
            ApiError::SendAfterClose => f.write_str("Can't call WebSocket send() after close()."),
            ApiError::NotBatching => {
                f.write_str("the class of this object has no BATCHING: its clients would not know a batch")
            }
            ApiError::BatchMessage { message } => f.write_str(message),
            ApiError::InvalidCloseCode { code } => write!(f, "Invalid WebSocket close code: {code}."),
            ApiError::CloseReasonTooLong { bytes } => {
                write!(f, "WebSocket close reason must not be longer than 123 bytes; it has {bytes}.")
            }
            ApiError::CloseReasonWithoutCode => {
                f.write_str("If you specify a WebSocket close reason, you must also specify a code.")
            }
            ApiError::AttachmentTooLarge { bytes, limit } => write!(
                f,
                "a WebSocket attachment cannot be larger than {limit} bytes. 'attachment' was {bytes} bytes."
            ),
            ApiError::Attachment { message } => write!(f, "the attachment cannot be converted: {message}"),
            ApiError::AutoResponseTooLarge { part, bytes } => write!(
                f,
                "{part} cannot be larger than 2048 bytes. A {} of size {bytes} was provided.",
                part.to_ascii_lowercase()
            ),
            ApiError::EventTimeoutTooLong => f.write_str("Event timeout should not exceed 604800000 ms."),
            ApiError::InvalidHeader { message } => write!(f, "the header cannot be sent: {message}"),
            ApiError::UnknownBinding { name } => write!(f, "no namespace is bound as \"{name}\""),
            ApiError::InvalidId { id } => write!(f, "\"{id}\" is not the id of an object of this namespace"),
            ApiError::CallCycle { path } => write!(f, "the call would wait for its own caller: {path}"),
            ApiError::CallTimedOut => f.write_str("the object did not answer within timeouts.fetch"),
            ApiError::CallAborted { message } => write!(f, "the object did not answer: {message}"),
            ApiError::Overloaded => {
                f.write_str("the object is overloaded: limits.mailbox_events_per_object events wait for it")
            }
            ApiError::ResponseSocketNotAccepted => {
                f.write_str("the response carries a WebSocket whose other end was not accepted")
            }
            ApiError::NotAnUpgrade => {
                f.write_str("the response carries a WebSocket but the request was not an upgrade")
            }
            ApiError::ObjectGone => f.write_str("the object of this context is gone"),
        }
    }
}

impl std::error::Error for ApiError {}

/// The status that a client gets for an error that ended its request; never more than that leaves the engine.
pub(crate) fn status_of(error: &Error) -> u16 {
    error.downcast_ref::<ApiError>().map_or(500, ApiError::status)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEMANTICS 3, 4, 6, 7: the texts of the reference.
    #[test]
    fn texts_are_those_of_the_reference() {
        let texts = [
            (ApiError::TooManyTags, "a Hibernatable WebSocket cannot have more than 10 tags"),
            (
                ApiError::TagTooLong { tag: "x".into() },
                "\"x\" is longer than the max tag length (256 characters).",
            ),
            (
                ApiError::TooManyWebSockets { limit: 32_768 },
                "only 32768 websockets can be accepted on a single Durable Object instance",
            ),
            (ApiError::AcceptAfterHibernation, "Can't accept() WebSocket after enabling hibernation."),
            (ApiError::TagsOfStandardSocket, "only hibernatable websockets can have tags."),
            (ApiError::SendAfterClose, "Can't call WebSocket send() after close()."),
            (ApiError::InvalidCloseCode { code: 1006 }, "Invalid WebSocket close code: 1006."),
            (
                ApiError::AutoResponseTooLarge { part: "Request", bytes: 2049 },
                "Request cannot be larger than 2048 bytes. A request of size 2049 was provided.",
            ),
            (ApiError::EventTimeoutTooLong, "Event timeout should not exceed 604800000 ms."),
        ];
        for (error, text) in texts {
            assert_eq!(error.to_string(), text);
        }
    }

    #[test]
    fn only_errors_of_the_api_choose_a_status() {
        assert_eq!(status_of(&ApiError::TooManyWebSockets { limit: 1 }.into()), 503);
        assert_eq!(status_of(&"anything else".into()), 500);
    }
}
