//! Close codes (RFC 6455 7.4).
//!
//! Owns which code may be used by whom. What a close leads to is decided elsewhere.
//!
//! ```
//! use dormouse::wire::close;
//!
//! /// For whoever reads a log.
//! fn meaning(code: u16) -> &'static str {
//!     match code {
//!         close::NORMAL => "done",
//!         close::GOING_AWAY => "the page was left, or the server stopped",
//!         close::PROTOCOL_ERROR | close::INVALID_PAYLOAD => "the peer sent what it may not",
//!         close::UNSUPPORTED | close::POLICY => "the message was not wanted",
//!         close::TOO_BIG => "the message was too big",
//!         close::NO_STATUS => "closed, without a word",
//!         close::ABNORMAL => "lost",
//!         close::INTERNAL_ERROR => "the server failed",
//!         close::SERVICE_RESTART | close::TRY_AGAIN_LATER => "come back later",
//!         _ => "ask the application",
//!     }
//! }
//! assert_eq!(meaning(1006), "lost");
//! ```

/// The purpose of the connection is fulfilled.
pub const NORMAL: u16 = 1000;
/// An endpoint goes away: a server that stops, a page that is left.
pub const GOING_AWAY: u16 = 1001;
/// The peer broke the protocol.
pub const PROTOCOL_ERROR: u16 = 1002;
/// The kind of message is not one that the endpoint takes.
pub const UNSUPPORTED: u16 = 1003;
/// Never sent: stands for a Close frame without a code.
pub const NO_STATUS: u16 = 1005;
/// Never sent: stands for a connection that was lost without a Close frame.
pub const ABNORMAL: u16 = 1006;
/// A message does not fit its kind, such as text that is not UTF-8.
pub const INVALID_PAYLOAD: u16 = 1007;
/// A message violates the endpoint's policy.
pub const POLICY: u16 = 1008;
/// A message is too big.
pub const TOO_BIG: u16 = 1009;
/// The server failed.
pub const INTERNAL_ERROR: u16 = 1011;
/// The server restarts (IANA registry).
pub const SERVICE_RESTART: u16 = 1012;
/// The server is overloaded, or the reader too slow (IANA registry).
pub const TRY_AGAIN_LATER: u16 = 1013;

/// The most bytes a close reason can have: a control frame's 125 without the code.
///
/// ```
/// use dormouse::wire::close::REASON_BYTES_MAX;
///
/// let reason = "x".repeat(REASON_BYTES_MAX);
/// let mut frame = Vec::new();
/// dormouse::wire::encode_close(&mut frame, Some(1000), &reason);
/// assert_eq!(frame[1], 125); // RFC 6455 5.5
/// ```
pub const REASON_BYTES_MAX: usize = 123;

/// Whether a peer's Close frame may carry `code`.
///
/// ```
/// use dormouse::wire::close;
///
/// assert!(close::is_allowed_on_wire(close::NORMAL));
/// assert!(!close::is_allowed_on_wire(close::NO_STATUS));
/// ```
pub fn is_allowed_on_wire(code: u16) -> bool {
    // RFC 6455 7.4.1: 1004 is reserved; 1005, 1006 and 1015 MUST NOT be set in a Close frame. 7.4.2: below 1000 is not
    // used, up to 2999 is for the protocol, which has registered nothing above 1014, and 5000 has no meaning.
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

/// Whether the application may close with `code`.
///
/// The same codes as may be on the wire, by coincidence of two contracts: a browser's may only send 1000 and
/// 3000-4999, a server's also what servers have to say.
///
/// ```
/// assert!(dormouse::wire::close::may_application_send(4321));
/// assert!(!dormouse::wire::close::may_application_send(1006));
/// ```
pub fn may_application_send(code: u16) -> bool {
    is_allowed_on_wire(code)
}

/// Whether some allowed code begins with this byte: a code can be wrong before all of it is there.
pub(super) fn may_begin_with(high: u8) -> bool {
    (0..=u8::MAX).any(|low| is_allowed_on_wire(u16::from_be_bytes([high, low])))
}

#[cfg(test)]
mod tests {
    use super::*;

    // RFC 6455 7.4.1 and 7.4.2
    #[test]
    fn the_codes_at_every_border() {
        for code in [1000, 1003, 1007, 1014, 3000, 3999, 4000, 4999] {
            assert!(is_allowed_on_wire(code) && may_application_send(code), "{code}");
        }
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 65_535] {
            assert!(!is_allowed_on_wire(code) && !may_application_send(code), "{code}");
        }
    }

    #[test]
    fn a_first_byte_is_hopeless_if_no_code_begins_with_it() {
        let hopeful: Vec<u8> = (0..=255).filter(|&high| may_begin_with(high)).collect();
        assert_eq!(hopeful, [3, 11, 12, 13, 14, 15, 16, 17, 18, 19]);
    }
}
