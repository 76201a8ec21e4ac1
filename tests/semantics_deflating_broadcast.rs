//! SEMANTICS 8 and 9: a broadcast is compressed once for each set of parameters, and not once for each socket; what is
//! compressed is bounded and ordered like all output.

mod support;

use support::deflate::{OFFER, listing, noise};
use support::deflating::Deflating;
use support::fake::{Chaos, Fake};
use support::frames::{Heard, closed, text};
use support::random::Random;
use support::room::{At, fake_with, hook, inside, log, rooms, script};

const SMALL: &str = "permessage-deflate; server_max_window_bits=10; client_max_window_bits=10";

/// Compressions, bytes into them, frames encoded, bytes copied.
fn effort(fake: &Fake) -> [u64; 4] {
    let sum = |counter: fn(&dormouse::object::ShardCounters) -> u64| {
        fake.shards.iter().map(|shard| counter(&shard.counters)).sum()
    };
    [
        sum(|counters| counters.compressions.get()),
        sum(|counters| counters.compressed_from_bytes.get()),
        sum(|counters| counters.frames_encoded.get()),
        sum(|counters| counters.bytes_encoded.get()),
    ]
}

/// What a broadcast costs.
fn cost_of(fake: &mut Fake, speaker: &support::client::Client, message: &str, recipients: usize) -> [u64; 4] {
    let message = message.to_owned();
    let before = effort(fake);
    inside(fake, speaker, move |ctx, _| assert_eq!(ctx.broadcast(&message).send(), recipients));
    let after = effort(fake);
    std::array::from_fn(|at| after[at] - before[at])
}

#[test]
fn a_broadcast_to_a_thousand_is_compressed_once() {
    for takeover in [false, true] {
        let mut fake = fake_with(|settings| settings.deflate.terms.context_takeover = takeover);
        let mut clients: Vec<_> = (0..1_000).map(|_| Deflating::open(&mut fake, "/lobby")).collect();
        let speaker = clients[0].client.clone();
        for round in 0..3 {
            let message = listing(round, 2_000);
            let [compressions, bytes, frames, copied] = cost_of(&mut fake, &speaker, &message, 1_000);
            assert_eq!((compressions, bytes, frames), (1, 2_000, 1));
            for client in &mut clients {
                assert_eq!(client.texts(), [message.as_str()]);
                assert_eq!(copied, client.last_bytes as u64 + 4, "and copied once");
                assert_eq!(client.forms(), (1, 0));
            }
        }
        assert_eq!(fake.counters().deflate_contexts.get(), 0, "no connection has a context for it");
    }
}

#[test]
fn a_broadcast_to_clients_of_all_kinds_is_compressed_once_for_each_window() {
    let mut fake = fake_with(|settings| settings.deflate.terms.context_takeover = true);
    let mut clients = Vec::new();
    for n in 0..100 {
        let forgetful = "permessage-deflate; server_no_context_takeover";
        let offer = [OFFER, SMALL, forgetful, "permessage-deflate; server_max_window_bits=15"][n % 4];
        clients.push(Deflating::open_at(&mut fake, 0, "/lobby", offer));
    }
    let plain: Vec<_> = (0..50).map(|_| fake.open("/lobby")).collect();
    for (length, compressions, frames) in [(100, 0, 1), (2_000, 2, 3), (100_000, 2, 3)] {
        let message = listing(7, length);
        let cost = cost_of(&mut fake, &plain[0], &message, 150);
        let bytes = compressions * message.len() as u64;
        assert_eq!(cost[..3], [compressions, bytes, frames], "{length} bytes");
        for client in &mut clients {
            assert!(client.texts() == [message.as_str()]);
            assert_eq!(client.forms(), if compressions > 0 { (1, 0) } else { (0, 1) });
        }
        for client in &plain {
            assert!(client.heard() == [text(message.as_str())], "as it is");
        }
    }
}

