//! What happens at each limit on connections: the one that is too much is refused, and nobody else notices.

mod engine;

use std::io::{ErrorKind, Read};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

use dormouse::server::config::Config;
use engine::client::{Client, frame, get, text, upgrade_request};
use engine::{Served, until_equal};

#[test]
fn one_socket_too_many_of_an_object_is_refused_alone_with_503() {
    for shards in [1, 2] {
        let served = Served::start(shards, |config| config.limits.connections_per_object = 30);
        let mut clients: Vec<_> = (0..30).map(|_| Client::upgraded(served.address, "/o/full")).collect();
        for _ in 0..5 {
            let mut refused = Client::connect(served.address);
            refused.send(upgrade_request("/o/full"));
            let answer = refused.answer();
            assert_eq!((answer.status, answer.text()), (503, "Service Unavailable\n"));
            refused.end();
        }
        for client in &mut clients {
            assert_eq!(client.ask("count").split_once(" of ").unwrap().1, "30");
        }
        // Another object has room, and so has this one when somebody leaves.
        let mut other = Client::upgraded(served.address, "/o/not-full");
        assert_eq!(other.ask("hello"), "hello");
        drop(clients.pop());
        until_equal("sockets", 30, || served.of("OBEDIENT", |counters| counters.sockets.get()));
        let mut next = Client::upgraded(served.address, "/o/full");
        assert!(next.ask("count").ends_with(" of 30"));
    }
}

