//! Identity of objects and where they live. Owns the derivation of ids and the choice of the home shard, which are
//! stable for ever: stored state is found by them.
//!
//! ```text
//!  0                                       24            32
//!  | SHA-256(namespace, name) or random     | seal        |
//! ```
//! The seal is the start of SHA-256(namespace, first 24 bytes): a string from another namespace is recognised.

use std::fmt;
use std::sync::Arc;

use sha2::{Digest, Sha256};

use super::driver::ShardId;
use super::error::ApiError;

const BODY_BYTES: usize = 24;
const ID_BYTES: usize = 32;

/// The bare bytes of an id.
pub(crate) type IdBytes = [u8; ID_BYTES];

/// The id of an object in its namespace (Durable Objects API: `DurableObjectId`). Prints as 64 hex digits;
/// two ids are equal when these are.
///
/// ```no_run
/// # use dormouse::*;
/// # fn example(env: &Env) -> Result<()> {
/// let rooms = env.namespace("ROOM")?;
/// let id = rooms.id_from_name("lobby");
/// assert_eq!(id.name(), Some("lobby"));
/// assert_eq!(id.to_string().len(), 64);
/// assert_eq!(rooms.id_from_string(&id.to_string())?, id);
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct ObjectId {
    bytes: IdBytes,
    name: Option<Arc<str>>,
}

impl ObjectId {
    pub(crate) fn from_name(namespace: &str, name: &str) -> ObjectId {
        let digest = Sha256::new().chain_update(namespace).chain_update([0]).chain_update(name).finalize();
        let mut body = [0; BODY_BYTES];
        body.copy_from_slice(&digest[..BODY_BYTES]);
        ObjectId { bytes: sealed(namespace, body), name: Some(name.into()) }
    }

    pub(crate) fn from_random(namespace: &str, random: [u64; 3]) -> ObjectId {
        let mut body = [0; BODY_BYTES];
        for (chunk, word) in body.chunks_exact_mut(8).zip(random) {
            chunk.copy_from_slice(&word.to_le_bytes());
        }
        ObjectId { bytes: sealed(namespace, body), name: None }
    }

    pub(crate) fn from_hex(namespace: &str, hex: &str) -> Result<ObjectId, ApiError> {
        let invalid = || ApiError::InvalidId { id: hex.to_owned() };
        if hex.len() != 2 * ID_BYTES || !hex.is_ascii() {
            return Err(invalid());
        }
        let mut bytes = [0; ID_BYTES];
        for (at, byte) in bytes.iter_mut().enumerate() {
            let digits = &hex[2 * at..2 * at + 2];
            // `from_str_radix` would also take a sign.
            if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
                return Err(invalid());
            }
            *byte = u8::from_str_radix(digits, 16).map_err(|_| invalid())?;
        }
        let mut body = [0; BODY_BYTES];
        body.copy_from_slice(&bytes[..BODY_BYTES]);
        if sealed(namespace, body) != bytes {
            return Err(invalid());
        }
        Ok(ObjectId { bytes, name: None })
    }

    pub(crate) fn from_parts(bytes: IdBytes, name: Option<Arc<str>>) -> ObjectId {
        ObjectId { bytes, name }
    }

    pub(crate) fn bytes(&self) -> IdBytes {
        self.bytes
    }

    pub(crate) fn shared_name(&self) -> Option<Arc<str>> {
        self.name.clone()
    }

    /// The name this id was made from, if it was made from one.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(env: &Env) -> Result<()> {
    /// let rooms = env.namespace("ROOM")?;
    /// assert_eq!(rooms.id_from_name("lobby").name(), Some("lobby"));
    /// // The digits do not tell the name.
    /// let digits = rooms.id_from_name("lobby").to_string();
    /// assert_eq!(rooms.id_from_string(&digits)?.name(), None);
    /// # Ok(())
    /// # }
    /// ```
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Whether both name the same object. The same as `==`.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(env: &Env) -> Result<()> {
    /// let rooms = env.namespace("ROOM")?;
    /// assert!(rooms.id_from_name("lobby").equals(&rooms.id_from_name("lobby")));
    /// assert!(!rooms.new_unique_id().equals(&rooms.new_unique_id()));
    /// # Ok(())
    /// # }
    /// ```
    pub fn equals(&self, other: &ObjectId) -> bool {
        self == other
    }

    /// The shard, of `shards`, on which this object lives: a pure function of the id.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(env: &Env) -> Result<()> {
    /// let id = env.namespace("ROOM")?.id_from_name("lobby");
    /// assert_eq!(id.home_shard(1).0, 0);
    /// assert!(id.home_shard(8).0 < 8);
    /// # Ok(())
    /// # }
    /// ```
    pub fn home_shard(&self, shards: u16) -> ShardId {
        home_shard(&self.bytes, shards)
    }
}

