//! What waits under keys for a socket at its bound: the newest message of each key. Owns the line in which they stand and
//! its bounds; who has to wait is decided in `delivery`.
//!
//! ```text
//!   send, outbox below its bound ------------------------------> outbox --> kernel
//!   send under a key, outbox at its bound --> line of the keys --^
//!                                             oldest key first, as soon as the outbox is below its bound
//! ```
//!
//! A message that replaces another takes its place in the line. Were it put at the end, keys that change at each tick
//! would keep those behind them waiting for as long as the client takes less than all of them.
//!
//! Invariant: while anything stands in the line, the outbox is at its bound; so whoever keeps up has no line and pays
//! nothing for it, and what is sent later without a key cannot overtake.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use super::connection::Connection;
use super::core::Core;
use super::delivery::{Outboxes, Queued};
use super::driver::Place;
use super::forms::Forms;
use super::output::Output;
use super::planted::{Bug, is_planted};

/// The line of one socket. Frames are plain: what the connection has agreed on is done when they leave.
#[derive(Debug, Default)]
pub(crate) struct Kept {
    line: VecDeque<(u64, Arc<[u8]>)>,
    /// Which in the line has a key, counted from the first that ever stood there.
    numbers: HashMap<u64, u64>,
    /// How many have left it.
    left: u64,
    bytes: usize,
}

/// What became of a message that was to wait.
#[derive(Debug, PartialEq, Eq)]
enum Put {
    Added,
    /// It took the place of an older one.
    Replaced,
    /// As much waits as may.
    Full,
}

impl Kept {
    pub(crate) fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Like an outbox, a line with room takes one message, however large.
    fn put(&mut self, key: u64, frame: &Arc<[u8]>, messages_max: usize, bytes_max: usize) -> Put {
        let Some(number) = self.numbers.get(&key) else {
            if self.bytes >= bytes_max || self.line.len() >= messages_max {
                return Put::Full;
            }
            self.numbers.insert(key, self.left + self.line.len() as u64);
            self.bytes += frame.len();
            self.line.push_back((key, frame.clone()));
            return Put::Added;
        };
        let older = &mut self.line[(number - self.left) as usize].1;
        let others = self.bytes - older.len();
        if others >= bytes_max {
            return Put::Full;
        }
        if !is_planted(Bug::OldestKept) {
            self.bytes = others + frame.len();
            *older = frame.clone();
        }
        Put::Replaced
    }

    pub(crate) fn pop(&mut self) -> Option<(u64, Arc<[u8]>)> {
        let (key, frame) = self.line.pop_front()?;
        self.numbers.remove(&key);
        self.left += 1;
        self.bytes -= frame.len();
        debug_assert!(self.numbers.len() == self.line.len());
        Some((key, frame))
    }
}

/// The lines of a shard's connections; the flag `keeps` of a connection says whether it has one.
#[derive(Debug, Default)]
pub(crate) struct KeptLines(HashMap<Place, Kept>);

impl Outboxes<'_> {
    /// Has a message wait under its key for the connection at `place`.
    pub(crate) fn keep(
        &mut self,
        place: Place,
        connection: &mut Connection,
        key: u64,
        forms: &mut Forms<'_>,
    ) -> Queued {
        let core = self.core;
        let mut lines = core.kept.borrow_mut();
        let kept = lines.0.entry(place).or_default();
        let before = kept.bytes;
        let queued = self.keep_in(kept, key, forms);
        self.output.count_waiting(before, kept.bytes);
        connection.keeps = !kept.is_empty();
        if !connection.keeps {
            lines.0.remove(&place);
        }
        queued
    }

    pub(crate) fn keep_in(&mut self, kept: &mut Kept, key: u64, forms: &mut Forms<'_>) -> Queued {
        let frame = forms.kept(&mut self.output);
        match kept.put(key, &frame, self.core.settings().kept_messages_max, self.bytes_max) {
            Put::Added => Queued::Yes,
            Put::Replaced => {
                self.core.counters.messages_replaced.add(1);
                Queued::Yes
            }
            Put::Full => Queued::Overflow,
        }
    }

    /// Moves what waits under keys into the outbox, until that holds so many bytes or nothing waits any more.
    pub(crate) fn release(&mut self, place: Place, connection: &mut Connection, bytes_max: usize) {
        let core = self.core;
        let mut lines = core.kept.borrow_mut();
        let Some(kept) = lines.0.get_mut(&place) else { return };
        while connection.outbox.queued_bytes() < bytes_max
            && let Some((_, frame)) = kept.pop()
        {
            self.output.count_waiting(frame.len(), 0);
            let plain = self.output.shared(frame.clone());
            let mut forms = Forms::of_message_frame(&frame, plain, true);
            self.append(place, connection, &mut forms);
            forms.discard_unused(&mut self.output);
        }
        if kept.is_empty() {
            lines.0.remove(&place);
            connection.keeps = false;
        }
    }
}

