//! One handler that runs, and how it ends: by itself, with an error, with a panic, or cancelled. Owns the rules about
//! that: one at a time, of the instance that lives, and never cancelled before its time.

use super::witness;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Fetch,
    /// Of this client.
    Message(u32),
    /// The socket of this client is listed until this has ended.
    End(u32),
    Tick,
}

/// Lives as long as the handler.
pub struct Running {
    room: String,
    kind: Kind,
    started_ms: u64,
    is_done: bool,
}

impl Running {
    pub fn begin(room: &str, life: u64, kind: Kind) -> Running {
        witness::with(|witness| {
            let started_ms = witness.now.monotonic_ms;
            let record = witness.room(room);
            let was_running = std::mem::replace(&mut record.is_running, true);
            let living = record.life;
            witness.holds(!was_running, || format!("two handlers of {room} at once"));
            witness
                .holds(living == Some(life), || format!("an event of {room} comes to a destroyed instance"));
            Running { room: room.to_owned(), kind, started_ms, is_done: false }
        })
    }

    /// The handler returns. An error of `fetch` is its caller's; any other ends the instance.
    pub fn end<T, E>(mut self, result: Result<T, E>) -> Result<T, E> {
        self.is_done = true;
        if result.is_err() && self.kind != Kind::Fetch {
            witness::with(|witness| witness.fails(&self.room, self.kind));
        }
        result
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let panics = std::thread::panicking();
        witness::with(|witness| {
            let now = witness.now.monotonic_ms;
            let has_failed = !self.is_done && !witness.is_over;
            if has_failed {
                witness.fails(&self.room, self.kind);
            }
            let record = witness.room(&self.room);
            record.is_running = false;
            record.last_event_ms = now;
            if let Kind::End(client) = self.kind {
                record.members.retain(|member| *member != client);
            }
            if panics || !has_failed {
                return;
            }
            let patience = match self.kind {
                Kind::Fetch => Some(witness.fetch_ms),
                Kind::Message(_) | Kind::End(_) => witness.event_timeout_ms,
                Kind::Tick => None,
            };
            let after = now - self.started_ms;
            let (room, kind) = (&self.room, self.kind);
            match patience {
                Some(ms) => witness.holds(after >= ms, || {
                    format!("a timer is early: {kind:?} of {room} is cancelled after {after} ms, not {ms}")
                }),
                None => witness.breaks(format!("{kind:?} of {room} is cancelled, and nothing may do that")),
            }
        });
    }
}

/// A constructor that waits.
pub struct Constructing {
    room: String,
    started_ms: u64,
    is_done: bool,
}

impl Constructing {
    pub fn begin(room: &str) -> Constructing {
        let started_ms = witness::with(|witness| witness.now.monotonic_ms);
        Constructing { room: room.to_owned(), started_ms, is_done: false }
    }

    pub fn end(mut self) {
        self.is_done = true;
    }
}

impl Drop for Constructing {
    fn drop(&mut self) {
        witness::with(|witness| {
            if self.is_done || witness.is_over {
                return;
            }
            let (after, ms) = (witness.now.monotonic_ms - self.started_ms, witness.fetch_ms);
            witness.holds(after >= ms, || {
                format!(
                    "a timer is early: the constructor of {} is cancelled after {after} ms, not {ms}",
                    self.room
                )
            });
            witness.cancelled_constructors += 1;
            witness.dismiss(&self.room);
        });
    }
}

/// A future that an object left running.
pub struct Lingering {
    room: String,
}

impl Lingering {
    pub fn begin(room: &str) -> Lingering {
        witness::with(|witness| witness.room(room).lingering += 1);
        Lingering { room: room.to_owned() }
    }

    pub fn end(self) {
        witness::with(|witness| {
            let now = witness.now.monotonic_ms;
            let record = witness.room(&self.room);
            record.lingering -= 1;
            record.last_event_ms = now;
        });
    }
}
