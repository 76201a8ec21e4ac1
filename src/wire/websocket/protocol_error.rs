//! What a peer can do wrong once the connection is a WebSocket.
//!
//! Owns the mapping from a mistake to the clause it breaks and to the close code that answers it. Every one of them
//! ends the session (RFC 6455 7.1.7).

use std::fmt;

use super::close;
use crate::wire::BatchError;

/// The peer broke the protocol. Answer with a Close frame of [`close_code`](Self::close_code), then close.
///
/// The text is at most 123 bytes long, so that it can be the reason of that frame.
///
/// ```
/// use dormouse::wire::ProtocolError;
///
/// assert_eq!(ProtocolError::Unmasked.close_code(), 1002);
/// assert_eq!(ProtocolError::Unmasked.to_string(), "RFC 6455 5.1: a client masks every frame");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProtocolError {
    /// A reserved bit without an extension that defines it.
    ReservedBits,
    /// An opcode that is not defined.
    UnknownOpCode,
    /// A control frame without FIN.
    FragmentedControl,
    /// A continuation without a message to continue.
    StrayContinuation,
    /// A new message before the last one was finished.
    MissingContinuation,
    /// A frame that is not masked.
    Unmasked,
    /// A control frame of more than 125 bytes.
    ControlTooLong,
    /// A Close frame with a payload of one byte.
    ClosePayload,
    /// A length whose most significant bit is set.
    LengthTopBit,
    /// A length that has a shorter form.
    LengthNotMinimal,
    /// A Close frame with a code that may not be sent.
    CloseCode,
    /// A text message that is not UTF-8.
    TextNotUtf8,
    /// A close reason that is not UTF-8.
    ReasonNotUtf8,
    /// A compressed message that cannot be inflated, or ends before its end.
    CompressedData,
    /// A message in more frames than [`SessionLimits::frames_per_message_max`](super::SessionLimits).
    TooManyFrames,
    /// A message of more bytes than [`SessionLimits::message_bytes_max`](super::SessionLimits).
    MessageTooLarge,
    /// A message that begins as a batch envelope and is none, to an object that asked for batches.
    Batch(BatchError),
}

impl ProtocolError {
    /// The code of the Close frame that answers this mistake.
    pub fn close_code(&self) -> u16 {
        match self {
            Self::ReservedBits
            | Self::UnknownOpCode
            | Self::FragmentedControl
            | Self::StrayContinuation
            | Self::MissingContinuation
            | Self::Unmasked
            | Self::ControlTooLong
            | Self::ClosePayload
            | Self::LengthTopBit
            | Self::LengthNotMinimal
            | Self::CloseCode => close::PROTOCOL_ERROR,
            // RFC 6455 8.1: fail the connection; 7.4.1: 1007 is the code for it
            // RFC 7692 names none: 1007, "not consistent with the type of the message", as `ws` has it
            // A batch is the message's type between the application and its clients
            Self::TextNotUtf8 | Self::ReasonNotUtf8 | Self::CompressedData | Self::Batch(_) => {
                close::INVALID_PAYLOAD
            }
            // Not 1009: the message may be small, and a client that reads 1009 would send less instead of otherwise.
            Self::TooManyFrames => close::POLICY,
            Self::MessageTooLarge => close::TOO_BIG,
        }
    }
}

impl fmt::Display for ProtocolError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Batch(error) => return write!(formatter, "RFC 6455 7.4.1: {error}"),
            Self::ReservedBits => "RFC 6455 5.2: a reserved bit is 0 unless an extension defines it",
            Self::UnknownOpCode => "RFC 6455 5.2: the opcode is not defined",
            Self::FragmentedControl => "RFC 6455 5.5: a control frame is not fragmented",
            Self::StrayContinuation => "RFC 6455 5.4: a continuation continues a message",
            Self::MissingContinuation => "RFC 6455 5.4: a message is finished before the next begins",
            Self::Unmasked => "RFC 6455 5.1: a client masks every frame",
            Self::ControlTooLong => "RFC 6455 5.5: a control frame has at most 125 bytes",
            Self::ClosePayload => "RFC 6455 5.5.1: a close payload begins with a code of two bytes",
            Self::LengthTopBit => "RFC 6455 5.2: the most significant bit of a length is 0",
            Self::LengthNotMinimal => "RFC 6455 5.2: a length has its shortest form",
            Self::CloseCode => "RFC 6455 7.4: the close code may not be sent",
            Self::TextNotUtf8 => "RFC 6455 8.1: a text message is UTF-8",
            Self::ReasonNotUtf8 => "RFC 6455 5.5.1: a close reason is UTF-8",
            Self::CompressedData => "RFC 7692 7.2.2: a compressed message is DEFLATE data and complete",
            Self::TooManyFrames => "RFC 6455 7.4.1: the message has too many frames",
            Self::MessageTooLarge => "RFC 6455 7.4.1: the message is too large",
        })
    }
}

impl std::error::Error for ProtocolError {}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: [ProtocolError; 20] = {
        use ProtocolError::*;
        [
            ReservedBits,
            UnknownOpCode,
            FragmentedControl,
            StrayContinuation,
            MissingContinuation,
            Unmasked,
            ControlTooLong,
            ClosePayload,
            LengthTopBit,
            LengthNotMinimal,
            CloseCode,
            TextNotUtf8,
            ReasonNotUtf8,
            CompressedData,
            TooManyFrames,
            MessageTooLarge,
            Batch(BatchError::Version),
            Batch(BatchError::Empty),
            Batch(BatchError::TooManyMessages),
            Batch(BatchError::Malformed),
        ]
    };

    // RFC 6455 5.5.1: a reason of at most 123 bytes; 7.4: a code that may be sent
    #[test]
    fn every_mistake_names_its_clause_and_fits_into_a_close_frame() {
        for error in ALL {
            let text = error.to_string();
            assert!(text.starts_with("RFC ") && text.len() <= close::REASON_BYTES_MAX, "{text}");
            assert!(close::is_allowed_on_wire(error.close_code()), "{error:?}");
        }
    }
}
