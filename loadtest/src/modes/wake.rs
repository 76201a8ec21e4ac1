//! `wake`: messages with a pause before each, so that the object they go to has fallen asleep; with `--against`, the
//! same to a server whose objects stay awake, in turn.
//!
//! ```text
//!   first server     A ----------------- A --- A ----------------- A --- A       pauses: one, or three, for both
//!   --against        ----- B --- B ----------------- B --- B -------------
//! ```
//!
//! After a pause everything is cold, the processor and the server's thread included, whether the object slept or
//! not. Therefore the other server gets the same pauses: what is left between them is what waking costs.

use crate::cli::{Common, Wake};
use crate::clock::nanoseconds;
use crate::failures::Failures;
use crate::fanout::shared::Outcome;
use crate::frame;
use crate::latency::Latencies;
use crate::ledger::Ledger;
use crate::payload::{Damage, Format, Stamp};
use crate::report::{Against, Report};
use crate::script::{Delivery, Ending, Next, Script};
use crate::seen::Seen;
use crate::session::{RunError, Session, parse, per, read_cpu};
use crate::settle::Settle;
use crate::worker::Worker;
use std::sync::{Arc, OnceLock};

/// The server of the URL, and the other one.
const SERVERS_MAX: usize = 2;

/// What all threads have in common.
#[derive(Debug)]
struct Plan {
    servers: u32,
    /// To all servers together.
    messages: u32,
    pause_ns: u64,
    start_ns: u64,
    wait_ns: u64,
    timeout_ns: u64,
    /// Why it ends before everything has been sent.
    stopped: OnceLock<Outcome>,
}

impl Plan {
    /// To which server a message goes. Who is first changes with each pair, so that neither always follows the other.
    fn server(&self, message: u32) -> u32 {
        if self.servers == 1 { 0 } else { (message ^ (message >> 1)) & 1 }
    }

    fn due_ns(&self, message: u32) -> u64 {
        self.start_ns + self.pause_ns.saturating_mul(u64::from(message) + 1)
    }

    fn overdue(&self, sent_ns: u64, now_ns: u64) -> Option<Outcome> {
        if now_ns.saturating_sub(self.start_ns) > self.timeout_ns {
            Some(Outcome::TimedOut)
        } else if now_ns.saturating_sub(sent_ns) > self.wait_ns {
            Some(Outcome::Stalled)
        } else {
            None
        }
    }
}

/// One thread's part. Socket number 0 speaks to the first server, number 1 to the other; the rest are idle, and
/// answer pings, which the worker does by itself.
struct Pauses {
    plan: Arc<Plan>,
    format: Format,
    ledger: Ledger,
    /// The next message to look at, of all threads.
    next: u32,
    /// Messages this thread has sent to each server.
    sent: [u32; SERVERS_MAX],
    outstanding: u32,
    last_sent_ns: u64,
    last_arrival_ns: u64,
    latencies: [Latencies; SERVERS_MAX],
    deliveries: [u64; SERVERS_MAX],
    failures: Failures,
    settle: Option<Settle>,
    payload: Vec<u8>,
    frame: Vec<u8>,
}

impl Pauses {
    fn new(plan: Arc<Plan>, format: Format, worker: &Worker) -> Self {
        Self {
            format,
            ledger: Ledger::new(worker.slots() as usize),
            next: 0,
            sent: [0; SERVERS_MAX],
            outstanding: 0,
            last_sent_ns: plan.start_ns,
            last_arrival_ns: plan.start_ns,
            latencies: [Latencies::new(), Latencies::new()],
            deliveries: [0; SERVERS_MAX],
            failures: Failures::default(),
            settle: None,
            payload: Vec::new(),
            frame: Vec::new(),
            plan,
        }
    }

    /// Sends the next message to `server`, if its speaker lives on this thread.
    fn send(&mut self, worker: &mut Worker, server: u32) {
        let (thread, slot) = worker.place(server);
        if thread != worker.thread() || !worker.is_open(slot) {
            return;
        }
        self.last_sent_ns = worker.clock().now_ns();
        let sequence = self.sent[server as usize];
        let stamp = Stamp { sender: server, sequence, intended_ns: self.last_sent_ns };
        self.format.write(stamp, &mut self.payload);
        self.frame.clear();
        frame::encode(&mut self.frame, self.format.kind().into(), &self.payload, worker.mask());
        worker.send(slot, &self.frame);
        self.sent[server as usize] += 1;
        self.outstanding += 1;
    }

    /// The server whose speaker has `slot`; `None` for a socket that is only there.
    fn speaks_to(&self, worker: &Worker, slot: u32) -> Option<usize> {
        let socket = worker.socket(slot);
        (socket < self.plan.servers).then_some(socket as usize)
    }

    fn into_parts(self) -> Part {
        let sent = self.sent.iter().map(|sent| u64::from(*sent)).sum();
        let [first, other] = self.latencies;
        let seen = Seen {
            sent,
            expected: sent,
            tally: *self.ledger.tally(),
            latencies: first,
            spans: Latencies::new(),
            failures: self.failures,
            last_arrival_ns: self.last_arrival_ns,
        };
        Part { seen, other, deliveries: self.deliveries }
    }
}

/// What a thread has seen.
struct Part {
    /// Counts of all servers, latencies of the first.
    seen: Seen,
    /// Latencies of the other.
    other: Latencies,
    /// By server.
    deliveries: [u64; SERVERS_MAX],
}

