//! What a socket is sent: all of it, as much as fits, or nothing because the peer is gone.

use std::io::{Read, Write};
use std::thread;
use std::time::Instant;

use super::bench::{Bench, HANG, reset, settings};
use super::world::Event;
use crate::object::driver::{Effect, Outgoing, Place, Receive, Shortfall, Transmit};
use crate::shard::settings::ShardSettings;
use crate::shard::transmit::Sender;

#[test]
fn a_full_socket_says_how_much_it_took_and_when_it_takes_more() {
    let mut bench = Bench::new(settings());
    let (mut stream, place) = bench.connect();
    let bytes: Vec<u8> = (0..8u32 << 20).map(|index| (index % 251) as u8).collect();
    // Two parts, so that it is a gather list, and one more for whom nothing is left.
    bench.world().send(place, &bytes[..1_000]);
    bench.world().send(place, &bytes[1_000..]);
    bench.turn();
    let taken = match bench.world().shortfalls.borrow()[..] {
        [(at, Shortfall::Full(taken))] if at == place => taken,
        ref other => panic!("{other:?}"),
    };
    assert!(taken > 1_000 && taken < bytes.len());
    let expected = bytes.clone();
    let reader = thread::spawn(move || {
        let mut read = vec![0; expected.len()];
        stream.read_exact(&mut read).unwrap();
        assert!(read == expected);
        stream
    });
    bench.until(|_| reader.is_finished());
    assert!(bench.world().count(|event| *event == Event::Writable(place)) > 0);
    reader.join().unwrap();
}

#[test]
fn a_send_to_a_full_socket_takes_nothing_and_does_not_wait() {
    let mut bench = Bench::new(settings());
    let (_stream, place) = bench.connect();
    let began = Instant::now();
    let bytes = vec![1; 16 << 20];
    // The kernel moves bytes to the peer's buffer between our attempts, until that is full as well.
    while send_alone(&mut bench, place, &bytes) != [(0, Shortfall::Full(0))] {
        assert!(began.elapsed() < HANG);
    }
}

#[test]
fn a_send_to_a_peer_that_is_gone_is_lost() {
    let mut bench = Bench::new(settings());
    let (stream, place) = bench.connect();
    let (_other, other) = bench.connect();
    reset(stream);
    bench.settle();
    bench.world().send(place, b"anyone?");
    bench.world().send(other, b"you?");
    bench.turn();
    assert_eq!(*bench.world().shortfalls.borrow(), [(place, Shortfall::Lost)]);
}

/// Sends one part to one socket, past the world.
fn send_alone(bench: &mut Bench, place: Place, bytes: &[u8]) -> Vec<(usize, Shortfall)> {
    let driver = &mut bench.driver;
    let mut sender = Sender {
        rings: &mut driver.rings,
        places: driver.places,
        lists: &mut driver.lists,
        stats: &driver.stats,
        send_batch: driver.send_batch,
        broken: Ok(()),
    };
    let mut shortfalls = Vec::new();
    sender.transmit(&[Outgoing { place, parts: &[bytes] }], &mut shortfalls);
    sender.broken.unwrap();
    shortfalls
}

#[test]
fn failures_of_a_batch_are_found_in_an_overflown_queue() {
    let small = ShardSettings { submission_entries: 2, completion_entries: 2, ..settings() };
    let mut bench = Bench::new(small);
    let peers: Vec<_> = (0..50).map(|_| bench.receiving(Receive::Multishot)).collect();
    let places: Vec<_> = peers.iter().map(|(_, place)| *place).collect();
    bench.settle();
    for (index, (stream, _)) in peers.into_iter().enumerate() {
        if index % 2 == 0 { reset(stream) } else { std::mem::forget(stream) }
    }
    for place in &places {
        bench.world().send(*place, b"who is left?");
    }
    bench.turn();
    let lost: Vec<_> = places.iter().step_by(2).map(|place| (*place, Shortfall::Lost)).collect();
    let mut found = bench.world().shortfalls.borrow().clone();
    found.sort_by_key(|(place, _)| *place);
    assert_eq!(found, lost);
}

#[test]
fn fin_is_sent_and_what_the_peer_says_then_is_still_received() {
    let mut bench = Bench::new(settings());
    let (mut stream, place) = bench.receiving(Receive::Multishot);
    bench.world().send(place, b"bye");
    bench.turn();
    bench.world().ask(Effect::ShutdownWrite(place));
    bench.settle();
    let mut read = Vec::new();
    stream.read_to_end(&mut read).unwrap();
    assert_eq!(read, b"bye");
    stream.write_all(b"wait!").unwrap();
    bench.until(|world| world.received(place) == b"wait!");
}

#[test]
fn a_batch_over_several_rings_reaches_everyone_in_order() {
    let mut bench =
        Bench::new(ShardSettings { connections_per_ring: 50, rings: 3, send_batch: 64, ..settings() });
    let mut peers: Vec<_> = (0..150).map(|_| bench.connect()).collect();
    for (_, place) in &peers {
        bench.world().send(*place, b"first ");
        bench.world().send(*place, place.0.to_be_bytes());
    }
    bench.turn();
    for (stream, place) in &mut peers {
        let mut read = [0; 10];
        stream.read_exact(&mut read).unwrap();
        assert_eq!(read[..6], *b"first ");
        assert_eq!(read[6..], place.0.to_be_bytes());
    }
    // Each World batch of at most 128 is cut at ring borders and at `send_batch`.
    assert_eq!(bench.driver.stats.sends.get(), 150);
    assert!(bench.driver.stats.send_batches.get() <= 5);
}
