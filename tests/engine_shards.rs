//! Two shards: objects at home on either, reached through the listeners of both, and calling each other.

mod engine;

use std::thread;

use engine::client::{Client, get, text};
use engine::objects::{events, times};
use engine::{Served, until, until_equal};

#[test]
fn every_object_is_one_whichever_listener_a_client_came_through() {
    let served = Served::start(2, |_| {});
    // The kernel spreads 200 connections over the listeners, the hash 20 names over the shards.
    let mut clients: Vec<_> = (0..200)
        .map(|number| Client::upgraded(served.address, &format!("/o/found-by-all-{}", number % 20)))
        .collect();
    for stats in served.running().stats() {
        assert!(stats.accepts.get() > 0, "a listener without connections");
    }
    let sockets: Vec<_> =
        served.running().counters().iter().map(|counters| counters.namespaces[0].sockets.get()).collect();
    assert_eq!(sockets.iter().sum::<u64>(), 200);
    assert!(sockets.iter().all(|&sockets| sockets > 0), "{sockets:?}");
    for (object, client) in clients.iter_mut().enumerate().take(20) {
        client.send(text(&format!("all:{object}")));
    }
    for (number, client) in clients.iter_mut().enumerate() {
        assert_eq!(client.text(), (number % 20).to_string());
        assert_eq!(client.ask("count").split_once(" of ").unwrap().1, "10");
    }
    for object in 0..20 {
        assert_eq!(events(&format!("found-by-all-{object}")), ["constructed"]);
    }
}

#[test]
fn order_holds_for_each_socket_across_shards() {
    let served = Served::start(2, |_| {});
    let address = served.address;
    let threads: Vec<_> = (0..6)
        .map(|thread| {
            thread::spawn(move || {
                let mut client = Client::upgraded(address, &format!("/o/in-order-{}", thread % 3));
                let batch: Vec<u8> = (0..5_000).flat_map(|number| text(&number.to_string())).collect();
                for segment in batch.chunks(7_001) {
                    client.send(segment);
                }
                for number in 0..5_000 {
                    assert_eq!(client.text(), number.to_string());
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
}

#[test]
fn broadcasts_of_several_senders_are_heard_by_all_in_one_order() {
    let served = Served::start(2, |_| {});
    let mut clients: Vec<_> = (0..10).map(|_| Client::upgraded(served.address, "/o/one-order")).collect();
    for round in 0..100 {
        for (sender, client) in clients.iter_mut().enumerate() {
            client.send(text(&format!("all:{sender} {round}")));
        }
    }
    let heard: Vec<Vec<String>> =
        clients.iter_mut().map(|client| (0..1_000).map(|_| client.text()).collect()).collect();
    assert!(heard.iter().all(|one| *one == heard[0]), "not all heard the same order");
    for sender in 0..10 {
        let own = heard[0].iter().filter_map(|message| message.strip_prefix(&format!("{sender} ")));
        assert!(own.map(|round| round.parse::<u32>().unwrap()).eq(0..100));
    }
}

#[test]
fn objects_call_each_other_across_shards() {
    let served = Served::start(2, |_| {});
    let mut caller = Client::upgraded(served.address, "/o/caller");
    for number in 0..50 {
        assert_eq!(caller.ask(&format!("call:called-{number}")), format!("this is called-{number}"));
    }
    let shards = served.running().counters().iter();
    let constructions = shards.map(|counters| counters.namespaces[0].constructions.get());
    assert!(constructions.clone().all(|count| count > 0), "all of them on one shard");
    assert_eq!(constructions.sum::<u64>(), 51);
}

#[test]
fn errors_of_called_objects_reach_the_caller_and_not_the_client() {
    let served = Served::start(2, |_| {});
    for number in 0..10 {
        let mut client = Client::connect(served.address);
        client.send(get(&format!("/o/asks-{number}?error-of=fails-{number}")));
        let answer = client.answer();
        assert_eq!((answer.status, answer.text()), (500, "Internal Server Error\n"));
        let mut caller = Client::upgraded(served.address, &format!("/o/asks-{number}"));
        let told = caller.ask(&format!("call:never-constructed-{number}"));
        assert!(told.contains("constructor"), "{told}");
        assert_eq!(caller.ask("hello"), "hello");
    }
}

#[test]
fn a_cycle_of_calls_is_an_error_and_not_a_wait() {
    let served = Served::start(2, |_| {});
    for number in 0..10 {
        let mut client = Client::connect(served.address);
        client.send(get(&format!("/o/cycle-{number}?cycle=cycles-back-{number}")));
        assert_eq!(client.answer().status, 500);
        client.send(get(&format!("/o/cycle-{number}")));
        assert_eq!(client.answer().text(), format!("this is cycle-{number}"));
    }
}

#[test]
fn sockets_come_and_go_on_both_shards_and_nothing_is_left() {
    let served = Served::start(2, |_| {});
    let address = served.address;
    let threads: Vec<_> = (0..4)
        .map(|thread| {
            thread::spawn(move || {
                for round in 0..150 {
                    let mut client = Client::upgraded(address, &format!("/o/come-and-go-{}", round % 9));
                    if round % 3 > 0 {
                        assert_eq!(client.ask(&format!("{thread} {round}")), format!("{thread} {round}"));
                    }
                    if round % 2 > 0 {
                        client.send(engine::client::close(1000, ""));
                        assert_eq!(client.frame().close_code(), 1000);
                    }
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    until_equal("connections", 0, || served.count(|counters| counters.connections.get()));
    until_equal("sockets", 0, || served.of("OBEDIENT", |counters| counters.sockets.get()));
    let closes = || {
        let all = (0..9).flat_map(|object| events(&format!("come-and-go-{object}")));
        all.filter(|event| event.starts_with("close")).count()
    };
    until("one close event for each socket", || closes() == 600);
    assert_eq!(served.driven(|stats| stats.hand_offs_failed.get()), 0);
    assert_eq!(times("come-and-go-0", "constructed"), 1);
}

#[test]
fn cores_that_are_not_there_are_refused_and_those_that_are_named() {
    let mut config = engine::config(1);
    config.cores = dormouse::server::config::Cores::Count(100_000);
    let refused = engine::objects::engine().start(&config).err().unwrap().to_string();
    assert!(refused.starts_with("cores is 100000, which is not allowed: at most "), "{refused}");
}
