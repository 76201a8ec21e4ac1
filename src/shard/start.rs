//! Starting the shards: threads, rings and worlds first, then all serve at once or none does.
//!
//! Owns the order of the start. Sockets are bound before anything else, so that an address in use is found first;
//! they listen only when every shard stands.
//!
//! ```text
//!   caller:  bind all -> spawn all -> wait for each to stand ---> go ----------------> Shards
//!   thread:                executor, rings, world -> stand -------> listen, serve
//! ```

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::clock::Clock;
use super::data_ring::DataRing;
use super::drain::Drain;
use super::driven::Driven;
use super::error::StartError;
use super::executor::Executor;
use super::handle::{ShardEnd, Shards};
use super::listener::Listener;
use super::ports::{Port, RingPort};
use super::ring::RingSize;
use super::settings::ShardSettings;
use super::sys;
use super::turn::{Driver, Parts, Shared};
use crate::object::World;
use crate::object::driver::ShardId;

/// How long the sockets of a killed engine may linger before its address counts as in use. Milliseconds are usual;
/// under load, and with many rings, a few hundred.
const LINGER_MAX: Duration = Duration::from_secs(2);
const LINGER_LOOK: Duration = Duration::from_millis(10);

/// Starts one shard for each element of `settings`, in order, each with the world that `create_world` makes on the
/// shard's own thread. When this returns, all of them serve.
///
/// # Errors
///
/// The first shard's reason why it cannot start; then no shard has accepted a connection, and all threads have
/// ended.
///
/// ```no_run
/// # fn example(settings: dormouse::shard::ShardSettings, world: fn() -> dormouse::object::World)
/// # -> Result<(), Box<dyn std::error::Error>> {
/// let shards = dormouse::shard::start(vec![settings], move |_shard| world())?;
/// println!("listening at {}", shards.local_address());
/// shards.shutdown(std::time::Duration::from_secs(10));
/// shards.join()?;
/// # Ok(())
/// # }
/// ```
pub fn start<F>(settings: Vec<ShardSettings>, create_world: F) -> Result<Shards, StartError>
where
    F: Fn(ShardId) -> World + Send + Sync + 'static,
{
    start_driven(settings, create_world)
}

/// [`start`] for any world.
pub(super) fn start_driven<W, F>(settings: Vec<ShardSettings>, create_world: F) -> Result<Shards, StartError>
where
    W: Driven + 'static,
    F: Fn(ShardId) -> W + Send + Sync + 'static,
{
    settings.iter().try_for_each(ShardSettings::check)?;
    check_count(settings.len())?;
    let (local_address, sockets) = bind_all(&settings)?;
    let ports = settings.iter().map(|_| Port::new()).collect::<io::Result<_>>();
    let shared = Arc::new(Shared {
        ports: ports.map_err(|source| StartError::Thread { source })?,
        stats: settings.iter().map(|_| Arc::default()).collect(),
        drain: Drain::new(),
        clock: Clock::start(),
    });
    let create_world = Arc::new(create_world);
    let (ends, shard_ends) = channel();
    let mut starting = Vec::new();
    let stood = (0..).zip(settings).try_for_each(|(index, settings)| {
        let plan = Plan { shard: ShardId(index), settings, shared: shared.clone() };
        starting.push(spawn(plan, create_world.clone(), ends.clone())?);
        Ok(())
    });
    let stood = stood.and_then(|()| starting.iter().try_for_each(Starting::await_stand));
    let listening = stood.and_then(|()| sockets.iter().try_for_each(|socket| listen(socket, local_address)));
    if let Err(error) = listening {
        starting.into_iter().for_each(Starting::abandon);
        return Err(error);
    }
    let threads = starting.into_iter().zip(sockets).map(|(shard, socket)| shard.go(socket)).collect();
    Ok(Shards::new(local_address, shared, threads, shard_ends))
}

fn check_count(count: usize) -> Result<(), StartError> {
    if (1..=usize::from(u16::MAX)).contains(&count) {
        return Ok(());
    }
    Err(StartError::Setting { key: "shards", value: count as u64, allowed: format!("1 to {}", u16::MAX) })
}

/// Binds a socket for each shard; those after the first take the port that the first was given.
fn bind_all(settings: &[ShardSettings]) -> Result<(SocketAddr, Vec<TcpListener>), StartError> {
    let mut address = settings[0].listen;
    await_unshared(address).map_err(|source| StartError::Listen { address, source })?;
    let mut sockets = Vec::new();
    for (index, settings) in settings.iter().enumerate() {
        let wanted = if index > 0 && settings.listen.port() == 0 { address } else { settings.listen };
        let bound = sys::bind(wanted).and_then(|socket| {
            let bound = socket.local_addr()?;
            sockets.push(socket);
            Ok(bound)
        });
        let bound = bound.map_err(|source| StartError::Listen { address: wanted, source })?;
        if index == 0 {
            address = bound;
        }
    }
    Ok((address, sockets))
}

