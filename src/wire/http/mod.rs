//! HTTP/1.1, as far as a WebSocket server needs it: RFC 9112 (messages), RFC 9110 (fields) and section 4 of RFC 6455
//! (the upgrade).
//!
//! Owns the way from received bytes to a request and from a response to bytes. It decides what a request *is*; what
//! becomes of it is decided elsewhere.

mod body;
mod bytes;
mod chunked;
mod extensions;
mod facts;
mod field;
mod handshake;
mod head;
mod ordinary;
mod request_error;
mod request_line;
mod response;
mod scan;
mod upgrade;

pub use body::{BodyDecoder, BodyLength, BodyProgress};
pub(in crate::wire) use extensions::{Extension, Parameter, offered_extensions};
pub use field::{FieldError, check_field, fields_named, list_contains};
pub use handshake::offers_subprotocol;
pub use head::{
    Field, HEADERS_CEILING, HeadKind, HeadLimits, Ordinary, ParsedHead, Span, Upgrade, parse_head,
};
pub use request_error::RequestError;
pub use response::{encode_refusal, encode_response_head, encode_switching_protocols, reason_phrase};
pub use scan::HeadScanner;
