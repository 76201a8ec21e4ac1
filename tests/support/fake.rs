//! A driver without a kernel: worlds, their places, and the way of bytes and messages between them.
//!
//! It keeps the driver's side of the contract to the letter and holds the world to its own: bytes arrive only where
//! a receive is armed, a place is never named once it was closed, nothing is sent behind FIN. A breach is a panic.
//!
//! ```text
//!   client  to_server --[armed?]--> handle_received      flush --[room?]--> to_client  client
//!                                        World
//!   lane from shard 0 --> handle_mesh, then the descriptor          effects --> lane to shard 0
//! ```

use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;
use std::sync::Arc;

use dormouse::object::driver::{
    BATCH_MAX, Effect, Effects, Now, Outgoing, PARTS_MAX, Place, Receive, ShardId, Shortfall, Transmit,
};
use dormouse::object::mesh::MeshMessage;
use dormouse::object::{ShardCounters, World, WorldBuilder, WorldPlan};

use super::client::{Client, Peer};
use super::http::{ACCEPT, Reply, upgrade};
use super::random::Random;

/// Turns without the clock moving after which something goes in circles.
const TURNS_MAX: usize = 200_000;

/// How unkind the kernel and the other shards are. Percentages are of occasions.
#[derive(Clone, Debug)]
pub struct Chaos {
    pub random: Random,
    /// A completion comes in a later turn.
    pub deferred: u32,
    /// A receive brings only some of the bytes.
    pub segmented: u32,
    /// A send takes only some of the bytes though there is room.
    pub short: u32,
    /// A message to another shard arrives in a later turn.
    pub slow_mesh: u32,
    /// A descriptor cannot be passed.
    pub hand_off_fails: u32,
}

impl Chaos {
    /// How many of the messages that wait arrive now.
    fn messages(&mut self, waiting: usize) -> usize {
        if self.random.percent(self.slow_mesh) { self.random.below(waiting + 1) } else { waiting }
    }
}

/// Where a connection is, as the driver sees it.
struct Held {
    peer: Rc<RefCell<Peer>>,
    armed: Option<Receive>,
    awaits_writable: bool,
    is_closing: bool,
}

/// What the kernel has to say.
enum Completion {
    Accepted(Rc<RefCell<Peer>>),
    Closed(Place),
    HandedOff(u32),
    HandOffFailed(u32, Place),
    HandedOver(ShardId, u32, Rc<RefCell<Peer>>),
    Receive(Place),
    Writable(Place),
}

/// What one shard sends another.
enum Parcel {
    Message(Box<MeshMessage>),
    Descriptor(u32, Rc<RefCell<Peer>>),
}

/// One shard of the fake.
pub struct Shard {
    pub world: World,
    pub counters: Arc<ShardCounters>,
    places: Vec<Option<Held>>,
    vacant: Vec<u32>,
    waiting: Vec<Completion>,
}

/// The driver.
pub struct Fake {
    pub shards: Vec<Shard>,
    pub plan: WorldPlan,
    pub now: Now,
    pub chaos: Option<Chaos>,
    /// No descriptor can be passed.
    pub hand_offs_fail: bool,
    /// Most bytes of one receive.
    pub receive_bytes_max: usize,
    lanes: Vec<VecDeque<Parcel>>,
    effects: Effects,
}

impl Fake {
    pub fn new(builder: WorldBuilder, shards: u16) -> Fake {
        let plan = builder.build(shards);
        let shard = |number: u16| Shard {
            world: plan.world(ShardId(number), 0x5EED + u64::from(number)),
            counters: plan.counters()[usize::from(number)].clone(),
            places: Vec::new(),
            vacant: Vec::new(),
            waiting: Vec::new(),
        };
        Fake {
            shards: (0..shards).map(shard).collect(),
            now: Now { monotonic_ms: 1_000_000, wall_ms: 1_700_000_000_000 },
            chaos: None,
            hand_offs_fail: false,
            receive_bytes_max: usize::MAX,
            lanes: (0..usize::from(shards).pow(2)).map(|_| VecDeque::new()).collect(),
            effects: Effects::default(),
            plan,
        }
    }

    pub fn world(&self) -> &World {
        &self.shards[0].world
    }

    pub fn counters(&self) -> &ShardCounters {
        &self.shards[0].counters
    }

