//! What a turn has queued, taken to the driver: one send for each socket. Owns the batches and what follows from a
//! socket that takes less.

use std::rc::Rc;

use arrayvec::ArrayVec;

use super::connection::Phase;
use super::core::Core;
use super::driver::{BATCH_MAX, Effect, Outgoing, PARTS_MAX, Place, Shortfall, Transmit};
use super::moment::Moment;
use super::planted::{Bug, is_planted};

/// Parts of all sends of one batch.
const BATCH_PARTS_MAX: usize = 4 * BATCH_MAX;

const _: () = assert!(PARTS_MAX <= BATCH_PARTS_MAX, "one send fits a batch");

/// What of one socket's queue is in a batch.
struct Taken {
    place: Place,
    parts: usize,
    bytes: usize,
}

/// What a connection is after a send.
enum Settled {
    /// It has more to send at once.
    Unfinished,
    Open,
    Other,
}

impl Core {
    pub(crate) fn flush(self: &Rc<Core>, transmit: &mut impl Transmit) {
        let mut dirty = std::mem::take(&mut *self.dirty.borrow_mut());
        // A socket comes up again for the parts that did not fit the send before. It ends: each pass takes parts from
        // every socket that is left, or blocks it, and nothing is queued meanwhile but what waited under keys.
        while !dirty.is_empty() {
            // In place order: random order costs the kernel a quarter more.
            if !dirty.is_sorted() {
                dirty.sort_unstable();
            }
            self.flush_pass(&mut dirty, transmit);
        }
        let effort = {
            let mut output = self.output.borrow_mut();
            output.end_of_flush();
            output.effort()
        };
        self.counters.frames_encoded.set(effort.0);
        self.counters.bytes_encoded.set(effort.1);
        let inflaters = self.inflaters.borrow();
        self.counters.inflated_from_bytes.set(inflaters.compressed_bytes());
        self.counters.inflated_to_bytes.set(inflaters.inflated_bytes());
        drop(inflaters);
        self.compressor.borrow_mut().trim_room();
        let mut queue = self.dirty.borrow_mut();
        if queue.is_empty() {
            // Keep the larger of the two buffers.
            *queue = dirty;
        }
        drop(queue);
        self.enforce_shard_budget();
    }

    /// Sends once for each of `dirty`; leaves there those that have more to send at once.
    fn flush_pass(self: &Rc<Core>, dirty: &mut Vec<Place>, transmit: &mut impl Transmit) {
        let mut shortfalls: Vec<(usize, Shortfall)> = Vec::new();
        // Places before `kept` are unfinished, those from `at` on have not been looked at.
        let (mut kept, mut at) = (0, 0);
        while at < dirty.len() {
            let mut taken: ArrayVec<Taken, BATCH_MAX> = ArrayVec::new();
            let looked_at = self.transmit_batch(&dirty[at..], &mut taken, transmit, &mut shortfalls);
            shortfalls.sort_unstable_by_key(|(at, _)| *at);
            let mut short = shortfalls.drain(..).peekable();
            let mut taken = taken.iter().enumerate().peekable();
            for next in at..at + looked_at {
                let place = dirty[next];
                if let Some((index, sent)) = taken.next_if(|(_, taken)| taken.place == place) {
                    let shortfall = short.next_if(|(at, _)| *at == index).map(|(_, shortfall)| shortfall);
                    self.sent(place, sent.bytes, shortfall);
                }
                if self.is_unfinished(place) {
                    dirty[kept] = place;
                    kept += 1;
                }
            }
            at += looked_at;
        }
        dirty.truncate(kept);
    }

