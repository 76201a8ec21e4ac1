//! SEMANTICS 8, permessage-deflate, and RELIABILITY: what compression may cost. Bombs, and contexts that are granted,
//! given back, and refused.

mod support;

use dormouse::wire::{Deflater, Session};
use support::deflate::{FIN, OFFER, RSV1, listing};
use support::deflating::Deflating;
use support::fake::Fake;
use support::frames::{BINARY, TEXT, closed};
use support::room::{fake_with, inside, log, rooms};

const CONTEXT: usize = Deflater::bytes(15);
const INFLATER: usize = Session::CONTEXT_BYTES;

fn with_budget(bytes: usize) -> Fake {
    fake_with(|settings| {
        settings.deflate.terms.context_takeover = true;
        settings.deflate.context_bytes_max = bytes;
        settings.ping_ms = None;
    })
}

/// Contexts to deflate, to inflate, the memory of both, and how many were taken back.
fn contexts(fake: &Fake) -> [u64; 4] {
    let counters = fake.counters();
    [
        counters.deflate_contexts.get(),
        counters.inflate_contexts.get(),
        counters.deflate_context_bytes.get(),
        counters.deflate_contexts_given_back.get(),
    ]
}

/// Has the object say something to one client, and looks what it cost.
fn say(fake: &mut Fake, client: &mut Deflating, said: &str) -> usize {
    client.text(format!("say {said}"));
    fake.settle();
    assert_eq!(client.texts(), [said]);
    client.last_bytes
}

// RELIABILITY: inflate to the cap only
#[test]
fn a_bomb_ends_at_the_limit_of_messages() {
    for takeover in [false, true] {
        let mut fake = fake_with(|settings| {
            settings.deflate.terms.context_takeover = takeover;
            settings.session.message_bytes_max = 1 << 20;
        });
        let mut alice = Deflating::open(&mut fake, "/lobby?name=alice");
        let bomb = alice.payload(vec![0; 100 << 20]);
        assert!(bomb.len() < 200_000);
        alice.client.frame(FIN | RSV1 | BINARY, &bomb);
        fake.settle();
        assert_eq!(alice.heard()[0], closed(1009, "RFC 6455 7.4.1: the message is too large"));
        assert_eq!(log().last().unwrap(), "alice errs 1009");
        // One step beyond the limit, and no more.
        assert!(fake.counters().inflated_to_bytes.get() <= (1 << 20) + (16 << 10));
        assert_eq!(fake.counters().bytes_received.get(), 0);
    }
}

#[test]
fn a_message_of_the_limit_itself_is_no_bomb() {
    let mut fake = fake_with(|settings| settings.session.message_bytes_max = 1 << 20);
    let mut alice = Deflating::open(&mut fake, "/lobby?name=alice");
    alice.binary(vec![7; 1 << 20]);
    fake.settle();
    assert_eq!(log()[2..], ["alice sends 1048576 bytes"]);
    alice.binary(vec![7; (1 << 20) + 1]);
    fake.settle();
    assert_eq!(log(), ["alice errs 1009"]);
}

/// A message that has arrived in part holds what came out of it, and its context; both count.
#[test]
fn half_inflated_messages_are_bounded_by_the_shard_s_budget() {
    let mut fake = fake_with(|settings| settings.reassembly_bytes_max = 4 << 20);
    let mut clients: Vec<_> = (0..20).map(|_| Deflating::open(&mut fake, "/lobby?name=x")).collect();
    for client in &mut clients {
        let payload = client.payload(vec![0; 1 << 20]);
        client.client.frame(RSV1 | BINARY, &payload);
        fake.settle();
    }
    let closed = clients.iter_mut().filter_map(|client| client.heard().pop());
    assert_eq!(closed.count(), 17, "the fourth and all behind it, with contexts and all");
    let ended = log().iter().filter(|line| *line == "x errs 1009").count();
    assert_eq!(ended, 17);
    for client in &clients {
        client.client.reset();
    }
    fake.advance(10_000);
    let mut last = Deflating::open(&mut fake, "/lobby?name=last");
    last.binary(vec![0; 3 << 20]);
    fake.settle();
    assert_eq!(log().last().unwrap(), "last sends 3145728 bytes");
}