    /// A client connects to a shard; the shard learns of it in its next turn.
    pub fn connect_to(&mut self, shard: usize) -> Client {
        let peer = Rc::new(RefCell::new(Peer::default()));
        self.shards[shard].waiting.push(Completion::Accepted(peer.clone()));
        Client::new(peer)
    }

    pub fn connect(&mut self) -> Client {
        self.connect_to(0)
    }

    /// Connects, sends, settles, and takes the response.
    pub fn ask(&mut self, request: &str) -> Reply {
        let client = self.connect();
        client.bytes(request);
        self.settle();
        client.reply()
    }

    /// A client that has got its 101.
    pub fn open(&mut self, target: &str) -> Client {
        self.open_at(0, target)
    }

    pub fn open_at(&mut self, shard: usize, target: &str) -> Client {
        let client = self.connect_to(shard);
        client.bytes(upgrade(target, ""));
        self.settle();
        self.opened(&client);
        client
    }

    /// Takes the 101 of a client.
    pub fn opened(&self, client: &Client) {
        let reply = client.reply();
        assert_eq!(reply.status, 101, "{}{}", reply.head, reply.body);
        assert_eq!(reply.header("Sec-WebSocket-Accept"), Some(ACCEPT));
    }

    /// Turns until nothing happens any more at this time.
    pub fn settle(&mut self) {
        for shard in 0..self.shards.len() {
            self.turn(shard);
        }
        for _ in 0..TURNS_MAX {
            let busy: Vec<usize> = (0..self.shards.len()).filter(|&shard| self.has_work(shard)).collect();
            if busy.is_empty() {
                return super::room::surface();
            }
            for shard in busy {
                self.turn(shard);
            }
        }
        panic!("it never settles");
    }

    /// Lets time pass, stopping at each deadline on the way.
    pub fn advance(&mut self, ms: u64) {
        let end = self.now.monotonic_ms + ms;
        loop {
            self.settle();
            let next = self.shards.iter().filter_map(|shard| shard.world.next_deadline_ms()).min();
            let Some(next) = next.filter(|next| *next <= end) else { break };
            assert!(next > self.now.monotonic_ms, "a deadline that has come was seen to");
            self.move_clock(next - self.now.monotonic_ms);
        }
        self.move_clock(end - self.now.monotonic_ms);
        self.settle();
    }

    /// Moves both clocks and runs nothing.
    pub fn move_clock(&mut self, ms: u64) {
        self.now.monotonic_ms += ms;
        self.now.wall_ms += ms;
    }

    /// Whether a turn of the shard would find something.
    pub fn has_work(&self, shard: usize) -> bool {
        let Shard { world, waiting, places, .. } = &self.shards[shard];
        let held = |held: &Held| {
            let peer = held.peer.borrow();
            held.armed.is_some() && is_receivable(&peer) || held.awaits_writable && is_writable(&peer)
        };
        !waiting.is_empty()
            || world.has_ready()
            || world.next_deadline_ms().is_some_and(|deadline| deadline <= self.now.monotonic_ms)
            || (0..self.shards.len()).any(|from| !self.lane(from, shard).is_empty())
            || places.iter().flatten().any(held)
    }

    /// One turn of one shard: what arrived, what is due, what is to leave.
    pub fn turn(&mut self, shard: usize) {
        self.shards[shard].world.set_now(self.now);
        self.take_messages(shard);
        for completion in self.completions(shard) {
            self.complete(shard, completion);
        }
        self.shards[shard].world.run();
        self.carry_out(shard);
        let Shard { world, places, .. } = &self.shards[shard];
        world.flush(&mut Kernel { places, chaos: self.chaos.as_mut() });
        self.carry_out(shard);
    }

    fn lane(&self, from: usize, to: usize) -> &VecDeque<Parcel> {
        &self.lanes[from * self.shards.len() + to]
    }

    fn take_messages(&mut self, shard: usize) {
        let count = self.shards.len();
        for from in 0..count {
            let lane = &mut self.lanes[from * count + shard];
            let here = match &mut self.chaos {
                Some(chaos) => chaos.messages(lane.len()),
                None => lane.len(),
            };
            for parcel in lane.drain(..here) {
                match parcel {
                    Parcel::Message(message) => self.shards[shard].world.handle_mesh(*message),
                    Parcel::Descriptor(token, peer) => {
                        let handed_over = Completion::HandedOver(ShardId(from as u16), token, peer);
                        self.shards[shard].waiting.push(handed_over);
                    }
                }
            }
        }
    }

