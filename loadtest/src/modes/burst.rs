//! `burst`: rounds of several messages, sent back to back.

use super::in_rounds::{self, Plan};
use crate::cli::Burst;
use crate::report::Report;
use crate::session::{RunError, Session};

/// Runs it.
pub fn run(options: Burst) -> Result<Report, RunError> {
    let plan = Plan { round: options.burst, senders: options.senders, bounds: options.bounds };
    plan.check()?;
    let mut session = Session::start("burst", "/room", options.common, options.message, options.rooms.rooms)?;
    session.report.burst = Some(options.burst);
    session.report.rate = options.bounds.rate;
    let rooms = session.connect()?;
    in_rounds::run(&mut session, &rooms, plan, true)?;
    session.finish()
}
