//! `echo`: each socket sends a message, gets it back, and sends the next, with `--pipeline` of them under
//! way.

use crate::cli::Echo;
use crate::clock::nanoseconds;
use crate::failures::Failures;
use crate::fanout::shared::Outcome;
use crate::frame;
use crate::latency::Latencies;
use crate::ledger::Ledger;
use crate::payload::{Damage, Format, Stamp};
use crate::report::Report;
use crate::script::{Delivery, Ending, Next, Script};
use crate::seen::Seen;
use crate::session::{RunError, Session};
use crate::settle::Settle;
use crate::worker::Worker;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

/// The duration if neither it nor a count is given.
const DURATION_DEFAULT: Duration = Duration::from_secs(10);

/// Sockets that send their first messages before the first answers are read.
const STARTS_PER_POLL_MAX: u32 = 64;

/// What all threads have in common.
#[derive(Debug)]
struct Plan {
    pipeline: u32,
    count: u32,
    start_ns: u64,
    duration_ns: u64,
    wait_ns: u64,
    timeout_ns: u64,
    /// Why it ends before everything has been sent.
    stopped: OnceLock<Outcome>,
}

impl Plan {
    fn overdue(&self, progress_ns: u64, now_ns: u64) -> Option<Outcome> {
        if now_ns.saturating_sub(self.start_ns) > self.timeout_ns {
            Some(Outcome::TimedOut)
        } else if now_ns.saturating_sub(progress_ns) > self.wait_ns {
            Some(Outcome::Stalled)
        } else {
            None
        }
    }
}

/// One thread's part.
struct Conversation {
    plan: Arc<Plan>,
    format: Format,
    ledger: Ledger,
    /// Messages sent on each slot.
    sent: Vec<u32>,
    /// Slots that have begun.
    begun: u32,
    outstanding: u64,
    last_arrival_ns: u64,
    latencies: Latencies,
    failures: Failures,
    settle: Option<Settle>,
    payload: Vec<u8>,
    frames: Vec<u8>,
}

impl Conversation {
    fn new(plan: Arc<Plan>, format: Format, worker: &Worker) -> Self {
        let slots = worker.slots() as usize;
        Self {
            ledger: Ledger::new(slots),
            sent: vec![0; slots],
            begun: 0,
            outstanding: 0,
            last_arrival_ns: plan.start_ns,
            latencies: Latencies::new(),
            failures: Failures::default(),
            settle: None,
            payload: Vec::new(),
            frames: Vec::new(),
            plan,
            format,
        }
    }

    fn into_seen(self) -> Seen {
        let sent = self.sent.iter().map(|sent| u64::from(*sent)).sum();
        Seen {
            sent,
            expected: sent,
            tally: *self.ledger.tally(),
            latencies: self.latencies,
            spans: Latencies::new(),
            failures: self.failures,
            last_arrival_ns: self.last_arrival_ns,
        }
    }

    /// Sends up to `messages` on `slot` in one write, fewer if the end is reached.
    fn send(&mut self, worker: &mut Worker, slot: u32, messages: u32, now_ns: u64) {
        let is_over = now_ns.saturating_sub(self.plan.start_ns) >= self.plan.duration_ns;
        if is_over || self.settle.is_some() || self.plan.stopped.get().is_some() {
            return;
        }
        let sent = self.sent[slot as usize];
        let messages = messages.min(self.plan.count - sent);
        self.frames.clear();
        for sequence in sent..sent + messages {
            let stamp = Stamp { sender: worker.socket(slot), sequence, intended_ns: worker.clock().now_ns() };
            self.format.write(stamp, &mut self.payload);
            frame::encode(&mut self.frames, self.format.kind().into(), &self.payload, worker.mask());
        }
        if messages > 0 {
            worker.send(slot, &self.frames);
            self.sent[slot as usize] += messages;
            self.outstanding += u64::from(messages);
        }
    }

    /// An awaited message has come back, whole or not.
    fn go_on(&mut self, worker: &mut Worker, slot: u32, now_ns: u64) {
        self.last_arrival_ns = now_ns;
        self.outstanding -= 1;
        self.send(worker, slot, 1, now_ns);
    }
}

