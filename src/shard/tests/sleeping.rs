//! When a shard may sleep, and what wakes it.

use std::io::Write;
use std::thread;
use std::time::Duration;

use super::bench::{Bench, HANG, settings};
use crate::object::driver::Receive;
use crate::shard::data_ring::DataRing;
use crate::shard::rest::QUIET_MS;
use crate::shard::settings::ShardSettings;

#[test]
fn the_ring_wakes_the_shard_for_a_deadline() {
    let mut bench = Bench::new(settings());
    bench.turn();
    let deadline_ms = bench.driver.now.monotonic_ms + 30;
    bench.world().deadline_ms.set(Some(deadline_ms));
    bench.doze();
    assert!(bench.driver.sleep(Some(HANG)).unwrap());
    bench.driver.wake();
    bench.turn();
    assert!(bench.driver.now.monotonic_ms >= deadline_ms);
    assert_eq!(bench.world().deadline_ms.get(), None);
}

#[test]
fn what_arrives_before_the_sleep_prevents_it_and_what_arrives_after_ends_it() {
    let mut bench = Bench::new(settings());
    let (mut stream, place) = bench.receiving(Receive::Multishot);
    bench.settle();
    stream.write_all(b"before").unwrap();
    assert!(!bench.driver.fall_asleep().unwrap());
    bench.until(|world| world.received(place) == b"before");
    bench.settle();
    assert!(bench.driver.fall_asleep().unwrap());
    assert!(!bench.driver.sleep(Some(Duration::ZERO)).unwrap());
    stream.write_all(b"after").unwrap();
    assert!(bench.driver.sleep(Some(HANG)).unwrap());
    bench.driver.wake();
    bench.until(|world| world.received(place) == b"beforeafter");
}

#[test]
fn a_waker_of_another_thread_wakes_the_shard_once_it_sleeps() {
    let mut bench = Bench::new(settings());
    bench.doze();
    let bell = bench.driver.port().bell.clone();
    let ringing = thread::spawn(move || (0..100).for_each(|_| bell.ring()));
    assert!(bench.driver.sleep(Some(HANG)).unwrap());
    ringing.join().unwrap();
    bench.driver.wake();
    bench.turn();
    bench.doze();
    assert!(!bench.driver.sleep(Some(Duration::ZERO)).unwrap());
}

#[test]
fn a_shard_that_hears_nothing_gives_receive_buffers_back_and_loses_nothing() {
    let mut bench = Bench::new(settings());
    let (mut stream, place) = bench.receiving(Receive::Multishot);
    for round in 1..=600 {
        stream.write_all(b"hello").unwrap();
        bench.until(|world| world.received(place).len() == 5 * round);
    }
    bench.doze();
    assert_eq!(bench.driver.rings[0].buffers.bytes(0, 5), b"hello", "so soon nothing is given back");
    // Nobody speaks, and the shard wakes for it by itself.
    assert!(bench.driver.sleep(Some(HANG)).unwrap());
    bench.driver.wake();
    thread::sleep(Duration::from_millis(QUIET_MS));
    bench.turn();
    bench.doze();
    assert_eq!(bench.driver.rings[0].buffers.bytes(0, 5), [0; 5]);
    stream.write_all(b"again").unwrap();
    assert!(bench.driver.sleep(Some(HANG)).unwrap());
    bench.driver.wake();
    bench.until(|world| world.received(place).ends_with(b"helloagain"));
}

#[test]
fn what_arrives_while_a_shard_gives_back_is_kept() {
    let mut bench = Bench::new(settings());
    let (mut stream, place) = bench.receiving(Receive::Multishot);
    for round in 1..=100 {
        bench.doze();
        stream.write_all(b"hello").unwrap();
        if round % 2 == 0 {
            // Not only on the way into a buffer, but in one.
            assert!(bench.driver.sleep(Some(HANG)).unwrap());
        }
        bench.driver.rings.iter_mut().for_each(DataRing::rest);
        assert!(bench.driver.sleep(Some(HANG)).unwrap());
        bench.driver.wake();
        bench.until(|world| world.received(place) == b"hello".repeat(round));
    }
}

/// The proof of the promise in `bell`: whatever is put before a ring is seen before or wakes.
#[test]
fn no_wake_up_is_lost() {
    let mut bench = Bench::new(settings());
    let (mut stream, place) = bench.receiving(Receive::Multishot);
    const ROUNDS: usize = 20_000;
    let writing = thread::spawn(move || {
        for round in 0..ROUNDS {
            stream.write_all(b"x").unwrap();
            if round % 64 == 0 {
                // So that the driver is caught in every stage of falling asleep.
                thread::yield_now();
            }
        }
        stream
    });
    loop {
        bench.turn();
        if bench.driver.stats.receive_bytes.get() == ROUNDS as u64 {
            break;
        }
        if bench.driver.fall_asleep().unwrap() {
            assert!(bench.driver.sleep(Some(HANG)).unwrap(), "sleeps with work to do");
            bench.driver.wake();
        }
    }
    assert_eq!(bench.world().received(place).len(), ROUNDS);
    writing.join().unwrap();
}

/// The kernel ends a poll of an eventfd that a ring has signalled: it must be armed again before each sleep.
#[test]
fn a_ring_that_is_not_the_first_wakes_the_shard_again_and_again() {
    let settings = ShardSettings { connections_per_ring: 4, rings: 2, ..settings() };
    let mut bench = Bench::new(settings);
    let mut peers: Vec<_> = (0..8).map(|_| bench.receiving(Receive::Multishot)).collect();
    let (stream, place) = peers.last_mut().unwrap();
    assert_eq!(bench.driver.places.split(*place).0, 1, "the first ring is full");
    for round in 1..=50 {
        bench.doze();
        stream.write_all(b"x").unwrap();
        assert!(bench.driver.sleep(Some(HANG)).unwrap(), "round {round}");
        bench.driver.wake();
        bench.until(|world| world.received(*place).len() == round);
    }
}
