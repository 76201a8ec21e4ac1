//! A driver on the thread of a test, turned by hand.

use std::net::{SocketAddr, TcpStream};
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use super::world::{Event, TestWorld};
use crate::object::driver::{Effect, Place, Receive, ShardId};
use crate::shard::clock::Clock;
use crate::shard::drain::Drain;
use crate::shard::listener::Listener;
use crate::shard::ports::Port;
use crate::shard::settings::ShardSettings;
use crate::shard::start::make_rings;
use crate::shard::sys;
use crate::shard::turn::{Driver, Parts, Shared};

/// How long a test waits for something that comes at once; only a hang takes so long.
pub(super) const HANG: Duration = Duration::from_secs(20);

/// Small enough that limits are reached.
pub(super) fn settings() -> ShardSettings {
    ShardSettings {
        listen: "127.0.0.1:0".parse().unwrap(),
        core: None,
        receive_bytes: 512,
        receive_count: 64,
        send_batch: 128,
        submission_entries: 64,
        completion_entries: 256,
        connections_per_ring: 64,
        rings: 1,
        pacing_wait: Duration::ZERO,
        peer_addresses: false,
    }
}

/// What `count` shards share.
fn shared(count: usize) -> Arc<Shared> {
    Arc::new(Shared {
        ports: (0..count).map(|_| Port::new().unwrap()).collect(),
        stats: (0..count).map(|_| Arc::default()).collect(),
        drain: Drain::new(),
        clock: Clock::start(),
    })
}

/// A driver on the calling thread, and where it listens.
pub(super) struct Bench {
    pub(super) driver: Driver<TestWorld>,
    pub(super) address: SocketAddr,
}

impl Bench {
    /// The only shard.
    pub(super) fn new(settings: ShardSettings) -> Self {
        Self::of(ShardId(0), settings, shared(1))
    }

    /// One of the shards that have `shared` in common.
    fn of(shard: ShardId, settings: ShardSettings, shared: Arc<Shared>) -> Self {
        let rings = make_rings(shard, &settings, &shared).unwrap();
        let socket = sys::bind(settings.listen).unwrap();
        let address = socket.local_addr().unwrap();
        sys::listen(&socket).unwrap();
        let parts = Parts {
            shard,
            shared,
            world: TestWorld::silent(),
            rings,
            connections_per_ring: settings.connections_per_ring,
            send_batch: settings.send_batch,
            peer_addresses: false,
        };
        Self { driver: Driver::new(parts, Listener::new(socket)), address }
    }

    pub(super) fn world(&self) -> &TestWorld {
        &self.driver.world
    }

    /// How often the world heard this.
    pub(super) fn count(&self, event: &Event) -> usize {
        self.world().count(|heard| heard == event)
    }

    pub(super) fn turn(&mut self) {
        self.driver.turn().unwrap();
    }

    /// Turns until `done`.
    #[track_caller]
    pub(super) fn until(&mut self, done: impl Fn(&TestWorld) -> bool) {
        let began = Instant::now();
        while !done(self.world()) {
            assert!(began.elapsed() < HANG, "hangs; heard {:?}", self.world().events.borrow());
            self.turn();
            if !self.driver.has_work().unwrap() {
                thread::sleep(Duration::from_micros(200));
            }
        }
    }

    /// Turns until the world has heard this.
    #[track_caller]
    pub(super) fn hear(&mut self, event: Event) {
        self.until(|world| world.count(|heard| *heard == event) > 0);
    }

    /// Turns often enough that whatever is under way has happened.
    pub(super) fn settle(&mut self) {
        for _ in 0..20 {
            self.turn();
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Turns until the driver would sleep, and leaves it in that state.
    #[track_caller]
    pub(super) fn doze(&mut self) {
        let began = Instant::now();
        while !self.driver.fall_asleep().unwrap() {
            assert!(began.elapsed() < HANG, "does not fall asleep");
            self.turn();
        }
    }

    /// Connects, and waits until the world has heard of it.
    pub(super) fn connect(&mut self) -> (TcpStream, Place) {
        let before = self.world().accepted().len();
        let stream = TcpStream::connect(self.address).unwrap();
        self.until(|world| world.accepted().len() > before);
        let place = self.world().accepted()[before];
        (stream, place)
    }

    /// Connects and receives.
    pub(super) fn receiving(&mut self, receive: Receive) -> (TcpStream, Place) {
        let (stream, place) = self.connect();
        self.world().ask(Effect::Receive(place, receive));
        self.turn();
        (stream, place)
    }
}

/// Closes with a reset instead of FIN.
pub(super) fn reset(stream: TcpStream) {
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let length = size_of_val(&linger) as libc::socklen_t;
    let value = (&raw const linger).cast();
    // SAFETY: `linger` is a readable linger of `length` bytes.
    let set =
        unsafe { libc::setsockopt(stream.as_raw_fd(), libc::SOL_SOCKET, libc::SO_LINGER, value, length) };
    assert_eq!(set, 0);
}

type Job = Box<dyn FnOnce(&mut Bench) + Send>;

/// A second shard, on a thread of its own, which does what it is told and otherwise nothing.
pub(super) struct Other {
    jobs: Sender<Job>,
    thread: thread::JoinHandle<()>,
}

/// The number of [`Other`].
pub(super) const OTHER: ShardId = ShardId(1);

impl Other {
    /// Two shards: one to turn here, and the other.
    pub(super) fn beside(settings: ShardSettings, other: ShardSettings) -> (Bench, Other) {
        let shared = shared(2);
        let bench = Bench::of(ShardId(0), settings, shared.clone());
        let (jobs, work) = channel::<Job>();
        let thread = thread::spawn(move || {
            let mut bench = Bench::of(OTHER, other, shared);
            work.iter().for_each(|job| job(&mut bench));
        });
        let other = Other { jobs, thread };
        other.tell(|_| {});
        (bench, other)
    }

    /// Has the other shard do something, and waits for the result.
    #[track_caller]
    pub(super) fn tell<R: Send + 'static>(&self, job: impl FnOnce(&mut Bench) -> R + Send + 'static) -> R {
        let (done, result) = channel();
        self.jobs.send(Box::new(move |bench| drop(done.send(job(bench))))).unwrap();
        result.recv().expect("the other shard failed")
    }

    /// Ends the other shard as a panic does: without a word.
    pub(super) fn vanish(self) {
        drop(self.jobs);
        self.thread.join().unwrap();
    }
}
