//! What is in flight for each slot of a ring's file table.
//!
//! Owns the state and decides the next operation; submits nothing, so that every transition can be tested without
//! a kernel. A slot is given back to the kernel's allocator by its CLOSE, and therefore CLOSE is submitted only
//! when nothing else is in flight: a completion can never be taken for one of the slot's next socket.
//!
//! ```text
//!                        hand_off              hand_off_sent
//!            +---------- Leaving <------+  +-------------------------------+
//!            |  failed      |           |  |                               v
//!            +------------- | -------> Open ----close----> Winding ----> Closing ----> Free
//!                           |           ^                  waits for     CLOSE is
//!                           +- - - - - -|- - - - - - - -> what is in     in flight
//!                                    occupy                flight
//!
//!              arm                      pause, close, or Once wanted of a Multishot
//!     Idle ----------> Armed(kind) -------------------------------------------------> Cancelling
//!      ^                   | last completion                                               | last completion
//!      +-------------------+---------------------------------------------------------------+
//!        and armed again at once if a receive is still wanted
//! ```

use crate::object::driver::Receive;

/// Whom the slot belongs to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Phase {
    /// To the kernel's allocator.
    #[default]
    Free,
    /// To the world.
    Open,
    /// To the world still, while its descriptor is on the way to another shard.
    Leaving,
    /// To us: the world asked for the close, and something is still in flight.
    Winding,
    /// To us: CLOSE is in flight.
    Closing,
}

/// The receive of a slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Receiving {
    /// Nothing in flight.
    #[default]
    Idle,
    /// In flight.
    Armed(Receive),
    /// In flight, and asked to end.
    Cancelling,
}

/// What to submit next for a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Nothing.
    Nothing,
    /// A receive.
    Arm(Receive),
    /// A cancellation of the receive.
    CancelReceive,
    /// A cancellation of the poll.
    CancelPoll,
    /// Both.
    CancelReceiveAndPoll,
    /// A poll for room in the socket's buffer.
    Poll,
    /// FIN.
    Shutdown,
    /// CLOSE.
    Close,
}

/// One slot. Without a socket it is `Slot::default()`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Slot {
    phase: Phase,
    receiving: Receiving,
    wanted: Option<Receive>,
    polling: bool,
    shutting: bool,
    lost: bool,
}

impl Slot {
    /// A socket was put into the slot.
    pub(super) fn occupy(&mut self) {
        assert_eq!(*self, Slot::default(), "the kernel gave us a slot that is still in use");
        self.phase = Phase::Open;
    }

    /// Whether the world may send to the socket.
    pub(super) fn is_open(&self) -> bool {
        self.phase == Phase::Open
    }

