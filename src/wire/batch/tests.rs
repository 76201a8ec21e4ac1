//! Envelopes byte for byte, whole and broken, and against values of any kind.

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::{Deserialize, Serialize};

use super::*;

const FORMATS: [BatchFormat; 2] = [BatchFormat::MessagePack, BatchFormat::Json];

fn parse(format: BatchFormat, bytes: &[u8]) -> Result<Option<Batch<'_>>, BatchError> {
    Batch::parse(format, format.kind(), bytes)
}

fn written<T: Serialize>(format: BatchFormat, messages: &[T]) -> Vec<u8> {
    let mut writer = BatchWriter::new(format);
    messages.iter().for_each(|message| writer.push(message).unwrap());
    assert_eq!(writer.messages(), messages.len());
    writer.finish()
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Move {
    id: u16,
    x: u16,
}

/// The example of docs/batching.md.
#[test]
fn the_documented_example_is_what_is_written() {
    let moves = [Move { id: 1, x: 800 }, Move { id: 2, x: 30 }];
    let json = br#"["batch/1",{"id":1,"x":800},{"id":2,"x":30}]"#;
    let message_pack = [
        b"\xdc\x00\x03".as_slice(),
        b"\xa7batch/1",
        b"\x82\xa2id\x01\xa1x\xcd\x03\x20",
        b"\x82\xa2id\x02\xa1x\x1e",
    ]
    .concat();
    for (format, bytes) in [(BatchFormat::Json, json.as_slice()), (BatchFormat::MessagePack, &message_pack)] {
        assert_eq!(written(format, &moves), bytes);
        let batch = parse(format, bytes).unwrap().unwrap();
        let read: Vec<Move> = batch.iter().map(|item| item.read().unwrap()).collect();
        assert_eq!(read, moves);
    }
}

/// What the encoders of other languages write: the shortest head of an array, or spaces.
#[test]
fn every_head_of_an_array_and_every_space_is_read() {
    let message_pack: [&[u8]; 3] =
        [b"\x92\xa7batch/1\x05", b"\xdc\0\x02\xa7batch/1\x05", b"\xdd\0\0\0\x02\xa7batch/1\x05"];
    for bytes in message_pack {
        let batch = parse(BatchFormat::MessagePack, bytes).unwrap().unwrap();
        assert_eq!(batch.iter().map(|item| item.read().unwrap()).collect::<Vec<u8>>(), [5]);
    }
    for text in ["[\"batch/1\",5]", "[\"batch/1\", 5]", "[\"batch/1\"\n,\t5 ]\r\n"] {
        let batch = parse(BatchFormat::Json, text.as_bytes()).unwrap().unwrap();
        let items: Vec<&[u8]> = batch.iter().map(|item| item.as_bytes()).collect();
        assert_eq!(items, [b"5"], "{text}");
    }
}

#[test]
fn what_does_not_begin_as_an_envelope_is_none() {
    let message_pack: [&[u8]; 9] = [
        b"",
        b"\x20\x03\xc2\x01",
        b"\xdc",
        b"\xdc\0\x02\xa7batc",
        b"\x92\xa7batch/",
        b"\x92\xd9\x07batch/1\x05",
        b"\x92\xc4\x07batch/1\x05",
        b"\x90\xa7batch/1",
        b"\xa7batch/1",
    ];
    for bytes in message_pack {
        assert_eq!(parse(BatchFormat::MessagePack, bytes), Ok(None), "{bytes:x?}");
    }
    for text in ["", "[", "[\"batch", "batch/1", "{\"batch/1\":1}", " [\"batch/1\",5]", "[ \"batch/1\",5]"] {
        assert_eq!(parse(BatchFormat::Json, text.as_bytes()), Ok(None), "{text}");
    }
    // The other kind of message carries none.
    for format in FORMATS {
        let bytes = written(format, &[1]);
        let other = FORMATS.into_iter().find(|other| *other != format).unwrap();
        assert_eq!(Batch::parse(format, other.kind(), &bytes), Ok(None));
        assert_eq!(Batch::parse(other, format.kind(), &bytes), Ok(None));
    }
}

#[test]
fn what_begins_as_an_envelope_and_is_none_is_broken() {
    use BatchError::*;
    let message_pack: [(&[u8], BatchError); 9] = [
        (b"\x92\xa7batch/2\x05", Version),
        (b"\x92\xa7batch/\x00\x05", Version),
        (b"\x91\xa7batch/1", Empty),
        (b"\x91\xa7batch/1\x05", Empty),
        (b"\x92\xa7batch/1", Malformed),
        (b"\x92\xa7batch/1\xc1", Malformed),
        (b"\x92\xa7batch/1\x05\x05", Malformed),
        (b"\xdd\0\0\x10\x01\xa7batch/1\xdf\xff\xff\xff\xff", Malformed),
        (b"\xdd\xff\xff\xff\xff\xa7batch/1\x05", TooManyMessages),
    ];
    for (bytes, error) in message_pack {
        assert_eq!(parse(BatchFormat::MessagePack, bytes), Err(error), "{bytes:x?}");
    }
    let json = [
        ("[\"batch/2\",5]", Version),
        ("[\"batch/11\",5]", Version),
        ("[\"batch/", Version),
        ("[\"batch/1\"]", Empty),
        ("[\"batch/1\"", Malformed),
        ("[\"batch/1\",", Malformed),
        ("[\"batch/1\",]", Malformed),
        ("[\"batch/1\",5", Malformed),
        ("[\"batch/1\",5,]", Malformed),
        ("[\"batch/1\" 5]", Malformed),
        ("[\"batch/1\",5]]", Malformed),
        ("[\"batch/1\",5]5", Malformed),
        ("[\"batch/1\",{5}]", Malformed),
        ("[\"batch/1\",[5}]", Malformed),
        ("[\"batch/1\",tru]", Malformed),
        ("[\"batch/1\",\"\\x\"]", Malformed),
        ("[\"batch/1\",\"\n\"]", Malformed),
    ];
    for (text, error) in json {
        assert_eq!(parse(BatchFormat::Json, text.as_bytes()), Err(error), "{text}");
    }
}

#[test]
fn an_envelope_is_cut_nowhere_without_notice() {
    for format in FORMATS {
        let bytes = written(format, &[("left", Some(1.5)), ("a \"quoted\" ] text, and more", None)]);
        let begins_at = if format == BatchFormat::Json { 8 } else { 11 };
        for cut in 0..bytes.len() {
            match parse(format, &bytes[..cut]) {
                Ok(None) => assert!(cut < begins_at, "{format:?} cut at {cut}"),
                Ok(Some(batch)) => panic!("{format:?} cut at {cut}: {batch:?}"),
                Err(error) => assert!(cut >= begins_at, "{format:?} cut at {cut}: {error}"),
            }
        }
    }
}

#[test]
fn an_envelope_holds_as_many_messages_as_it_may() {
    for format in FORMATS {
        let mut writer = BatchWriter::new(format);
        for _ in 0..BATCH_MESSAGES_MAX {
            writer.push(&0).unwrap();
        }
        assert_eq!(writer.push(&0), Err(BatchWriteError::Full));
        assert_eq!(writer.push_encoded(b"0"), Err(BatchWriteError::Full));
        let bytes = writer.finish();
        let batch = parse(format, &bytes).unwrap().unwrap();
        assert_eq!((batch.messages(), batch.iter().count()), (BATCH_MESSAGES_MAX, BATCH_MESSAGES_MAX));
    }
    let text = format!("[\"batch/1\"{}]", ",0".repeat(BATCH_MESSAGES_MAX + 1));
    assert_eq!(parse(BatchFormat::Json, text.as_bytes()), Err(BatchError::TooManyMessages));
    let elements = u16::try_from(BATCH_MESSAGES_MAX + 2).unwrap().to_be_bytes();
    let bytes = [b"\xdc", &elements[..], b"\xa7batch/1", &[0; BATCH_MESSAGES_MAX + 1]].concat();
    assert_eq!(parse(BatchFormat::MessagePack, &bytes), Err(BatchError::TooManyMessages));
}

/// A value that fails when half of it is written.
struct Failing;

impl Serialize for Failing {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        use serde::ser::{Error, SerializeSeq};
        let mut list = serializer.serialize_seq(Some(2))?;
        list.serialize_element("one")?;
        Err(S::Error::custom("no second one"))
    }
}

