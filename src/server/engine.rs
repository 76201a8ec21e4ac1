//! The engine as an application builds it: a worker, its namespaces, then `main` or `start`. Owns the order of
//! starting and stopping.

use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;
use std::{io, thread};

use super::config::{Config, Cores, Loaded};
use super::{cli, metrics, plan, serve, watchdog};
use crate::object::{DurableObject, ShardCounters, Worker, WorldBuilder, WorldPlan};
use crate::shard::{ShardEnd, ShardStats, Shards, StartError, probe, raise_descriptor_limit};

/// An engine about to run.
///
/// ```no_run
/// use dormouse::{Context, DurableObject, Engine, Env, Request, Response, Result, Worker};
///
/// struct Counter(u64);
///
/// impl DurableObject for Counter {
///     async fn new(_ctx: Context, _env: Env) -> Result<Counter> {
///         Ok(Counter(0))
///     }
///
///     async fn fetch(&mut self, _request: Request) -> Result<Response> {
///         self.0 += 1;
///         Ok(Response::text(format!("{}\n", self.0)))
///     }
/// }
///
/// struct Router;
///
/// impl Worker for Router {
///     async fn fetch(&self, request: Request, env: &dormouse::Env) -> Result<Response> {
///         env.namespace("COUNTER")?.get_by_name(request.path()).fetch(request).await
///     }
/// }
///
/// fn main() -> std::process::ExitCode {
///     Engine::new(Router).namespace::<Counter>("COUNTER").main()
/// }
/// ```
pub struct Engine {
    builder: WorldBuilder,
}

impl Engine {
    /// An engine of this worker, without objects yet.
    pub fn new(worker: impl Worker) -> Engine {
        Engine { builder: WorldBuilder::new(worker) }
    }

    /// Binds the objects of type `T` as `binding`, the name by which [`Env::namespace`](crate::Env::namespace) finds
    /// them.
    ///
    /// # Panics
    /// When the name is bound already.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example<Room: DurableObject, Arena: DurableObject>(router: impl Worker) -> Engine {
    /// Engine::new(router).namespace::<Room>("ROOM").namespace::<Arena>("ARENA")
    /// # }
    /// ```
    pub fn namespace<T: DurableObject>(self, binding: &str) -> Engine {
        Engine { builder: self.builder.namespace::<T>(binding) }
    }

    /// Gives workers and objects a variable; one of the same name in the config's `[vars]` replaces it.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # fn example(router: impl Worker) -> Engine {
    /// // Found by `env.var("GREETING")`.
    /// Engine::new(router).var("GREETING", "hello")
    /// # }
    /// ```
    pub fn var(self, name: impl Into<String>, value: impl Into<String>) -> Engine {
        Engine { builder: self.builder.var(name, value) }
    }

    /// The whole of a program's `main`: reads command line, environment and config, serves until SIGTERM or SIGINT,
    /// and ends with 0; with 1 when the machine is in the way, with 2 when usage or config are wrong.
    ///
    /// ```no_run
    /// # use dormouse::*;
    /// # struct Router;
    /// # impl Worker for Router {
    /// #     async fn fetch(&self, _: Request, _: &Env) -> Result<Response> {
    /// #         Ok(Response::text("hello"))
    /// #     }
    /// # }
    /// fn main() -> std::process::ExitCode {
    ///     Engine::new(Router).main()
    /// }
    /// ```
    pub fn main(self) -> ExitCode {
        cli::run(|loaded: Loaded| serve::serve(self, &loaded))
    }

    /// Starts the engine with `config` and returns at once. For tests and for embedding; signals stay untouched.
    ///
    /// # Errors
    /// [`StartError`], when nothing has been served.
    ///
    /// ```no_run
    /// # fn example(engine: dormouse::Engine) -> Result<(), Box<dyn std::error::Error>> {
    /// use dormouse::server::config::Config;
    ///
    /// let config = Config { listen: "127.0.0.1:0".parse()?, ..Config::default() };
    /// let running = engine.start(&config)?;
    /// println!("listening at {}", running.address());
    /// running.stop(std::time::Duration::from_secs(1))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn start(self, config: &Config) -> Result<Running, StartError> {
        let allowed = probe::allowed_cpus().map_err(|source| StartError::Thread { source })?;
        let cores = config.cores.choose(&allowed).map_err(|unavailable| {
            let value = match &config.cores {
                Cores::Count(count) => *count,
                Cores::List(list) => list.len(),
                Cores::All => allowed.len(),
            };
            StartError::Setting { key: "cores", value: value as u64, allowed: unavailable.to_string() }
        })?;
        self.start_on(config, &cores)
    }

    pub(super) fn start_on(self, config: &Config, cores: &[usize]) -> Result<Running, StartError> {
        let descriptors = raise_descriptor_limit().map_err(|source| StartError::Thread { source })?;
        let slots =
            config.limits.connections_per_ring.min(usize::try_from(descriptors).unwrap_or(usize::MAX));
        let rings_per_shard = plan::rings_per_shard(config, cores.len(), slots);
        let mut builder = self
            .builder
            .settings(plan::world_settings(config))
            .connections_max(config.limits.connections)
            .connections_per_shard(rings_per_shard * slots);
        for (name, value) in &config.vars {
            builder = builder.var(name, value);
        }
        let world_plan = builder.build(cores.len() as u16);
        let seed = random_seed();
        let plan_of_shards = world_plan.clone();
        let shards = crate::shard::start(plan::shard_settings(config, cores, slots), move |shard| {
            plan_of_shards.world(shard, seed ^ (u64::from(shard.0) << 48))
        })?;
        watchdog::start(&world_plan).map_err(|source| StartError::Thread { source })?;
        let running = Running { shards: Arc::new(shards), plan: world_plan, rings_per_shard, metrics: None };
        match config.metrics.listen {
            Some(address) => running.with_metrics(address),
            None => Ok(running),
        }
    }
}