/// A few hundred bytes each come out as half a megabyte each, on more sockets than an object has memory for.
#[test]
fn what_waits_for_an_object_is_bounded_however_small_it_came() {
    for is_far in [false, true] {
        let builder = rooms(|settings| {
            settings.mailbox_bytes_max = 1 << 20;
            settings.reassembly_bytes_max = 1 << 20;
            settings.crowd_sockets = if is_far { 0 } else { 4_096 };
        });
        let mut fake = Fake::new(builder, 2);
        let mut sleeper = Deflating::open(&mut fake, "/lobby?name=sleeper");
        let mut clients: Vec<_> =
            (0..50).map(|n| Deflating::open_at(&mut fake, n % 2, "/lobby?name=x", OFFER)).collect();
        sleeper.text("sleep 3000");
        fake.settle();
        drop(log());
        for client in &mut clients {
            client.binary(vec![0; 500_000]);
            assert!(client.client.peer().borrow().to_server.len() < 1_000);
        }
        fake.settle();
        fake.advance(3_000);
        let lines = log();
        let count = |what: &str| lines.iter().filter(|line| *line == what).count();
        // Behind four of them more than 2 MiB wait, with the fifth.
        assert_eq!((count("x sends 500000 bytes"), count("x errs 1009")), (5, 45), "{is_far}");
        let refused = closed(1009, "RFC 6455 7.4.1: the message is too large");
        let closed = clients.iter_mut().filter(|client| client.client.heard().first() == Some(&refused));
        assert_eq!(closed.count(), 45);
        sleeper.text("say still here");
        fake.settle();
        assert_eq!(sleeper.texts(), ["still here"]);
        drop(fake);
        drop(log());
    }
}

#[test]
fn a_context_is_made_with_the_first_message_for_one_and_goes_with_the_connection() {
    let mut fake = with_budget(64 << 20);
    let mut alice = Deflating::open(&mut fake, "/lobby");
    assert_eq!(contexts(&fake), [0, 1, INFLATER as u64, 0]);
    say(&mut fake, &mut alice, "short");
    assert_eq!(contexts(&fake)[0], 0, "nothing was compressed yet");
    say(&mut fake, &mut alice, &listing(1, 1_000));
    assert_eq!(contexts(&fake), [1, 1, (INFLATER + CONTEXT) as u64, 0]);
    alice.client.reset();
    fake.settle();
    assert_eq!(contexts(&fake), [0; 4]);
    let forgetful = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    let mut bob = Deflating::open_at(&mut fake, 0, "/lobby", forgetful);
    say(&mut fake, &mut bob, &listing(1, 1_000));
    assert_eq!(contexts(&fake), [0; 4], "without takeover there are none");
}

#[test]
fn contexts_of_the_longest_idle_are_taken_back_when_memory_is_short() {
    let mut fake = with_budget(4 * CONTEXT + 8 * INFLATER);
    let mut clients: Vec<_> = (0..5).map(|_| Deflating::open(&mut fake, "/lobby")).collect();
    let said = listing(1, 2_000);
    for client in &mut clients[..4] {
        assert!(say(&mut fake, client, &said) > 300);
        fake.advance(10);
    }
    assert_eq!(contexts(&fake)[..2], [4, 5]);
    // Nobody is idle yet: the fifth hears what stands alone.
    assert!(say(&mut fake, &mut clients[4], &said) > 300);
    assert!(say(&mut fake, &mut clients[4], &said) > 300);
    assert_eq!((contexts(&fake)[0], contexts(&fake)[3]), (4, 0));
    // All but the first, which hears something more, are idle after a second.
    fake.advance(900);
    assert!(say(&mut fake, &mut clients[0], &said) < 100);
    fake.advance(150);
    assert!(say(&mut fake, &mut clients[4], &said) > 300);
    assert!(say(&mut fake, &mut clients[4], &said) < 100, "it has a context now");
    let [now, _, bytes, given_back] = contexts(&fake);
    assert!((1..=2).contains(&given_back) && now == 5 - given_back, "{now} and {given_back}");
    assert!(bytes as usize <= 4 * CONTEXT + 8 * INFLATER);
    // The first kept its own; the second begins anew, which it cannot tell.
    assert!(say(&mut fake, &mut clients[0], &said) < 100);
    assert!(say(&mut fake, &mut clients[1], &said) > 300);
}