impl Script for Conversation {
    fn poll(&mut self, worker: &mut Worker, now_ns: u64) -> Next {
        worker.set_progress(self.ledger.tally().deliveries);
        if let Some(settle) = self.settle {
            return settle.poll(self.last_arrival_ns, now_ns);
        }
        let end = self.begun.saturating_add(STARTS_PER_POLL_MAX).min(worker.slots());
        for slot in self.begun..end {
            if worker.is_open(slot) {
                self.send(worker, slot, self.plan.pipeline, now_ns);
            }
        }
        self.begun = end;
        if end < worker.slots() {
            return Next::WaitUntil(now_ns);
        }
        if let Some(outcome) =
            self.plan.overdue(self.last_arrival_ns, now_ns).filter(|_| self.outstanding > 0)
        {
            let _ = self.plan.stopped.set(outcome);
        }
        let is_over = self.outstanding == 0 || self.plan.stopped.get().is_some();
        if is_over { Next::Done } else { Next::WaitUntil(u64::MAX) }
    }

    fn handle_delivery(&mut self, worker: &mut Worker, delivery: Delivery<'_>) {
        let Delivery { slot, kind, payload, now_ns } = delivery;
        match self.format.read(kind, payload) {
            Ok(stamp) if stamp.sender == worker.socket(slot) => {
                let later = stamp.sequence.saturating_add(1)..;
                if self.ledger.accept(slot, stamp.sequence, later) {
                    self.latencies.record(now_ns.saturating_sub(stamp.intended_ns));
                    self.go_on(worker, slot, now_ns);
                }
            }
            Ok(_) | Err(Damage::Foreign) => self.ledger.accept_foreign(),
            Err(_) => {
                if self.ledger.accept_corrupt(slot, self.sent[slot as usize]).is_some() {
                    self.go_on(worker, slot, now_ns);
                }
            }
        }
    }

    fn handle_end(&mut self, _worker: &mut Worker, _slot: u32, ending: Ending, _now_ns: u64) {
        self.failures.count(&ending);
        let _ = self.plan.stopped.set(Outcome::ConnectionEnded);
    }
}

/// Runs it.
pub fn run(options: Echo) -> Result<Report, RunError> {
    let duration = options.duration.or(options.count.is_none().then_some(DURATION_DEFAULT));
    let mut session = Session::start("echo", "/echo", options.common, options.message, 1)?;
    session.connect()?;
    let earlier = session.read_cpu()?;
    let plan = Arc::new(Plan {
        pipeline: options.pipeline,
        count: options.count.unwrap_or(i32::MAX as u32),
        start_ns: session.fleet.clock().now_ns(),
        duration_ns: duration.map_or(u64::MAX, nanoseconds),
        wait_ns: session.wait_ns(),
        timeout_ns: session.timeout_ns(),
        stopped: OnceLock::new(),
    });
    let length = options.count.map_or(0, |count| u64::from(count) * session.report.handshake.count);
    let inputs = vec![(Arc::clone(&plan), session.format.clone()); session.fleet.threads()];
    let scripts = session.fleet.on_each("echoing", length, inputs, |worker, (plan, format)| {
        let mut script = Conversation::new(plan, format, worker);
        worker.run(&mut script)?;
        Ok(script)
    })?;
    let phase_ns = session.fleet.clock().now_ns() - plan.start_ns;
    session.note_cpu(earlier, phase_ns)?;
    let parts = session.fleet.on_each("settling", 0, scripts, |worker, mut script| {
        script.settle = Some(Settle::new(worker.clock().now_ns()));
        worker.run(&mut script)?;
        Ok(script.into_seen())
    })?;
    session.report.outcome = plan.stopped.get().copied().unwrap_or(Outcome::Finished);
    if let Some(seen) = Seen::sum(parts) {
        session.note_seen(&seen, plan.start_ns);
    }
    session.note_cpu_per_delivery(session.report.deliveries);
    session.finish()
}