/// Waits for the sockets of an engine that was just killed: the kernel ends its rings, which hold them, a little later.
fn await_unshared(address: SocketAddr) -> io::Result<()> {
    let begun = Instant::now();
    loop {
        match sys::check_unshared(address) {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse && begun.elapsed() < LINGER_MAX => {
                thread::sleep(LINGER_LOOK);
            }
            result => return result,
        }
    }
}

fn listen(socket: &TcpListener, address: SocketAddr) -> Result<(), StartError> {
    sys::listen(socket).map_err(|source| StartError::Listen { address, source })
}

/// What a shard's thread is to make.
struct Plan {
    shard: ShardId,
    settings: ShardSettings,
    shared: Arc<Shared>,
}

/// A thread that makes a shard.
struct Starting {
    shard: ShardId,
    thread: thread::JoinHandle<()>,
    stands: Receiver<Result<(), StartError>>,
    go: Sender<TcpListener>,
}

impl Starting {
    fn await_stand(&self) -> Result<(), StartError> {
        // A thread that has gone without an answer has panicked.
        self.stands.recv().unwrap_or(Err(StartError::Panicked { shard: self.shard }))
    }

    fn go(self, socket: TcpListener) -> thread::JoinHandle<()> {
        // It fails only if the thread has panicked since; its end says so.
        let _ = self.go.send(socket);
        self.thread
    }

    fn abandon(self) {
        drop(self.go);
        // Panics are caught within.
        let _ = self.thread.join();
    }
}

fn spawn<W, F>(plan: Plan, create_world: Arc<F>, ends: Sender<ShardEnd>) -> Result<Starting, StartError>
where
    W: Driven + 'static,
    F: Fn(ShardId) -> W + Send + Sync + 'static,
{
    let shard = plan.shard;
    let (stand, stands) = channel();
    let (go, may_go) = channel();
    let body = move || {
        let shared = plan.shared.clone();
        let result = catch_unwind(AssertUnwindSafe(|| live(plan, &*create_world, &stand, &may_go)));
        // Whoever waits for room in its inbox must learn that there is none to come.
        shared.ports[usize::from(shard.0)].end();
        shared.ring_all();
        // Nobody listens if the start failed.
        let _ = ends.send(ShardEnd::new(shard, result));
    };
    let named = thread::Builder::new().name(format!("shard-{}", shard.0));
    let thread = named.spawn(body).map_err(|source| StartError::Thread { source })?;
    Ok(Starting { shard, thread, stands, go })
}

/// A shard's life.
fn live<W: Driven + 'static>(
    plan: Plan,
    create_world: &impl Fn(ShardId) -> W,
    stand: &Sender<Result<(), StartError>>,
    may_go: &Receiver<TcpListener>,
) -> io::Result<()> {
    let (executor, parts) = match make(&plan, create_world) {
        Ok(made) => made,
        Err(error) => {
            // If nobody waits, another shard has failed before.
            let _ = stand.send(Err(error));
            return Ok(());
        }
    };
    if stand.send(Ok(())).is_err() {
        return Ok(());
    }
    let Ok(socket) = may_go.recv() else { return Ok(()) };
    executor.serve(Driver::new(parts, Listener::new(socket)), plan.settings.pacing_wait)
}

/// Makes what a shard needs, on its own thread: its rings take submissions from no other.
fn make<W: Driven>(
    plan: &Plan,
    create_world: &impl Fn(ShardId) -> W,
) -> Result<(Executor, Parts<W>), StartError> {
    let Plan { shard, ref settings, ref shared } = *plan;
    let core = settings.core;
    let executor = Executor::new(core).map_err(|source| StartError::Executor { shard, core, source })?;
    let rings = make_rings(shard, settings, shared).map_err(|source| StartError::Ring { shard, source })?;
    let world = create_world(shard);
    let bell = shared.ports[usize::from(shard.0)].bell.clone();
    world.set_waker(Arc::new(move || bell.ring()));
    let shared = shared.clone();
    let ShardSettings { connections_per_ring, send_batch, peer_addresses, .. } = *settings;
    Ok((executor, Parts { shard, shared, world, rings, connections_per_ring, send_batch, peer_addresses }))
}

pub(super) fn make_rings(
    shard: ShardId,
    settings: &ShardSettings,
    shared: &Shared,
) -> io::Result<Vec<DataRing>> {
    let port = &shared.ports[usize::from(shard.0)];
    let slots = settings.connections_per_ring;
    let size = RingSize {
        submission_entries: settings.submission_entries,
        completion_entries: settings.completion_entries,
        slots,
    };
    let (count, bytes, eventfd) = (settings.receive_count, settings.receive_bytes, port.bell.as_fd());
    // The first ring is the one that the shard sleeps in.
    let rings = (0..settings.rings)
        .map(|ring| DataRing::new(size, count, bytes, (ring > 0).then_some(eventfd)))
        .collect::<io::Result<Vec<_>>>()?;
    if settings.peer_addresses {
        rings[0].ring.check_install()?;
    }
    let ring_ports = rings.iter().map(|ring| RingPort::new(&ring.ring, slots)).collect::<io::Result<_>>()?;
    port.open(ring_ports);
    Ok(rings)
}
