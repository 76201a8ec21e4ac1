//! Batch envelopes from anywhere, in both formats, against the crates that know these; and what we write, read again.
//!
//! `[format] a message, perhaps an envelope`

use std::io::Cursor;

use dormouse::wire::{
    BATCH_MESSAGES_MAX, Batch, BatchError, BatchFormat, BatchItem, BatchWriter, MessageKind,
};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;

use super::input::Choices;

/// Most levels of arrays and objects that `serde_json` reads.
const JSON_LEVELS_MAX: usize = 127;

pub fn run(bytes: &[u8]) {
    let mut choices = Choices::new(bytes);
    let (format, other) = match choices.is() {
        true => (BatchFormat::Json, MessageKind::Binary),
        false => (BatchFormat::MessagePack, MessageKind::Text),
    };
    let payload = choices.rest();
    assert_eq!(Batch::parse(format, other, payload), Ok(None), "the other kind of message carries none");
    let parsed = Batch::parse(format, format.kind(), payload);
    if let Ok(Some(batch)) = &parsed {
        keeps_its_word(format, batch);
    }
    match format {
        // The session lets no other text pass.
        BatchFormat::Json if str::from_utf8(payload).is_ok() => against_serde_json(payload, &parsed),
        BatchFormat::Json => {}
        BatchFormat::MessagePack => against_rmp_serde(payload, &parsed),
    }
}

/// What is an envelope has the messages that it says, and is the same put together again.
fn keeps_its_word(format: BatchFormat, batch: &Batch<'_>) {
    let items: Vec<BatchItem<'_>> = batch.iter().collect();
    assert!((1..=BATCH_MESSAGES_MAX).contains(&items.len()));
    assert_eq!((items.len(), batch.iter().len()), (batch.messages(), batch.messages()));
    let mut writer = BatchWriter::new(format);
    for item in &items {
        assert!(!item.as_bytes().is_empty());
        writer.push_encoded(item.as_bytes()).expect("as many as there were");
        let _ = item.read::<(u8, &str)>();
        let _ = item.read::<Option<Vec<u64>>>();
        let _ = item.read::<IgnoredAny>();
    }
    let written = writer.finish();
    let again = Batch::parse(format, format.kind(), &written).expect("whole").expect("an envelope");
    assert!(again.iter().map(|item| item.as_bytes()).eq(items.iter().map(|item| item.as_bytes())));
}

fn against_serde_json(payload: &[u8], parsed: &Result<Option<Batch<'_>>, BatchError>) {
    let begins = payload.starts_with(b"[\"batch/");
    let values = serde_json::from_slice::<Vec<Value>>(payload);
    match (parsed, values) {
        (Ok(None), _) => assert!(!begins),
        (Err(_), Err(_)) => assert!(begins),
        (Err(error), Ok(values)) => {
            assert!(begins);
            // As it stands there: the same version written with an escape is another one.
            let expected = match (payload.starts_with(b"[\"batch/1\""), values.len() - 1) {
                (true, 0) => BatchError::Empty,
                (true, _) => BatchError::TooManyMessages,
                (false, _) => BatchError::Version,
            };
            assert_eq!(*error, expected, "{values:?}");
        }
        (Ok(Some(batch)), Ok(values)) => {
            let read: Vec<Value> = batch.iter().map(|item| item.read().expect("a value")).collect();
            assert_eq!(read, values[1..]);
            write_and_read(&read);
        }
        // Deeper than a value may be, or a number that no type has: a message's own affair. The array around them is a
        // level too, for `serde_json` that reads them all at once.
        (Ok(Some(batch)), Err(error)) => {
            let is_reason = |item: BatchItem<'_>| match item.read() {
                Ok(value) => levels(&value) == JSON_LEVELS_MAX,
                Err(_) => true,
            };
            assert!(batch.iter().any(is_reason), "{error}");
        }
    }
}

/// How many arrays and objects stand one in the other.
fn levels(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(levels).max().unwrap_or(0),
        Value::Object(fields) => 1 + fields.values().map(levels).max().unwrap_or(0),
        _ => 0,
    }
}

fn against_rmp_serde(payload: &[u8], parsed: &Result<Option<Batch<'_>>, BatchError>) {
    let Ok(Some(batch)) = parsed else {
        if let Ok((marker, message)) = rmp_serde::from_slice::<(&str, u8)>(payload) {
            let is_minimal = payload[0] == 0x92 && payload[1] == 0xa7;
            assert!(marker != "batch/1" || !is_minimal || payload.len() > 10, "{message} was not found");
        }
        return;
    };
    let mut messages = 0;
    for item in batch {
        let mut deserializer = rmp_serde::Deserializer::new(Cursor::new(item.as_bytes()));
        if IgnoredAny::deserialize(&mut deserializer).is_ok() {
            assert_eq!(deserializer.position(), item.as_bytes().len() as u64, "{item:x?}");
        }
        messages += item.as_bytes().len();
    }
    let head = payload.len() - messages;
    assert!(
        [9, 11, 13].contains(&head) && payload[..head].ends_with(b"\xa7batch/1"),
        "nothing is between them"
    );
}

/// What is written in either format is read.
fn write_and_read(values: &[Value]) {
    for format in [BatchFormat::Json, BatchFormat::MessagePack] {
        let mut writer = BatchWriter::new(format);
        // The encoder of MessagePack refuses what its decoder would not read.
        let written: Vec<&Value> = values.iter().filter(|value| writer.push(value).is_ok()).collect();
        if written.is_empty() {
            continue;
        }
        let bytes = writer.finish();
        let batch = Batch::parse(format, format.kind(), &bytes).expect("whole").expect("an envelope");
        let read: Vec<Value> = batch.iter().map(|item| item.read().expect("what was written")).collect();
        // As JSON, a fraction may come back as its neighbour; from `serde_json` alone it does so too.
        let as_json = |value: &&Value| serde_json::from_str(&value.to_string()).expect("a value");
        let expected: Vec<Value> = match format {
            BatchFormat::Json => written.iter().map(as_json).collect(),
            BatchFormat::MessagePack => written.into_iter().cloned().collect(),
        };
        assert_eq!(read, expected, "{values:?}");
    }
}
