//! The connect phase: opens the sockets of one thread at a rate, with a limit on handshakes under way.

use crate::clock::SECOND_NS;
use crate::failures::Failures;
use crate::latency::Latencies;
use crate::script::{Ending, Next, Script};
use crate::worker::Worker;

/// Handshakes under way per thread. Well below the usual backlog of a listening socket (4,096 or less): a
/// connect that finds it full is repeated by the kernel only after a second.
const PENDING_MAX: u32 = 256;

/// Opens sockets.
pub struct Connect {
    rooms: u32,
    rate: f64,
    wait_ns: u64,
    start_ns: u64,
    started: u32,
    pending: u32,
    progress_ns: u64,
    /// When each connect was begun.
    begun_ns: Vec<u64>,
    opened: u32,
    latencies: Latencies,
    failures: Failures,
}

/// What became of the sockets of one thread.
#[derive(Debug)]
pub struct Connected {
    /// Handshakes that succeeded.
    pub opened: u32,
    /// The room of each slot; `None` where it failed.
    pub rooms: Vec<Option<u32>>,
    /// From the connect to the 101.
    pub latencies: Latencies,
    /// The others.
    pub failures: Failures,
}

impl Connect {
    /// Opens all slots of `worker` at `rate` per second, spread over `rooms` rooms in turn. When nothing has
    /// happened for `wait_ns`, what is under way is given up.
    pub fn new(worker: &Worker, rooms: u32, rate: f64, wait_ns: u64) -> Self {
        let start_ns = worker.clock().now_ns();
        Self {
            rooms,
            rate,
            wait_ns,
            start_ns,
            started: 0,
            pending: 0,
            progress_ns: start_ns,
            begun_ns: vec![0; worker.slots() as usize],
            opened: 0,
            latencies: Latencies::new(),
            failures: Failures::default(),
        }
    }

    /// What became of it.
    pub fn into_connected(self, worker: &Worker) -> Connected {
        let room = |slot| worker.is_open(slot).then(|| worker.socket(slot) % self.rooms);
        Connected {
            opened: self.opened,
            rooms: (0..worker.slots()).map(room).collect(),
            latencies: self.latencies,
            failures: self.failures,
        }
    }

    /// When the next connect is due.
    fn due_ns(&self) -> u64 {
        self.start_ns + (f64::from(self.started) * SECOND_NS as f64 / self.rate) as u64
    }

    fn start_one(&mut self, worker: &mut Worker, now_ns: u64) {
        let slot = self.started;
        self.started += 1;
        self.begun_ns[slot as usize] = now_ns;
        let socket = worker.socket(slot);
        match worker.connect(slot, socket, socket % self.rooms) {
            Ok(()) => self.pending += 1,
            Err(error) => self.failures.count(&Ending::System(error)),
        }
    }

    fn give_up(&mut self, worker: &mut Worker) {
        for slot in 0..self.started {
            if worker.is_used(slot) && !worker.is_open(slot) {
                worker.close(slot);
                self.failures.count_failed("handshake not answered", 1);
            }
        }
        self.failures.count_failed(
            "not tried, because the server does not answer",
            u64::from(worker.slots() - self.started),
        );
    }
}

impl Script for Connect {
    fn poll(&mut self, worker: &mut Worker, now_ns: u64) -> Next {
        worker.set_progress(u64::from(self.opened));
        while self.started < worker.slots() && self.pending < PENDING_MAX && self.due_ns() <= now_ns {
            self.start_one(worker, now_ns);
            self.progress_ns = now_ns;
        }
        if self.pending == 0 && self.started == worker.slots() {
            return Next::Done;
        }
        if self.pending > 0 && now_ns.saturating_sub(self.progress_ns) > self.wait_ns {
            self.give_up(worker);
            return Next::Done;
        }
        let can_start = self.started < worker.slots() && self.pending < PENDING_MAX;
        Next::WaitUntil(if can_start { self.due_ns() } else { u64::MAX })
    }

    fn handle_open(&mut self, _worker: &mut Worker, slot: u32, now_ns: u64) {
        self.pending -= 1;
        self.opened += 1;
        self.progress_ns = now_ns;
        self.latencies.record(now_ns.saturating_sub(self.begun_ns[slot as usize]));
        // Marks the slot as opened, should it end before the phase does.
        self.begun_ns[slot as usize] = u64::MAX;
    }

    fn handle_end(&mut self, _worker: &mut Worker, slot: u32, ending: Ending, now_ns: u64) {
        if self.begun_ns[slot as usize] != u64::MAX {
            self.pending -= 1;
            self.progress_ns = now_ns;
        }
        self.failures.count(&ending);
    }
}
