//! Several shards: sockets that move to their object, sockets that stay where they were accepted, and the drain.
//!
//! The rules of SEMANTICS hold wherever a connection is, so the same stories are told three times.

mod support;

use dormouse::object::spare_connections;
use dormouse::{ReadyState, WebSocketRequestResponsePair};
use support::client::Client;
use support::fake::Fake;
use support::frames::{CONTINUATION, Heard, TEXT, closed, text};
use support::http::{get, post, upgrade};
use support::room::{At, hook, inside, log, room_like, room_on, rooms, script};
use support::story::{PLACEMENTS, Placement, Story, everywhere};

#[test]
fn connections_are_where_they_should_be_and_end_there() {
    everywhere(10_000, |story, placement| {
        let alice = story.open("alice");
        let expected = if placement == Placement::Far { [1, 0] } else { [0, 1] };
        // The clients that asked for the room's home are there too.
        let asked = story.fake.shards[0].held_places() + story.fake.shards[1].held_places() - 1;
        let held = story.held();
        assert_eq!([held[0] - asked, held[1]], expected, "{placement:?}");
        alice.close(1000, "");
        story.fake.settle();
        assert_eq!(alice.heard(), [closed(1000, ""), Heard::Fin]);
        assert_eq!(story.held(), [asked, 0], "{placement:?}");
        assert_eq!(story.sockets(), 0);
    });
}

/// Found by 131,072 sockets: objects that happened to live together filled their shard, and whoever came to it waited.
#[test]
fn a_shard_keeps_room_for_its_part_of_all_that_are_still_to_come() {
    let builder = rooms(|_| {}).connections_max(100).connections_per_shard(60 + spare_connections(100));
    let mut fake = Fake::new(builder, 2);
    let room = |letter| room_like(&mut fake, &format!("/room/{letter}"), 1);
    let rooms = ["a", "b", "c", "d", "e", "f"].map(room);
    let asked = fake.shards[0].held_places();
    let mut clients = Vec::new();
    for room in rooms.iter().flat_map(|room| [room; 6]) {
        let [others, before] = [&fake.shards[0], &fake.shards[1]].map(|shard| shard.held_places());
        clients.push(fake.open_at(0, room));
        // The one that asks is among those that have come.
        let to_come = 100 - others - before - 1;
        let has_room = before + to_come.div_ceil(2) <= 60;
        assert_eq!(fake.shards[1].held_places() - before, usize::from(has_room), "{before} and {others}");
    }
    let held = [&fake.shards[0], &fake.shards[1]].map(|shard| shard.held_places());
    assert!(held[0] > asked && held[1] > 18, "some stayed, half of them moved: {held:?}");
    for (n, client) in clients.iter().enumerate() {
        client.text(format!("shout {n:02}"));
    }
    fake.settle();
    for (n, client) in clients.iter().enumerate() {
        let room = n / 6 * 6;
        let mut heard = client.texts();
        // What those afar and those at home say has no order among them.
        heard.sort();
        assert_eq!(heard, (room..room + 6).map(|n| format!("{n:02}")).collect::<Vec<_>>());
    }
}

#[test]
fn messages_answers_and_broadcasts_keep_their_order() {
    everywhere(0, |story, placement| {
        let [alice, bob] = ["alice", "bob"].map(|name| story.open(name));
        for n in 0..50 {
            alice.text(format!("say {n}; shout {n}"));
            bob.frame(TEXT, "say ").ping("x").frame(0x80 | CONTINUATION, "joined");
        }
        story.fake.settle();
        let told = alice.texts();
        let own: Vec<String> = (0..50).flat_map(|n| [n.to_string(), n.to_string()]).collect();
        assert_eq!(told, own, "{placement:?}");
        let heard = bob.heard();
        let shouts: Vec<_> = heard.iter().filter(|heard| **heard != Heard::Pong(b"x".into())).collect();
        assert_eq!(shouts.len(), 100);
        let numbers: Vec<Heard> = (0..50).map(|n: u32| text(n.to_string())).collect();
        assert_eq!(
            shouts.into_iter().filter(|heard| **heard != text("joined")).cloned().collect::<Vec<_>>(),
            numbers
        );
    });
}

#[test]
fn what_is_sent_before_the_101_and_frames_behind_the_request_keep_their_places() {
    everywhere(10_000, |story, placement| {
        script(At::Fetch, "say first; say second");
        let alice = story.fake.connect_to(story.accepting);
        let target = format!("{}?name=alice", story.room);
        alice.bytes(upgrade(&target, "")).text("say third").ping("x").text("say fourth");
        story.fake.settle();
        story.fake.opened(&alice);
        let heard = alice.heard();
        let texts: Vec<_> = heard.iter().filter(|heard| matches!(heard, Heard::Text(_))).cloned().collect();
        assert_eq!(texts, ["first", "second", "third", "fourth"].map(text), "{placement:?}");
        assert_eq!(heard.len(), 5);
    });
}