impl Script for Pauses {
    fn poll(&mut self, worker: &mut Worker, now_ns: u64) -> Next {
        worker.set_progress(self.ledger.tally().deliveries);
        if let Some(settle) = self.settle {
            return settle.poll(self.last_arrival_ns, now_ns);
        }
        if let Some(outcome) = self.plan.overdue(self.last_sent_ns, now_ns).filter(|_| self.outstanding > 0) {
            let _ = self.plan.stopped.set(outcome);
        }
        if self.plan.stopped.get().is_some() {
            return Next::Done;
        }
        while self.next < self.plan.messages {
            let due_ns = self.plan.due_ns(self.next);
            if due_ns > now_ns {
                return Next::WaitUntil(due_ns);
            }
            self.send(worker, self.plan.server(self.next));
            self.next += 1;
        }
        if self.outstanding == 0 { Next::Done } else { Next::WaitUntil(u64::MAX) }
    }

    fn handle_delivery(&mut self, worker: &mut Worker, delivery: Delivery<'_>) {
        let Delivery { slot, kind, payload, now_ns } = delivery;
        let stamp = self.format.read(kind, payload);
        let Some(server) = self.speaks_to(worker, slot) else { return self.ledger.accept_foreign() };
        match stamp {
            Ok(stamp) if stamp.sender as usize == server => {
                let later = stamp.sequence.saturating_add(1)..;
                if self.ledger.accept(slot, stamp.sequence, later) {
                    self.latencies[server].record(now_ns.saturating_sub(stamp.intended_ns));
                    self.deliveries[server] += 1;
                    self.outstanding -= 1;
                    self.last_arrival_ns = now_ns;
                }
            }
            Ok(_) | Err(Damage::Foreign) => self.ledger.accept_foreign(),
            Err(_) => {
                if self.ledger.accept_corrupt(slot, self.sent[server]).is_some() {
                    self.outstanding -= 1;
                    self.last_arrival_ns = now_ns;
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
pub fn run(options: Wake) -> Result<Report, RunError> {
    let Wake { pause, count, against, against_pid, common, message } = options;
    let url = common.url.clone().unwrap_or_else(|| "ws://127.0.0.1:8787/echo".to_owned());
    let mut target = parse("--url", &url, 1)?;
    if let Some(url) = &against {
        target = target.and(parse("--against", url, 1)?);
    }
    let servers = target.rooms.len() as u32;
    let common = Common { sockets: common.sockets * servers, ..common };
    let mut session = Session::start_at("wake", url, target, common, message)?;
    session.report.pause_seconds = Some(pause.as_secs_f64());
    session.connect()?;
    let read_other = || against_pid.map(|process| read_cpu("--against-pid", process)).transpose();
    let (earlier, earlier_other) = (session.read_cpu()?, read_other()?);
    let plan = Arc::new(Plan {
        servers,
        messages: count * servers,
        pause_ns: nanoseconds(pause),
        start_ns: session.fleet.clock().now_ns(),
        wait_ns: session.wait_ns(),
        timeout_ns: session.timeout_ns(),
        stopped: OnceLock::new(),
    });
    let inputs = vec![(Arc::clone(&plan), session.format.clone()); session.fleet.threads()];
    let scripts =
        session.fleet.on_each("pausing", u64::from(plan.messages), inputs, |worker, (plan, format)| {
            let mut script = Pauses::new(plan, format, worker);
            worker.run(&mut script)?;
            Ok(script)
        })?;
    session.note_cpu(earlier, session.fleet.clock().now_ns() - plan.start_ns)?;
    let spent_other = read_other()?.zip(earlier_other).map(|(now, earlier)| now.since(&earlier));
    let parts = session.fleet.on_each("settling", 0, scripts, |worker, mut script| {
        script.settle = Some(Settle::new(worker.clock().now_ns()));
        worker.run(&mut script)?;
        Ok(script.into_parts())
    })?;
    session.report.outcome = plan.stopped.get().copied().unwrap_or(Outcome::Finished);
    let mut others = Latencies::new();
    let mut deliveries = [0; SERVERS_MAX];
    for part in &parts {
        others.add(&part.other);
        deliveries.iter_mut().zip(part.deliveries).for_each(|(sum, part)| *sum += part);
    }
    if let Some(seen) = Seen::sum(parts.into_iter().map(|part| part.seen)) {
        session.note_seen(&seen, plan.start_ns);
    }
    session.note_cpu_per_delivery(deliveries[0]);
    let cpu_ns_per_delivery = spent_other.and_then(|spent| per(spent.all_ns, deliveries[1]));
    let latency_ns = others.percentiles();
    let first = session.report.latency_ns;
    session.report.against = against.map(|url| Against {
        url,
        latency_ns,
        median_difference_ns: first.zip(latency_ns).map(|(first, other)| first.p50 as i64 - other.p50 as i64),
        cpu_ns_per_delivery,
    });
    session.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(servers: u32) -> Plan {
        let (pause_ns, start_ns, wait_ns, timeout_ns) = (100, 1_000, 50, 10_000);
        Plan { servers, messages: 8, pause_ns, start_ns, wait_ns, timeout_ns, stopped: OnceLock::new() }
    }

    #[test]
    fn both_servers_have_the_same_pauses() {
        let plan = plan(2);
        let servers: Vec<_> = (0..8).map(|message| plan.server(message)).collect();
        assert_eq!(servers, [0, 1, 1, 0, 0, 1, 1, 0]);
        assert_eq!((plan.due_ns(0), plan.due_ns(3)), (1_100, 1_400));
    }

    #[test]
    fn one_server_gets_all() {
        let plan = plan(1);
        assert!((0..8).all(|message| plan.server(message) == 0));
    }

    #[test]
    fn a_pause_is_no_silence() {
        let plan = plan(1);
        assert_eq!(plan.overdue(1_100, 1_150), None);
        assert_eq!(plan.overdue(1_100, 1_151), Some(Outcome::Stalled));
        assert_eq!(plan.overdue(11_000, 11_001), Some(Outcome::TimedOut));
    }
}
