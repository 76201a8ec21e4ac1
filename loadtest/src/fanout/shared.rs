//! What the threads of a fan-out agree on: which rounds are complete, who sends next, when it is over.
//!
//! Nothing here is touched per delivery. A thread comes by when its own part of a round is complete, when it
//! sends, and once per turn of its loop.

use super::rounds::Complete;
use crate::clock::SECOND_NS;
use crate::schedule::Schedule;
use serde::Serialize;
use std::collections::HashMap;
use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

/// When the next round is sent.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Pace {
    /// In each room when the last one has reached everybody.
    Closed,
    /// This many per second over all rooms, whatever has arrived.
    Rate(f64),
}

/// The bounds of a run. Whichever is reached first ends it.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Rounds over all rooms.
    pub rounds: u64,
    /// Time after which no round is begun.
    pub duration_ns: u64,
    /// Time without any delivery after which the rest is given up.
    pub wait_ns: u64,
    /// Time after which everything is given up.
    pub timeout_ns: u64,
}

/// How a phase ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// All that was to be sent was sent and arrived.
    Finished,
    /// Something did not arrive and nothing else did for `--wait`.
    Stalled,
    /// `--timeout` has passed.
    TimedOut,
    /// A connection ended that should not have; figures with a hole in them are none.
    ConnectionEnded,
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Finished => "finished",
            Self::Stalled => "stalled: nothing arrived any more (--wait)",
            Self::TimedOut => "timed out (--timeout)",
            Self::ConnectionEnded => "stopped: a connection ended",
        })
    }
}

/// A round that some threads have completed and others not.
#[derive(Debug)]
struct Gathering {
    threads_left: u32,
    intended_ns: u64,
    last_ns: u64,
}

/// A round that has reached everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Whole {
    /// From the intended sending of its first message to the arrival of the last at the last recipient.
    pub span_ns: u64,
    /// The round to be sent now in the same room, if there is one.
    pub next: Option<u32>,
    /// Whether that was the last of all.
    pub is_last: bool,
}

/// See the top of the file.
#[derive(Debug)]
pub struct Shared {
    /// Who sends what.
    pub schedule: Schedule,
    /// When.
    pub pace: Pace,
    /// Until when; an open loop's rounds are those its duration allows.
    pub limits: Limits,
    /// When the phase began.
    pub start_ns: u64,
    threads: usize,
    /// How many threads have members of each room.
    threads_of_room: Vec<u32>,
    /// Messages sent in each room so far.
    issued: Vec<AtomicU32>,
    /// Per thread: the rounds it is to send (or its part of them), closed loop.
    due: Vec<Mutex<Vec<(u32, u32)>>>,
    gathering: Mutex<HashMap<(u32, u32), Gathering>>,
    rounds_begun: AtomicU64,
    rounds_whole: AtomicU64,
    /// Rooms that still begin rounds (closed loop).
    rooms_running: AtomicU32,
    progress_ns: AtomicU64,
    outcome: OnceLock<Outcome>,
}

impl Shared {
    /// A fan-out that begins at `start_ns`, over `threads` threads where socket `s` lives on thread `s %
    /// threads`.
    pub fn new(schedule: Schedule, pace: Pace, mut limits: Limits, start_ns: u64, threads: usize) -> Self {
        if let Pace::Rate(rate) = pace {
            let in_time = (limits.duration_ns as f64 / SECOND_NS as f64 * rate).ceil();
            limits.rounds = limits.rounds.min(in_time as u64);
        }
        let rooms = schedule.rooms();
        let threads_of_room =
            (0..rooms).map(|room| members_by_thread(&schedule, room, threads).len() as u32).collect();
        let shared = Self {
            pace,
            limits,
            start_ns,
            threads,
            threads_of_room,
            issued: (0..rooms).map(|_| AtomicU32::new(0)).collect(),
            due: (0..threads).map(|_| Mutex::default()).collect(),
            gathering: Mutex::default(),
            rounds_begun: AtomicU64::new(0),
            rounds_whole: AtomicU64::new(0),
            rooms_running: AtomicU32::new(u64::from(rooms).min(limits.rounds) as u32),
            progress_ns: AtomicU64::new(start_ns),
            outcome: OnceLock::new(),
            schedule,
        };
        if rooms == 0 || limits.rounds == 0 {
            shared.finish(Outcome::Finished);
        } else if pace == Pace::Closed {
            for room in 0..shared.rooms_running.load(Ordering::Relaxed) {
                shared.announce(room, 0, |_| {});
            }
        }
        shared
    }

