//! Batches that objects fill, and when each is to leave by docs/batching.md: full, flushed, before what is said to the
//! same address, before a Close, before an instance or its constructor fails, before a drain, or old enough. Owns this
//! model, which the engine's counters are held against after each turn: what leaves early, late or not at all is found
//! there, what leaves otherwise by the clients. A batch that waits belongs to the record of its object.

use dormouse::object::ShardCounters;
use dormouse::{ApiError, BatchFormat, Batching, Context, ReadyState, WebSocket};

use super::envelope;
use super::running::Lingering;
use super::trace;
use super::verbs;
use super::witness::{self, Said, Witness};

/// With what a batch leaves at once, and how long it waits. Those of JSON are mostly full before they are old.
struct Limits {
    delay_ms: u16,
    messages: u16,
    bytes: u32,
}

const JSON: Limits = Limits { delay_ms: 20, messages: 6, bytes: 100 };
const PACKED: Limits = Limits { delay_ms: 150, messages: 30, bytes: 16 << 10 };

const fn limits(format: BatchFormat) -> Limits {
    match format {
        BatchFormat::Json => JSON,
        BatchFormat::MessagePack => PACKED,
    }
}

/// What a class of rooms says of itself.
pub const fn batching(format: BatchFormat) -> Batching {
    let Limits { delay_ms, messages, bytes } = limits(format);
    let batching = match format {
        BatchFormat::Json => Batching::json(),
        BatchFormat::MessagePack => Batching::message_pack(),
    };
    batching.delay_ms(delay_ms).messages(messages).bytes(bytes)
}

/// For whom a batch is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    Everyone,
    Tag(String),
    Client(u32),
}

/// One batch.
#[derive(Debug)]
pub struct Waiting {
    to: Address,
    due_ms: u64,
    texts: Vec<String>,
}

/// What has left on one shard.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    batches: u64,
    messages: u64,
}

impl Witness {
    /// Clients who get what a room says to an address now.
    pub fn recipients(&mut self, room: &str, to: &Address) -> Vec<u32> {
        let mut recipients = match to {
            Address::Client(client) => vec![*client],
            Address::Everyone | Address::Tag(_) => self.room(room).members.clone(),
        };
        recipients.retain(|client| {
            let Some(record) = self.sockets.get(client) else { return false };
            let is_addressed = match to {
                Address::Tag(tag) => record.tags.contains(tag),
                Address::Everyone | Address::Client(_) => true,
            };
            record.closed_by_object.is_none() && is_addressed
        });
        recipients
    }

    /// A room has put a text into a batch.
    fn pushes(&mut self, room: &str, to: &Address, text: String) {
        let Some(format) = self.batching else { return };
        let (now, limits) = (self.now.monotonic_ms, limits(format));
        let waiting = &mut self.room(room).waiting;
        let at = waiting.iter().position(|batch| batch.to == *to).unwrap_or_else(|| {
            let due_ms = now + u64::from(limits.delay_ms);
            waiting.push(Waiting { to: to.clone(), due_ms, texts: Vec::new() });
            waiting.len() - 1
        });
        let texts = &mut waiting[at].texts;
        texts.push(text);
        // Of MessagePack nothing here is that large.
        let is_large = format == BatchFormat::Json && envelope::json_bytes(texts) >= limits.bytes as usize;
        if texts.len() >= usize::from(limits.messages) || is_large {
            self.flushes(room, to);
        }
    }

    /// What waits for an address leaves, because the room says something to it, or asks for it.
    pub fn flushes(&mut self, room: &str, to: &Address) {
        self.leaves(room, |batch| batch.to == *to);
    }

    /// Everything leaves: the instance or the constructor has failed, or the server shuts down.
    pub fn flushes_all(&mut self, room: &str) {
        self.leaves(room, |_| true);
    }

    /// A room closes a socket: what is also for that one leaves.
    fn flushes_for(&mut self, room: &str, client: u32) {
        let tags = self.sockets.get(&client).map(|record| record.tags.clone()).unwrap_or_default();
        self.leaves(room, |batch| match &batch.to {
            Address::Everyone => true,
            Address::Tag(tag) => tags.contains(tag),
            Address::Client(other) => *other == client,
        });
    }

    /// The deadlines of a shard are looked at: what is old enough leaves, neither earlier nor at a later turn.
    pub fn old_batches_leave(&mut self, shard: usize) {
        let now = self.now.monotonic_ms;
        for room in self.rooms_of(shard) {
            self.leaves(&room, |batch| batch.due_ms <= now);
        }
    }

    /// A shard begins to end everything.
    pub fn drains(&mut self, shard: usize) {
        self.rooms_of(shard).iter().for_each(|room| self.flushes_all(room));
    }

    fn rooms_of(&self, shard: usize) -> Vec<String> {
        let here = self.rooms.iter().filter(|(_, room)| room.home == shard && !room.waiting.is_empty());
        here.map(|(name, _)| name.clone()).collect()
    }

