//! Hibernation on real sockets (SEMANTICS 2): instances go, connections stay, a message wakes; and what sleeps costs
//! nothing.

mod engine;

use std::thread;
use std::time::{Duration, Instant};

use engine::client::{Client, frame, text};
use engine::objects::times;
use engine::{Served, until_equal};

fn awake(served: &Served) -> u64 {
    served.of("OBEDIENT", |counters| counters.awake.get())
}

#[test]
fn with_idle_0_an_object_sleeps_after_each_event_and_its_sockets_stay() {
    for shards in [1, 2] {
        let served = Served::start(shards, |config| config.hibernation.idle = Some(Duration::ZERO));
        let name = format!("sleeps-at-once-{shards}");
        let mut clients: Vec<_> =
            (0..10).map(|_| Client::upgraded(served.address, &format!("/o/{name}"))).collect();
        until_equal("awake", 0, || awake(&served));
        let before = times(&name, "constructed");
        for round in 1..=5 {
            for client in &mut clients {
                assert_eq!(client.ask("count"), "1 of 10", "each message meets a new instance");
                until_equal("awake", 0, || awake(&served));
            }
            assert_eq!(times(&name, "constructed"), before + 10 * round);
        }
        // A burst is one construction: its order is kept, and all of it meets the same instance.
        let burst: Vec<u8> = (0..100).flat_map(|_| text("count")).collect();
        clients[3].send(burst);
        for number in 1..=100 {
            assert_eq!(clients[3].text(), format!("{number} of 10"));
        }
        until_equal("awake", 0, || awake(&served));
        let of = |counter: fn(&dormouse::object::NamespaceCounters) -> u64| served.of("OBEDIENT", counter);
        assert_eq!(of(|counters| counters.constructions.get()), of(|counters| counters.hibernations.get()));
        assert_eq!(of(|counters| counters.constructions.get()), times(&name, "dropped"));
        assert_eq!(of(|counters| counters.sockets.get()), 10);
    }
}

#[test]
fn an_object_sleeps_when_its_idle_time_is_over_and_not_before() {
    let served = Served::start(2, |config| config.hibernation.idle = Some(Duration::from_millis(200)));
    let mut client = Client::upgraded(served.address, "/o/sleeps-later");
    let begun = Instant::now();
    for number in 1..=20 {
        assert_eq!(client.ask("count"), format!("{number} of 1"));
        thread::sleep(Duration::from_millis(20));
        if begun.elapsed() > Duration::from_millis(20 * number + 150) {
            // This machine is too busy for what follows to be said of the engine.
            return;
        }
    }
    // Kept awake for twice its idle time, by messages.
    assert_eq!(times("sleeps-later", "constructed"), 1);
    until_equal("awake", 0, || awake(&served));
    assert_eq!(client.ask("count"), "1 of 1");
    assert_eq!(times("sleeps-later", "constructed"), 2);
}

#[test]
fn pings_do_not_keep_an_object_awake_nor_wake_it() {
    let served = Served::start(1, |config| config.hibernation.idle = Some(Duration::from_millis(100)));
    let mut client = Client::upgraded(served.address, "/o/pinged-asleep");
    for _ in 0..30 {
        client.send(frame(0x89, b"p"));
        assert_eq!(client.frame().payload, b"p");
        thread::sleep(Duration::from_millis(10));
    }
    until_equal("awake", 0, || awake(&served));
    client.send(frame(0x89, b"p"));
    assert_eq!(client.frame().payload, b"p");
    assert_eq!(times("pinged-asleep", "constructed"), 1);
}

#[test]
fn an_object_that_does_not_hibernate_stays() {
    let served = Served::start(1, |config| config.hibernation.idle = None);
    let mut client = Client::upgraded(served.address, "/o/never-sleeps");
    for number in 1..4 {
        assert_eq!(client.ask("count"), format!("{number} of 1"));
        thread::sleep(Duration::from_millis(100));
    }
    assert_eq!(served.of("OBEDIENT", |counters| counters.hibernations.get()), 0);
}

#[test]
fn a_thousand_sleeping_objects_hold_no_instance_and_each_wakes() {
    let served = Served::start(2, |config| config.hibernation.idle = Some(Duration::from_millis(50)));
    let mut clients: Vec<_> = (0..1_000)
        .map(|number| Client::upgraded(served.address, &format!("/o/one-of-1000-{number}")))
        .collect();
    until_equal("awake", 0, || awake(&served));
    for client in &mut clients {
        client.send(text("count"));
    }
    for client in &mut clients {
        assert_eq!(client.text(), "1 of 1");
    }
    until_equal("awake", 0, || awake(&served));
    let dropped: u64 = (0..1_000).map(|number| times(&format!("one-of-1000-{number}"), "dropped")).sum();
    assert_eq!(dropped, served.of("OBEDIENT", |counters| counters.constructions.get()));
    assert_eq!(served.of("OBEDIENT", |counters| counters.sockets.get()), 1_000);
}

#[test]
fn a_lost_connection_wakes_a_sleeping_object_once() {
    let served = Served::start(2, |config| config.hibernation.idle = Some(Duration::ZERO));
    let mut stays = Client::upgraded(served.address, "/o/loses-one");
    let goes = Client::upgraded(served.address, "/o/loses-one");
    until_equal("awake", 0, || awake(&served));
    drop(goes);
    until_equal("the loss", 1, || times("loses-one", "close 1006 false"));
    assert_eq!(stays.ask("count"), "1 of 1");
}

/// Its own file would be its own process; here the other tests only delay it.
#[test]
fn an_idle_engine_does_not_wake() {
    let served = Served::start(2, |config| config.hibernation.idle = Some(Duration::ZERO));
    let clients: Vec<_> = (0..1_000)
        .map(|number| Client::upgraded(served.address, &format!("/o/idle-{}", number % 50)))
        .collect();
    until_equal("awake", 0, || awake(&served));
    // What the last request left to be done, and what a shard gives back when it has heard nothing for a second.
    thread::sleep(Duration::from_secs(2));
    let counted = || (served.driven(|stats| stats.wakes.get()), served.driven(|stats| stats.turns.get()));
    let before = counted();
    thread::sleep(Duration::from_secs(2));
    assert_eq!(counted(), before, "wakes and turns in 2 s without anything to do");
    drop(clients);
}
