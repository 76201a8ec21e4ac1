//! A world without HTTP: it records what it hears, does what a test tells it, and in the shards that serve, echoes.

use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::{Arc, Mutex};

use crate::object::DriverWaker;
use crate::object::driver::{
    BATCH_MAX, Effect, Effects, Now, Outgoing, Place, Receive, ShardId, Shortfall, Transmit,
};
use crate::object::mesh::MeshMessage;
use crate::shard::driven::Driven;

/// What a world heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Event {
    Accepted(Place),
    AcceptedFrom(Place, Option<IpAddr>),
    Received(Place, Vec<u8>),
    Lost(Place),
    Writable(Place),
    Closed(Place),
    HandedOver(ShardId, u32, Place),
    HandedOff(u32),
    HandOffFailed(u32, Place),
}

/// What the worlds of a test share with it.
#[derive(Default)]
pub(super) struct Depot {
    /// Bytes of sockets that are on their way between worlds, by sender and token: what a message would carry.
    luggage: Mutex<HashMap<(ShardId, u32), Vec<u8>>>,
    /// What wakes each world's shard.
    pub(super) wakers: Mutex<HashMap<ShardId, DriverWaker>>,
}

/// The world.
pub(super) struct TestWorld {
    shard: ShardId,
    /// Answer by itself, as in [`TestWorld::answer`].
    echoes: bool,
    pub(super) events: RefCell<Vec<Event>>,
    pub(super) effects: RefCell<Effects>,
    /// What waits to be sent.
    pub(super) outboxes: RefCell<BTreeMap<Place, Vec<Vec<u8>>>>,
    /// What could not be sent, in order.
    pub(super) shortfalls: RefCell<Vec<(Place, Shortfall)>>,
    /// Sockets that wait for room.
    stuck: RefCell<BTreeMap<Place, Vec<Vec<u8>>>>,
    depot: Arc<Depot>,
    next_token: Cell<u32>,
    sockets: Cell<usize>,
    draining: Cell<bool>,
    pub(super) deadline_ms: Cell<Option<u64>>,
    pub(super) now: Cell<Now>,
    pub(super) messages: Cell<usize>,
    /// Hand-offs whose message has come. It stands for all the state that a real one carries.
    announced: RefCell<BTreeSet<(ShardId, u32)>>,
    /// The sockets of a world that echoes, and how far they are.
    open: RefCell<BTreeMap<Place, Stage>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Stage {
    New,
    Known,
    Closing,
}

impl TestWorld {
    /// A world that only listens.
    pub(super) fn silent() -> Self {
        Self::new(ShardId(0), false, Arc::default())
    }

    /// A world that answers; see [`Self::answer`].
    pub(super) fn echo(shard: ShardId, depot: Arc<Depot>) -> Self {
        Self::new(shard, true, depot)
    }

    fn new(shard: ShardId, echoes: bool, depot: Arc<Depot>) -> Self {
        Self {
            shard,
            echoes,
            events: RefCell::default(),
            effects: RefCell::default(),
            outboxes: RefCell::default(),
            shortfalls: RefCell::default(),
            stuck: RefCell::default(),
            depot,
            next_token: Cell::new(0),
            sockets: Cell::new(0),
            draining: Cell::new(false),
            deadline_ms: Cell::new(None),
            now: Cell::default(),
            messages: Cell::new(0),
            announced: RefCell::default(),
            open: RefCell::default(),
        }
    }

    /// Asks for something.
    pub(super) fn ask(&self, effect: Effect) {
        self.effects.borrow_mut().sockets.push(effect);
    }

    /// Has a message for another shard.
    pub(super) fn tell(&self, target: ShardId, message: MeshMessage) {
        self.effects.borrow_mut().mesh.push((target, message));
    }

    /// Queues bytes.
    pub(super) fn send(&self, place: Place, bytes: impl Into<Vec<u8>>) {
        self.outboxes.borrow_mut().entry(place).or_default().push(bytes.into());
    }