#[test]
fn what_cannot_be_written_leaves_no_trace() {
    for format in FORMATS {
        let mut writer = BatchWriter::new(format);
        writer.push("before").unwrap();
        let bytes = writer.bytes();
        let error = writer.push(&Failing).unwrap_err();
        assert!(error.to_string().contains("no second one"), "{error}");
        assert_eq!((writer.messages(), writer.bytes()), (1, bytes));
        writer.push("behind").unwrap();
        assert_eq!(writer.finish(), written(format, &["before", "behind"]));
    }
}

#[test]
fn one_message_of_another_type_spoils_no_other() {
    for format in FORMATS {
        let mut writer = BatchWriter::new(format);
        writer.push(&1).unwrap();
        writer.push("two").unwrap();
        writer.push(&3).unwrap();
        let bytes = writer.finish();
        let batch = parse(format, &bytes).unwrap().unwrap();
        let read: Vec<Result<u8, BatchItemError>> = batch.iter().map(|item| item.read()).collect();
        assert!(matches!(read[..], [Ok(1), Err(_), Ok(3)]), "{read:?}");
    }
}

/// As `docs/batching.md` has it. That the envelope is a level around them costs them none.
#[test]
fn one_message_too_deep_spoils_no_other() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Nested(Vec<Nested>);

    let nested = |levels| (1..levels).fold(Nested(Vec::new()), |inner, _| Nested(vec![inner]));
    for (format, levels_max) in [(BatchFormat::Json, 127), (BatchFormat::MessagePack, 1_023)] {
        let bytes = written(format, &[nested(levels_max), nested(levels_max + 1), nested(1)]);
        let batch = parse(format, &bytes).unwrap().unwrap();
        let read: Vec<bool> = batch.iter().map(|item| item.read::<Nested>().is_ok()).collect();
        assert_eq!(read, [true, false, true], "{format:?}");
    }
}

