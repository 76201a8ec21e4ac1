//! A ring with its sockets: the file table's slots and the receive buffers.
//!
//! Owns the translation of a slot's next [`Step`] into a request, and the order in which the parts are torn down.

use std::io;
use std::os::fd::BorrowedFd;

use super::buffers::ReceiveBuffers;
use super::request::Request;
use super::ring::{Full, Ring, RingSize};
use super::slots::{Slot, Step};

/// One ring of a shard.
pub(super) struct DataRing {
    pub(super) ring: Ring,
    pub(super) buffers: ReceiveBuffers,
    pub(super) slots: Vec<Slot>,
    /// Slots whose receive found no buffer; some may have been closed or reused since.
    starved: Vec<u32>,
}

impl DataRing {
    /// A ring, its empty table and its buffers.
    pub(super) fn new(
        size: RingSize,
        receive_count: u16,
        receive_bytes: usize,
        eventfd: Option<BorrowedFd<'_>>,
    ) -> io::Result<Self> {
        let ring = Ring::new(size, eventfd)?;
        let buffers = ReceiveBuffers::register(ring.kernel(), receive_count, receive_bytes)?;
        let slots = vec![Slot::default(); size.slots as usize];
        Ok(Self { ring, buffers, slots, starved: Vec::new() })
    }

    /// The state of a slot.
    pub(super) fn slot(&mut self, slot: u32) -> &mut Slot {
        &mut self.slots[slot as usize]
    }

    /// Queues a request; makes room by submitting if there is none.
    pub(super) fn queue(&mut self, request: Request) -> io::Result<()> {
        let Err(Full(request)) = self.ring.push(request) else { return Ok(()) };
        self.ring.submit()?;
        match self.ring.push(request) {
            Ok(()) => Ok(()),
            Err(Full(_)) => unreachable!("a submission queue that was just emptied is full"),
        }
    }

    /// Carries out what a slot's state asks for.
    pub(super) fn step(&mut self, slot: u32, step: Step) -> io::Result<()> {
        let request = match step {
            Step::Nothing => return Ok(()),
            Step::Arm(kind) => Request::receive(slot, kind),
            Step::CancelReceive => Request::cancel_receive(slot),
            Step::CancelPoll => Request::cancel_writable(slot),
            Step::CancelReceiveAndPoll => {
                self.queue(Request::cancel_receive(slot))?;
                Request::cancel_writable(slot)
            }
            Step::Poll => Request::writable(slot),
            Step::Shutdown => Request::shut_down_write(slot),
            Step::Close => Request::close(slot),
        };
        self.queue(request)
    }

    /// Gives back the memory of receive buffers, if none of them holds bytes. The kernel fills them only when we enter
    /// it for this ring, and names each that it has filled.
    pub(super) fn rest(&mut self) {
        if !self.ring.has_completions() && !self.ring.is_unreaped() {
            self.buffers.rest();
        }
    }

    /// Remembers a slot whose receive found no buffer.
    pub(super) fn starve(&mut self, slot: u32) {
        self.starved.push(slot);
    }

    /// Gives the kernel the buffers that were used up, and arms what starved for them.
    pub(super) fn refill(&mut self) -> io::Result<()> {
        self.buffers.publish();
        for slot in std::mem::take(&mut self.starved) {
            let step = self.slot(slot).settle();
            self.step(slot, step)?;
        }
        Ok(())
    }
}

impl Drop for DataRing {
    fn drop(&mut self) {
        // Before the memory goes: another shard may hold the ring open.
        ReceiveBuffers::unregister(self.ring.kernel());
    }
}
