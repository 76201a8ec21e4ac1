//! What a peer can do wrong in a request.
//!
//! Owns the mapping from a mistake to the clause it breaks, the status that answers it, and the fields that status
//! needs. Every one of them ends the connection: where a request was refused, nobody knows where the next begins.

use std::fmt;

/// The peer sent a request that is refused. Answer with [`status`](Self::status) and [`headers`](Self::headers), then
/// close; [`encode_refusal`](super::encode_refusal) writes that answer.
///
/// ```
/// use dormouse::wire::RequestError;
///
/// assert_eq!(RequestError::WebSocketVersion.status(), 426);
/// assert_eq!(RequestError::BareLineFeed.to_string(), "RFC 9112 2.2: a line ends with CR LF, not with LF alone");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RequestError {
    /// The first line is no HTTP request line.
    RequestLine,
    /// The method is longer than any that exists.
    MethodTooLong,
    /// The request target is longer than [`HeadLimits::target_bytes_max`](super::HeadLimits::target_bytes_max).
    TargetTooLong,
    /// The request target is neither a path nor an absolute URI (nor `*` of OPTIONS).
    TargetForm,
    /// The version is not HTTP/1.1.
    HttpVersion,
    /// A CR that no LF follows.
    BareCarriageReturn,
    /// A LF that no CR precedes.
    BareLineFeed,
    /// A control character within a line.
    ControlCharacter,
    /// A field name that is no token, or whitespace between it and its colon.
    FieldName,
    /// A field continued on a line that begins with whitespace.
    FoldedLine,
    /// The head is longer than [`HeadLimits::head_bytes_max`](super::HeadLimits::head_bytes_max).
    HeadTooLarge,
    /// The head has more fields than [`HeadLimits::headers_max`](super::HeadLimits::headers_max).
    TooManyHeaders,
    /// No Host, several, or one that names no host.
    Host,
    /// A Content-Length that is repeated, no number, or too large to count.
    ContentLength,
    /// Content-Length and Transfer-Encoding in one request.
    LengthConflict,
    /// A transfer coding other than `chunked`.
    TransferCodingUnknown,
    /// `chunked` repeated or in a list with others.
    TransferCodingList,
    /// An upgrade to WebSocket that announces a body.
    UpgradeWithBody,
    /// An upgrade to WebSocket with a method other than GET: never reported by the parser, which calls such a request
    /// ordinary, but by the engine when the application wants to upgrade it all the same.
    UpgradeMethod,
    /// An upgrade whose Connection does not contain `upgrade`.
    ConnectionWithoutUpgrade,
    /// An upgrade to a version of the protocol that is not 13, or to none, or to several.
    WebSocketVersion,
    /// A Sec-WebSocket-Key that is missing, repeated, or not 16 bytes in base64.
    WebSocketKey,
    /// A Sec-WebSocket-Extensions that is no list of extensions.
    WebSocketExtensions,
    /// A body longer than the limit given to [`BodyDecoder::new`](super::BodyDecoder::new).
    BodyTooLarge,
    /// A chunk whose size line cannot be read.
    ChunkSize,
    /// A chunk whose content is not followed by CR LF.
    ChunkEnd,
    /// More chunk extensions than any purpose needs.
    ChunkExtensionsTooLarge,
    /// A trailer section that cannot be read.
    Trailer,
    /// A trailer section larger than any purpose needs.
    TrailerTooLarge,
}

impl RequestError {
    /// The status that answers this mistake.
    pub fn status(&self) -> u16 {
        // RFC 6455 4.2.1: a handshake that is not as described gets an appropriate error code
        match self {
            Self::RequestLine
            | Self::TargetForm
            | Self::BareCarriageReturn
            | Self::BareLineFeed
            | Self::ControlCharacter
            | Self::FieldName
            | Self::FoldedLine
            | Self::Host
            | Self::ContentLength
            | Self::LengthConflict
            | Self::TransferCodingList
            | Self::UpgradeWithBody
            | Self::ConnectionWithoutUpgrade
            | Self::WebSocketKey
            | Self::WebSocketExtensions
            | Self::ChunkSize
            | Self::ChunkEnd
            | Self::ChunkExtensionsTooLarge
            | Self::Trailer => 400,
            Self::UpgradeMethod => 405,
            Self::BodyTooLarge => 413,
            Self::TargetTooLong => 414,
            Self::WebSocketVersion => 426,
            Self::HeadTooLarge | Self::TooManyHeaders | Self::TrailerTooLarge => 431,
            Self::MethodTooLong | Self::TransferCodingUnknown => 501,
            Self::HttpVersion => 505,
        }
    }

