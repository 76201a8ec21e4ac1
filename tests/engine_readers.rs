//! Clients that do not read, and clients that send garbage, beside those that behave (SEMANTICS 9, RELIABILITY).
//!
//! `DORMOUSE_TEST_SECONDS` sets how long the thousand echo beside a bad neighbour: 2 by default, 60 for the real thing.

mod engine;

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::thread;
use std::time::{Duration, Instant};

use engine::client::{BINARY, Client, text};
use engine::objects::events;
use engine::{Served, until, until_equal};

/// Numbered broadcasts of 1 KiB each.
const MESSAGES: usize = 40_000;
const BATCH: usize = 50;

/// Reads one batch of numbered messages: each of them, in order.
#[track_caller]
fn hears_batch(client: &mut Client, first: usize) {
    for number in first..first + BATCH {
        let message = client.text();
        let heard = message.split(' ').next().unwrap();
        assert_eq!(heard, number.to_string());
    }
}

#[test]
fn one_who_never_reads_is_closed_and_fifty_others_miss_nothing() {
    // In the end it reads what was sent before; on a machine with other work the flood takes longer than its time.
    let served = Served::start(2, |config| {
        config.timeouts.write_progress = Duration::from_secs(600);
        config.timeouts.close = Duration::from_secs(600);
    });
    let mut deaf = Client::upgraded(served.address, "/o/one-deaf");
    let clients: Vec<_> = (0..50).map(|_| Client::upgraded(served.address, "/o/one-deaf")).collect();
    let mut talker = Client::upgraded(served.address, "/o/one-deaf");
    until_equal("sockets", 52, || served.of("OBEDIENT", |counters| counters.sockets.get()));

    // Nobody is more than a batch ahead of another, however the machine shares itself among the readers: one that reads
    // must not be taken for one that does not.
    let (heard, all_heard) = channel();
    let readers: Vec<_> = clients
        .into_iter()
        .map(|mut client| {
            let heard = heard.clone();
            thread::spawn(move || {
                for first in (0..MESSAGES).step_by(BATCH) {
                    hears_batch(&mut client, first);
                    heard.send(first).unwrap();
                }
                client
            })
        })
        .collect();
    for first in (0..MESSAGES).step_by(BATCH) {
        talker.send(text(&format!("flood:{first}:{BATCH}:1000")));
        hears_batch(&mut talker, first);
        for _ in 0..readers.len() {
            assert_eq!(all_heard.recv_timeout(Duration::from_secs(20)), Ok(first));
        }
    }
    let clients: Vec<_> = readers.into_iter().map(|reader| reader.join().unwrap()).collect();
    assert_eq!(served.count(|counters| counters.slow_readers_closed.get()), 1);
    assert_eq!(served.count(|counters| counters.messages_dropped.get()), 0);

    // What it was sent before is complete, and its end says why.
    let mut next = 0;
    loop {
        let frame = deaf.frame();
        if frame.opcode != 1 {
            assert_eq!(frame.close_code(), 1013);
            break;
        }
        assert!(frame.text().starts_with(&format!("{next} ")));
        next += 1;
    }
    assert!(next > 100, "only {next} messages fitted its buffers");
    drop(deaf);
    until_equal("sockets", 51, || served.of("OBEDIENT", |counters| counters.sockets.get()));
    assert_eq!(events("one-deaf").iter().filter(|event| event.starts_with("close")).count(), 1);
    drop(clients);
}

#[test]
fn one_who_never_reads_nor_hangs_up_is_dropped_when_its_time_is_over() {
    let served = Served::start(1, |config| {
        config.timeouts.close = Duration::from_millis(300);
        config.timeouts.write_progress = Duration::from_millis(300);
    });
    let mut deaf = Client::upgraded(served.address, "/o/deaf-for-ever");
    let mut talker = Client::upgraded(served.address, "/o/deaf-for-ever");
    for first in (0..20_000).step_by(BATCH) {
        talker.send(text(&format!("flood:{first}:{BATCH}:1000")));
        (0..BATCH).for_each(|_| drop(talker.frame()));
    }
    until_equal("connections", 1, || served.count(|counters| counters.connections.get()));
    until("the loss", || events("deaf-for-ever").contains(&"close 1006 false".to_owned()));
    assert!(deaf.ends());
}

