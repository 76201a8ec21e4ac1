//! Connections between shards and at the end: hand-offs that fail, clients that leave on the way, and the drain.

mod support;

use dormouse::object::World;
use support::client::Client;
use support::fake::Fake;
use support::frames::{Heard, closed, text};
use support::http::{get, post, upgrade};
use support::room::{At, hook, log, script};
use support::story::{Placement, Story, everywhere};

/// The descriptor cannot be passed: the object hears of a loss, the client of an end.
#[test]
fn a_hand_off_that_fails_ends_the_connection_and_is_told() {
    let mut story = Story::new(Placement::HandedOver, 10_000);
    story.fake.hand_offs_fail = true;
    let alice = story.fake.connect_to(0);
    alice.bytes(upgrade(&format!("{}?name=alice", story.room), ""));
    story.fake.settle();
    assert!(alice.is_closed());
    assert!(log().iter().any(|line| line.starts_with("alice closes 1006")));
    assert_eq!(story.sockets(), 0);
    story.fake.hand_offs_fail = false;
    let bob = story.open("bob");
    bob.text("say here");
    story.fake.settle();
    assert_eq!(bob.heard(), [text("here")]);
}

#[test]
fn a_client_that_leaves_during_its_hand_off_is_told_as_lost() {
    for by_reset in [false, true] {
        everywhere(10_000, |story, placement| {
            script(At::Fetch, "sleep 100");
            let alice = story.fake.connect_to(story.accepting);
            alice.bytes(upgrade(&format!("{}?name=alice", story.room), ""));
            story.fake.settle();
            if by_reset {
                alice.reset()
            } else {
                alice.fin()
            };
            story.fake.advance(100);
            story.fake.settle();
            let log = log();
            assert_eq!(
                log.iter().filter(|line| line.starts_with("alice closes 1006")).count(),
                1,
                "{placement:?}"
            );
            assert_eq!(story.sockets(), 0);
            assert!(alice.is_closed());
        });
    }
}

#[test]
fn a_response_that_nobody_takes_any_more_gives_its_socket_up() {
    everywhere(10_000, |story, placement| {
        let name = story.room.clone();
        let reply = story.fake.connect_to(story.accepting);
        reply.bytes(upgrade(&format!("/worker/drop?{name}"), ""));
        story.fake.settle();
        assert_eq!(reply.reply().body, "dropped", "{placement:?}");
        assert_eq!(log().iter().filter(|line| line.starts_with("someone closes 1006")).count(), 1);
        assert_eq!(story.sockets(), 0);
    });
}

/// RELIABILITY: an event never goes to an object that was destroyed; here, to a socket that is gone.
#[test]
fn race_what_arrives_for_a_socket_that_is_gone_reaches_nobody() {
    everywhere(0, |story, placement| {
        let [alice, bob] = ["alice", "bob"].map(|name| story.open(name));
        bob.text("sleep 100");
        story.fake.settle();
        script(At::New, "fail");
        alice.text("lost with the construction").close(1000, "");
        bob.text("lost too; fail");
        story.fake.settle();
        bob.fin();
        hook(At::Message, |_, _| Err("the sleeper fails when it wakes".into()));
        story.fake.advance(100);
        log();
        support::room::unhook(At::Message);
        script(At::New, "");
        // It has failed twice.
        story.fake.advance(100);
        let carol = story.open("carol");
        carol.text("say a new life");
        story.fake.advance(60_000);
        assert_eq!(carol.heard()[0], text("a new life"), "{placement:?}");
        let log = log();
        assert!(
            !log.iter().any(|line| line.starts_with("alice says") || line.starts_with("bob says")),
            "{log:?}"
        );
    });
}

