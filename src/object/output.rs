//! Encoded frames, each once, wherever they go. Owns the chunks of bytes that outboxes point into and the shard's
//! output budget; knows no socket.
//!
//! ```text
//!  arena chunk (64 KiB)   [ frame 1 | frame 2 | frame 3 |          free            ]
//!                           ^start    ^end = start of the next
//!  outbox of socket A     ( chunk, 0 .. end of 3 )       one segment, for neighbours merge
//!  outbox of socket B     ( chunk, start of 2 .. end of 3 )
//! ```
//!
//! A small frame is appended to the arena, so that what one turn says to a socket is one run of bytes; a large one
//! gets a chunk of its own. Both are shared by every recipient and counted by segments. What a blocked socket still
//! holds of the arena after a flush is copied into a chunk of its own ([`Output::evacuate`]), so that the arena is
//! empty again after each turn and one slow reader cannot pin it.

use std::ops::Deref;
use std::sync::Arc;

use crate::wire::FrameHead;

/// Size of an arena chunk, bytes. Also the bound below which frames are packed together: a frame of half a chunk or
/// more would waste what it does not fill.
const ARENA_BYTES: usize = 64 << 10;
const PACKED_BYTES_MAX: usize = ARENA_BYTES / 2;

/// Chunks kept for reuse when empty.
const SPARE_ARENAS_MAX: usize = 16;

/// A run of bytes in a chunk. Whoever holds one holds a reference; see [`Output::retain`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) chunk: u32,
    pub(crate) start: u32,
    pub(crate) end: u32,
}

impl Segment {
    pub(crate) fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    /// No bytes: stands for no segment.
    pub(crate) fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// The bytes of a chunk.
#[derive(Debug)]
enum Bytes {
    Own(Vec<u8>),
    /// A frame that several shards send.
    Shared(Arc<[u8]>),
}

impl Default for Bytes {
    fn default() -> Bytes {
        Bytes::Own(Vec::new())
    }
}

impl Deref for Bytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match self {
            Bytes::Own(bytes) => bytes,
            Bytes::Shared(bytes) => bytes,
        }
    }
}

impl Bytes {
    /// The bytes of an arena or of a socket's own chunk, which are never shared.
    fn own(&mut self) -> &mut Vec<u8> {
        match self {
            Bytes::Own(bytes) => bytes,
            Bytes::Shared(_) => unreachable!("nothing is appended to a shared frame"),
        }
    }
}

#[derive(Debug, Default)]
struct Chunk {
    bytes: Bytes,
    references: u32,
    /// Packed chunks hold frames of many sockets; their bytes leave them when a socket blocks.
    packed: bool,
}

/// The chunks of one shard.
#[derive(Debug, Default)]
pub(crate) struct Output {
    chunks: Vec<Chunk>,
    vacant: Vec<u32>,
    spare: Vec<Vec<u8>>,
    filling: Option<u32>,
    /// Bytes that outboxes hold, each segment counted.
    queued_bytes: usize,
    encoded_frames: u64,
    copied_bytes: u64,
}

impl Output {
    #[cfg(test)]
    pub(crate) fn encode(&mut self, message: super::message::Message<'_>) -> Segment {
        let payload = message.as_bytes();
        self.frame(crate::wire::frame_head(message.opcode(), payload.len()), payload)
    }

    /// Takes a frame that consists of these. The segment carries no reference yet.
    pub(crate) fn frame(&mut self, head: FrameHead, payload: &[u8]) -> Segment {
        self.encoded_frames += 1;
        self.append(&[head.as_slice(), payload])
    }

    /// Takes bytes that are encoded already.
    pub(crate) fn encoded(&mut self, bytes: &[u8]) -> Segment {
        self.append(&[bytes])
    }

    /// Takes a frame that other shards send as well; nothing is copied.
    pub(crate) fn shared(&mut self, frame: Arc<[u8]>) -> Segment {
        let end = frame.len() as u32;
        let chunk = self.insert(Chunk { bytes: Bytes::Shared(frame), references: 0, packed: false });
        Segment { chunk, start: 0, end }
    }

