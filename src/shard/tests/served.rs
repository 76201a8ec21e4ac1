//! Whole shards, with threads and executors, from outside.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::world::{Depot, TestWorld};
use crate::shard::error::StartError;
use crate::shard::handle::Shards;
use crate::shard::settings::ShardSettings;
use crate::shard::start::start_driven;
use crate::shard::stats::ShardStats;

fn settings() -> ShardSettings {
    ShardSettings {
        listen: "127.0.0.1:0".parse().unwrap(),
        core: None,
        receive_bytes: 512,
        receive_count: 256,
        send_batch: 128,
        submission_entries: 256,
        completion_entries: 1_024,
        connections_per_ring: 512,
        rings: 1,
        pacing_wait: Duration::ZERO,
        peer_addresses: false,
    }
}

fn start(settings: Vec<ShardSettings>) -> Shards {
    start_with(settings, Arc::default())
}

/// For those who watch shards from outside. A client that says `!panic` ends the shard that hears it.
pub(crate) fn two_shards_that_echo() -> Shards {
    start(vec![settings(), settings()])
}

fn start_with(settings: Vec<ShardSettings>, depot: Arc<Depot>) -> Shards {
    start_driven(settings, move |shard| TestWorld::echo(shard, depot.clone())).unwrap()
}

fn total(shards: &Shards, counter: impl Fn(&ShardStats) -> u64) -> u64 {
    shards.stats().iter().map(|stats| counter(stats)).sum()
}

fn connect(shards: &Shards) -> TcpStream {
    let stream = TcpStream::connect(shards.local_address()).unwrap();
    stream.set_nodelay(true).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    stream
}

#[track_caller]
fn exchange(stream: &mut TcpStream, say: &[u8], expect: &[u8]) {
    stream.write_all(say).unwrap();
    let mut heard = vec![0; expect.len()];
    stream.read_exact(&mut heard).unwrap();
    assert_eq!(String::from_utf8_lossy(&heard), String::from_utf8_lossy(expect));
}

#[track_caller]
fn assert_closed(stream: &mut TcpStream) {
    match stream.read(&mut [0; 8]).map_err(|error| error.kind()) {
        Ok(0) | Err(ErrorKind::ConnectionReset) => {}
        other => panic!("not closed: {other:?}"),
    }
}

fn end(shards: Shards) {
    shards.shutdown(Duration::from_secs(20));
    shards.join().unwrap();
}

#[test]
fn two_shards_echo_and_hand_over() {
    let shards = start(vec![settings(), settings()]);
    let mut streams: Vec<_> = (0..200).map(|_| connect(&shards)).collect();
    for (index, stream) in streams.iter_mut().enumerate() {
        let target = index % 2;
        // It stays with a shard that is asked to hand it to itself.
        stream.write_all(format!(">{target}hello {index}").as_bytes()).unwrap();
        let mut heard = [0; 64];
        let length = stream.read(&mut heard).unwrap();
        let heard = String::from_utf8_lossy(&heard[..length]).into_owned();
        assert_eq!(heard.trim_start_matches("stayed:"), format!("hello {index}"));
    }
    for (index, stream) in streams.iter_mut().enumerate() {
        exchange(stream, format!("again {index}").as_bytes(), format!("again {index}").as_bytes());
    }
    assert_eq!(total(&shards, |stats| stats.accepts.get()), 200);
    let sent = total(&shards, |stats| stats.hand_offs_sent.get());
    assert!(sent > 0);
    assert_eq!(sent, total(&shards, |stats| stats.hand_offs_received.get()));
    end(shards);
    for mut stream in streams {
        assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    }
}

#[test]
fn a_full_target_lets_sockets_stay_where_they_are() {
    let small = ShardSettings { connections_per_ring: 4, rings: 2, ..settings() };
    let shards = start(vec![settings(), small]);
    let mut streams: Vec<_> = (0..40).map(|_| connect(&shards)).collect();
    let mut stayed = 0;
    for stream in &mut streams {
        stream.write_all(b">1hi").unwrap();
        let mut heard = [0; 64];
        // Those that wait for a slot of the small shard are not answered.
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        let Ok(length) = stream.read(&mut heard) else { continue };
        stayed += usize::from(heard[..length] == *b"stayed:hi");
    }
    assert!(stayed > 0);
    assert!(total(&shards, |stats| stats.hand_offs_failed.get()) >= stayed as u64);
    end(shards);
}

