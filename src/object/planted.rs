//! Bugs planted on purpose, so that the simulation can prove that it would find them. Owns the switch; each bug stands
//! where someone might make it.
//!
//! For tests only: without the feature `planted-bugs` no bug can be planted and every hook is a constant `false`.

/// A bug that someone might make.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bug {
    /// A broadcast passes over the newest socket.
    BroadcastSkipsTheLast,
    /// After a partial send the last byte that was taken is sent again.
    PartialSendRepeatsAByte,
    /// An auto-response does not wait for the messages before it.
    AutoResponseOvertakes,
    /// A loss behind a Close is a second close event.
    CloseEventTwice,
    /// A loss that a send finds out is told to nobody.
    LossNotTold,
    /// Hibernation forgets that the object closed a socket.
    SendAfterCloseOnceWoken,
    /// The idle timer does not see that a handler runs.
    SleepsWhileAHandlerRuns,
    /// Hibernation takes the attachments along.
    AttachmentLostAtHibernation,
    /// A sleep ends a millisecond early.
    TimerEarly,
    /// The budget for unfinished messages is charged and never given back.
    ReassemblyNeverGivenBack,
    /// An upgrade that comes while another is under way pins the object.
    SecondUpgradeKeepsAwake,
    /// A key names whoever has the place now.
    GenerationNotChecked,
    /// The first command of a batch for another shard comes last.
    FarCommandsReordered,
    /// A socket that takes nothing may queue without bound.
    OutputBoundIgnored,
    /// Of several paused sockets only one is read again.
    ResumesOnlyOne,
    /// Frames behind a request stay behind when the connection changes shards.
    HandOffLosesBytes,
    /// Of the messages under one key the oldest waits, and not the newest.
    OldestKept,
    /// A batch that waits keeps nobody awake, and goes with the instance.
    BatchesLostAtHibernation,
    /// A broadcast does not have the batch for its address leave before it.
    BroadcastOvertakesBatch,
    /// The timer of an object's batches comes once, also when others are due later.
    BatchTimerOnce,
}

#[cfg(feature = "planted-bugs")]
mod switch {
    use std::cell::Cell;

    use super::Bug;

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Plants a bug in the worlds of this thread, or takes it out.
    pub fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    pub(crate) fn is_planted(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}

#[cfg(feature = "planted-bugs")]
pub(crate) use switch::is_planted;
#[cfg(feature = "planted-bugs")]
pub use switch::plant;

#[cfg(not(feature = "planted-bugs"))]
pub(crate) const fn is_planted(_: Bug) -> bool {
    false
}
