//! What waits to be sent on one socket, in order. Owns segments, not bytes; the bytes lie in [`Output`].
//!
//! Invariant: `queued` is the sum of the lengths of all segments, and each segment holds one reference of its chunk.

use std::collections::VecDeque;

use super::output::{Output, Segment};

/// The queue of one socket. The first segment lies in the outbox itself: a socket that keeps up never needs more.
#[derive(Debug, Default)]
pub(crate) struct Outbox {
    first: Segment,
    #[expect(clippy::box_collection, reason = "an idle connection pays 8 bytes for it, not 32")]
    more: Option<Box<VecDeque<Segment>>>,
    queued: u32,
}

impl Outbox {
    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued as usize
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.first.is_empty()
    }

    /// Puts a segment behind the others; one that continues the last joins it.
    pub(crate) fn push(&mut self, segment: Segment, output: &mut Output) {
        debug_assert!(segment.start < segment.end);
        self.queued += segment.len() as u32;
        if let Some(last) = self.last_mut()
            && (last.chunk, last.end) == (segment.chunk, segment.start)
        {
            last.end = segment.end;
            output.extend(segment.len());
            return;
        }
        output.retain(segment);
        if self.first.is_empty() {
            self.first = segment;
        } else {
            self.more.get_or_insert_default().push_back(segment);
        }
    }

    fn last_mut(&mut self) -> Option<&mut Segment> {
        match &mut self.more {
            Some(more) if !more.is_empty() => more.back_mut(),
            _ => Some(&mut self.first).filter(|first| !first.is_empty()),
        }
    }

    pub(crate) fn segments(&self) -> impl Iterator<Item = Segment> {
        Some(self.first)
            .filter(|first| !first.is_empty())
            .into_iter()
            .chain(self.more.iter().flat_map(|more| more.iter().copied()))
    }

    /// Takes away `bytes` from the front: the kernel has them.
    pub(crate) fn consume(&mut self, mut bytes: usize, output: &mut Output) {
        debug_assert!(bytes <= self.queued as usize);
        self.queued -= bytes as u32;
        while bytes > 0 {
            let first = &mut self.first;
            debug_assert!(!first.is_empty(), "bytes were queued");
            if bytes < first.len() {
                first.start += bytes as u32;
                output.consume(bytes);
                return;
            }
            bytes -= first.len();
            output.release(*first);
            self.first = self.more.as_mut().and_then(|more| more.pop_front()).unwrap_or_default();
        }
        if self.first.is_empty() {
            self.more = None;
        }
    }

    /// Moves what lies in shared arenas into chunks of this socket's own.
    pub(crate) fn evacuate(&mut self, output: &mut Output) {
        let segments: Vec<Segment> = self.segments().collect();
        (self.first, self.more, self.queued) = (Segment::default(), None, 0);
        for segment in segments {
            let tail = self.last_mut().copied();
            let moved = output.evacuate(segment, tail);
            self.push(moved, output);
            output.release(segment);
        }
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self, output: &mut Output) {
        self.consume(self.queued as usize, output);
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::Message;
    use super::*;

    fn sent(outbox: &Outbox, output: &Output) -> Vec<u8> {
        outbox.segments().flat_map(|segment| output.bytes(segment).to_vec()).collect()
    }

    #[test]
    fn neighbours_merge_and_strangers_do_not() {
        let (mut outbox, mut output) = (Outbox::default(), Output::default());
        let frames = ["a", "b", "c"].map(|text| output.encode(Message::Text(text)));
        outbox.push(frames[0], &mut output);
        outbox.push(frames[1], &mut output);
        assert_eq!(outbox.segments().count(), 1);
        let _stranger = output.encode(Message::Text("x"));
        let last = output.encode(Message::Text("d"));
        outbox.push(last, &mut output);
        assert_eq!(outbox.segments().count(), 2);
        assert_eq!(sent(&outbox, &output), b"\x81\x01a\x81\x01b\x81\x01d");
    }

    #[test]
    fn every_partial_send_leaves_the_rest() {
        let whole = b"\x81\x01a\x81\x01b\x81\x01d";
        for cut in 0..=whole.len() {
            let (mut outbox, mut output) = (Outbox::default(), Output::default());
            for text in ["a", "b", "x", "d"] {
                let frame = output.encode(Message::Text(text));
                if text != "x" {
                    outbox.push(frame, &mut output);
                }
            }
            outbox.consume(cut, &mut output);
            assert_eq!(sent(&outbox, &output), whole[cut..]);
            outbox.evacuate(&mut output);
            assert_eq!(sent(&outbox, &output), whole[cut..]);
            assert_eq!(outbox.queued_bytes(), whole.len() - cut);
            assert_eq!(output.queued_bytes(), whole.len() - cut);
            outbox.clear(&mut output);
            assert_eq!(output.queued_bytes(), 0);
        }
    }

    #[test]
    fn bytes_are_in_order_when_arenas_change_while_blocked() {
        let (mut outbox, mut output) = (Outbox::default(), Output::default());
        let mut expected = Vec::new();
        for turn in 0u8..200 {
            let frame = output.encode(Message::Binary(&[turn; 700]));
            expected.extend_from_slice(output.bytes(frame));
            outbox.push(frame, &mut output);
            outbox.evacuate(&mut output);
            output.end_of_flush();
        }
        assert_eq!(sent(&outbox, &output), expected);
        assert!(outbox.segments().count() < 5);
    }
}