/// Connects as soon as there is room.
fn connect_when_there_is_room(served: &Served, path: &str) -> Client {
    loop {
        let mut client = Client::connect(served.address);
        client.send(upgrade_request(path));
        // One that finds no room waits in the backlog, or is closed without a word.
        if client.has_answer() {
            assert_eq!(client.answer().status, 101);
            return client;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn when_all_slots_are_taken_further_connections_wait_and_nobody_notices() {
    let served = Served::start(1, |config| {
        config.limits.connections = 64;
        config.limits.connections_per_ring = 32;
    });
    let mut clients: Vec<_> =
        (0..64).map(|number| Client::upgraded(served.address, &format!("/o/slots-{}", number % 4))).collect();
    let mut waiting: Vec<_> = (0..10)
        .map(|_| {
            let mut client = Client::connect(served.address);
            client.send(get("/waits"));
            client
        })
        .collect();
    for client in &mut clients {
        assert_eq!(client.ask("still here"), "still here");
    }
    // Nobody is turned away, and waiting costs nothing: the engine does not try again and again.
    assert!(waiting[0].is_silent(Duration::from_millis(100)));
    let before = served.driven(|stats| stats.turns.get());
    std::thread::sleep(Duration::from_millis(300));
    let turns = served.driven(|stats| stats.turns.get()) - before;
    assert!(turns < 30, "{turns} turns in 300 ms of waiting");
    // One leaves, and all that wait go through its slot.
    clients.pop();
    for client in &mut waiting {
        assert_eq!(client.answer().text(), "GET /waits ");
        client.finish_sending();
        client.end();
    }
    for client in &mut clients {
        assert_eq!(client.ask("still here"), "still here");
    }
    assert_eq!(served.count(|counters| counters.connections.get()), 63);
}

#[test]
fn when_the_process_has_as_many_connections_as_it_may_others_come_as_soon_as_some_leave() {
    let served = Served::start(2, |config| {
        config.limits.connections = 20;
        // More slots than connections: the count decides, not the table.
        config.limits.connections_per_ring = 512;
    });
    let mut clients: Vec<_> = (0..20)
        .map(|number| Client::upgraded(served.address, &format!("/o/counted-{}", number % 4)))
        .collect();
    let mut refused: Vec<_> = (0..10).map(|_| Client::connect(served.address)).collect();
    for client in &mut clients {
        assert_eq!(client.ask("still here"), "still here");
    }
    assert!(served.count(|counters| counters.connections.get()) <= 20);
    clients.truncate(15);
    refused.clear();
    for _ in 0..5 {
        let mut client = connect_when_there_is_room(&served, "/o/counted-0");
        assert_eq!(client.ask("hello"), "hello");
        clients.push(client);
    }
    for client in &mut clients {
        assert_eq!(client.ask("still here"), "still here");
    }
}

#[test]
fn each_shard_has_room_for_all_sockets_of_one_object() {
    let served = Served::start(2, |config| {
        config.limits.connections = 40;
        config.limits.connections_per_object = 40;
        config.limits.connections_per_ring = 16;
        config.crowd.sockets = 32_768;
    });
    // All for one object: its home must take those that came through the other listener.
    let mut clients: Vec<_> =
        (0..40).map(|_| connect_when_there_is_room(&served, "/o/crowded-home")).collect();
    for client in &mut clients {
        assert!(client.ask("count").ends_with(" of 40"));
    }
    assert_eq!(served.driven(|stats| stats.hand_offs_failed.get()), 0);
    // And as they leave, others come, for objects of either shard.
    for number in 0..40 {
        drop(clients.remove(0));
        let mut client = connect_when_there_is_room(&served, &format!("/o/after-leaving-{}", number % 3));
        assert_eq!(client.ask("hello"), "hello");
        clients.push(client);
    }
}

#[test]
fn a_mailbox_that_is_full_pauses_its_senders_and_loses_nothing() {
    for shards in [1, 2] {
        let served = Served::start(shards, |config| {
            config.limits.mailbox_events_per_object = 16;
            config.limits.mailbox_bytes_per_object = 64 << 10;
        });
        let name = format!("/o/full-mailbox-{shards}");
        let mut clients: Vec<_> = (0..8).map(|_| Client::upgraded(served.address, &name)).collect();
        clients[0].send(text("sleep:300"));
        for client in &mut clients {
            let all: Vec<u8> = (0..500).flat_map(|number| text(&number.to_string())).collect();
            client.send(all);
        }
        let mut other = Client::upgraded(served.address, "/o/beside-full-mailbox");
        assert_eq!(other.ask("hello"), "hello");
        assert_eq!(clients[0].text(), "slept");
        for client in &mut clients {
            for number in 0..500 {
                assert_eq!(client.text(), number.to_string());
            }
        }
        assert!(served.count(|counters| counters.mailbox_pauses.get()) > 0);
    }
}

#[test]
fn a_failure_does_not_leave_paused_senders_unread() {
    let served = Served::start(1, |config| config.limits.mailbox_events_per_object = 4);
    let mut bad = Client::upgraded(served.address, "/o/paused-and-failed");
    let mut good = Client::upgraded(served.address, "/o/paused-and-failed");
    for _ in 0..3 {
        bad.send(text("sleep:50"));
    }
    // All that waits behind the failure is the failed one's: nothing of it is handled any more.
    bad.send([text("panic"), text("never").repeat(100)].concat());
    good.send(text("hello").repeat(100));
    for _ in 0..100 {
        assert_eq!(good.text(), "hello");
    }
    for _ in 0..3 {
        assert_eq!(bad.text(), "slept");
    }
    assert_eq!(bad.frame().close_code(), 1011);
}

#[test]
fn unfinished_messages_of_a_shard_share_a_budget() {
    let served = Served::start(1, |config| {
        config.limits.message_bytes = 1 << 20;
        config.limits.reassembly_bytes_per_shard = 4 << 20;
    });
    let mut clients: Vec<_> = (0..10).map(|_| Client::upgraded(served.address, "/o/reassembly")).collect();
    let fragment = frame(2, &vec![7; 900 << 10]);
    let mut refused = 0;
    let mut kept = Vec::new();
    for mut client in clients.drain(..) {
        // Alone until it is taken in, or refused.
        client.try_send(&fragment);
        client.try_send(frame(0x89, b"?"));
        let frame = client.frame();
        if frame.opcode == 10 {
            kept.push(client);
        } else {
            assert_eq!(frame.close_code(), 1009);
            assert!(client.ends());
            refused += 1;
        }
    }
    assert!(kept.len() >= 3 && refused >= 5, "{} kept, {refused} refused", kept.len());
    for client in &mut kept {
        client.send(frame(0x80, b"end"));
        assert_eq!(client.frame().payload.len(), (900 << 10) + 3);
    }
    // What they held is free again.
    let mut next = Client::upgraded(served.address, "/o/reassembly");
    next.send([fragment, frame(0x80, b"")].concat());
    assert_eq!(next.frame().payload.len(), 900 << 10);
}

/// A connection that asks for nothing yet, and whether the engine keeps it.
fn knock(address: SocketAddr) -> (TcpStream, bool) {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    let is_kept = stream.read(&mut [0]).is_err_and(|error| error.kind() == ErrorKind::WouldBlock);
    (stream, is_kept)
}

/// An engine that IPv4 and IPv6 clients of this machine reach: two addresses.
fn served_on_both(shards: usize, change: impl FnOnce(&mut Config)) -> (Served, SocketAddr, SocketAddr) {
    let served = Served::start(shards, |config| {
        config.listen = "[::]:0".parse().unwrap();
        change(config);
    });
    let port = served.address.port();
    (served, (Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into())
}

/// RELIABILITY: limits of one address, over all shards; other addresses notice nothing.
#[test]
fn connections_of_one_address_are_limited() {
    for shards in [1, 2] {
        let (served, v4, v6) = served_on_both(shards, |config| config.limits.connections_per_address = 5);
        let mut clients: Vec<_> = (0..5).map(|_| Client::upgraded(v4, "/o/addressed")).collect();
        for _ in 0..3 {
            assert!(!knock(v4).1, "the sixth is closed at once");
        }
        let mut other = Client::upgraded(v6, "/o/addressed");
        assert_eq!(other.ask("hello"), "hello");
        for client in &mut clients {
            assert_eq!(client.ask("hello"), "hello");
        }
        assert_eq!(served.count(|counters| counters.addresses_refused.get()), 3);
        drop(clients.pop());
        until_equal("connections", 5, || served.count(|counters| counters.connections.get()));
        assert_eq!(Client::upgraded(v4, "/o/addressed").ask("hello"), "hello");
    }
}

#[test]
fn handshakes_of_one_address_are_limited_and_end() {
    let (served, v4, v6) = served_on_both(2, |config| {
        config.limits.handshakes_per_address = 3;
        config.timeouts.handshake = Duration::from_secs(2);
    });
    let mut sockets: Vec<_> = (0..10).map(|_| Client::upgraded(v4, "/o/handshakes")).collect();
    let halves: Vec<_> = (0..3).map(|_| knock(v4)).collect();
    assert!(halves.iter().all(|(_, is_kept)| *is_kept));
    assert!(!knock(v4).1);
    assert_eq!(Client::upgraded(v6, "/o/handshakes").ask("hello"), "hello");
    for socket in &mut sockets {
        assert_eq!(socket.ask("hello"), "hello");
    }
    // Their time ends, and others have theirs.
    until_equal("half-open connections", 10, || served.count(|counters| counters.connections.get()));
    assert_eq!(Client::upgraded(v4, "/o/handshakes").ask("hello"), "hello");
}