#[test]
fn what_does_not_compress_is_tried_once_and_sent_to_all_as_it_is() {
    let mut fake = fake_with(|_| {});
    let mut clients: Vec<_> = (0..100).map(|_| Deflating::open(&mut fake, "/lobby")).collect();
    let speaker = clients[0].client.clone();
    let before = effort(&fake);
    inside(&mut fake, &speaker, |ctx, _| assert_eq!(ctx.broadcast(&noise(1, 2_000)).send(), 100));
    let after = effort(&fake);
    assert_eq!([after[0] - before[0], after[2] - before[2]], [1, 1]);
    for client in &mut clients {
        assert_eq!(client.heard(), [Heard::Binary(noise(1, 2_000))]);
        assert_eq!(client.forms(), (0, 1));
    }
}

/// With takeover a connection has contexts of its own, which do not know of what all hear.
#[test]
fn messages_for_one_and_for_all_follow_each_other() {
    for seed in 0..10 {
        let mut fake = fake_with(|settings| settings.deflate.terms.context_takeover = true);
        let offers = [OFFER, SMALL, "permessage-deflate; server_no_context_takeover"];
        let mut clients: Vec<_> =
            offers.iter().map(|offer| Deflating::open_at(&mut fake, 0, "/lobby", offer)).collect();
        let mut random = Random::new(seed);
        let mut expected: Vec<Vec<String>> = vec![Vec::new(); clients.len()];
        for _ in 0..60 {
            let message = listing(random.below(5) as u64, 10 + random.below(3_000));
            let speaker = random.below(clients.len());
            if random.percent(40) {
                expected.iter_mut().for_each(|expected| expected.push(message.clone()));
                clients[speaker].text(format!("shout {message}"));
            } else {
                expected[speaker].push(message.clone());
                clients[speaker].text(format!("say {message}"));
            }
            fake.settle();
        }
        for (client, expected) in clients.iter_mut().zip(expected) {
            assert!(client.texts() == expected, "seed {seed}");
        }
    }
}

#[test]
fn the_order_holds_when_the_network_is_unkind_and_sockets_are_far() {
    for seed in 0..10 {
        let builder = rooms(|settings| {
            settings.deflate.terms.context_takeover = seed % 2 == 0;
            settings.crowd_sockets = 1;
        });
        let mut fake = Fake::new(builder, 2);
        let mut clients: Vec<_> =
            (0..6).map(|n| Deflating::open_at(&mut fake, n % 2, "/lobby", [OFFER, SMALL][n / 3])).collect();
        fake.chaos = Some(Chaos {
            random: Random::new(seed),
            deferred: 20,
            segmented: 40,
            short: 30,
            slow_mesh: 20,
            hand_off_fails: 0,
        });
        for n in 0..20 {
            let at = n % clients.len();
            clients[at].text(format!("shout all {n} {}", listing(n as u64, 900)));
            clients[at].text(format!("say one {n} {}", listing(n as u64, 700)));
            fake.settle();
        }
        for (at, client) in clients.iter_mut().enumerate() {
            let mut expected = Vec::new();
            for n in 0..20 {
                expected.push(format!("all {n} {}", listing(n as u64, 900)));
                if n % 6 == at {
                    expected.push(format!("one {n} {}", listing(n as u64, 700)));
                }
            }
            assert!(client.texts() == expected, "seed {seed}, client {at}");
        }
    }
}

/// A broadcast crosses to each shard once, plain, and is compressed there once for each window.
#[test]
fn far_sockets_get_it_compressed_once_for_each_window_and_shard() {
    let builder = rooms(|settings| settings.crowd_sockets = 0);
    let mut fake = Fake::new(builder, 3);
    let mut clients: Vec<_> =
        (0..60).map(|n| Deflating::open_at(&mut fake, n % 3, "/lobby", [OFFER, SMALL][n / 30])).collect();
    let speaker = clients[0].client.clone();
    for length in [2_000, 100_000] {
        let message = listing(3, length);
        let [compressions, ..] = cost_of(&mut fake, &speaker, &message, 60);
        assert_eq!(compressions, 3 * 2);
        for client in &mut clients {
            assert!(client.texts() == [message.as_str()]);
            assert_eq!(client.forms(), (1, 0));
        }
    }
}