/// Anything that both formats can say.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
enum Value {
    Nothing(()),
    Truth(bool),
    Number(i64),
    Fraction(f64),
    Text(String),
    List(Vec<Value>),
    Map(BTreeMap<String, Value>),
}

fn values() -> impl Strategy<Value = Value> {
    let text = || prop_oneof![".{0,12}", r#"[\[\]{}",:\\ bath/1]{0,12}"#];
    let leaf = prop_oneof![
        Just(Value::Nothing(())),
        any::<bool>().prop_map(Value::Truth),
        any::<i64>().prop_map(Value::Number),
        (-1e9..1e9).prop_map(|number: f64| Value::Fraction(number.trunc() + 0.5)),
        text().prop_map(Value::Text),
    ];
    leaf.prop_recursive(4, 40, 20, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..20).prop_map(Value::List),
            prop::collection::btree_map(text(), inner, 0..20).prop_map(Value::Map),
        ]
    })
}

proptest! {
    #[test]
    fn what_was_put_in_comes_out(messages in prop::collection::vec(values(), 1..20)) {
        for format in FORMATS {
            let bytes = written(format, &messages);
            let batch = parse(format, &bytes).unwrap().unwrap();
            prop_assert_eq!(batch.messages(), messages.len());
            let read: Vec<Value> = batch.iter().map(|item| item.read().unwrap()).collect();
            prop_assert_eq!(&read, &messages);
            // Put together again as they came, undecoded, they are the same envelope.
            let mut writer = BatchWriter::reusing(format, b"whatever".to_vec());
            for item in &batch {
                writer.push_encoded(item.as_bytes()).unwrap();
            }
            prop_assert_eq!(writer.finish(), bytes);
        }
    }

    #[test]
    fn what_is_no_batch_makes_no_trouble(
        mut bytes in prop::collection::vec(any::<u8>(), 0..80),
        head in prop::sample::select(vec![&b""[..], b"\x9f\xa7batch/1", b"\xdc\0\x03\xa7batch/1", b"[\"batch/1\","]),
    ) {
        bytes.splice(0..0, head.iter().copied());
        for format in FORMATS {
            if let Ok(Some(batch)) = parse(format, &bytes) {
                prop_assert_eq!(batch.iter().count(), batch.messages());
                batch.iter().for_each(|item| drop(item.read::<Value>()));
            }
        }
    }
}
