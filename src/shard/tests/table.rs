//! The file table: slots are used again, a full one keeps connections waiting, and the end of a shard empties it.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::Instant;

use super::bench::{Bench, HANG, settings};
use super::world::Event;
use crate::object::driver::{Effect, Place, Receive};
use crate::shard::settings::ShardSettings;

#[test]
fn slots_are_used_again_and_again() {
    let mut bench = Bench::new(ShardSettings { connections_per_ring: 2, ..settings() });
    for round in 1..=100 {
        let (mut stream, place) = bench.receiving(Receive::Multishot);
        stream.write_all(b"hello").unwrap();
        // Close with a receive armed, a poll in flight, FIN under way, and bytes unread.
        if round % 2 == 0 {
            bench.world().send(place, vec![1; 4 << 20]);
            bench.turn();
            bench.world().ask(Effect::ShutdownWrite(place));
        }
        bench.world().ask(Effect::Close(place));
        bench.until(|world| world.count(|event| matches!(event, Event::Closed(_))) == round);
    }
    assert_eq!(bench.driver.ring_port(0).used(), 0);
}

#[test]
fn a_full_table_leaves_connections_waiting_until_there_is_room() {
    let mut bench = Bench::new(ShardSettings { connections_per_ring: 2, rings: 2, ..settings() });
    let streams: Vec<_> = (0..10).map(|_| TcpStream::connect(bench.address).unwrap()).collect();
    bench.until(|world| world.accepted().len() == 4);
    bench.settle();
    assert_eq!(bench.world().accepted(), [0, 1, 2, 3].map(Place));
    assert_eq!(bench.driver.stats.accept_errors.get(), 0);
    for done in 5..=10 {
        let place = bench.world().accepted()[done - 5];
        bench.world().ask(Effect::Close(place));
        bench.until(|world| world.accepted().len() == done);
    }
    assert_eq!(bench.driver.stats.accept_errors.get(), 0);
    drop(streams);
}

#[test]
fn an_accept_that_finds_no_slot_backs_off_and_recovers() {
    let mut bench = Bench::new(ShardSettings { connections_per_ring: 1, ..settings() });
    bench.turn();
    // A hand-off that the listener could not foresee takes the last slot.
    let (_first, place) = bench.connect();
    bench.driver.ring_port(0).give_back();
    bench.turn();
    let _refused = TcpStream::connect(bench.address).unwrap();
    let began = Instant::now();
    while bench.driver.stats.accept_errors.get() == 0 {
        assert!(began.elapsed() < HANG);
        bench.turn();
    }
    let failures = bench.driver.stats.accept_errors.get();
    assert!(bench.driver.listener.deadline_ms(0).is_some());
    bench.turn();
    assert_eq!(bench.driver.stats.accept_errors.get(), failures);
    bench.driver.ring_port(0).take();
    bench.world().ask(Effect::Close(place));
    bench.until(|world| world.count(|event| matches!(event, Event::Closed(_))) == 1);
    let before = bench.world().accepted().len();
    let _welcome = TcpStream::connect(bench.address).unwrap();
    bench.until(|world| world.accepted().len() > before);
}

#[test]
fn the_end_of_a_shard_ends_its_sockets_even_while_others_hold_its_rings() {
    let mut bench = Bench::new(settings());
    let (mut stream, place) = bench.receiving(Receive::Multishot);
    let (mut polled, polled_place) = bench.connect();
    bench.world().send(polled_place, vec![1; 16 << 20]);
    bench.world().ask(Effect::AwaitWritable(polled_place));
    bench.world().ask(Effect::ShutdownWrite(place));
    bench.turn();
    let ports = bench.driver.shared.clone();
    drop(bench.driver);
    assert!(TcpStream::connect(bench.address).is_err());
    for stream in [&mut stream, &mut polled] {
        stream.set_read_timeout(Some(HANG)).unwrap();
        let end = stream.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
        assert!(matches!(end, Ok(_) | Err(ErrorKind::ConnectionReset)), "{end:?}");
    }
    drop(ports);
}