    /// Of what waits, the oldest first.
    fn leaves(&mut self, name: &str, goes: impl Fn(&Waiting) -> bool) {
        if self.batching.is_none() {
            return;
        }
        let room = self.room(name);
        let home = room.home;
        let (leaving, waiting) = std::mem::take(&mut room.waiting).into_iter().partition(goes);
        room.waiting = waiting;
        let leaving: Vec<Waiting> = leaving;
        for Waiting { to, texts, .. } in leaving {
            trace::note(format_args!("  {name} is to send {to:?} {texts:?}"));
            let left = self.left.entry(home).or_default();
            (left.batches, left.messages) = (left.batches + 1, left.messages + texts.len() as u64);
            for client in self.recipients(name, &to) {
                self.says(client, Said::Batch(texts.clone()));
            }
        }
    }

    /// Holds what a shard has sent against what had to leave there.
    pub fn holds_batches(&mut self, shard: usize, counters: &ShardCounters) {
        let left = self.left.get(&shard).copied().unwrap_or_default();
        let (batches, messages) = (counters.batches_sent.get(), counters.batched_messages_sent.get());
        self.holds(left == Left { batches, messages }, || {
            format!(
                "not in time: shard {shard} has sent {batches} batches of {messages} messages, not {left:?}"
            )
        });
    }
}

/// Does what a message asks for that has to do with batches.
pub fn perform(ctx: &Context, ws: &WebSocket, client: u32, room: &str, reply: &str, argument: &str) {
    let tag = Address::Tag(argument.to_owned());
    match reply.split(' ').next() {
        Some("push") => {
            for number in 0..argument.parse().unwrap_or(1) {
                push(ctx, ws, room, &Address::Everyone, format!("{reply} {number}{}", quotes(number)));
            }
        }
        Some("push-tag") => push(ctx, ws, room, &tag, reply.to_owned()),
        Some("push-own") => {
            for number in 0..argument.parse().unwrap_or(1) {
                push(ctx, ws, room, &Address::Client(client), format!("{reply} {number}"));
            }
        }
        Some("push-late") => push_late(ctx, ws, room, argument.parse().unwrap_or(0), reply.to_owned()),
        _ => flush(
            ctx,
            ws,
            room,
            &match argument {
                "everyone" => Address::Everyone,
                "own" => Address::Client(client),
                _ => tag,
            },
        ),
    }
}

/// Some of what a batch holds is longer when it is written.
fn quotes(number: u32) -> &'static str {
    if number % 3 == 2 { " \"quoted\" \\ \"twice\"" } else { "" }
}

fn push(ctx: &Context, ws: &WebSocket, room: &str, to: &Address, text: String) {
    let result = match to {
        Address::Everyone => ctx.batch(None).push(&text),
        Address::Tag(tag) => ctx.batch(Some(tag)).push(&text),
        Address::Client(_) => ws.batch().push(&text),
    };
    let state = ws.ready_state();
    witness::with(|witness| {
        let is_closed = match to {
            Address::Client(client) => witness.has_closed(*client),
            Address::Everyone | Address::Tag(_) => false,
        };
        match result {
            // A close that came when the client was gone already was ignored.
            Ok(()) => {
                witness.holds(!is_closed || state == ReadyState::Closed, || {
                    format!("a push for {to:?} is allowed after close()")
                });
                witness.pushes(room, to, text);
            }
            Err(ApiError::SendAfterClose) if is_closed => {}
            Err(error) => witness.breaks(format!("a push for {to:?} is refused: {error}")),
        }
    });
}

/// A constructor says something to those who stayed.
pub fn push_from_constructor(ctx: &Context, room: &str) {
    let (is_batching, number) = witness::with(|witness| (witness.batching.is_some(), witness.constructions));
    if is_batching {
        let text = format!("constructing {number}:0");
        let result = ctx.batch(None).push(&text);
        witness::with(|witness| {
            witness.holds(result.is_ok(), || format!("a constructor may not push: {result:?}"));
            witness.pushes(room, &Address::Everyone, text);
        });
    }
}

fn push_late(ctx: &Context, ws: &WebSocket, room: &str, ms: u64, text: String) {
    let (inner, ws, lingering, room) = (ctx.clone(), ws.clone(), Lingering::begin(room), room.to_owned());
    ctx.wait_until(async move {
        verbs::sleep(&inner, ms).await;
        push(&inner, &ws, &room, &Address::Everyone, text);
        lingering.end();
    });
}

fn flush(ctx: &Context, ws: &WebSocket, room: &str, to: &Address) {
    let count = match to {
        Address::Everyone => ctx.batch(None).flush(),
        Address::Tag(tag) => ctx.batch(Some(tag)).flush(),
        Address::Client(_) => ws.batch().flush(),
    };
    witness::with(|witness| {
        let waits = witness.room(room).waiting.iter().any(|batch| batch.to == *to);
        let most = if waits { witness.recipients(room, to).len() } else { 0 };
        witness.holds(count <= most, || format!("a batch of {room} has {count} recipients of {most}"));
        witness.flushes(room, to);
    });
}

/// A room closes a socket, by a handler that runs for one of its messages.
pub fn close(ws: &WebSocket, client: u32, room: &str, code: u16) -> Result<(), ApiError> {
    let is_gone = ws.ready_state() == ReadyState::Closed;
    ws.close(code, "bye")?;
    witness::with(|witness| {
        if !is_gone && !witness.has_closed(client) {
            witness.flushes_for(room, client);
        }
    });
    Ok(())
}
