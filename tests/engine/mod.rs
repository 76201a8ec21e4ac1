//! What the tests on real sockets share: an engine in this process, and clients that owe nothing to its code.

// Each test binary uses a part of this.
#![allow(dead_code)]

pub mod client;
pub mod objects;

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use dormouse::object::{NamespaceCounters, ShardCounters};
use dormouse::server::Running;
use dormouse::server::config::{Config, Cores};
use dormouse::shard::ShardStats;

/// For what must happen; a machine that is busy may take its time.
pub const PATIENCE: Duration = Duration::from_secs(30);

/// An engine in this process, stopped at the end of the test.
pub struct Served {
    running: Option<Running>,
    pub address: SocketAddr,
}

/// Whether every socket is to stay on the shard that accepted it, also where its object lives on another: in the
/// binary that runs the tests of the others anew.
pub const FAR: bool = {
    let (path, far) = (module_path!().as_bytes(), b"engine_far");
    path.len() > far.len() && matches!(path.split_at(far.len()).0, b"engine_far")
};

/// The defaults, but for small rings and for any port.
pub fn config(shards: usize) -> Config {
    let mut config =
        Config { listen: "127.0.0.1:0".parse().unwrap(), cores: Cores::Count(shards), ..Config::default() };
    config.limits.connections = 4_096;
    config.limits.connections_per_ring = 4_096;
    config.limits.connections_per_object = 3_072;
    config.buffers.completion_entries = 4_096;
    // On a machine with much else to do a test may keep a client silent for longer; those about pings ask for them.
    config.timeouts.ping = None;
    if FAR {
        config.crowd.sockets = 0;
    }
    config
}

impl Served {
    pub fn start(shards: usize, change: impl FnOnce(&mut Config)) -> Served {
        // With one shard there is no far.
        let mut config = config(if FAR { 2 } else { shards });
        change(&mut config);
        let running = objects::engine().start(&config).unwrap();
        Served { address: running.address(), running: Some(running) }
    }

    pub fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    /// A counter of the worlds, over all shards.
    pub fn count(&self, counter: impl Fn(&ShardCounters) -> u64) -> u64 {
        self.running().counters().iter().map(|counters| counter(counters)).sum()
    }

    /// A counter of the drivers, over all shards.
    pub fn driven(&self, counter: impl Fn(&ShardStats) -> u64) -> u64 {
        self.running().stats().iter().map(|stats| counter(stats)).sum()
    }

    /// A counter of one namespace, over all shards.
    pub fn of(&self, binding: &str, counter: impl Fn(&NamespaceCounters) -> u64) -> u64 {
        let index = self.running().bindings().position(|name| name == binding).unwrap();
        self.count(|counters| counter(&counters.namespaces[index]))
    }

    /// Stops the engine and reports how long that took.
    pub fn stop(mut self, drain: Duration) -> Duration {
        let begun = Instant::now();
        self.running.take().unwrap().stop(drain).unwrap();
        begun.elapsed()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        if let Some(running) = self.running.take() {
            let _ = running.stop(Duration::ZERO);
        }
    }
}

/// Waits until it is so.
#[track_caller]
pub fn until(what: &str, mut is_so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !is_so() {
        assert!(begun.elapsed() < PATIENCE, "not within {PATIENCE:?}: {what}");
        thread::sleep(Duration::from_millis(2));
    }
}

/// Waits until a number is this one.
#[track_caller]
pub fn until_equal(what: &str, expected: u64, mut number: impl FnMut() -> u64) {
    let begun = Instant::now();
    loop {
        let found = number();
        if found == expected {
            return;
        }
        assert!(begun.elapsed() < PATIENCE, "{what}: {found}, not {expected}, after {PATIENCE:?}");
        thread::sleep(Duration::from_millis(2));
    }
}