/// SEMANTICS 9, slow reader: the bound counts what waits, which is what was compressed.
#[test]
fn a_client_that_does_not_read_is_closed_at_the_bound_of_compressed_bytes() {
    let mut fake = fake_with(|settings| settings.deflate.terms.context_takeover = true);
    let mut clients: Vec<_> = (0..3).map(|_| Deflating::open(&mut fake, "/lobby?name=x")).collect();
    clients[2].client.stop_reading(1_000);
    script(At::Message, "");
    let message = listing(1, 100_000);
    let mut sent = 0;
    while fake.counters().slow_readers_closed.get() == 0 {
        let said = message.clone();
        hook(At::Message, move |ctx, _| {
            ctx.broadcast(&said).send();
            Ok(())
        });
        clients[0].text("go");
        fake.settle();
        sent += 1;
        assert!(clients[0].texts() == [message.as_str()] && clients[1].texts() == [message.as_str()]);
    }
    let each = clients[0].last_bytes;
    assert!(sent * each > 1 << 20 && sent * each < (1 << 20) + 3 * each, "{sent} times {each}");
    clients[2].client.read_on();
    fake.settle();
    let mut heard = clients[2].heard();
    assert_eq!(heard.pop(), Some(closed(1013, "the client does not read")));
    assert!(heard.len() == sent - 1 && heard.iter().all(|heard| *heard == text(message.as_str())));
}

/// What a policy drops was never compressed, so that what follows refers to nothing that is missing.
#[test]
fn what_is_dropped_is_missed_by_no_context() {
    for is_far in [false, true] {
        let builder = rooms(|settings| {
            settings.deflate.terms.context_takeover = true;
            settings.output_socket_bytes_max = 4_096;
            if is_far {
                settings.crowd_sockets = 0;
            }
        });
        let mut fake = Fake::new(builder, 2);
        let mut slow = Deflating::open_at(&mut fake, 0, "/latest/a", OFFER);
        let other = fake.open("/latest/a");
        slow.client.stop_reading(100);
        for n in 0..50 {
            other.text(format!("shout {n} {}", listing(n % 3, 1_500)));
            slow.text(format!("say {n} {}", listing(n % 3, 1_500)));
            fake.settle();
            if n == 30 {
                slow.client.read_on();
                fake.settle();
            }
        }
        let numbers: Vec<u64> =
            slow.texts().iter().map(|text| text.split(' ').next().unwrap().parse().unwrap()).collect();
        assert!(numbers.is_sorted() && numbers.len() > 40 && numbers.len() < 100, "{numbers:?}");
        assert_eq!(numbers[numbers.len() - 38..].first(), Some(&31), "nothing is missing once it reads");
        let dropped: u64 = fake.shards.iter().map(|shard| shard.counters.messages_dropped.get()).sum();
        assert_eq!(dropped as usize, 100 - numbers.len());
    }
}

/// SEMANTICS 4, `bufferedAmount`: bytes that wait for the kernel, as they will be sent.
#[test]
fn the_buffered_amount_is_of_compressed_bytes() {
    let mut fake = fake_with(|_| {});
    let mut alice = Deflating::open(&mut fake, "/lobby");
    alice.client.stop_reading(0);
    let message = listing(1, 10_000);
    inside(&mut fake, &alice.client.clone(), move |_, ws| {
        assert_eq!(ws.buffered_amount(), 0);
        ws.send(&message).unwrap();
        assert!(ws.buffered_amount() > 1_000 && ws.buffered_amount() < 6_000);
    });
    alice.client.read_on();
    fake.settle();
    assert_eq!(alice.texts().len(), 1);
    inside(&mut fake, &alice.client.clone(), |_, ws| assert_eq!(ws.buffered_amount(), 0));
    drop(log());
}
