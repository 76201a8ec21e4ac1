//! The engine of everything in which one message goes to many: broadcast, burst, and the message after an
//! idle time.
//!
//! Each thread runs one [`Fanout`]: it sends the turns whose sender is one of its sockets and checks every
//! delivery to its sockets. When a round has reached everybody is agreed upon in [`shared`].

pub mod rounds;
pub mod shared;

use crate::failures::Failures;
use crate::frame;
use crate::latency::Latencies;
use crate::ledger::Ledger;
use crate::payload::{Damage, Format, Stamp};
use crate::schedule::Turn;
use crate::script::{Delivery, Ending, Next, Script};
use crate::seen::Seen;
use crate::settle::Settle;
use crate::worker::Worker;
use rounds::Rounds;
use shared::{Outcome, Pace, Shared};
use std::sync::Arc;

/// Rounds an open loop sends before it reads again; when it is behind, reading must not starve.
const SENDS_PER_POLL_MAX: u32 = 64;

/// One thread's part of a fan-out.
pub struct Fanout {
    shared: Arc<Shared>,
    format: Format,
    ledger: Ledger,
    rounds: Rounds,
    /// The room of each slot; `None` for slots without a connection.
    rooms: Vec<Option<u32>>,
    /// The next round over all rooms to look at, open loop.
    cursor: u64,
    settle: Option<Settle>,
    last_arrival_ns: u64,
    expected: u64,
    sent: u64,
    latencies: Latencies,
    spans: Latencies,
    failures: Failures,
    payload: Vec<u8>,
    frames: Vec<u8>,
}

impl Fanout {
    /// The part of `worker`'s sockets.
    pub fn new(shared: Arc<Shared>, format: Format, worker: &Worker) -> Self {
        let rooms: Vec<_> =
            (0..worker.slots()).map(|slot| shared.schedule.room(worker.socket(slot))).collect();
        let mut members = vec![0; shared.schedule.rooms() as usize];
        for room in rooms.iter().flatten() {
            members[*room as usize] += 1;
        }
        Self {
            ledger: Ledger::new(rooms.len()),
            rounds: Rounds::new(&members, shared.schedule.round_length()),
            rooms,
            cursor: 0,
            settle: None,
            last_arrival_ns: shared.start_ns,
            expected: 0,
            sent: 0,
            latencies: Latencies::new(),
            spans: Latencies::new(),
            failures: Failures::default(),
            payload: Vec::new(),
            frames: Vec::new(),
            shared,
            format,
        }
    }

    /// From now on nothing is sent; the script is done when nothing arrives any more.
    pub fn settle(&mut self, now_ns: u64) {
        self.settle = Some(Settle::new(now_ns));
    }

    /// What this thread has seen.
    pub fn into_seen(self) -> Seen {
        Seen {
            sent: self.sent,
            expected: self.expected,
            tally: *self.ledger.tally(),
            latencies: self.latencies,
            spans: self.spans,
            failures: self.failures,
            last_arrival_ns: self.last_arrival_ns,
        }
    }

    fn finish(&self, worker: &Worker, outcome: Outcome) -> Next {
        self.shared.finish(outcome);
        (0..worker.threads()).for_each(|thread| worker.wake(thread));
        Next::Done
    }

    /// Sends what this thread has to send of a round. An open loop gives the time at which it is due.
    fn send_round(&mut self, worker: &mut Worker, room: u32, round: u32, due_ns: Option<u64>) {
        let shared = Arc::clone(&self.shared);
        for (number, turn) in shared.schedule.turns(room, round).enumerate() {
            let (thread, slot) = worker.place(turn.sender);
            if thread == worker.thread() {
                let now_ns = worker.clock().now_ns();
                shared.begin(room, round, number == 0, now_ns);
                self.send_turn(worker, slot, turn, due_ns.unwrap_or(now_ns));
                let messages = u64::from(shared.schedule.turn_length());
                self.sent += messages;
                self.expected += messages * shared.schedule.members(room).len() as u64;
            }
        }
    }

