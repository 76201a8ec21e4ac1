//! Messages that leave in batches: when a batch leaves, for whom, and its order against everything else. The stories
//! are told with connections near, handed over, and far.

mod support;

use std::cell::Cell;
use std::rc::Rc;

use dormouse::ApiError;
use support::batching::{DELAY_MS, batch, push};
use support::client::Client;
use support::deflate::listing;
use support::deflating::Deflating;
use support::fake::Fake;
use support::frames::{Heard, closed, text};
use support::http::{post, upgrade};
use support::room::{At, fake, fake_with, hook, inside, log, script};
use support::story::{Placement, everywhere};

#[test]
fn a_batch_leaves_when_it_is_old_enough() {
    everywhere(10_000, |story, placement| {
        let [alice, bob] = ["alice", "bob"].map(|name| story.open(name));
        push(&mut story.fake, &alice, &["one"]);
        story.fake.advance(DELAY_MS / 2);
        push(&mut story.fake, &bob, &["two", "three"]);
        story.fake.advance(DELAY_MS / 2 - 1);
        assert_eq!((alice.heard(), bob.heard()), (vec![], vec![]), "{placement:?}");
        story.fake.advance(1);
        for client in [&alice, &bob] {
            assert_eq!(client.heard(), [batch(&["one", "two", "three"])], "{placement:?}");
        }
        // The next one is as old as its own first message.
        push(&mut story.fake, &alice, &["four"]);
        story.fake.advance(DELAY_MS - 1);
        assert_eq!(alice.heard(), []);
        story.fake.advance(1);
        assert_eq!(alice.heard(), [batch(&["four"])]);
        story.fake.advance(1_000);
        assert_eq!(bob.heard(), [batch(&["four"])]);
    });
}

#[test]
fn a_batch_leaves_when_it_has_enough_messages_or_bytes() {
    everywhere(10_000, |story, placement| {
        let alice = story.open("alice");
        inside(&mut story.fake, &alice, |ctx, _| {
            (0..130).for_each(|_| ctx.batch(None).push("x").unwrap());
        });
        assert_eq!(alice.heard(), [batch(&["x"; 64]), batch(&["x"; 64])], "{placement:?}");
        story.fake.advance(DELAY_MS);
        assert_eq!(alice.heard(), [batch(&["x"; 2])]);
        let large = "x".repeat(6_000);
        let pushed = large.clone();
        inside(&mut story.fake, &alice, move |ctx, _| {
            (0..4).for_each(|_| ctx.batch(None).push(&pushed).unwrap());
        });
        assert_eq!(alice.heard(), [batch(&[large.as_str(); 3])]);
        story.fake.advance(DELAY_MS);
        assert_eq!(alice.heard(), [batch(&[&large])]);
    });
}

#[test]
fn a_batch_that_is_full_leaves_no_timer_that_matters() {
    let mut fake = fake();
    let alice = fake.open("/lobby");
    inside(&mut fake, &alice, |ctx, _| (0..64).for_each(|_| ctx.batch(None).push("x").unwrap()));
    fake.advance(DELAY_MS - 10);
    push(&mut fake, &alice, &["later"]);
    alice.heard();
    fake.advance(DELAY_MS - 1);
    assert_eq!(alice.heard(), []);
    fake.advance(1);
    assert_eq!(alice.heard(), [batch(&["later"])]);
}

/// SEMANTICS 9: encoded once, whoever gets it; one send a socket and turn.
#[test]
fn a_batch_is_encoded_once_and_leaves_in_one_send() {
    everywhere(10_000, |story, placement| {
        let clients: Vec<Client> = (0..20).map(|_| story.open("player")).collect();
        inside(&mut story.fake, &clients[0], |ctx, _| {
            let everybody = ctx.batch(None);
            (0..10).for_each(|_| everybody.push("x").unwrap());
        });
        let encoded =
            |fake: &Fake| fake.shards.iter().map(|shard| shard.counters.frames_encoded.get()).sum::<u64>();
        let (frames, sends) = (encoded(&story.fake), clients[7].sends());
        story.fake.advance(DELAY_MS);
        assert_eq!(encoded(&story.fake) - frames, 1, "{placement:?}");
        assert_eq!(clients[7].sends() - sends, 1);
        assert!(clients.iter().all(|client| client.heard() == [batch(&["x"; 10])]));
    });
}