impl Core {
    /// The line that grew before the 101 of the connection was written goes with it.
    pub(crate) fn keep_on(&self, place: Place, kept: Kept) {
        if kept.is_empty() {
            return;
        }
        self.with_connection(place, |connection| {
            self.output.borrow_mut().count_waiting(0, kept.bytes);
            connection.keeps = true;
            self.kept.borrow_mut().0.insert(place, kept);
        });
    }

    /// Bytes of frames that were sent and that the kernel has not taken.
    pub(crate) fn waiting_bytes(&self, place: Place, connection: &Connection) -> usize {
        let kept = if connection.keeps { self.kept.borrow().0.get(&place).map_or(0, Kept::bytes) } else { 0 };
        connection.outbox.queued_bytes() + kept
    }

    /// Forgets what the connection was still to be sent.
    pub(crate) fn forget_output(&self, place: Place, connection: &mut Connection) {
        let mut output = self.output.borrow_mut();
        connection.outbox.clear(&mut output);
        if std::mem::take(&mut connection.keeps)
            && let Some(kept) = self.kept.borrow_mut().0.remove(&place)
        {
            output.count_waiting(kept.bytes, 0);
        }
    }
}

impl Output {
    /// Counts what waits outside of outboxes like what waits in them.
    fn count_waiting(&mut self, before: usize, after: usize) {
        self.extend(after);
        self.consume(before);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(kept: &mut Kept, key: u64, text: &str) -> Put {
        kept.put(key, &text.as_bytes().into(), 4, 10)
    }

    fn line(kept: &mut Kept) -> Vec<(u64, String)> {
        let text = |frame: &[u8]| String::from_utf8(frame.to_vec()).unwrap();
        std::iter::from_fn(|| kept.pop()).map(|(key, frame)| (key, text(&frame))).collect()
    }

    #[test]
    fn the_newest_of_a_key_takes_the_place_of_the_one_before() {
        let mut kept = Kept::default();
        for (key, text) in [(7, "a"), (u64::MAX, "b"), (7, "c"), (0, "d"), (u64::MAX, "ef")] {
            put(&mut kept, key, text);
        }
        assert_eq!(kept.bytes(), 4);
        assert_eq!(kept.pop(), Some((7, b"c"[..].into())));
        assert_eq!(put(&mut kept, 7, "g"), Put::Added, "who has left stands at the end again");
        assert_eq!(put(&mut kept, 0, "h"), Put::Replaced);
        assert_eq!(line(&mut kept), [(u64::MAX, "ef".to_owned()), (0, "h".to_owned()), (7, "g".to_owned())]);
        assert!(kept.is_empty() && kept.bytes() == 0);
    }

    #[test]
    fn a_line_has_so_many_messages_and_bytes_and_no_more() {
        let mut kept = Kept::default();
        for key in 0..4 {
            assert_eq!(put(&mut kept, key, "x"), Put::Added);
        }
        assert_eq!(put(&mut kept, 4, "x"), Put::Full);
        assert_eq!(
            put(&mut kept, 3, "seven bytes and more"),
            Put::Replaced,
            "the last may be as large as it is"
        );
        assert_eq!(put(&mut kept, 0, "y"), Put::Full);
        assert_eq!(put(&mut kept, 3, "y"), Put::Replaced, "the large one itself may be replaced");
        assert_eq!(put(&mut kept, 0, "z"), Put::Replaced);
        let texts: Vec<_> = line(&mut kept).into_iter().map(|(_, text)| text).collect();
        assert_eq!(texts, ["z", "x", "x", "y"]);
    }
}
