//! `churn`: connections come and go. Each has a handshake, one message echoed, and a closing handshake.
//!
//! ```text
//!   due --connect--> 101 --message--> echo --Close 1000--> Close 1000, end of stream --> slot free again
//! ```
//!
//! Connections are due at fixed times, and the latency of a handshake counts from then: a server (or a
//! generator) that falls behind cannot hide it by being asked later. At most `--sockets` are open at a time.

use crate::cli::Churn;
use crate::clock::{SECOND_NS, nanoseconds};
use crate::close::NORMAL;
use crate::failures::Failures;
use crate::fanout::shared::Outcome;
use crate::frame;
use crate::latency::Latencies;
use crate::ledger::Tally;
use crate::payload::{Damage, Format, Stamp};
use crate::report::Report;
use crate::script::{Delivery, Ending, Next, Script};
use crate::seen::Seen;
use crate::session::{RunError, Session, per, seconds};
use crate::worker::Worker;
use std::time::Duration;

/// The duration if neither it nor a count is given.
const DURATION_DEFAULT: Duration = Duration::from_secs(10);

/// Connects begun before anything is read again.
const CONNECTS_PER_POLL_MAX: u32 = 64;

#[derive(Clone, Copy, Debug)]
struct Plan {
    rate: f64,
    count: u32,
    start_ns: u64,
    duration_ns: u64,
    wait_ns: u64,
    timeout_ns: u64,
}

/// What a slot is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Free,
    /// The handshake is under way, due since then.
    Connecting(u64),
    /// The message is under way.
    Waiting,
    /// The echo has come, the closing handshake is under way.
    Closing,
}

#[derive(Clone, Copy, Debug)]
struct Visit {
    connection: u32,
    stage: Stage,
}

/// One thread's part: connections number `thread`, `thread + threads`, and so on.
struct Visits {
    plan: Plan,
    format: Format,
    slots: Vec<Visit>,
    free: Vec<u32>,
    next: u32,
    progress_ns: u64,
    last_opened_ns: u64,
    opened: u64,
    outcome: Outcome,
    tally: Tally,
    handshakes: Latencies,
    echoes: Latencies,
    failures: Failures,
    payload: Vec<u8>,
    frames: Vec<u8>,
}

impl Visits {
    fn new(plan: Plan, format: Format, worker: &Worker) -> Self {
        Self {
            plan,
            format,
            slots: vec![Visit { connection: 0, stage: Stage::Free }; worker.slots() as usize],
            free: (0..worker.slots()).rev().collect(),
            next: worker.thread() as u32,
            progress_ns: plan.start_ns,
            last_opened_ns: plan.start_ns,
            opened: 0,
            outcome: Outcome::Finished,
            tally: Tally::default(),
            handshakes: Latencies::new(),
            echoes: Latencies::new(),
            failures: Failures::default(),
            payload: Vec::new(),
            frames: Vec::new(),
        }
    }

    fn due_ns(&self) -> u64 {
        self.plan.start_ns + (f64::from(self.next) * SECOND_NS as f64 / self.plan.rate) as u64
    }

    fn begin(&mut self, worker: &mut Worker, slot: u32) {
        let visit = Visit { connection: self.next, stage: Stage::Connecting(self.due_ns()) };
        self.next += worker.threads() as u32;
        match worker.connect(slot, visit.connection, 0) {
            Ok(()) => self.slots[slot as usize] = visit,
            Err(error) => {
                self.failures.count(&Ending::System(error));
                self.free.push(slot);
            }
        }
    }

    fn active(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    fn give_up(&mut self, worker: &mut Worker, outcome: Outcome) -> Next {
        self.outcome = outcome;
        for slot in 0..worker.slots() {
            if worker.is_used(slot) {
                let reason = match self.slots[slot as usize].stage {
                    Stage::Free | Stage::Connecting(_) => "handshake not answered",
                    Stage::Waiting => "message not echoed",
                    Stage::Closing => "closing handshake not answered",
                };
                self.failures.count_failed(reason, 1);
                worker.close(slot);
            }
        }
        Next::Done
    }
}

impl Script for Visits {
    fn poll(&mut self, worker: &mut Worker, now_ns: u64) -> Next {
        worker.set_progress(self.opened);
        // What could not be begun in time, because all slots were taken, is not made up for.
        let in_time = now_ns.saturating_sub(self.plan.start_ns) < self.plan.duration_ns;
        let mut connects_left = CONNECTS_PER_POLL_MAX;
        while connects_left > 0 && in_time && self.next < self.plan.count && self.due_ns() <= now_ns {
            let Some(slot) = self.free.pop() else { break };
            self.begin(worker, slot);
            self.progress_ns = now_ns;
            connects_left -= 1;
        }
        let is_last = !in_time || self.next >= self.plan.count;
        if is_last && self.active() == 0 {
            return Next::Done;
        }
        if now_ns.saturating_sub(self.plan.start_ns) > self.plan.timeout_ns {
            return self.give_up(worker, Outcome::TimedOut);
        }
        if self.active() > 0 && now_ns.saturating_sub(self.progress_ns) > self.plan.wait_ns {
            return self.give_up(worker, Outcome::Stalled);
        }
        Next::WaitUntil(if is_last || self.free.is_empty() { u64::MAX } else { self.due_ns() })
    }

