//! An envelope as it is received. Owns what is an envelope and whether it is whole; its messages stay undecoded until
//! the application says as what it wants them.

use serde::Deserialize;

use super::{BATCH_MESSAGES_MAX, BatchError, BatchFormat, BatchItemError, NAME, VERSION, json, message_pack};
use crate::wire::MessageKind;

/// What is known of a message that is an envelope: with its bytes, a [`Batch`]. Small, and borrows nothing, so that it
/// can wait beside them.
///
/// ```
/// use dormouse::wire::{BatchFormat, BatchHead, MessageKind};
///
/// let text = br#"["batch/1",1,2]"#;
/// let head = BatchHead::parse(BatchFormat::Json, MessageKind::Text, text)?.expect("an envelope");
/// assert_eq!((head.messages(), head.of(text).iter().len()), (2, 2));
/// assert_eq!(size_of::<BatchHead>(), 4);
/// # Ok::<(), dormouse::wire::BatchError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchHead {
    format: BatchFormat,
    /// Where the messages begin.
    start: u8,
    messages: u16,
}

impl BatchHead {
    /// Looks whether a message is an envelope, and if so, through all of it. `None` is any other message.
    ///
    /// # Errors
    /// A [`BatchError`] when it begins as an envelope and is none.
    pub fn parse(
        format: BatchFormat,
        kind: MessageKind,
        payload: &[u8],
    ) -> Result<Option<BatchHead>, BatchError> {
        if kind != format.kind() {
            return Ok(None);
        }
        match format {
            BatchFormat::MessagePack => BatchHead::of_message_pack(payload),
            BatchFormat::Json => BatchHead::of_json(payload),
        }
    }

    fn of_message_pack(payload: &[u8]) -> Result<Option<BatchHead>, BatchError> {
        const STRING_OF_7: u8 = 0xa7;
        let Some((elements, size)) = message_pack::array_head(payload) else { return Ok(None) };
        let marker = payload[size..].strip_prefix(&[STRING_OF_7]);
        let Some([version, items @ ..]) = marker.and_then(|rest| rest.strip_prefix(NAME.as_bytes())) else {
            return Ok(None);
        };
        let Some(messages) = elements.checked_sub(1) else { return Ok(None) };
        if *version != VERSION {
            return Err(BatchError::Version);
        }
        let head = BatchHead::new(BatchFormat::MessagePack, payload.len() - items.len(), messages)?;
        let mut rest = items;
        for _ in 0..messages {
            let end = message_pack::end_of_value(rest).ok_or(BatchError::Malformed)?;
            rest = &rest[end..];
        }
        if rest.is_empty() { Ok(Some(head)) } else { Err(BatchError::Malformed) }
    }

    fn of_json(payload: &[u8]) -> Result<Option<BatchHead>, BatchError> {
        let marker = payload.strip_prefix(b"[\"").and_then(|rest| rest.strip_prefix(NAME.as_bytes()));
        let Some(version) = marker else { return Ok(None) };
        let [VERSION, b'"', items @ ..] = version else { return Err(BatchError::Version) };
        let start = payload.len() - items.len();
        let messages = json::count_messages(payload)?;
        Ok(Some(BatchHead::new(BatchFormat::Json, start, messages)?))
    }

    fn new(format: BatchFormat, start: usize, messages: usize) -> Result<BatchHead, BatchError> {
        match messages {
            0 => Err(BatchError::Empty),
            1..=BATCH_MESSAGES_MAX => Ok(BatchHead { format, start: start as u8, messages: messages as u16 }),
            _ => Err(BatchError::TooManyMessages),
        }
    }

    /// How many messages there are.
    pub fn messages(&self) -> usize {
        usize::from(self.messages)
    }

    /// The envelope that these bytes are: the same that this was parsed from.
    pub fn of(self, payload: &[u8]) -> Batch<'_> {
        Batch { head: self, items: payload.get(usize::from(self.start)..).unwrap_or_default() }
    }
}

