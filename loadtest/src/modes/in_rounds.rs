//! What broadcast, burst and the message after an idle time have in common: a fan-out over connected sockets,
//! measured.

use crate::cli::Bounds;
use crate::clock::nanoseconds;
use crate::fanout::Fanout;
use crate::fanout::shared::{Limits, Outcome, Pace, Shared};
use crate::schedule::Schedule;
use crate::seen::Seen;
use crate::session::{RunError, Session};
use crate::usage::UsageError;
use std::sync::Arc;

/// Rounds if neither a count nor a duration is given.
const COUNT_DEFAULT: u64 = 100;

/// What is sent.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// Messages per round.
    pub round: u32,
    /// Sockets that send a round together.
    pub senders: u32,
    /// When and how often.
    pub bounds: Bounds,
}

impl Plan {
    /// Refuses what cannot be numbered or divided.
    pub fn check(&self) -> Result<(), UsageError> {
        if !self.round.is_multiple_of(self.senders) {
            return Err(UsageError::UnevenSenders(self.senders, self.round));
        }
        let messages = self.bounds.count.unwrap_or(0) * u64::from(self.round);
        if messages > i32::MAX as u64 {
            return Err(UsageError::TooManyMessages(messages));
        }
        Ok(())
    }

    fn limits(&self, session: &Session) -> Limits {
        let Bounds { count, duration, .. } = self.bounds;
        // Without a count, as many as can be numbered.
        let numbered = i32::MAX as u64 / u64::from(self.round);
        Limits {
            rounds: count.unwrap_or(if duration.is_some() { numbered } else { COUNT_DEFAULT }),
            duration_ns: duration.map_or(u64::MAX, nanoseconds),
            wait_ns: session.wait_ns(),
            timeout_ns: session.timeout_ns(),
        }
    }

    fn pace(&self) -> Pace {
        self.bounds.rate.map_or(Pace::Closed, Pace::Rate)
    }
}

/// Sends and checks what `plan` says among the connected sockets, and enters it into the report; with `cpu`,
/// the server's processor time per delivery as well.
pub fn run(
    session: &mut Session,
    room_of_socket: &[Option<u32>],
    plan: Plan,
    cpu: bool,
) -> Result<(), RunError> {
    let schedule = Schedule::new(room_of_socket, plan.round, plan.senders);
    let members: u64 = (0..schedule.rooms()).map(|room| schedule.members(room).len() as u64).sum();
    let rooms = u64::from(schedule.rooms()).max(1);
    let limits = plan.limits(session);
    let earlier = session.read_cpu()?;
    let start_ns = session.fleet.clock().now_ns();
    let shared = Arc::new(Shared::new(schedule, plan.pace(), limits, start_ns, session.fleet.threads()));
    // Rooms are about equal, so this is about right; a closed loop with a duration has no end to show.
    let length =
        if plan.bounds.count.is_none() && plan.bounds.duration.is_some() && plan.bounds.rate.is_none() {
            0
        } else {
            shared.limits.rounds * u64::from(plan.round) * members / rooms
        };
    let inputs = vec![(Arc::clone(&shared), session.format.clone()); session.fleet.threads()];
    let scripts = session.fleet.on_each("sending", length, inputs, |worker, (shared, format)| {
        let mut script = Fanout::new(shared, format, worker);
        worker.run(&mut script)?;
        Ok(script)
    })?;
    let phase_ns = session.fleet.clock().now_ns() - start_ns;
    if cpu {
        session.note_cpu(earlier, phase_ns)?;
    }
    let parts = session.fleet.on_each("settling", 0, scripts, |worker, mut script| {
        script.settle(worker.clock().now_ns());
        worker.run(&mut script)?;
        Ok(script.into_seen())
    })?;
    session.report.outcome = shared.outcome().unwrap_or(Outcome::Finished);
    session.report.rounds = Some(shared.rounds_whole());
    if let Some(seen) = Seen::sum(parts) {
        session.note_seen(&seen, start_ns);
    }
    if cpu {
        session.note_cpu_per_delivery(session.report.deliveries);
    }
    Ok(())
}
