//! What the objects of a run have seen and said, kept outside of them: an object that is dropped takes nothing along.
//! Owns the rules that can be judged there: one instance at a time, events in order, one end of each socket, no
//! timer early. The objects run inside the engine, which catches panics, so that a broken rule is kept and not thrown.

use std::cell::RefCell;
use std::collections::BTreeMap;

use dormouse::BatchFormat;
use dormouse::object::driver::Now;

use super::batches::{Address, Left, Waiting};
use super::running::Kind;
use super::trace;

thread_local! {
    static WITNESS: RefCell<Witness> = RefCell::default();
}

pub fn with<R>(f: impl FnOnce(&mut Witness) -> R) -> R {
    WITNESS.with_borrow_mut(f)
}

/// What an object has said to one client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    Text(String),
    /// Texts in one envelope.
    Batch(Vec<String>),
    Close(u16),
}

/// One socket, from the object's side. A client has one at most.
#[derive(Debug, Default)]
pub struct SocketRecord {
    pub room: String,
    pub tags: Vec<String>,
    /// The value that was attached last.
    pub value: u32,
    /// Number of the last message that came.
    pub last_message: u32,
    /// The handler of one of its messages failed: what came behind it is not heard.
    pub has_failed: bool,
    pub said: Vec<Said>,
    /// When the object called `close`.
    pub closed_by_object: Option<u64>,
    /// Code of its close or error event, how much had been said before, and whether it was clean.
    pub end: Option<(u16, usize, bool)>,
    /// The constructor failed: its sockets hear no more of the object, nor the object of them.
    pub was_dismissed: bool,
}

/// One object.
#[derive(Debug, Default)]
pub struct RoomRecord {
    /// Number of the instance that lives.
    pub life: Option<u64>,
    /// A handler or the constructor of this instance failed.
    pub has_failed: bool,
    pub is_running: bool,
    pub lingering: u32,
    pub last_event_ms: u64,
    pub tick_ms: Option<u64>,
    pub last_tick_ms: u64,
    /// Clients, in the order of acceptance, until their close or error handler has returned.
    pub members: Vec<u32>,
    pub has_pair: bool,
    /// The shard on which it lives.
    pub home: usize,
    /// Batches that wait to leave, the oldest first.
    pub waiting: Vec<Waiting>,
}

#[derive(Default)]
pub struct Witness {
    pub now: Now,
    pub sockets: BTreeMap<u32, SocketRecord>,
    pub rooms: BTreeMap<String, RoomRecord>,
    /// What each room was told, in order; the same whether it slept or not.
    pub story: Vec<String>,
    pub broken: Option<String>,
    pub scripted_panics: u64,
    pub lives: u64,
    pub idle_ms: Option<u64>,
    pub evict_idle_ms: u64,
    pub event_timeout_ms: Option<u64>,
    pub fetch_ms: u64,
    pub sockets_max: usize,
    /// The run is over and the worlds go.
    pub is_over: bool,
    /// Constructors fail, or wait for so many milliseconds, that often; percent.
    pub failing_constructor: u32,
    pub slow_constructor: u32,
    pub constructions: u64,
    /// Constructors that waited while the clock jumped, until their time was over.
    pub cancelled_constructors: u64,
    /// Rooms batch in this format.
    pub batching: Option<BatchFormat>,
    /// Batches that have left, of each shard.
    pub left: BTreeMap<usize, Left>,
    /// How many messages an envelope has that a client has sent: by the client and the number of the first of them.
    pub envelopes: BTreeMap<(u32, u32), usize>,
    /// Clients who have sent a broken one, and how many messages before it.
    pub broken_envelopes: BTreeMap<u32, u32>,
}

impl Witness {
    /// Keeps the first rule that was broken.
    pub fn breaks(&mut self, rule: String) {
        trace::note(format_args!("BROKEN {rule}"));
        self.broken.get_or_insert(rule);
    }

    pub fn holds(&mut self, is_held: bool, rule: impl FnOnce() -> String) {
        if !is_held {
            let rule = rule();
            self.breaks(rule);
        }
    }

    pub fn tell(&mut self, line: String) {
        trace::note(format_args!("  {line}"));
        self.story.push(line);
    }

    pub fn room(&mut self, name: &str) -> &mut RoomRecord {
        if !self.rooms.contains_key(name) {
            let record = RoomRecord { has_pair: true, ..RoomRecord::default() };
            self.rooms.insert(name.to_owned(), record);
        }
        self.rooms.get_mut(name).expect("it is there")
    }

    /// The constructor fails: every socket of the object is let go of.
    pub fn dismiss(&mut self, name: &str) {
        self.flushes_all(name);
        for client in std::mem::take(&mut self.room(name).members) {
            if let Some(record) = self.sockets.get_mut(&client) {
                record.was_dismissed = true;
            }
        }
        self.tell(format!("{name} cannot be constructed"));
    }

    /// A handler has failed, and the instance goes. What it has pushed is as good as sent.
    pub fn fails(&mut self, name: &str, kind: Kind) {
        self.flushes_all(name);
        self.room(name).has_failed = true;
        if let Kind::Message(client) = kind
            && let Some(record) = self.sockets.get_mut(&client)
        {
            record.has_failed = true;
        }
    }

    /// An instance is made. The number of its life.
    pub fn born(&mut self, name: &str) -> u64 {
        self.lives += 1;
        let (life, now) = (self.lives, self.now.monotonic_ms);
        let room = self.room(name);
        let was = room.life.replace(life);
        (room.has_failed, room.last_event_ms, room.tick_ms) = (false, now, None);
        self.holds(was.is_none(), || format!("two instances of {name} at once"));
        life
    }