    /// The fields that have to accompany the status.
    ///
    /// ```
    /// use dormouse::wire::RequestError;
    ///
    /// assert_eq!(RequestError::UpgradeMethod.headers(), [("Allow", "GET")]);
    /// assert!(RequestError::Host.headers().is_empty());
    /// ```
    pub fn headers(&self) -> &'static [(&'static str, &'static str)] {
        match self.status() {
            // RFC 9110 15.5.6: a 405 MUST name the allowed methods
            405 => &[("Allow", "GET")],
            // RFC 9110 15.5.22: a 426 MUST name the protocol; RFC 6455 4.2.2, 4.4: and its version
            426 => &[("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")],
            _ => &[],
        }
    }

    /// What is wrong where a line is cut short by the control character that `rest` begins with.
    pub(super) fn of_control(rest: &[u8]) -> Self {
        match rest.first() {
            Some(b'\n') => Self::BareLineFeed,
            Some(b'\r') | None => Self::BareCarriageReturn,
            Some(_) => Self::ControlCharacter,
        }
    }
}

impl fmt::Display for RequestError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::RequestLine => "RFC 9112 3: the request line is `method SP target SP version`",
            Self::MethodTooLong => "RFC 9112 3: the method is longer than any that is known",
            Self::TargetTooLong => "RFC 9112 3: the request target is too long",
            Self::TargetForm => "RFC 9112 3.2: the request target is a path or an absolute URI",
            Self::HttpVersion => "RFC 9110 15.6.6: the version is HTTP/1.1",
            Self::BareCarriageReturn => "RFC 9112 2.2: a CR is followed by LF",
            Self::BareLineFeed => "RFC 9112 2.2: a line ends with CR LF, not with LF alone",
            Self::ControlCharacter => "RFC 9110 5.5: a field contains no control characters",
            Self::FieldName => "RFC 9112 5.1: a field name is a token and its colon follows at once",
            Self::FoldedLine => "RFC 9112 5.2: a field is not continued on the next line",
            Self::HeadTooLarge => "RFC 6585 5: the request head is too large",
            Self::TooManyHeaders => "RFC 6585 5: the request head has too many fields",
            Self::Host => "RFC 9112 3.2: a request has exactly one valid Host",
            Self::ContentLength => "RFC 9112 6.3: Content-Length is one decimal number",
            Self::LengthConflict => "RFC 9112 6.1: Content-Length and Transfer-Encoding exclude each other",
            Self::TransferCodingUnknown => "RFC 9112 6.1: the only transfer coding known is chunked",
            Self::TransferCodingList => "RFC 9112 6.1: chunked is applied once and alone",
            Self::UpgradeWithBody => "RFC 6455 4.1: an upgrade to WebSocket has no body",
            Self::UpgradeMethod => "RFC 6455 4.1: an upgrade to WebSocket is a GET",
            Self::ConnectionWithoutUpgrade => "RFC 6455 4.2.1: Connection contains upgrade",
            Self::WebSocketVersion => "RFC 6455 4.2.1: Sec-WebSocket-Version is 13",
            Self::WebSocketKey => "RFC 6455 4.2.1: Sec-WebSocket-Key is 16 bytes in base64, given once",
            Self::WebSocketExtensions => "RFC 6455 9.1: Sec-WebSocket-Extensions is a list of extensions",
            Self::BodyTooLarge => "RFC 9110 15.5.14: the request body is too large",
            Self::ChunkSize => "RFC 9112 7.1: a chunk begins with its size in hexadecimal digits",
            Self::ChunkEnd => "RFC 9112 7.1: a chunk ends with CR LF",
            Self::ChunkExtensionsTooLarge => "RFC 9112 7.1.1: the chunk extensions are too large",
            Self::Trailer => "RFC 9112 7.1.2: a trailer section is made of fields",
            Self::TrailerTooLarge => "RFC 6585 5: the trailer section is too large",
        })
    }
}

impl std::error::Error for RequestError {}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [RequestError; 29] = {
        use RequestError::*;
        [
            RequestLine,
            MethodTooLong,
            TargetTooLong,
            TargetForm,
            HttpVersion,
            BareCarriageReturn,
            BareLineFeed,
            ControlCharacter,
            FieldName,
            FoldedLine,
            HeadTooLarge,
            TooManyHeaders,
            Host,
            ContentLength,
            LengthConflict,
            TransferCodingUnknown,
            TransferCodingList,
            UpgradeWithBody,
            UpgradeMethod,
            ConnectionWithoutUpgrade,
            WebSocketVersion,
            WebSocketKey,
            WebSocketExtensions,
            BodyTooLarge,
            ChunkSize,
            ChunkEnd,
            ChunkExtensionsTooLarge,
            Trailer,
            TrailerTooLarge,
        ]
    };

    #[test]
    fn every_mistake_names_its_clause_and_has_a_status_with_a_name() {
        for error in ALL {
            assert!(error.to_string().starts_with("RFC "), "{error:?}");
            assert!((400..=599).contains(&error.status()), "{error:?}");
            assert_ne!(super::super::reason_phrase(error.status()), "", "{error:?}");
        }
    }
}
