//! What a socket receives: once and many times, with pauses, with too few buffers, with a queue that overflows.

use std::io::{Read, Write};
use std::net::Shutdown;

use super::bench::{Bench, reset, settings};
use super::world::Event;
use crate::object::driver::{Effect, Receive};
use crate::shard::settings::ShardSettings;

#[test]
fn a_multishot_receive_brings_everything_until_fin() {
    let mut bench = Bench::new(settings());
    let (mut stream, place) = bench.receiving(Receive::Multishot);
    for round in 1..=5 {
        stream.write_all(b"hello").unwrap();
        bench.until(|world| world.received(place).len() == 5 * round);
    }
    stream.shutdown(Shutdown::Write).unwrap();
    bench.until(|world| world.count(|event| *event == Event::Lost(place)) == 1);
    bench.world().ask(Effect::Close(place));
    bench.until(|world| world.count(|event| *event == Event::Closed(place)) == 1);
    assert_eq!(stream.read(&mut [0; 8]).unwrap(), 0);
    bench.settle();
    assert_eq!(bench.world().count(|event| *event == Event::Lost(place)), 1);
}

#[test]
fn a_once_receive_brings_one_buffer_and_leaves_nothing_in_flight() {
    let mut bench = Bench::new(settings());
    let (mut stream, place) = bench.receiving(Receive::Once);
    stream.write_all(&[7; 1_000]).unwrap();
    bench.until(|world| !world.received(place).is_empty());
    bench.settle();
    assert_eq!(bench.world().received(place).len(), 512);
    bench.world().ask(Effect::Receive(place, Receive::Once));
    bench.until(|world| world.received(place).len() == 1_000);
}

#[test]
fn a_once_wanted_of_an_armed_multishot_ends_it() {
    let mut bench = Bench::new(settings());
    let (mut stream, place) = bench.receiving(Receive::Multishot);
    bench.world().ask(Effect::Receive(place, Receive::Once));
    bench.settle();
    stream.write_all(b"one").unwrap();
    bench.until(|world| world.received(place) == b"one");
    stream.write_all(b"two").unwrap();
    bench.settle();
    assert_eq!(bench.world().received(place), b"one");
}

#[test]
fn a_pause_holds_bytes_back_and_a_receive_brings_them_in_order() {
    let mut bench = Bench::new(settings());
    let (mut stream, place) = bench.receiving(Receive::Multishot);
    for round in 0..20u8 {
        bench.world().ask(Effect::Pause(place));
        bench.settle();
        let before = bench.world().received(place).len();
        stream.write_all(&[round; 700]).unwrap();
        bench.settle();
        assert_eq!(bench.world().received(place).len(), before);
        bench.world().ask(Effect::Receive(place, Receive::Multishot));
        bench.until(|world| world.received(place).len() == before + 700);
    }
    let expected: Vec<u8> = (0..20u8).flat_map(|round| [round; 700]).collect();
    assert_eq!(bench.world().received(place), expected);
}

#[test]
fn pause_and_receive_in_one_turn_lose_nothing() {
    let mut bench = Bench::new(settings());
    let (mut stream, place) = bench.receiving(Receive::Multishot);
    let mut expected = Vec::new();
    for round in 0..100u8 {
        stream.write_all(&[round; 100]).unwrap();
        expected.extend([round; 100]);
        bench.world().ask(Effect::Pause(place));
        bench.world().ask(Effect::Receive(place, Receive::Multishot));
        bench.turn();
    }
    bench.until(|world| world.received(place).len() == expected.len());
    assert_eq!(bench.world().received(place), expected);
}

#[test]
fn a_reset_is_lost_once() {
    let mut bench = Bench::new(settings());
    let (stream, place) = bench.receiving(Receive::Multishot);
    reset(stream);
    bench.until(|world| world.count(|event| *event == Event::Lost(place)) == 1);
    bench.world().ask(Effect::Receive(place, Receive::Multishot));
    bench.settle();
    assert_eq!(bench.world().count(|event| *event == Event::Lost(place)), 1);
}

#[test]
fn a_crowd_larger_than_the_buffers_loses_nothing() {
    let mut bench = Bench::new(ShardSettings { receive_count: 4, ..settings() });
    let mut peers: Vec<_> = (0..60).map(|_| bench.receiving(Receive::Multishot)).collect();
    for round in 0..5u8 {
        for (stream, _) in &mut peers {
            stream.write_all(&[round; 3_000]).unwrap();
        }
        let length = 3_000 * (usize::from(round) + 1);
        bench.until(|world| peers.iter().all(|(_, place)| world.received(*place).len() == length));
    }
    let expected: Vec<u8> = (0..5u8).flat_map(|round| [round; 3_000]).collect();
    for (_, place) in &peers {
        assert_eq!(bench.world().received(*place), expected);
    }
    assert!(bench.driver.stats.receives_starved.get() > 0);
}

#[test]
fn an_overflown_completion_queue_loses_nothing() {
    let small = ShardSettings { submission_entries: 2, completion_entries: 2, ..settings() };
    let mut bench = Bench::new(small);
    let mut peers: Vec<_> = (0..60).map(|_| bench.receiving(Receive::Multishot)).collect();
    for round in 0..5u8 {
        for (stream, place) in &mut peers {
            stream.write_all(&[round; 3_000]).unwrap();
            bench.world().send(*place, [round; 10]);
        }
        let length = 3_000 * (usize::from(round) + 1);
        bench.until(|world| peers.iter().all(|(_, place)| world.received(*place).len() == length));
    }
    let expected: Vec<u8> = (0..5u8).flat_map(|round| [round; 3_000]).collect();
    for (stream, place) in &mut peers {
        assert_eq!(bench.world().received(*place), expected);
        stream.read_exact(&mut [0; 50]).unwrap();
    }
    assert!(bench.driver.stats.completion_overflows.get() > 0);
}
