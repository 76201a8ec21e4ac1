//! Stopping (RELIABILITY): every socket gets what was queued for it, then 1001; nothing holds the engine up for longer
//! than it may take.

mod engine;

use std::net::TcpStream;
use std::thread;
use std::time::Duration;

use engine::client::{CLOSE, Client, close, get, text, upgrade_request};
use engine::objects::{events, times};
use engine::{FAR, PATIENCE, Served};

#[test]
fn each_socket_gets_what_was_queued_and_then_1001() {
    for shards in [1, 2] {
        // Asleep or awake, it makes no difference.
        for idle in [Duration::ZERO, Duration::from_secs(10)] {
            let served = Served::start(shards, |config| config.hibernation.idle = Some(idle));
            let name = format!("stopped-{shards}-{}", idle.as_secs());
            let mut clients: Vec<_> =
                (0..100).map(|_| Client::upgraded(served.address, &format!("/o/{name}"))).collect();
            clients[0].send(text("flood:0:500:1000"));
            assert!(clients[0].text().starts_with("0 "));
            let readers: Vec<_> = clients
                .into_iter()
                .enumerate()
                .map(|(index, mut client)| {
                    thread::spawn(move || {
                        for number in usize::from(index == 0)..500 {
                            assert!(client.text().starts_with(&format!("{number} ")));
                        }
                        let last = client.frame();
                        assert_eq!((last.opcode, last.close_code()), (CLOSE, 1001));
                        client.send(close(1001, ""));
                        client.end();
                    })
                })
                .collect();
            let took = served.stop(PATIENCE);
            assert!(took < PATIENCE, "{took:?}: the drain was not cut short by being done");
            readers.into_iter().for_each(|reader| reader.join().unwrap());
            assert_eq!(times(&name, "close 1001 true"), 100, "{:?}", events(&name).last());
        }
    }
}

#[test]
fn clients_that_do_not_answer_hold_nothing_up() {
    let served = Served::start(2, |config| config.timeouts.close = PATIENCE);
    let mut silent: Vec<_> = (0..20)
        .map(|number| Client::upgraded(served.address, &format!("/o/silent-{}", number % 5)))
        .collect();
    let mut half = Client::connect(served.address);
    half.send("GET / HT");
    let mut deaf = Client::upgraded(served.address, "/o/deaf-at-the-end");
    deaf.send(text("flood:0:3000:10000"));
    let took = served.stop(Duration::from_millis(500));
    assert!(took < PATIENCE / 2, "{took:?}");
    for client in &mut silent {
        assert_eq!(client.frame().close_code(), 1001);
        client.end();
    }
    half.end();
    assert!(deaf.ends());
}

#[test]
fn clients_that_do_not_answer_are_dropped_when_their_time_to_close_is_over() {
    let served = Served::start(2, |config| config.timeouts.close = Duration::from_millis(200));
    let mut silent = Client::upgraded(served.address, "/o/silent-at-the-end");
    let took = served.stop(PATIENCE);
    assert!(took < PATIENCE / 2, "{took:?}");
    assert_eq!(silent.frame().close_code(), 1001);
    silent.end();
}

#[test]
fn without_time_to_drain_it_ends_at_once() {
    let served = Served::start(2, |_| {});
    let mut clients: Vec<_> = (0..50).map(|_| Client::upgraded(served.address, "/o/ended-at-once")).collect();
    let took = served.stop(Duration::ZERO);
    assert!(took < PATIENCE / 2, "{took:?}");
    for client in &mut clients {
        assert!(client.ends());
    }
}

#[test]
fn an_idle_engine_stops_at_once_and_its_port_is_free() {
    let served = Served::start(2, |_| {});
    let address = served.address;
    let mut idle = Client::connect(address);
    idle.send(get("/"));
    assert_eq!(idle.answer().status, 200);
    let took = served.stop(PATIENCE);
    assert!(took < PATIENCE / 2, "{took:?}");
    idle.end();
    assert!(TcpStream::connect(address).is_err());
    let again = Served::start(2, |config| config.listen = address);
    let mut client = Client::upgraded(again.address, "/o/after-restart");
    assert_eq!(client.ask("hello"), "hello");
}