    /// An instance is dropped: because it failed, or because nothing happens.
    pub fn died(&mut self, name: &str, life: u64) {
        let (now, idle, evict, is_over) =
            (self.now.monotonic_ms, self.idle_ms, self.evict_idle_ms, self.is_over);
        let room = self.room(name);
        let was = room.life.take();
        let sleeps = !room.has_failed && !is_over;
        let idle_for = now - room.last_event_ms;
        let (running, lingering, ticking) = (room.is_running, room.lingering, room.tick_ms.is_some());
        let waiting = room.waiting.len();
        let patience = idle.or(room.members.is_empty().then_some(evict));
        (room.tick_ms, room.lingering) = (None, 0);
        self.holds(was == Some(life), || format!("{name} ends a life that it does not have"));
        if sleeps {
            self.holds(!running, || format!("{name} is put to sleep while a handler runs"));
            self.holds(lingering == 0, || format!("{name} is put to sleep while a future is pending"));
            self.holds(!ticking, || format!("{name} is put to sleep while it ticks"));
            self.holds(waiting == 0, || format!("{name} is put to sleep while {waiting} batches wait"));
            match patience {
                None => self.breaks(format!("{name} is put to sleep though hibernation is off")),
                Some(ms) => self.holds(idle_for >= ms, || {
                    format!("a timer is early: {name} sleeps after {idle_for} ms, not {ms}")
                }),
            }
        }
    }

    /// A socket was accepted.
    pub fn accepted(&mut self, name: &str, client: u32, tags: &[&str]) {
        let tags = tags.iter().map(|tag| (*tag).to_owned()).collect();
        let record = SocketRecord { room: name.to_owned(), tags, ..SocketRecord::default() };
        let earlier = self.sockets.insert(client, record);
        self.room(name).members.push(client);
        let (count, limit) = (self.room(name).members.len(), self.sockets_max);
        self.holds(earlier.is_none(), || format!("client {client} is accepted twice"));
        self.holds(count <= limit, || format!("a budget is not kept: {count} sockets of {name}"));
        self.tell(format!("{name} accepts {client}"));
    }

    /// An envelope of so many messages has come, the first of which has this number.
    pub fn hears_envelope(&mut self, client: u32, first: u32, messages: usize) {
        let sent = self.envelopes.remove(&(client, first));
        self.holds(sent == Some(messages), || {
            format!("an envelope of client {client} has {messages} messages from {first} on, and {sent:?} were sent")
        });
    }

    /// What ends a socket is a broken envelope, or something else. What came before it was heard.
    pub fn hears_error(&mut self, client: u32, is_envelope: bool) {
        let sent = self.broken_envelopes.get(&client).copied();
        let Some(record) = self.sockets.get(&client) else { return };
        let (heard, is_excused) = (record.last_message, record.has_failed);
        self.holds(!is_envelope || is_excused || sent == Some(heard), || {
            format!("a broken envelope of client {client} behind {heard} messages, and it was sent behind {sent:?}")
        });
    }

    /// Numbered message `number` of a client has come.
    pub fn hears(&mut self, name: &str, client: u32, number: u32) {
        let Some(record) = self.sockets.get_mut(&client) else {
            return self.breaks(format!("a message of client {client}, who was never accepted"));
        };
        let last = std::mem::replace(&mut record.last_message, number);
        let (is_over, room) = (record.end.is_some(), record.room.clone());
        self.holds(room == name, || format!("a message of client {client} comes to {name}, not to {room}"));
        self.holds(!is_over, || format!("a message of client {client} after its end"));
        self.holds(number == last + 1, || {
            let what = if number <= last { "doubled or out of order" } else { "lost" };
            format!("{what}: message {number} of client {client} comes behind {last}")
        });
        self.tell(format!("{name} hears {client}:{number}"));
    }

    /// The close or error event of a socket.
    pub fn ends(&mut self, name: &str, client: u32, code: u16, was_clean: bool) {
        let Some(record) = self.sockets.get_mut(&client) else {
            return self.breaks(format!("the end of client {client}, who was never accepted"));
        };
        let said = record.said.len();
        let earlier = record.end.replace((code, said, was_clean));
        let was_dismissed = record.was_dismissed;
        self.holds(earlier.is_none(), || format!("client {client} ends twice: {earlier:?}, then {code}"));
        self.holds(!was_dismissed, || format!("client {client} ends after its object let go of it"));
        self.tell(format!("{name} sees the end of {client}: {code}"));
    }

    /// The object has closed a socket; `false` when it had before.
    pub fn closes(&mut self, client: u32) -> bool {
        let now = self.now.monotonic_ms;
        let Some(record) = self.sockets.get_mut(&client) else { return false };
        let is_first = record.closed_by_object.is_none();
        record.closed_by_object.get_or_insert(now);
        is_first
    }

    pub fn has_closed(&self, client: u32) -> bool {
        self.sockets.get(&client).is_some_and(|record| record.closed_by_object.is_some())
    }

    /// An object has spoken to one client alone, or tried to: what waited for it has left before, unless its socket was
    /// gone, of which nobody hears anything.
    pub fn speaks_to(&mut self, client: u32) {
        let Some(room) = self.sockets.get(&client).map(|record| record.room.clone()) else { return };
        if self.room(&room).members.contains(&client) {
            self.flushes(&room, &Address::Client(client));
        }
    }

    /// Something for one client, as the object's API took it.
    pub fn says(&mut self, client: u32, said: Said) {
        if let Some(record) = self.sockets.get_mut(&client) {
            record.said.push(said);
        }
    }
}