#[test]
fn a_class_that_drops_the_newest_counts_what_is_missing() {
    let served = Served::start(1, |config| config.timeouts.write_progress = Duration::from_secs(600));
    let mut deaf = Client::upgraded(served.address, "/d/drops-newest");
    let mut talker = Client::upgraded(served.address, "/d/drops-newest");
    let filler = "x".repeat(4_000);
    const COUNT: u64 = 5_000;
    for number in 0..COUNT {
        talker.send(text(&format!("{number} {filler}")));
        assert!(talker.text().starts_with(&format!("{number} ")));
    }
    // The connection may be another shard's, which drops later than the talker hears: only what arrives tells that all
    // before it has arrived or been dropped.
    let reads = AtomicBool::new(false);
    let mut more = 0;
    let received = thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let (mut received, mut last) = (0, None);
            loop {
                let message = deaf.text();
                received += 1;
                match message.split(' ').next().unwrap().parse::<u64>() {
                    Ok(number) => {
                        assert!(last < Some(number), "{number} after {last:?}");
                        last = Some(number);
                    }
                    Err(_) if message == "again" => reads.store(true, Ordering::Relaxed),
                    Err(_) => return received,
                }
            }
        });
        let mut say = |word: &str| {
            talker.send(text(word));
            assert_eq!(talker.text(), word);
            more += 1;
        };
        while !reads.load(Ordering::Relaxed) && !reader.is_finished() {
            say("again");
            thread::sleep(Duration::from_millis(10));
        }
        say("the end");
        reader.join().unwrap()
    });
    let dropped = served.count(|counters| counters.messages_dropped.get());
    assert!(dropped > 0);
    assert_eq!(received + dropped, COUNT + more, "what is missing was counted");
    assert_eq!(served.count(|counters| counters.slow_readers_closed.get()), 0);
}

#[test]
fn a_class_that_keeps_the_latest_has_the_newest_of_each_key_arrive() {
    let served = Served::start(1, |config| {
        config.timeouts.write_progress = Duration::from_secs(600);
        config.timeouts.close = Duration::from_secs(60);
    });
    let mut deaf = Client::upgraded(served.address, "/k/keeps-latest");
    let mut talker = Client::upgraded(served.address, "/k/keeps-latest");
    let filler = "x".repeat(4_000);
    const KEYS: usize = 20;
    let mut round = 0;
    // What fits the buffers of the kernel, the bound, and a good deal more.
    while served.count(|counters| counters.messages_replaced.get()) < 1_000 {
        round += 1;
        for key in 0..KEYS {
            talker.send(text(&format!("{key} {round} {filler}")));
            assert!(talker.text().starts_with(&format!("{key} {round} ")));
        }
    }
    talker.send(text("the end"));
    assert_eq!(talker.text(), "the end");
    // Nothing may overtake what is kept, so that this one closes it.
    until_equal("closed", 1, || served.count(|counters| counters.slow_readers_closed.get()));
    let mut newest = [0; KEYS];
    let mut heard = 0;
    let frame = loop {
        let frame = deaf.frame();
        if frame.opcode != 1 {
            break frame;
        }
        let message = frame.text();
        let mut words = message.split(' ').map(|word| word.parse::<usize>());
        let (key, number) = (words.next().unwrap().unwrap(), words.next().unwrap().unwrap());
        assert!(newest[key] < number, "{key} {number} behind {}", newest[key]);
        newest[key] = number;
        heard += 1;
    };
    assert_eq!(frame.close_code(), 1013);
    assert_eq!(newest, [round; KEYS], "the newest of each has arrived");
    let replaced = served.count(|counters| counters.messages_replaced.get());
    assert_eq!(heard + replaced as usize, round * KEYS, "and what has not was counted");
}

#[test]
fn one_who_reads_again_gets_the_newest_of_each_key_and_then_everything() {
    let served = Served::start(1, |config| config.timeouts.write_progress = Duration::from_secs(600));
    let mut deaf = Client::upgraded(served.address, "/k/reads-again");
    let mut talker = Client::upgraded(served.address, "/k/reads-again");
    let filler = "x".repeat(4_000);
    let mut round = 0;
    while served.count(|counters| counters.messages_replaced.get()) < 100 {
        round += 1;
        for key in [7, 8] {
            talker.send(text(&format!("{key} {round} {filler}")));
            assert!(talker.text().starts_with(&format!("{key} {round} ")));
        }
    }
    let mut left = vec![7, 8];
    while !left.is_empty() {
        let message = deaf.text();
        left.retain(|key| !message.starts_with(&format!("{key} {round} ")));
    }
    for said in ["7 again", "with no key", "8 again", "7 once more"] {
        talker.send(text(said));
        assert_eq!(deaf.text(), said);
    }
    assert_eq!(served.count(|counters| counters.slow_readers_closed.get()), 0);
}

