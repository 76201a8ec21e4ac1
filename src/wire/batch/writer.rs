//! An envelope as it is sent. Owns its bytes while it fills.
//!
//! ```text
//!   dc | 00 00 | a7 "batch/1" | message | message      the count is written at the end, where it has its place
//!      [  "batch/1"          , message , message ]      the bracket too
//! ```

use serde::Serialize;

use super::{BATCH_MESSAGES_MAX, BatchFormat, BatchWriteError};

const MESSAGE_PACK_HEAD: &[u8] = b"\xdc\0\0\xa7batch/1";
const JSON_HEAD: &[u8] = b"[\"batch/1\"";

/// Puts messages into an envelope.
///
/// ```
/// use dormouse::wire::{BatchFormat, BatchWriter};
///
/// let mut writer = BatchWriter::new(BatchFormat::Json);
/// writer.push(&("left", 3))?;
/// writer.push("the game begins")?;
/// assert_eq!((writer.messages(), writer.bytes()), (2, 39));
/// assert_eq!(writer.finish(), br#"["batch/1",["left",3],"the game begins"]"#);
/// # Ok::<(), dormouse::wire::BatchWriteError>(())
/// ```
#[derive(Debug, Clone)]
pub struct BatchWriter {
    format: BatchFormat,
    bytes: Vec<u8>,
    messages: u16,
}

impl BatchWriter {
    /// An envelope without messages.
    pub fn new(format: BatchFormat) -> BatchWriter {
        BatchWriter::reusing(format, Vec::new())
    }

    /// The same in memory that is there already; what is in it is forgotten.
    ///
    /// ```
    /// # use dormouse::wire::{BatchFormat, BatchWriter};
    /// let buffer = BatchWriter::new(BatchFormat::Json).finish();
    /// let again = BatchWriter::reusing(BatchFormat::MessagePack, buffer);
    /// assert_eq!(again.messages(), 0);
    /// ```
    pub fn reusing(format: BatchFormat, mut buffer: Vec<u8>) -> BatchWriter {
        buffer.clear();
        buffer.extend_from_slice(match format {
            BatchFormat::MessagePack => MESSAGE_PACK_HEAD,
            BatchFormat::Json => JSON_HEAD,
        });
        BatchWriter { format, bytes: buffer, messages: 0 }
    }

    /// Puts a message behind the others.
    ///
    /// # Errors
    /// [`BatchWriteError`]; the envelope is as before then.
    pub fn push<T: Serialize + ?Sized>(&mut self, message: &T) -> Result<(), BatchWriteError> {
        let before = self.bytes.len();
        self.begin_item()?;
        let written = encode_batch_item(self.format, message, &mut self.bytes);
        match written {
            Ok(()) => self.messages += 1,
            Err(_) => self.bytes.truncate(before),
        }
        written
    }

    /// Puts a message behind the others that [`encode_batch_item`] has written in the same format.
    ///
    /// # Errors
    /// [`BatchWriteError::Full`].
    ///
    /// ```
    /// # use dormouse::wire::{BatchFormat, BatchWriter, encode_batch_item};
    /// let mut item = Vec::new();
    /// encode_batch_item(BatchFormat::Json, "hello", &mut item)?;
    /// let mut writer = BatchWriter::new(BatchFormat::Json);
    /// writer.push_encoded(&item)?;
    /// assert_eq!(writer.finish(), br#"["batch/1","hello"]"#);
    /// # Ok::<(), dormouse::wire::BatchWriteError>(())
    /// ```
    pub fn push_encoded(&mut self, item: &[u8]) -> Result<(), BatchWriteError> {
        self.begin_item()?;
        self.bytes.extend_from_slice(item);
        self.messages += 1;
        Ok(())
    }

    fn begin_item(&mut self) -> Result<(), BatchWriteError> {
        if self.messages() >= BATCH_MESSAGES_MAX {
            return Err(BatchWriteError::Full);
        }
        if self.format == BatchFormat::Json {
            self.bytes.push(b',');
        }
        Ok(())
    }

    /// How it is written.
    ///
    /// ```
    /// # use dormouse::wire::{BatchFormat, BatchWriter};
    /// assert_eq!(BatchWriter::new(BatchFormat::Json).format(), BatchFormat::Json);
    /// ```
    pub fn format(&self) -> BatchFormat {
        self.format
    }

    /// How many messages it has.
    pub fn messages(&self) -> usize {
        usize::from(self.messages)
    }

    /// How many bytes it has so far.
    pub fn bytes(&self) -> usize {
        self.bytes.len()
    }

    /// The whole envelope. One without messages is read by nobody.
    pub fn finish(mut self) -> Vec<u8> {
        match self.format {
            BatchFormat::MessagePack => {
                let elements = 1 + self.messages;
                self.bytes[1..3].copy_from_slice(&elements.to_be_bytes());
            }
            BatchFormat::Json => self.bytes.push(b']'),
        }
        self.bytes
    }
}

/// Writes one message as it stands in an envelope, behind what `into` holds.
///
/// # Errors
/// [`BatchWriteError::Value`]; `into` may then end in the middle of the message.
///
/// ```
/// use dormouse::wire::{BatchFormat, encode_batch_item};
///
/// let mut item = Vec::new();
/// encode_batch_item(BatchFormat::MessagePack, &(1, true), &mut item)?;
/// assert_eq!(item, [0x92, 1, 0xc3]);
/// # Ok::<(), dormouse::wire::BatchWriteError>(())
/// ```
pub fn encode_batch_item<T: Serialize + ?Sized>(
    format: BatchFormat,
    message: &T,
    into: &mut Vec<u8>,
) -> Result<(), BatchWriteError> {
    let value = |message: String| BatchWriteError::Value { message };
    match format {
        BatchFormat::MessagePack => {
            rmp_serde::encode::write_named(into, message).map_err(|error| value(error.to_string()))
        }
        BatchFormat::Json => serde_json::to_writer(into, message).map_err(|error| value(error.to_string())),
    }
}
