//! `broadcast`: rounds of one message.

use super::in_rounds::{self, Plan};
use crate::cli::Broadcast;
use crate::report::Report;
use crate::session::{RunError, Session};

/// Runs it.
pub fn run(options: Broadcast) -> Result<Report, RunError> {
    let plan = Plan { round: 1, senders: 1, bounds: options.bounds };
    plan.check()?;
    let mut session =
        Session::start("broadcast", "/room", options.common, options.message, options.rooms.rooms)?;
    session.report.rate = options.bounds.rate;
    let rooms = session.connect()?;
    in_rounds::run(&mut session, &rooms, plan, true)?;
    session.finish()
}
