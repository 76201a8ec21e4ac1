//! The end of a shard: who waits to be accepted is, and nobody comes after.

use std::io::Write;
use std::net::TcpStream;
use std::time::{Duration, Instant};

use super::bench::{Bench, HANG, settings};
use super::world::{Event, TestWorld};
use crate::object::driver::{Effect, Place};
use crate::shard::settings::ShardSettings;
use crate::shard::turn::Turn;

fn ask_to_drain(bench: &Bench) {
    let shared = &bench.driver.shared;
    shared.drain.ask(shared.clock.read().monotonic_ms + HANG.as_millis() as u64);
}

fn close_all(world: &TestWorld, from: usize) -> usize {
    let places = world.accepted();
    places[from..].iter().for_each(|place| world.ask(Effect::Close(*place)));
    places.len()
}

/// Turns, and closes whatever is accepted, until the shard has drained.
#[track_caller]
fn drain(bench: &mut Bench, mut closed: usize) -> usize {
    let began = Instant::now();
    loop {
        assert!(began.elapsed() < HANG, "it never drains");
        closed = close_all(bench.world(), closed);
        if bench.driver.turn().unwrap() == Turn::Last {
            return closed;
        }
    }
}

#[test]
fn who_waits_to_be_accepted_when_the_end_is_asked_for_is_accepted() {
    for is_armed in [false, true] {
        let mut bench = Bench::new(settings());
        if is_armed {
            bench.settle();
        }
        let mut streams: Vec<_> = (0..20).map(|_| TcpStream::connect(bench.address).unwrap()).collect();
        streams[7].write_all(b"hello").unwrap();
        ask_to_drain(&bench);
        bench.until(|world| world.accepted().len() == 20);
        let late = TcpStream::connect_timeout(&bench.address, Duration::from_millis(50));
        assert!(late.is_err(), "nobody else may begin");
        drain(&mut bench, 0);
        assert_eq!(bench.world().accepted().len(), 20);
        assert!(bench.driver.listener.socket().is_none());
        assert!(TcpStream::connect(bench.address).is_err());
    }
}

#[test]
fn who_waits_for_a_slot_is_accepted_when_one_is_free() {
    let mut bench = Bench::new(ShardSettings { connections_per_ring: 2, ..settings() });
    let streams: Vec<_> = (0..10).map(|_| TcpStream::connect(bench.address).unwrap()).collect();
    bench.until(|world| world.accepted().len() == 2);
    ask_to_drain(&bench);
    bench.settle();
    assert_eq!(bench.world().accepted(), [Place(0), Place(1)]);
    assert_eq!(drain(&mut bench, 0), 10);
    assert_eq!(bench.world().count(|event| matches!(event, Event::Closed(_))), 10);
    drop(streams);
}