#[test]
fn everybody_a_tag_and_one_socket_have_batches_of_their_own() {
    everywhere(10_000, |story, placement| {
        let [alice, bob] = ["alice", "bob"].map(|name| story.open(name));
        inside(&mut story.fake, &alice, |ctx, ws| {
            ws.batch().push("own").unwrap();
            ctx.batch(Some("bob")).push("bobs").unwrap();
            ctx.batch(None).push("all").unwrap();
            ctx.batch(Some("nobody")).push("lost").unwrap();
            ws.clone().batch().push("own again").unwrap();
        });
        story.fake.advance(DELAY_MS);
        assert_eq!(alice.heard(), [batch(&["own", "own again"]), batch(&["all"])], "{placement:?}");
        assert_eq!(bob.heard(), [batch(&["bobs"]), batch(&["all"])]);
    });
}

/// Who gets it is decided when it leaves.
#[test]
fn who_comes_while_a_batch_waits_gets_it_and_who_goes_does_not() {
    everywhere(10_000, |story, placement| {
        let [alice, bob] = ["alice", "bob"].map(|name| story.open(name));
        push(&mut story.fake, &alice, &["hello"]);
        let carol = story.open("carol");
        bob.close(1000, "");
        story.fake.settle();
        assert_eq!(bob.heard(), [closed(1000, ""), Heard::Fin]);
        story.fake.advance(DELAY_MS);
        assert_eq!(carol.heard(), [batch(&["hello"])], "{placement:?}");
        assert_eq!(alice.heard(), [batch(&["hello"])]);
    });
}

#[test]
fn flush_sends_at_once_and_says_to_how_many() {
    everywhere(10_000, |story, placement| {
        let [alice, bob] = ["alice", "bob"].map(|name| story.open(name));
        let counted = Rc::new(Cell::new([9; 4]));
        let count = counted.clone();
        inside(&mut story.fake, &alice, move |ctx, ws| {
            let everybody = ctx.batch(None);
            everybody.push("now").unwrap();
            ws.batch().push("mine").unwrap();
            let nothing = ctx.batch(Some("bob")).flush();
            count.set([nothing, everybody.flush(), everybody.flush(), ws.batch().flush()]);
        });
        assert_eq!(counted.get(), [0, 2, 0, 1], "{placement:?}");
        assert_eq!(alice.heard(), [batch(&["now"]), batch(&["mine"])]);
        assert_eq!(bob.heard(), [batch(&["now"])]);
        story.fake.advance(DELAY_MS);
        assert_eq!(alice.heard(), []);
    });
}

/// SEMANTICS 9, order: what is said to one address arrives in the order in which it was said.
#[test]
fn a_batch_leaves_before_what_is_said_later_to_the_same_address() {
    everywhere(10_000, |story, placement| {
        let [alice, bob] = ["alice", "bob"].map(|name| story.open(name));
        inside(&mut story.fake, &alice, |ctx, ws| {
            let (everybody, bobs) = (ctx.batch(None), ctx.batch(Some("bob")));
            everybody.push("1").unwrap();
            bobs.push("bob 1").unwrap();
            ws.batch().push("own 1").unwrap();
            ctx.broadcast("2").send();
            everybody.push("3").unwrap();
            ctx.broadcast("4, not to her").except(ws).send();
            ctx.broadcast("bob 2").tag("bob").send();
            ws.send("own 2").unwrap();
            everybody.push("5").unwrap();
            // To another address: it overtakes what waits for everybody.
            ws.send("own 3").unwrap();
        });
        let own = [batch(&["own 1"]), text("own 2"), text("own 3")];
        let [one, two, three] = [batch(&["1"]), text("2"), batch(&["3"])];
        let to_alice = [one.clone(), two.clone(), three.clone()].into_iter().chain(own);
        assert_eq!(alice.heard(), to_alice.collect::<Vec<_>>(), "{placement:?}");
        let to_bob = [one, two, three, text("4, not to her"), batch(&["bob 1"]), text("bob 2")];
        assert_eq!(bob.heard(), to_bob, "{placement:?}");
        story.fake.advance(DELAY_MS);
        assert_eq!(alice.heard(), [batch(&["5"])]);
    });
}

#[test]
fn what_waits_for_a_socket_leaves_before_its_close() {
    everywhere(10_000, |story, placement| {
        let [alice, bob] = ["alice", "bob"].map(|name| story.open(name));
        inside(&mut story.fake, &alice, |ctx, ws| {
            ctx.batch(Some("alice")).push("one").unwrap();
            ctx.batch(None).push("two").unwrap();
            ctx.batch(Some("bob")).push("waits").unwrap();
            ws.batch().push("three").unwrap();
            // A close that is refused has nothing leave.
            assert!(ws.close(999, "").is_err());
            ws.close(4_000, "over").unwrap();
            assert_eq!(ws.batch().push("four"), Err(ApiError::SendAfterClose));
            ctx.batch(None).push("five").unwrap();
        });
        let told = [batch(&["one"]), batch(&["two"]), batch(&["three"]), closed(4_000, "over")];
        assert_eq!(alice.heard(), told, "{placement:?}");
        assert_eq!(bob.heard(), [batch(&["two"])]);
        story.fake.advance(DELAY_MS);
        assert_eq!(bob.heard(), [batch(&["waits"]), batch(&["five"])]);
        assert_eq!(alice.heard(), []);
    });
}

