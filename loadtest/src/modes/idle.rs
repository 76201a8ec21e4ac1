//! `idle`: connected sockets on which nothing happens.

use super::in_rounds::{self, Plan};
use crate::cli::{Bounds, Idle};
use crate::clock::nanoseconds;
use crate::failures::Failures;
use crate::fanout::shared::Outcome;
use crate::report::Report;
use crate::script::{Ending, Next, Script};
use crate::session::{RunError, Session, seconds};
use crate::worker::Worker;

/// Holds still, and answers pings, which the worker does by itself.
struct Hold {
    until_ns: u64,
    failures: Failures,
}

impl Script for Hold {
    fn poll(&mut self, _worker: &mut Worker, now_ns: u64) -> Next {
        if now_ns >= self.until_ns { Next::Done } else { Next::WaitUntil(self.until_ns) }
    }

    fn handle_end(&mut self, _worker: &mut Worker, _slot: u32, ending: Ending, _now_ns: u64) {
        self.failures.count(&ending);
    }
}

/// Runs it.
pub fn run(options: Idle) -> Result<Report, RunError> {
    let mut session = Session::start("idle", "/room", options.common, options.message, options.rooms.rooms)?;
    let rooms = session.connect()?;
    let lost = hold(&mut session, nanoseconds(options.hold))?;
    // The connections that have not lasted cannot hear the message; the run has failed, and says why.
    if options.then_message && !lost {
        let bounds = Bounds { count: Some(u64::from(options.rooms.rooms)), duration: None, rate: None };
        in_rounds::run(&mut session, &rooms, Plan { round: 1, senders: 1, bounds }, false)?;
    }
    session.finish()
}

/// Holds for `hold_ns`, enters the server's processor time and memory into the report, and says whether
/// connections were lost.
fn hold(session: &mut Session, hold_ns: u64) -> Result<bool, RunError> {
    let start_ns = session.fleet.clock().now_ns();
    let earlier = session.read_cpu()?;
    let inputs = vec![start_ns + hold_ns; session.fleet.threads()];
    let parts = session.fleet.on_each("holding", 0, inputs, |worker, until_ns| {
        let mut script = Hold { until_ns, failures: Failures::default() };
        worker.run(&mut script)?;
        Ok(script.failures)
    })?;
    let phase_ns = session.fleet.clock().now_ns() - start_ns;
    session.note_cpu(earlier, phase_ns)?;
    session.note_memory(session.report.handshake.count)?;
    session.report.hold_seconds = Some(seconds(phase_ns));
    parts.iter().for_each(|failures| session.note_failures(failures));
    let lost = parts.iter().any(|failures| *failures != Failures::default());
    if lost {
        session.report.outcome = Outcome::ConnectionEnded;
    }
    Ok(lost)
}