/// A room on shard 1 whose sockets may have 100 B queued each.
fn narrow(placement: Placement) -> (Fake, String) {
    let builder = rooms(|settings| {
        settings.output_socket_bytes_max = 100;
        settings.crowd_sockets = if placement == Placement::Far { 0 } else { 1 << 20 };
    });
    let mut fake = Fake::new(builder, 2);
    let room = room_on(&mut fake, 1);
    (fake, room)
}

/// What waited for the 101 is many frames, not one message. Found by the simulation.
#[test]
fn what_is_sent_before_the_101_is_neither_dropped_nor_compressed_together() {
    for placement in PLACEMENTS {
        let (mut fake, room) = narrow(placement);
        let early = || ["x".repeat(200), "y".repeat(100), "z".repeat(100)];
        hook(At::Fetch, move |_, ws| {
            early().iter().try_for_each(|text| ws.expect("a socket").send(text.as_str()))?;
            Ok(())
        });
        let alice = fake.connect_to(usize::from(placement == Placement::Near));
        let offer = "Sec-WebSocket-Extensions: permessage-deflate\r\n";
        // Room for the head alone: the rest of it is more than the bound already.
        alice.stop_reading(20).bytes(upgrade(&format!("{room}?name=alice"), offer));
        fake.settle();
        alice.read_on();
        fake.settle();
        fake.opened(&alice);
        assert_eq!(alice.heard(), early().map(text), "{placement:?}");
    }
}

#[test]
fn a_close_before_the_101_is_delivered_and_timed() {
    everywhere(10_000, |story, placement| {
        script(At::Fetch, "say no; close 4000 full");
        let alice = story.open("alice");
        assert_eq!(alice.heard(), [text("no"), closed(4_000, "full")], "{placement:?}");
        story.fake.advance(5_200);
        assert!(alice.is_closed());
        assert!(log().iter().any(|line| line.starts_with("alice closes 1006")));
        assert_eq!(story.sockets(), 0);
    });
}

#[test]
fn responses_before_the_upgrade_on_the_same_connection_are_not_lost() {
    everywhere(10_000, |story, placement| {
        for room in [usize::MAX, 10] {
            let alice = story.fake.connect_to(story.accepting);
            if room != usize::MAX {
                alice.stop_reading(room);
            }
            alice.bytes(post("/worker/echo", "one")).bytes(get("/worker/echo"));
            alice.bytes(upgrade(&story.room, "")).text("say two");
            story.fake.settle();
            alice.read_on();
            story.fake.settle();
            assert_eq!(alice.reply().body, "one", "{placement:?} {room}");
            assert_eq!(alice.reply().status, 200);
            story.fake.opened(&alice);
            assert_eq!(alice.heard(), [text("two")]);
        }
    });
}

#[test]
fn tags_attachments_states_and_ids_are_the_same_everywhere() {
    everywhere(10_000, |story, _| {
        let [alice, bob] = ["alice", "bob"].map(|name| story.open(name));
        story.fake.advance(10_000);
        inside(&mut story.fake, &bob, |ctx, ws| {
            let sockets = ctx.get_web_sockets(None);
            assert_eq!(sockets[0], *ws);
            assert_eq!(ctx.get_web_sockets(Some("alice")), [sockets[1].clone()]);
            assert_eq!(sockets[1].deserialize_attachment::<String>().unwrap().as_deref(), Some("alice"));
            assert_eq!(sockets[1].ready_state(), ReadyState::Open);
            assert!(sockets[1].connection_id().is_some());
            sockets[1].close(4_000, "out").unwrap();
            assert_eq!(sockets[1].ready_state(), ReadyState::Closing);
            assert!(sockets[1].send("more").is_err());
        });
        assert_eq!(alice.heard(), [closed(4_000, "out")]);
        alice.text("crossed").close(4_000, "out");
        story.fake.settle();
        assert_eq!(alice.heard(), [Heard::Fin]);
        let log = log();
        assert_eq!(log[log.len() - 2..], ["alice says crossed", "alice closes 4000 \"out\" true"]);
        assert_eq!(story.sockets(), 1);
    });
}