/// The object does not know that the client has closed it as well.
#[test]
fn what_waits_leaves_before_a_close_that_crosses_the_clients_own() {
    everywhere(10_000, |story, placement| {
        let alice = story.open("alice");
        hook(At::Message, |ctx, ws| {
            ctx.batch(None).push("one")?;
            ws.unwrap().batch().push("two")?;
            Ok(ws.unwrap().close(4_000, "over")?)
        });
        alice.text("anything").close(1_000, "");
        story.fake.settle();
        let told = [batch(&["one"]), batch(&["two"]), closed(4_000, "over")];
        assert_eq!(alice.heard()[..3], told, "{placement:?}");
        support::room::unhook(At::Message);
        // One that knows of it answers, and what waits for all is due when it was.
        let [alice, bob] = ["alice", "bob"].map(|name| story.open(name));
        push(&mut story.fake, &bob, &["three"]);
        hook(At::Close, |_, ws| Ok(ws.unwrap().close(4_001, "so be it")?));
        alice.close(1_000, "");
        story.fake.settle();
        assert_eq!(alice.heard()[..1], [closed(4_001, "so be it")], "{placement:?}");
        assert_eq!(bob.heard(), []);
        story.fake.advance(DELAY_MS);
        assert_eq!(bob.heard(), [batch(&["three"])]);
        support::room::unhook(At::Close);
    });
}

/// What was pushed is as good as sent: it belongs to the object, not to the instance.
#[test]
fn what_a_failing_handler_has_pushed_leaves_before_its_end() {
    for end in ["fail", "panic", "sleep 60000"] {
        everywhere(10_000, |story, placement| {
            let [alice, bob] = ["alice", "bob"].map(|name| story.open(name));
            inside(&mut story.fake, &bob, |ctx, _| {
                ctx.set_hibernatable_web_socket_event_timeout(20).unwrap();
                ctx.batch(None).push("of bob").unwrap();
            });
            hook(At::Message, |ctx, ws| {
                ws.unwrap().batch().push("the last")?;
                ctx.batch(None).push("of alice")?;
                Ok(())
            });
            script(At::Message, end);
            alice.text("anything");
            story.fake.advance(30);
            let all = batch(&["of bob", "of alice"]);
            let heard = alice.heard();
            assert_eq!(heard[..2], [all.clone(), batch(&["the last"])], "{placement:?} {end}");
            assert!(matches!(heard[2], Heard::Close(1011, _)), "{heard:?}");
            assert_eq!(bob.heard(), [all]);
            support::room::unhook(At::Message);
            script(At::Message, "");
        });
    }
}

#[test]
fn what_a_failing_constructor_has_pushed_leaves_before_1011() {
    let mut fake = fake_with(|settings| settings.hibernation_idle_ms = Some(0));
    let alice = fake.open("/lobby");
    hook(At::New, |ctx, _| {
        ctx.batch(None).push("I am sorry")?;
        Err("a failure".into())
    });
    alice.text("wake");
    fake.settle();
    let heard = alice.heard();
    assert_eq!(heard[0], batch(&["I am sorry"]));
    assert!(matches!(heard[1], Heard::Close(1011, _)), "{heard:?}");
    fake.advance(1_000);
}

/// SEMANTICS 2: a batch that waits is a timer that is pending.
#[test]
fn an_object_does_not_sleep_before_its_batches_have_left() {
    everywhere(0, |story, placement| {
        let alice = story.open("alice");
        log();
        let awake = |fake: &Fake| fake.shards[1].counters.namespaces[0].awake.get();
        push(&mut story.fake, &alice, &["one"]);
        story.fake.advance(DELAY_MS - 1);
        assert_eq!(awake(&story.fake), 1, "{placement:?}");
        assert_eq!(log(), ["new"]);
        story.fake.advance(1);
        assert_eq!((awake(&story.fake), log()), (0, vec!["drop".to_owned()]), "{placement:?}");
        assert_eq!(alice.heard(), [batch(&["one"])]);
        // With nothing left to wait for, it sleeps at once.
        inside(&mut story.fake, &alice, |ctx, _| {
            ctx.batch(None).push("two").unwrap();
            ctx.batch(None).flush();
        });
        assert_eq!((awake(&story.fake), log()), (0, vec!["new".to_owned(), "drop".to_owned()]));
        assert_eq!(alice.heard(), [batch(&["two"])]);
        story.fake.advance(1_000);
        assert!(log().is_empty());
    });
}

