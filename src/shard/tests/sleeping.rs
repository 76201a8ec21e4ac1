//! When a shard may sleep, and what wakes it.

use std::io::Write;
use std::thread;
use std::time::Duration;

use super::bench::{Bench, HANG, settings};
use crate::object::driver::Receive;

#[test]
fn the_ring_wakes_the_shard_for_a_deadline() {
    let mut bench = Bench::new(settings());
    bench.turn();
    let deadline_ms = bench.driver.now.monotonic_ms + 30;
    bench.world().deadline_ms.set(Some(deadline_ms));
    bench.doze();
    assert!(bench.driver.port().bell.nap(HANG).unwrap());
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
    assert!(!bench.driver.port().bell.nap(Duration::ZERO).unwrap());
    stream.write_all(b"after").unwrap();
    assert!(bench.driver.port().bell.nap(HANG).unwrap());
    bench.driver.wake();
    bench.until(|world| world.received(place) == b"beforeafter");
}

#[test]
fn a_waker_of_another_thread_wakes_the_shard_once_it_sleeps() {
    let mut bench = Bench::new(settings());
    bench.doze();
    let bell = bench.driver.port().bell.clone();
    let ringing = thread::spawn(move || (0..100).for_each(|_| bell.ring()));
    assert!(bench.driver.port().bell.nap(HANG).unwrap());
    ringing.join().unwrap();
    bench.driver.wake();
    bench.turn();
    bench.doze();
    assert!(!bench.driver.port().bell.nap(Duration::ZERO).unwrap());
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
            assert!(bench.driver.port().bell.nap(HANG).unwrap(), "sleeps with work to do");
            bench.driver.wake();
        }
    }
    assert_eq!(bench.world().received(place).len(), ROUNDS);
    writing.join().unwrap();
}