    /// All messages of a turn leave in one write.
    fn send_turn(&mut self, worker: &mut Worker, slot: u32, turn: Turn, intended_ns: u64) {
        self.frames.clear();
        for offset in 0..self.shared.schedule.turn_length() {
            let stamp = Stamp { sender: turn.sender, sequence: turn.sequence + offset, intended_ns };
            self.format.write(stamp, &mut self.payload);
            frame::encode(&mut self.frames, self.format.kind().into(), &self.payload, worker.mask());
        }
        worker.send(slot, &self.frames);
    }

    /// Sends the rounds that are due at `now_ns` and returns when the next one of this thread is.
    fn send_at_rate(&mut self, worker: &mut Worker, rate: f64, now_ns: u64) -> u64 {
        let mut sends_left = SENDS_PER_POLL_MAX;
        while self.cursor < self.shared.limits.rounds {
            let (room, round) = self.shared.room_and_round(self.cursor);
            let is_ours = |turn: Turn| worker.place(turn.sender).0 == worker.thread();
            if self.shared.schedule.turns(room, round).any(is_ours) {
                let due_ns = self.shared.due_ns(self.cursor, rate);
                if due_ns > now_ns || sends_left == 0 {
                    return due_ns;
                }
                sends_left -= 1;
                self.send_round(worker, room, round, Some(due_ns));
            }
            self.cursor += 1;
        }
        u64::MAX
    }

    /// The first whole arrival of a message at one of this thread's sockets.
    fn arrive(&mut self, worker: &Worker, room: u32, message: u32, intended_ns: u64, now_ns: u64) {
        self.last_arrival_ns = now_ns;
        let Some(part) = self.rounds.arrive(room, message, intended_ns) else { return };
        let Some(whole) = self.shared.complete(part, now_ns) else { return };
        self.spans.record(whole.span_ns);
        if let Some(next) = whole.next {
            self.shared.announce(room, next, |thread| {
                if thread != worker.thread() {
                    worker.wake(thread);
                }
            });
        } else if whole.is_last {
            self.finish(worker, Outcome::Finished);
        }
    }

    fn handle_corrupt(&mut self, worker: &Worker, slot: u32, room: u32, now_ns: u64) {
        if let Some(message) = self.ledger.accept_corrupt(slot, self.shared.issued(room)) {
            // Its own time cannot be believed; the round's is that of the others.
            self.arrive(worker, room, message, now_ns, now_ns);
        }
    }
}

impl Script for Fanout {
    fn poll(&mut self, worker: &mut Worker, now_ns: u64) -> Next {
        worker.set_progress(self.ledger.tally().deliveries);
        if let Some(settle) = self.settle {
            return settle.poll(self.last_arrival_ns, now_ns);
        }
        if self.shared.outcome().is_some() {
            return Next::Done;
        }
        self.shared.note_progress(self.last_arrival_ns);
        if let Some(outcome) = self.shared.overdue(now_ns) {
            return self.finish(worker, outcome);
        }
        match self.shared.pace {
            Pace::Rate(rate) => Next::WaitUntil(self.send_at_rate(worker, rate, now_ns)),
            Pace::Closed => {
                for (room, round) in self.shared.take_due(worker.thread()) {
                    self.send_round(worker, room, round, None);
                }
                Next::WaitUntil(u64::MAX)
            }
        }
    }

    fn handle_delivery(&mut self, worker: &mut Worker, delivery: Delivery<'_>) {
        let Delivery { slot, kind, payload, now_ns } = delivery;
        let Some(room) = self.rooms[slot as usize] else { return };
        let Stamp { sender, sequence, intended_ns } = match self.format.read(kind, payload) {
            Ok(stamp) => stamp,
            Err(Damage::Foreign) => return self.ledger.accept_foreign(),
            Err(_) => return self.handle_corrupt(worker, slot, room, now_ns),
        };
        let Some(message) = self.shared.schedule.message(room, sender, sequence) else {
            // Sent, but in another room.
            return self.ledger.accept_foreign();
        };
        if self.ledger.accept(slot, message, self.shared.schedule.later(room, sender, sequence)) {
            self.latencies.record(now_ns.saturating_sub(intended_ns));
            self.arrive(worker, room, message, intended_ns, now_ns);
        }
    }

    fn handle_end(&mut self, worker: &mut Worker, _slot: u32, ending: Ending, _now_ns: u64) {
        self.failures.count(&ending);
        self.finish(worker, Outcome::ConnectionEnded);
    }
}
