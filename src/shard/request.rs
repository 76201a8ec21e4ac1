//! One constructor per operation that a shard submits.
//!
//! Owns the layout of submissions. A [`Request`] that points to memory of ours can only be built by an `unsafe`
//! constructor, so that pushing one is safe.

use std::os::fd::{AsRawFd, BorrowedFd};

use io_uring::types::{CancelBuilder, DestinationSlot, Fd, Fixed, TimeoutFlags, Timespec};
use io_uring::{opcode, squeue};

use super::user_data::Operation;
use crate::object::driver::{Receive, ShardId};

/// The buffer group of each ring's receive buffers.
pub(super) const RECEIVE_GROUP: u16 = 0;

/// How sends treat the socket: never wait, take all or say how much, no SIGPIPE.
const SEND_FLAGS: i32 = libc::MSG_DONTWAIT | libc::MSG_WAITALL | libc::MSG_NOSIGNAL;

/// An operation ready to be submitted.
pub(super) struct Request(squeue::Entry);

impl Request {
    fn new(entry: squeue::Entry, operation: Operation) -> Self {
        Self(entry.user_data(operation.encode()))
    }

    /// The entry; whatever it points to is alive until it is submitted (see the `unsafe` constructors).
    pub(super) fn entry(&self) -> &squeue::Entry {
        &self.0
    }

    /// Connections into automatic slots until cancelled.
    pub(super) fn accept_many(listener: BorrowedFd<'_>) -> Self {
        let entry = opcode::AcceptMulti::new(Fd(listener.as_raw_fd())).allocate_file_index(true);
        Self::new(entry.build(), Operation::Accept)
    }

    /// Completes whenever somebody rings, until it says that it does so no more.
    pub(super) fn await_bell(bell: BorrowedFd<'_>) -> Self {
        let entry = opcode::PollAdd::new(Fd(bell.as_raw_fd()), libc::POLLIN as u32).multi(true);
        Self::new(entry.build(), Operation::Bell)
    }

    /// One connection into an automatic slot.
    pub(super) fn accept_one(listener: BorrowedFd<'_>) -> Self {
        let address = std::ptr::null_mut();
        let entry = opcode::Accept::new(Fd(listener.as_raw_fd()), address, std::ptr::null_mut())
            .file_index(Some(DestinationSlot::auto_target()));
        Self::new(entry.build(), Operation::Accept)
    }

    /// Ends [`Self::accept_many`] or [`Self::accept_one`].
    pub(super) fn cancel_accept() -> Self {
        Self::cancel(CancelBuilder::user_data(Operation::Accept.encode()))
    }

    /// Bytes into buffers of the ring.
    pub(super) fn receive(slot: u32, kind: Receive) -> Self {
        let operation = Operation::Receive { slot };
        match kind {
            Receive::Multishot => {
                Self::new(opcode::RecvMulti::new(Fixed(slot), RECEIVE_GROUP).build(), operation)
            }
            Receive::Once => {
                // Length 0: as much as the buffer holds.
                let entry = opcode::Recv::new(Fixed(slot), std::ptr::null_mut(), 0).buf_group(RECEIVE_GROUP);
                Self::new(entry.build().flags(squeue::Flags::BUFFER_SELECT), operation)
            }
        }
    }

    /// Ends [`Self::receive`].
    pub(super) fn cancel_receive(slot: u32) -> Self {
        Self::cancel(CancelBuilder::user_data(Operation::Receive { slot }.encode()))
    }

    /// Ends [`Self::writable`].
    pub(super) fn cancel_writable(slot: u32) -> Self {
        Self::cancel(CancelBuilder::user_data(Operation::Writable { slot }.encode()))
    }

    // By what was asked for, never by descriptor: the kernel finds the one in its table of polls, for the other it
    // looks at every poll of the ring.
    fn cancel(what: CancelBuilder) -> Self {
        // Each cancelled operation has a completion of its own, so success needs none.
        let entry = opcode::AsyncCancel2::new(what).build().flags(squeue::Flags::SKIP_SUCCESS);
        Self::new(entry, Operation::Cancel)
    }