    /// Round `number` over all rooms is which round of which room.
    pub fn room_and_round(&self, number: u64) -> (u32, u32) {
        let rooms = u64::from(self.schedule.rooms());
        ((number % rooms) as u32, (number / rooms) as u32)
    }

    /// When round `number` is to be sent, open loop.
    pub fn due_ns(&self, number: u64, rate: f64) -> u64 {
        self.start_ns + (number as f64 * SECOND_NS as f64 / rate) as u64
    }

    /// The rounds (room, round) `thread` is to send now, closed loop.
    pub fn take_due(&self, thread: usize) -> Vec<(u32, u32)> {
        std::mem::take(&mut lock(&self.due[thread]))
    }

    /// Puts a round into the box of each thread that has a sender of it; `wake` is told which.
    pub fn announce(&self, room: u32, round: u32, mut wake: impl FnMut(usize)) {
        let mut senders: Vec<_> =
            self.schedule.turns(room, round).map(|turn| turn.sender as usize % self.threads).collect();
        senders.sort_unstable();
        senders.dedup();
        for thread in senders {
            lock(&self.due[thread]).push((room, round));
            wake(thread);
        }
    }

    /// A round is about to be sent. Called by the sender of each turn; `is_first` for one of them.
    pub fn begin(&self, room: u32, round: u32, is_first: bool, now_ns: u64) {
        let end = round.saturating_add(1).saturating_mul(self.schedule.round_length());
        self.issued[room as usize].fetch_max(end, Ordering::Relaxed);
        if is_first {
            self.rounds_begun.fetch_add(1, Ordering::Relaxed);
        }
        self.note_progress(now_ns);
    }

    /// Messages begun in `room` so far.
    pub fn issued(&self, room: u32) -> u32 {
        self.issued[room as usize].load(Ordering::Relaxed)
    }

    /// Something has arrived or been sent.
    pub fn note_progress(&self, now_ns: u64) {
        self.progress_ns.fetch_max(now_ns, Ordering::Relaxed);
    }

    /// One thread has had its part of a round, at `now_ns`. The last one to say so learns what follows.
    pub fn complete(&self, part: Complete, now_ns: u64) -> Option<Whole> {
        let Complete { room, round, intended_ns } = part;
        let (intended_ns, last_ns) = {
            let mut gathering = lock(&self.gathering);
            let entry = gathering.entry((room, round)).or_insert(Gathering {
                threads_left: self.threads_of_room[room as usize],
                intended_ns: u64::MAX,
                last_ns: 0,
            });
            entry.threads_left -= 1;
            entry.intended_ns = entry.intended_ns.min(intended_ns);
            entry.last_ns = entry.last_ns.max(now_ns);
            if entry.threads_left > 0 {
                return None;
            }
            let times = (entry.intended_ns, entry.last_ns);
            gathering.remove(&(room, round));
            times
        };
        let whole = self.rounds_whole.fetch_add(1, Ordering::Relaxed) + 1;
        let next = self.next_round(room, round, now_ns);
        let is_last = match self.pace {
            Pace::Closed => next.is_none() && self.rooms_running.fetch_sub(1, Ordering::Relaxed) == 1,
            Pace::Rate(_) => whole == self.limits.rounds,
        };
        Some(Whole { span_ns: last_ns.saturating_sub(intended_ns), next, is_last })
    }

    fn next_round(&self, room: u32, round: u32, now_ns: u64) -> Option<u32> {
        let number = (u64::from(round) + 1) * u64::from(self.schedule.rooms()) + u64::from(room);
        let in_time = now_ns.saturating_sub(self.start_ns) < self.limits.duration_ns;
        (self.pace == Pace::Closed && in_time && number < self.limits.rounds).then_some(round + 1)
    }