    /// All bytes received at `place`, in order.
    pub(super) fn received(&self, place: Place) -> Vec<u8> {
        let events = self.events.borrow();
        let parts = events.iter().filter_map(|event| match event {
            Event::Received(at, bytes) if *at == place => Some(bytes.as_slice()),
            _ => None,
        });
        parts.collect::<Vec<_>>().concat()
    }

    /// How often something was heard.
    pub(super) fn count(&self, is: impl Fn(&Event) -> bool) -> usize {
        self.events.borrow().iter().filter(|event| is(event)).count()
    }

    /// The places accepted so far, in order.
    pub(super) fn accepted(&self) -> Vec<Place> {
        let events = self.events.borrow();
        let places = events.iter().filter_map(|event| match event {
            Event::Accepted(place) => Some(*place),
            _ => None,
        });
        places.collect()
    }

    fn hear(&self, event: Event) {
        if !self.echoes {
            self.events.borrow_mut().push(event);
        }
    }

    /// The first bytes of a connection may be a command: `>n` takes it to shard n, and what follows is echoed
    /// there; `!panic` is what it says. Everything else is echoed, until the peer sends FIN.
    fn answer(&self, place: Place, bytes: &[u8]) {
        let stage = self.open.borrow()[&place];
        let is_first = stage == Stage::New;
        self.open.borrow_mut().insert(place, stage.max(Stage::Known));
        match bytes {
            _ if stage == Stage::Closing => {}
            [b'>', digit, rest @ ..] if is_first => {
                self.forget(place);
                let token = self.next_token.replace(self.next_token.get() + 1);
                self.depot.luggage.lock().unwrap().insert((self.shard, token), rest.to_vec());
                let target = ShardId(u16::from(digit - b'0'));
                self.tell(target, MeshMessage::HandOffAborted { from: self.shard, token });
                self.ask(Effect::HandOff { place, target, token });
            }
            b"!panic" => panic!("as told"),
            _ => {
                if is_first {
                    self.ask(Effect::Receive(place, Receive::Multishot));
                }
                self.send(place, bytes);
            }
        }
    }

    fn open(&self, place: Place, receive: Receive) {
        self.sockets.set(self.sockets.get() + 1);
        let stage = if receive == Receive::Once { Stage::New } else { Stage::Known };
        assert_eq!(self.open.borrow_mut().insert(place, stage), None);
        if self.draining.get() { self.close(place) } else { self.ask(Effect::Receive(place, receive)) }
    }

    fn close(&self, place: Place) {
        if self.open.borrow_mut().insert(place, Stage::Closing) != Some(Stage::Closing) {
            self.ask(Effect::Close(place));
        }
    }

    fn forget(&self, place: Place) {
        self.sockets.set(self.sockets.get() - 1);
        self.open.borrow_mut().remove(&place).unwrap();
        self.outboxes.borrow_mut().remove(&place);
        self.stuck.borrow_mut().remove(&place);
    }
}

impl Driven for TestWorld {
    fn set_now(&self, now: Now) {
        self.now.set(now);
    }

    fn handle_accepted(&self, place: Place) {
        self.hear(Event::Accepted(place));
        if self.echoes {
            self.open(place, Receive::Once);
        }
    }

    fn handle_accepted_from(&self, place: Place, address: Option<IpAddr>) {
        self.hear(Event::AcceptedFrom(place, address));
        if self.echoes {
            self.open(place, Receive::Once);
        }
    }

    fn handle_received(&self, place: Place, bytes: &mut [u8]) {
        self.hear(Event::Received(place, bytes.to_vec()));
        if self.echoes {
            self.answer(place, bytes);
        }
    }

    fn handle_lost(&self, place: Place) {
        self.hear(Event::Lost(place));
        if self.echoes {
            self.close(place);
        }
    }

    fn handle_writable(&self, place: Place) {
        self.hear(Event::Writable(place));
        if let Some(parts) = self.stuck.borrow_mut().remove(&place) {
            let mut outboxes = self.outboxes.borrow_mut();
            let newer = outboxes.remove(&place).unwrap_or_default();
            outboxes.insert(place, parts.into_iter().chain(newer).collect());
        }
    }