    /// Whether the world hears of this socket's events.
    pub(super) fn is_heard(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Leaving)
    }

    /// The world wants bytes.
    pub(super) fn want(&mut self, kind: Receive) -> Step {
        debug_assert!(self.is_open(), "a receive of a socket that is not the world's: {self:?}");
        if !self.is_open() || self.lost {
            return Step::Nothing;
        }
        self.wanted = Some(kind);
        match (self.receiving, kind) {
            (Receiving::Armed(Receive::Multishot), Receive::Once) => self.cancel_receive(),
            // An armed Once that should have been a Multishot is replaced when it ends.
            _ => self.settle(),
        }
    }

    /// The world wants no more bytes.
    pub(super) fn pause(&mut self) -> Step {
        self.wanted = None;
        match self.receiving {
            Receiving::Armed(_) => self.cancel_receive(),
            Receiving::Idle | Receiving::Cancelling => Step::Nothing,
        }
    }

    /// Bytes arrived. Whether the world gets them.
    pub(super) fn bytes_arrived(&mut self) -> bool {
        // They satisfy a Once even if they come from a receive that was to be cancelled: the world may hand the
        // socket over as soon as it has seen them.
        if self.wanted == Some(Receive::Once) {
            self.wanted = None;
        }
        self.is_heard()
    }

    /// Nothing more will arrive. Whether the world is told: once.
    pub(super) fn end_arrived(&mut self) -> bool {
        self.wanted = None;
        let first = !self.lost;
        self.lost = true;
        first && self.is_heard()
    }

    /// The receive has had its last completion.
    pub(super) fn receive_ended(&mut self) -> Step {
        debug_assert_ne!(self.receiving, Receiving::Idle);
        self.receiving = Receiving::Idle;
        self.settle()
    }

    /// The receive ended because the ring had no buffer. What is wanted is armed by [`Self::settle`] when there
    /// are buffers again. Whether it must be.
    pub(super) fn receive_starved(&mut self) -> (bool, Step) {
        debug_assert_ne!(self.receiving, Receiving::Idle);
        self.receiving = Receiving::Idle;
        match self.phase {
            Phase::Winding => (false, self.settle()),
            _ => (self.wanted.is_some(), Step::Nothing),
        }
    }

    /// The world wants to know when the socket takes bytes.
    pub(super) fn await_writable(&mut self) -> Step {
        debug_assert!(self.is_open(), "a poll of a socket that is not the world's: {self:?}");
        if self.polling || !self.is_open() {
            return Step::Nothing;
        }
        self.polling = true;
        Step::Poll
    }

    /// The poll has ended.
    pub(super) fn poll_ended(&mut self) -> Step {
        debug_assert!(self.polling);
        self.polling = false;
        self.settle()
    }

    /// The world wants FIN to be sent.
    pub(super) fn shut_down_write(&mut self) -> Step {
        debug_assert!(self.is_open(), "a shutdown of a socket that is not the world's: {self:?}");
        if self.shutting || !self.is_open() {
            return Step::Nothing;
        }
        self.shutting = true;
        Step::Shutdown
    }

    /// FIN was sent, or could not be.
    pub(super) fn shutdown_ended(&mut self) -> Step {
        debug_assert!(self.shutting);
        self.shutting = false;
        self.settle()
    }

    /// The world is done with the socket.
    pub(super) fn close(&mut self) -> Step {
        debug_assert!(self.is_open(), "a close of a socket that is not the world's: {self:?}");
        if !self.is_open() {
            return Step::Nothing;
        }
        self.phase = Phase::Winding;
        self.wanted = None;
        let armed = matches!(self.receiving, Receiving::Armed(_));
        match (armed, self.polling) {
            (true, true) => {
                self.receiving = Receiving::Cancelling;
                Step::CancelReceiveAndPoll
            }
            (true, false) => self.cancel_receive(),
            (false, true) => Step::CancelPoll,
            (false, false) => self.settle(),
        }
    }

    /// The world gives the socket to another shard. Whether it may leave: not if something is in flight, which
    /// would keep bytes.
    pub(super) fn hand_off(&mut self) -> bool {
        let quiet = self.is_open() && !self.is_busy();
        debug_assert!(quiet, "a hand-off of a socket with operations in flight: {self:?}");
        if quiet {
            self.wanted = None;
            self.phase = Phase::Leaving;
        }
        quiet
    }

    /// The descriptor could not be passed; the socket is the world's again.
    pub(super) fn hand_off_failed(&mut self) {
        debug_assert_eq!(self.phase, Phase::Leaving);
        self.phase = Phase::Open;
    }

    /// The other shard has the descriptor; ours is to be closed.
    pub(super) fn hand_off_sent(&mut self) {
        debug_assert_eq!(self.phase, Phase::Leaving);
        self.phase = Phase::Closing;
    }

    /// CLOSE was carried out; the slot is the kernel's.
    pub(super) fn closed(&mut self) {
        assert_eq!(self.phase, Phase::Closing, "a CLOSE nobody asked for: {self:?}");
        assert!(!self.is_busy(), "a slot was given back with operations in flight: {self:?}");
        *self = Slot::default();
    }

    /// Goes on as far as what is in flight allows: arms what is wanted, or closes.
    pub(super) fn settle(&mut self) -> Step {
        match self.phase {
            Phase::Open if self.receiving == Receiving::Idle && !self.lost => match self.wanted {
                Some(kind) => {
                    self.receiving = Receiving::Armed(kind);
                    Step::Arm(kind)
                }
                None => Step::Nothing,
            },
            Phase::Winding if !self.is_busy() => {
                self.phase = Phase::Closing;
                Step::Close
            }
            _ => Step::Nothing,
        }
    }

    fn cancel_receive(&mut self) -> Step {
        self.receiving = Receiving::Cancelling;
        Step::CancelReceive
    }

    fn is_busy(&self) -> bool {
        self.receiving != Receiving::Idle || self.polling || self.shutting
    }
}

#[cfg(test)]
#[path = "tests/slots.rs"]
mod tests;