    /// A whole frame as bytes of its own: copied, unless it is one that several shards send.
    pub(crate) fn apart(&mut self, frame: Segment) -> Arc<[u8]> {
        if let Bytes::Shared(bytes) = &self.chunks[frame.chunk as usize].bytes {
            debug_assert!(frame.len() == bytes.len());
            return bytes.clone();
        }
        self.copied_bytes += frame.len() as u64;
        self.bytes(frame).into()
    }

    fn append(&mut self, parts: &[&[u8]]) -> Segment {
        let len: usize = parts.iter().map(|part| part.len()).sum();
        self.copied_bytes += len as u64;
        let chunk = if len > PACKED_BYTES_MAX {
            self.insert(Chunk { bytes: Bytes::Own(Vec::with_capacity(len)), references: 0, packed: false })
        } else {
            self.arena_with_room(len)
        };
        let bytes = self.chunks[chunk as usize].bytes.own();
        let start = bytes.len() as u32;
        for part in parts {
            bytes.extend_from_slice(part);
        }
        Segment { chunk, start, end: bytes.len() as u32 }
    }

    fn arena_with_room(&mut self, len: usize) -> u32 {
        if let Some(chunk) = self.filling
            && self.chunks[chunk as usize].bytes.len() + len <= ARENA_BYTES
        {
            return chunk;
        }
        let bytes = self.spare.pop().unwrap_or_else(|| Vec::with_capacity(ARENA_BYTES));
        let full = self.filling.take();
        let chunk = self.insert(Chunk { bytes: Bytes::Own(bytes), references: 0, packed: true });
        self.filling = Some(chunk);
        if let Some(full) = full {
            self.free_if_unused(full);
        }
        chunk
    }

    fn insert(&mut self, chunk: Chunk) -> u32 {
        match self.vacant.pop() {
            Some(at) => {
                self.chunks[at as usize] = chunk;
                at
            }
            None => {
                self.chunks.push(chunk);
                (self.chunks.len() - 1) as u32
            }
        }
    }

    /// Counts a segment that an outbox took.
    pub(crate) fn retain(&mut self, segment: Segment) {
        self.chunks[segment.chunk as usize].references += 1;
        self.queued_bytes += segment.len();
    }

    /// Counts bytes that joined a segment already held.
    pub(crate) fn extend(&mut self, bytes: usize) {
        self.queued_bytes += bytes;
    }

    /// Counts bytes that left, without the segment being used up.
    pub(crate) fn consume(&mut self, bytes: usize) {
        debug_assert!(bytes <= self.queued_bytes);
        self.queued_bytes -= bytes;
    }

    /// Gives back a segment of which nothing is left to send but `segment.len()` bytes.
    pub(crate) fn release(&mut self, segment: Segment) {
        self.consume(segment.len());
        let chunk = &mut self.chunks[segment.chunk as usize];
        debug_assert!(chunk.references > 0);
        chunk.references -= 1;
        self.free_if_unused(segment.chunk);
    }

    /// Gives back a chunk that nobody took a segment of.
    pub(crate) fn discard_unused(&mut self, segment: Segment) {
        self.free_if_unused(segment.chunk);
    }

    fn free_if_unused(&mut self, at: u32) {
        if self.chunks[at as usize].references > 0 || self.filling == Some(at) {
            return;
        }
        let chunk = std::mem::take(&mut self.chunks[at as usize]);
        self.vacant.push(at);
        if let Bytes::Own(mut bytes) = chunk.bytes
            && chunk.packed
            && self.spare.len() < SPARE_ARENAS_MAX
        {
            bytes.clear();
            self.spare.push(bytes);
        }
    }

    /// The end of a turn's flush: the arena starts anew if nothing points into it.
    pub(crate) fn end_of_flush(&mut self) {
        if let Some(at) = self.filling {
            let chunk = &mut self.chunks[at as usize];
            if chunk.references == 0 {
                chunk.bytes.own().clear();
            }
        }
    }

