//! Two shards: messages, hand-offs, and what happens when the other has no room or is gone.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::bench::{Bench, HANG, OTHER, Other, settings};
use super::world::Event;
use crate::object::driver::{Effect, Place, Receive, ShardId};
use crate::object::mesh::MeshMessage;
use crate::shard::inbox::INBOX_MESSAGES_MAX;
use crate::shard::mesh::OUTGOING_MESSAGES_MAX;
use crate::shard::settings::ShardSettings;

fn announcement(token: u32) -> MeshMessage {
    MeshMessage::HandOffAborted { from: ShardId(0), token }
}

/// Asks for a hand-off, with the message that has to arrive first.
fn hand_off(bench: &Bench, place: Place, token: u32) {
    bench.world().tell(OTHER, announcement(token));
    bench.world().ask(Effect::HandOff { place, target: OTHER, token });
}

/// Whether a socket that stayed is in order.
#[track_caller]
fn assert_usable(bench: &mut Bench, stream: &mut TcpStream, place: Place) {
    bench.world().ask(Effect::Receive(place, Receive::Multishot));
    stream.write_all(b"still here").unwrap();
    bench.until(|world| world.received(place) == b"still here");
}

#[test]
fn a_hand_off_carries_the_socket_with_what_it_had_not_read() {
    let (mut bench, other) = Other::beside(settings(), settings());
    for round in 0..100u32 {
        let (mut stream, place) = bench.connect();
        stream.write_all(b"hello").unwrap();
        hand_off(&bench, place, round);
        bench.hear(Event::HandedOff(round));
        assert_eq!(bench.driver.ring_port(0).used(), 0);
        other.tell(move |bench| {
            bench.until(|world| world.count(|event| matches!(event, Event::HandedOver(..))) > 0);
            let Some(Event::HandedOver(ShardId(0), token, place)) = bench.world().events.take().pop() else {
                panic!("heard something else")
            };
            assert_eq!(token, round);
            bench.world().ask(Effect::Receive(place, Receive::Multishot));
            bench.until(|world| world.received(place) == b"hello");
            bench.world().send(place, b"welcome");
            bench.turn();
            bench.world().ask(Effect::Close(place));
            bench.hear(Event::Closed(place));
            bench.world().events.take();
            assert_eq!(bench.driver.ring_port(0).used(), 0);
        });
        let mut heard = Vec::new();
        stream.read_to_end(&mut heard).unwrap();
        assert_eq!(heard, b"welcome");
    }
}

#[test]
fn a_hand_off_to_oneself_fails_at_once_and_the_socket_stays() {
    let mut bench = Bench::new(settings());
    let (mut stream, place) = bench.connect();
    bench.world().ask(Effect::HandOff { place, target: ShardId(0), token: 9 });
    bench.hear(Event::HandOffFailed(9, place));
    assert_usable(&mut bench, &mut stream, place);
}

#[test]
fn a_full_table_is_known_before_and_noticed_otherwise() {
    let one = ShardSettings { connections_per_ring: 1, ..settings() };
    let (mut bench, other) = Other::beside(settings(), one);
    let first = other.tell(|bench| bench.connect());
    let (mut stream, place) = bench.connect();
    hand_off(&bench, place, 1);
    bench.hear(Event::HandOffFailed(1, place));
    // Lie about the table: the kernel finds it full.
    let shared = bench.driver.shared.clone();
    let port = &shared.ports[1].rings()[0];
    port.give_back();
    hand_off(&bench, place, 2);
    bench.turn();
    // The other's side of a MSG_RING runs on its own thread.
    other.tell(|bench| bench.settle());
    bench.hear(Event::HandOffFailed(2, place));
    assert_eq!(port.used(), 0);
    port.take();
    assert_usable(&mut bench, &mut stream, place);
    assert_eq!(bench.driver.stats.hand_offs_failed.get(), 2);
    drop(first);
}

#[test]
fn a_hand_off_to_a_shard_that_is_gone_fails_whether_or_not_we_know() {
    let (mut bench, other) = Other::beside(settings(), settings());
    let (mut stream, place) = bench.connect();
    other.vanish();
    hand_off(&bench, place, 1);
    bench.hear(Event::HandOffFailed(1, place));
    bench.driver.shared.ports[1].end();
    hand_off(&bench, place, 2);
    bench.hear(Event::HandOffFailed(2, place));
    assert_eq!(bench.driver.stats.mesh_dropped.get(), 1);
    assert_usable(&mut bench, &mut stream, place);
}

#[test]
fn a_hand_off_waits_behind_messages_that_found_no_room() {
    let (mut bench, other) = Other::beside(settings(), settings());
    let (_stream, place) = bench.connect();
    let count = INBOX_MESSAGES_MAX + 10;
    (0..count).for_each(|token| bench.world().tell(OTHER, announcement(token as u32)));
    bench.world().ask(Effect::HandOff { place, target: OTHER, token: count as u32 - 1 });
    bench.settle();
    assert_eq!(bench.count(&Event::HandedOff(count as u32 - 1)), 0);
    assert!(bench.driver.stats.mesh_full.get() > 0);
    // It sleeps until the other has made room.
    bench.doze();
    other.tell(|bench| bench.turn());
    assert!(bench.driver.sleep(Some(HANG)).unwrap());
    bench.driver.wake();
    bench.hear(Event::HandedOff(count as u32 - 1));
    other.tell(move |bench| {
        bench.until(|world| world.count(|event| matches!(event, Event::HandedOver(..))) > 0);
        assert_eq!(bench.world().messages.get(), count);
    });
}

#[test]
fn a_shard_far_ahead_of_another_takes_nothing_in_until_the_other_has_caught_up() {
    let (mut bench, other) = Other::beside(settings(), settings());
    let (mut stream, place) = bench.receiving(Receive::Multishot);
    let count = INBOX_MESSAGES_MAX + OUTGOING_MESSAGES_MAX + 1;
    (0..count).for_each(|token| bench.world().tell(OTHER, announcement(token as u32)));
    bench.settle();
    stream.write_all(b"more work").unwrap();
    bench.settle();
    assert_eq!(bench.world().received(place), b"");
    bench.doze();
    other.tell(|bench| bench.turn());
    assert!(bench.driver.sleep(Some(HANG)).unwrap());
    bench.driver.wake();
    bench.until(|world| world.received(place) == b"more work");
    // The last message found no room a second time.
    other.tell(|bench| bench.turn());
    bench.turn();
    other.tell(move |bench| bench.until(move |world| world.messages.get() == count));
}
