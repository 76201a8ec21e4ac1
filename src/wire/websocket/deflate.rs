//! Messages compressed one by one: permessage-deflate, RFC 7692.
//!
//! Owns what is agreed in the opening handshake, and the two directions: inflating what a client sends, deflating what
//! the server sends. Which message is worth compressing, and how much memory it may cost, is decided elsewhere.
//!
//! ```text
//!   Sec-WebSocket-Extensions ---> negotiate_deflate ---> DeflateAgreement ---> Sec-WebSocket-Extensions
//!                                                          |          |
//!      first frame with RSV1 ---> Session::inflating <-----+          +-----> Deflater ---> compressed_frame_head
//!                                    |      ^
//!                                    v      |  contexts for messages that begin without one
//!                                  Event   Inflaters
//! ```

mod deflater;
mod inflater;
mod terms;

pub use deflater::Deflater;
pub use inflater::Inflaters;
pub(super) use inflater::{Context, Inflater};
pub use terms::{DeflateAgreement, DeflateTerms, negotiate_deflate};

/// The end of what a sync flush writes, and of every compressed message before it is sent: an empty block without
/// compression. RFC 7692 7.2.1: the sender removes it; 7.2.2: the receiver appends it.
const TAIL: [u8; 4] = [0x00, 0x00, 0xff, 0xff];

/// The largest window, 32 KiB, as a power of two.
const WINDOW_BITS_MAX: u8 = 15;

#[cfg(test)]
mod tests;
