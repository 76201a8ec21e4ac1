//! Sending a world's batches.
//!
//! Owns the gather lists, and the fact that a batch is over when [`Transmit::transmit`] returns. A send on a direct
//! descriptor with `MSG_DONTWAIT` completes while it is submitted; with `MSG_WAITALL` it takes all bytes or fills
//! the socket's buffer; with `SKIP_SUCCESS` it answers only if it did not take all. So after the submission each
//! send without a completion has been wholly taken, and the kernel holds no pointer into the batch.

use std::io;

use super::data_ring::DataRing;
use super::places::Places;
use super::request::{Request, SEND_BYTES_MAX};
use super::stats::ShardStats;
use crate::object::driver::{BATCH_MAX, Outgoing, PARTS_MAX, Shortfall, Transmit};

/// Memory for the gather lists of one batch, used again for each.
pub(super) struct GatherLists {
    messages: Box<[libc::msghdr]>,
    vectors: Vec<libc::iovec>,
}

impl GatherLists {
    /// Room for the largest batch; untouched parts of it cost no memory.
    pub(super) fn new() -> Self {
        // SAFETY: all fields are integers and raw pointers, for which zero is a value.
        let empty: libc::msghdr = unsafe { std::mem::zeroed() };
        Self {
            messages: vec![empty; BATCH_MAX].into_boxed_slice(),
            vectors: Vec::with_capacity(BATCH_MAX * PARTS_MAX),
        }
    }

    fn clear(&mut self) {
        self.vectors.clear();
    }

    /// The gather list of element `index`; valid until [`Self::clear`] as long as `parts` are.
    fn list(&mut self, index: usize, parts: &[&[u8]]) -> *const libc::msghdr {
        let room = self.vectors.capacity() - self.vectors.len();
        assert!(parts.len() <= room, "a gather list that grows would move the others");
        let first = self.vectors.len();
        self.vectors.extend(
            parts
                .iter()
                .map(|part| libc::iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() }),
        );
        let message = &mut self.messages[index];
        message.msg_iov = self.vectors[first..].as_mut_ptr();
        message.msg_iovlen = parts.len();
        message
    }
}

/// The kernel side of one `World::flush`.
pub(super) struct Sender<'a> {
    pub(super) rings: &'a mut [DataRing],
    pub(super) places: Places,
    pub(super) lists: &'a mut GatherLists,
    pub(super) stats: &'a ShardStats,
    /// Most sends submitted at once.
    pub(super) send_batch: usize,
    /// Why the shard cannot go on, if it cannot.
    pub(super) broken: io::Result<()>,
}

impl Transmit for Sender<'_> {
    fn transmit(&mut self, batch: &[Outgoing<'_>], shortfalls: &mut Vec<(usize, Shortfall)>) {
        assert!(batch.len() <= BATCH_MAX);
        let mut first = 0;
        while first < batch.len() {
            let count = self.run_length(&batch[first..]);
            if let Err(error) = self.send(first, &batch[first..first + count], shortfalls) {
                self.broken = Err(error);
            }
            first += count;
        }
    }
}

impl Sender<'_> {
    /// How many elements at the front of `rest` go to the same ring in one submission.
    fn run_length(&self, rest: &[Outgoing<'_>]) -> usize {
        let (ring, _) = self.places.split(rest[0].place);
        rest.iter()
            .take(self.send_batch)
            .take_while(|outgoing| self.places.split(outgoing.place).0 == ring)
            .count()
    }

    /// Sends one ring's part of a batch, which begins at index `first`.
    fn send(
        &mut self,
        first: usize,
        run: &[Outgoing<'_>],
        shortfalls: &mut Vec<(usize, Shortfall)>,
    ) -> io::Result<()> {
        let (ring, _) = self.places.split(run[0].place);
        let ring = &mut self.rings[ring];
        let known = shortfalls.len();
        self.lists.clear();
        let mut bytes = 0;
        for (index, outgoing) in (first..).zip(run) {
            let (_, slot) = self.places.split(outgoing.place);
            let is_open = ring.slot(slot).is_open();
            debug_assert!(is_open, "bytes for a socket that is not the world's: {outgoing:?}");
            if !is_open {
                // Whoever has the slot next must not get them.
                shortfalls.push((index, Shortfall::Lost));
                continue;
            }
            let length: usize = outgoing.parts.iter().map(|part| part.len()).sum();
            // The kernel would cut it and call that success.
            assert!(length <= SEND_BYTES_MAX, "{length} bytes for one socket at once");
            bytes += length as u64;
            let request = match outgoing.parts {
                [part] => {
                    // SAFETY: `run` outlives this call, which ends after the submission.
                    unsafe { Request::send(slot, index as u32, part) }
                }
                parts => {
                    let message = self.lists.list(index, parts);
                    // SAFETY: the list is not changed, and `run` outlives this call, which ends after the
                    // submission.
                    unsafe { Request::send_parts(slot, index as u32, message) }
                }
            };
            ring.queue(request)?;
        }
        ring.ring.submit()?;
        ring.ring.take_failed_sends(|index, result| shortfalls.push((index as usize, shortfall(result))))?;
        self.stats.sends.add(run.len() as u64);
        self.stats.send_bytes.add(bytes);
        self.stats.send_batches.add(1);
        self.stats.send_shortfalls.add((shortfalls.len() - known) as u64);
        Ok(())
    }
}

/// What the completion of a send that was not wholly taken means.
fn shortfall(result: i32) -> Shortfall {
    match result {
        taken if taken >= 0 => Shortfall::Full(taken as usize),
        // The kernel's memory, not the connection, is in trouble: nothing was taken, nothing is lost.
        error if [libc::EAGAIN, libc::EINTR, libc::ENOBUFS, libc::ENOMEM].contains(&-error) => {
            Shortfall::Full(0)
        }
        _ => Shortfall::Lost,
    }
}