    /// Hands what the first of `places` have queued to the driver, as many as one batch holds, and notes for each what
    /// it was. Returns how many places it looked at.
    fn transmit_batch(
        &self,
        places: &[Place],
        taken: &mut ArrayVec<Taken, BATCH_MAX>,
        transmit: &mut impl Transmit,
        shortfalls: &mut Vec<(usize, Shortfall)>,
    ) -> usize {
        let connections = self.connections.borrow();
        let output = self.output.borrow();
        let mut parts: ArrayVec<&[u8], BATCH_PARTS_MAX> = ArrayVec::new();
        let mut looked_at = 0;
        for place in places {
            if taken.is_full() {
                break;
            }
            let connection = connections.get(place.0 as usize);
            if let Some(connection) = connection.filter(|c| !c.outbox.is_empty() && !c.is_blocked) {
                let count = connection.outbox.segments().take(PARTS_MAX).count();
                if parts.len() + count > BATCH_PARTS_MAX {
                    break;
                }
                let mut bytes = 0;
                for segment in connection.outbox.segments().take(PARTS_MAX) {
                    bytes += segment.len();
                    parts.push(output.bytes(segment));
                }
                taken.push(Taken { place: *place, parts: count, bytes });
            }
            looked_at += 1;
        }
        let mut rest = &parts[..];
        let mut batch: ArrayVec<Outgoing<'_>, BATCH_MAX> = ArrayVec::new();
        for taken in taken.iter() {
            let (parts, others) = rest.split_at(taken.parts);
            batch.push(Outgoing { place: taken.place, parts });
            rest = others;
        }
        if !batch.is_empty() {
            transmit.transmit(&batch, shortfalls);
        }
        looked_at
    }

    fn sent(self: &Rc<Core>, place: Place, bytes: usize, shortfall: Option<Shortfall>) {
        match shortfall {
            None => {
                self.with_connection(place, |connection| {
                    connection.outbox.consume(bytes, &mut self.output.borrow_mut());
                    connection.write_deadline = Moment::NEVER;
                });
            }
            Some(Shortfall::Full(taken)) => {
                let now = self.now_ms();
                let repeated = usize::from(taken > 0 && is_planted(Bug::PartialSendRepeatsAByte));
                self.with_connection(place, |connection| {
                    let mut output = self.output.borrow_mut();
                    connection.outbox.consume(taken.min(bytes) - repeated, &mut output);
                    connection.outbox.evacuate(&mut output);
                    connection.is_blocked = true;
                    if taken > 0 || connection.write_deadline == Moment::NEVER {
                        let deadline = now + self.settings().write_progress_ms;
                        connection.write_deadline = Moment::not_before(deadline);
                    }
                    let deadline = connection.write_deadline.ms();
                    self.look_by(place, connection, deadline);
                    self.effect(Effect::AwaitWritable(place));
                });
            }
            Some(Shortfall::Lost) => self.connection_broken(place),
        }
    }

    /// Settles a place after a send; `true` when it has more to send at once.
    fn is_unfinished(&self, place: Place) -> bool {
        let settled = self.with_connection(place, |connection| {
            if connection.keeps {
                self.release_kept(place, connection);
            }
            if !connection.outbox.is_empty() && !connection.is_blocked {
                return Settled::Unfinished;
            }
            connection.is_dirty = false;
            self.report_buffered(place, connection);
            if connection.is_blocked && !connection.outbox.is_empty() {
                // What joined the queue of a blocked socket leaves the arena as well.
                connection.outbox.evacuate(&mut self.output.borrow_mut());
            }
            // Nothing waits for the end of what an open connection sends.
            if matches!(connection.phase, Phase::Open(_)) { Settled::Open } else { Settled::Other }
        });
        if let Some(Settled::Other) = settled {
            self.after_flush(place);
        }
        matches!(settled, Some(Settled::Unfinished))
    }

    /// The kernel takes bytes again.
    pub(crate) fn writable(&self, place: Place) {
        self.with_connection(place, |connection| {
            connection.is_blocked = false;
            // There is room, so the client reads: a deadline that passed before this shard could look is none of its
            // doing. If the kernel then takes nothing, the next one begins.
            connection.write_deadline = Moment::NEVER;
            if !connection.is_dirty {
                connection.is_dirty = true;
                self.dirty.borrow_mut().push(place);
            }
        });
    }

    /// RELIABILITY: while all sockets together hold more than they may, the one that holds most is dropped.
    fn enforce_shard_budget(self: &Rc<Core>) {
        while self.output.borrow().queued_bytes() > self.settings().output_shard_bytes_max {
            let slowest = {
                let connections = self.connections.borrow();
                let held = |at: usize| {
                    connections
                        .get(at)
                        .filter(|c| !matches!(c.phase, Phase::Closing))
                        .map(|c| self.waiting_bytes(Place(at as u32), c))
                };
                (0..connections.len()).max_by_key(|at| held(*at))
            };
            let Some(slowest) = slowest else { return };
            self.counters.slow_readers_closed.add(1);
            self.connection_broken(Place(slowest as u32));
        }
    }
}