/// The bytes are a hash or random already, so their first eight, scaled to the number of shards, spread evenly.
pub(crate) fn home_shard(bytes: &IdBytes, shards: u16) -> ShardId {
    let head = u64::from_be_bytes(bytes[..8].try_into().expect("eight bytes"));
    ShardId(((u128::from(head) * u128::from(shards.max(1))) >> 64) as u16)
}

fn sealed(namespace: &str, body: [u8; BODY_BYTES]) -> IdBytes {
    let seal = Sha256::new().chain_update(namespace).chain_update([1]).chain_update(body).finalize();
    let mut bytes = [0; ID_BYTES];
    bytes[..BODY_BYTES].copy_from_slice(&body);
    bytes[BODY_BYTES..].copy_from_slice(&seal[..ID_BYTES - BODY_BYTES]);
    bytes
}

impl PartialEq for ObjectId {
    fn eq(&self, other: &ObjectId) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for ObjectId {}

impl std::hash::Hash for ObjectId {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.bytes.hash(state);
    }
}

impl fmt::Display for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ObjectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ObjectId({self}")?;
        match &self.name {
            Some(name) => write!(f, ", {name:?})"),
            None => f.write_str(")"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// SEMANTICS 1: golden values. A change here moves every object of every user.
    #[test]
    fn ids_and_home_shards_never_change() {
        let golden =
            [("ROOM", "/room", GOLDEN_ROOM, [0, 0, 1, 7]), ("ROOM", "", GOLDEN_EMPTY, [0, 1, 2, 10])];
        for (namespace, name, hex, shards) in golden {
            let id = ObjectId::from_name(namespace, name);
            assert_eq!(id.to_string(), hex);
            assert_eq!([1, 2, 4, 16].map(|count| id.home_shard(count).0), shards, "{name:?}");
        }
    }

    const GOLDEN_ROOM: &str = "75ef075dcadcadfdfe43001e89bc47082f2682d3db56cb2553cebd09ef1ab0af";
    const GOLDEN_EMPTY: &str = "a352d9cb44ae58d2ad21cccb9550d58e0c5acdf610496d8b01c209f747ea2eba";

    #[test]
    fn a_string_is_an_id_only_in_its_own_namespace() {
        let id = ObjectId::from_random("ROOM", [1, 2, 3]);
        let hex = id.to_string();
        assert_eq!(hex.len(), 64);
        assert!(ObjectId::from_hex("ROOM", &hex).unwrap().equals(&id));
        assert!(ObjectId::from_hex("ROOM", &hex.to_uppercase()).unwrap().equals(&id));
        for (namespace, text) in
            [("ECHO", hex.as_str()), ("ROOM", &hex[1..]), ("ROOM", ""), ("ROOM", &"+1".repeat(32))]
        {
            assert_eq!(ObjectId::from_hex(namespace, text), Err(ApiError::InvalidId { id: text.to_owned() }));
        }
    }

    #[test]
    fn an_id_keeps_its_name_and_equals_by_its_digits() {
        let named = ObjectId::from_name("ROOM", "foo");
        assert_eq!(named.name(), Some("foo"));
        let parsed = ObjectId::from_hex("ROOM", &named.to_string()).unwrap();
        assert_eq!(parsed.name(), None);
        assert_eq!(named, parsed);
        assert_ne!(named, ObjectId::from_name("ROOM", "bar"));
    }

    #[test]
    fn homes_spread_evenly() {
        let mut counts = [0u32; 8];
        for n in 0..8_000 {
            counts[usize::from(ObjectId::from_name("ROOM", &n.to_string()).home_shard(8).0)] += 1;
        }
        assert!(counts.iter().all(|count| (850..1150).contains(count)), "{counts:?}");
    }
}
