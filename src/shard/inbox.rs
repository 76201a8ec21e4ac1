//! A shard's inbox: what other shards have for it.
//!
//! Owns the queue and its limit. A sender's messages arrive in the order it sent them; between senders there is
//! none. A full inbox takes what fits; the sender keeps the rest, and is told when there is room.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::object::driver::ShardId;

/// Messages that may wait for one shard; then senders wait. A turn of all other shards fits many times over.
pub(super) const INBOX_MESSAGES_MAX: usize = 65_536;

/// Messages for one shard.
pub(super) struct Inbox<M> {
    queue: Mutex<Queue<M>>,
    /// `queue.messages.len()`, so that an empty inbox is seen without the lock.
    length: AtomicUsize,
}

struct Queue<M> {
    messages: Vec<M>,
    refused: Vec<ShardId>,
}

impl<M> Inbox<M> {
    /// An empty inbox.
    pub(super) fn new() -> Self {
        let queue = Queue { messages: Vec::new(), refused: Vec::new() };
        Self { queue: Mutex::new(queue), length: AtomicUsize::new(0) }
    }

    /// Moves messages from the front of `outgoing` in, as many as there is room for, and returns how many. If some
    /// remain, `sender` is among those that the next [`Self::take`] names.
    pub(super) fn put(&self, sender: ShardId, outgoing: &mut VecDeque<M>) -> usize {
        let mut queue = self.lock();
        let room = INBOX_MESSAGES_MAX - queue.messages.len();
        let count = room.min(outgoing.len());
        queue.messages.extend(outgoing.drain(..count));
        if !outgoing.is_empty() && !queue.refused.contains(&sender) {
            queue.refused.push(sender);
        }
        debug_assert!(queue.messages.len() <= INBOX_MESSAGES_MAX);
        self.length.store(queue.messages.len(), Ordering::Release);
        count
    }

    /// Swaps all messages into `messages`, which must be empty, and the senders that were refused into `refused`.
    pub(super) fn take(&self, messages: &mut Vec<M>, refused: &mut Vec<ShardId>) {
        debug_assert!(messages.is_empty() && refused.is_empty());
        if self.is_empty() {
            return;
        }
        let mut queue = self.lock();
        std::mem::swap(&mut queue.messages, messages);
        std::mem::swap(&mut queue.refused, refused);
        self.length.store(0, Ordering::Release);
    }

    /// Whether there is no message.
    pub(super) fn is_empty(&self) -> bool {
        self.length.load(Ordering::Acquire) == 0
    }

    fn lock(&self) -> MutexGuard<'_, Queue<M>> {
        // A panic in here is one of the allocator's; the queue is whole at each point where it could happen.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: ShardId = ShardId(1);
    const B: ShardId = ShardId(2);

    fn take(inbox: &Inbox<usize>) -> (Vec<usize>, Vec<ShardId>) {
        let (mut messages, mut refused) = (Vec::new(), Vec::new());
        inbox.take(&mut messages, &mut refused);
        (messages, refused)
    }

    #[test]
    fn messages_arrive_in_the_senders_order() {
        let inbox = Inbox::new();
        assert!(inbox.is_empty());
        assert_eq!(inbox.put(A, &mut VecDeque::from([1, 2])), 2);
        assert_eq!(inbox.put(B, &mut VecDeque::from([3])), 1);
        assert!(!inbox.is_empty());
        assert_eq!(take(&inbox), (vec![1, 2, 3], vec![]));
        assert!(inbox.is_empty());
    }

    #[test]
    fn a_full_inbox_keeps_the_order_and_names_who_waits() {
        let inbox = Inbox::new();
        let mut outgoing: VecDeque<usize> = (0..INBOX_MESSAGES_MAX + 2).collect();
        assert_eq!(inbox.put(A, &mut outgoing), INBOX_MESSAGES_MAX);
        assert_eq!(outgoing, [INBOX_MESSAGES_MAX, INBOX_MESSAGES_MAX + 1]);
        assert_eq!(inbox.put(A, &mut outgoing), 0);
        assert_eq!(inbox.put(B, &mut VecDeque::from([7])), 0);

        let (messages, refused) = take(&inbox);
        assert!(messages.into_iter().eq(0..INBOX_MESSAGES_MAX));
        assert_eq!(refused, [A, B]);

        assert_eq!(inbox.put(A, &mut outgoing), 2);
        assert_eq!(take(&inbox), (vec![INBOX_MESSAGES_MAX, INBOX_MESSAGES_MAX + 1], vec![]));
    }
}
