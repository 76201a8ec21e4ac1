//! One shard's world of objects, as its parts share it. Owns the tables; what is done with them stands in the files
//! that say `impl Core`, one rule each. Every table has a cell of its own and is borrowed for one step only, never
//! while a handler runs, so that a handler may call anything.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::rc::{Rc, Weak};
use std::sync::Arc;

use super::addresses::Addresses;
use super::calls::Calls;
use super::class::Class;
use super::compression::Compressor;
use super::connection::{Connection, FarObject};
use super::counters::ShardCounters;
use super::directory::{ConnectionId, Directory};
use super::driver::{Effect, Effects, Now, Place, ShardId};
use super::failing::Failing;
use super::id::IdBytes;
use super::kept::KeptLines;
use super::mesh::{HandOff, MeshMessage, SocketName};
use super::moment::Moment;
use super::object::Object;
use super::output::Output;
use super::paged::Paged;
use super::remote::{CommandBatch, EventBatch};
use super::settings::Settings;
use super::slab::{Key, Slab};
use super::socket::Socket;
use super::standard::Finished;
use super::tasks::Tasks;
use super::timers::Timers;
use super::watch::Watch;
use super::wheel::Wheel;
use super::worker::ErasedWorker;
use crate::wire::{Field, Inflaters};

/// What all shards of an engine have in common.
pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) classes: Vec<Class>,
    pub(crate) vars: Vec<(String, String)>,
    pub(crate) worker: Arc<dyn ErasedWorker>,
    pub(crate) directory: Arc<Directory>,
    /// Present when the connections of one address are limited.
    pub(crate) addresses: Option<Addresses>,
    pub(crate) shards: u16,
    /// What each shard has room for.
    pub(crate) connections_per_shard: usize,
    /// Of each shard.
    pub(crate) counters: Vec<Arc<ShardCounters>>,
}

pub(crate) struct Core {
    pub(crate) shard: ShardId,
    pub(crate) shared: Arc<Shared>,
    pub(crate) counters: Arc<ShardCounters>,
    pub(crate) watch: Arc<Watch>,
    pub(crate) now: Cell<Now>,
    pub(crate) random: Cell<u64>,
    pub(crate) connections: RefCell<Paged<Connection>>,
    pub(crate) sockets: RefCell<Slab<Socket>>,
    pub(crate) objects: RefCell<Slab<Object>>,
    pub(crate) names: RefCell<HashMap<(u16, IdBytes), Key>>,
    /// Objects that failed and are not among these any more.
    pub(crate) failing: RefCell<Failing>,
    pub(crate) output: RefCell<Output>,
    pub(crate) compressor: RefCell<Compressor>,
    pub(crate) inflaters: RefCell<Inflaters>,
    /// What waits under keys for connections at their bounds.
    pub(crate) kept: RefCell<KeptLines>,
    /// Connections with something to send.
    pub(crate) dirty: RefCell<Vec<Place>>,
    /// What the batches of all objects that wait are charged; 0 when there are none.
    pub(crate) batch_bytes: Cell<usize>,
    /// Empty buffers for the next batches, and one for a message on its way into one.
    pub(crate) batch_buffers: RefCell<Vec<Vec<u8>>>,
    pub(crate) batch_item: Cell<Vec<u8>>,
    pub(crate) tasks: Tasks,
    pub(crate) calls: Calls,
    pub(crate) timers: RefCell<Timers>,
    pub(crate) wheel: RefCell<Wheel>,
    /// The fields of the head that is read; kept, so that the next one takes no memory.
    pub(crate) head_fields: RefCell<Vec<Field>>,
    /// The 101 that is written; kept likewise.
    pub(crate) response_head: RefCell<Vec<u8>>,
    pub(crate) effects: RefCell<Effects>,
    /// Connections that come over, by sender and token.
    pub(crate) arriving: RefCell<HashMap<(ShardId, u32), HandOff>>,
    /// Connections whose descriptors are on their way, by token.
    pub(crate) departing: RefCell<HashMap<u32, (ShardId, ConnectionId)>>,
    pub(crate) tokens: Cell<u32>,
    /// What is to be told to the other shards at the end of the turn, by shard.
    pub(crate) commands: RefCell<Vec<CommandBatch>>,
    pub(crate) far_recipients: RefCell<Vec<Vec<(Place, ConnectionId)>>>,
    pub(crate) reports: RefCell<Vec<EventBatch>>,
    /// Objects of other shards that have sockets here.
    pub(crate) far_objects: RefCell<HashMap<(ShardId, Key), Weak<FarObject>>>,
    /// Sockets whose other end was dropped unused.
    pub(crate) abandoned: RefCell<Vec<(ShardId, SocketName)>>,
    /// Standard sockets whose end was read, or will not be.
    pub(crate) finished_standard: RefCell<Vec<Finished>>,
    /// Objects that may hibernate at once.
    pub(crate) quiet: RefCell<Vec<Key>>,
    pub(crate) reassembly_bytes: Cell<usize>,
    pub(crate) is_draining: Cell<bool>,
    pub(crate) events_begun: Cell<u64>,
}

