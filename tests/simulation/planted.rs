//! The bugs that are planted in the engine, each of which the simulation must find. Owns their list.

use dormouse::object::{Bug, plant};

use super::plan::Plan;
use super::run::{asleep_as_awake, run};

pub const BUGS: [Bug; 20] = [
    Bug::BroadcastSkipsTheLast,
    Bug::PartialSendRepeatsAByte,
    Bug::AutoResponseOvertakes,
    Bug::CloseEventTwice,
    Bug::LossNotTold,
    Bug::SendAfterCloseOnceWoken,
    Bug::SleepsWhileAHandlerRuns,
    Bug::AttachmentLostAtHibernation,
    Bug::TimerEarly,
    Bug::ReassemblyNeverGivenBack,
    Bug::SecondUpgradeKeepsAwake,
    Bug::GenerationNotChecked,
    Bug::FarCommandsReordered,
    Bug::OutputBoundIgnored,
    Bug::ResumesOnlyOne,
    Bug::HandOffLosesBytes,
    Bug::OldestKept,
    Bug::BatchesLostAtHibernation,
    Bug::BroadcastOvertakesBatch,
    Bug::BatchTimerOnce,
];

/// The first of so many seeds that finds a bug, and the rule that it breaks.
pub fn find(bug: Bug, seeds: u64) -> Option<(u64, String)> {
    plant(Some(bug));
    let found = (0..seeds).find_map(|seed| {
        let broken = run(Plan::of(seed), false).and_then(|_| asleep_as_awake(seed));
        broken.err().map(|rule| (seed, rule))
    });
    plant(None);
    found
}