    /// What completes in this turn: everything, or what chaos lets through, in whatever order.
    fn completions(&mut self, shard: usize) -> Vec<Completion> {
        let shard = &mut self.shards[shard];
        let mut completions = std::mem::take(&mut shard.waiting);
        for (at, held) in shard.places.iter().enumerate() {
            let Some(held) = held else { continue };
            let peer = held.peer.borrow();
            if held.armed.is_some() && is_receivable(&peer) {
                completions.push(Completion::Receive(Place(at as u32)));
            }
            if held.awaits_writable && is_writable(&peer) {
                completions.push(Completion::Writable(Place(at as u32)));
            }
        }
        if let Some(chaos) = &mut self.chaos {
            chaos.random.shuffle(&mut completions);
            let mut now = Vec::new();
            for completion in completions {
                let is_deferred = chaos.random.percent(chaos.deferred);
                match completion {
                    // Found anew next time.
                    Completion::Receive(_) | Completion::Writable(_) if is_deferred => {}
                    later if is_deferred => shard.waiting.push(later),
                    this => now.push(this),
                }
            }
            completions = now;
        }
        completions
    }

    fn complete(&mut self, shard: usize, completion: Completion) {
        match completion {
            Completion::Accepted(peer) => {
                let place = self.shards[shard].occupy(peer);
                self.shards[shard].world.handle_accepted(place);
            }
            Completion::Closed(place) => {
                let shard = &mut self.shards[shard];
                shard.places[place.0 as usize] = None;
                shard.vacant.push(place.0);
                shard.world.handle_closed(place);
            }
            Completion::HandedOff(token) => self.shards[shard].world.handle_handed_off(token),
            Completion::HandOffFailed(token, place) => {
                self.shards[shard].world.handle_hand_off_failed(token, place);
            }
            Completion::HandedOver(from, token, peer) => {
                let place = self.shards[shard].occupy(peer);
                self.shards[shard].world.handle_handed_over(from, token, place);
            }
            Completion::Receive(place) => self.receive(shard, place),
            Completion::Writable(place) => {
                let shard = &mut self.shards[shard];
                if let Some(held) = &mut shard.places[place.0 as usize]
                    && std::mem::take(&mut held.awaits_writable)
                {
                    shard.world.handle_writable(place);
                }
            }
        }
    }

    fn receive(&mut self, shard: usize, place: Place) {
        let shard = &mut self.shards[shard];
        let Some(held) = &mut shard.places[place.0 as usize] else { return };
        if held.armed.is_none() {
            return;
        }
        let mut peer = held.peer.borrow_mut();
        if peer.to_server.is_empty() {
            if !is_receivable(&peer) {
                return;
            }
            drop(peer);
            held.armed = None;
            shard.world.handle_lost(place);
            return;
        }
        let mut length = peer.to_server.len().min(self.receive_bytes_max);
        if let Some(chaos) = &mut self.chaos
            && chaos.random.percent(chaos.segmented)
        {
            length = 1 + chaos.random.below(length);
        }
        let mut bytes: Vec<u8> = peer.to_server.drain(..length).collect();
        drop(peer);
        if held.armed == Some(Receive::Once) {
            held.armed = None;
        }
        shard.world.handle_received(place, &mut bytes);
    }

    fn carry_out(&mut self, shard: usize) {
        let mut effects = std::mem::take(&mut self.effects);
        self.shards[shard].world.take_effects(&mut effects);
        let count = self.shards.len();
        for (to, message) in effects.mesh.drain(..) {
            assert_ne!(usize::from(to.0), shard, "a shard does not write to itself");
            self.lanes[shard * count + usize::from(to.0)].push_back(Parcel::Message(Box::new(message)));
        }
        for effect in effects.sockets.drain(..) {
            self.carry_out_one(shard, effect);
        }
        self.effects = effects;
    }