impl Core {
    pub(crate) fn new(
        shard: ShardId,
        shared: Arc<Shared>,
        counters: Arc<ShardCounters>,
        watch: Arc<Watch>,
        seed: u64,
    ) -> Rc<Core> {
        let shards = shared.shards;
        let compressor = Compressor::new(shared.settings.deflate, counters.clone());
        Rc::new(Core {
            shard,
            shared,
            counters,
            watch,
            now: Cell::default(),
            random: Cell::new(seed),
            connections: RefCell::default(),
            sockets: RefCell::default(),
            objects: RefCell::default(),
            names: RefCell::default(),
            failing: RefCell::default(),
            output: RefCell::default(),
            compressor: RefCell::new(compressor),
            inflaters: RefCell::default(),
            kept: RefCell::default(),
            dirty: RefCell::default(),
            batch_bytes: Cell::new(0),
            batch_buffers: RefCell::default(),
            batch_item: Cell::default(),
            tasks: Tasks::default(),
            calls: Calls::default(),
            timers: RefCell::default(),
            wheel: RefCell::default(),
            head_fields: RefCell::default(),
            response_head: RefCell::default(),
            effects: RefCell::default(),
            arriving: RefCell::default(),
            departing: RefCell::default(),
            tokens: Cell::new(0),
            far_recipients: RefCell::new((0..shards).map(|_| Vec::new()).collect()),
            commands: RefCell::new((0..shards).map(|_| CommandBatch::default()).collect()),
            reports: RefCell::new((0..shards).map(|_| EventBatch::default()).collect()),
            far_objects: RefCell::default(),
            abandoned: RefCell::default(),
            finished_standard: RefCell::default(),
            quiet: RefCell::default(),
            reassembly_bytes: Cell::new(0),
            is_draining: Cell::new(false),
            events_begun: Cell::new(0),
        })
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    pub(crate) fn now_ms(&self) -> u64 {
        self.now.get().monotonic_ms
    }

    /// SplitMix64: enough for ids, whose secrecy nothing depends on; seeded by the driver so that a run replays.
    pub(crate) fn next_random(&self) -> u64 {
        let state = self.random.get().wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.random.set(state);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub(crate) fn effect(&self, effect: Effect) {
        self.effects.borrow_mut().sockets.push(effect);
    }

    pub(crate) fn tell(&self, shard: ShardId, message: MeshMessage) {
        self.effects.borrow_mut().mesh.push((shard, message));
    }

    /// Runs `f` on the connection at `place`, if there is one.
    pub(crate) fn with_connection<R>(&self, place: Place, f: impl FnOnce(&mut Connection) -> R) -> Option<R> {
        self.connections.borrow_mut().get_mut(place.0 as usize).map(f)
    }

    pub(crate) fn insert_connection(&self, place: Place, mut connection: Connection) {
        let mut connections = self.connections.borrow_mut();
        // The look that the wheel still owes to whoever was there before serves this one too. Otherwise there would be one
        // for each connection that came and went, however few there are at a time.
        let left = connections.left(place.0 as usize);
        if left.ms() > self.now_ms() {
            connection.look = left;
        }
        connections.insert(place.0 as usize, connection);
        self.counters.connections.set(self.counters.connections.get() + 1);
    }

    pub(crate) fn remove_connection(&self, place: Place) {
        let removed = self.connections.borrow_mut().remove(place.0 as usize, |connection| connection.look);
        if let Some(mut connection) = removed {
            self.forget_output(place, &mut connection);
            self.compressor.borrow_mut().closed(place);
            self.counters.connections.set(self.counters.connections.get() - 1);
        }
    }

    /// Has the wheel look at a connection by `deadline_ms`.
    pub(crate) fn look_by(&self, place: Place, connection: &mut Connection, deadline_ms: u64) {
        if deadline_ms < connection.look.ms() {
            let look_ms = self.wheel.borrow_mut().insert(place, deadline_ms);
            connection.look = Moment::not_before(look_ms);
        }
    }
}