/// The messages of one envelope: at least one, at most [`BATCH_MESSAGES_MAX`], in the order in which they were put in.
///
/// That it exists says that the envelope is whole. What the messages are, is seen when they are read.
///
/// ```
/// use dormouse::wire::{Batch, BatchFormat, MessageKind};
/// use serde::Deserialize;
///
/// #[derive(Deserialize, Debug, PartialEq)]
/// #[serde(rename_all = "snake_case")]
/// enum Wish<'a> {
///     Join(&'a str),
///     Go(u16, u16),
/// }
///
/// let text = br#"["batch/1",{"join":"Moss"},{"go":[800,450]}]"#;
/// let batch = Batch::parse(BatchFormat::Json, MessageKind::Text, text)?.expect("an envelope");
/// assert_eq!(batch.messages(), 2);
/// let wishes: Vec<Wish<'_>> = batch.iter().filter_map(|item| item.read().ok()).collect();
/// assert_eq!(wishes, [Wish::Join("Moss"), Wish::Go(800, 450)]);
/// // Any other message is none.
/// assert_eq!(Batch::parse(BatchFormat::Json, MessageKind::Text, br#"{"join":"Moss"}"#), Ok(None));
/// # Ok::<(), dormouse::wire::BatchError>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Batch<'a> {
    head: BatchHead,
    items: &'a [u8],
}

impl<'a> Batch<'a> {
    /// Looks whether a message is an envelope, and if so, through all of it. `None` is any other message. Text has to
    /// be UTF-8, as the session lets no other pass.
    ///
    /// # Errors
    /// A [`BatchError`] when it begins as an envelope and is none.
    pub fn parse(
        format: BatchFormat,
        kind: MessageKind,
        payload: &'a [u8],
    ) -> Result<Option<Batch<'a>>, BatchError> {
        Ok(BatchHead::parse(format, kind, payload)?.map(|head| head.of(payload)))
    }

    /// How many messages there are.
    pub fn messages(&self) -> usize {
        self.head.messages()
    }

    /// The messages, not yet decoded.
    pub fn iter(&self) -> BatchItems<'a> {
        BatchItems { format: self.head.format, rest: self.items, left: self.messages() }
    }
}

impl<'a> IntoIterator for Batch<'a> {
    type Item = BatchItem<'a>;
    type IntoIter = BatchItems<'a>;

    fn into_iter(self) -> BatchItems<'a> {
        self.iter()
    }
}

impl<'a> IntoIterator for &Batch<'a> {
    type Item = BatchItem<'a>;
    type IntoIter = BatchItems<'a>;

    fn into_iter(self) -> BatchItems<'a> {
        self.iter()
    }
}

/// The messages of a [`Batch`], one after the other; see [`Batch::iter`].
#[derive(Debug, Clone)]
pub struct BatchItems<'a> {
    format: BatchFormat,
    rest: &'a [u8],
    left: usize,
}

impl<'a> Iterator for BatchItems<'a> {
    type Item = BatchItem<'a>;

    fn next(&mut self) -> Option<BatchItem<'a>> {
        self.left = self.left.checked_sub(1)?;
        let bytes = match self.format {
            BatchFormat::MessagePack => {
                let (bytes, rest) = self.rest.split_at(message_pack::end_of_value(self.rest)?);
                self.rest = rest;
                bytes
            }
            BatchFormat::Json => json::take_value(&mut self.rest)?,
        };
        Some(BatchItem { format: self.format, bytes })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left, Some(self.left))
    }
}

impl ExactSizeIterator for BatchItems<'_> {}

/// One message of a [`Batch`], not yet decoded.
///
/// ```
/// use dormouse::wire::{Batch, BatchFormat, BatchWriter, MessageKind};
///
/// let mut writer = BatchWriter::new(BatchFormat::MessagePack);
/// writer.push(&(7, "seven"))?;
/// let bytes = writer.finish();
/// let batch = Batch::parse(BatchFormat::MessagePack, MessageKind::Binary, &bytes)?.expect("an envelope");
/// for item in batch {
///     assert_eq!(item.as_bytes(), b"\x92\x07\xa5seven");
///     // What can be borrowed is: this text lies where it was received.
///     let (number, text): (u32, &str) = item.read()?;
///     assert_eq!((number, text), (7, "seven"));
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BatchItem<'a> {
    format: BatchFormat,
    bytes: &'a [u8],
}

impl<'a> BatchItem<'a> {
    /// Decodes it. What the type can borrow is not copied.
    ///
    /// # Errors
    /// It is no `T`: a client's doing, so answer it (with Close 1007, say) instead of failing by it.
    pub fn read<T: Deserialize<'a>>(&self) -> Result<T, BatchItemError> {
        match self.format {
            BatchFormat::MessagePack => rmp_serde::from_slice(self.bytes)
                .map_err(|error| BatchItemError { message: error.to_string() }),
            BatchFormat::Json => serde_json::from_slice(self.bytes)
                .map_err(|error| BatchItemError { message: error.to_string() }),
        }
    }

    /// It as it was received: one value of the envelope's format.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.bytes
    }
}