#[test]
fn stopping_amid_upgrades_and_hand_offs_ends_every_connection() {
    for round in 0..10 {
        let served = Served::start(2, |config| config.timeouts.close = Duration::from_millis(300));
        let address = served.address;
        let threads: Vec<_> = (0..4)
            .map(|thread| {
                thread::spawn(move || {
                    let mut last = None;
                    for number in 0.. {
                        let Ok(stream) = TcpStream::connect(address) else { break };
                        drop(stream);
                        let Some(mut client) = Client::try_connect(address) else { break };
                        let path = format!("/o/amid-{round}-{}", (thread + number) % 8);
                        if !client.try_send(upgrade_request(&path)) {
                            break;
                        }
                        if let Some(mut client) = last.replace(client) {
                            assert!(client.try_send(text("hi")) || client.ends());
                        }
                    }
                    assert!(last.is_none_or(|mut client| client.ends()));
                })
            })
            .collect();
        thread::sleep(Duration::from_millis(20 + round * 7));
        let took = served.stop(PATIENCE);
        assert!(took < PATIENCE / 2, "{took:?}: something was left over");
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    }
}

/// RELIABILITY: a restart loses no one who is connected, though not yet accepted.
#[test]
fn connections_that_wait_to_be_accepted_when_the_stop_begins_are_answered() {
    let served = Served::start(1, |config| config.timeouts.close = PATIENCE);
    let address = served.address;
    let mut victim = Client::upgraded(address, "/o/blocks-at-the-end");
    // The shard sees nothing of what follows before this is over.
    victim.send(text("block:1000"));
    // It has to reach the object before the stop begins; where its socket is far, over two shards.
    thread::sleep(Duration::from_millis(200));
    let knock = |request: String| {
        let mut client = Client::connect(address);
        client.send(request);
        client
    };
    let asking: Vec<_> = (0..100).map(|number| knock(get(&format!("/asked/{number}")))).collect();
    let upgrading: Vec<_> = (0..20).map(|_| knock(upgrade_request("/o/too-late"))).collect();
    let half: Vec<_> = (0..5).map(|_| knock("GET / HT".to_owned())).collect();
    let silent: Vec<_> = (0..5).map(|_| knock(String::new())).collect();
    let stopping = thread::spawn(move || served.stop(PATIENCE));
    for (number, mut client) in asking.into_iter().enumerate() {
        let answer = client.answer();
        assert_eq!(answer.status, 200);
        assert_eq!(String::from_utf8(answer.body).unwrap(), format!("GET /asked/{number} "));
        assert!(client.ends_in_order(), "{number}");
    }
    for mut client in upgrading {
        match client.answer().status {
            // It was accepted before the stop.
            101 => {
                assert_eq!(client.frame().close_code(), 1001);
                client.send(close(1001, ""));
            }
            status => assert_eq!(status, 503),
        }
        assert!(client.ends_in_order());
    }
    for mut client in half.into_iter().chain(silent) {
        assert!(client.ends_in_order());
    }
    assert_eq!(victim.text(), "unblocked");
    assert_eq!(victim.frame().close_code(), 1001);
    victim.send(close(1001, ""));
    victim.end();
    stopping.join().unwrap();
    assert!(TcpStream::connect(address).is_err());
}

/// Also those for whom there was no slot.
#[test]
fn connections_that_wait_for_a_slot_when_the_stop_begins_are_answered() {
    if FAR {
        // On two shards, some of them have slots.
        return;
    }
    let served = Served::start(1, |config| {
        config.limits.connections = 16;
        config.limits.connections_per_object = 16;
        config.limits.connections_per_ring = 16;
        config.timeouts.close = PATIENCE;
    });
    let address = served.address;
    let mut clients: Vec<_> = (0..16).map(|_| Client::upgraded(address, "/o/full-at-the-end")).collect();
    let waiting: Vec<_> = (0..50)
        .map(|number| {
            let mut client = Client::connect(address);
            client.send(get(&format!("/asked/{number}")));
            client
        })
        .collect();
    let stopping = thread::spawn(move || served.stop(PATIENCE));
    for client in &mut clients {
        assert_eq!(client.frame().close_code(), 1001);
        client.send(close(1001, ""));
        client.end();
    }
    for (number, mut client) in waiting.into_iter().enumerate() {
        let answer = client.answer();
        assert_eq!((answer.status, answer.header("Connection")), (200, Some("close")));
        assert_eq!(String::from_utf8(answer.body).unwrap(), format!("GET /asked/{number} "));
        assert!(client.ends_in_order(), "{number}");
    }
    stopping.join().unwrap();
}
