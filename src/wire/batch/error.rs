//! What can be wrong with a batch: by the peer's doing, as a whole or in one of its messages; and by the caller's.

use std::fmt;

use super::BATCH_MESSAGES_MAX;

/// The peer sent an envelope that is broken. [`ProtocolError::Batch`](crate::wire::ProtocolError::Batch) carries it, so
/// that it is answered with Close 1007.
///
/// ```
/// use dormouse::wire::{Batch, BatchError, BatchFormat, MessageKind};
///
/// let text = br#"["batch/1",{"go":[1,2]}"#;
/// let broken = Batch::parse(BatchFormat::Json, MessageKind::Text, text);
/// assert_eq!(broken.unwrap_err(), BatchError::Malformed);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BatchError {
    /// A version other than 1.
    Version,
    /// An envelope without a message.
    Empty,
    /// More messages than [`BATCH_MESSAGES_MAX`].
    TooManyMessages,
    /// Not one array of values with nothing behind it.
    Malformed,
}

impl fmt::Display for BatchError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Version => formatter.write_str("the version of a batch is 1"),
            Self::Empty => formatter.write_str("a batch has a message"),
            Self::TooManyMessages => write!(formatter, "a batch has at most {BATCH_MESSAGES_MAX} messages"),
            Self::Malformed => formatter.write_str("a batch is one array of values and nothing else"),
        }
    }
}

impl std::error::Error for BatchError {}

/// The peer sent a message, in an envelope that is whole, that is not of the type that was asked for.
///
/// ```
/// use dormouse::wire::{Batch, BatchFormat, MessageKind};
///
/// let text = br#"["batch/1","left"]"#;
/// let batch = Batch::parse(BatchFormat::Json, MessageKind::Text, text)?.expect("an envelope");
/// let error = batch.iter().next().unwrap().read::<u32>().unwrap_err();
/// assert!(error.to_string().contains("expected u32"), "{error}");
/// # Ok::<(), dormouse::wire::BatchError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BatchItemError {
    pub(super) message: String,
}

impl fmt::Display for BatchItemError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "a message of a batch is not what was expected: {}", self.message)
    }
}

impl std::error::Error for BatchItemError {}

/// A value that cannot be put into a batch. The batch is as it was before.
///
/// ```
/// use std::collections::HashMap;
/// use dormouse::wire::{BatchFormat, BatchWriteError, BatchWriter};
///
/// let mut writer = BatchWriter::new(BatchFormat::Json);
/// let error = writer.push(&HashMap::from([((1, 2), "a key that is no string")])).unwrap_err();
/// assert!(matches!(error, BatchWriteError::Value { .. }));
/// assert_eq!(writer.messages(), 0);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BatchWriteError {
    /// The batch has [`BATCH_MESSAGES_MAX`] messages.
    Full,
    /// The format cannot express it, or its own `Serialize` refuses.
    Value {
        /// What serde says.
        message: String,
    },
}

impl fmt::Display for BatchWriteError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => write!(formatter, "a batch has at most {BATCH_MESSAGES_MAX} messages"),
            Self::Value { message } => write!(formatter, "the value cannot be put into a batch: {message}"),
        }
    }
}

impl std::error::Error for BatchWriteError {}
