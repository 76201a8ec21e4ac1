//! `wire`: bytes <-> meaning.
//!
//! Owns the request head, the upgrade, request bodies, response heads, the frame head, the mask, UTF-8, the session
//! (fragments, control frames, close), and the envelope of many messages in one. Everything here is a state machine over
//! `&[u8]` or `&mut [u8]` that a caller drives at its own pace; it never touches a socket, a clock, a task, or another
//! layer, and allocates nothing for a frame that lies whole in the received bytes.
//!
//! ```text
//!  received bytes                                                             bytes to send
//!        |                                                                          ^
//!        v                                                                          |
//!  HeadScanner -> parse_head -+-> Upgrade  ---> encode_switching_protocols ---------+
//!   (is it all     (what does |                        |                            |
//!    here yet?)     it say?)  |                        v                            |
//!                             |                  Session::poll ---> Event     encode_frame, frame_head
//!                             |                                                     |
//!                             +-> Ordinary ---> BodyDecoder ------> encode_response_head
//!                             |                                                     |
//!                             +-> RequestError -------------------> encode_refusal -+
//! ```
//!
//! A peer's mistakes have two types, for the two protocols it can make them in: [`RequestError`] maps to a status,
//! [`ProtocolError`] to a close code. Each names the clause that was broken.

#![forbid(unsafe_code)]

mod batch;
mod http;
mod websocket;

pub use batch::{
    BATCH_MESSAGES_MAX, Batch, BatchError, BatchFormat, BatchHead, BatchItem, BatchItemError, BatchItems,
    BatchWriteError, BatchWriter, encode_batch_item,
};
pub use http::{
    BodyDecoder, BodyLength, BodyProgress, Field, FieldError, HEADERS_CEILING, HeadKind, HeadLimits,
    HeadScanner, Ordinary, ParsedHead, RequestError, Span, Upgrade, check_field, encode_refusal,
    encode_response_head, encode_switching_protocols, fields_named, list_contains, offers_subprotocol,
    parse_head, reason_phrase,
};
pub use websocket::{
    DeflateAgreement, DeflateTerms, Deflater, Event, FrameHead, Inflaters, Input, MessageKind, OpCode,
    Payload, ProtocolError, Session, SessionLimits, close, compressed_frame_head, encode_close, encode_frame,
    frame_head, frame_len, negotiate_deflate, split_frame, unmask,
};