    fn carry_out_one(&mut self, from: usize, effect: Effect) {
        let count = self.shards.len();
        let shard = &mut self.shards[from];
        match effect {
            Effect::Receive(place, kind) => shard.held(place).armed = Some(kind),
            Effect::Pause(place) => shard.held(place).armed = None,
            Effect::AwaitWritable(place) => shard.held(place).awaits_writable = true,
            Effect::ShutdownWrite(place) => shard.held(place).peer.borrow_mut().server_fin = true,
            Effect::Close(place) => {
                let held = shard.held(place);
                (held.is_closing, held.armed, held.awaits_writable) = (true, None, false);
                let mut peer = held.peer.borrow_mut();
                peer.server_closed = true;
                // A kernel resets a connection that is closed with bytes nobody has read.
                peer.server_reset = !peer.to_server.is_empty();
                drop(peer);
                shard.waiting.push(Completion::Closed(place));
            }
            Effect::HandOff { place, target, token } => {
                let fails = match &mut self.chaos {
                    Some(chaos) => chaos.random.percent(chaos.hand_off_fails),
                    None => self.hand_offs_fail,
                };
                assert!(shard.held(place).armed.is_none(), "no receive is in flight when a socket moves");
                if fails {
                    shard.waiting.push(Completion::HandOffFailed(token, place));
                    return;
                }
                let peer = shard.held(place).peer.clone();
                shard.places[place.0 as usize] = None;
                shard.vacant.push(place.0);
                shard.waiting.push(Completion::HandedOff(token));
                let lane = &mut self.lanes[from * count + usize::from(target.0)];
                lane.push_back(Parcel::Descriptor(token, peer));
            }
        }
    }
}

impl Shard {
    /// The place that was free last is taken first: who still names it is found out.
    fn occupy(&mut self, peer: Rc<RefCell<Peer>>) -> Place {
        let held = Held { peer, armed: None, awaits_writable: false, is_closing: false };
        match self.vacant.pop() {
            Some(at) => {
                self.places[at as usize] = Some(held);
                Place(at)
            }
            None => {
                self.places.push(Some(held));
                Place((self.places.len() - 1) as u32)
            }
        }
    }

    fn held(&mut self, place: Place) -> &mut Held {
        let held = self.places[place.0 as usize].as_mut().expect("an effect names a place in use");
        assert!(!held.is_closing, "nothing is asked of a place behind its Close");
        held
    }

    /// Connections that this shard's kernel knows of.
    pub fn held_places(&self) -> usize {
        self.places.iter().flatten().count()
    }
}

fn is_receivable(peer: &Peer) -> bool {
    !peer.to_server.is_empty() || peer.client_fin || peer.client_reset
}

fn is_writable(peer: &Peer) -> bool {
    peer.client_reset || peer.room != Some(0)
}

/// Takes what is sent as far as there is room.
struct Kernel<'a> {
    places: &'a [Option<Held>],
    chaos: Option<&'a mut Chaos>,
}

impl Transmit for Kernel<'_> {
    fn transmit(&mut self, batch: &[Outgoing<'_>], shortfalls: &mut Vec<(usize, Shortfall)>) {
        assert!(!batch.is_empty() && batch.len() <= BATCH_MAX);
        for (at, outgoing) in batch.iter().enumerate() {
            let held = self.places[outgoing.place.0 as usize].as_ref().expect("bytes for a place in use");
            assert!(!held.is_closing, "nothing is sent behind a Close");
            assert!(!outgoing.parts.is_empty() && outgoing.parts.len() <= PARTS_MAX);
            assert!(batch[..at].iter().all(|other| other.place != outgoing.place), "one send a socket");
            let mut peer = held.peer.borrow_mut();
            assert!(!peer.server_fin, "nothing is sent behind FIN");
            if peer.client_reset {
                shortfalls.push((at, Shortfall::Lost));
                continue;
            }
            let total: usize = outgoing.parts.iter().map(|part| part.len()).sum();
            let mut taken = peer.room.map_or(total, |room| room.min(total));
            if let Some(chaos) = &mut self.chaos
                && chaos.random.percent(chaos.short)
            {
                taken = chaos.random.below(taken + 1);
            }
            if let Some(room) = &mut peer.room {
                *room -= taken;
            }
            let mut left = taken;
            for part in outgoing.parts {
                assert!(!part.is_empty());
                let length = part.len().min(left);
                peer.to_client.extend_from_slice(&part[..length]);
                left -= length;
            }
            peer.sent_by_server += taken;
            peer.sends += 1;
            if taken < total {
                shortfalls.push((at, Shortfall::Full(taken)));
            }
        }
    }
}