/// RELIABILITY: the accept backlog is drained.
#[test]
fn who_waited_to_be_accepted_when_the_drain_began_is_answered_or_closed_but_never_reset() {
    everywhere(10_000, |story, placement| {
        story.fake.shards.iter().for_each(|shard| shard.world.begin_drain());
        let clients: Vec<Client> = (0..4).map(|_| story.fake.connect_to(story.accepting)).collect();
        clients[0].bytes(get("/worker/echo"));
        clients[1].bytes(upgrade(&story.room, ""));
        clients[2].bytes("GET /worker/ec");
        story.fake.settle();
        let reply = clients[0].reply();
        assert_eq!((reply.status, reply.header("Connection")), (200, Some("close")), "{placement:?}");
        assert_eq!(clients[1].reply().status, 503);
        assert!(!clients[2].is_over() && !clients[3].is_over());
        clients[2].bytes("ho HTTP/1.1\r\nHost: a\r\n\r\n");
        story.fake.advance(400);
        assert_eq!(clients[2].reply().status, 200);
        assert!(!clients[3].is_over());
        story.fake.advance(200);
        assert!(clients[3].is_closed());
        clients[..3].iter().for_each(|client| {
            client.fin();
        });
        story.fake.settle();
        assert!(clients.iter().all(|client| !client.heard().contains(&Heard::Reset)));
        assert!(story.fake.shards.iter().all(|shard| shard.world.is_drained()), "{placement:?}");
        assert_eq!(story.sockets(), 0);
    });
}

/// RELIABILITY, drain: sockets get 1001, requests their response, and everything ends.
#[test]
fn a_drain_closes_every_socket_with_1001_and_answers_what_was_asked() {
    everywhere(10_000, |story, placement| {
        let clients = ["alice", "bob"].map(|name| story.open(name));
        let asking = story.fake.connect_to(0);
        asking.bytes(post(&story.room, "sleep 1000"));
        story.fake.settle();
        let [idle, silent] = [(); 2].map(|()| story.fake.connect_to(0));
        idle.bytes(get("/worker/echo"));
        story.fake.settle();
        assert_eq!(idle.reply().header("Connection"), None);
        story.fake.shards.iter().for_each(|shard| shard.world.begin_drain());
        story.fake.settle();
        for client in &clients {
            assert_eq!(client.heard(), [closed(1001, "the server shuts down")], "{placement:?}");
        }
        assert!(idle.is_over() && !silent.is_over(), "a request may be on its way");
        idle.bytes(get("/worker/echo"));
        story.fake.settle();
        assert!(!idle.is_closed() && idle.heard() == [Heard::Fin], "or cross our FIN");
        clients[0].close(1001, "").fin();
        story.fake.advance(1_000);
        let reply = asking.reply();
        assert_eq!((reply.status, reply.header("Connection")), (200, Some("close")));
        asking.fin();
        idle.fin();
        assert!(silent.is_closed(), "{placement:?}");
        story.fake.advance(5_200);
        assert!(story.fake.shards.iter().all(|shard| shard.world.is_drained()), "{placement:?}");
        assert_eq!(story.held(), [0, 0]);
        let log = log();
        for name in ["alice", "bob"] {
            assert_eq!(log.iter().filter(|line| line.starts_with(&format!("{name} closes"))).count(), 1);
        }
    });
}

#[test]
fn an_upgrade_that_is_answered_during_a_drain_is_refused_or_closed_and_nothing_stays() {
    // What drains when the object answers: the shard that accepted, that of the object, or both.
    for drains in [[true, false], [false, true], [true, true]] {
        everywhere(10_000, |story, placement| {
            script(At::Fetch, "sleep 100");
            let alice = story.fake.connect_to(story.accepting);
            alice.bytes(upgrade(&format!("{}?name=alice", story.room), ""));
            story.fake.settle();
            let draining = |fake: &Fake, then: &dyn Fn(&World)| {
                let shards = fake.shards.iter().zip(drains);
                shards.filter(|(_, drains)| *drains).for_each(|(shard, _)| then(&shard.world));
            };
            draining(&story.fake, &World::begin_drain);
            story.fake.advance(100);
            let reply = alice.reply();
            // The shard of the object closes its sockets, wherever they are.
            let concerns = drains[1];
            if reply.status == 101 {
                let heard = alice.heard();
                assert_eq!(
                    heard.first() == Some(&closed(1001, "the server shuts down")),
                    concerns,
                    "{placement:?}"
                );
            } else {
                assert_eq!(reply.status, 503, "{placement:?} {drains:?}");
            }
            alice.fin();
            story.fake.advance(80_000);
            draining(&story.fake, &|world| assert!(world.is_drained(), "{placement:?} {drains:?}"));
            assert_eq!(story.sockets(), 0);
        });
    }
}