#[test]
fn an_auto_response_wakes_nobody_and_overtakes_nothing() {
    everywhere(10_000, |story, placement| {
        let [alice, bob] = ["alice", "bob"].map(|name| story.open(name));
        inside(&mut story.fake, &alice, |ctx, _| {
            ctx.set_web_socket_auto_response(WebSocketRequestResponsePair::new("ping", "pong")).unwrap();
        });
        alice.text("sleep 50; say slow").text("ping");
        bob.text("ping");
        story.fake.settle();
        assert_eq!((alice.heard(), bob.heard()), (vec![], vec![text("pong")]), "{placement:?}");
        story.fake.advance(50);
        assert_eq!(alice.heard(), [text("slow"), text("pong")]);
        story.fake.advance(10_000);
        log();
        alice.text("ping");
        story.fake.settle();
        assert_eq!((alice.heard(), log()), (vec![text("pong")], vec![]), "{placement:?}");
        let at = std::time::SystemTime::UNIX_EPOCH + std::time::Duration::from_millis(story.fake.now.wall_ms);
        inside(&mut story.fake, &bob, move |ctx, _| {
            let alice = &ctx.get_web_sockets(Some("alice"))[0];
            assert_eq!(ctx.get_web_socket_auto_response_timestamp(alice), Some(at));
            ctx.set_web_socket_auto_response(None).unwrap();
        });
        alice.text("ping");
        story.fake.settle();
        assert_eq!((alice.heard(), log().last().unwrap().as_str()), (vec![], "alice says ping"));
    });
}

#[test]
fn closes_losses_and_errors_come_once_and_in_order() {
    type End = fn(&Client);
    let ends: [(End, &str); 5] = [
        (
            |client| {
                client.close(4_001, "bye");
            },
            "alice closes 4001 \"bye\" true",
        ),
        (
            |client| {
                client.close(None, "").fin();
            },
            "alice closes 1005 \"\" true",
        ),
        (
            |client| {
                client.fin();
            },
            "alice closes 1006 \"WebSocket disconnected without sending Close frame.\" false",
        ),
        (
            |client| {
                client.bytes([0xFF, 0xFF]);
            },
            "alice errs 1002",
        ),
        (
            |client| {
                client.frame(0x81, [0xFF]).fin();
            },
            "alice errs 1007",
        ),
    ];
    for (end, line) in ends {
        everywhere(0, |story, placement| {
            let alice = story.open("alice");
            log();
            alice.text("say before");
            end(&alice);
            story.fake.settle();
            alice.fin();
            story.fake.advance(60_000);
            let heard: Vec<_> = log().into_iter().filter(|line| line != "new" && line != "drop").collect();
            assert_eq!(heard, ["alice says say before", line], "{placement:?}");
            assert_eq!(alice.heard()[0], text("before"));
            assert!(alice.is_closed());
            assert_eq!(story.sockets(), 0);
        });
    }
}

#[test]
fn a_reset_is_a_loss() {
    everywhere(0, |story, placement| {
        let [alice, bob] = ["alice", "bob"].map(|name| story.open(name));
        alice.reset();
        bob.text("shout hello");
        story.fake.settle();
        let log = log();
        assert_eq!(
            log.iter().filter(|line| line.starts_with("alice closes 1006")).count(),
            1,
            "{placement:?}"
        );
        assert_eq!(story.sockets(), 1);
        assert_eq!(bob.heard(), [text("hello")]);
    });
}

#[test]
fn a_failing_handler_closes_its_socket_with_1011_and_spares_the_rest() {
    everywhere(10_000, |story, placement| {
        let [alice, bob] = ["alice", "bob"].map(|name| story.open(name));
        alice.text("say before; panic");
        story.fake.settle();
        let heard = alice.heard();
        assert_eq!(heard[0], text("before"), "{placement:?}");
        assert!(matches!(heard[1..], [Heard::Close(1011, _)]));
        bob.text("say here");
        story.fake.settle();
        assert_eq!(bob.heard(), [text("here")]);
        story.fake.advance(6_000);
        assert!(alice.is_closed());
        assert_eq!(story.sockets(), 1);
    });
}

#[test]
fn a_failing_constructor_closes_all_with_1011() {
    everywhere(0, |story, placement| {
        let clients = ["alice", "bob"].map(|name| story.open(name));
        script(At::New, "fail");
        clients[0].text("hello");
        story.fake.settle();
        for client in &clients {
            assert!(matches!(client.heard()[..], [Heard::Close(1011, _), Heard::Fin]), "{placement:?}");
            client.close(1011, "").fin();
        }
        story.fake.settle();
        assert!(clients.iter().all(Client::is_closed));
        script(At::New, "");
        assert_eq!(story.sockets(), 0);
    });
}

