//! What an application attached as one thing and reads as another: MessagePack from anywhere, through the API.
//!
//! `MessagePack, or something like it`

use std::collections::BTreeMap;
use std::fmt;

use dormouse::{ApiError, WebSocketPair};
use serde::de::{DeserializeOwned, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The most that a socket keeps before anybody has accepted it.
const ATTACHMENT_BYTES_MAX: usize = 16_384;

/// Anything that MessagePack can say.
#[derive(Debug, Clone, PartialEq)]
enum Value {
    Nil,
    Bool(bool),
    Integer(i64),
    Unsigned(u64),
    Float(f64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    Map(Vec<(Value, Value)>),
}

/// Something that an application might attach.
#[derive(Debug, Serialize, Deserialize)]
struct Player {
    name: String,
    score: u32,
    #[serde(default)]
    place: Option<(f32, f32)>,
    kind: Kind,
}

#[derive(Debug, Serialize, Deserialize)]
enum Kind {
    Guest,
    Member(u64),
    Admin { since: i32, may: Vec<String> },
}

pub fn run(bytes: &[u8]) {
    read_as_everything(bytes);
    let Ok(value) = rmp_serde::from_slice::<Value>(bytes) else { return };
    let socket = WebSocketPair::new().server;
    assert_eq!(socket.deserialize_attachment::<String>(), Ok(None), "nothing was attached");
    socket.serialize_attachment("before").expect("a short text");
    match socket.serialize_attachment(&value) {
        Ok(()) => {
            let read: Value = socket.deserialize_attachment().expect("it was written").expect("and is there");
            assert!(is_same(&read, &value), "{value:?} came back as {read:?}");
            as_type::<Player>(&socket);
            as_type::<(u8, String)>(&socket);
            as_type::<Option<Kind>>(&socket);
            as_type::<BTreeMap<String, i64>>(&socket);
        }
        Err(ApiError::AttachmentTooLarge { bytes, limit }) => {
            assert!(bytes > limit && limit == ATTACHMENT_BYTES_MAX);
            assert_eq!(socket.deserialize_attachment(), Ok(Some("before".to_owned())), "the old value stays");
        }
        // Maps and lists deeper than the decoder would read again are refused when they are written.
        Err(ApiError::Attachment { .. }) => {}
        Err(error) => panic!("{error}"),
    }
}

/// An error or a value, and the same at each reading.
fn as_type<T: DeserializeOwned + fmt::Debug>(socket: &dormouse::WebSocket) {
    let first = format!("{:?}", socket.deserialize_attachment::<T>());
    assert_eq!(format!("{:?}", socket.deserialize_attachment::<T>()), first);
}

/// The bytes as they are, as an engine that kept attachments on a disk would find them.
fn read_as_everything(bytes: &[u8]) {
    let _ = rmp_serde::from_slice::<Player>(bytes);
    let _ = rmp_serde::from_slice::<Kind>(bytes);
    let _ = rmp_serde::from_slice::<Vec<Option<String>>>(bytes);
    let _ = rmp_serde::from_slice::<(u8, i16, f32, char, bool)>(bytes);
    let _ = rmp_serde::from_slice::<BTreeMap<String, Vec<u8>>>(bytes);
}

/// Equal, where a number that is none equals itself, and an integer is one whatever its sign could have been.
fn is_same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Float(one), Value::Float(other)) => one == other || one.is_nan() && other.is_nan(),
        (Value::Integer(signed), Value::Unsigned(unsigned))
        | (Value::Unsigned(unsigned), Value::Integer(signed)) => u64::try_from(*signed) == Ok(*unsigned),
        (Value::List(one), Value::List(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| is_same(one, other))
        }
        (Value::Map(one), Value::Map(other)) => {
            let is_same_pair = |(one, other): (&(Value, Value), &(Value, Value))| {
                is_same(&one.0, &other.0) && is_same(&one.1, &other.1)
            };
            one.len() == other.len() && one.iter().zip(other).all(is_same_pair)
        }
        _ => one == other,
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Value::Nil => serializer.serialize_unit(),
            Value::Bool(value) => serializer.serialize_bool(*value),
            Value::Integer(value) => serializer.serialize_i64(*value),
            Value::Unsigned(value) => serializer.serialize_u64(*value),
            Value::Float(value) => serializer.serialize_f64(*value),
            Value::Text(value) => serializer.serialize_str(value),
            Value::Bytes(value) => serializer.serialize_bytes(value),
            Value::List(values) => serializer.collect_seq(values),
            Value::Map(pairs) => serializer.collect_map(pairs.iter().map(|(key, value)| (key, value))),
        }
    }
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Value, D::Error> {
        deserializer.deserialize_any(AnyValue)
    }
}

struct AnyValue;

impl<'de> Visitor<'de> for AnyValue {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("anything")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Nil)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Unsigned(value))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Value::Float(value))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::Text(value.to_owned()))
    }

    fn visit_bytes<E>(self, value: &[u8]) -> Result<Value, E> {
        Ok(Value::Bytes(value.to_vec()))
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Value::deserialize(deserializer)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = access.next_element()? {
            values.push(value);
        }
        Ok(Value::List(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Value, A::Error> {
        let mut pairs = Vec::new();
        while let Some(pair) = access.next_entry()? {
            pairs.push(pair);
        }
        Ok(Value::Map(pairs))
    }
}