    fn handle_closed(&self, place: Place) {
        self.hear(Event::Closed(place));
        if self.echoes {
            self.forget(place);
        }
    }

    fn handle_handed_over(&self, from: ShardId, token: u32, place: Place) {
        self.hear(Event::HandedOver(from, token, place));
        assert!(self.announced.borrow_mut().remove(&(from, token)), "the descriptor overtook its message");
        if self.echoes {
            let bytes = self.depot.luggage.lock().unwrap().remove(&(from, token)).unwrap();
            self.open(place, Receive::Multishot);
            self.send(place, bytes);
        }
    }

    fn handle_handed_off(&self, token: u32) {
        self.hear(Event::HandedOff(token));
    }

    fn handle_hand_off_failed(&self, token: u32, place: Place) {
        self.hear(Event::HandOffFailed(token, place));
        if self.echoes {
            let bytes = self.depot.luggage.lock().unwrap().remove(&(self.shard, token)).unwrap();
            self.open(place, Receive::Multishot);
            self.send(place, [b"stayed:", bytes.as_slice()].concat());
        }
    }

    fn handle_mesh(&self, message: MeshMessage) {
        self.messages.set(self.messages.get() + 1);
        if let MeshMessage::HandOffAborted { from, token } = message {
            self.announced.borrow_mut().insert((from, token));
        }
    }

    fn run(&self) {
        let now_ms = self.now.get().monotonic_ms;
        if self.deadline_ms.get().is_some_and(|deadline_ms| deadline_ms <= now_ms) {
            self.deadline_ms.set(None);
        }
    }

    fn flush(&self, transmit: &mut impl Transmit) {
        let outboxes: Vec<_> = {
            let stuck = self.stuck.borrow();
            let mut outboxes = self.outboxes.borrow_mut();
            let closing = |place: &Place| self.open.borrow().get(place) == Some(&Stage::Closing);
            outboxes.retain(|place, _| !closing(place));
            let ready: Vec<_> = outboxes.keys().filter(|place| !stuck.contains_key(place)).copied().collect();
            ready.into_iter().map(|place| (place, outboxes.remove(&place).unwrap())).collect()
        };
        for chunk in outboxes.chunks(BATCH_MAX) {
            let parts: Vec<Vec<&[u8]>> =
                chunk.iter().map(|(_, parts)| parts.iter().map(Vec::as_slice).collect()).collect();
            let batch: Vec<_> = chunk
                .iter()
                .zip(&parts)
                .map(|((place, _), parts)| Outgoing { place: *place, parts })
                .collect();
            let mut shortfalls = Vec::new();
            transmit.transmit(&batch, &mut shortfalls);
            for (index, shortfall) in shortfalls {
                let place = batch[index].place;
                self.shortfalls.borrow_mut().push((place, shortfall));
                let closing = self.open.borrow().get(&place) == Some(&Stage::Closing);
                if let (Shortfall::Full(taken), false) = (shortfall, closing) {
                    let rest = parts[index].concat().split_off(taken);
                    self.stuck.borrow_mut().insert(place, vec![rest]);
                    self.ask(Effect::AwaitWritable(place));
                }
            }
        }
    }

    fn take_effects(&self, effects: &mut Effects) {
        assert!(effects.sockets.is_empty() && effects.mesh.is_empty());
        std::mem::swap(&mut *self.effects.borrow_mut(), effects);
    }

    fn next_deadline_ms(&self) -> Option<u64> {
        self.deadline_ms.get()
    }

    fn has_ready(&self) -> bool {
        false
    }

    fn set_waker(&self, waker: DriverWaker) {
        self.depot.wakers.lock().unwrap().insert(self.shard, waker);
    }

    fn begin_drain(&self) {
        self.draining.set(true);
        let places: Vec<_> = self.open.borrow().keys().copied().collect();
        places.into_iter().for_each(|place| self.close(place));
    }

    fn is_drained(&self) -> bool {
        self.sockets.get() == 0
    }
}