#[test]
fn memory_that_is_not_short_is_not_taken_back() {
    let mut fake = with_budget(64 << 20);
    let mut alice = Deflating::open(&mut fake, "/lobby");
    let said = listing(1, 2_000);
    assert!(say(&mut fake, &mut alice, &said) > 300);
    fake.advance(3_600_000);
    assert!(say(&mut fake, &mut alice, &said) < 100);
}

// RFC 7692 7.1.1.2: a server may ask for client_no_context_takeover whatever was offered
#[test]
fn clients_are_granted_contexts_only_while_there_is_memory_for_them() {
    let mut fake = with_budget(6 * INFLATER);
    let mut clients: Vec<_> = (0..5).map(|_| Deflating::open(&mut fake, "/lobby")).collect();
    let granted = |clients: &[Deflating]| {
        clients.iter().map(|client| !client.agreement.client_forgets).collect::<Vec<_>>()
    };
    assert_eq!(granted(&clients), [true, true, true, false, false], "up to half of the budget");
    assert_eq!(contexts(&fake), [0, 3, 3 * INFLATER as u64, 0]);
    for (n, client) in clients.iter_mut().enumerate() {
        say(&mut fake, client, &listing(n as u64, 2_000));
        say(&mut fake, client, &listing(n as u64, 2_000));
    }
    assert_eq!(contexts(&fake)[0], 0, "a context to compress would be above it");
    clients[1].client.close(1000, "");
    fake.settle();
    clients.push(Deflating::open_at(&mut fake, 0, "/lobby", OFFER));
    clients.push(Deflating::open_at(&mut fake, 0, "/lobby", OFFER));
    assert_eq!(granted(&clients[5..]), [true, false], "what was given back is granted again");
}

#[test]
fn nothing_is_granted_without_a_budget() {
    let mut fake = with_budget(0);
    let mut alice = Deflating::open(&mut fake, "/lobby");
    assert!(alice.agreement.client_forgets && alice.agreement.server_forgets);
    for n in 0..3 {
        say(&mut fake, &mut alice, &listing(n, 2_000));
    }
    assert_eq!(contexts(&fake), [0; 4]);
}

#[test]
fn a_session_that_failed_gives_its_contexts_back() {
    let mut fake = with_budget(64 << 20);
    let mut alice = Deflating::open(&mut fake, "/lobby?name=alice");
    say(&mut fake, &mut alice, &listing(1, 2_000));
    alice.client.frame(FIN | RSV1 | TEXT, [0xFF; 20]);
    fake.advance(10_000);
    assert!(alice.client.is_over());
    alice.client.fin();
    fake.advance(10_000);
    assert_eq!(contexts(&fake), [0; 4]);
    drop(log());
}

/// A crowd that comes and goes at random: the numbers stay those of who is there.
#[test]
fn the_books_are_balanced_whatever_happens() {
    let mut fake = with_budget(3 * CONTEXT + 10 * INFLATER);
    let mut random = support::random::Random::new(5);
    let mut clients: Vec<Deflating> = Vec::new();
    for round in 0..400 {
        match random.below(10) {
            0..3 => clients.push(Deflating::open(&mut fake, "/lobby")),
            3 if !clients.is_empty() => {
                let gone = clients.swap_remove(random.below(clients.len()));
                gone.client.reset();
            }
            4 => fake.advance(700),
            _ if !clients.is_empty() => {
                let at = random.below(clients.len());
                say(&mut fake, &mut clients[at], &listing(round % 4, 1_000));
            }
            _ => {}
        }
        fake.settle();
        let [deflaters, inflaters, bytes, _] = contexts(&fake).map(|number| number as usize);
        assert_eq!(bytes, deflaters * CONTEXT + inflaters * INFLATER);
        assert!(bytes <= 3 * CONTEXT + 10 * INFLATER, "round {round}");
        let granted = clients.iter().filter(|client| !client.agreement.client_forgets).count();
        assert_eq!(inflaters, granted);
    }
    assert!(contexts(&fake)[3] > 3, "some were taken back");
    if let Some(last) = clients.last() {
        inside(&mut fake, &last.client.clone(), |ctx, _| assert!(ctx.web_socket_count() > 0));
    }
}
