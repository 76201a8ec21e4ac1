//! An engine before it runs: which objects, which worker, which limits, how many shards. Owns what the worlds of all
//! shards share.

use std::sync::Arc;

use super::addresses::Addresses;
use super::class::Class;
use super::core::{Core, Shared};
use super::counters::ShardCounters;
use super::directory::Directory;
use super::driver::ShardId;
use super::durable_object::{DurableObject, Worker};
use super::settings::Settings;
use super::watch::Watch;
use super::world::World;

/// What an engine is made of, before it runs: bindings, worker, settings. Shared by the worlds of all shards.
///
/// ```
/// # use dormouse::{Context, DurableObject, Env, Request, Response, Result, Worker};
/// # struct Room;
/// # impl DurableObject for Room {
/// #     async fn new(_: Context, _: Env) -> Result<Room> {
/// #         Ok(Room)
/// #     }
/// # }
/// # struct Router;
/// # impl Worker for Router {
/// #     async fn fetch(&self, _: Request, _: &Env) -> Result<Response> {
/// #         Ok(Response::text("hello"))
/// #     }
/// # }
/// use dormouse::object::driver::ShardId;
/// use dormouse::object::{Settings, WorldBuilder};
///
/// let plan = WorldBuilder::new(Router)
///     .namespace::<Room>("ROOM")
///     .settings(Settings { hibernation_idle_ms: Some(0), ..Settings::default() })
///     .var("GREETING", "hello")
///     .connections_max(10_000)
///     .connections_per_shard(8_000)
///     .build(2);
/// let world = plan.world(ShardId(1), 0x5eed);
/// assert!(!world.has_ready());
/// ```
pub struct WorldBuilder {
    settings: Settings,
    classes: Vec<Class>,
    vars: Vec<(String, String)>,
    worker: Arc<dyn super::worker::ErasedWorker>,
    connections_max: usize,
    connections_per_shard: usize,
}

impl WorldBuilder {
    /// An engine of this worker, without objects yet.
    pub fn new(worker: impl Worker) -> WorldBuilder {
        WorldBuilder {
            settings: Settings::default(),
            classes: Vec::new(),
            vars: Vec::new(),
            worker: Arc::new(worker),
            connections_max: 131_072,
            connections_per_shard: usize::MAX,
        }
    }

    /// Binds the objects of type `T` as `binding`.
    ///
    /// # Panics
    /// When the name is bound already.
    pub fn namespace<T: DurableObject>(mut self, binding: &str) -> WorldBuilder {
        assert!(!self.classes.iter().any(|class| class.binding == binding), "{binding} is bound twice");
        self.classes.push(Class::of::<T>(binding));
        self
    }

    /// Sets limits and timeouts.
    pub fn settings(mut self, settings: Settings) -> WorldBuilder {
        self.settings = settings;
        self
    }

    /// Gives objects a variable.
    pub fn var(mut self, name: impl Into<String>, value: impl Into<String>) -> WorldBuilder {
        self.vars.push((name.into(), value.into()));
        self
    }

    /// Limits the connections of the process.
    pub fn connections_max(mut self, connections_max: usize) -> WorldBuilder {
        self.connections_max = connections_max;
        self
    }

    /// Says how many connections each shard has room for; without it any number. A shard that would not have room for its
    /// part of all that may still come takes none over from others: such sockets stay where they were accepted.
    ///
    /// ```no_run
    /// # fn example(builder: dormouse::object::WorldBuilder) {
    /// use dormouse::object::spare_connections;
    ///
    /// // 1,000 more than its half, for objects that do not live on both shards alike.
    /// let room = 11_000 + spare_connections(20_000);
    /// let plan = builder.connections_max(20_000).connections_per_shard(room).build(2);
    /// # }
    /// ```
    pub fn connections_per_shard(mut self, connections_per_shard: usize) -> WorldBuilder {
        self.connections_per_shard = connections_per_shard;
        self
    }

    /// Fixes the number of shards; worlds are then made one a thread.
    pub fn build(self, shards: u16) -> WorldPlan {
        let counters = (0..shards).map(|_| Arc::new(ShardCounters::new(self.classes.len()))).collect();
        WorldPlan {
            watches: (0..shards).map(|_| Arc::default()).collect(),
            shared: Arc::new(Shared {
                addresses: Addresses::new(
                    self.settings.connections_per_address_max,
                    self.settings.handshakes_per_address_max,
                ),
                settings: self.settings,
                classes: self.classes,
                vars: self.vars,
                worker: self.worker,
                directory: Arc::new(Directory::new(self.connections_max)),
                shards,
                connections_per_shard: self.connections_per_shard,
                counters,
            }),
        }
    }
}

/// An engine about to run; makes the world of each shard on that shard's thread.
///
/// ```no_run
/// # fn example(builder: dormouse::object::WorldBuilder) {
/// use dormouse::object::driver::ShardId;
///
/// let plan = builder.build(2);
/// for shard in [0, 1].map(ShardId) {
///     let plan = plan.clone();
///     std::thread::spawn(move || {
///         let world = plan.world(shard, 0x5eed);
///         // The shard's driver.
///     });
/// }
/// assert_eq!((plan.counters().len(), plan.watches().len()), (2, 2));
/// println!("{} connections to {:?}", plan.directory().open(), plan.bindings().collect::<Vec<_>>());
/// # }
/// ```
#[derive(Clone)]
pub struct WorldPlan {
    shared: Arc<Shared>,
    watches: Vec<Arc<Watch>>,
}

impl WorldPlan {
    /// The world of one shard. `seed` is where its random numbers begin.
    pub fn world(&self, shard: ShardId, seed: u64) -> World {
        let counters = self.shared.counters[usize::from(shard.0)].clone();
        let watch = self.watches[usize::from(shard.0)].clone();
        World::of(Core::new(shard, self.shared.clone(), counters, watch, seed))
    }

    /// The counters of each shard.
    pub fn counters(&self) -> &[Arc<ShardCounters>] {
        &self.shared.counters
    }

    /// What each shard runs, for a watchdog.
    pub fn watches(&self) -> &[Arc<Watch>] {
        &self.watches
    }

    /// The bindings, in the order of [`ShardCounters::namespaces`].
    pub fn bindings(&self) -> impl Iterator<Item = &str> {
        self.shared.classes.iter().map(|class| class.binding.as_str())
    }

    /// Every connection of the process.
    pub fn directory(&self) -> &Arc<Directory> {
        &self.shared.directory
    }
}
