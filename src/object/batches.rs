//! The batches of one object that wait to be sent. Owns who each is for, their order, and the bound on what waits; when
//! one leaves is said by `batcher`.
//!
//! ```text
//!   everyone, tag, socket --index--> number --> waiting: 7 | 8 | 12 | ...     the older, the sooner due
//! ```

use std::collections::{BTreeMap, HashMap};

use super::slab::Key;
use crate::wire::{BatchWriteError, BatchWriter};

/// The most that the waiting batches of one object are charged together; beyond it its oldest leave early. As much as
/// four sockets may have queued.
pub(crate) const OBJECT_BYTES_MAX: usize = 4 << 20;

/// The most that those of all objects of a shard are charged; beyond it those of the object that pushes leave, and are
/// output like any other, which has its own bound.
pub(crate) const SHARD_BYTES_MAX: usize = 64 << 20;

/// What a batch is charged beside its bytes, for its record and its places in the tables. It bounds the number of those
/// that wait to 16,384 an object. A buffer that grows may have as much spare as it has in use.
const CHARGE_BYTES: usize = 256;

/// For whom a batch is. What is said to one address keeps its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Address<S> {
    Everyone,
    Tag(S),
    Socket(Key),
}

/// One batch.
#[derive(Debug)]
pub(crate) struct Waiting {
    pub(crate) to: Address<Box<str>>,
    pub(crate) writer: BatchWriter,
    due_ms: u64,
}

impl Waiting {
    fn charge(&self) -> usize {
        let name = if let Address::Tag(tag) = &self.to { 2 * tag.len() } else { 0 };
        CHARGE_BYTES + self.writer.bytes() + name
    }
}

/// What waits, in the order in which it was begun.
#[derive(Debug, Default)]
pub(crate) struct Batches {
    waiting: BTreeMap<u64, Waiting>,
    begun: u64,
    everyone: Option<u64>,
    tags: HashMap<Box<str>, u64>,
    sockets: HashMap<Key, u64>,
    /// What all of them are charged.
    charged_bytes: usize,
}

impl Batches {
    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub(crate) fn number_of(&self, to: Address<&str>) -> Option<u64> {
        match to {
            Address::Everyone => self.everyone,
            Address::Tag(tag) => self.tags.get(tag).copied(),
            Address::Socket(socket) => self.sockets.get(&socket).copied(),
        }
    }

    /// Begins a batch for an address that has none.
    pub(crate) fn begin(&mut self, to: Address<&str>, writer: BatchWriter, due_ms: u64) -> u64 {
        self.begun += 1;
        let number = self.begun;
        let to = match to {
            Address::Everyone => {
                self.everyone = Some(number);
                Address::Everyone
            }
            Address::Tag(tag) => {
                self.tags.insert(tag.into(), number);
                Address::Tag(tag.into())
            }
            Address::Socket(socket) => {
                self.sockets.insert(socket, number);
                Address::Socket(socket)
            }
        };
        let waiting = Waiting { to, writer, due_ms };
        self.charged_bytes += waiting.charge();
        self.waiting.insert(number, waiting);
        number
    }

    /// Puts a message into a batch; how many it has then, and how many bytes.
    pub(crate) fn push(&mut self, number: u64, item: &[u8]) -> Result<(usize, usize), BatchWriteError> {
        let Some(waiting) = self.waiting.get_mut(&number) else { return Err(BatchWriteError::Full) };
        let before = waiting.charge();
        waiting.writer.push_encoded(item)?;
        self.charged_bytes += waiting.charge() - before;
        Ok((waiting.writer.messages(), waiting.writer.bytes()))
    }

    /// What all of them are charged; 0 when there are none.
    pub(crate) fn charged_bytes(&self) -> usize {
        self.charged_bytes
    }

    /// Takes a batch out.
    pub(crate) fn take(&mut self, number: u64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&number)?;
        match &waiting.to {
            Address::Everyone => self.everyone = None,
            Address::Tag(tag) => drop(self.tags.remove(tag)),
            Address::Socket(socket) => drop(self.sockets.remove(socket)),
        }
        self.charged_bytes -= waiting.charge();
        debug_assert!(self.charged_bytes >= self.waiting.len() * CHARGE_BYTES);
        debug_assert!(!self.is_empty() || self.charged_bytes == 0);
        Some(waiting)
    }

    /// Takes the oldest batch out.
    pub(crate) fn take_oldest(&mut self) -> Option<Waiting> {
        let number = *self.waiting.keys().next()?;
        self.take(number)
    }

    /// Takes the oldest batch out that is due.
    pub(crate) fn take_due(&mut self, now_ms: u64) -> Option<Waiting> {
        if self.next_due_ms()? > now_ms { None } else { self.take_oldest() }
    }

    /// When the oldest is due.
    pub(crate) fn next_due_ms(&self) -> Option<u64> {
        self.waiting.values().next().map(|waiting| waiting.due_ms)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::BatchFormat;

    const SOCKET: Address<&str> = Address::Socket(Key { index: 1, generation: 1 });

    fn begin(batches: &mut Batches, to: Address<&str>, due_ms: u64) -> u64 {
        batches.begin(to, BatchWriter::new(BatchFormat::Json), due_ms)
    }

    #[test]
    fn each_address_has_one_batch_and_the_oldest_is_due_first() {
        let mut batches = Batches::default();
        let addresses = [Address::Tag("red"), SOCKET, Address::Everyone, Address::Tag("blue")];
        for (index, address) in addresses.into_iter().enumerate() {
            assert_eq!(batches.number_of(address), None);
            let number = begin(&mut batches, address, 50 + index as u64);
            assert_eq!(batches.number_of(address), Some(number));
        }
        assert!(batches.take_due(49).is_none());
        assert_eq!(batches.take_due(51).unwrap().to, Address::Tag("red".into()));
        assert_eq!(batches.take_due(51).unwrap().writer.messages(), 0);
        assert!(batches.take_due(51).is_none());
        assert_eq!((batches.number_of(SOCKET), batches.next_due_ms()), (None, Some(52)));
        // One that leaves out of its turn moves no other.
        let blue = batches.number_of(Address::Tag("blue")).unwrap();
        assert!(batches.take(blue).is_some() && batches.take(blue).is_none());
        assert_eq!(batches.take_oldest().unwrap().to, Address::Everyone);
        assert!(batches.is_empty() && batches.take_oldest().is_none());
    }

    #[test]
    fn what_waits_is_charged_and_given_back() {
        let mut batches = Batches::default();
        let number = begin(&mut batches, Address::Everyone, 0);
        let item = vec![b'0'; OBJECT_BYTES_MAX / 4];
        for _ in 0..3 {
            batches.push(number, &item).unwrap();
            assert!(batches.charged_bytes() <= OBJECT_BYTES_MAX);
        }
        assert_eq!(batches.push(number, &item).unwrap().0, 4);
        assert!(batches.charged_bytes() > OBJECT_BYTES_MAX);
        batches.take(number);
        assert_eq!(batches.charged_bytes(), 0);
        let tags = (0..).map(|number| number.to_string());
        let bound = tags.take_while(|tag| {
            begin(&mut batches, Address::Tag(tag), 0);
            batches.charged_bytes() <= OBJECT_BYTES_MAX
        });
        assert!(bound.count() <= 16_384);
    }
}