    /// Copies a segment of an arena into `tail`, the socket's own last chunk, or into a new one. Segments of chunks
    /// of their own stay where they are.
    pub(crate) fn evacuate(&mut self, segment: Segment, tail: Option<Segment>) -> Segment {
        if !self.chunks[segment.chunk as usize].packed {
            return segment;
        }
        let source = std::mem::take(&mut self.chunks[segment.chunk as usize].bytes);
        let bytes = &source[segment.start as usize..segment.end as usize];
        self.copied_bytes += bytes.len() as u64;
        let own = tail.filter(|tail| {
            let chunk = &self.chunks[tail.chunk as usize];
            !chunk.packed
                && matches!(chunk.bytes, Bytes::Own(_))
                && chunk.references == 1
                && chunk.bytes.len() == tail.end as usize
                && chunk.bytes.len() + bytes.len() <= ARENA_BYTES
        });
        let moved = match own {
            Some(tail) => {
                let own = self.chunks[tail.chunk as usize].bytes.own();
                own.extend_from_slice(bytes);
                Segment { chunk: tail.chunk, start: tail.end, end: own.len() as u32 }
            }
            None => {
                let chunk =
                    self.insert(Chunk { bytes: Bytes::Own(bytes.to_vec()), references: 0, packed: false });
                Segment { chunk, start: 0, end: bytes.len() as u32 }
            }
        };
        self.chunks[segment.chunk as usize].bytes = source;
        moved
    }

    pub(crate) fn bytes(&self, segment: Segment) -> &[u8] {
        &self.chunks[segment.chunk as usize].bytes[segment.start as usize..segment.end as usize]
    }

    pub(crate) fn queued_bytes(&self) -> usize {
        self.queued_bytes
    }

    /// Frames encoded and bytes copied since the start: what "encoded once" is proved with.
    pub(crate) fn effort(&self) -> (u64, u64) {
        (self.encoded_frames, self.copied_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::super::message::Message;
    use super::*;

    #[test]
    fn frames_of_one_turn_lie_side_by_side() {
        let mut output = Output::default();
        let first = output.encode(Message::Text("a"));
        let second = output.encode(Message::Text("bc"));
        assert_eq!((first.chunk, first.end), (second.chunk, second.start));
        assert_eq!(output.bytes(Segment { end: second.end, ..first }), b"\x81\x01a\x81\x02bc");
    }

    #[test]
    fn the_arena_is_reused_once_nothing_points_into_it() {
        let mut output = Output::default();
        for _ in 0..1_000 {
            let segment = output.encode(Message::Binary(&[7; 1_000]));
            output.retain(segment);
            output.release(segment);
            output.end_of_flush();
        }
        assert_eq!(output.chunks.len(), 1);
        assert_eq!(output.queued_bytes(), 0);
    }

    #[test]
    fn a_large_frame_has_a_chunk_of_its_own_which_goes_with_its_last_reference() {
        let mut output = Output::default();
        let large = output.encode(Message::Binary(&vec![1; 100_000]));
        output.retain(large);
        output.retain(large);
        output.release(large);
        assert_eq!(output.bytes(large).len(), 100_010);
        output.release(large);
        assert!(output.chunks[large.chunk as usize].bytes.is_empty());
    }

    #[test]
    fn evacuated_bytes_gather_in_one_chunk_of_the_socket() {
        let mut output = Output::default();
        let first = output.encode(Message::Text("one"));
        let second = output.encode(Message::Text("two"));
        let moved = output.evacuate(first, None);
        output.retain(moved);
        let joined = output.evacuate(second, Some(moved));
        assert_eq!((joined.chunk, joined.start), (moved.chunk, moved.end));
        assert_eq!(output.bytes(Segment { end: joined.end, ..moved }), b"\x81\x03one\x81\x03two");
    }
}