/// Where random ids begin: the hash keys that the standard library draws from the system.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(std::process::id())
}

/// An engine that serves.
///
/// ```no_run
/// # fn example(engine: dormouse::Engine) -> Result<(), Box<dyn std::error::Error>> {
/// use std::time::Duration;
/// use dormouse::server::config::Config;
///
/// let running = engine.start(&Config { listen: "127.0.0.1:0".parse()?, ..Config::default() })?;
/// println!("ws://{} on {} shards", running.address(), running.stats().len());
/// running.stop(Duration::from_secs(10))?;
/// # Ok(())
/// # }
/// ```
pub struct Running {
    shards: Arc<Shards>,
    plan: WorldPlan,
    rings_per_shard: usize,
    metrics: Option<SocketAddr>,
}

impl Running {
    fn with_metrics(mut self, address: SocketAddr) -> Result<Running, StartError> {
        let source = metrics::Source::new(self.plan.clone(), self.shards.stats().to_vec());
        match metrics::listen(address, source) {
            Ok(bound) => {
                self.metrics = Some(bound);
                Ok(self)
            }
            Err(source) => {
                self.shards.shutdown(Duration::ZERO);
                Err(StartError::Listen { address, source })
            }
        }
    }

    /// Where clients connect; the port is the one that the kernel chose, if the config left it open.
    ///
    /// ```no_run
    /// # fn example(running: dormouse::server::Running) -> std::io::Result<()> {
    /// let client = std::net::TcpStream::connect(running.address())?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn address(&self) -> SocketAddr {
        self.shards.local_address()
    }

    /// Where metrics and health are served, if they are.
    ///
    /// ```no_run
    /// # fn example(running: dormouse::server::Running) -> std::io::Result<()> {
    /// if let Some(address) = running.metrics_address() {
    ///     println!("http://{address}/metrics");
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// What each shard's world counts.
    ///
    /// ```no_run
    /// # fn example(running: dormouse::server::Running) -> std::io::Result<()> {
    /// let connections: u64 = running.counters().iter().map(|shard| shard.connections.get()).sum();
    /// # Ok(())
    /// # }
    /// ```
    pub fn counters(&self) -> &[Arc<ShardCounters>] {
        self.plan.counters()
    }

    /// What each shard's driver counts.
    ///
    /// ```no_run
    /// # fn example(running: dormouse::server::Running) -> std::io::Result<()> {
    /// for (shard, stats) in running.stats().iter().enumerate() {
    ///     println!("shard {shard}: {} turns, {} sends", stats.turns.get(), stats.sends.get());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn stats(&self) -> &[Arc<ShardStats>] {
        self.shards.stats()
    }

    /// The names that namespaces are bound to, in the order of [`ShardCounters::namespaces`].
    ///
    /// ```no_run
    /// # fn example(running: dormouse::server::Running) -> std::io::Result<()> {
    /// for (binding, counters) in running.bindings().zip(&running.counters()[0].namespaces) {
    ///     println!("{binding}: {} awake on the first shard", counters.awake.get());
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn bindings(&self) -> impl Iterator<Item = &str> {
        self.plan.bindings()
    }

    pub(super) fn rings_per_shard(&self) -> usize {
        self.rings_per_shard
    }

    pub(super) fn shards(&self) -> Arc<Shards> {
        self.shards.clone()
    }

    /// Closes every socket with 1001, after what was queued for it, and waits for all shards to end; `drain` is the
    /// longest that may take.
    ///
    /// # Errors
    /// What ended a shard before it was asked to.
    ///
    /// ```no_run
    /// # fn example(running: dormouse::server::Running) -> std::io::Result<()> {
    /// running.stop(std::time::Duration::from_secs(10))?;
    /// # Ok(())
    /// # }
    /// ```
    pub fn stop(self, drain: Duration) -> io::Result<()> {
        self.shards.shutdown(drain);
        wait_for_all(&self.shards, |_| {})
    }
}

/// Waits until every shard has ended; the first failure is returned, and `ended` told of each.
pub(super) fn wait_for_all(shards: &Shards, mut ended: impl FnMut(&ShardEnd)) -> io::Result<()> {
    const LOOK_AGAIN: Duration = Duration::from_secs(3_600);
    let mut first_failure = Ok(());
    for _ in 0..shards.stats().len() {
        let end = loop {
            if let Some(end) = shards.wait(LOOK_AGAIN) {
                break end;
            }
            thread::yield_now();
        };
        ended(&end);
        if first_failure.is_ok() {
            first_failure = end.result;
        }
    }
    first_failure
}