/// Resident memory of this process, in MiB.
fn resident_mib() -> u64 {
    // In pages of 4 KiB.
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() / 256
}

#[test]
fn many_who_do_not_read_cost_no_more_than_the_shard_may_hold() {
    let served = Served::start(1, |config| {
        config.limits.output_bytes_per_socket = 1 << 20;
        config.limits.output_bytes_per_shard = 4 << 20;
        config.timeouts.close = Duration::from_millis(500);
    });
    let deaf: Vec<_> = (0..100).map(|_| Client::upgraded(served.address, "/o/many-deaf")).collect();
    let mut talker = Client::upgraded(served.address, "/o/many-deaf");
    let before = resident_mib();
    // 100 clients times 20 MiB.
    for first in (0..20_000).step_by(BATCH) {
        talker.send(text(&format!("flood:{first}:{BATCH}:1000")));
        for number in first..first + BATCH {
            assert!(talker.text().starts_with(&format!("{number} ")));
        }
    }
    let grown = resident_mib().saturating_sub(before);
    // Other tests of this process run beside this one.
    assert!(grown < 400, "{grown} MiB more");
    until("the deaf are closed", || served.count(|counters| counters.slow_readers_closed.get()) >= 100);
    assert_eq!(talker.ask("hello"), "hello");
    drop(deaf);
}

#[test]
fn a_thousand_echo_beside_one_that_sends_garbage_and_one_that_never_reads() {
    let seconds = std::env::var("DORMOUSE_TEST_SECONDS").map_or(2, |text| text.parse().unwrap());
    let served = Served::start(2, |_| {});
    let mut clients: Vec<_> = (0..1_000)
        .map(|number| Client::upgraded(served.address, &format!("/o/thousand-{}", number % 10)))
        .collect();
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        let _over = SetAtEnd(&over);
        scope.spawn(|| send_garbage(&served, &over));
        scope.spawn(|| never_read(&served, &over));
        let begun = Instant::now();
        let mut round = 0;
        while begun.elapsed() < Duration::from_secs(seconds) {
            for (index, client) in clients.iter_mut().enumerate() {
                client.send(text(&format!("{index} says {round}")));
            }
            for (index, client) in clients.iter_mut().enumerate() {
                assert_eq!(client.text(), format!("{index} says {round}"));
            }
            round += 1;
        }
        assert!(round > 1, "{round} rounds");
    });
    assert!(served.count(|counters| counters.protocol_errors.get()) > 0);
    assert_eq!(served.count(|counters| counters.panics.get()), 0);
    until_equal("sockets", 1_000, || served.of("OBEDIENT", |counters| counters.sockets.get()));
}

/// Tells the bad neighbours to stop, however the test ends.
struct SetAtEnd<'a>(&'a AtomicBool);

impl Drop for SetAtEnd<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Frames of random bytes, again and again, on new connections; now and then a random request.
fn send_garbage(served: &Served, over: &AtomicBool) {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut garbage = move || {
        (0..512)
            .map(|_| {
                state ^= state << 13;
                state ^= state >> 7;
                state ^= state << 17;
                state as u8
            })
            .collect::<Vec<u8>>()
    };
    while !over.load(Ordering::Relaxed) {
        let mut client = Client::upgraded(served.address, "/o/thousand-3");
        for _ in 0..20 {
            if !client.try_send(garbage()) {
                break;
            }
        }
        let mut client = Client::connect(served.address);
        client.try_send(garbage());
        let _ = client.is_silent(Duration::from_millis(1));
    }
}

/// Has much echoed to it and reads none of it.
fn never_read(served: &Served, over: &AtomicBool) {
    let message = engine::client::frame(0x80 | BINARY, &[7; 10_000]);
    while !over.load(Ordering::Relaxed) {
        let mut client = Client::upgraded(served.address, "/o/thousand-7");
        client.stream.set_write_timeout(Some(Duration::from_millis(100))).unwrap();
        while !over.load(Ordering::Relaxed) && client.try_send(&message) {}
    }
}