    /// Completes when the socket takes bytes, or has failed.
    pub(super) fn writable(slot: u32) -> Self {
        let entry = opcode::PollAdd::new(Fixed(slot), libc::POLLOUT as u32);
        Self::new(entry.build(), Operation::Writable { slot })
    }

    /// FIN.
    pub(super) fn shut_down_write(slot: u32) -> Self {
        let entry = opcode::Shutdown::new(Fixed(slot), libc::SHUT_WR);
        Self::new(entry.build(), Operation::Shutdown { slot })
    }

    /// An ordinary descriptor of the slot's socket.
    pub(super) fn install(slot: u32) -> Self {
        let entry = opcode::FixedFdInstall::new(Fixed(slot), 0);
        Self::new(entry.build(), Operation::Installed { slot })
    }

    /// Closes the socket and gives the slot back.
    pub(super) fn close(slot: u32) -> Self {
        Self::new(opcode::Close::new(Fixed(slot)).build(), Operation::Close { slot })
    }

    /// Closes our reference to a socket that another shard has, and gives the slot back.
    pub(super) fn close_handed_off(slot: u32, token: u32) -> Self {
        Self::new(opcode::Close::new(Fixed(slot)).build(), Operation::HandOffClosed { slot, token })
    }

    /// A second reference to the slot's socket in another ring's table.
    pub(super) fn pass(slot: u32, token: u32, from: ShardId, target: BorrowedFd<'_>) -> Self {
        let arrival = Operation::HandOffArrived { from, token }.encode();
        let anywhere = DestinationSlot::auto_target();
        let entry = opcode::MsgRingSendFd::new(Fd(target.as_raw_fd()), Fixed(slot), anywhere, arrival);
        Self::new(entry.build(), Operation::HandOffSent { slot, token })
    }

    /// One part, whole or not at all; completes only if it was not wholly taken.
    ///
    /// # Safety
    ///
    /// `bytes` must stay alive until the kernel has consumed the submission.
    pub(super) unsafe fn send(slot: u32, index: u32, bytes: &[u8]) -> Self {
        debug_assert!(bytes.len() <= SEND_BYTES_MAX);
        let entry = opcode::Send::new(Fixed(slot), bytes.as_ptr(), bytes.len() as u32).flags(SEND_FLAGS);
        Self::new(entry.build().flags(squeue::Flags::SKIP_SUCCESS), Operation::Send { index })
    }

    /// Like [`Self::send`], for several parts.
    ///
    /// # Safety
    ///
    /// `message`, its vectors and what they name must stay alive until the kernel has consumed the submission.
    pub(super) unsafe fn send_parts(slot: u32, index: u32, message: *const libc::msghdr) -> Self {
        let entry = opcode::SendMsg::new(Fixed(slot), message).flags(SEND_FLAGS as u32);
        Self::new(entry.build().flags(squeue::Flags::SKIP_SUCCESS), Operation::Send { index })
    }

    /// Completes after the relative time in `wait`.
    ///
    /// # Safety
    ///
    /// `wait` must stay alive until the kernel has consumed the submission.
    pub(super) unsafe fn timer(wait: *const Timespec) -> Self {
        Self::new(opcode::Timeout::new(wait).build(), Operation::Timer)
    }

    /// Moves the timer in flight to the relative time in `wait`.
    ///
    /// # Safety
    ///
    /// `wait` must stay alive until the kernel has consumed the submission.
    pub(super) unsafe fn move_timer(wait: *const Timespec) -> Self {
        let entry = opcode::TimeoutUpdate::new(Operation::Timer.encode(), wait).flags(TimeoutFlags::empty());
        Self::new(entry.build().flags(squeue::Flags::SKIP_SUCCESS), Operation::TimerMoved)
    }
}

/// Most bytes of one send: what Linux takes in one call (MAX_RW_COUNT).
pub(super) const SEND_BYTES_MAX: usize = 0x7fff_f000;