    /// Whether it is over because of the clock.
    pub fn overdue(&self, now_ns: u64) -> Option<Outcome> {
        let waiting = self.rounds_begun.load(Ordering::Relaxed) > self.rounds_whole.load(Ordering::Relaxed);
        let idle_ns = now_ns.saturating_sub(self.progress_ns.load(Ordering::Relaxed));
        if now_ns.saturating_sub(self.start_ns) > self.limits.timeout_ns {
            Some(Outcome::TimedOut)
        } else if waiting && idle_ns > self.limits.wait_ns {
            Some(Outcome::Stalled)
        } else {
            None
        }
    }

    /// Ends the phase for all threads; the first reason counts.
    pub fn finish(&self, outcome: Outcome) {
        let _ = self.outcome.set(outcome);
    }

    /// Whether and how it has ended.
    pub fn outcome(&self) -> Option<Outcome> {
        self.outcome.get().copied()
    }

    /// Rounds that have reached everybody.
    pub fn rounds_whole(&self) -> u64 {
        self.rounds_whole.load(Ordering::Relaxed)
    }
}

/// How many members of `room` each thread has, for those that have any.
fn members_by_thread(schedule: &Schedule, room: u32, threads: usize) -> HashMap<usize, u32> {
    let mut members = HashMap::new();
    for socket in schedule.members(room) {
        *members.entry(*socket as usize % threads).or_default() += 1;
    }
    members
}

/// A thread that panicked ends the whole run by itself, so what it held is not looked at with suspicion.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: Limits = Limits { rounds: u64::MAX, duration_ns: u64::MAX, wait_ns: 10, timeout_ns: 1_000 };

    fn shared(sockets: usize, pace: Pace, limits: Limits) -> Shared {
        Shared::new(Schedule::new(&vec![Some(0); sockets], 1, 1), pace, limits, 0, 2)
    }

    #[test]
    fn the_next_round_follows_when_every_thread_has_had_the_last() {
        let shared = shared(4, Pace::Closed, Limits { rounds: 2, ..LIMITS });
        assert_eq!(shared.take_due(0), [(0, 0)]);
        assert_eq!(shared.take_due(1), []);
        let part = |round, intended_ns| Complete { room: 0, round, intended_ns };
        assert_eq!(shared.complete(part(0, 5), 90), None);
        assert_eq!(
            shared.complete(part(0, 5), 70),
            Some(Whole { span_ns: 85, next: Some(1), is_last: false })
        );
        shared.announce(0, 1, |thread| assert_eq!(thread, 1, "socket 1 sends next"));
        assert_eq!(shared.take_due(1), [(0, 1)]);
        assert_eq!(shared.complete(part(1, 80), 90), None);
        assert_eq!(shared.complete(part(1, 80), 95), Some(Whole { span_ns: 15, next: None, is_last: true }));
    }

    #[test]
    fn an_open_loop_knows_its_rounds_in_advance() {
        let shared = shared(1, Pace::Rate(100.0), Limits { duration_ns: SECOND_NS / 2, ..LIMITS });
        assert_eq!(shared.limits.rounds, 50);
        assert_eq!(shared.due_ns(10, 100.0), SECOND_NS / 10);
    }

    #[test]
    fn waiting_ends_only_when_something_is_awaited() {
        let shared = shared(1, Pace::Closed, LIMITS);
        assert_eq!(shared.overdue(500), None);
        shared.begin(0, 0, true, 500);
        assert_eq!(shared.issued(0), 1);
        assert_eq!(shared.overdue(510), None);
        assert_eq!(shared.overdue(511), Some(Outcome::Stalled));
        shared.note_progress(511);
        assert_eq!(shared.overdue(512), None);
        assert_eq!(shared.overdue(1_001), Some(Outcome::TimedOut));
    }

    #[test]
    fn nobody_there_is_over_at_once() {
        assert_eq!(shared(0, Pace::Closed, LIMITS).outcome(), Some(Outcome::Finished));
    }
}
