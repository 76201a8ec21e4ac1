//! The WebSocket protocol after the opening handshake: RFC 6455 sections 5 to 8, and its extension, RFC 7692.
//!
//! Owns the way from received bytes to events and from messages to frames. What an event leads to is decided elsewhere.

mod assembly;
mod client_head;
pub mod close;
mod control;
mod deflate;
mod event;
mod frame;
mod mask;
mod partial;
mod protocol_error;
mod session;
mod utf8;

pub use deflate::{DeflateAgreement, DeflateTerms, Deflater, Inflaters, negotiate_deflate};
pub use event::{Event, Input, MessageKind, Payload};
pub use frame::{
    FrameHead, OpCode, compressed_frame_head, encode_close, encode_frame, frame_head, frame_len, split_frame,
};
pub use mask::unmask;
pub use protocol_error::ProtocolError;
pub use session::{Session, SessionLimits};