#[test]
fn a_close_is_answered_when_its_handler_waits_and_listed_until_it_returns() {
    everywhere(10_000, |story, placement| {
        let alice = story.open("alice");
        script(At::Close, "say last; sleep 10000; log returned");
        alice.close(4_000, "x");
        story.fake.settle();
        assert_eq!(alice.heard(), [text("last"), closed(4_000, "x"), Heard::Fin], "{placement:?}");
        assert_eq!(story.sockets(), 1);
        story.fake.advance(10_000);
        assert_eq!(story.sockets(), 0);
    });
}

#[test]
fn a_slow_reader_is_closed_with_1013_wherever_it_is() {
    everywhere(10_000, |story, placement| {
        let [alice, bob] = ["alice", "bob"].map(|name| story.open(name));
        bob.stop_reading(1_000);
        hook(At::Message, |ctx, _| {
            ctx.broadcast(&vec![1; 100_000]).send();
            Ok(())
        });
        for _ in 0..20 {
            alice.text("go");
            story.fake.settle();
        }
        assert_eq!(alice.heard().len(), 20, "{placement:?}");
        bob.read_on();
        story.fake.settle();
        let heard = bob.heard();
        assert!(heard.len() < 15 && matches!(heard.last(), Some(Heard::Close(1013, _))), "{placement:?}");
        bob.text("crossed").close(1013, "");
        story.fake.settle();
        assert_eq!(story.sockets(), 1);
        assert_eq!(log().iter().filter(|line| line.starts_with("bob closes 1013")).count(), 1);
    });
}

/// RFC 6455 5.5.1: nothing follows a Close, not even another from the home shard. Found by the simulation.
#[test]
fn a_slow_reader_that_breaks_the_protocol_gets_one_close_wherever_it_is() {
    for placement in PLACEMENTS {
        let (mut fake, room) = narrow(placement);
        let alice = fake.open_at(usize::from(placement == Placement::Near), &format!("{room}?name=alice"));
        alice.stop_reading(0);
        let sixty = "x".repeat(60);
        for _ in 0..2 {
            alice.text(format!("say {sixty}"));
            fake.settle();
        }
        alice.text(format!("say {sixty}")).frame(0xC0 | TEXT, "a reserved bit");
        fake.settle();
        alice.read_on();
        fake.advance(10_000);
        let closes: Vec<Heard> = alice.heard().split_off(2);
        let slow = closed(1013, "the client does not read");
        assert_eq!(closes, [slow, Heard::Fin], "{placement:?}");
    }
}

#[test]
fn buffered_amount_is_known_from_afar() {
    everywhere(10_000, |story, placement| {
        let alice = story.open("alice");
        alice.stop_reading(100);
        inside(&mut story.fake, &alice, |_, ws| ws.send(&[1; 1_000]).unwrap());
        inside(&mut story.fake, &alice, move |_, ws| {
            assert_eq!(ws.buffered_amount(), 904, "{placement:?}");
        });
        alice.read_on();
        story.fake.settle();
        inside(&mut story.fake, &alice, move |_, ws| assert_eq!(ws.buffered_amount(), 0, "{placement:?}"));
    });
}

#[test]
fn a_socket_whose_object_is_too_busy_is_paused_and_resumed_wherever_it_is() {
    for placement in PLACEMENTS {
        let builder = rooms(|settings| {
            settings.mailbox_events_max = 10;
            settings.crowd_sockets = if placement == Placement::Far { 0 } else { 1 << 20 };
        });
        let mut fake = Fake::new(builder, 2);
        let room = room_on(&mut fake, 1);
        fake.receive_bytes_max = 200;
        let alice = fake.open_at(usize::from(placement == Placement::Near), &format!("{room}?name=alice"));
        alice.text("sleep 1000");
        for n in 0..1_000 {
            alice.text(format!("say {n}"));
        }
        fake.settle();
        assert!(alice.peer().borrow().to_server.len() > 9_000, "{placement:?}");
        fake.advance(1_000);
        assert_eq!(alice.texts(), (0..1_000).map(|n| n.to_string()).collect::<Vec<_>>(), "{placement:?}");
    }
}

#[test]
fn a_broadcast_to_far_sockets_is_encoded_once_a_shard() {
    let mut story = Story::new(Placement::Far, 10_000);
    let far: Vec<_> = (0..50).map(|n| story.open(&n.to_string())).collect();
    let near = story.fake.open_at(1, &story.room.clone());
    let encoded = |story: &Story| -> u64 {
        story.fake.shards.iter().map(|shard| shard.counters.frames_encoded.get()).sum()
    };
    let before = encoded(&story);
    near.text("shout hello");
    story.fake.settle();
    assert!(far.iter().chain([&near]).all(|client| client.heard() == [text("hello")]));
    assert!(encoded(&story) - before <= 2);
}