    fn handle_open(&mut self, worker: &mut Worker, slot: u32, now_ns: u64) {
        let Visit { connection, stage } = &mut self.slots[slot as usize];
        let Stage::Connecting(due_ns) = *stage else { return };
        *stage = Stage::Waiting;
        self.handshakes.record(now_ns.saturating_sub(due_ns));
        self.opened += 1;
        self.progress_ns = now_ns;
        self.last_opened_ns = now_ns;
        let stamp = Stamp { sender: *connection, sequence: 0, intended_ns: now_ns };
        self.format.write(stamp, &mut self.payload);
        self.frames.clear();
        frame::encode(&mut self.frames, self.format.kind().into(), &self.payload, worker.mask());
        worker.send(slot, &self.frames);
    }

    fn handle_delivery(&mut self, worker: &mut Worker, delivery: Delivery<'_>) {
        let Delivery { slot, kind, payload, now_ns } = delivery;
        let Visit { connection, stage } = &mut self.slots[slot as usize];
        let is_awaited = *stage == Stage::Waiting;
        match self.format.read(kind, payload) {
            Ok(stamp) if stamp.sender == *connection && stamp.sequence == 0 => {
                if !is_awaited {
                    self.tally.doubled += 1;
                    return;
                }
                self.tally.deliveries += 1;
                self.echoes.record(now_ns.saturating_sub(stamp.intended_ns));
            }
            Ok(_) | Err(Damage::Foreign) => {
                self.tally.corrupt += 1;
                return;
            }
            Err(_) => {
                self.tally.corrupt += 1;
                self.tally.stand_ins += u64::from(is_awaited);
            }
        }
        *stage = Stage::Closing;
        self.progress_ns = now_ns;
        worker.send_close(slot, NORMAL);
    }

    fn handle_end(&mut self, _worker: &mut Worker, slot: u32, ending: Ending, now_ns: u64) {
        let stage = std::mem::replace(&mut self.slots[slot as usize].stage, Stage::Free);
        self.free.push(slot);
        self.progress_ns = now_ns;
        match (stage, ending) {
            (Stage::Closing, Ending::Closed(NORMAL)) => {}
            (_, ending) => self.failures.count(&ending),
        }
    }
}

/// Runs it.
pub fn run(options: Churn) -> Result<Report, RunError> {
    let rate = options.common.connect_rate;
    let duration = options.duration.or(options.count.is_none().then_some(DURATION_DEFAULT));
    let in_time = duration.map_or(f64::INFINITY, |duration| (duration.as_secs_f64() * rate).ceil());
    let mut session = Session::start("churn", "/echo", options.common, options.message, 1)?;
    session.report.rate = Some(rate);
    let earlier = session.read_cpu()?;
    let plan = Plan {
        rate,
        // The cast of what is too large is the maximum.
        count: options.count.unwrap_or(i32::MAX as u32).min(in_time as u32),
        start_ns: session.fleet.clock().now_ns(),
        duration_ns: duration.map_or(u64::MAX, nanoseconds),
        wait_ns: session.wait_ns(),
        timeout_ns: session.timeout_ns(),
    };
    let inputs = vec![(plan, session.format.clone()); session.fleet.threads()];
    let scripts =
        session.fleet.on_each("connecting", u64::from(plan.count), inputs, |worker, (plan, format)| {
            let mut script = Visits::new(plan, format, worker);
            worker.run(&mut script)?;
            Ok(script)
        })?;
    let phase_ns = session.fleet.clock().now_ns() - plan.start_ns;
    session.note_cpu(earlier, phase_ns)?;
    // All are gone: what has grown is no cost of a connection.
    session.note_memory(0)?;
    enter(&mut session, scripts, plan.start_ns);
    let opened = session.report.handshake.count;
    if let Some(server) = &mut session.report.server {
        server.cpu_ns_per_handshake = per(server.cpu_ns, opened);
    }
    session.finish()
}

/// Enters what the threads have seen into the report.
fn enter(session: &mut Session, scripts: Vec<Visits>, start_ns: u64) {
    let mut handshakes = Latencies::new();
    let (mut opened, mut last_opened_ns) = (0, start_ns);
    let mut parts = Vec::new();
    for script in scripts {
        handshakes.add(&script.handshakes);
        opened += script.opened;
        last_opened_ns = last_opened_ns.max(script.last_opened_ns);
        if script.outcome != Outcome::Finished {
            session.report.outcome = script.outcome;
        }
        parts.push(Seen {
            sent: script.opened,
            expected: script.opened,
            tally: script.tally,
            latencies: script.echoes,
            spans: Latencies::new(),
            failures: script.failures,
            last_arrival_ns: script.progress_ns,
        });
    }
    session.set_handshakes(opened, seconds(last_opened_ns - start_ns), &handshakes);
    if let Some(seen) = Seen::sum(parts) {
        session.note_seen(&seen, start_ns);
    }
}