#[test]
fn a_batch_postpones_no_sleep_beyond_its_own_time() {
    let mut fake = fake_with(|settings| settings.hibernation_idle_ms = Some(DELAY_MS + 10));
    let alice = fake.open("/lobby");
    push(&mut fake, &alice, &["one"]);
    fake.advance(DELAY_MS + 9);
    assert_eq!(fake.counters().namespaces[0].awake.get(), 1);
    fake.advance(1);
    assert_eq!(fake.counters().namespaces[0].awake.get(), 0);
    assert_eq!(alice.heard(), [batch(&["one"])]);
}

#[test]
fn a_batch_of_one_that_its_object_has_left_running_leaves_too() {
    let mut fake = fake_with(|settings| settings.hibernation_idle_ms = Some(0));
    let alice = fake.open("/lobby");
    inside(&mut fake, &alice, |ctx, _| {
        let room = ctx.clone();
        ctx.wait_until(async move {
            room.sleep(std::time::Duration::from_millis(100)).await;
            room.batch(None).push("late").unwrap();
        });
    });
    fake.advance(100 + DELAY_MS - 1);
    assert_eq!((alice.heard(), fake.counters().namespaces[0].awake.get()), (vec![], 1));
    fake.advance(1);
    assert_eq!((alice.heard(), fake.counters().namespaces[0].awake.get()), (vec![batch(&["late"])], 0));
}

#[test]
fn what_is_pushed_before_the_101_arrives_behind_it() {
    everywhere(10_000, |story, placement| {
        hook(At::Fetch, |ctx, ws| {
            ctx.batch(None).push("all")?;
            ws.unwrap().batch().push("own")?;
            ws.unwrap().send("behind own")?;
            Ok(())
        });
        let alice = story.open("alice");
        assert_eq!(alice.heard(), [batch(&["own"]), text("behind own")], "{placement:?}");
        story.fake.advance(DELAY_MS);
        assert_eq!(alice.heard(), [batch(&["all"])]);
    });
}

/// It leaves as every broadcast does.
#[test]
fn a_batch_is_compressed_once_for_all() {
    let mut fake = fake();
    let mut clients: Vec<Deflating> = (0..10).map(|_| Deflating::open(&mut fake, "/lobby")).collect();
    let message = listing(1, 1_000);
    let pushed = message.clone();
    inside(&mut fake, &clients[0].client, move |ctx, _| ctx.batch(None).push(&pushed).unwrap());
    fake.advance(DELAY_MS);
    assert_eq!(fake.counters().compressions.get(), 1);
    for client in &mut clients {
        assert_eq!(client.heard(), [batch(&[&message])]);
    }
}

#[test]
fn the_drain_has_everything_leave_before_1001() {
    everywhere(10_000, |story, placement| {
        let alice = story.open("alice");
        push(&mut story.fake, &alice, &["one"]);
        // The object's shard first: a drain begins on each by itself.
        for shard in [1, 0] {
            story.fake.shards[shard].world.begin_drain();
            story.fake.settle();
        }
        let heard = alice.heard();
        assert_eq!(heard[0], batch(&["one"]), "{placement:?}");
        assert!(matches!(heard[1], Heard::Close(1001, _)), "{heard:?}");
    });
}

/// What waits for an object that nobody is connected to goes with it.
#[test]
fn an_object_without_sockets_keeps_no_batches() {
    let mut fake = fake_with(|settings| settings.hibernation_idle_ms = Some(0));
    hook(At::Fetch, |ctx, _| Ok(ctx.batch(None).push("to nobody")?));
    let asking = fake.connect();
    asking.bytes(post("/lobby", ""));
    fake.settle();
    assert_eq!(asking.reply().status, 200);
    fake.advance(DELAY_MS);
    assert_eq!(fake.counters().batches_sent.get(), 1);
    assert_eq!(fake.counters().namespaces[0].awake.get(), 0);
    fake.advance(60_000);
}

/// Whether it moved or not, a connection is the one that was told of.
#[test]
fn a_batch_finds_a_socket_that_moves_meanwhile() {
    everywhere(10_000, |story, placement| {
        let bob = story.open("bob");
        let alice = story.fake.connect_to(story.accepting);
        alice.bytes(upgrade(&format!("{}?name=alice&tag=alice", story.room), ""));
        // One turn of each shard: its 101 is under way, if it is not there yet.
        for shard in 0..story.fake.shards.len() {
            story.fake.turn(shard);
        }
        push(&mut story.fake, &bob, &["hello"]);
        story.fake.advance(DELAY_MS);
        story.fake.opened(&alice);
        assert_eq!(alice.heard(), [batch(&["hello"])], "{placement:?}");
        assert!(placement != Placement::Far || story.held()[1] == 0);
    });
}