#[test]
fn a_panic_is_reported_and_ends_only_its_shard() {
    let shards = start(vec![settings(), settings()]);
    assert!(shards.wait(Duration::ZERO).is_none());
    let mut stream = connect(&shards);
    stream.write_all(b"!panic").unwrap();
    let end = shards.wait(Duration::from_secs(20)).unwrap();
    assert!(end.result.unwrap_err().to_string().ends_with("panicked: as told"));
    // Its sockets are closed; its listener is gone, so that every new connection reaches the other shard.
    assert_closed(&mut stream);
    for _ in 0..20 {
        exchange(&mut connect(&shards), b"alive", b"alive");
    }
    shards.shutdown(Duration::from_secs(20));
    shards.join().unwrap();
}

#[test]
fn a_start_that_fails_reports_one_line_and_leaves_nobody_listening() {
    let depot = Arc::<Depot>::default();
    let create = move |shard| TestWorld::echo(shard, depot.clone());
    let beyond = ShardSettings { connections_per_ring: 1 << 24, ..settings() };
    let error = start_driven(vec![settings(), beyond], create.clone()).err().unwrap();
    assert!(matches!(error, StartError::Ring { .. }), "{error}");
    assert!(error.to_string().contains("ulimit -n"), "{error}");

    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at_taken = ShardSettings { listen: taken.local_addr().unwrap(), ..settings() };
    let error = start_driven(vec![at_taken], create.clone()).err().unwrap();
    assert!(matches!(error, StartError::Listen { .. }), "{error}");

    let nowhere = ShardSettings { core: Some(100_000), ..settings() };
    let error = start_driven(vec![nowhere], create).err().unwrap();
    assert!(matches!(error, StartError::Executor { .. }), "{error}");

    let error = start_driven(vec![settings()], |_| -> TestWorld { panic!("no world") }).err().unwrap();
    assert!(matches!(error, StartError::Panicked { .. }), "{error}");
}

#[test]
fn a_drain_that_takes_too_long_ends_anyway() {
    let shards = start(vec![settings(), settings()]);
    let mut stream = connect(&shards);
    exchange(&mut stream, b"hello", b"hello");
    shards.shutdown(Duration::ZERO);
    shards.join().unwrap();
    assert_closed(&mut stream);
}

#[test]
fn an_idle_shard_does_not_turn() {
    let shards = start(vec![settings(), settings()]);
    let mut streams: Vec<_> = (0..100).map(|_| connect(&shards)).collect();
    for stream in &mut streams {
        exchange(stream, b"hello", b"hello");
    }
    thread::sleep(Duration::from_millis(100));
    let before = total(&shards, |stats| stats.turns.get());
    thread::sleep(Duration::from_millis(500));
    assert_eq!(total(&shards, |stats| stats.turns.get()), before);
    exchange(&mut streams[0], b"awake", b"awake");
    end(shards);
}

#[test]
fn a_world_wakes_its_shard_from_another_thread() {
    let depot = Arc::<Depot>::default();
    let shards = start_with(vec![settings(), settings()], depot.clone());
    let wakers = depot.wakers.lock().unwrap().clone();
    for (shard, waker) in &wakers {
        let turns = || shards.stats()[usize::from(shard.0)].turns.get();
        // So that it sleeps, most likely; if it does not yet, it turns all the same.
        thread::sleep(Duration::from_millis(50));
        let (before, began) = (turns(), Instant::now());
        waker();
        while turns() == before {
            assert!(began.elapsed() < Duration::from_secs(20));
            thread::yield_now();
        }
    }
    assert_eq!(wakers.len(), 2);
    end(shards);
}

#[test]
fn two_thousand_sockets_echo() {
    crate::shard::raise_descriptor_limit().unwrap();
    let roomy = ShardSettings { connections_per_ring: 1_024, rings: 2, ..settings() };
    let shards = start(vec![roomy.clone(), roomy]);
    let mut streams: Vec<_> = (0..2_000).map(|_| connect(&shards)).collect();
    for round in 0..5 {
        for (index, stream) in streams.iter_mut().enumerate() {
            stream.write_all(format!("{round}: {index:6}").as_bytes()).unwrap();
        }
        for (index, stream) in streams.iter_mut().enumerate() {
            let expected = format!("{round}: {index:6}");
            let mut heard = vec![0; expected.len()];
            stream.read_exact(&mut heard).unwrap();
            assert_eq!(String::from_utf8_lossy(&heard), expected);
        }
    }
    end(shards);
}

#[test]
fn a_paced_shard_answers_everyone() {
    let paced = ShardSettings { pacing_wait: Duration::from_micros(500), ..settings() };
    let shards = start(vec![paced]);
    let mut streams: Vec<_> = (0..50).map(|_| connect(&shards)).collect();
    for _ in 0..20 {
        for stream in &mut streams {
            exchange(stream, b"hello", b"hello");
        }
    }
    end(shards);
}
